"""Make small mistakes in the core, one at a time, and see whether the tests notice.

    python -m tests.mutation domain.triggers [domain.order …] [--minutes 30] [--json]
    python -m tests.mutation --list

Without a module: the whole core. Prints one JSON object; survivors go to standard error, each with
its line. The exit code is 0 if at least nine of ten are killed in every module.
"""

import argparse
import json
import os
import sys
from multiprocessing import get_context
from typing import Any

from tests.mutating.session import KILLED, SLOW, SURVIVED, UNREACHED, Verdict, judged

ENOUGH = 0.9
_DOMAIN = "tests/domain/test_{}.py"
_LIFE = [
    *map(_DOMAIN.format, ("position", "position_additions", "position_conflicts", "exit_ids")),
    *map(_DOMAIN.format, ("position_outside", "failed_exits", "trailing", "pnl")),
    "tests/actors/test_position_actor.py",
]
_VENUE = [_DOMAIN.format("venue_stop_properties"), "tests/actors/test_venue_stop.py"]
_STORAGE = [
    f"tests/storage/test_{name}.py"
    for name in ("chain", "journal", "damage", "recovery", "archive")
]

# The core, and where its tests are. The most important first.
CORE: dict[str, list[str]] = {
    "domain.triggers": [_DOMAIN.format("triggers"), _DOMAIN.format("triggers_exact")],
    "domain.protection": [_DOMAIN.format("protection")],
    "domain.order": [_DOMAIN.format("order")],
    "domain.position_life": _LIFE,
    "domain.position_decide": _LIFE,
    "domain.position_guards": _LIFE,
    "domain.position_exits": _LIFE,
    "domain.position_additions": _LIFE,
    "domain.position_changes": _LIFE,
    "domain.position_outside": _LIFE,
    "domain.position_offline": [*_LIFE, _DOMAIN.format("downtime")],
    "domain.position": _LIFE,
    "domain.pnl": [_DOMAIN.format("pnl"), _DOMAIN.format("position")],
    "domain.trailing": [_DOMAIN.format("trailing"), _DOMAIN.format("triggers_exact")],
    "domain.venue_stop": _VENUE,
    "domain.venue_stop_life": _VENUE,
    "domain.venue_stop_align": _VENUE,
    "domain.venue_stop_reports": _VENUE,
    "exchanges.paper.ledger": ["tests/exchanges/paper/test_paper_ledger.py"],
    "storage.journal": _STORAGE,
    "storage.chain": _STORAGE,
    "storage.fold": _STORAGE,
}


def _judged(module: str, limit: int | None, deadline_s: float) -> Verdict:
    os.nice(10)
    return judged(module, CORE[module], limit, deadline_s)


def shown(verdict: Verdict) -> dict[str, Any]:
    """Return the figures."""
    outcomes = verdict.outcomes
    return {
        "mutants": sum(map(len, outcomes.values())),
        "killed": len(outcomes[KILLED]) + len(outcomes[SLOW]),
        "survived": len(outcomes[SURVIVED]),
        "unreached": len(outcomes[UNREACHED]),
        "untried": verdict.untried,
        "killed_ratio": round(verdict.killed, 3),
        "tests": verdict.tests,
        "seconds": round(verdict.seconds, 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="as domain.triggers; else all of the core")
    parser.add_argument("--list", action="store_true", help="only say which modules there are")
    parser.add_argument("--limit", type=int, help="only the first so many mutants")
    parser.add_argument("--minutes", type=float, default=60, help="for each module, at most")
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args(arguments)
    if asked.list:
        print("\n".join(CORE))
        return 0
    result: dict[str, Any] = {}
    for module in asked.modules or CORE:
        with get_context("fork").Pool(1) as pool:  # each with modules of its own
            verdict = pool.apply(_judged, (module, asked.limit, asked.minutes * 60))
        result[module] = shown(verdict)
        for kind in (SURVIVED, UNREACHED):
            for mutant in verdict.outcomes[kind]:
                where = f"{module.replace('.', '/')}.py:{mutant.line}"
                print(f"{where}: {kind}: {mutant.kind}: {mutant.text}", file=sys.stderr)
    least = min(each["killed_ratio"] for each in result.values())
    result = {"least_killed_ratio": least, **result}
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 0 if least >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
