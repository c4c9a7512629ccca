"""Plant one bug after the other in the daemon and see whether the simulation finds each.

    python -m tests.bugzoo [--only NAME …] [--seeds 300] [--jobs 1]

A bug is found when a simulated day that is clean without it has a violation. The days are those of
`holdfast simulate`, seed by seed from 0; a day ends with its first violation. Prints one JSON
object; progress goes to the terminal. The exit code is 0 if every bug is found. Bugs that no day
has found yet are hunted only by name.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from statistics import median
from typing import Any

from tests.daemon.simulation.zoo.hunt import Found, hunt
from tests.daemon.simulation.zoo.zoo import BUGS, ELUSIVE

ALL = BUGS | ELUSIVE


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt, print, and say whether all were found."""
    asked = _parser().parse_args(arguments)
    unknown = [name for name in asked.only if name not in ALL]
    if unknown:
        print(f"no such bug: {', '.join(unknown)}; there are: {', '.join(ALL)}", file=sys.stderr)
        return 2
    names = asked.only or list(BUGS)
    results: list[Found] = []
    for found in _hunts(names, asked.seeds, asked.jobs):
        results.append(found)
        if sys.stderr.isatty():
            print(f"{len(results):3}/{len(names)} {_line(found)}", file=sys.stderr)
    print(json.dumps(figures(sorted(results, key=lambda each: names.index(each.name))), indent=1))
    return 0 if all(found.is_found for found in results) else 1


def figures(results: Sequence[Found]) -> dict[str, Any]:
    """Add up what the hunts came to; a bug that was not found counts with all seeds tried."""
    return {
        "planted": len(results),
        "found": sum(each.is_found for each in results),
        "median_seeds": median(each.seeds for each in results),
        "bugs": {
            each.name: {
                "breaks": ALL[each.name].breaks,
                "seeds": each.seeds,
                "seed": each.seed,
                "violation": each.violation or None,
            }
            for each in results
        },
    }


def _hunts(names: Sequence[str], seeds: int, jobs: int) -> Iterator[Found]:
    if jobs <= 1:
        for name in names:
            yield _hunt(name, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_hunt, name, seeds) for name in names]):
            yield done.result()


def _hunt(name: str, seeds: int) -> Found:
    return hunt(ALL[name], range(seeds))


def _line(found: Found) -> str:
    if not found.is_found:
        return f"{found.name}: NOT FOUND in {found.seeds} seeds"
    return f"{found.name}: {found.seeds} seeds, {found.violation}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bugzoo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="hunt these alone")
    parser.add_argument("--seeds", type=int, default=300, help="days to try for each")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
