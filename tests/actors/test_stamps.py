"""Stamps of the venue: one in the future is not believed, whatever our own clock says."""

from typing import Any, ClassVar

import msgspec
import pytest

from actors import names
from domain.candles import Candle
from domain.ids import TraderName
from domain.protection import ExitReason
from domain.trader_state import StrategyAdvanced
from domain.trader_state import evolve as trader_after
from strategies.base import Step, Strategy, View
from tests.actors.box import BTC, CONFIG, START, Box, stop_at

ROBOT = TraderName("robot")
NAME = names.trader(ROBOT)
MONTH_MS = 30 * 86_400_000
WITH_ROBOT = (
    CONFIG
    + """
traders:
  - {name: robot, strategy: ema_cross, symbols: [BTC/USDT], timeframe: 5s}
"""
)


class Count(msgspec.Struct, frozen=True):
    candles: int = 0


class Watcher(Strategy, frozen=True):
    """Looks on."""

    State: ClassVar[Any] = Count

    def on_candle(self, state: Count, candle: Candle, view: View) -> Step:
        del candle, view
        return Step(Count(state.candles + 1))


@pytest.fixture
def watch(perform):
    def run(*plays, **options):
        perform(*plays, config=WITH_ROBOT, strategies={ROBOT: Watcher()}, **options)

    return run


async def go_on(box: Box, seconds: int) -> int:
    """Let time pass, with a trade in every second of it; return how many candles were seen."""
    before = seen(box)
    for number in range(seconds):
        box.say("60000" if number % 2 else "60001")
        await box.soon(1)
    return seen(box) - before


def seen(box: Box) -> int:
    found = box.latest(NAME)
    return 0 if found is None else found.evaluations


def say_in_the_future(box: Box, price: str, by_ms: int = MONTH_MS) -> None:
    box.market.say(price, event_ms=box.market.now_ms() + by_ms)


def test_one_wrong_stamp_in_a_quiet_market_does_not_mute_a_trader(watch):
    async def first(box: Box) -> None:
        await box.start("60000")
        await go_on(box, 12)
        say_in_the_future(box, "60002")
        await box.soon(12)  # the candle would close by itself
        assert await go_on(box, 20) >= 4
        assert box.latest(NAME).seen_until_ms[BTC] <= box.market.now_ms()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert await go_on(box, 20) >= 3

    watch(first, second)


def test_nor_does_one_that_is_the_first_of_a_life(watch):
    async def play(box: Box) -> None:
        await box.start()
        say_in_the_future(box, "60000")
        await box.soon(12)
        assert await go_on(box, 20) >= 3

    watch(play)


def test_a_wrong_stamp_is_said_and_counted_with_the_bad_frames(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        say_in_the_future(box, "60002", 120_000)
        assert box.feed.bad_frames == 1
        assert box.feed.last_bad_frame == "BTC/USDT: a stamp 120 s in the future; its price acts"
        say_in_the_future(box, "60002", 59_000)
        assert box.feed.bad_frames == 1

    perform(play)


def test_a_price_with_a_wrong_stamp_fires_a_stop_at_the_time_it_came(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000"))
        came = box.now
        say_in_the_future(box, "58900")
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert box.position().exits[0].trigger.at == came

    perform(play)


@pytest.mark.parametrize("say", ["quote", "mark"])
def test_quotes_and_marks_with_a_wrong_stamp_do_not_move_the_venues_clock(perform, say):
    async def play(box: Box) -> None:
        await box.start("60000")
        future = box.market.now_ms() + MONTH_MS
        if say == "quote":
            box.market.sink.on_quote(BTC, "59999", "60001", "q", future)
        else:
            box.market.sink.on_mark(BTC, "60000", future)
        board = box.parts.world.prices
        assert board.venue_ms() == pytest.approx(box.market.now_ms(), abs=1000)
        assert (board.prices[BTC].bid or board.prices[BTC].mark) in {"59999", "60000"}

    perform(play)


def test_a_clock_of_ours_that_is_behind_from_the_start_costs_no_more_than_one_stamp(watch):
    async def play(box: Box) -> None:
        await box.start()
        box.clock.step(hours=-1)
        for number in range(20):
            say_in_the_future(box, "60000" if number % 2 else "60001", 3_600_000)
            await box.soon(1)
        assert box.feed.bad_frames == 1
        assert seen(box) >= 3

    watch(play)


def test_a_clock_of_ours_that_is_set_back_while_it_runs_costs_none(watch):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.clock.step(hours=-1)
        for number in range(100):  # no trade for longer than a stamp may be ahead
            box.market.sink.on_quote(BTC, "59999", "60001", f"q{number}", 0)
            await box.soon(1)
        for _ in range(20):
            say_in_the_future(box, "60000", 3_600_000)
            await box.soon(1)
        assert box.feed.bad_frames == 0
        assert seen(box) >= 3

    watch(play)


def test_a_candle_of_the_future_in_the_journal_does_not_mute_a_trader(watch):
    wrong = StrategyAdvanced(BTC, int(START.timestamp() * 1000) + MONTH_MS, b"{}", START)

    async def first(box: Box) -> None:
        await box.start("60000")
        trader = box.actor(NAME)
        trader.journal(trader.stream, (wrong,), trader_after)
        await box.soon()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert await go_on(box, 20) >= 3
        assert box.latest(NAME).seen_until_ms[BTC] <= box.market.now_ms()

    watch(first, second)
