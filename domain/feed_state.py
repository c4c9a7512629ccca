"""What a feed must not forget.

The extreme prices seen, so that a recovered trailing stop is never looser.

Rows are per symbol and price source, never per position, and are journaled once a second when they
changed.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from domain.extremes import Extremes
from domain.ids import Symbol
from domain.instrument import PriceSource


class ExtremeRow(msgspec.Struct, frozen=True):
    """Lowest and highest price of one source since `begin`; replaces a shorter report of it."""

    symbol: Symbol
    source: PriceSource
    low: Decimal
    high: Decimal
    begin: datetime  # of the interval, on the feed's own clock, which never steps back


class ExtremesSeen(msgspec.Struct, frozen=True):
    """The ranges that have grown since they were last reported."""

    rows: tuple[ExtremeRow, ...]
    end: datetime
    lasts: dict[Symbol, Decimal] = {}  # where the simulated market goes on after a restart


class ExtremesForgotten(msgspec.Struct, frozen=True):
    """No position was armed before `before`: what lies earlier is of no use."""

    before: datetime


AnyFeedEvent = ExtremesSeen | ExtremesForgotten


class FeedState(msgspec.Struct, frozen=True):
    """Extremes by symbol and source ("BTC/USDT last")."""

    extremes: dict[str, Extremes] = {}
    stamp: datetime | None = None  # end of the last interval
    lasts: dict[Symbol, Decimal] = {}  # last prices as of then

    def of(self, symbol: Symbol, source: PriceSource) -> Extremes:
        """Return what was seen of one price."""
        return self.extremes.get(f"{symbol} {source.value}", _NOTHING)


_NOTHING = Extremes()


def evolve(state: FeedState | None, event: AnyFeedEvent) -> FeedState:
    """Return the feed's memory after `event`."""
    state = state or FeedState()
    match event:
        case ExtremesSeen(rows=rows, end=end, lasts=lasts):
            extremes = dict(state.extremes)
            for row in rows:
                key = f"{row.symbol} {row.source.value}"
                extremes[key] = extremes.get(key, _NOTHING).see(row.low, row.high, row.begin, end)
            return FeedState(extremes, end, {**state.lasts, **lasts})
        case ExtremesForgotten(before=before):
            kept = {key: each.forget_before(before) for key, each in state.extremes.items()}
            return FeedState(kept, state.stamp, state.lasts)
