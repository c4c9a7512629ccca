"""Closed candles of a venue are final."""

from decimal import Decimal

import pytest

from domain.candles import Candle, Timeframe
from exchanges.closed_candles import KEPT, ClosedCandles

MINUTE = Timeframe.parse("1m")


def candle(minute: int, close: str = "105", *, timeframe=MINUTE, symbol="BTC/USDT") -> Candle:
    return Candle(
        symbol=symbol,
        timeframe=timeframe,
        open_ms=minute * timeframe.ms,
        open=Decimal(100),
        high=Decimal(110),
        low=Decimal(90),
        close=Decimal(close),
        volume=Decimal(7),
        trades=1,
    )


@pytest.fixture
def taken() -> list[Candle]:
    return []


@pytest.fixture
def candles(taken) -> ClosedCandles:
    return ClosedCandles(taken.append)


def test_each_closed_candle_is_handed_on_once_in_order(candles, taken):
    for minute in (1, 1, 2, 1, 5):
        candles.on_candle(candle(minute))

    assert taken == [candle(1), candle(2), candle(5)]
    assert (candles.revised, candles.late) == (0, 0)


def test_a_candle_revised_after_its_close_is_counted_and_ignored(candles, taken):
    candles.on_candle(candle(1))
    candles.on_candle(candle(2))
    candles.on_candle(candle(1, "104"))
    candles.on_candle(candle(2, "103"))

    assert taken == [candle(1), candle(2)]
    assert candles.revised == 2


def test_a_candle_told_after_its_time_is_counted_and_ignored(candles, taken):
    candles.on_candle(candle(5))
    candles.on_candle(candle(4))

    assert taken == [candle(5)]
    assert (candles.revised, candles.late) == (0, 1)


def test_series_do_not_disturb_one_another(candles, taken):
    other = candle(1, symbol="ETH/USDT")
    longer = candle(0, timeframe=Timeframe.parse("5m"))
    for each in (candle(9), other, longer):
        candles.on_candle(each)

    assert taken == [candle(9), other, longer]


def test_it_remembers_a_bounded_number(candles, taken):
    for minute in range(KEPT + 2):
        candles.on_candle(candle(minute))
    candles.on_candle(candle(0))  # forgotten: it is late now, not known
    candles.on_candle(candle(2, "1"))

    assert len(taken) == KEPT + 2
    assert (candles.late, candles.revised) == (1, 1)
