"""After a downtime: what the venue's candles tell is acted on, kept, and said once."""

from collections.abc import Iterable
from decimal import Decimal

import pytest

from actors import names
from actors.catch_up import CATCHING_UP, DOWNTIME_UNCHECKED
from domain.candles import Candle
from domain.feed_state import Downtime
from domain.instrument import Direction, PriceSource
from domain.position import PositionStatus
from domain.protection import ExitReason
from exchanges.port import Unknown
from tests.actors.asked import MINUTE, Asked
from tests.actors.box import BTC, ETH, START, Box, D, pid, stop_at

MINUTES = 10
LAST, MARK = PriceSource.LAST, PriceSource.MARK


def history(prices: dict[int, tuple[str, ...]], *, until: int = 30) -> list[Candle]:
    """Minutes since the start at 60000, but for those given: open, high, low, close."""
    start_ms = int(START.timestamp() * 1000)
    flat = ("60000",) * 4
    return [
        Candle(
            BTC,
            MINUTE,
            start_ms + number * 60_000,
            *(Decimal(price) for price in prices.get(number, flat)),
            volume=D(1),
            trades=1,
        )
        for number in range(until)
    ]


def reads_with(prices: dict[int, tuple[str, ...]], source: PriceSource = LAST) -> Asked:
    reads = Asked(BTC="60000")
    reads.history[BTC, source] = history(prices)
    return reads


def downtime(box: Box) -> Downtime | None:
    return box.latest(names.feed("paper")).downtime


def causes(box: Box) -> Iterable[str]:
    return box.actor(names.PORTFOLIO).causes


async def settle(box: Box, price: str | None = "60000") -> None:
    """Start, let the first price come, and give the venue its time to answer."""
    await box.start(*([] if price is None else [price]))
    await box.soon(1)


def lives(perform, reads: Asked, first, second, **options) -> None:
    """One life that ends as by SIGKILL, ten minutes of nothing, and another."""

    async def killed(box: Box) -> None:
        await first(box)
        box.kill()

    perform(killed, second, reads=reads, pause_s=MINUTES * 60, **options)


async def opened(box: Box, plan=None, **others) -> None:
    await box.start("60000")
    await box.open(plan=plan or stop_at("59000", ("61000", "0.5")), **others)
    await box.soon(2)


def test_a_stop_crossed_while_down_fires_at_the_price_there_is_now(perform):
    async def second(box: Box) -> None:
        await settle(box, "59990")
        position = box.position()
        assert position.status is PositionStatus.CLOSED
        assert position.exit_reason is ExitReason.STOP_LOSS
        assert position.fills[-1].price == 59_990
        trigger = position.exits[0].trigger
        assert (trigger.price, trigger.level, trigger.while_down) == (58_950, 59_000, True)
        assert trigger.tick_id == "1m candle of 2026-01-02T00:03:00Z"
        found = downtime(box)
        assert (found.positions, found.stops, found.targets, found.unchecked) == (1, 1, 0, {})
        assert 595 < found.offline_s < 612
        assert CATCHING_UP not in causes(box)

    reads = reads_with({3: ("60000", "60000", "58950", "60000")})
    lives(perform, reads, opened, second)


def test_a_target_crossed_while_down_closes_its_part_and_the_stop_stays(perform):
    async def second(box: Box) -> None:
        await settle(box)
        position = box.position()
        assert position.exits[0].reason is ExitReason.TAKE_PROFIT
        assert position.remaining * 2 == position.entry_quantity
        assert box.levels() == {"stop": 59_000}
        assert downtime(box).targets == 1

    lives(perform, reads_with({3: ("60000", "61000", "60000", "60000")}), opened, second)


def test_a_candle_through_stop_and_target_is_the_stop(perform):
    async def second(box: Box) -> None:
        await settle(box)
        assert [each.exit_id for each in box.position().exits] == ["stop"]

    lives(perform, reads_with({3: ("60000", "61500", "58500", "60000")}), opened, second)


def test_nothing_crossed_is_said_and_nothing_is_done(perform):
    async def second(box: Box) -> None:
        await settle(box)
        assert box.position().status is PositionStatus.OPEN_PROTECTED
        found = downtime(box)
        assert (found.positions, found.stops, found.unchecked) == (1, 0, {})
        assert not [
            event
            for event in box.journal(names.position(pid()))
            if "Judged" in type(event).__name__
        ]

    lives(perform, reads_with({}), opened, second)


def test_the_candle_in_which_a_position_was_armed_does_not_count(perform):
    async def second(box: Box) -> None:
        await settle(box)
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    lives(perform, reads_with({0: ("60000", "60000", "50000", "60000")}), opened, second)


def test_a_trail_follows_what_happened_while_down(perform):
    async def first(box: Box) -> None:
        await opened(box, stop_at(None, trail_distance=D(500)))

    async def second(box: Box) -> None:
        await settle(box, "60300")
        assert box.levels()["trail"] == pytest.approx(60_200)
        box.say("60190")
        await box.soon()
        assert box.position().exit_reason is ExitReason.TRAILING_STOP

    prices = ("60300", "60700", "60300", "60300")
    lives(perform, reads_with(dict.fromkeys(range(3, 30), prices)), first, second)


def test_a_trail_crossed_while_down_fires(perform):
    async def first(box: Box) -> None:
        await opened(box, stop_at(None, trail_distance=D(500)))

    async def second(box: Box) -> None:
        await settle(box)
        assert box.position().exit_reason is ExitReason.TRAILING_STOP
        assert downtime(box).trails == 1

    rise, fall = ("60000", "60700", "60000", "60700"), ("60700", "60700", "60100", "60100")
    lives(perform, reads_with({3: rise, 4: fall}), first, second)


def test_a_trail_crossed_while_down_is_judged_by_the_best_price_of_the_life_before(perform):
    async def first(box: Box) -> None:
        await opened(box, stop_at(None, trail_distance=D(500)))
        box.say("61000", "60600")
        await box.soon(2)

    async def second(box: Box) -> None:
        await settle(box, "60600")
        trigger = box.position().exits[0].trigger
        assert (trigger.level, trigger.price, trigger.while_down) == (60_500, 60_450, True)

    quiet = dict.fromkeys(range(1, 30), ("60600",) * 4)
    fall = ("60600", "60600", "60450", "60600")
    lives(perform, reads_with({**quiet, 3: fall}), first, second)


def test_candles_are_judged_once_the_venue_has_told_of_orders_and_fills(perform):
    async def second(box: Box) -> None:
        box.venue.reads_fail = True
        await settle(box)
        await box.soon(20)
        assert reads.count("1m candles of last") == 0
        assert not box.position().exits
        box.venue.reads_fail = False
        await box.soon(3)
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert CATCHING_UP not in causes(box)

    reads = reads_with({3: ("60000", "60000", "58950", "60000")})
    lives(perform, reads, opened, second)


def test_a_position_that_a_price_has_closed_meanwhile_is_not_waited_for(perform):
    async def second(box: Box) -> None:
        await box.start("58900")
        await box.soon(3)
        assert box.position().status is PositionStatus.CLOSED
        assert downtime(box).unchecked == {}
        assert DOWNTIME_UNCHECKED not in box.ears.codes()

    reads = reads_with({})
    reads.latency_s = 2
    lives(perform, reads, opened, second)


def test_an_exit_that_watches_the_mark_is_judged_by_candles_of_the_mark(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open(plan=stop_at("59000", watches=MARK))
        await box.soon(2)

    async def second(box: Box) -> None:
        await settle(box)
        assert box.position().exits[0].trigger.source is MARK
        assert reads.count("1m candles of last") == 0

    reads = reads_with({3: ("60000", "60000", "58950", "60000")}, MARK)
    reads.history[BTC, LAST] = history({})
    lives(perform, reads, first, second)


def test_entries_wait_until_the_past_is_known(perform):
    async def second(box: Box) -> None:
        await box.start("60000")
        assert CATCHING_UP in causes(box)
        await box.soon(5)
        assert CATCHING_UP not in causes(box)

    reads = reads_with({})
    reads.latency_s = 2
    lives(perform, reads, opened, second)


def test_where_the_venue_cannot_be_asked_the_first_price_judges(perform):
    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(20)
        assert box.levels()["stop"] == 59_000
        assert downtime(box).unchecked == {BTC: "HTTP 502"}
        assert DOWNTIME_UNCHECKED in box.ears.codes()
        assert CATCHING_UP not in causes(box)
        box.say("58900")
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert not box.position().exits[0].trigger.while_down

    reads = Asked(BTC="60000")
    reads.history[BTC, LAST] = Unknown("HTTP 502")
    lives(perform, reads, opened, second)


def test_a_venue_that_fails_once_is_asked_again(perform):
    async def second(box: Box) -> None:
        reads.history[BTC, LAST] = Unknown("HTTP 502")
        await settle(box)
        reads.history[BTC, LAST] = history({3: ("60000", "60000", "58950", "60000")})
        await box.soon(5)
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    reads = Asked(BTC="60000")
    lives(perform, reads, opened, second)


def test_a_downtime_that_was_not_checked_before_the_next_crash_is_checked_then(perform):
    reads = Asked(BTC="60000", latency_s=0.05)
    reads.history[BTC, LAST] = history({3: ("60000", "60000", "58950", "60000")}, until=60)

    async def first(box: Box) -> None:
        await opened(box)
        box.kill()

    async def second(box: Box) -> None:
        reads.latency_s = 60
        await box.start("60000")
        await box.soon(15)  # long enough to leave signs of this life in the journal
        assert downtime(box) is None
        box.kill()

    async def third(box: Box) -> None:
        reads.latency_s = 0.05
        await settle(box)
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert downtime(box).offline_s > 2 * MINUTES * 60

    perform(first, second, third, reads=reads, pause_s=MINUTES * 60)


def test_it_is_done_once_and_not_again_when_the_feed_restarts(perform):
    async def second(box: Box) -> None:
        await settle(box)
        asked = reads.count("1m candles of last")
        assert asked >= 1
        await box.restarted(names.FEED)
        box.say("60000")
        await box.soon(5)
        assert reads.count("1m candles of last") == asked
        assert box.actor(names.CATCH_UP) is None

    reads = reads_with({})
    lives(perform, reads, opened, second)


def test_the_catch_up_that_crashes_begins_anew(perform):
    async def second(box: Box) -> None:
        await box.start("60000")
        box.killed(names.CATCH_UP)
        await box.soon(8)
        assert len(box.position().exits) == 1
        assert CATCHING_UP not in causes(box)

    reads = reads_with({3: ("60000", "60000", "58950", "60000")})
    reads.latency_s = 1
    lives(perform, reads, opened, second)


def test_the_catch_up_that_crashes_and_finds_nothing_left_lets_entries_go_on(perform):
    async def second(box: Box) -> None:
        await box.start("58900")
        await box.soon(1)
        assert box.position().status is PositionStatus.CLOSED
        assert CATCHING_UP in causes(box)
        box.killed(names.CATCH_UP)
        await box.soon(1)
        assert CATCHING_UP not in causes(box)

    reads = reads_with({})
    reads.latency_s = 5
    lives(perform, reads, opened, second)


def test_many_positions_are_checked_with_one_question_a_symbol(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 6):
            stop = "59000" if number == 1 else "58000"
            await box.open(number=number, plan=stop_at(stop))
        await box.open(number=6, direction=Direction.SHORT, plan=stop_at("62000"))
        await box.soon(1)

    async def second(box: Box) -> None:
        await settle(box)
        closed = [n for n in range(1, 7) if box.position(n).status is PositionStatus.CLOSED]
        assert closed == [1]
        assert (downtime(box).positions, downtime(box).stops) == (6, 1)
        assert reads.count("1m candles of last") == 1

    reads = reads_with({3: ("60000", "60000", "58950", "60000")})
    lives(perform, reads, first, second)


def test_a_symbol_without_a_price_is_checked_all_the_same_and_exits_when_there_is_one(perform):
    async def second(box: Box) -> None:
        reads.prices.clear()
        await settle(box, None)
        await box.soon(12)
        assert downtime(box).stops == 1
        assert box.position().status is not PositionStatus.CLOSED
        box.say("59500")
        await box.soon(8)
        assert box.position().status is PositionStatus.CLOSED
        assert box.position().fills[-1].price == 59_500

    reads = reads_with({3: ("60000", "60000", "58950", "60000")})
    lives(perform, reads, opened, second)


def test_the_price_asked_for_is_market_enough_when_the_stream_stays_away(perform):
    async def second(box: Box) -> None:
        reads.prices[BTC] = "59700"
        await settle(box, None)
        await box.soon(4)
        assert box.position().status is PositionStatus.CLOSED
        assert box.position().fills[-1].price == 59_700

    reads = reads_with({3: ("60000", "60000", "58950", "60000")})
    lives(perform, reads, opened, second)


def test_a_clock_set_back_is_said(perform):
    async def second(box: Box) -> None:
        await settle(box)
        assert "set back" in downtime(box).unchecked[BTC]

    async def killed(box: Box) -> None:
        await opened(box)
        box.kill()

    perform(killed, second, reads=reads_with({}), pause_s=-3600)


def test_without_positions_or_without_a_life_before_nobody_is_asked(perform):
    reads = Asked(BTC="60000")

    async def first(box: Box) -> None:
        await box.start("60000")
        await box.soon(2)
        assert CATCHING_UP not in causes(box)

    async def second(box: Box) -> None:
        await settle(box)
        assert reads.count("1m candles of last") == 0
        assert box.actor(names.CATCH_UP) is None

    perform(first, second, reads=reads)


def test_an_orderly_stop_counts_from_its_end(perform):
    async def first(box: Box) -> None:
        await opened(box)
        await box.soon(7)  # nothing moves

    async def second(box: Box) -> None:
        await settle(box)
        assert downtime(box).offline_s == pytest.approx(MINUTES * 60, abs=1)

    perform(first, second, reads=reads_with({}), pause_s=MINUTES * 60)


def test_other_symbols_are_checked_though_one_cannot_be(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        await box.open(number=1)
        await box.open("0.1", number=2, symbol=ETH, plan=stop_at("2900"))
        await box.soon(1)

    async def second(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        await box.soon(12)
        assert box.position(1).status is PositionStatus.CLOSED
        assert box.position(2).status is PositionStatus.OPEN_PROTECTED
        assert downtime(box).unchecked == {ETH: "nobody answers"}

    reads = reads_with({3: ("60000", "60000", "58950", "60000")})
    reads.prices[ETH] = "3000"
    lives(perform, reads, first, second)


def test_a_downtime_that_nobody_can_be_asked_about_is_told_as_unchecked(perform):
    async def second(box: Box) -> None:
        await settle(box)
        found = downtime(box)
        assert found.positions == 1
        assert "market.rest_url is not" in found.unchecked[BTC]
        assert "DOWNTIME_UNCHECKED" in dict(box.parts.world.telemetry.alarms)
        assert CATCHING_UP not in causes(box)
        assert box.levels()["stop"] == 59_000

    lives(perform, None, opened, second)
