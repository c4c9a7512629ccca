"""Indicators, one value at a time, as frozen states.

`after` returns the indicator after one more value or candle; `value` is None until enough were
seen. All are plain frozen structs, so a strategy's state can hold them and be saved.

Indicators are statistics about prices, not money: they are floats. A float becomes a price only
through `strategies.as_price`, and the core rounds that to the instrument's grid.

Sources: J. Welles Wilder, "New Concepts in Technical Trading Systems" (1978), for true range, ATR
and RSI. Averages begin as the plain mean of their first values, as in TA-Lib and StockCharts'
ChartSchool. Donchian's channel as in C. Faith, "The Original Turtle Trading Rules" (2003).
"""

import msgspec

from domain.candles import Candle


class Average(msgspec.Struct, frozen=True):
    """A moving average that forgets exponentially; made by `ema` and `wilder`.

    The mean of the first `period` values, from then on `level + alpha * (x - level)`.
    """

    period: int
    alpha: float
    seen: int = 0  # values, counted up to `period`
    level: float = 0.0  # their sum at first, then the average

    @property
    def value(self) -> float | None:
        """Return the average; None before `period` values."""
        return self.level if self.seen == self.period else None

    def after(self, x: float) -> "Average":
        """Return it after one more value."""
        if self.seen == self.period:
            level = self.level + self.alpha * (x - self.level)
            return Average(self.period, self.alpha, self.seen, level)
        seen, total = self.seen + 1, self.level + x
        level = total / seen if seen == self.period else total
        return Average(self.period, self.alpha, seen, level)


def ema(period: int) -> Average:
    """Return the exponential moving average of `period` values: alpha = 2 / (period + 1)."""
    return Average(period=period, alpha=2 / (period + 1))


def wilder(period: int) -> Average:
    """Return Wilder's average of `period` values: alpha = 1 / period."""
    return Average(period=period, alpha=1 / period)


class Atr(msgspec.Struct, frozen=True):
    """Average true range: Wilder's average of how far the price moved in each candle, in quote.

    True range is the largest of high - low, |high - close before| and |low - close before|; of the
    first candle it is high - low.
    """

    average: Average
    close: float | None = None

    @property
    def value(self) -> float | None:
        """Return the range; None before `period` candles."""
        return self.average.value

    def after(self, candle: Candle) -> "Atr":
        """Return it after one more candle."""
        high, low = float(candle.high), float(candle.low)
        if self.close is not None:
            high, low = max(high, self.close), min(low, self.close)
        return Atr(self.average.after(high - low), float(candle.close))


def atr(period: int) -> Atr:
    """Return the average true range of `period` candles."""
    return Atr(wilder(period))


class Rsi(msgspec.Struct, frozen=True):
    """Relative strength index, 0-100: the share of upward moves among all, Wilder-averaged.

    100 - 100 / (1 + gain / loss), which is 100 · gain / (gain + loss); 50 where nothing moved.
    """

    gain: Average
    loss: Average
    close: float | None = None

    @property
    def value(self) -> float | None:
        """Return the index; None before `period` moves, that is `period` + 1 values."""
        gain, loss = self.gain.value, self.loss.value
        if gain is None or loss is None:
            return None
        moved = gain + loss
        return 100 * gain / moved if moved else 50.0

    def after(self, close: float) -> "Rsi":
        """Return it after one more close."""
        if self.close is None:
            return Rsi(self.gain, self.loss, close)
        move = close - self.close
        return Rsi(self.gain.after(max(move, 0.0)), self.loss.after(max(-move, 0.0)), close)


def rsi(period: int) -> Rsi:
    """Return the relative strength index over `period` moves."""
    return Rsi(wilder(period), wilder(period))


class Donchian(msgspec.Struct, frozen=True):
    """The highest high and the lowest low of the last `period` candles.

    A breakout compares with the channel of the candles before, so ask before calling `after`.
    """

    period: int
    highs: tuple[float, ...] = ()
    lows: tuple[float, ...] = ()

    @property
    def upper(self) -> float | None:
        """Return the highest high; None before `period` candles."""
        return max(self.highs) if len(self.highs) == self.period else None

    @property
    def lower(self) -> float | None:
        """Return the lowest low; None before `period` candles."""
        return min(self.lows) if len(self.lows) == self.period else None

    def after(self, candle: Candle) -> "Donchian":
        """Return it after one more candle."""
        highs = (*self.highs, float(candle.high))[-self.period :]
        lows = (*self.lows, float(candle.low))[-self.period :]
        return Donchian(self.period, highs, lows)
