"""Runs drills, some at a time, each in a directory of its own that stays if it failed."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from daemon.drills.drill import Drill, FailedError, Outcome
from daemon.drills.stage import Stage, set_up
from daemon.drills.verdict import bugs_in, duplicates_of, judge


class Measured(msgspec.Struct, frozen=True):
    """What the venue's ledger says."""

    unprotected_s: float = 0.0
    bare_s: float = 0.0
    orders: int = 0
    duplicates: int = 0


async def run_all(
    drills: Sequence[Drill],
    *,
    jobs: int,
    logs: Path | None = None,
    is_small: bool = False,
    on_begin: Callable[[Drill], None] = lambda _: None,
    on_end: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run drills, `jobs` at a time, the long ones first; return outcomes in the order given.

    `logs`: where the directories of the drills are; they stay there. Without it only those of
    failed drills stay, in the system's temporary directory.
    """
    slots = asyncio.Semaphore(jobs)
    outcomes: dict[str, Outcome] = {}

    async def one(drill: Drill) -> None:
        async with slots:
            on_begin(drill)
            outcomes[drill.name] = await run_one(drill, logs=logs, is_small=is_small)
            on_end(outcomes[drill.name])

    longest_first = sorted(drills, key=lambda each: -each.within_s)
    async with asyncio.TaskGroup() as group:
        for drill in longest_first:
            group.create_task(one(drill))
    return [outcomes[drill.name] for drill in drills]


async def run_one(drill: Drill, *, logs: Path | None = None, is_small: bool = False) -> Outcome:
    """Run one drill to its end, whatever comes of it."""
    if logs is None:
        directory = Path(tempfile.mkdtemp(prefix=f"holdfast-drill-{drill.name}-"))
    else:
        directory = logs / drill.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    began_s = time.monotonic()
    stage: Stage | None = None
    failed: str | None = None
    measured = Measured()
    try:
        async with (
            asyncio.timeout(drill.within_s),
            set_up(drill, directory, is_small=is_small) as stage,
        ):
            try:
                await drill.run(stage)
                await judge(stage)
            finally:
                measured = _measure(stage, drill)
    except FailedError as error:
        failed = str(error)
    except TimeoutError:
        failed = f"not over within {drill.within_s:.0f} s"
    wrong = [*(stage.wrong if stage else ()), *([failed] if failed else ())]
    wrong += bugs_in(directory / "daemon.log")
    keeps = bool(wrong) or logs is not None
    if not keeps:
        shutil.rmtree(directory, ignore_errors=True)
    return Outcome(
        name=drill.name,
        passed=not wrong,
        unprotected_s=measured.unprotected_s,
        unprotected_within_s=drill.unprotected_within_s,
        bare_s=measured.bare_s,
        orders=measured.orders,
        duplicates=measured.duplicates,
        seconds=round(time.monotonic() - began_s, 1),
        injects=drill.injects,
        guard="venue, client" if stage and stage.exposure.client_guarded else "venue",
        report=tuple(stage.report if stage else ()),
        wrong=tuple(wrong),
        logs=str(directory) if keeps else None,
    )


def _measure(stage: Stage, drill: Drill) -> Measured:
    account, now_ms = stage.account, stage.now_ms
    gaps = stage.sandbox.world.watch.gaps
    longest = stage.exposure.longest(gaps, now_ms)
    bound_s = drill.unprotected_within_s
    told = f"without a working stop: {longest}; allowed are {bound_s:g} s"
    stage.expect(longest.seconds <= bound_s, told)
    return Measured(
        unprotected_s=longest.seconds,
        bare_s=stage.exposure.longest(gaps, now_ms, all_counts=True).seconds,
        orders=sum(not one.algo_id for one in account.orders.values()) + len(account.algos),
        duplicates=duplicates_of(stage),
    )
