"""How long holdings were without a working stop, by the venue's own account of it.

The sandbox notes each time in which a holding was not covered by stops that wait there, from the
fill or cancel that began it to the stop or exit that ended it, in its own time. Two kinds of time
are left out: while the drill had killed the daemon, and while the venue could not hold a stop and
the daemon said that its own guard was armed.
"""

from collections.abc import Iterable, Sequence

from exchanges.sandbox.watch import Gap

_MS = 1000
Span = tuple[int, int]  # ms, venue time


class Exposure:
    """The times that do not count, of one drill."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._since: dict[str, int] = {}
        self.client_guarded = False  # for some of the time the daemon alone guarded

    def begin(self, why: str, now_ms: int) -> None:
        """Begin a time that does not count."""
        self._since.setdefault(why, now_ms)

    def end(self, why: str, now_ms: int) -> None:
        """End it."""
        since = self._since.pop(why, None)
        if since is not None:
            self.spans.append((since, now_ms))

    def longest_s(self, gaps: Iterable[Gap], now_ms: int) -> float:
        """Return the longest time without a stop that counts."""
        left_out = [*self.spans, *((since, now_ms) for since in self._since.values())]
        return longest_ms([_span(gap, now_ms) for gap in gaps], left_out) / _MS


def longest_ms(gaps: Iterable[Span], left_out: Sequence[Span]) -> int:
    """Return the longest stretch of any gap that `left_out` does not touch."""
    return max((_longest(gap, left_out) for gap in gaps), default=0)


def _longest(gap: Span, left_out: Sequence[Span]) -> int:
    longest, since = 0, gap[0]
    for begin, end in sorted(left_out):
        if end <= since:
            continue
        if begin >= gap[1]:
            break
        longest = max(longest, begin - since)
        since = end
    return max(longest, gap[1] - since, 0)


def _span(gap: Gap, now_ms: int) -> Span:
    return gap.since_ms, now_ms if gap.until_ms is None else gap.until_ms
