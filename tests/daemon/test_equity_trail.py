"""Equity since the start in a fixed number of points: older ones thin out, the start stays."""

import asyncio
from decimal import Decimal

import pytest

from daemon.equity_trail import EquityTrail


class Loop:
    """Runs what is due when it is told to, and knows how long it was asked to wait."""

    def __init__(self) -> None:
        self.due = None
        self.waited: list[float] = []

    def call_soon(self, callback):
        return self.call_later(0.0, callback)

    def call_later(self, delay: float, callback):
        self.waited.append(delay)
        self.due = callback
        return asyncio.Handle(callback, (), self)

    def get_debug(self) -> bool:
        return False

    def go(self, times: int) -> None:
        for _ in range(times):
            self.due()


def trail_of(equity, points: int = 4) -> tuple[EquityTrail, Loop]:
    loop = Loop()
    trail = EquityTrail(loop, equity, points)  # type: ignore[arg-type]
    trail.start()
    return trail, loop


def test_full_points_are_halved_and_sampled_at_half_the_pace() -> None:
    numbers = iter(range(100))
    trail, loop = trail_of(lambda: Decimal(next(numbers)))

    loop.go(4)
    assert trail.view() == {"every_s": 1.0, "points": ["0", "1", "2", "3"]}
    loop.go(1)
    assert trail.view() == {"every_s": 2.0, "points": ["0", "2", "4"]}
    loop.go(50)
    assert trail.view()["points"][0] == "0"
    assert len(trail.view()["points"]) <= 4
    assert loop.waited[-1] == trail.every_s


def test_nothing_is_kept_while_equity_is_not_known() -> None:
    known = iter([None, None, Decimal(5)])
    trail, loop = trail_of(lambda: next(known))

    loop.go(3)

    assert trail.view()["points"] == ["5"]


def test_a_bug_in_it_does_not_reach_the_start_of_the_daemon() -> None:
    answers = iter([0, 1])

    def broken() -> Decimal:
        return Decimal(1 // next(answers))

    trail, loop = trail_of(broken)  # starting is fine

    with pytest.raises(ZeroDivisionError):  # the loop catches and logs it
        loop.go(1)
    loop.go(1)
    assert trail.view()["points"] == ["1"]  # and goes on
