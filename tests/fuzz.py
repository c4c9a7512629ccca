"""Feed every reader of text from outside inputs that are nearly right, and see what breaks.

    python -m tests.fuzz --seconds 60 [--seed 1] [--only TARGET] [--keep DIRECTORY] [--json]

Frames, answers, admin lines, configuration, journal and snapshots: nothing may raise what it does
not document, take a second, or grow. Prints one JSON object; the exit code is 0 only if something
was tried of each target, and nothing was found. `--keep` writes what was found to files, one input
each.
"""

import argparse
import json
import logging
import os
import re
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import structlog

from tests.fuzzing.engine import Fuzzer, Result, Target

PROCESSES = 2
_TARGETS: list[Target] = []  # made once, before the processes are


def _fuzzed(number: int, seconds: float, seed: int) -> tuple[str, Result]:
    os.nice(10)
    target = _TARGETS[number]
    return target.name, Fuzzer(target, seed).run(seconds)


def fuzz(seconds: float, seed: int, only: str | None) -> dict[str, Result]:
    """Share the time among the targets."""
    from tests.fuzzing.targets import targets  # noqa: PLC0415 - `--help` need not wait for it

    _TARGETS[:] = [each for each in targets() if only in {None, each.name}]
    each_s = seconds * PROCESSES / max(len(_TARGETS), PROCESSES)
    with get_context("fork").Pool(PROCESSES, maxtasksperchild=1) as pool:
        asked = [(number, each_s, seed) for number in range(len(_TARGETS))]
        return dict(pool.starmap(_fuzzed, asked, chunksize=1))


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began_s = time.monotonic()
    results = fuzz(asked.seconds, asked.seed, asked.only)
    for name, result in results.items():
        for number, (data, trace) in enumerate(result.crashes.values()):
            print(f"{name}: {data[:600]!r}\n{trace}", file=sys.stderr)
            if asked.keep is not None:
                asked.keep.mkdir(parents=True, exist_ok=True)
                file = re.sub(r"\W+", "-", f"{name} {number}")
                (asked.keep / file).write_bytes(data)
    shown = {
        "seconds": round(time.monotonic() - began_s, 1),
        "seed": asked.seed,
        "executions": sum(result.executions for result in results.values()),
        "crashes": sum(len(result.crashes) for result in results.values()),
        "targets": {name: result.shown() for name, result in results.items()},
    }
    print(json.dumps(shown) if asked.json else json.dumps(shown, indent=2))
    return 0 if is_good(results) else 1


def is_good(results: dict[str, Result]) -> bool:
    """Whether something was tried of each target, and nothing crashed; of no target nothing was."""
    return bool(results) and all(each.executions and not each.crashes for each in results.values())


if __name__ == "__main__":
    sys.exit(main())
