"""A read that lasts longer than who asked for it waits."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from exchanges.lasting import KEPT_S, LastingRead
from runtime.clocks import VirtualClock
from runtime.virtual import run_virtual

START = datetime(2026, 1, 2, tzinfo=UTC)


class Venue:
    """Says after some seconds how often it was asked."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.asked: list[datetime] = []
        self.canceled = 0

    async def read(self, since: datetime) -> int:
        self.asked.append(since)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        if self.takes_s < 0:
            raise ValueError("nonsense")
        return len(self.asked)


def lasting(venue: Venue) -> LastingRead[int]:
    return LastingRead(VirtualClock(asyncio.get_running_loop(), START), venue.read)


async def gives_up(read: LastingRead[int], since: datetime = START) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read.since(since), 5)


def test_it_goes_on_when_who_asked_has_given_up_and_the_next_gets_it():
    async def play() -> None:
        venue = Venue(18)
        read = lasting(venue)
        for _ in range(3):
            await gives_up(read)
        assert await asyncio.wait_for(read.since(START + timedelta(hours=1)), 5) == 1
        venue.takes_s = 1
        assert await read.since(START) == 2

    run_virtual(play)


def test_an_answer_that_came_while_nobody_waited_is_kept_for_a_while():
    async def play() -> None:
        venue = Venue(8)
        read = lasting(venue)
        await gives_up(read)
        await asyncio.sleep(10)
        assert await read.since(START) == 1
        await gives_up(read)
        await asyncio.sleep(KEPT_S)
        assert await read.since(START) == 3

    run_virtual(play)


def test_who_wants_to_know_more_asks_anew():
    async def play() -> None:
        venue = Venue(8)
        read = lasting(venue)
        await gives_up(read)
        assert await read.since(START - timedelta(hours=1)) == 2
        assert venue.canceled == 1

    run_virtual(play)


def test_closed_it_asks_no_more():
    async def play() -> None:
        venue = Venue(8)
        read = lasting(venue)
        await read.close()
        await gives_up(read)
        await read.close()
        assert venue.canceled == 1

    run_virtual(play)


def test_a_bug_in_a_read_reaches_who_asked_and_is_forgotten():
    async def play() -> None:
        venue = Venue(-1)
        read = lasting(venue)
        with pytest.raises(ValueError, match="nonsense"):
            await read.since(START)
        venue.takes_s = 1
        assert await read.since(START) == 2

    run_virtual(play)
