"""What the paper venue keeps: orders, executions, holdings and cash, as the ledger stores them.

Matching changes these records in memory and collects every change; the ledger commits the
collected changes; only then does anybody outside hear of them. All records are immutable, so a
batch of changes can be written by the worker while matching goes on.
"""

from datetime import datetime
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal

import msgspec

from domain.ids import ClientOrderId, Symbol, VenueOrderId
from domain.instrument import Direction
from domain.money import ZERO
from domain.order import Fill, OrderStatus, OrderTerms
from exchanges.port import VenueOrder, VenuePosition, VenueUpdate

_GRAIN = Decimal("1e-12")
_WIDE = Context(prec=60)

OPEN_STATUSES = (OrderStatus.OPEN, OrderStatus.PARTIAL, OrderStatus.TRIGGERED)


def settled(amount: Decimal) -> Decimal:
    """Round a quotient to 12 decimals, so that whatever goes in and out of cash adds up exactly."""
    return amount.quantize(_GRAIN, rounding=ROUND_HALF_EVEN, context=_WIDE)


def charged(amount: Decimal) -> Decimal:
    """Round a fee to 12 decimals, in the venue's favor."""
    return amount.quantize(_GRAIN, rounding=ROUND_CEILING, context=_WIDE)


class PaperOrder(msgspec.Struct, frozen=True):
    """An order the venue accepted; a refused one never was."""

    number: int  # 1, 2, …: time priority, and the venue's id
    terms: OrderTerms
    status: OrderStatus
    created_at: datetime
    updated_at: datetime
    filled: Decimal = ZERO  # base units
    value: Decimal = ZERO  # quote, sum of quantity times price over its fills
    frozen: Decimal = ZERO  # set aside while it rests: base units of a spot sale, else quote
    reason: str = ""

    @property
    def id(self) -> ClientOrderId:
        """Return the client's id, which finds it."""
        return self.terms.client_order_id

    @property
    def venue_order_id(self) -> VenueOrderId:
        """Return our id."""
        return VenueOrderId(f"O{self.number}")

    @property
    def remaining(self) -> Decimal:
        """Base units not executed."""
        return self.terms.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether it may still execute."""
        return self.status in OPEN_STATUSES

    def as_venue_order(self) -> VenueOrder:
        """Return it as the port shows it."""
        return VenueOrder(
            terms=self.terms,
            venue_order_id=self.venue_order_id,
            status=self.status,
            filled=self.filled,
            average_price=self.value / self.filled if self.filled else ZERO,
            reason=self.reason,
            updated_at=self.updated_at,
        )


class Execution(msgspec.Struct, frozen=True):
    """A fill and what it earned."""

    number: int  # 1, 2, …: never used twice
    fill: Fill
    realized: Decimal  # quote, before fees


HoldingKey = tuple[Symbol, Direction]


class Holding(msgspec.Struct, frozen=True):
    """One side of one symbol; spot is only ever long, and held with full margin."""

    symbol: Symbol
    direction: Direction
    quantity: Decimal = ZERO  # base units, never negative
    cost: Decimal = ZERO  # quote, never negative: what it was entered for
    margin: Decimal = ZERO  # quote set aside for it

    @property
    def key(self) -> HoldingKey:
        """Return what finds it."""
        return self.symbol, self.direction

    def as_position(self) -> VenuePosition:
        """Return it as the port shows it; only of a holding that is not zero."""
        return VenuePosition(
            symbol=self.symbol,
            quantity=self.direction.sign * self.quantity,
            average_price=self.cost / self.quantity,
        )


class Cash(msgspec.Struct, frozen=True):
    """Money and counters. `amount` is the starting balance plus `realized` less `fees`."""

    amount: Decimal  # quote
    realized: Decimal = ZERO  # quote, of all fills so far, before fees
    fees: Decimal = ZERO  # quote
    orders: int = 0  # how many were ever accepted
    trades: int = 0  # how many executions there ever were


class Records(msgspec.Struct, frozen=True):
    """What a venue starts from: everything that is still in play."""

    cash: Cash
    holdings: tuple[Holding, ...] = ()
    open_orders: tuple[PaperOrder, ...] = ()  # oldest first
    recent_ids: tuple[ClientOrderId, ...] = ()  # of the latest orders, oldest first


class Changes(msgspec.Struct):
    """What happened since the last commit: the records to store, and what to tell once they are."""

    cash: Cash | None = None
    orders: dict[ClientOrderId, PaperOrder] = msgspec.field(default_factory=dict)
    executions: list[Execution] = msgspec.field(default_factory=list)
    holdings: dict[HoldingKey, Holding] = msgspec.field(default_factory=dict)
    updates: list[VenueUpdate] = msgspec.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store. Every change touches an order."""
        return not self.orders

    def absorb(self, later: "Changes") -> None:
        """Add what came afterwards; of a record changed twice the later state stays."""
        self.cash = later.cash or self.cash
        self.orders.update(later.orders)
        self.executions.extend(later.executions)
        self.holdings.update(later.holdings)
        self.updates.extend(later.updates)
