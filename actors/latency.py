"""How long the steps of an order take, by venue and type, as measured here.

The exchange actor writes it, metrics and `holdfast latency` read it. Exact percentiles come from
the last orders, counts and sums from all.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from enum import StrEnum

BOUNDS_S = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
KEPT = 2_000  # of each series


class Step(StrEnum):
    """A part of an order's way."""

    SEND = "decision_to_request"  # own overhead, with the disk where an intent waits for it
    ANSWER = "request_to_answer"
    FILL = "answer_to_fill"  # 0: the fill was told before the answer


Key = tuple[str, str, Step]  # venue, type of order, step


class Series:
    """Durations of one step."""

    __slots__ = ("count", "counts", "last", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.count = 0
        self.total_s = 0.0
        self.last: deque[float] = deque(maxlen=KEPT)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.count += 1
        self.total_s += seconds
        self.last.append(seconds)

    def quantile(self, part: float) -> float:
        """Return the seconds that `part` (0 to 1) of the last ones stayed within."""
        ordered = sorted(self.last)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class LatencyBook:
    """All series of this run."""

    def __init__(self) -> None:
        self.series: dict[Key, Series] = {}

    def note(self, venue: str, order_type: str, step: Step, seconds: float) -> None:
        """Count one duration; one below zero (a clock that was set) is none."""
        key = (venue, order_type, step)
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series()
        series.add(max(0.0, seconds))

    def __iter__(self) -> Iterator[tuple[Key, Series]]:
        return iter(sorted(self.series.items()))
