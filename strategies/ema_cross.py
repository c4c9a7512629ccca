"""Follow the trend from where a fast average crosses a slow one.

A cross is a change of side: the fast average was below the slow one and now is above it, or the
other way round. It closes a position against it and opens one with it. Where one has to be closed
first, the entry waits for that as long as the averages stay on their side.
"""

import msgspec

from domain.candles import Candle
from domain.instrument import Direction
from strategies.base import Step, View, close, require
from strategies.guarded import GuardedStrategy
from strategies.indicators import Atr, Average, atr, ema


class _State(msgspec.Struct, frozen=True):
    """The averages, the side the fast one is on, and an entry that waits to be made."""

    fast: Average
    slow: Average
    atr: Atr
    side: Direction | None = None
    wanted: Direction | None = None


class EmaCross(GuardedStrategy, frozen=True):
    """Trades the cross of a fast and a slow exponential moving average."""

    fast: int = 12
    slow: int = 26

    State = _State

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.fast >= 1, f"fast must be 1 or more, not {self.fast}")
        require(
            self.fast < self.slow, f"fast ({self.fast}) must be smaller than slow ({self.slow})"
        )

    @property
    def warm_up(self) -> int:
        """Return how many candles fill both averages and the range."""
        return max(self.slow, self.atr_bars)

    def initial(self) -> _State:
        """Return empty averages."""
        return _State(fast=ema(self.fast), slow=ema(self.slow), atr=atr(self.atr_bars))

    def on_candle(self, state: _State, candle: Candle, view: View) -> Step:
        """Move the averages; act on a cross."""
        price = float(candle.close)
        fast, slow = state.fast.after(price), state.slow.after(price)
        ranges = state.atr.after(candle) if candle.whole else state.atr
        side = _side(fast.value, slow.value) or state.side
        wanted = state.wanted
        if state.side is not None and side is not state.side:  # a cross
            wanted = side if side is not None and self.allows(side) else None
        after = _State(fast=fast, slow=slow, atr=ranges, side=side, wanted=wanted)
        return self._acted(after, candle, view)

    def _acted(self, state: _State, candle: Candle, view: View) -> Step:
        held, side, wanted = view.held, state.side, state.wanted
        if held is not None and side is not None and held.direction is not side:
            return Step(state, close(f"the {self.fast} and {self.slow} bar averages crossed back"))
        if held is not None and wanted is held.direction:
            return Step(msgspec.structs.replace(state, wanted=None))
        if wanted is None or not view.is_free or state.atr.value is None:
            return Step(state)
        over = "over" if wanted is Direction.LONG else "under"
        why = f"the {self.fast} bar average crossed {over} the {self.slow} bar average"
        decision = self.entry(wanted, view, candle.timeframe, state.atr.value, why)
        return Step(msgspec.structs.replace(state, wanted=None), decision)


def _side(fast: float | None, slow: float | None) -> Direction | None:
    """Return the side of the fast average; None while warming up, or when they are equal."""
    if fast is None or slow is None or fast == slow:
        return None
    return Direction.LONG if fast > slow else Direction.SHORT
