"""What Prometheus may ask: counts that actors report as things happen, and gauges read when asked.

Nothing here costs a tick anything. `Metrics` is what actors report to: plain dictionaries of
numbers, no library. What has a current value (equity, feed age) is not pushed at all:
`observe` is called when somebody scrapes. prometheus_client is imported with the first scrape,
after the levels are armed.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from actors.latency import BOUNDS_S, LatencyBook

if TYPE_CHECKING:
    from prometheus_client.core import Metric

# Counters that alarms watch begin at 0: a counter that appears at 1 has not risen for Prometheus.
_ORDER_STATUSES = (
    "accepted", "refused", "unknown",  # answers
    "filled", "canceled", "rejected", "expired", "absent", "denied",  # ends
)  # fmt: skip
_RESULTS = ("decision", "nothing", "failed")
_MISMATCHES = (
    "FOREIGN_ORDER", "FOREIGN_FILL", "ORPHAN_ORDER", "LATE_FILL",
    "CLOSED_OUTSIDE", "LIQUIDATED", "FOREIGN_POSITION", "ADOPTED", "BALANCE_CORRECTED",
)  # fmt: skip
_ALARMS = (
    *_MISMATCHES,
    "ACTOR_CRASHED",
    "ACTOR_GIVEN_UP",
    "CANCEL_FAILING",
    "CLOSE_EXPIRED",
    "DISK_LOW",
    "DOWNTIME_UNCHECKED",
    "EXIT_FAILED",
    "FEED_DOWN",
    "FEED_STALE",
    "FENCED",
    "FILES_GONE",
    "JOURNAL_DOWN",
    "KILL_SWITCH",
    "NOT_ARMED",
    "OTHER_ACCOUNT",
    "QUARANTINED",
    "RECOVERY_PROBLEM",
    "STRATEGY_HUNG",
    "UNPRICED",
    "UNPROTECTED",
)
_LATENCY_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
_COMMIT_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon at the moment of a scrape; what is None is not known and not shown."""

    version: str = ""
    venue: str = ""
    mode: int | None = None  # 0 NORMAL … 3 FENCED, see `domain.modes`
    causes: tuple[str, ...] = ()  # of that mode, by their codes
    feed_connected: bool | None = None
    balance: float | None = None  # quote
    equity: float | None = None  # quote
    drawdown_ratio: float | None = None  # below the high-water mark, 0-1
    positions_open: Mapping[tuple[str, str], int] = {}  # (trader, side): how many
    unprotected_s: float | None = None  # of the position that has been without a guard longest
    feed_age_s: Mapping[str, float] = {}  # symbol: since anything was received
    feed_stale: Mapping[str, float] = {}  # symbol: 1 when its price cannot be relied on
    market_reads: Mapping[str, int] = {}  # answers to cross-checks: same, other, failed
    mailbox_depth: Mapping[str, int] = {}  # kind of actor: messages waiting
    actor_restarts: Mapping[str, int] = {}  # kind of actor: since the start
    dead_letters: int | None = None  # since the start
    ticks: int | None = None  # since the start
    bad_frames: int | None = None  # since the start of the feed
    loop_lag_s: Mapping[str, float] = {}  # quantile ("0.5", "0.99", "1"): of the last minute
    unknown_orders: int | None = None
    drifting: int | None = None  # symbols of which the venue holds other than we believe
    reconciled_s: float | None = None  # since the venue's holdings were compared with ours
    environment: str = ""  # paper, demo, live
    # The line to a real venue; all None for the paper venue.
    venue_up: bool | None = None  # it answers
    venue_stream_up: bool | None = None  # the private stream
    venue_clock_offset_s: float | None = None  # its clock less ours
    venue_budget_used: float | None = None  # of its nearest rate limit, 0-1
    venue_checked_age_s: float | None = None  # since it last told what the login is
    latency: LatencyBook | None = None


class _Buckets:
    """A histogram: how many values were at most each bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        running = 0
        rows = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            rows.append(("+Inf" if bound == float("inf") else repr(bound), float(running)))
        return rows


class Metrics:
    """Counts of one process: the actors' `Telemetry`. Its methods are cheap and never fail."""

    def __init__(self) -> None:
        self.orders: Counter[tuple[str, str]] = Counter()  # (venue, status)
        self.evaluations: Counter[str] = Counter()  # result
        self.alarms: Counter[str] = Counter()  # code
        self.rows = 0  # journaled
        self._latency: dict[tuple[str, str], _Buckets] = {}  # (venue, type)
        self._commits = _Buckets(_COMMIT_S)

    def order_sent(self, venue: str, order_type: str, status: str, seconds: float) -> None:
        """Count an order's outcome and the time from decision to answer."""
        self.orders[venue, status] += 1
        buckets = self._latency.get((venue, order_type))
        if buckets is None:
            buckets = self._latency[venue, order_type] = _Buckets(_LATENCY_S)
        buckets.add(seconds)

    def order_ended(self, venue: str, status: str) -> None:
        """Count an order's end."""
        self.orders[venue, status] += 1

    def committed(self, rows: int, seconds: float) -> None:
        """Record a group commit."""
        self.rows += rows
        self._commits.add(seconds)

    def evaluated(self, result: str) -> None:
        """Count a strategy's evaluation."""
        self.evaluations[result] += 1

    def alarm(self, code: str, message: str) -> None:  # noqa: ARG002 - the log has the message
        """Count an alarm."""
        self.alarms[code] += 1

    def exposition(self, observe: Callable[[], Observed]) -> bytes:
        """Return everything in Prometheus' text format."""
        from prometheus_client import (  # noqa: PLC0415 - late
            CollectorRegistry,
            ProcessCollector,
            generate_latest,
        )

        now = observe()
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # process_resident_memory_bytes, process_open_fds, …
        registry.register(_Collected([*self._counted(now.venue), *_gauges(now)]))
        return generate_latest(registry)

    def _counted(self, venue: str) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily  # noqa: PLC0415

        orders = CounterMetricFamily(
            "orders_total", "Outcomes and ends of orders.", labels=["venue", "status"]
        )
        known = dict.fromkeys(((venue, status) for status in _ORDER_STATUSES if venue), 0)
        for labels, count in (known | self.orders).items():
            orders.add_metric(labels, count)
        yield orders
        evaluations = CounterMetricFamily(
            "scheduler_evaluations_total", "Evaluations by strategies.", labels=["result"]
        )
        for result, count in (dict.fromkeys(_RESULTS, 0) | self.evaluations).items():
            evaluations.add_metric([result], count)
        yield evaluations
        alarms = CounterMetricFamily("alarms_total", "Alarms raised.", labels=["code"])
        for code, count in (dict.fromkeys(_ALARMS, 0) | self.alarms).items():
            alarms.add_metric([code], count)
        yield alarms
        yield CounterMetricFamily(
            "reconciliation_mismatches_total",
            "Orders and fills that the venue has and nobody here accounts for.",
            value=sum(self.alarms[code] for code in _MISMATCHES),
        )
        yield CounterMetricFamily("journal_rows_total", "Events journaled.", value=self.rows)
        commits = HistogramMetricFamily("journal_commit_seconds", "Time of a group commit.")
        commits.add_metric([], self._commits.cumulative(), self._commits.total)
        yield commits
        latency = HistogramMetricFamily(
            "order_latency_seconds",
            "From decision to the venue's answer.",
            labels=["venue", "type"],
        )
        for labels, buckets in self._latency.items():
            latency.add_metric(labels, buckets.cumulative(), buckets.total)
        yield latency


class _Collected:
    """What a registry asks for families."""

    def __init__(self, families: list["Metric"]) -> None:
        self._families = families

    def collect(self) -> list["Metric"]:
        return self._families


def _gauges(now: Observed) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

    ratio = now.drawdown_ratio
    for name, text, value in (
        ("mode", "0 NORMAL, 1 NO_ENTRY, 2 PROTECT_ONLY, 3 FENCED.", now.mode),
        ("feed_connected", "1 while the stream of prices is up.", now.feed_connected),
        ("portfolio_balance", "Money of the account, in quote.", now.balance),
        ("portfolio_equity", "Balance and unrealized P&L, in quote.", now.equity),
        (
            "portfolio_drawdown_pct",
            "Percent of the high-water mark that equity lies below it.",
            None if ratio is None else ratio * 100,
        ),
        (
            "position_unprotected_seconds",
            "How long the position longest without a guard has been so; 0 when all are guarded.",
            now.unprotected_s,
        ),
        ("orders_unknown", "Orders whose outcome is not known.", now.unknown_orders),
        (
            "reconciliation_drifts",
            "Symbols of which the venue holds other than the daemon believes.",
            now.drifting,
        ),
        (
            "reconciliation_age_seconds",
            "Since the venue's holdings were last compared with the daemon's.",
            now.reconciled_s,
        ),
        ("venue_up", "1 while the account's venue answers.", now.venue_up),
        ("venue_stream_up", "1 while the account's private stream is up.", now.venue_stream_up),
        (
            "venue_clock_offset_seconds",
            "The venue's clock less this computer's.",
            now.venue_clock_offset_s,
        ),
        (
            "venue_rate_budget_used_ratio",
            "Used share of the venue's nearest rate limit, 0 to 1.",
            now.venue_budget_used,
        ),
        (
            "venue_checked_age_seconds",
            "Since the venue last told what the login is and may do.",
            now.venue_checked_age_s,
        ),
    ):
        if value is not None:
            yield GaugeMetricFamily(name, text, value=value)
    for name, text, count in (
        ("dead_letters_total", "Messages that nobody was there to take.", now.dead_letters),
        ("ticks_total", "Prices received.", now.ticks),
        ("bad_frames_total", "Frames of the stream that nobody can use.", now.bad_frames),
    ):
        if count is not None:
            yield CounterMetricFamily(name, text, value=count)
    restarts = CounterMetricFamily("actor_restarts_total", "Restarts.", labels=["actor"])
    for kind, count in now.actor_restarts.items():
        restarts.add_metric([kind], count)
    yield restarts
    reads = CounterMetricFamily(
        "market_reads_total", "Prices checked with the venue over REST.", labels=["result"]
    )
    for result, count in now.market_reads.items():
        reads.add_metric([result], count)
    yield reads
    yield from _labeled_gauges(now)
    yield from _steps(now.latency)


def _steps(book: LatencyBook | None) -> Iterator["Metric"]:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

    steps = HistogramMetricFamily(
        "order_step_seconds",
        "Steps of an order: decision to request, request to answer, answer to fill.",
        labels=["venue", "type", "step"],
    )
    for (venue, order_type, step), series in book or ():
        running, rows = 0, []
        for bound, count in zip((*BOUNDS_S, float("inf")), series.counts, strict=True):
            running += count
            rows.append(("+Inf" if bound == float("inf") else repr(bound), float(running)))
        steps.add_metric([venue, order_type, step.value], rows, series.total_s)
    yield steps


def _labeled_gauges(now: Observed) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    if now.version:
        info = GaugeMetricFamily(
            "holdfast_info",
            "Always 1; its labels tell what runs.",
            labels=["version", "venue", "environment"],
        )
        info.add_metric([now.version, now.venue, now.environment], 1)
        yield info
    causes = GaugeMetricFamily("mode_cause", "1 for each cause of the mode.", labels=["code"])
    for code in now.causes:
        causes.add_metric([code], 1)
    yield causes
    positions = GaugeMetricFamily("positions_open", "Open positions.", labels=["trader", "side"])
    for labels, count in now.positions_open.items():
        positions.add_metric(labels, count)
    yield positions
    for name, text, label, values in (
        ("feed_age_seconds", "Since anything was received.", "symbol", now.feed_age_s),
        (
            "feed_stale",
            "1: the price cannot be relied on, checked against the venue; entries are refused.",
            "symbol",
            now.feed_stale,
        ),
        ("mailbox_depth", "Messages waiting.", "actor", now.mailbox_depth),
        ("loop_lag_seconds", "How late the loop ran, last minute.", "quantile", now.loop_lag_s),
    ):
        family = GaugeMetricFamily(name, text, labels=[label])
        for key, value in values.items():
            family.add_metric([key], value)
        yield family
