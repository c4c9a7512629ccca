"""What a feed must not forget.

The extreme prices seen, so that a recovered trailing stop is never looser.

Rows are per symbol and price source, never per position, and are journaled once a second when they
changed.
"""

from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec.structs import replace

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
    venue_ms: int | None = None  # the venue's clock at `end`; None: not known


class ExtremesForgotten(msgspec.Struct, frozen=True):
    """No position was armed before `before`: what lies earlier is of no use."""

    before: datetime


class Downtime(msgspec.Struct, frozen=True):
    """How long nobody watched, and what the venue's candles told of it."""

    began: datetime  # the last moment that is known to have been watched
    until: datetime
    positions: int  # that were open
    stops: int = 0  # exits that fired for it, by kind
    trails: int = 0
    targets: int = 0
    breakevens: int = 0
    unchecked: dict[Symbol, str] = {}  # symbols that could not be checked in full, and why

    @property
    def offline_s(self) -> float:
        """How long it was."""
        return (self.until - self.began).total_seconds()


class DowntimeFound(msgspec.Struct, frozen=True):
    """The first thing after a start with open positions: they were not watched since `began`."""

    began: datetime
    ahead_ms: int | None = None  # the venue's clock minus `began`'s; None: not known


class DowntimeChecked(msgspec.Struct, frozen=True):
    """After a restart: the positions have judged the venue's candles."""

    downtime: Downtime


AnyFeedEvent = ExtremesSeen | ExtremesForgotten | DowntimeFound | DowntimeChecked


class FeedState(msgspec.Struct, frozen=True):
    """Extremes by symbol and source ("BTC/USDT last")."""

    extremes: dict[str, Extremes] = {}
    stamp: datetime | None = None  # end of the last interval
    lasts: dict[Symbol, Decimal] = {}  # last prices as of then
    downtime: Downtime | None = None  # the last one that was checked
    unchecked_since: datetime | None = None  # one that is not, begins here
    ahead_ms: int | None = None  # the venue's clock minus that of `stamp`
    unchecked_ahead_ms: int | None = None  # the same of `unchecked_since`

    def of(self, symbol: Symbol, source: PriceSource) -> Extremes:
        """Return what was seen of one price."""
        return self.extremes.get(f"{symbol} {source.value}", _NOTHING)


_NOTHING = Extremes()


def evolve(state: FeedState | None, event: AnyFeedEvent) -> FeedState:
    """Return the feed's memory after `event`."""
    state = state or FeedState()
    match event:
        case ExtremesSeen(rows=rows, end=end, lasts=lasts, venue_ms=venue_ms):
            extremes = dict(state.extremes)
            for row in rows:
                key = f"{row.symbol} {row.source.value}"
                extremes[key] = extremes.get(key, _NOTHING).see(row.low, row.high, row.begin, end)
            lasts = {**state.lasts, **lasts}
            ahead_ms = state.ahead_ms if venue_ms is None else venue_ms - _ms(end)
            return replace(state, extremes=extremes, stamp=end, lasts=lasts, ahead_ms=ahead_ms)
        case ExtremesForgotten(before=before):
            kept = {key: each.forget_before(before) for key, each in state.extremes.items()}
            return replace(state, extremes=kept)
        case DowntimeFound(began=began, ahead_ms=ahead_ms):
            return replace(state, unchecked_since=began, unchecked_ahead_ms=ahead_ms)
        case DowntimeChecked(downtime=downtime):
            return replace(state, downtime=downtime, unchecked_since=None)


def _ms(stamp: datetime) -> int:
    return int(stamp.timestamp() * 1000)
