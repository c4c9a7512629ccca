"""The port to a venue: three kinds of answer, and no exception for anything a venue may do.

An adapter turns every way a venue can answer into a value of this file. The rule of all adapters:
success needs the venue's order id, refusal needs the venue's word, and everything else is
`Unknown`.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Protocol

import msgspec

from domain.ids import ClientOrderId, Symbol, VenueOrderId
from domain.instrument import Instrument
from domain.order import Fill, OrderStatus, OrderTerms
from domain.venue import (
    Balance,
    CashFlow,
    CashKind,
    Outside,
    OutsideFill,
    VenueAccount,
    VenuePosition,
)
from exchanges.breaker import VenueHealth

__all__ = [
    "Abilities",
    "Accepted",
    "AccountFacts",
    "Balance",
    "BalanceReport",
    "Cancellation",
    "CashFlow",
    "CashKind",
    "DistantExchange",
    "Exchange",
    "NotFound",
    "Outside",
    "OutsideFill",
    "PositionMode",
    "PositionReport",
    "Refused",
    "StreamDown",
    "StreamUp",
    "Submission",
    "Unknown",
    "VenueAccount",
    "VenueOrder",
    "VenuePosition",
    "VenueUpdate",
]


class Accepted(msgspec.Struct, frozen=True):
    """The venue has the order."""

    venue_order_id: VenueOrderId


class Refused(msgspec.Struct, frozen=True):
    """The venue said no, or we did for it and nothing was sent; the venue's own code and text."""

    code: str
    text: str
    remedy: str = ""  # what a person can do about it


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


class Abilities(msgspec.Struct, frozen=True):
    """What a venue does for us besides filling orders. The paper venue: nothing of it."""

    holds_stops: bool = False  # STOP and TARGET orders rest there and trigger without us
    amends_stops: bool = False  # their price and quantity can be changed in place
    holds_trails: bool = False  # TRAIL orders
    attaches_stops: bool = False  # an entry brings a stop along, placed there once it is done
    spot_is_paid: bool = True  # what spot costs leaves the balance; not so at the paper venue
    not_held: frozenset[str] = frozenset()  # codes: an exit asks for more than is held
    off_grid: frozenset[str] = frozenset()  # codes: the size is no whole lot, or too small


class PositionMode(Enum):
    """Whether long and short of one swap are one net position or two."""

    NET = "net"
    HEDGE = "hedge"


class AccountFacts(msgspec.Struct, frozen=True):
    """What the venue says of our login."""

    account_id: str
    position_mode: PositionMode
    may_trade: bool
    may_withdraw: bool  # such a key is refused
    stops_work: bool = True  # the canary: the endpoint of stop orders answers as it should


class BalanceReport(msgspec.Struct, frozen=True):
    """Some assets' balances as pushed; assets that are not named did not change."""

    balances: tuple[Balance, ...]


class PositionReport(msgspec.Struct, frozen=True):
    """Some holdings as pushed: quantity zero is flat, what is not named did not change."""

    positions: tuple[VenuePosition, ...]


class StreamUp(msgspec.Struct, frozen=True):
    """The private stream is (again) logged in and subscribed: what came before may be missed."""


class StreamDown(msgspec.Struct, frozen=True):
    """The private stream is lost; it is being connected anew."""

    why: str


Submission = Accepted | Refused | Unknown
Cancellation = (
    Accepted | Refused | Unknown
)  # Accepted: the order is out; a refusal may mean it filled
# Pushed by the private stream, in venue order, possibly repeated.
VenueUpdate = (
    VenueOrder
    | Fill
    | OutsideFill
    | CashFlow
    | BalanceReport
    | PositionReport
    | StreamUp
    | StreamDown
)


class Exchange(Protocol):
    """One login at one venue.

    Methods return awaitables; `submit` and `cancel` read the market before they return. Reads
    answer `Unknown` when they failed: an empty tuple means the venue said "nothing".
    """

    abilities: Abilities

    def start(self, on_update: Callable[[VenueUpdate], None]) -> Awaitable[None]:
        """Connect, begin to push updates. Raises nothing a venue may cause."""

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what can be traded, with rules."""

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        """Send an order, once."""

    def cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Awaitable[Cancellation]:
        """Ask to take an order out."""

    def amend(self, terms: OrderTerms) -> Awaitable[Cancellation]:
        """Give a resting stop, target or trail of ours the quantity and trigger of `terms`."""

    def account(self) -> Awaitable[AccountFacts | Refused | Unknown]:
        """Return what this login is and may do; a refusal names what is wrong with it."""

    def outside_fills(self, since: datetime) -> Awaitable[tuple[OutsideFill, ...] | Unknown]:
        """Return executions that were not ours, oldest first."""

    def cash_flows(self, since: datetime) -> Awaitable[tuple[CashFlow, ...] | Unknown]:
        """Return what moved money besides fills, oldest first."""

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


class DistantExchange(Exchange, Protocol):
    """A venue at the end of a line that may break."""

    def whose(self) -> Awaitable[VenueAccount | Refused | Unknown]:
        """Return whose account the login is of; asks for nothing else, and changes nothing."""

    def health(self) -> VenueHealth:
        """Return how the line is doing; costs nothing."""

    def listed(self) -> tuple[Instrument, ...] | None:
        """Return what the venue lists of what is traded here, as told last; None: not told yet."""
