"""Trade the way back from an extreme: in where the relative strength index leaves it again.

An index below `oversold` says that the market fell far and fast, not that it stops falling. So the
entry waits until a candle closes with the index back above the line, and the position is over when
the index has returned to `exit_at`. Shorts mirror it at `overbought`.

Source: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978): 14 bars, 30 and 70.
"""

import msgspec

from domain.candles import Candle
from domain.instrument import Direction
from strategies.base import Decision, Step, View, close, require
from strategies.guarded import GuardedStrategy
from strategies.indicators import Atr, Rsi, atr, rsi

_SCALE = 100.0


class _State(msgspec.Struct, frozen=True):
    """The index and the range of the candles so far."""

    rsi: Rsi
    atr: Atr


class RsiReversion(GuardedStrategy, frozen=True):
    """Buys when the RSI comes back from oversold, sells when it comes back from overbought."""

    rsi_bars: int = 14
    oversold: float = 30.0
    overbought: float = 70.0
    exit_at: float = 50.0

    State = _State

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rsi_bars >= 2, f"rsi_bars must be 2 or more, not {self.rsi_bars}")  # noqa: PLR2004
        require(
            0 < self.oversold < self.exit_at < self.overbought < _SCALE,
            "0 < oversold < exit_at < overbought < 100 must hold, not "
            f"{self.oversold:g}, {self.exit_at:g}, {self.overbought:g}",
        )

    @property
    def warm_up(self) -> int:
        """Return how many candles give the index and the range; one more to compare with."""
        return max(self.rsi_bars + 2, self.atr_bars)

    def initial(self) -> _State:
        """Return an index that has seen nothing."""
        return _State(rsi=rsi(self.rsi_bars), atr=atr(self.atr_bars))

    def on_candle(self, state: _State, candle: Candle, view: View) -> Step:
        """Move the index; act where it comes back."""
        after = _State(
            rsi=state.rsi.after(float(candle.close)),
            atr=state.atr.after(candle) if candle.whole else state.atr,
        )
        return Step(after, self._decision(state.rsi.value, after, candle, view))

    def _decision(
        self, before: float | None, after: _State, candle: Candle, view: View
    ) -> Decision | None:
        now = after.rsi.value
        if before is None or now is None:
            return None
        if view.held is not None:
            back = (
                now >= self.exit_at
                if view.held.direction is Direction.LONG
                else (now <= self.exit_at)
            )
            return close(f"RSI {now:.0f} is back at {self.exit_at:g}") if back else None
        direction = self._turned(before, now)
        if direction is None or after.atr.value is None or not view.is_free:
            return None
        line = self.oversold if direction is Direction.LONG else self.overbought
        end = "over" if direction is Direction.LONG else "under"
        why = f"RSI came back {end} {line:g}, from {before:.0f} to {now:.0f}"
        return self.entry(direction, view, candle.timeframe, after.atr.value, why)

    def _turned(self, before: float, now: float) -> Direction | None:
        """Return the direction of the way back that has just begun; None when there is none."""
        if before < self.oversold <= now:
            return Direction.LONG
        if before > self.overbought >= now and self.allows(Direction.SHORT):
            return Direction.SHORT
        return None
