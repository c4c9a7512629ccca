"""Indicators equal their definitions, computed the long way round."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.indicators import Atr, Average, Donchian, Rsi, atr, ema, rsi, wilder

_values = st.lists(st.integers(1, 10_000).map(lambda cents: cents / 100), max_size=60)


def after_all(indicator, values):
    for value in values:
        indicator = indicator.after(value)
    return indicator


def smoothed(values, period, alpha):
    """Return the mean of the first `period` values, then the recursion; None when too short."""
    if len(values) < period:
        return None
    level = sum(values[:period]) / period
    for value in values[period:]:
        level = alpha * value + (1 - alpha) * level
    return level


@given(_values, st.integers(1, 20))
def test_an_ema_is_its_definition(values, period):
    expected = smoothed(values, period, 2 / (period + 1))

    assert after_all(ema(period), values).value == pytest.approx(expected)


@given(_values, st.integers(1, 20))
def test_wilders_average_forgets_one_part_in_period(values, period):
    expected = smoothed(values, period, 1 / period)

    assert after_all(wilder(period), values).value == pytest.approx(expected)


def test_an_ema_of_ten_closes_as_chartschool_shows_it():
    # StockCharts ChartSchool, "Moving Averages": the 10-day EMA of its example.
    closes = [22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29]
    average = after_all(ema(10), closes)

    shown = [average.value]
    for close in (22.15, 22.39, 22.38, 22.61, 23.36):
        average = average.after(close)
        shown.append(average.value)

    assert shown == pytest.approx([22.22, 22.21, 22.24, 22.27, 22.33, 22.52], abs=0.005)


def test_an_rsi_as_chartschool_shows_it():
    # StockCharts ChartSchool, "Relative Strength Index"; its closes are printed rounded.
    closes = [44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42, 45.84, 46.08, 45.89, 46.03]
    closes += [45.61, 46.28, 46.28]

    assert after_all(rsi(14), closes).value == pytest.approx(70.53, abs=0.1)
    assert after_all(rsi(14), [*closes, 46.00]).value == pytest.approx(66.32, abs=0.1)


@given(_values, st.integers(1, 20))
def test_an_rsi_is_its_definition(values, period):
    moves = [b - a for a, b in pairwise(values)]
    gain = smoothed([max(move, 0.0) for move in moves], period, 1 / period)
    loss = smoothed([max(-move, 0.0) for move in moves], period, 1 / period)
    if gain is None:
        expected = None
    elif gain == loss == 0:
        expected = 50.0
    else:
        expected = 100.0 if loss == 0 else 100 - 100 / (1 + gain / loss)

    assert after_all(rsi(period), values).value == pytest.approx(expected)


@given(
    st.lists(st.tuples(*[st.integers(100, 200)] * 3), max_size=60),
    st.integers(1, 20),
)
def test_an_atr_is_its_definition(candle, rows, period):
    bars = [sorted(row) for row in rows]  # low, close, high
    ranges = [
        max(high - low, *(abs(end - before[1]) for before in previous for end in (high, low)))
        if (previous := bars[max(number - 1, 0) : number])
        else high - low
        for number, (low, _, high) in enumerate(bars)
    ]

    result = after_all(atr(period), [candle(mid, high=hi, low=lo) for lo, mid, hi in bars])

    assert result.value == pytest.approx(smoothed(ranges, period, 1 / period))


def test_a_gap_counts_in_the_true_range(candle):
    ranges = atr(2).after(candle(100, high=101, low=99)).after(candle(110, high=111, low=109))

    assert ranges.value == (2 + 11) / 2


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), max_size=40), st.integers(1, 9))
def test_a_channel_holds_the_extremes_of_its_bars(candle, rows, period):
    channel = Donchian(period)
    for row in rows:
        channel = channel.after(candle(min(row), high=max(row), low=min(row)))

    last = rows[-period:]
    full = len(rows) >= period
    assert channel.upper == (max(map(max, last)) if full else None)
    assert channel.lower == (min(map(min, last)) if full else None)


@pytest.mark.parametrize(
    ("indicator", "kind"),
    [(ema(3), Average), (atr(3), Atr), (rsi(3), Rsi), (Donchian(3), Donchian)],
)
def test_indicators_survive_being_saved_bit_by_bit(candle, indicator, kind):
    for close in (100.1, 100.7, 99.3, 101.9):
        takes_candle = isinstance(indicator, (Atr, Donchian))
        indicator = indicator.after(candle(close) if takes_candle else close)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(indicator), type=kind) == indicator
