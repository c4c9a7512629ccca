"""A read, here of what moved money, that lasts longer than who asked for it waits."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.venue import CashFlow, CashKind
from exchanges.okx_lasting import KEPT_S, LastingRead
from exchanges.port import Unknown
from runtime.clocks import VirtualClock
from runtime.virtual import run_virtual

START = datetime(2026, 1, 2, tzinfo=UTC)


class Venue:
    """Takes so long for each of its answers, the last time for ever; a flow comes each second."""

    def __init__(self, *takes_s: float) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop(), START)
        self.takes_s = list(takes_s)
        self.asked: list[datetime] = []
        self.canceled = 0
        self.knows = True
        self.reads = LastingRead(self.clock, self.read, lambda flow: (flow.at, flow.flow_id))

    async def read(self, since: datetime) -> tuple[CashFlow, ...] | Unknown:
        self.asked.append(since)
        told = tuple(flow for flow in self.until(self.clock.now()) if flow.at >= since)
        takes_s = self.takes_s.pop(0) if len(self.takes_s) > 1 else self.takes_s[0]
        try:
            await asyncio.sleep(takes_s)
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        if not takes_s:
            raise ValueError("nonsense")
        return told if self.knows else Unknown("lost")

    def until(self, now: datetime) -> list[CashFlow]:
        seconds = int((now - START).total_seconds())
        return [
            CashFlow(
                flow_id=f"{number}",
                kind=CashKind.TRANSFER,
                asset="USDT",
                amount=Decimal(1),
                at=START + timedelta(seconds=number),
            )
            for number in range(seconds + 1)
        ]

    async def gives_up(self, since: datetime = START) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reads.since(since), 5)

    async def tells(self, since: datetime = START) -> Any:
        return await asyncio.wait_for(self.reads.since(since), 5)


def play(what: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(what)

    run.__name__ = what.__name__
    return run


@play
async def test_it_goes_on_when_who_asked_has_given_up_and_the_next_gets_it() -> None:
    venue = Venue(18, 1)
    for _ in range(3):
        await venue.gives_up()
    asked = venue.clock.now()
    told = await venue.tells()
    assert list(told) == venue.until(asked + timedelta(seconds=3))  # all, and each once
    assert len(venue.asked) == 2
    assert venue.asked[1] == START - timedelta(minutes=1)
    await venue.tells()
    assert len(venue.asked) == 3


@play
async def test_a_quick_answer_is_asked_for_once() -> None:
    venue = Venue(1)
    assert list(await venue.tells()) == venue.until(START)
    assert venue.asked == [START]


@play
async def test_an_answer_that_came_while_nobody_waited_is_kept_for_a_while() -> None:
    venue = Venue(8, 1, 8)
    await venue.gives_up()
    await asyncio.sleep(10)
    assert len(await venue.tells()) == 16
    await venue.gives_up()
    await asyncio.sleep(8 + KEPT_S)
    await venue.gives_up()
    assert venue.asked[-1] == START


@play
async def test_one_that_lasts_longer_than_an_answer_is_kept_ends_all_the_same() -> None:
    venue = Venue(KEPT_S + 60, 1)
    for _ in range(int(KEPT_S + 60) // 30):
        await venue.gives_up()
        await asyncio.sleep(25)
    await asyncio.sleep(KEPT_S - 30)  # kept from its end on, not from its beginning
    asked = venue.clock.now()
    assert list(await venue.tells()) == venue.until(asked)
    assert venue.asked == [START, START - timedelta(minutes=1)]
    assert venue.canceled == 0


@play
async def test_it_is_kept_until_what_came_since_has_been_told_too() -> None:
    venue = Venue(8, 8, 1)
    await venue.gives_up()
    await asyncio.sleep(5)
    await venue.gives_up()
    assert len(await venue.tells()) == 16
    assert venue.asked == [START, *[START - timedelta(minutes=1)] * 2]


@play
async def test_what_is_not_answered_is_unknown() -> None:
    venue = Venue(8, 1)
    await venue.gives_up()
    await asyncio.sleep(5)
    venue.knows = False
    assert isinstance(await venue.tells(), Unknown)


@play
async def test_who_wants_to_know_more_asks_anew() -> None:
    venue = Venue(8, 1)
    await venue.gives_up()
    await venue.tells(START - timedelta(hours=1))
    assert venue.canceled == 1
    assert venue.asked[-1] == START - timedelta(hours=1)


@play
async def test_closed_it_asks_no_more() -> None:
    venue = Venue(8)
    await venue.reads.close()
    await venue.gives_up()
    await venue.reads.close()
    assert venue.canceled == 1


@play
async def test_a_bug_in_a_read_reaches_who_asked_and_is_not_kept() -> None:
    venue = Venue(0, 1)
    with pytest.raises(ValueError, match="nonsense"):
        await venue.tells()
    assert list(await venue.tells()) == venue.until(START)
