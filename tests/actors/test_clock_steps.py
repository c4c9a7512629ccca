"""The wall clock is set forward or back by an hour, while the daemon runs and between two lives.

Durations are monotonic and candles follow the venue's time, so nothing may come early, come late or
come twice. In all of this the venue's clock is right and goes on.
"""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import pytest

from actors import names
from actors.calendar import DAY_STANDS_S
from domain.candles import Candle
from domain.commands import ModificationType, ProtectionPlan, RequestedBy
from domain.feed_state import ExtremesSeen
from domain.freshness import Trust
from domain.ids import TraderName
from domain.instrument import Direction, PriceSource
from domain.modes import DAILY_DRAWDOWN
from domain.portfolio_events import DayRolled, EquityMarked
from domain.position import PositionStatus
from domain.protection import ExitReason
from strategies.base import Step, Strategy, View, close, enter
from tests.actors.asked import MINUTE, Asked
from tests.actors.box import BTC, CONFIG, START, Box, D, stop_at

HOUR_S = 3600.0
VENUE_MS = int(START.timestamp() * 1000)
ROBOT = TraderName("robot")
steps = pytest.mark.parametrize("hours", [1, -1], ids=["an hour forward", "an hour back"])


def venue_ms(box: Box, since_ms: int = VENUE_MS) -> int:
    """Return the venue's time; ours began together with it, or at `since_ms`."""
    return since_ms + int((box.loop.time() - box.clock._origin_s) * 1000)


def say(box: Box, *prices: str, since_ms: int = VENUE_MS) -> None:
    box.market.say(*prices, event_ms=venue_ms(box, since_ms))


async def go_on(box: Box, seconds: float, price: str = "60000") -> None:
    """Let time pass, with trades around a price in every second of it."""
    for number in range(int(seconds)):
        say(box, price if number % 2 else str(D(price) + 1))
        await box.soon(1)


# --- while it runs


@steps
def test_a_position_is_held_as_long_as_was_asked(perform, hours):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", max_holding_s=60.0))
        await go_on(box, 10)
        box.clock.step(hours=hours)
        await go_on(box, 45)
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        await go_on(box, 8)
        assert box.position().exit_reason is ExitReason.TIME_EXIT

    perform(play)


@steps
def test_candles_follow_the_venue(perform, hours):
    seen: list[Candle] = []
    strategy = Watcher()
    Watcher.seen = seen

    async def play(box: Box) -> None:
        await box.start()
        await go_on(box, 12)
        box.clock.step(hours=hours)
        await go_on(box, 12)
        box.clock.step(hours=-2 * hours)
        await go_on(box, 12)

    perform(play, config=with_robot(), strategies={ROBOT: strategy})
    assert len(seen) >= 6
    assert all(later.open_ms - earlier.open_ms == 5000 for earlier, later in pairwise(seen))
    assert all(candle.trades == 5 for candle in seen[1:])


@steps
def test_a_trail_keeps_its_peak_and_so_does_the_next_life(perform, hours):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at(None, trail_distance=D(500)))
        say(box, "60400")
        await box.soon(2)
        box.clock.step(hours=hours)
        say(box, "60600", "60300")
        await box.soon(2)
        box.clock.step(hours=-2 * hours)
        await box.soon(2)
        assert box.levels()["trail"] == pytest.approx(60_100)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels()["trail"] == pytest.approx(60_100)
        await box.soon()
        say(box, "60099")
        await box.soon()
        assert box.position().exit_reason is ExitReason.TRAILING_STOP

    perform(first, second)


@steps
def test_a_position_that_comes_later_does_not_get_an_earlier_peak(perform, hours):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at(None, trail_distance=D(500)))
        say(box, "60400", "60000")
        await box.soon(2)
        box.clock.step(hours=hours)
        await box.open(plan=stop_at(None, trail_distance=D(500)), number=2)
        await box.soon(2)
        await box.restarted(names.FEED)
        say(box, "60000")
        assert box.levels(1)["trail"] == pytest.approx(59_900)
        assert box.levels(2)["trail"] == pytest.approx(59_500)

    perform(play)


@steps
def test_a_trader_waits_its_cooldown_and_no_longer(perform, hours):
    opened: list[float] = []

    async def play(box: Box) -> None:
        await box.start()
        while len(opened) < 2:
            found = {each.id for each in box.parts.world.states.latest_of("position")}
            await go_on(box, 1)
            now = {each.id for each in box.parts.world.states.latest_of("position")}
            if now - found:
                opened.append(box.loop.time())
            if found - now:
                opened[0] = box.loop.time()  # it is over: from here on it waits
                box.clock.step(hours=hours)

    perform(play, config=with_robot(cooldown_s=30), strategies={ROBOT: InAndOut()})
    assert 28 <= opened[1] - opened[0] <= 40


@steps
def test_freshness_and_its_loss_take_their_time(perform, hours):
    reads = Asked(BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")
        await go_on(box, 3)
        asked = reads.count()
        box.clock.step(hours=hours)
        board = box.parts.world.prices
        assert board.is_fresh(BTC)
        assert board.venue_ms() == pytest.approx(venue_ms(box), abs=1100)
        await go_on(box, 5)
        assert reads.count() == asked  # what trades is not asked for
        assert box.feed.checks.known[BTC].trust is Trust.LIVE
        reads.prices[BTC] = "61000"
        await box.soon(5)
        assert not board.is_fresh(BTC)

    perform(play, reads=reads)


@steps
def test_an_automatic_change_is_as_rare_as_before(perform, hours):
    async def move(box: Box, price: int) -> Any:
        return await box.modify(
            ModificationType.MOVE_SL, price=D(price), requested_by=RequestedBy.RULE_ENGINE
        )

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        say(box, "60000")
        assert (await move(box, 59_100)).refusal is None
        box.clock.step(hours=hours)
        await go_on(box, 310)
        assert (await move(box, 59_200)).refusal is None
        assert (await move(box, 59_300)).refusal is not None

    perform(play)


@steps
def test_a_day_begins_once_and_its_limit_stays_until_then(perform, hours):
    """It is ten minutes to midnight, or past it, and the clock is set across."""

    async def play(box: Box) -> None:
        await box.start("60000")
        await go_on(box, 3)
        rolled = days(box)
        box.clock.step(hours=hours)
        await go_on(box, 3)
        box.clock.step(hours=-hours)
        await go_on(box, 20 * 60)
        box.clock.step(hours=-1)
        await go_on(box, 3)
        box.clock.step(hours=1)
        await go_on(box, 3)
        found = days(box)
        assert len(found) == len(set(found)) <= len(rolled) + 1

    perform(play, start=datetime(2026, 1, 2, 23, 50, tzinfo=UTC))


TIGHT = CONFIG.replace("daily_drawdown_ratio: 1", "daily_drawdown_ratio: 0.02")


async def lose(box: Box) -> None:
    """Lose what the limit of a day allows."""
    for price in ("59500", "58900", "58300", "57700"):
        await go_on(box, 1, price)
    assert is_stopped(box)


def is_stopped(box: Box) -> bool:
    return DAILY_DRAWDOWN in {cause.code for cause in box.portfolio.causes}


def test_a_moment_in_the_wrong_day_does_not_lift_the_limit_of_this_one(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("50000"))
        await lose(box)
        box.clock.step(days=1)
        await go_on(box, 3, "57700")
        box.clock.step(days=-1)
        await go_on(box, DAY_STANDS_S + 3, "57700")
        assert is_stopped(box)
        assert days(box) == []

    perform(play, config=TIGHT)


@pytest.mark.parametrize("wrong", [1, 365])
def test_after_wrong_days_a_limit_ends_with_its_day_all_the_same(perform, wrong):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("50000"))
        box.clock.step(days=wrong)
        await go_on(box, DAY_STANDS_S + 3)
        box.clock.step(days=-wrong)
        await lose(box)
        await go_on(box, DAY_STANDS_S + 3, "57700")
        assert is_stopped(box)
        box.clock.step(days=1)
        await go_on(box, DAY_STANDS_S + 3, "57700")
        assert not is_stopped(box)

    perform(play, config=TIGHT)


def test_a_loss_over_a_midnight_that_nobody_saw_counts_for_the_new_day(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("50000"))
        await go_on(box, 61)

    async def second(box: Box) -> None:
        await box.start("57600")
        await go_on(box, DAY_STANDS_S + 3, "57600")
        assert len(days(box)) == 1
        assert is_stopped(box)

    before_midnight = datetime(2026, 1, 2, 23, 50, tzinfo=UTC)
    perform(first, second, config=TIGHT, start=before_midnight, pause_s=6 * HOUR_S)


def days(box: Box) -> list[Any]:
    stream = names.portfolio(box.parts.world.account)
    return [event.day for event in box.journal(stream) if isinstance(event, DayRolled)]


@steps
def test_the_journal_goes_on_and_is_whole(perform, hours):
    """Equity is marked every minute, somebody signs every ten seconds, and all of it verifies."""

    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("50000"))
        box.clock.step(hours=hours)
        await go_on(box, 3)
        box.clock.step(hours=-hours)
        await box.soon(3)
        before = counts(box)
        await box.soon(185)
        marks, signs = (now - then for now, then in zip(counts(box), before, strict=True))
        assert marks >= 3
        assert signs >= 17
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert box.store.journal.tail.seq == len(box.journal())
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(first, second, reads=Asked(BTC="60000"))


def counts(box: Box) -> tuple[int, int]:
    events = box.journal()
    return (
        sum(isinstance(event, EquityMarked) for event in events),
        sum(isinstance(event, ExtremesSeen) for event in events),
    )


# --- between two lives

DOWN_S = 600.0
NEXT_MS = VENUE_MS + 3 * 3_600_000  # the venue's time at the first start
three_hours = datetime.fromtimestamp(NEXT_MS / 1000, UTC)


def history(crossed_ms: int) -> list[Candle]:
    """Four hours of minutes at 60000, but one that reaches 58950."""
    found = []
    for number in range(240):
        open_ms = VENUE_MS + number * 60_000
        low = D(58_950) if open_ms <= crossed_ms < open_ms + 60_000 else D(60_000)
        price = D(60_000)
        found.append(Candle(BTC, MINUTE, open_ms, price, price, low, price, volume=D(1), trades=1))
    return found


def downtime(perform, hours: float, crossed_s: float, *, fires: bool) -> None:
    """Live until `DOWN_S` before the next life; a candle of `crossed_s` after the start crosses."""
    reads = Asked(BTC="60000")
    reads.history[BTC, PriceSource.LAST] = history(NEXT_MS + int(crossed_s * 1000))
    began: list[int] = []

    async def first(box: Box) -> None:
        await box.start()
        say(box, "60000", since_ms=NEXT_MS)
        await box.open(plan=stop_at("59000"))
        say(box, "60000", since_ms=NEXT_MS)
        await box.soon(15)
        began.append(venue_ms(box, NEXT_MS))
        box.kill()

    async def second(box: Box) -> None:
        since_ms = began[0] + int(DOWN_S * 1000)
        await box.start()
        say(box, "60000", "60000", since_ms=since_ms)
        await box.soon(3)
        assert (box.position().exit_reason is ExitReason.STOP_LOSS) == fires
        found = box.latest(names.feed("paper")).downtime
        assert found.stops == fires
        assert found.unchecked == {}
        assert found.offline_s == pytest.approx(DOWN_S, abs=20)

    pause_s = DOWN_S + hours * HOUR_S
    perform(first, second, reads=reads, start=three_hours, pause_s=pause_s)


@steps
def test_what_was_crossed_while_down_is_found_whatever_the_clock_says(perform, hours):
    downtime(perform, hours, crossed_s=300, fires=True)


@steps
def test_what_was_crossed_before_the_position_was_there_fires_nothing(perform, hours):
    downtime(perform, hours, crossed_s=-1800, fires=False)


# --- traders


class Count(msgspec.Struct, frozen=True):
    candles: int = 0


class Watcher(Strategy, frozen=True):
    """Looks on."""

    State: ClassVar[Any] = Count
    seen: ClassVar[list[Candle]] = []

    def on_candle(self, state: Count, candle: Candle, view: View) -> Step:
        del view
        self.seen.append(candle)
        return Step(Count(state.candles + 1))


class InAndOut(Strategy, frozen=True):
    """Opens whenever it may, and closes at the next candle."""

    State: ClassVar[Any] = Count

    def on_candle(self, state: Count, candle: Candle, view: View) -> Step:
        del candle
        after = Count(state.candles + 1)
        if view.held is not None:
            return Step(after, close("enough"))
        plan = ProtectionPlan(stop_price=view.last - 1000)
        return Step(after, enter(Direction.LONG, "again", plan))


def with_robot(cooldown_s: int = 0) -> str:
    return f"""{CONFIG}
traders:
  - name: robot
    strategy: ema_cross
    symbols: [BTC/USDT]
    timeframe: 5s
    cooldown_s: {cooldown_s}
    size: {{by: notional, value: 600}}
    limits: {{max_risk_ratio: 1, max_position_ratio: 1000}}
"""
