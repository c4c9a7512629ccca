"""What a line does in time, whatever the venue; the rest is tested with each venue's dialect."""

import asyncio
import itertools

import pytest

from exchanges.line import backoff_s
from exchanges.session import LineSettings, Pace


@pytest.mark.parametrize("drawn", [0.5, 0.65, 0.8])
def test_a_first_retry_comes_at_once_and_later_ones_spread_up_to_four_seconds(drawn):
    class Fixed:
        def uniform(self, low, high):
            assert low <= drawn <= high
            return drawn

    waits = [backoff_s(LineSettings(), Fixed(), failures) for failures in (1, 2, 3, 4, 5, 6, 1000)]

    assert waits == pytest.approx([drawn * step_s for step_s in (0.2, 0.4, 0.8, 1.6, 3.2, 5, 5)])


def test_turns_are_kept_apart_whoever_takes_them(virtual_loop, loop_clock, in_virtual_time):
    taken = []

    async def take(pace, times):
        for _ in range(times):
            await pace.turn()
            taken.append(virtual_loop.time())

    async def work():
        pace = Pace(loop_clock, 0.4)
        await asyncio.gather(take(pace, 3), take(pace, 2))
        await asyncio.sleep(10)
        await take(pace, 2)

    in_virtual_time(work())
    apart = [later - earlier for earlier, later in itertools.pairwise(taken)]
    assert apart == pytest.approx([0.4, 0.4, 0.4, 0.4, 10.0, 0.4])


def test_a_pace_of_nothing_holds_nobody_up(virtual_loop, loop_clock, in_virtual_time):
    async def work():
        pace = Pace(loop_clock, 0.0)
        for _ in range(5):
            await pace.turn()

    before = virtual_loop.time()
    in_virtual_time(work())
    assert virtual_loop.time() == before
