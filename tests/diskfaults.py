"""Spoil the disk under the storage in every way there is, and see whether anything is silent.

    python -m tests.diskfaults [--part flips|calls|power] [--step 1] [--processes 2] [--json]

*flips*: every byte of a journal, its log, a snapshot, an archive and the paper venue's ledger is
changed, one at a time: noticed, or without effect. *calls*: each call to the file layer fails in
turn under the whole daemon: a delay, nothing else. *power*: power is cut at every sync: what was
acknowledged is there. Prints one JSON object; the exit code is 0 only if nothing was lost, changed
or misread in silence.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from daemon.assembly import LEDGER
from storage.connection import NAME
from tests.disk import power, vfs
from tests.disk.calls import Outcomes, Plan, calls_of, plans, played, template
from tests.disk.flips import CRASH, HANG, SILENT, every_case, judged_in_parallel
from tests.disk.specimens import specimens

_MEMORY = Path("/dev/shm")  # fast; what a real disk loses is simulated
_STORIES = 20  # of power cuts
_COMMITS = 60  # in each
_IMAGES = 2  # drawn at each instant

Result = dict[str, Any]


def flips(parent: Path, step: int, only: str | None, processes: int) -> Result:
    """Change every byte of every kind of file."""
    result: Result = {"bad": 0}
    for specimen in specimens(parent / "specimens"):
        if only not in {None, specimen.name}:
            continue
        began_s = time.monotonic()
        cases = every_case(specimen, step)
        found = judged_in_parallel(specimen, cases, parent, processes)
        result["bad"] += sum(found.outcomes[kind] for kind in (SILENT, CRASH, HANG))
        result[specimen.name] = {
            "bytes": len(specimen.content),
            "cases": len(cases),
            **dict(found.outcomes.most_common()),
            "seconds": round(time.monotonic() - began_s, 1),
        }
        _say(f"{specimen.name}: {text}" for text in found.examples)
    return result


def _days(asked: list[Plan], parent: Path, begin: Path) -> Outcomes:
    _be_quiet()
    found = Outcomes()
    for plan in asked:
        found.absorb(played(plan, parent, begin)[0])
    return found


def calls(parent: Path, step: int, only: str | None, processes: int) -> Result:
    """Let each call fail, once and for a while."""
    begin = template(parent)
    result: Result = {"bad": 0}
    for victim in (NAME, LEDGER):
        if only not in {None, victim}:
            continue
        began_s = time.monotonic()
        count = calls_of(victim, parent, begin)
        asked = list(plans(count, victim, step))
        found = Outcomes()
        for part in _shared(_days, asked, processes, parent, begin):
            found.absorb(part)
        result["bad"] += found.days["broken"]
        result[victim] = {
            "calls": count,
            "plans": len(asked),
            "failed_calls": found.calls,
            **dict(found.days.most_common()),
            "seconds": round(time.monotonic() - began_s, 1),
        }
        _say(found.faults[:40])
    return result


def _stories(seeds: list[int], parent: Path) -> power.Cuts:
    _be_quiet()
    found = power.Cuts()
    for seed in seeds:
        with TemporaryDirectory(dir=parent) as own:
            failing = 0.2 if seed % 2 else 0.0
            story = power.told(
                Path(own) / "data", seed, commits=_COMMITS, images=_IMAGES, failing=failing
            )
            part = power.judged(story, Path(own))
        found.outcomes += part.outcomes
        found.faults += part.faults
    return found


def cuts(parent: Path, step: int, only: str | None, processes: int) -> Result:
    """Cut the power at every sync of many stories."""
    del only
    began_s = time.monotonic()
    found = power.Cuts()
    seeds = list(range(1, 1 + max(1, _STORIES // step)))
    for part in _shared(_stories, seeds, processes, parent):
        found.outcomes += part.outcomes
        found.faults += part.faults
    _say(found.faults[:40])
    return {
        "bad": found.outcomes["broken"],
        "stories": len(seeds),
        "cuts": found.outcomes.total(),
        **dict(found.outcomes.most_common()),
        "seconds": round(time.monotonic() - began_s, 1),
    }


def _shared(work: Callable[..., Any], items: list[Any], processes: int, *rest: Any) -> list[Any]:
    """Do it in a few processes, each with a share of the items."""
    with get_context("fork").Pool(processes) as pool:
        return pool.starmap(work, [(items[n::processes], *rest) for n in range(processes)])


def _be_quiet() -> None:
    os.nice(10)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _say(texts: Any) -> None:
    for text in texts:
        print(text, file=sys.stderr)


PARTS = {"flips": flips, "calls": calls, "power": cuts}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, help="only this")
    parser.add_argument("--only", help="of the flips or calls: only this file")
    parser.add_argument("--step", type=int, default=1, help="only every so-manieth byte or call")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args(arguments)
    _be_quiet()
    result: Result = {}
    with TemporaryDirectory(
        prefix="holdfast-disk-", dir=_MEMORY if _MEMORY.is_dir() else None
    ) as temporary:
        for name, part in PARTS.items():
            if asked.part not in {None, name}:
                continue
            if name != "flips" and not vfs.is_available():
                result[name] = {"bad": 0, "skipped": "sqlite3 brings its own SQLite here"}
                continue
            place = Path(temporary) / name
            place.mkdir()
            result[name] = part(place, asked.step, asked.only, asked.processes)
    bad = sum(each["bad"] for each in result.values())
    result = {"silent": bad, **result}
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
