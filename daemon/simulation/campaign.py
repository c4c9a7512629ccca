"""Many seeds: run them, some of them twice, add up what they came to."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from daemon.simulation.day import Result, run
from daemon.simulation.plan import planned

TWICE_EVERY = 100
_AGAIN_WITHIN_S = 600


def campaign(
    seeds: Sequence[int],
    *,
    jobs: int = 1,
    with_faults: bool = True,
    note: Callable[[Result], None] = lambda _result: None,
) -> dict[str, Any]:
    """Run seeds; return the figures. Every 100th seed runs again, in another process."""
    results = []
    for result in _all(seeds, jobs, with_faults=with_faults):
        results.append(result)
        note(result)
    unlike = [
        one.seed
        for one in results[::TWICE_EVERY]
        if again(one.seed, with_faults=with_faults) != one.digest
    ]
    return summed(results) | {"ran_twice": len(results[::TWICE_EVERY]), "not_repeated": unlike}


def _all(seeds: Sequence[int], jobs: int, *, with_faults: bool) -> Iterator[Result]:
    if jobs <= 1:
        for seed in seeds:
            yield run(planned(seed, with_faults=with_faults))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_run, seeds, [with_faults] * len(seeds))


def _run(seed: int, with_faults: bool) -> Result:  # noqa: FBT001 - of a map
    return run(planned(seed, with_faults=with_faults))


def again(seed: int, *, with_faults: bool = True) -> str:
    """Return the digest of a seed that a new process comes to, with other hashes of strings."""
    code = (
        "from daemon.simulation.day import run; from daemon.simulation.plan import planned;"
        f"print(run(planned({seed}, with_faults={with_faults})).digest)"
    )
    ended = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": str(seed % 4_000_000 + 1)},
        capture_output=True,
        text=True,
        timeout=_AGAIN_WITHIN_S,
        check=True,
    )
    return ended.stdout.strip()


def summed(results: Sequence[Result]) -> dict[str, Any]:
    """Return the figures of all days together."""
    cpu_s = sum(one.cpu_s for one in results)
    days = sum(one.days for one in results)
    digest = hashlib.sha256("".join(one.digest for one in results).encode()).hexdigest()
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
        "least_faults": min((one.faults for one in results), default=0),  # of any day
        "least_positions": min((one.least for one in results), default=0),  # of a third trader
        "violations": sum(len(one.violations) for one in results),
        "failed_seeds": [one.seed for one in results if one.violations],
        "days_per_cpu_hour": round(days / cpu_s * 3600) if cpu_s else 0,
        "cpu_s_per_seed": round(cpu_s / max(1, len(results)), 2),
        "digest": digest[:16],
    }
