"""How long holdings were without a working stop, by the venue's own account of it.

The sandbox notes each time in which a holding was not covered by stops that wait there, from the
fill or cancel that began it to the stop or exit that ended it, in its own time. Two kinds of time
are left out: while the drill had killed the daemon, and, in drills of a venue that takes no stops,
while the daemon said that its own guard was armed or an exit of everything was on its way.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from exchanges.sandbox.watch import Gap

EVERYTHING = ""
_MS = 1000
Span = tuple[int, int]  # ms, venue time


class Bare(msgspec.Struct, frozen=True):
    """The longest time without a stop that counts."""

    seconds: float = 0.0
    inst_id: str = ""
    since_ms: int = 0

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_ms / _MS, UTC)
        return f"{self.inst_id} for {self.seconds:.2f} s from {since:%H:%M:%S.%f}"[:-3]


class Exposure:
    """The times that do not count, of one drill."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self._since: dict[str, int] = {}
        self.client_guarded = False  # some of the time the daemon alone guarded

    def begin(self, inst_id: str, now_ms: int) -> None:
        """Begin a time that does not count, of an instrument or of everything."""
        self._since.setdefault(inst_id, now_ms)

    def end(self, inst_id: str, now_ms: int) -> None:
        """End it."""
        since = self._since.pop(inst_id, None)
        if since is not None:
            self.spans.append((inst_id, (since, now_ms)))

    def longest(self, gaps: Iterable[Gap], now_ms: int, *, all_counts: bool = False) -> Bare:
        """Return the longest time without a stop; `all_counts`: nothing is left out."""
        left_out = [*self.spans, *((each, (since, now_ms)) for each, since in self._since.items())]
        found = Bare()
        for gap in gaps:
            spans = [span for inst_id, span in left_out if inst_id in (gap.inst_id, EVERYTHING)]
            stretch = longest_of(_span(gap, now_ms), () if all_counts else spans)
            if stretch[1] - stretch[0] > found.seconds * _MS:
                found = Bare((stretch[1] - stretch[0]) / _MS, gap.inst_id, stretch[0])
        return found


def longest_of(gap: Span, left_out: Sequence[Span]) -> Span:
    """Return the longest stretch of a gap that `left_out` does not touch."""
    longest, since = (gap[0], gap[0]), gap[0]
    for begin, end in [*sorted(left_out), (gap[1], gap[1])]:
        until = min(begin, gap[1])
        if until - since > longest[1] - longest[0]:
            longest = since, until
        since = max(since, end)
    return longest


def _span(gap: Gap, now_ms: int) -> Span:
    return gap.since_ms, now_ms if gap.until_ms is None else gap.until_ms
