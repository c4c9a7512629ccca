"""The account's venue as people see it: where orders go, whose money, how the line to it is."""

from datetime import datetime

from actors.venue_link import VenueLink
from daemon.assembly import Assembly
from daemon.config_models import Config
from daemon.view_text import View


def environment_of(config: Config) -> str:
    """Return "paper", "demo" or "live": whose money moves."""
    return "paper" if config.venue is None else config.venue.environment


def venue_view(parts: Assembly) -> View:
    """Return where orders go; `link` is null for the paper venue, which needs none."""
    config, world = parts.config, parts.world
    is_paper = config.venue is None
    return {
        "venue": world.venue,
        "environment": environment_of(config),
        "account": world.account,
        "link": None if is_paper else _link(world.link, world.clock.now()),
    }


def _link(link: VenueLink, now: datetime) -> View:
    facts = link.facts
    return {
        "stream_up": link.stream_up,
        "stream_s": _age(link.stream_since, now),
        "stream_why": link.stream_why or None,
        "reconciled_s": _age(link.reconciled_at, now),
        "checked_s": _age(link.checked_at, now),
        "clock_offset_s": None if link.clock_offset_s is None else round(link.clock_offset_s, 3),
        "account_id": None if facts is None else facts.account_id,
        "position_mode": None if facts is None else facts.position_mode.value,
        "may_trade": None if facts is None else facts.may_trade,
        "may_withdraw": None if facts is None else facts.may_withdraw,
        "stops_work": None if facts is None else facts.stops_work,
    }


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round((now - at).total_seconds(), 1)
