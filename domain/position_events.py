"""The events of a position, as the journal has them; `position_life.py` has what follows."""

from datetime import datetime
from decimal import Decimal

import msgspec

from domain.commands import ProtectionPlan, RequestedBy
from domain.ids import AccountName, ClientOrderId, DecisionId, ExitId, PositionId, TraderName
from domain.instrument import Direction, Instrument
from domain.order import Fill, OrderStatus
from domain.position import ArmedExit, Conflict, Entry, ExitOrder, Modification, PositionStatus
from domain.protection import ExitReason, Protection
from domain.venue import Outside
from domain.venue_stop_events import AnyVenueStopEvent


class PositionEvent(msgspec.Struct, frozen=True):
    """Something that happened to one position."""


class PositionIntended(PositionEvent, frozen=True):
    """An entry was approved, sized and reserved for; the position exists from here."""

    position_id: PositionId
    account: AccountName
    trader: TraderName
    instrument: Instrument
    direction: Direction
    entry: Entry
    plan: ProtectionPlan
    leverage: Decimal
    at: datetime
    paper: bool = True
    user: str = ""
    decision_id: DecisionId | None = None
    rationale: str = ""


class PositionAdopted(PositionEvent, frozen=True):
    """The venue holds what nobody here opened; it is ours from here on, under an emergency stop."""

    position_id: PositionId
    account: AccountName
    instrument: Instrument
    direction: Direction
    entry: Entry  # its order never was: the id only names it
    fill: Fill  # what is held, at the venue's average price; no order of ours
    plan: ProtectionPlan
    leverage: Decimal
    at: datetime
    paper: bool = True
    rationale: str = ""


class PositionReducedOutside(PositionEvent, frozen=True):
    """All or a part of it was closed at the venue, not by us; `fill` has no order of ours."""

    fill: Fill
    cause: Outside
    estimated: bool  # nobody told the price: it is the mark of the moment
    at: datetime


class PositionFunded(PositionEvent, frozen=True):
    """Its part of what funding has paid or taken so far."""

    total: Decimal  # quote since it was opened; below zero: paid
    at: datetime


class GridChanged(PositionEvent, frozen=True):
    """The venue takes orders of other sizes than when it was opened."""

    lot_size: Decimal  # base units
    min_quantity: Decimal  # base units
    at: datetime
    max_market: Decimal | None = None  # base units
    max_market_value: Decimal | None = None  # quote


class AdditionIntended(PositionEvent, frozen=True):
    """An addition was approved, sized and reserved for; its order leaves once this is durable."""

    entry: Entry
    requested_by: RequestedBy
    at: datetime
    decision_id: DecisionId | None = None
    rationale: str = ""


class EntryEnded(PositionEvent, frozen=True):
    """An entry order, the first or an addition's, will fill no further."""

    client_order_id: ClientOrderId
    status: OrderStatus
    why: str
    at: datetime


class EntryWithdrawn(PositionEvent, frozen=True):
    """Nobody wants the entry any more: its order is canceled, what fills all the same is closed."""

    reason: ExitReason
    at: datetime


class PositionFilled(PositionEvent, frozen=True):
    """One of its orders executed."""

    fill: Fill
    exit_id: ExitId | None = None  # None: an entry, the first or an addition


class ProtectionSet(PositionEvent, frozen=True):
    """The rules in force from now on, and the order ids that their exits will use."""

    protection: Protection
    armed: tuple[ArmedExit, ...]
    at: datetime


class ProtectionAcknowledged(PositionEvent, frozen=True):
    """Where the stop lives, it is in force."""

    version: int
    since: datetime  # the feed's stamp; a new trail counts extremes from here
    at: datetime
    protects: bool = True  # False: the daemon watches, but the stop is to rest at the venue


class ProtectionLost(PositionEvent, frozen=True):
    """Nothing guards the position for the moment."""

    why: str
    at: datetime


class ExitFired(PositionEvent, frozen=True):
    """An exit's order was sent (written behind for armed exits)."""

    exit: ExitOrder
    at: datetime
    best_price: Decimal | None = None  # extremes since entry, as the feed saw them
    worst_price: Decimal | None = None


class ExitEnded(PositionEvent, frozen=True):
    """An exit order ended with a remainder."""

    client_order_id: ClientOrderId
    status: OrderStatus
    why: str
    at: datetime


class ProtectionModified(PositionEvent, frozen=True):
    """A change was accepted; `ProtectionSet` follows in the same step."""

    modification: Modification


class ModificationRefused(PositionEvent, frozen=True):
    """A change was refused; nothing moved."""

    modification: Modification


class SuggestionHeld(PositionEvent, frozen=True):
    """An automatic change waits for a person because a manual one came first."""

    conflict: Conflict


class ConflictResolved(PositionEvent, frozen=True):
    """A person accepted or refused a held suggestion."""

    conflict_id: str
    accepted: bool
    at: datetime


class DowntimeJudged(PositionEvent, frozen=True):
    """The venue's candles tell what happened while nobody watched; what they crossed follows."""

    began: datetime  # of the downtime
    until: datetime
    candles: int  # that count
    crossed: tuple[ExitId, ...]
    at: datetime
    best: Decimal | None = None  # for the trail, where it is better than before
    low: Decimal | None = None  # of the last price
    high: Decimal | None = None


class PositionQuarantined(PositionEvent, frozen=True):
    """Its actor kept failing: hands off, alarm."""

    why: str
    at: datetime


class PositionClosed(PositionEvent, frozen=True):
    """Nothing remains, or only dust that cannot be sold."""

    status: PositionStatus
    reason: ExitReason
    realized_pnl: Decimal  # quote, net of fees
    fees: Decimal  # quote
    dust: Decimal  # base units left over
    at: datetime


class PositionSettled(PositionEvent, frozen=True):
    """Its portfolio has booked everything: nobody needs it or its orders in memory any more."""

    at: datetime


AnyPositionEvent = (
    PositionIntended
    | PositionAdopted
    | PositionReducedOutside
    | PositionFunded
    | GridChanged
    | AdditionIntended
    | EntryEnded
    | EntryWithdrawn
    | PositionFilled
    | ProtectionSet
    | ProtectionAcknowledged
    | ProtectionLost
    | ExitFired
    | ExitEnded
    | ProtectionModified
    | ModificationRefused
    | SuggestionHeld
    | ConflictResolved
    | DowntimeJudged
    | PositionQuarantined
    | PositionClosed
    | PositionSettled
    | AnyVenueStopEvent
)
