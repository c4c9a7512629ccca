"""Silent symbols: quiet or stale, what goes on meanwhile, and how often the venue is asked."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from actors import names
from domain.freshness import Trust
from domain.instrument import PriceSource
from domain.portfolio import equity
from domain.position import PositionStatus
from domain.protection import ExitReason
from exchanges.port import Unknown
from tests.actors.asked import Asked
from tests.actors.box import BTC, CONFIG, ETH, Box, D, stop_at

MANUAL = names.trader("manual")


def price(box: Box, symbol=BTC):
    return box.parts.world.prices.prices[symbol]


async def try_to_open(box: Box, number: int = 9):
    request = box.request(number=number)
    return await box.ask(MANUAL, lambda request_id: replace(request, request_id=request_id))


async def live(box: Box, seconds: float, symbol=BTC) -> None:
    """Let a symbol trade at changing prices for a while."""
    for number in range(int(seconds * 2)):
        box.say(str(60_000 + number % 3), symbol=symbol)
        await box.soon(0.5)


def test_a_symbol_that_trades_is_not_asked_for(perform):
    reads = Asked(BTC="60000", ETH="3000")

    async def play(box: Box) -> None:
        await box.start("60000")
        await live(box, 20)
        assert reads.count() <= 1  # none, or the one at the start
        assert price(box).source == "stream"

    perform(play, reads=reads)


def test_a_silent_symbol_whose_price_the_venue_confirms_is_quiet_and_may_be_entered(perform):
    reads = Asked(BTC="60000.00")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(12)
        assert price(box).trust is Trust.QUIET
        assert price(box).source == "quiet"
        assert box.parts.world.prices.age_s(BTC) > 10
        assert (await try_to_open(box)).refusal is None
        assert box.market.runs == 1

    perform(play, reads=reads)


def test_a_silent_symbol_whose_price_is_another_is_stale_and_its_stream_is_renewed(perform):
    reads = Asked(BTC="60100")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(2.4)
        assert box.parts.world.prices.is_fresh(BTC)
        await box.soon(2.2)
        assert price(box).trust is Trust.STALE
        refusal = (await try_to_open(box)).refusal
        assert refusal.rule == "STALE_PRICE"
        assert "the venue says 60100, the stream 60000" in refusal.message.lower()
        await box.soon(3)
        assert box.market.runs == 2

    perform(play, reads=reads)


def test_a_symbol_that_cannot_be_asked_for_is_stale_but_the_stream_is_left_alone(perform):
    reads = Asked()

    async def play(box: Box) -> None:
        await box.start("60000")
        for _ in range(20):
            box.say("3000", symbol=ETH)
            await box.soon(1)
        assert price(box).trust is Trust.STALE
        assert "nobody answers" in price(box).why
        assert (await try_to_open(box)).refusal.rule == "STALE_PRICE"
        assert box.market.runs == 1
        box.say("60001")
        await box.soon(1.5)
        assert price(box).trust is Trust.LIVE
        assert (await try_to_open(box)).refusal is None

    perform(play, reads=reads)


def test_a_stop_fires_on_a_price_that_was_asked_for(perform):
    reads = Asked(BTC="58900")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000"))
        await box.soon(6)
        position = box.position()
        assert position.status is PositionStatus.CLOSED
        assert position.exit_reason is ExitReason.STOP_LOSS
        trigger = position.exits[0].trigger
        assert (trigger.price, trigger.tick_id) == (58_900, "asked")
        assert position.fills[-1].price == 58_900
        assert "FEED_STALE" in box.ears.codes()

    perform(play, reads=reads)


def test_while_the_stream_is_down_guards_act_on_asked_prices_and_entries_are_refused(perform):
    reads = Asked(BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", ("61000", "0.5")))
        box.feed.on_disconnected("the line is cut")
        await box.soon(5)
        assert 4 <= reads.count() <= 7
        reads.prices[BTC] = "61000"
        await box.soon(2)
        assert box.position().remaining * 2 == box.position().entry_quantity
        assert price(box).source == "fallback"
        assert (await try_to_open(box)).refusal is not None
        reads.prices[BTC] = "59000"
        await box.soon(2)
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        asked = reads.count()
        await box.soon(10)
        assert reads.count() <= asked + 1  # nobody holds anything any more

    perform(play, reads=reads)


def test_a_wild_price_asked_for_waits_for_contradiction_as_any_other(perform):
    reads = Asked(BTC="57000")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000"))
        box.feed.on_disconnected("the line is cut")
        while not reads.asked:
            await box.soon(0.1)
        reads.prices[BTC] = "60010"
        await box.soon(0.2)
        assert not box.position().exits
        assert price(box).last == "60000"
        box.say("60010")
        await box.soon(3)
        assert not box.position().exits

    perform(play, reads=reads)


@pytest.mark.parametrize("source", [PriceSource.MARK, PriceSource.BID])
def test_an_exit_that_watches_another_price_is_not_blind_either(perform, source):
    reads = Asked(BTC="60000")
    reads.marks[BTC] = "58999"
    reads.books[BTC] = ("58999", "59001")

    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.quote("59999", "60001")
        box.market.mark("60000")
        await box.open(plan=stop_at("59000", watches=source))
        box.feed.on_disconnected("the line is cut")
        await box.soon(3)
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert box.position().exits[0].trigger.source is source

    perform(play, reads=reads)


@pytest.mark.parametrize("source", [PriceSource.MARK, PriceSource.BID])
def test_nor_is_it_where_the_stream_tells_trades_and_nothing_else_any_more(perform, source):
    reads = Asked(BTC="60000")
    reads.marks[BTC] = "60000"
    reads.books[BTC] = ("59999", "60001")

    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.quote("59999", "60001")
        box.market.mark("60000")
        await box.open(plan=stop_at("59000", watches=source))
        await live(box, 14)
        assert not reads.count("mark") + reads.count("book")
        reads.marks[BTC] = "58999"
        reads.books[BTC] = ("58999", "59001")
        await live(box, 3)
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert box.position().exits[0].trigger.source is source

    perform(play, reads=reads)


@pytest.mark.parametrize("source", [PriceSource.MARK, PriceSource.ASK])
def test_what_nobody_tells_and_nobody_answers_is_said_once(perform, source):
    reads = Asked(BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.quote("59999", "60001")
        box.market.mark("60000")
        await box.open(plan=stop_at("59000", watches=source))
        await live(box, 29)
        assert "FEED_STALE" not in box.ears.codes()
        await live(box, 30)
        assert box.ears.codes().count("FEED_STALE") == 1
        reads.marks[BTC] = "60000"
        reads.books[BTC] = ("59999", "60001")
        await live(box, 30)
        reads.marks.clear()
        reads.books.clear()
        await live(box, 40)  # and again, when it is so again
        assert box.ears.codes().count("FEED_STALE") == 2

    perform(play, reads=reads)


def test_what_no_exit_watches_any_more_is_neither_asked_for_nor_missed(perform):
    reads = Asked(BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open(number=1, plan=stop_at("59000", watches=PriceSource.MARK))
        await box.open(number=2, plan=stop_at("59000"))
        await box.close(number=1)
        await live(box, 60)
        assert not reads.count("mark")
        assert "FEED_STALE" not in box.ears.codes()

    perform(play, reads=reads)


def test_a_mark_that_is_asked_for_beside_trades_is_asked_for_every_three_seconds(perform):
    reads = Asked(BTC="60000")
    reads.marks[BTC] = "60000"

    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open(plan=stop_at("59000", watches=PriceSource.MARK))
        await live(box, 45)
        assert 9 <= reads.count("mark") <= 11
        assert price(box).trust is Trust.LIVE

    perform(play, reads=reads)


def test_a_loss_does_not_hide_behind_the_mark_of_a_stream_that_is_down(perform):
    reads = Asked(BTC="59100")

    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open("1", stop_at("50000"))
        box.feed.on_disconnected("the line is cut")
        await box.soon(3)
        assert price(box).source == "fallback"
        worth = equity(box.portfolio, box.parts.world.prices.marks())
        assert worth == box.portfolio.balance - 900
        box.feed.on_connected()
        box.say("60000")
        box.market.mark("60010")
        assert box.parts.world.prices.marks()[BTC] == 60_010

    perform(play, reads=reads)


def test_nor_behind_one_that_nobody_tells_any_more_while_the_symbol_trades(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open("1", stop_at("30000"))
        for number in range(30):
            box.say(str(59_900 - 100 * number))
            await box.soon(1.1)
        worth = equity(box.portfolio, box.parts.world.prices.marks())
        assert worth == box.portfolio.balance - 3000
        box.market.mark("57050")
        assert box.parts.world.prices.marks()[BTC] == 57_050

    perform(play)


def test_one_trade_far_above_the_market_is_no_peak_to_fall_from(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("1.5", stop_at("50000"))
        before = box.portfolio.high_water_mark
        box.say("80000")
        await box.soon(0.4)  # longer than a suspected spike waits, and no beat in between
        box.market.quote("60090", "60100")
        await box.soon(2)
        assert box.portfolio.high_water_mark < before + 200
        box.say("60000")
        await box.soon(2)
        assert not box.portfolio.causes
        assert box.position().remaining

    perform(play, config=CONFIG.replace("total_drawdown_ratio: 1", "total_drawdown_ratio: 0.2"))


@pytest.mark.parametrize(("bid", "ask"), [("30000", "30001"), ("90000", "90001")])
def test_nor_is_a_quote_far_from_all_others_a_loss_or_a_peak(perform, bid, ask):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.quote("59999", "60001")
        await box.open("1.5", stop_at("50000"))
        for _ in range(30):  # at some of them equity is judged
            box.market.quote(bid, ask)
            await box.soon(0.1)
            box.market.quote("59999", "60001")
            await box.soon(0.97)
        assert not box.portfolio.causes
        assert box.position().remaining

    perform(play, config=CONFIG.replace("total_drawdown_ratio: 1", "total_drawdown_ratio: 0.2"))


def test_a_fall_that_only_quotes_tell_counts_once_they_have_stood(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.quote("59999", "60001")
        await box.soon(0.1)
        for _ in range(3):
            box.market.quote("57000", "57001")
            assert box.parts.world.prices.marks()[BTC] == 60_000
            await box.soon(0.12)
        box.market.quote("56990", "56995")
        assert box.parts.world.prices.marks()[BTC] == 56_995

    perform(play)


@pytest.mark.parametrize(
    ("bid", "ask", "worth"),
    [
        ("59000", "59100", "59100"),
        ("60900", "61000", "60900"),
        ("59990", "60010", "60000"),
        ("1", "90000", "60000"),  # an empty book contradicts nothing
        ("59100", "59000", "60000"),  # nor does nonsense
        ("0", "59000", "60000"),
    ],
)
def test_without_a_mark_the_last_price_counts_within_the_quotes_since(perform, bid, ask, worth):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.soon(0.1)
        box.market.quote(bid, ask)
        assert box.parts.world.prices.marks()[BTC] == D(worth)
        await box.soon(0.1)
        box.say("60001")
        assert box.parts.world.prices.marks()[BTC] == 60_001

    perform(play)


def test_a_mark_counts_as_long_as_it_is_told_though_nobody_trades(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.mark("59900")
        await box.soon(100)
        assert box.parts.world.prices.marks()[BTC] == 59_900

    perform(play)


def test_a_recovered_trail_knows_the_best_price_that_was_asked_for(perform):
    reads = Asked(BTC="60900")

    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", trail_distance=D(500)))
        box.feed.on_disconnected("the line is cut")
        await box.soon(4)
        assert box.levels()["trail"] == pytest.approx(60_400)
        reads.prices[BTC] = "60500"
        await box.soon(2)
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60500")
        assert box.levels()["trail"] == pytest.approx(60_400)

    perform(first, second, reads=reads)


def test_what_a_frozen_stream_tells_late_fires_nothing_that_followed_a_newer_price(perform):
    reads = Asked(BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", trail_distance=D(500)))
        frozen_ms = box.market.now_ms()
        reads.prices[BTC] = "60900"
        while price(box).last != "60900":
            await box.soon(0.1)
        assert box.levels()["trail"] == pytest.approx(60_400)
        assert (price(box).last, price(box).trust) == ("60900", Trust.STALE)

        for number, late in enumerate(("60010", "60300", "58900"), start=1):
            box.market.say(late, event_ms=frozen_ms + number)
        box.market.mark("60010")
        await box.soon(0.2)
        assert not box.position().exits
        assert price(box).last == "60900"
        assert (await try_to_open(box)).refusal is not None  # it is not back yet

        box.say("60910")
        assert price(box).last == "60910"
        box.say("60390")
        await box.soon(0.2)
        assert box.position().exit_reason is ExitReason.TRAILING_STOP

    perform(play, reads=reads)


def test_a_stamp_of_the_venue_that_was_wrong_silences_its_stream_until_it_is_renewed(perform):
    reads = Asked(BTC="60100")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000"))
        box.market.say("60001", event_ms=box.market.now_ms() + 86_400_000)
        await box.soon(8)
        assert price(box).last == "60100"
        assert box.market.runs == 2
        box.say("58990")
        await box.soon(0.2)
        assert box.position().exit_reason is ExitReason.STOP_LOSS

    perform(play, reads=reads)


def test_a_mark_that_comes_while_it_is_asked_for_is_the_newer_one(perform):
    reads = Asked(BTC="60100", latency_s=0.4)
    reads.marks[BTC] = "58999"

    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open(plan=stop_at("59000", watches=PriceSource.MARK))
        while not reads.count("mark"):
            await box.soon(0.1)
        reads.marks[BTC] = "60000"
        box.market.mark("60001")
        await box.soon(0.5)
        assert box.parts.world.prices.prices[BTC].mark == "60001"

    perform(play, reads=reads)


def test_a_frozen_price_with_fresh_time_is_found_out(perform):
    reads = Asked(BTC="60500")

    async def play(box: Box) -> None:
        await box.start("60000")
        for _ in range(12):
            box.say("60000")
            box.market.quote("59999", "60001")
            await box.soon(0.5)
        assert price(box).trust is Trust.STALE
        assert box.parts.world.prices.age_s(BTC) < 1
        assert (await try_to_open(box)).refusal.rule == "STALE_PRICE"

    perform(play, reads=reads)


def test_a_stream_that_lives_and_says_nothing_is_connected_anew_but_not_all_the_time(perform):
    reads = Asked(BTC="60000", ETH="3000")

    async def play(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        for number in range(100):  # the market moves, the stream does not tell
            reads.prices[BTC] = str(60_000 + number)
            await box.soon(1)
        assert 2 <= box.market.runs <= 5

    perform(play, reads=reads)


def test_a_renewed_stream_that_tells_prices_again_is_believed(perform):
    reads = Asked(BTC="60100")

    async def play(box: Box) -> None:
        await box.start("60000")
        while box.market.runs < 2:
            await box.soon()
        box.say("60100")  # what the venue had said: nothing new, and yet from the stream
        await box.soon(3)
        assert price(box).trust is not Trust.STALE
        box.say("60101")
        await box.soon(1.5)
        assert price(box).trust is Trust.LIVE
        assert (await try_to_open(box)).refusal is None

    perform(play, reads=reads)


def test_a_tick_that_comes_while_the_venue_is_asked_wins(perform):
    reads = Asked(BTC="60000", latency_s=1)

    async def play(box: Box) -> None:
        await box.start("60000")
        while not reads.asked:
            await box.soon(0.1)
        box.say("60050")
        await box.soon(1.6)
        assert price(box).trust is Trust.LIVE
        assert box.market.runs == 1

    perform(play, reads=reads)


MANY = [f"S{number}/USDT" for number in range(100)]
RULES = [f"  {name}: {{tick_size: 0.01, lot_size: 0.001, min_notional: 5}}" for name in MANY]
MANY_CONFIG = "\n".join(
    [
        f"market: {{source: recorded, symbols: [BTC/USDT, {', '.join(MANY)}]}}",
        "instruments:",
        *RULES,
        "paper: {slippage: 0, latency_ms: 0, balance: 100000}",
        "limits: {max_positions: 1000, balance_buffer_ratio: 0}",
    ]
)


def test_a_hundred_quiet_symbols_do_not_storm_the_venue_and_a_held_one_comes_first(perform):
    reads = Asked(**{name.partition("/")[0]: "100" for name in MANY}, BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")
        for name in MANY:
            box.say("100", symbol=name)
        await box.open()
        await box.soon(120)
        times = [at for at, _, _ in reads.asked]
        for begin in range(int(times[0]), int(times[-1])):
            assert sum(1 for at in times if begin <= at < begin + 1) <= 7
        held = [at for at, _, symbol in reads.asked if symbol == BTC]
        assert max(later - at for at, later in pairwise(held)) <= 5
        trusts = {each.trust for each in box.parts.world.prices.prices.values()}
        assert trusts == {Trust.QUIET}

    perform(play, reads=reads, config=MANY_CONFIG)


def test_a_failed_read_of_a_quiet_symbol_is_forgiven_when_the_next_one_agrees(perform):
    reads = Asked(BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        await box.soon(5)
        assert price(box).trust is Trust.QUIET
        reads.prices[BTC] = Unknown("HTTP 502")
        await box.soon(5)
        assert price(box).trust is Trust.STALE
        reads.prices[BTC] = "60000"
        await box.soon(2.5)
        assert price(box).trust is Trust.QUIET

    perform(play, reads=reads)


def test_the_reads_are_let_go_of_at_the_end(perform):
    reads = Asked(BTC="60000")

    async def play(box: Box) -> None:
        await box.start("60000")

    perform(play, reads=reads)
    assert reads.is_closed
