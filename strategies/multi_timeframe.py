"""Look for a pullback inside a trend that several timeframes agree on.

Each of the `higher` timeframes has a side: its fast average above its slow one, or below. Where
enough of them are on one side, a dip against it on the trader's own timeframe is a chance: the
relative strength index falls below `dip` and comes back (for shorts: rises above 100 - `dip`). The
position is over when the shortest of the higher timeframes changes its side.

Made for many symbols: watch a hundred and let the trader's limits choose how many are held. With
`enter: false` it only points at them: each signal is kept as a WATCH decision.

Source: A. Elder, "Trading for a Living" (1993), triple screen: the longer timeframe gives the
direction, an oscillator on the shorter one the moment.
"""

import msgspec

from domain.candles import Candle, Timeframe, TimeframeError
from domain.instrument import Direction
from strategies.base import Decision, ParameterError, Step, View, close, require, watch
from strategies.guarded import GuardedStrategy
from strategies.indicators import Atr, Average, Rsi, atr, ema, rsi

_MAX_HIGHER = 8
_SCALE = 100.0
_MIDDLE = 50.0


class Trend(msgspec.Struct, frozen=True):
    """The averages of one timeframe."""

    fast: Average
    slow: Average

    def after(self, price: float) -> "Trend":
        """Return it after one more close."""
        return Trend(self.fast.after(price), self.slow.after(price))

    @property
    def side(self) -> Direction | None:
        """Return where the trend goes; None while warming up, or when the averages are equal."""
        fast, slow = self.fast.value, self.slow.value
        if fast is None or slow is None or fast == slow:
            return None
        return Direction.LONG if fast > slow else Direction.SHORT


class _State(msgspec.Struct, frozen=True):
    """A trend for each higher timeframe, in their order; index and range of the own one."""

    trends: tuple[Trend, ...]
    rsi: Rsi
    atr: Atr


class MultiTimeframe(GuardedStrategy, frozen=True):
    """Enters pullbacks in the direction that several higher timeframes agree on."""

    higher: tuple[str, ...] = ("5m", "15m", "1h")
    agree: int | None = None  # how many of them; None: all
    fast: int = 20
    slow: int = 50
    rsi_bars: int = 14
    dip: float = 40.0
    enter: bool = True

    State = _State

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.higher)
        require(1 <= count <= _MAX_HIGHER, f"higher takes 1 to {_MAX_HIGHER} timeframes")
        require(len(set(self.higher)) == count, "higher names a timeframe twice")
        for text in self.higher:
            _check_timeframe(text)
        require(
            self.agree is None or 1 <= self.agree <= count,
            f"agree must be from 1 to {count}, the number of higher timeframes, not {self.agree}",
        )
        require(self.fast >= 1, f"fast must be 1 or more, not {self.fast}")
        require(
            self.fast < self.slow, f"fast ({self.fast}) must be smaller than slow ({self.slow})"
        )
        require(self.rsi_bars >= 2, f"rsi_bars must be 2 or more, not {self.rsi_bars}")  # noqa: PLR2004
        require(0 < self.dip < _MIDDLE, f"dip must be 0 < x < 50, not {self.dip:g}")

    @property
    def timeframes(self) -> tuple[str, ...]:
        """Return what it wants to see besides the trader's own timeframe."""
        return self.higher

    @property
    def warm_up(self) -> int:
        """Return how many candles of each timeframe it needs."""
        return max(self.slow, self.rsi_bars + 2, self.atr_bars)

    def initial(self) -> _State:
        """Return empty averages."""
        trend = Trend(ema(self.fast), ema(self.slow))
        return _State(
            trends=(trend,) * len(self.higher), rsi=rsi(self.rsi_bars), atr=atr(self.atr_bars)
        )

    def on_candle(self, state: _State, candle: Candle, view: View) -> Step:
        """Move the averages of a higher timeframe; look for a chance on the own one."""
        price, own = float(candle.close), str(candle.timeframe)
        if own in self.higher:
            at = self.higher.index(own)
            trends = (*state.trends[:at], state.trends[at].after(price), *state.trends[at + 1 :])
            return Step(msgspec.structs.replace(state, trends=trends))
        after = _State(
            trends=state.trends,
            rsi=state.rsi.after(price),
            atr=state.atr.after(candle) if candle.whole else state.atr,
        )
        return Step(after, self._decision(state.rsi.value, after, candle, view))

    def _decision(
        self, before: float | None, state: _State, candle: Candle, view: View
    ) -> Decision | None:
        if view.held is not None:
            return self._leave(state, view.held.direction)
        now, range_ = state.rsi.value, state.atr.value
        direction = self._trend(state)
        if before is None or now is None or range_ is None or direction is None:
            return None
        is_over = (
            before < self.dip <= now
            if direction is Direction.LONG
            else before > _SCALE - self.dip >= now
        )
        if not is_over or not view.is_free or not self.allows(direction):
            return None
        sides = sum(trend.side is direction for trend in state.trends)
        slope = "up" if direction is Direction.LONG else "down"
        why = f"{sides} of {len(self.higher)} timeframes go {slope}, the dip is over: RSI {now:.0f}"
        if not self.enter:
            return watch(why)
        return self.entry(direction, view, candle.timeframe, range_, why)

    def _leave(self, state: _State, held: Direction) -> Decision | None:
        shortest = min(self.higher, key=Timeframe.parse)
        side = state.trends[self.higher.index(shortest)].side
        if side is None or side is held:
            return None
        return close(f"the averages of {shortest} crossed against the position")

    def _trend(self, state: _State) -> Direction | None:
        """Return the direction that enough timeframes agree on; the others may disagree."""
        needed = len(self.higher) if self.agree is None else self.agree
        sides = [trend.side for trend in state.trends]
        ups, downs = sides.count(Direction.LONG), sides.count(Direction.SHORT)
        if ups == downs or max(ups, downs) < needed:
            return None
        return Direction.LONG if ups > downs else Direction.SHORT


def _check_timeframe(text: str) -> None:
    try:
        canonical = str(Timeframe.parse(text))
    except TimeframeError as error:
        raise ParameterError(f"higher: {error}") from error
    require(text == canonical, f"higher: write {text!r} as {canonical!r}")
