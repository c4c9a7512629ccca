"""Let a daemon trade through a network that mangles its sockets, and see whether it keeps its word.

    python -m tests.proxy --seconds 60 [--seed 1] [--json] [--keep DIRECTORY]

A daemon trades at the sandbox venue; between them stands `tests.fault_proxy`. People command it all
the while. Then the network is well again, and the daemon is judged: by what it had acknowledged and
shown, and by the venue's own ledger. Prints one JSON object; the exit code is 0 only if nothing was
lost, duplicated, unprotected or loosened.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.crash_client import Crowd
from tests.e2e.crash_drill import Drill
from tests.e2e.crash_ground import SandboxGround, sandbox_ground
from tests.e2e.crash_judge import Judge, told_no_more_than_the_venue_has
from tests.e2e.crash_line import Line
from tests.e2e.crash_promises import Book
from tests.e2e.crash_scale import PROXY_SCALE
from tests.fault_proxy import FaultProxy

CALM_WITHIN_S = 60.0
_POLL_S = 0.1


@contextlib.contextmanager
def proxied(seed: int) -> Iterator[tuple[SandboxGround, FaultProxy]]:
    """Run a sandbox and a proxy in front of it, on the sandbox's loop."""
    with sandbox_ground(seed) as ground:
        desk = ground.desk
        proxy = FaultProxy(desk.port, seed)
        asyncio.run_coroutine_threadsafe(proxy.start(), desk.loop).result(10)
        try:
            ground.rest_url, ground.ws_url = proxy.rest_url, proxy.ws_url
            ground.scale = PROXY_SCALE
            yield ground, proxy
        finally:
            asyncio.run_coroutine_threadsafe(proxy.close(), desk.loop).result(10)


def run(seconds: float, seed: int, directory: Path) -> tuple[dict[str, Any], Book]:
    """Trade for so long through a bad network; judge; close everything; judge again."""
    with proxied(seed) as (ground, proxy):
        drill = Drill(directory, seed, ground)
        process, began_s = drill.start(0)
        try:
            line, _ = drill.ready(process, began_s)
            for worker in drill.workers:
                worker.begin(0)
                worker.fill_up(line)
            ground.died()  # what is without a stop now, is judged by the daemon's own guard
            ground.desk.do(proxy.misbehave)
            crowd = Crowd(drill.workers, drill.book, drill.place)
            time.sleep(seconds)
            ground.desk.do(proxy.behave)
            crowd.leave()
            line.close()  # one that was idle for so long is hung up; it connects anew
            calm_s = _until_calm(line)
            ground.back()
            _judge(drill, line)
            _close(drill, line)
            _judge(drill, line)
            line.close()
        finally:
            process.terminate()
            process.wait(30)
        drill.ledger = ground.ledger(drill.data_dir, directory)
        told_no_more_than_the_venue_has(drill.book, drill.ledger)
        ground.judge(drill.book)
        drill.read_log()
        counted = drill.result()
        bare_s = max((gap.lasted_ms(0) for gap in _closed_gaps(ground)), default=0) / 1000
        return {
            "seconds": seconds,
            "connections": proxy.accepted,
            "faults": sum(proxy.done.values()),
            "by_kind": dict(sorted(proxy.done.items())),
            **{kind: len(texts) for kind, texts in drill.book.broken.items()},
            "positions": counted["positions"],
            "fills": counted["fills"],
            "acknowledged": counted["acknowledged"],
            "exits_fired": counted["exits_fired"],
            "calm_after_s": round(calm_s, 1),
            "longest_without_a_stop_at_the_venue_s": bare_s,
            "refused": counted["refused"],
            "errors_logged": counted["errors_logged"],
        }, drill.book


def _closed_gaps(ground: SandboxGround) -> list[Any]:
    gaps = ground.desk.do(lambda: list(ground.desk.sandbox.world.watch.gaps))
    return [gap for gap in gaps if gap.until_ms is not None]


def _until_calm(line: Line) -> float:
    """Wait until nothing stands against entries; return how long that took."""
    began_s = time.monotonic()
    while line.ask("mode")["causes"]:
        if time.monotonic() - began_s > CALM_WITHIN_S:
            break
        time.sleep(_POLL_S)
    return time.monotonic() - began_s


def _judge(drill: Drill, line: Line) -> None:
    drill.ledger = drill.ground.ledger(drill.data_dir, drill.directory)
    Judge(drill.book, drill.ledger, line, time.monotonic(), drill.scale).judge(everything=True)


def _close(drill: Drill, line: Line) -> None:
    line.ask("stop-entries")
    drill.book.entries.paused = True
    for position_id in line.ask("close-all")["closing"]:
        drill.book.of(position_id).must_close = True
    judge = Judge(drill.book, drill.ledger, line, time.monotonic(), drill.scale)
    judge.nothing_is_left(CALM_WITHIN_S)
    for row in line.ask("positions", closed=True, limit=10_000)["positions"]:
        answer = line.ask("position", position=row["id"])
        drill.book.see_view(answer["position"], time.monotonic())


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--keep", type=Path, help="leave the daemon's files in this new directory")
    asked = parser.parse_args(arguments)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the venue's, about resets
    with tempfile.TemporaryDirectory(prefix="holdfast-proxy-") as temporary:
        directory = asked.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        result, book = run(asked.seconds, asked.seed, directory)
    for kind, texts in book.broken.items():
        for text in texts:
            print(f"{kind}: {text}", file=sys.stderr)
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 1 if any(book.broken.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
