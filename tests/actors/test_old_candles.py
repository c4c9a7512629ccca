"""What a trader makes of candles that are old, and of what its strategy remembers from before."""

import pytest

from domain.trader_state import EntryDeclined
from tests.actors.box import Box
from tests.actors.test_trader_actor import (
    NAME,
    ROBOT,
    WITH_ROBOT,
    Scripted,
    candles,
    own,
    state,
)

HOLE_S = 100.0  # twenty candles


@pytest.fixture
def trade(perform):
    """Run plays with a trader that follows a script."""

    def run(script, *plays, **options):
        Scripted.views.clear()
        perform(*plays, config=WITH_ROBOT, strategies={ROBOT: Scripted(script=script)}, **options)

    return run


async def hole(box: Box) -> None:
    """Let the stream be away for a while; its first trade afterwards closes what went by."""
    box.market.sink.on_disconnected("a test")
    await box.soon(HOLE_S)
    box.market.sink.on_connected()
    box.say("61000")
    await box.soon(0.2)


def test_what_a_strategy_wants_at_a_candle_of_long_ago_is_not_opened(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        await hole(box)
        assert state(box).evaluations > 10
        assert not own(box)
        (declined,) = [each for each in box.journal(NAME) if isinstance(each, EntryDeclined)]
        assert declined.rule == "OLD_CANDLE"

    trade("---L", play)


def test_nor_is_it_added_to_what_is_held(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        await hole(box)
        (position,) = own(box)
        assert not position.additions
        (declined,) = [each for each in box.journal(NAME) if isinstance(each, EntryDeclined)]
        assert (declined.rule, declined.is_addition) == ("OLD_CANDLE", True)

    trade("L--A", play)


def test_but_it_is_closed(trade):
    async def play(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        assert own(box)
        await hole(box)
        assert not own(box)

    trade("L--C", play)


class LooksBack(Scripted, frozen=True):
    """The same, over so many candles."""

    bars: int = 0

    @property
    def warm_up(self) -> int:
        return self.bars


@pytest.mark.parametrize(
    ("bars", "off_s", "remembered"),
    [
        (10, 45, 2),  # nine candles are missing
        (10, 55, 0),
        (0, 10_000, 2),  # it does not say how far it looks back
    ],
)
def test_what_a_strategy_remembers_from_before_as_long_as_it_looks_back_is_forgotten(
    perform, bars, off_s, remembered
):
    async def before(box: Box) -> None:
        await box.start("60000")
        await candles(box, 2)

    async def after(box: Box) -> None:
        await box.start("60000")
        await candles(box, 1)
        await box.restarted(NAME)
        await candles(box, 1)
        assert box.actor(NAME).memory["BTC/USDT"].candles == remembered + 2

    perform(
        before, after, config=WITH_ROBOT, strategies={ROBOT: LooksBack(bars=bars)}, pause_s=off_s
    )
