"""The account's venue as people see it: where orders go, whose money, how the line to it is."""

from datetime import datetime

from actors import names
from actors.looking import Depth
from daemon.assembly import Assembly
from daemon.config_models import Config
from daemon.view_text import View
from exchanges.breaker import BreakerState, VenueHealth


def environment_of(config: Config) -> str:
    """Return "paper", "demo" or "live": whose money moves."""
    return "paper" if config.venue is None else config.venue.environment


def venue_view(parts: Assembly) -> View:
    """Return where orders go; `link` is null for the paper venue, which needs none."""
    config, world = parts.config, parts.world
    return {
        "venue": world.venue,
        "environment": environment_of(config),
        "account": world.account,
        "quarantined": {symbol: why.message for symbol, why in world.quarantined.items()},
        "link": None if parts.distant is None else _link(parts.distant.health(), parts),
    }


def _link(health: VenueHealth, parts: Assembly) -> View:
    link, now = parts.world.link, parts.world.clock.now()
    facts, offset_s = link.facts, health.clock_offset_s
    return {
        "answers": health.state is BreakerState.CLOSED and health.started,
        "why": health.why or None,
        "budget_used_pct": round(health.budget_used * 100, 1),
        "stream_up": link.stream_up,
        "stream_s": _age(link.stream_since, now),
        "stream_why": link.stream_why or None,
        "reconciled_s": _looked_s(parts),
        "checked_s": _age(link.checked_at, now),
        "clock_offset_s": None if offset_s is None else round(offset_s, 3),
        "account_id": None if facts is None else facts.account_id,
        "position_mode": None if facts is None else facts.position_mode.value,
        "may_trade": None if facts is None else facts.may_trade,
        "may_withdraw": None if facts is None else facts.may_withdraw,
        "stops_work": None if facts is None else facts.stops_work,
    }


def _looked_s(parts: Assembly) -> float | None:
    """Return seconds since the venue last told all orders and what others did."""
    reconciler = parts.actor(names.RECONCILER)
    looked: dict[Depth, float] = {} if reconciler is None else reconciler.looked_s
    if not looked:
        return None
    return round(parts.world.clock.monotonic() - max(looked.values()), 1)


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round((now - at).total_seconds(), 1)
