"""A strategy that does not come back: its trader is paused, all else goes on, over restarts too."""

from collections.abc import Callable
from typing import Any

from actors.messages import ResumeTrader
from domain.position import PositionStatus
from domain.trader_state import StrategyHung
from runtime.time_limit import OvertimeError
from tests.actors.box import Box
from tests.actors.test_trader_actor import (
    NAME,
    ROBOT,
    candles,
    own,
    state,
    trade,  # noqa: F401 - a fixture
)


class Limit:
    """Lets a call through, or interrupts it; remembers who is noted."""

    def __init__(self, *noted: str) -> None:
        self.interrupts = False
        self.noted = set(noted)
        self.calls = 0

    def call(self, who: str, function: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.interrupts:
            raise OvertimeError
        return function()

    def is_noted(self, who: str) -> bool:
        return who in self.noted

    def forget(self, who: str) -> None:
        self.noted.discard(who)


def limited(box: Box, *noted: str) -> Limit:
    limit = box.parts.world.time_limit = Limit(*noted)
    return limit


async def candle_unseen(box: Box, limit: Limit) -> None:
    """Let candles close that the strategy is not asked about."""
    calls = limit.calls
    for _ in range(12):
        box.say("60000")
        await box.soon(1)
    assert limit.calls == calls


def test_it_is_interrupted_paused_and_asked_no_more(trade):  # noqa: F811
    async def first(box: Box) -> None:
        limit = limited(box)
        await box.start("60000")
        await candles(box, 1)
        (position,) = own(box)
        limit.interrupts = True
        for _ in range(6):
            box.say("60000")
            await box.soon(1)
        limit.interrupts = False

        assert state(box).paused
        assert not state(box).hung.killed
        assert "STRATEGY_HUNG" in box.ears.codes()
        assert "ACTOR_CRASHED" not in box.ears.codes()
        await candle_unseen(box, limit)
        assert box.position_of(position.id).status is PositionStatus.OPEN_PROTECTED
        box.kill()

    async def second(box: Box) -> None:
        limit = limited(box)
        await box.start("60000")
        await candle_unseen(box, limit)
        (position,) = own(box)
        await box.ask(NAME, lambda request_id: ResumeTrader(ROBOT, request_id, "uid 7"))
        assert not state(box).paused
        assert state(box).hung is None
        await candles(box, 1)  # the second letter: it goes on where it was
        assert box.position_of(position.id).is_closed

    trade("LC", first, second)


def test_over_which_the_process_was_killed_it_is_paused_at_the_next_start(trade):  # noqa: F811
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        box.kill()

    async def second(box: Box) -> None:
        limit = limited(box, ROBOT)
        await box.start("60000")
        await candle_unseen(box, limit)
        assert [type(each) for each in box.journal(NAME)].count(StrategyHung) == 1
        assert state(box).hung.killed
        assert own(box)[0].status is PositionStatus.OPEN_PROTECTED
        box.kill()

    async def third(box: Box) -> None:
        limit = limited(box, ROBOT)
        await box.start("60000")
        assert [type(each) for each in box.journal(NAME)].count(StrategyHung) == 1
        await box.ask(NAME, lambda request_id: ResumeTrader(ROBOT, request_id, "uid 7"))
        assert limit.noted == set()
        await candles(box, 1)
        assert not own(box)

    trade("LC", first, second, third)


def test_one_that_hangs_as_its_memory_is_given_back_is_paused(trade):  # noqa: F811
    async def first(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        box.kill()

    async def second(box: Box) -> None:
        limited(box).interrupts = True
        await box.start("60000")
        assert state(box).hung is not None

    trade("-", first, second)
