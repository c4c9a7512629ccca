"""Looks for a planted bug with one simulated day after the other, until the judge sees it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import msgspec

from daemon.simulation.day import run
from daemon.simulation.invariants import Judge
from daemon.simulation.life import Life
from daemon.simulation.plan import Plan, planned
from tests.daemon.simulation.zoo.planting import Bug, planted


class Found(msgspec.Struct, frozen=True):
    """What became of a hunt."""

    name: str
    seeds: int  # tried, the one that found it included
    seed: int | None  # that found it; None: none did
    violation: str = ""

    @property
    def is_found(self) -> bool:
        """Whether the judge saw it."""
        return self.seed is not None


class _Enough(Exception):  # noqa: N818 - no error: the verdict is clear
    """The judge has seen something."""


def hunt(bug: Bug, seeds: Sequence[int], day: Callable[[int], Plan] = planned) -> Found:
    """Live the days of `seeds` with a bug until one has a violation.

    A day that has one without the bug, or cannot be lived, proves nothing.
    """
    for number, seed in enumerate(seeds, start=1):
        with planted(bug):
            violation = first_violation(day(seed))
        if violation and not _plain_violation(day(seed)):
            return Found(bug.name, number, seed, violation)
    return Found(bug.name, len(seeds), None)


def first_violation(plan: Plan) -> str:
    """Return the first violation of a day, which ends with it; "" when there is none."""
    with _ending_at_the_first() as seen:
        try:
            violations = run(plan).violations
        except _Enough:
            violations = tuple(seen)
        except Exception as error:  # noqa: BLE001 - a daemon that cannot start; see `hunt`
            return f"crash: {error!r}"
    return violations[0] if violations else ""


@cache
def _plain_violation(plan: Plan) -> str:
    """Return what is wrong with a day without any bug planted: it proves nothing."""
    return first_violation(plan)


@contextmanager
def _ending_at_the_first() -> Iterator[list[str]]:
    seen: list[str] = []
    look = Judge.look

    def look_and_end(judge: Judge, life: Life) -> None:
        look(judge, life)
        if judge.violations:
            seen.extend(map(str, judge.violations))
            raise _Enough

    Judge.look = look_and_end  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Judge.look = look  # type: ignore[method-assign]
