"""Kill a real daemon at random and at labelled instants, and see whether it keeps its word.

    python -m tests.crash --kills 50 [--labelled 50] [--venue paper|sandbox] [--seed 1] [--json]
        [--label NAME]... [--seconds 600] [--keep DIRECTORY]

A daemon holds positions, people command it without a pause, and levels are crossed all the time. It
is killed (SIGKILL), started again on the same directory, and judged from outside: what it had
acknowledged and shown, and the venue's own ledger, against what it says now. Random kills are of a
daemon with the simulated market and the paper venue; labelled ones, exactly before or after what a
label names, of that one and of one that trades at the sandbox venue. The two run side by side.

Prints one JSON object; the exit code is 0 only if nothing was lost, duplicated, unprotected or
loosened.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from math import inf
from pathlib import Path
from random import Random
from typing import Any

from tests.e2e.crash_drill import Drill
from tests.e2e.crash_ground import Ground, PaperGround, sandbox_ground
from tests.e2e.crash_nursery import Nursery
from tests.e2e.crash_points import BOTH, PAPER, labels_of
from tests.e2e.crash_promises import Book

_AT_ONCE = 2  # processes
KILLS_A_DIRECTORY = 76  # labelled: two of each label
_TOLD_EVERY = 50  # kills, where nobody watches
BROKEN = ("lost", "duplicated", "unprotected", "loosened_trails")


def run(kills: int, seed: int, directory: Path, *, shows: bool) -> tuple[dict[str, Any], Book]:
    """Kill so many times at random instants; return what was counted, and the book."""
    drill = Drill(directory, seed, PaperGround())
    began_s = time.monotonic()
    for round_ in range(kills - 1):
        chance = Random(f"{seed}/{round_}")
        kind = chance.random() if round_ else 1.0
        if kind < 0.1:
            drill.early_kill(round_, chance.uniform(0.0, 0.15))
        elif kind < 0.25:
            drill.early_kill(round_, chance.uniform(0.15, 1.6))
        elif kind < 0.45:
            drill.life(round_, chance.uniform(0.0, 0.6), hasty=True)
        else:
            drill.life(round_, chance.uniform(0.3, 2.0), hasty=False)
        if shows:
            _progress(drill, kills, began_s)
    return _ended(drill, kills, began_s, shows=shows)


def run_labels(
    kills: int,
    seed: int,
    directory: Path,
    ground: Ground,
    labels: tuple[str, ...] = (),
    *,
    within_s: float = inf,
    shows: bool = False,
) -> tuple[dict[str, Any], Book]:
    """Kill so many times at labelled instants, one label after the other, and around again.

    No further life begins after `within_s`.
    """
    chosen = labels or labels_of(ground.venue)
    drill = Drill(directory, seed, ground)
    began_s = time.monotonic()
    drill.life(0, 1.0, hasty=False)
    with Nursery() as nursery:
        for round_ in range(1, kills + 1):
            if time.monotonic() - began_s > within_s:
                kills = round_ - 1
                break
            chance = Random(f"{seed}/{round_}")
            drill.labelled_life(round_, chosen[(round_ - 1) % len(chosen)], chance, nursery)
            if shows:
                _progress(drill, kills + 2, began_s)
    return _ended(drill, kills + 2, began_s, shows=shows)


def _ended(drill: Drill, kills: int, began_s: float, *, shows: bool) -> tuple[dict[str, Any], Book]:
    """Order everything closed, kill it once more, judge all there ever was."""
    drill.closing_life(kills - 1)
    if shows:
        _progress(drill, kills, began_s)
    drill.last_life(kills)
    drill.read_log()
    result = drill.result()
    return result | {"seconds": round(time.monotonic() - began_s, 1)}, drill.book


def _progress(drill: Drill, kills: int, began_s: float) -> None:
    on_terminal = sys.stderr.isatty()
    is_last = drill.found.kills >= kills
    if not on_terminal and drill.found.kills % _TOLD_EVERY and not is_last:
        return
    broken = sum(len(each) for each in drill.book.broken.values())
    print(
        "\r" * on_terminal + f"{drill.found.kills}/{kills} kills,"
        f" {drill.book.acknowledged} acknowledged,"
        f" {drill.ledger.exits(manual=False)} exits fired, {drill.ledger.open_positions()} open,"
        f" {broken} broken promises, {time.monotonic() - began_s:.0f} s ",
        end="" if on_terminal and not is_last else "\n",
        file=sys.stderr,
        flush=True,
    )


@contextlib.contextmanager
def _ground(venue: str, seed: int) -> Iterator[Ground]:
    if venue == PAPER:
        yield PaperGround()
        return
    with sandbox_ground(seed) as ground:
        yield ground


def one(asked: argparse.Namespace) -> dict[str, Any]:
    """Do the random kills, or the labelled ones of one venue, in this process."""
    with tempfile.TemporaryDirectory(prefix="holdfast-crash-") as temporary:
        directory = asked.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        if not asked.labelled:
            result, book = run(asked.kills, asked.seed, directory, shows=True)
        else:
            with _ground(asked.venue, asked.seed) as ground:
                result, book = run_labels(
                    asked.labelled,
                    asked.seed,
                    directory,
                    ground,
                    tuple(asked.label),
                    within_s=asked.seconds,
                    shows=True,
                )
                result["unprotected_longest_s"] = getattr(ground, "longest_s", None)
    for kind, texts in book.broken.items():
        for text in texts:
            print(f"{kind}: {text}", file=sys.stderr)
    return result


def both(asked: argparse.Namespace) -> dict[str, Any]:
    """Do all of it, two daemons at a time, each with a process of its own to judge it."""
    began_s = time.monotonic()
    parts: dict[str, subprocess.Popen[str]] = {}
    waiting = jobs_of(asked)
    found: dict[str, dict[str, Any]] = {}
    while waiting or parts:
        while waiting and len(parts) < _AT_ONCE:
            name = next(iter(waiting))
            command = [sys.executable, "-m", "tests.crash", "--one", "--json", *waiting.pop(name)]
            keep = ["--keep", str(asked.keep / name)] if asked.keep else []
            parts[name] = subprocess.Popen([*command, *keep], stdout=subprocess.PIPE, text=True)
        for name, process in list(parts.items()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                text, _ = process.communicate(timeout=0.2)
                found[name] = json.loads(text) if text else {"failed": process.returncode}
                del parts[name]
    return summed(found) | {"seconds": round(time.monotonic() - began_s, 1)}


def jobs_of(asked: argparse.Namespace) -> dict[str, list[str]]:
    """Return the arguments of all parts, by name; many labelled kills go to several directories.

    What a drill has to look through grows with its past, so that a long one gets slow.
    """
    jobs: dict[str, list[str]] = {}
    if asked.kills:
        jobs["random"] = ["--kills", str(asked.kills), "--seed", str(asked.seed)]
    labels = [part for each in asked.label for part in ("--label", each)]
    for venue in BOTH:
        left, number = asked.labelled // 2, 0
        while left:
            kills = min(left, KILLS_A_DIRECTORY)
            jobs[f"{venue}-{number}"] = [
                *("--labelled", str(kills), "--venue", venue, "--seconds", str(asked.seconds)),
                *("--seed", str(asked.seed + number), *labels),
            ]
            left, number = left - kills, number + 1
    return jobs


def summed(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all parts together, then those of each."""
    total = {
        name: sum(part.get(name, 0) for part in found.values())
        for name in ("kills", "acknowledged", "exits_fired", *BROKEN)
    }
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for name, part in found.items():
        for label, row in part.get("labels", {}).items():
            labels[f"{name.partition('-')[0]}/{label}"].update(row)
    return total | {
        "failed": [name for name, part in found.items() if "failed" in part],
        "labelled_kills": sum(row["kills"] for row in labels.values()),
        "fewest_of_a_label": min((row["kills"] for row in labels.values()), default=0),
        "labels": {label: dict(row) for label, row in labels.items()},
        "parts": {
            name: {key: value for key, value in part.items() if key != "labels"}
            for name, part in found.items()
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0, help="at random instants")
    parser.add_argument("--labelled", type=int, default=0, help="at labelled ones, both venues")
    parser.add_argument("--venue", choices=BOTH, default=PAPER)
    parser.add_argument("--label", action="append", default=[], help="only these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=inf, help="for labelled ones, at most")
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--one", action="store_true", help="one of the parts, in this process")
    parser.add_argument("--keep", type=Path, help="leave the daemon's files in this new directory")
    asked = parser.parse_args(arguments)
    result = one(asked) if asked.one else both(asked)
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 1 if any(result[name] for name in BROKEN) or result.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
