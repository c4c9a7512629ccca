"""The port to a venue: three kinds of answer, and no exception for anything a venue may do.

An adapter turns every way a venue can answer into a value of this file. The rule of all adapters:
success needs the venue's order id, refusal needs the venue's word, and everything else is
`Unknown`.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import msgspec

from domain.ids import ClientOrderId, Symbol, VenueOrderId
from domain.instrument import Instrument
from domain.order import Fill, OrderStatus, OrderTerms


class Accepted(msgspec.Struct, frozen=True):
    """The venue has the order."""

    venue_order_id: VenueOrderId


class Refused(msgspec.Struct, frozen=True):
    """The venue said no; its own code and text."""

    code: str
    text: str


class Unknown(msgspec.Struct, frozen=True):
    """No usable answer: it may have happened or not."""

    why: str


class NotFound(msgspec.Struct, frozen=True):
    """The venue does not know the id; alone no proof that it never did."""


class VenueOrder(msgspec.Struct, frozen=True):
    """An order as the venue reports it."""

    terms: OrderTerms
    venue_order_id: VenueOrderId
    status: OrderStatus
    filled: Decimal  # base units
    average_price: Decimal  # quote per base unit; 0 when nothing filled
    reason: str  # the venue's code and text when rejected
    updated_at: datetime


class Balance(msgspec.Struct, frozen=True):
    """An account's money in one asset."""

    asset: str
    total: Decimal
    available: Decimal


class VenuePosition(msgspec.Struct, frozen=True):
    """A holding of one instrument; negative when short.

    A venue in hedge mode reports the long and the short side of a symbol as two of these, and the
    net is their sum; a venue in net mode, and any venue for spot, reports one.
    """

    symbol: Symbol
    quantity: Decimal  # base units, signed, not 0
    average_price: Decimal  # quote per base unit


Submission = Accepted | Refused | Unknown
Cancellation = (
    Accepted | Refused | Unknown
)  # Accepted: the order is out; a refusal may mean it filled
VenueUpdate = VenueOrder | Fill  # pushed by the private stream, in venue order, possibly repeated


class Exchange(Protocol):
    """One login at one venue.

    Methods return awaitables; `submit` and `cancel` read the market before they return. Reads
    answer `Unknown` when they failed: an empty tuple means the venue said "nothing".
    """

    def start(self, on_update: Callable[[VenueUpdate], None]) -> Awaitable[None]:
        """Connect, begin to push updates. Raises nothing a venue may cause."""

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what can be traded, with rules."""

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        """Send an order, once."""

    def cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Awaitable[Cancellation]:
        """Ask to take an order out."""

    def order(
        self, symbol: Symbol, order_id: ClientOrderId
    ) -> Awaitable[VenueOrder | NotFound | Unknown]:
        """Look one order up by our id."""

    def open_orders(self) -> Awaitable[tuple[VenueOrder, ...] | Unknown]:
        """Return all that rest at the venue."""

    def fills(self, since: datetime | None) -> Awaitable[tuple[Fill, ...] | Unknown]:
        """Return executions from `since` on (all, without), oldest first."""

    def balances(self) -> Awaitable[tuple[Balance, ...] | Unknown]:
        """Return the account's money."""

    def positions(self) -> Awaitable[tuple[VenuePosition, ...] | Unknown]:
        """Return holdings that are not zero; of one symbol there may be a long and a short."""

    def close(self) -> Awaitable[None]:
        """Disconnect; what was acknowledged stays."""
