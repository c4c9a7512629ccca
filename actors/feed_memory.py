"""What a feed leaves to its next life: extremes of the prices, and a sign that somebody watched.

Rows are per symbol and price, never per position. They are journaled once a second where they have
grown, and cut where something is armed. Stamps are the feed's own and never decrease, whatever the
wall clock does; the venue's clock is kept beside them, so that the next life can tell how long
nobody watched even if ours was set meanwhile.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from actors.line import PriceLine
from domain.feed_state import AnyFeedEvent, ExtremeRow, ExtremesForgotten, ExtremesSeen, FeedState
from domain.ids import PositionId, Symbol
from domain.instrument import PriceSource
from runtime.ports import Clock

SIGN_EVERY_S = 10.0  # a sign of life in the journal while positions are armed and nothing moves
_MICROSECOND = timedelta(microseconds=1)


class FeedMemory:
    """Keeps extremes for one feed. Owned by it."""

    def __init__(
        self,
        clock: Clock,
        venue_ms: Callable[[], int | None],
        state: Callable[[], FeedState],
        record: Callable[[AnyFeedEvent], None],
        armed_since: Mapping[PositionId, datetime],
    ) -> None:
        self._clock = clock
        self._venue_ms = venue_ms
        self._state = state
        self._record = record
        self._armed_since = armed_since  # nothing is worth remembering while nobody is armed
        self.lines: Mapping[Symbol, PriceLine] = {}
        stamp = state().stamp
        now = clock.now()
        self.stamp = now if stamp is None else max(now, stamp + _MICROSECOND)
        self._signed_s = clock.monotonic()

    def extremes(
        self, line: PriceLine, source: PriceSource, since: datetime | None
    ) -> tuple[Decimal | None, Decimal | None]:
        """Return low and high since `since`, the present interval included."""
        if since is None:
            return None, None
        seen = self._state().of(line.symbol, source).since(since)
        span = line.interval_for(source).span(self.stamp)
        if span is None or span.begin < since:
            return (None, None) if seen is None else seen
        if seen is None:
            return span.low, span.high
        return min(seen[0], span.low), max(seen[1], span.high)

    def cut(self, line: PriceLine, after: datetime | None) -> datetime:
        """Begin new intervals for a symbol.

        Extremes count from the returned stamp for who is armed now. While no price has come since
        the last cut, there is nothing to cut. `after` is the last stamp that the armed one knows:
        its intervals do not begin before it, though the wall clock was set back between two lives.
        Who knows one was armed before: what came since a feed's start counts for it.
        """
        if line.is_quiet() and (after is None or after <= line.interval.begin):
            return line.interval.begin
        if after is not None:
            self.stamp = max(self.stamp, after)
        stamp = self._now_stamp()
        rows = []
        for source, interval in line.intervals():
            span = interval.cut(stamp)
            if span is not None and (self._armed_since or after is not None):
                rows.append(ExtremeRow(line.symbol, source, span.low, span.high, span.begin))
        if rows:
            self._record(ExtremesSeen(tuple(rows), stamp, venue_ms=self._venue_ms()))
        return stamp

    def report(self, *, last: bool = False) -> None:
        """Journal the ranges that have grown, if they concern anybody; `last`: in any case."""
        if not self._armed_since:
            return
        stamp = self._now_stamp()
        rows = []
        for line in self.lines.values():
            for source, interval in line.intervals():
                span = interval.report(stamp)
                if span is not None:
                    rows.append(ExtremeRow(line.symbol, source, span.low, span.high, span.begin))
        now_s = self._clock.monotonic()
        signs = last or now_s - self._signed_s >= SIGN_EVERY_S
        if rows or signs:
            lasts = {
                symbol: Decimal(line.book.last)
                for symbol, line in self.lines.items()
                if line.book.last
            }
            self._record(ExtremesSeen(tuple(rows), stamp, lasts, self._venue_ms()))
            self._signed_s = now_s

    def forget(self) -> None:
        """Drop what only an earlier position would ask for."""
        self._record(ExtremesForgotten(min(self._armed_since.values(), default=self.stamp)))

    def _now_stamp(self) -> datetime:
        """Return a stamp that is later than any before, whatever the wall clock does."""
        self.stamp = max(self.stamp + _MICROSECOND, self._clock.now())
        return self.stamp
