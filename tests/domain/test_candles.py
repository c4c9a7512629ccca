"""Candles are regular, immutable, exact and honest, whatever order trades come in."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candles import MAX_MISSING, CandleBook, CandleBuilder, Timeframe, TimeframeError
from domain.ids import Symbol

BTC = Symbol("BTC/USDT")
SECOND = Timeframe.parse("1s")
T0 = 1_723_161_300_000  # a multiple of a minute


def builder(timeframe="1s"):
    return CandleBuilder(BTC, Timeframe.parse(timeframe))


def trade(target, price, at_ms, quantity="1"):
    return target.on_trade(float(price), price, quantity, T0 + at_ms)


def prices(candle):
    return tuple(str(x) for x in (candle.open, candle.high, candle.low, candle.close))


# Timeframes


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1s", 1_000),
        ("5s", 5_000),
        ("1m", 60_000),
        ("15m", 900_000),
        ("1h", 3_600_000),
        ("4h", 14_400_000),
        ("1d", 86_400_000),
    ],
)
def test_a_timeframe_is_read_and_printed(text, ms):
    timeframe = Timeframe.parse(text)

    assert timeframe.ms == ms
    assert str(timeframe) == text


def test_timeframes_of_one_length_are_equal_however_they_are_written():
    assert Timeframe.parse("60s") == Timeframe.parse("1m")
    assert str(Timeframe.parse("60s")) == "1m"


@pytest.mark.parametrize(
    "text", ["", "s", "5", "0s", "-1m", "1.5m", "1w", "5 m", "1M", "٣s", "999999999s", "1mm"]
)
def test_text_that_is_no_timeframe_is_named_in_the_error(text):
    with pytest.raises(TimeframeError, match="is not a timeframe; write") as raised:
        Timeframe.parse(text)
    assert repr(text) in str(raised.value)


def test_a_timeframe_that_does_not_divide_a_day_is_refused():
    with pytest.raises(TimeframeError, match="'7s' does not divide a day"):
        Timeframe.parse("7s")


# One builder


def test_a_candle_closes_with_the_first_trade_after_it():
    candles = builder()
    assert trade(candles, "100.10", 10, "0.5") == ()
    assert trade(candles, "100.30", 20, "0.25") == ()
    assert trade(candles, "100.00", 30, "0.125") == ()
    assert trade(candles, "100.20", 999, "0.1") == ()

    (candle,) = trade(candles, "101", 1000)

    assert prices(candle) == ("100.10", "100.30", "100.00", "100.20")
    assert candle.volume == Decimal("0.975")
    assert candle.trades == 4
    assert (candle.symbol, candle.timeframe) == (BTC, SECOND)
    assert (candle.open_ms, candle.close_ms) == (T0, T0 + 1000)


def test_a_candle_begins_at_a_multiple_of_its_timeframe():
    candles = builder("5s")
    trade(candles, "100", 7_300)

    (candle,) = trade(candles, "101", 10_000)

    assert candle.open_ms == T0 + 5_000


def test_the_order_of_trades_within_the_open_candle_does_not_matter_for_high_low_and_volume():
    candles = builder()
    trade(candles, "100", 500)
    trade(candles, "90", 100)
    trade(candles, "110", 300)

    (candle,) = trade(candles, "100", 1000)

    assert prices(candle) == ("100", "110", "90", "110")
    assert (candle.trades, candles.late) == (3, 0)


def test_quiet_intervals_are_filled_with_flat_candles_at_the_last_close():
    candles = builder()
    trade(candles, "100", 0)
    trade(candles, "102", 1)

    closed = trade(candles, "105", 3_500)

    assert [candle.open_ms - T0 for candle in closed] == [0, 1000, 2000]
    assert [prices(candle) for candle in closed[1:]] == [("102",) * 4] * 2
    assert [(candle.volume, candle.trades) for candle in closed[1:]] == [(0, 0)] * 2
    (after,) = trade(candles, "106", 4_000)
    assert prices(after) == ("105",) * 4


def test_time_closes_candles_when_nobody_trades():
    candles = builder()
    trade(candles, "100", 0)

    assert candles.close_until(T0 + 999) == ()
    assert [candle.trades for candle in candles.close_until(T0 + 2_500)] == [1, 0]
    assert candles.close_until(T0 + 2_999) == ()
    (third,) = trade(candles, "101", 3_000)
    assert (third.open_ms, third.trades) == (T0 + 2_000, 0)


def test_time_closes_nothing_before_the_first_trade():
    assert builder().close_until(T0) == ()


def test_a_late_trade_for_a_closed_candle_is_counted_and_ignored():
    candles = builder()
    trade(candles, "100", 500)
    trade(candles, "100", 1_500)

    assert trade(candles, "999", 999) == ()

    assert candles.late == 1
    (candle,) = trade(candles, "100", 2_000)
    assert prices(candle) == ("100",) * 4


def test_a_trade_that_comes_after_time_closed_its_candle_is_late():
    candles = builder()
    trade(candles, "100", 0)
    candles.close_until(T0 + 1_000)

    assert trade(candles, "999", 999) == ()

    assert candles.late == 1


def test_the_longest_silence_that_is_filled():
    candles = builder()
    trade(candles, "100", 0)

    closed = trade(candles, "101", (MAX_MISSING + 1) * 1_000)

    assert len(closed) == MAX_MISSING + 1
    assert candles.restarts == 0


@pytest.mark.parametrize("by_time", [True, False])
def test_a_longer_silence_restarts_the_series_and_says_so(by_time):
    candles = builder()
    trade(candles, "100", 0)
    later = (MAX_MISSING + 2) * 1_000

    closed = candles.close_until(T0 + later) if by_time else trade(candles, "101", later)

    assert [candle.open_ms for candle in closed] == [T0]
    assert candles.restarts == 1
    assert trade(candles, "101", later + 10) == ()
    (candle,) = trade(candles, "102", later + 1_000)
    assert (candle.open_ms, candle.whole) == (T0 + later, False)


def test_after_a_restart_a_closed_interval_stays_closed():
    candles = builder()
    trade(candles, "100", 0)
    candles.close_until(T0 + 10_000_000)

    assert trade(candles, "100", 500) == ()

    assert candles.late == 1
    assert trade(candles, "100", 10_000_500) == ()


def test_one_stamp_far_in_the_future_does_not_silence_the_series():
    candles = builder()
    trade(candles, "100", 0)
    (first,) = trade(candles, "101", 10**10)

    assert trade(candles, "102", 500) == ()  # its candle is closed
    assert trade(candles, "103", 1_500) == ()
    (second,) = trade(candles, "104", 2_000)

    assert first.open_ms == T0
    assert (second.open_ms, prices(second)) == (T0 + 1_000, ("103",) * 4)
    assert (candles.late, candles.restarts) == (1, 2)


def test_a_trade_just_before_the_first_one_is_late():
    candles = builder()
    trade(candles, "100", 0)

    assert trade(candles, "100", -1) == ()

    assert candles.late == 1


def test_the_first_candle_is_not_whole_and_the_next_one_is():
    candles = builder()
    trade(candles, "100", 0)

    (first,) = trade(candles, "100", 1_000)
    (second,) = trade(candles, "100", 2_000)

    assert (first.whole, second.whole) == (False, True)


def test_candles_that_began_before_the_end_of_a_hole_are_not_whole():
    candles = builder()
    trade(candles, "100", 0)
    trade(candles, "100", 1_000)
    candles.unseen_until(T0 + 3_200)

    closed = trade(candles, "100", 5_000)

    assert [candle.whole for candle in closed] == [False, False, False, True]


def test_decimals_decide_where_floats_cannot_tell():
    low, high = "0.1000000000000000000001", "0.1000000000000000000002"
    assert float(low) == float(high)
    candles = builder()
    for price in (low, high, low):
        trade(candles, price, 0)

    (candle,) = trade(candles, "1", 1_000)

    assert prices(candle) == (low, high, low, low)


def test_volume_is_summed_exactly_over_many_trades():
    candles = builder("1d")
    for _ in range(1_000):
        trade(candles, "100", 0, "0.1")
    trade(candles, "100", 0, "12345678901234567890.000000000000000001")

    (candle,) = candles.close_until(T0 + 86_400_000)

    assert candle.volume == Decimal("12345678901234567990.000000000000000001")
    assert candle.trades == 1_001


# A book of several timeframes


def test_a_book_closes_by_time_and_of_one_moment_the_longer_candle_first():
    book = CandleBook(BTC, Timeframe.parse("5s"), SECOND)
    trade(book, "100", 4_500)

    closed = trade(book, "101", 6_000)

    assert [(str(candle.timeframe), candle.close_ms - T0) for candle in closed] == [
        ("5s", 5_000),
        ("1s", 5_000),
        ("1s", 6_000),
    ]


def test_a_book_closes_by_time():
    book = CandleBook(BTC, SECOND, Timeframe.parse("1m"))
    trade(book, "100", 0)

    assert book.close_until(T0 + 999) == ()
    assert [str(candle.timeframe) for candle in book.close_until(T0 + 1_000)] == ["1s"]
    assert len(book.close_until(T0 + 60_000)) == 60


def test_a_timeframe_added_later_begins_with_the_next_trade():
    book = CandleBook(BTC, SECOND)
    trade(book, "100", 0, "5")
    book.add(Timeframe.parse("1m"))
    book.add(SECOND)
    trade(book, "101", 500, "7")

    closed = book.close_until(T0 + 60_000)

    assert book.timeframes == (SECOND, Timeframe.parse("1m"))
    assert closed[0].volume == 12
    assert (closed[-2].timeframe, closed[-2].volume) == (Timeframe.parse("1m"), 7)


def test_a_book_without_timeframes_takes_trades_and_gives_nothing():
    book = CandleBook(BTC)

    assert trade(book, "100", 0) == ()
    assert book.close_until(T0 + 10**9) == ()


def test_a_book_counts_late_trades_and_restarts_for_each_timeframe():
    book = CandleBook(BTC, SECOND, Timeframe.parse("1m"))
    trade(book, "100", 0)
    trade(book, "100", 60_000)
    trade(book, "100", 59_000)
    trade(book, "100", 60_000 + 1_000_000)

    assert (book.late, book.restarts) == (2, 1)


def test_a_hole_is_noted_in_every_timeframe():
    book = CandleBook(BTC, SECOND, Timeframe.parse("2s"))
    trade(book, "100", 0)
    book.close_until(T0 + 4_000)
    book.unseen_until(T0 + 5_000)

    closed = book.close_until(T0 + 8_000)

    assert [(str(candle.timeframe), candle.whole) for candle in closed] == [
        ("1s", False),
        ("2s", False),
        ("1s", True),
        ("1s", True),
        ("2s", True),
        ("1s", True),
    ]


# Properties

_trades = st.lists(
    st.tuples(
        st.integers(-2_500, 4_000),  # ms since the trade before
        st.integers(9_990, 10_010),  # price in cents
        st.integers(1, 500),  # quantity in thousandths
    ),
    max_size=60,
)
_wild_trades = st.lists(  # with silences and stamps that no series can follow
    st.tuples(
        st.integers(-2_500, 4_000) | st.sampled_from([-2_000_000, -600_000, 600_000, 2_000_000]),
        st.integers(9_990, 10_010),
        st.integers(1, 500),
    ),
    max_size=40,
)


def _stamped(steps):
    at = T0
    for step, price, quantity in steps:
        at += step
        yield f"{price / 100:.2f}", f"{quantity / 1000:.3f}", at


@given(_trades)
def test_candles_equal_those_of_an_exact_pass_over_the_trades(steps):
    candles = builder("5s")
    closed, buckets, newest = [], {}, None
    for price, quantity, at in _stamped(steps):
        closed += candles.on_trade(float(price), price, quantity, at)
        bucket = at // 5_000
        newest = bucket if newest is None else newest
        if bucket >= newest:
            newest = bucket
            buckets.setdefault(bucket, []).append((Decimal(price), Decimal(quantity)))
    closed += candles.close_until(candles.end_ms)

    expected, close = [], None
    for bucket in range(min(buckets, default=0), max(buckets, default=-1) + 1):
        rows = buckets.get(bucket, [])
        shown = [price for price, _ in rows] or [close]
        close = shown[-1]
        volume = sum((quantity for _, quantity in rows), Decimal(0))
        expected.append(
            (bucket * 5_000, shown[0], max(shown), min(shown), close, volume, len(rows))
        )
    assert [
        (c.open_ms, c.open, c.high, c.low, c.close, c.volume, c.trades) for c in closed
    ] == expected
    assert candles.late == len(steps) - sum(map(len, buckets.values()))


@given(_wild_trades)
def test_no_interval_is_closed_twice_and_candles_come_in_order(steps):
    candles = builder()
    closed = []
    for price, quantity, at in _stamped(steps):
        closed += candles.on_trade(float(price), price, quantity, at)

    opens = [candle.open_ms for candle in closed]
    assert opens == sorted(set(opens))


@given(
    _wild_trades,
    st.lists(st.sampled_from(["1s", "2s", "5s", "15s", "1m"]), min_size=1, unique=True),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9_000)), max_size=5),
)
def test_a_book_gives_what_separate_builders_give(steps, timeframes, closings):
    book = CandleBook(BTC, *map(Timeframe.parse, timeframes))
    builders = [builder(timeframe) for timeframe in timeframes]
    from_book, from_builders = [], []
    for number, (price, quantity, at) in enumerate(_stamped(steps)):
        from_book += book.on_trade(float(price), price, quantity, at)
        for each in builders:
            from_builders += each.on_trade(float(price), price, quantity, at)
        for _, ahead in (closing for closing in closings if closing[0] == number):
            from_book += book.close_until(at + ahead)
            for each in builders:
                from_builders += each.close_until(at + ahead)

    for timeframe in map(Timeframe.parse, timeframes):
        assert [c for c in from_book if c.timeframe == timeframe] == [
            c for c in from_builders if c.timeframe == timeframe
        ]
    assert book.late == sum(each.late for each in builders)
