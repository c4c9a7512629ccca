"""Addresses. Actors know each other by name and nothing else."""

from domain.ids import AccountName, ClientOrderId, PositionId, TraderName

PERSISTENCE = "persistence"
PORTFOLIO = "portfolio"
EXCHANGE = "exchange"
FEED = "feed"
POSITIONS = "positions"
TRADERS = "traders"
RECONCILER = "reconciler"  # compares what the venue holds with what we believe
VENUE_CHECK = "venue-check"  # of an account at a real venue
CATCH_UP = "catch-up"  # after a start: what happened while nobody watched
EDGE = "edge"  # where questions from outside wait for their answers


def position(position_id: PositionId) -> str:
    """Return the address, and the journal stream, of a position."""
    return f"position/{position_id}"


def order_stream(order_id: ClientOrderId) -> str:
    """Return the journal stream of an order; the exchange actor owns it."""
    return f"order/{order_id}"


def trader(name: TraderName) -> str:
    """Return the address, and the journal stream, of a trader."""
    return f"trader/{name}"


def portfolio(account: AccountName) -> str:
    """Return the journal stream of an account."""
    return f"portfolio/{account}"


def feed(venue: str) -> str:
    """Return the journal stream of a feed."""
    return f"feed/{venue}"
