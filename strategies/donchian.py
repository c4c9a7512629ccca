"""Follow a breakout from the range of the last candles, as the Turtles did, on closes.

A close above the highest high of the `entry_bars` candles before buys, one below their lowest low
sells. A close beyond the opposite end of the shorter `exit_bars` channel closes. The stop lies some
average true ranges away and may trail.

Source: R. Donchian's four-week rule; C. Faith, "The Original Turtle Trading Rules" (2003): 20 and
10 bars, a stop at 2 N, where N is Wilder's 20-bar average true range. The Turtles entered when the
price touched the channel; waiting for the close spares the wicks.
"""

import msgspec

from domain.candles import Candle
from domain.instrument import Direction
from strategies.base import Decision, Step, View, close, require
from strategies.guarded import GuardedStrategy
from strategies.indicators import Atr, Donchian, atr

_MAX_BARS = 1000  # the state keeps them all, and is saved with every candle


class _State(msgspec.Struct, frozen=True):
    """The channels and the range of the candles so far."""

    entries: Donchian
    exits: Donchian
    atr: Atr


class DonchianBreakout(GuardedStrategy, frozen=True):
    """Trades breakouts from the Donchian channel, with an ATR stop that may trail."""

    entry_bars: int = 20
    exit_bars: int = 10

    State = _State

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.exit_bars >= 1, f"exit_bars must be 1 or more, not {self.exit_bars}")
        require(
            self.exit_bars <= self.entry_bars <= _MAX_BARS,
            f"entry_bars must be from exit_bars ({self.exit_bars}) to {_MAX_BARS}, "
            f"not {self.entry_bars}",
        )

    @property
    def warm_up(self) -> int:
        """Return how many candles fill the channel and the range."""
        return max(self.entry_bars, self.atr_bars)

    def initial(self) -> _State:
        """Return empty channels."""
        return _State(
            entries=Donchian(self.entry_bars),
            exits=Donchian(self.exit_bars),
            atr=atr(self.atr_bars),
        )

    def on_candle(self, state: _State, candle: Candle, view: View) -> Step:
        """Compare the close with the channels of the candles before, then move them."""
        if not candle.whole:
            return Step(state)  # its range is not known
        after = _State(
            entries=state.entries.after(candle),
            exits=state.exits.after(candle),
            atr=state.atr.after(candle),
        )
        return Step(after, self._decision(state, after.atr.value, candle, view))

    def _decision(
        self, before: _State, range_: float | None, candle: Candle, view: View
    ) -> Decision | None:
        price = float(candle.close)
        if view.held is not None:
            back = _broken(before.exits, price)
            if back is not None and back is not view.held.direction:
                return close(f"the close left the {self.exit_bars} bar channel the other way")
            return None
        broken = _broken(before.entries, price)
        if broken is None or range_ is None or not view.is_free or not self.allows(broken):
            return None
        end = "above" if broken is Direction.LONG else "below"
        why = f"the close lies {end} the {self.entry_bars} bar channel"
        return self.entry(broken, view, candle.timeframe, range_, why)


def _broken(channel: Donchian, price: float) -> Direction | None:
    """Return where the price left the channel; None inside it, or before it is filled."""
    if channel.upper is not None and price > channel.upper:
        return Direction.LONG
    if channel.lower is not None and price < channel.lower:
        return Direction.SHORT
    return None
