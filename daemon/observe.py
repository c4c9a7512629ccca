"""What a scrape of the metrics sees: the daemon at that moment, read from its own states."""

from collections import Counter
from datetime import datetime
from typing import Any

from actors import names
from daemon.assembly import Assembly
from daemon.metrics import Observed
from daemon.position_views import NOWHERE, where_stop_lives
from daemon.venue_views import environment_of
from daemon.version import installed_version
from domain.order import OrderStatus
from domain.portfolio import drawdown, equity
from exchanges.breaker import BreakerState
from runtime.watchdog import LoopWatchdog


def observe(parts: Assembly, watchdog: LoopWatchdog | None) -> Observed:
    """Return the figures of this moment."""
    world, system = parts.world, parts.system
    now = world.clock.now()
    positions = [each for each in world.states.of_kind("position") if not each.is_closed]
    naked = [
        (now - each.opened_at).total_seconds()
        for each in positions
        if each.opened_at is not None and each.remaining and where_stop_lives(each) == NOWHERE
    ]
    held = world.states.durable.get(names.portfolio(world.account))
    portfolio = None if held is None else held[1]
    journaled = () if portfolio is None else (cause.code for cause in portfolio.causes)
    marks = world.prices.marks()
    actor = parts.actor(names.PORTFOLIO)
    feed = parts.actor(names.FEED)
    reconciler = parts.actor(names.RECONCILER)
    report = None if reconciler is None else reconciler.report
    return Observed(
        version=installed_version(),
        venue=world.venue,
        mode=None if actor is None else int(actor.mode),
        causes=tuple(sorted({*world.causes, *journaled})),
        feed_connected=None if feed is None else feed.connected,
        balance=None if portfolio is None else float(portfolio.balance),
        equity=None if portfolio is None else float(equity(portfolio, marks)),
        drawdown_ratio=None if portfolio is None else float(drawdown(portfolio, marks)),
        positions_open=Counter((each.trader, each.direction.value) for each in positions),
        unprotected_s=max(naked, default=0.0),
        feed_age_s={
            symbol: world.prices.age_s(symbol)
            for symbol, price in world.prices.prices.items()
            if price.last
        },
        feed_stale={
            symbol: float(price.is_stale)
            for symbol, price in world.prices.prices.items()
            if price.last and price.trust is not None
        },
        market_reads={} if feed is None or feed.checks is None else feed.checks.answers,
        mailbox_depth=_by_kind(system.mailbox_depths()),
        actor_restarts=_by_kind(system.restarts),
        dead_letters=system.dead_letters.total,
        ticks=None if feed is None else sum(line.ticks for line in feed.lines.values()),
        bad_frames=None if feed is None else feed.bad_frames,
        latency=world.latency,
        loop_lag_s={} if watchdog is None else watchdog.quantiles(),
        drifting=None if report is None else sum(row.differs for row in report.rows),
        reconciled_s=None if report is None else (now - report.at).total_seconds(),
        unknown_orders=sum(
            1 for each in world.states.of_kind("order") if each.status is OrderStatus.UNKNOWN
        ),
        environment=environment_of(parts.config),
        **_line(parts, now),
    )


def _line(parts: Assembly, now: datetime) -> dict[str, Any]:
    """Return how the line to a real venue is."""
    if parts.distant is None:
        return {}
    health, link = parts.distant.health(), parts.world.link
    checked_at = link.checked_at
    return {
        "venue_up": health.state is BreakerState.CLOSED and health.clock_offset_s is not None,
        "venue_stream_up": bool(link.stream_up),
        "venue_clock_offset_s": health.clock_offset_s,
        "venue_budget_used": health.budget_used,
        "venue_checked_age_s": None if checked_at is None else (now - checked_at).total_seconds(),
    }


def _by_kind(counts: "dict[str, int] | Counter[str]") -> dict[str, int]:
    totals: Counter[str] = Counter()
    for name, count in counts.items():
        totals[name.partition("/")[0]] += count
    return totals
