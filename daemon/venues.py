"""The account's venue: who stands behind the port, and whether this data directory is of it."""

import structlog

from daemon.config_models import Config
from daemon.errors import StartError
from domain.errors import Refusal
from domain.portfolio_state import Portfolio
from storage.store import Store

log = structlog.get_logger("system")


def check_venue(config: Config, store: Store) -> None:
    """Refuse a start at another venue than the one that holds what is open. Raises `StartError`."""
    venue = config.account.venue
    for name, (_, state) in store.recovered.streams.items():
        if not name.startswith("portfolio/"):
            continue
        portfolio: Portfolio = state
        if portfolio.venue == venue or not (portfolio.holdings or portfolio.reservations):
            continue
        count = len(portfolio.holdings) or len(portfolio.reservations)
        raise StartError(
            Refusal(
                "VENUE_CHANGED",
                f"Account {portfolio.account} has {count} open at {portfolio.venue}, and"
                f" account.venue says {venue}: nobody would guard them there.",
                f"Set account.venue to {portfolio.venue} and close them first"
                " (holdfast close --all), or give this venue its own data_dir.",
            )
        )
    section = config.venue
    if section is not None and section.is_live and not section.confirm_live:
        raise StartError(
            Refusal(
                "LIVE_NOT_CONFIRMED",
                f"The venue {venue} is live: its orders move real money.",
                f"Read “Before live” in docs/okx.md, then set venues.{venue}.confirm_live: true.",
            )
        )
