"""Closed candles as a venue's stream tells them: each handed on once, in order, and final."""

from collections import OrderedDict
from collections.abc import Callable

from domain.candles import Candle, Timeframe
from domain.ids import Symbol

KEPT = 500  # closed candles remembered of each series


class ClosedCandles:
    """Hands closed candles on. A closed candle is final: a later word about it is only counted."""

    def __init__(self, take: Callable[[Candle], None]) -> None:
        self.revised = 0  # that said something else than when they closed
        self.late = 0  # of an interval before the last one, never told in its time
        self._take = take
        self._series: dict[tuple[Symbol, Timeframe], OrderedDict[int, Candle]] = {}

    def on_candle(self, candle: Candle) -> None:
        """Take a candle that the venue calls closed."""
        series = self._series.setdefault((candle.symbol, candle.timeframe), OrderedDict())
        known = series.get(candle.open_ms)
        if known is not None:
            self.revised += known != candle
        elif series and candle.open_ms < next(reversed(series)):
            self.late += 1
        else:
            series[candle.open_ms] = candle
            if len(series) > KEPT:
                series.popitem(last=False)
            self._take(candle)
