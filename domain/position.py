"""A position: its data. `position_events.py` has its events, `position_life.py` its life.

A position is born when an entry is intended and owns everything that closes it again. Its quantity
comes from its fills and from nothing else.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum

import msgspec

from domain.commands import ModificationType, ModifyProtection, ProtectionPlan, RequestedBy
from domain.errors import InvariantError
from domain.ids import AccountName, ClientOrderId, DecisionId, ExitId, PositionId, TraderName
from domain.instrument import Direction, Instrument, PriceSource
from domain.money import ONE, ZERO
from domain.order import Fill, OrderStatus, OrderType
from domain.pnl import Ledger
from domain.protection import ExitReason, Protection
from domain.venue import Outside
from domain.venue_stop import NOTHING_AT_VENUE, AtVenue


class PositionStatus(Enum):
    """Where a position is in its life."""

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python

    ENTRY_PENDING = "entry_pending"
    OPEN_UNPROTECTED = "open_unprotected"
    OPEN_PROTECTED = "open_protected"
    MODIFYING = "modifying"  # a change of protection is on its way to where the stop lives
    CLOSING = "closing"  # an exit of everything that remains is on its way
    CLOSED = "closed"
    UNKNOWN = "unknown"
    ADOPTED = "adopted"
    QUARANTINED = "quarantined"  # hands off, alarm
    CLOSED_EXTERNAL = "closed_external"
    LIQUIDATED = "liquidated"
    CLOSED_WITH_DUST = "closed_with_dust"


_S = PositionStatus
CLOSED_STATUSES = frozenset({_S.CLOSED, _S.CLOSED_EXTERNAL, _S.LIQUIDATED, _S.CLOSED_WITH_DUST})
_ENDS = frozenset({_S.CLOSED_EXTERNAL, _S.LIQUIDATED, _S.CLOSED_WITH_DUST})
_ASIDE = frozenset({_S.UNKNOWN, _S.QUARANTINED})

TRANSITIONS: dict[PositionStatus, frozenset[PositionStatus]] = {
    _S.ENTRY_PENDING: frozenset({_S.OPEN_UNPROTECTED, _S.CLOSED}) | _ASIDE,
    _S.OPEN_UNPROTECTED: frozenset({_S.OPEN_PROTECTED, _S.CLOSING, _S.CLOSED}) | _ENDS | _ASIDE,
    _S.OPEN_PROTECTED: frozenset({_S.MODIFYING, _S.OPEN_UNPROTECTED, _S.CLOSING, _S.CLOSED})
    | _ENDS
    | _ASIDE,
    _S.MODIFYING: frozenset({_S.OPEN_PROTECTED, _S.OPEN_UNPROTECTED, _S.CLOSING, _S.CLOSED})
    | _ENDS
    | _ASIDE,
    _S.CLOSING: frozenset({_S.OPEN_UNPROTECTED, _S.OPEN_PROTECTED, _S.CLOSED}) | _ENDS | _ASIDE,
    _S.UNKNOWN: frozenset(PositionStatus) - {_S.ENTRY_PENDING},
    _S.ADOPTED: frozenset({_S.OPEN_UNPROTECTED, _S.OPEN_PROTECTED, _S.CLOSING}) | _ENDS | _ASIDE,
    _S.QUARANTINED: frozenset({_S.OPEN_UNPROTECTED, _S.CLOSING, _S.CLOSED}) | _ENDS,
    _S.CLOSED: frozenset(),
    _S.CLOSED_EXTERNAL: frozenset(),
    _S.LIQUIDATED: frozenset(),
    _S.CLOSED_WITH_DUST: frozenset(),
}


class Trigger(msgspec.Struct, frozen=True):
    """The market event that fired an exit, exact enough to find it again in a recording."""

    price: Decimal  # the price that crossed
    level: Decimal  # the level it crossed
    source: PriceSource
    frame: int  # how many frames the feed had received, this one included
    tick_id: str  # the venue's trade or update id
    at: datetime  # venue time, UTC
    while_down: bool = False  # found in the venue's candles of a downtime; `at` is one's end


class Entry(msgspec.Struct, frozen=True):
    """An order that opens a position or adds to it, as sized and approved."""

    client_order_id: ClientOrderId
    type: OrderType  # MARKET or LIMIT
    quantity: Decimal  # base units
    limit_price: Decimal | None = None
    status: OrderStatus = OrderStatus.INTENT
    attached: ClientOrderId | None = None  # the stop that it brings along to the venue
    with_target: bool = False  # … and the target, in one order


class ExitOrder(msgspec.Struct, frozen=True):
    """An exit order of this position, from firing to its end."""

    exit_id: ExitId
    client_order_id: ClientOrderId
    reason: ExitReason
    quantity: Decimal  # base units asked
    filled: Decimal = ZERO
    done: bool = False  # nothing more will come
    whole: bool = True  # meant to close everything that remained
    trigger: Trigger | None = None
    frame: int = 0  # how many frames the feed had received when it fired
    price: Decimal | None = None  # last price when it fired, or the price that crossed
    waits: bool = False  # not sent: the stop at the venue must let go of its units first
    at_venue: bool = False  # it is the order of the stop that rested at the venue
    beside: bool = False  # it left while a stop rests at the venue, which stays until it is over
    rule: ExitId | None = None  # why it left, where that is not `exit_id`: one of several parts

    @property
    def stands_for(self) -> ExitId:
        """The rule whose order it is: each of several parts has an id of its own."""
        return self.exit_id if self.rule is None else self.rule

    @property
    def outstanding(self) -> Decimal:
        """Base units that may still be sold by it."""
        return ZERO if self.done else self.quantity - self.filled


class ArmedExit(msgspec.Struct, frozen=True):
    """The id that an exit's order will carry; journaled before it may fire."""

    exit_id: ExitId
    client_order_id: ClientOrderId


class Check(msgspec.Struct, frozen=True):
    """One constraint of a validation: what is, and what is required."""

    name: str
    current: str
    required: str


class Validation(msgspec.Struct, frozen=True):
    """The result of checking a change."""

    errors: tuple[str, ...] = ()  # codes
    warnings: tuple[str, ...] = ()
    constraints: tuple[Check, ...] = ()

    @property
    def passed(self) -> bool:
        """Nothing forbids it."""
        return not self.errors


class Modification(msgspec.Struct, frozen=True):
    """A change of protection, done or refused, as it is kept for ever."""

    type: ModificationType
    requested_by: RequestedBy
    reason: str
    previous: Protection
    new: Protection  # equal to `previous` when refused
    validation: Validation
    at: datetime
    error: str = ""  # empty when done


class Conflict(msgspec.Struct, frozen=True):
    """An automatic suggestion that met a manual change; a person accepts or refuses it."""

    conflict_id: str
    modification: Modification
    wish: ModifyProtection | None = None  # None in the journals of older versions


NO_PROTECTION = Protection(version=0)  # before the first fill


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything known about one position, as of its last event."""

    id: PositionId
    account: AccountName
    trader: TraderName
    instrument: Instrument
    direction: Direction
    status: PositionStatus
    entry: Entry
    plan: ProtectionPlan
    intended_at: datetime
    leverage: Decimal = ONE
    paper: bool = True
    user: str = ""
    decision_id: DecisionId | None = None
    rationale: str = ""
    fills: tuple[Fill, ...] = ()
    ledger: Ledger = Ledger()
    protection: Protection = NO_PROTECTION
    acknowledged_version: int = 0
    armed_since: datetime | None = None  # the feed's stamp of the first arming
    armed: tuple[ArmedExit, ...] = ()
    epochs: tuple[tuple[ExitId, int], ...] = ()  # legs whose order had to be replaced
    exits: tuple[ExitOrder, ...] = ()
    modifications: tuple[
        Modification, ...
    ] = ()  # the last few; all are in the journal and the read table
    modification_count: int = 0
    conflicts: tuple[Conflict, ...] = ()
    manual_lock: bool = False  # a person changed the protection; automatic changes become conflicts
    last_automatic_at: datetime | None = None
    opened_at: datetime | None = None  # first fill
    closed_at: datetime | None = None
    is_settled: bool = False
    withdrawn: ExitReason | None = None  # why nobody wants the entry any more
    modified_at: datetime | None = None
    best_price: Decimal | None = None
    worst_price: Decimal | None = None
    exit_reason: ExitReason | None = None
    conflict_count: int = 0  # ever; an id is used once
    failed_exits: int = 0  # in a row; slows down how fast a refused exit is tried again
    additions: tuple[Entry, ...] = ()  # scaled in, oldest first
    judged_until: datetime | None = None  # candles of a downtime have done what they could
    at_venue: AtVenue = NOTHING_AT_VENUE  # the stop that rests there
    outside: Outside | None = None  # who reduced it last at the venue, when it was not us

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The order that opened it, then those that added to it."""
        return (self.entry, *self.additions)

    @property
    def outside_fills(self) -> tuple[Fill, ...]:
        """Executions that no order of ours had: the exchange cannot tell them again."""
        return tuple(fill for fill in self.fills if not fill.client_order_id)

    def entry_of(self, order_id: ClientOrderId) -> Entry | None:
        """Find the entry, the first or an addition, that has this order."""
        return next((each for each in self.entries if each.client_order_id == order_id), None)

    @property
    def is_closed(self) -> bool:
        """Nothing will happen to it any more."""
        return self.status in CLOSED_STATUSES

    @property
    def entry_quantity(self) -> Decimal:
        """Base units bought (sold, for a short) in all."""
        return self.ledger.quantity

    @property
    def entry_price(self) -> Decimal:
        """Average, quote per base unit; 0 before the first fill."""
        return self.ledger.average_price

    @property
    def remaining(self) -> Decimal:
        """Base units still held."""
        return self.ledger.remaining

    @property
    def fees(self) -> Decimal:
        """Quote, all fills; fees in base valued at their fill."""
        return self.ledger.fees

    @property
    def outstanding_exits(self) -> Decimal:
        """Base units that exits under way may still close."""
        return sum((order.outstanding for order in self.exits), ZERO)

    @property
    def free_quantity(self) -> Decimal:
        """Base units that no exit under way has claimed."""
        return self.remaining - self.outstanding_exits

    @property
    def realized_pnl(self) -> Decimal:
        """Quote, net of all fees and of funding so far."""
        return self.ledger.realized_pnl

    def unrealized_pnl(self, price: Decimal) -> Decimal:
        """Quote, of what remains, at `price`."""
        return self.ledger.unrealized_pnl(price, self.direction)


def to_status(position: Position, status: PositionStatus, **changes: object) -> Position:
    """Return the position with another status. Raises `InvariantError` where the table says no."""
    if status is not position.status and status not in TRANSITIONS[position.status]:
        raise InvariantError(
            f"position {position.id}: {position.status.value} cannot become {status.value}"
        )
    return msgspec.structs.replace(position, status=status, **changes)
