"""Make small mistakes in the core, one at a time, and see whether the tests notice.

    python -m tests.mutation domain.triggers [domain.order …] [--minutes 30] [--jobs 1]
    python -m tests.mutation --list

Without a module: the whole core, as `tests/mutating/core.py` lists it. Prints one JSON object;
survivors go to standard error, each with its line. Mutants that change nothing are listed, with the
reason, in `tests/mutating/equivalent.toml`; they are tried all the same, and counted apart. The
exit code is 0 if in every module nine of ten of the others are killed, and none of those, and time
was left to try all.
"""

import argparse
import json
import os
import sys
from multiprocessing import get_context
from typing import Any

from tests.mutating.core import CORE, path_of
from tests.mutating.equivalent import equivalents_of
from tests.mutating.session import KILLED, SLOW, SURVIVED, UNREACHED, Verdict, judged

ENOUGH = 0.9


def _judged(module: str, limit: int | None, deadline_s: float, jobs: int) -> Verdict:
    os.nice(5)
    return judged(module, CORE[module], limit, deadline_s, jobs)


def figures(verdict: Verdict) -> dict[str, Any]:
    """Return what became of the mutants of a module; `ratio` leaves out those that are none."""
    equivalent = set(equivalents_of(verdict.module))
    outcomes = verdict.outcomes
    mutants = sum(map(len, outcomes.values()))
    dead = {*outcomes[KILLED], *outcomes[SLOW]}
    others = mutants - len(equivalent & {each for kind in outcomes.values() for each in kind})
    return {
        "mutants": mutants,
        "killed": len(dead - equivalent),
        "equivalent": mutants - others,
        "ratio": round(len(dead - equivalent) / others, 3) if others else 1.0,
        "survived": len(set(outcomes[SURVIVED]) - equivalent),
        "unreached": len(set(outcomes[UNREACHED]) - equivalent),
        "untried": verdict.untried,
        "no_equivalent": len(dead & equivalent),
        "tests": verdict.tests,
        "seconds": round(verdict.seconds, 1),
    }


def told(verdict: Verdict) -> list[str]:
    """Return a line for each mutant that somebody should look at."""
    equivalent = equivalents_of(verdict.module)
    path = path_of(verdict.module)
    looked_at = [
        (mutant, kind)
        for kind in (SURVIVED, UNREACHED)
        for mutant in verdict.outcomes[kind]
        if mutant not in equivalent
    ] + [
        (mutant, f"listed as equivalent, and {kind}")
        for kind in (KILLED, SLOW)
        for mutant in verdict.outcomes[kind]
        if mutant in equivalent
    ]
    return [
        f"{path}:{mutant.line}: {mutant.function}: {what}: {mutant.kind}: {mutant.text}"
        for mutant, what in sorted(looked_at, key=lambda each: each[0].line)
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="as domain.triggers; else all of the core")
    parser.add_argument("--list", action="store_true", help="only say which modules there are")
    parser.add_argument("--limit", type=int, help="only the first so many mutants")
    parser.add_argument("--minutes", type=float, default=60, help="for each module, at most")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="mutants tried at once"
    )
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args(arguments)
    if asked.list:
        print("\n".join(CORE))
        return 0
    modules: dict[str, dict[str, Any]] = {}
    for module in asked.modules or CORE:
        with get_context("fork").Pool(1) as pool:  # each with modules of its own
            work = (module, asked.limit, asked.minutes * 60, asked.jobs)
            verdict = pool.apply(_judged, work)
        modules[module] = figures(verdict)
        for line in told(verdict):
            print(line, file=sys.stderr)
    print(json.dumps({"modules": modules}, indent=None if asked.json else 2))
    return 0 if all(map(is_good, modules.values())) else 1


def is_good(figures: dict[str, Any]) -> bool:
    """Whether enough was noticed, and nothing left out for want of time."""
    is_whole = not figures["untried"] and not figures["no_equivalent"]
    return is_whole and figures["ratio"] >= ENOUGH


if __name__ == "__main__":
    sys.exit(main())
