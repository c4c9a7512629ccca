"""Run seeds and print what they came to as JSON: `python -m daemon.simulation --seeds 100`."""

import argparse
import json
import sys
from typing import Any

from daemon.simulation.day import Result, run
from daemon.simulation.plan import planned

_TWICE_EVERY = 100


def main() -> None:
    """Run and print; the exit code is 1 when anything was violated or did not repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--no-faults", action="store_true")
    arguments = parser.parse_args()
    results = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        result = run(planned(seed, with_faults=not arguments.no_faults))
        if result.violations:
            print(f"seed {seed}: {'; '.join(result.violations)[:600]}", file=sys.stderr, flush=True)
        results.append(result)
    figures = summed(results)
    print(json.dumps(figures, indent=2))
    sys.exit(1 if figures["violations"] else 0)


def summed(results: list[Result]) -> dict[str, Any]:
    """Return the figures of all days together."""
    cpu_s = sum(one.cpu_s for one in results)
    days = sum(one.days for one in results)
    return {
        "seeds": len(results),
        "days": round(days, 1),
        "awake_hours": round(sum(one.awake_s for one in results) / 3600, 2),
        "lives": sum(one.lives for one in results),
        "faults": sum(one.faults for one in results),
        "steps": sum(one.steps for one in results),
        "checks": sum(one.checks for one in results),
        "positions": sum(one.positions for one in results),
        "orders": sum(one.orders for one in results),
        "violations": sum(len(one.violations) for one in results),
        "failed_seeds": [one.seed for one in results if one.violations],
        "days_per_cpu_hour": round(days / cpu_s * 3600) if cpu_s else 0,
        "cpu_s_per_seed": round(cpu_s / len(results), 2),
        "digest": results[-1].digest[:16],
    }


if __name__ == "__main__":
    main()
