"""What reaches a position or an order's owner from inside the daemon.

Facts from the venue and from the feed.

Lanes order a mailbox: 0 fills, 1 exits, 2 commands, 3 prices (see the kernel's mailbox).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

import msgspec

from domain.candles import Candle
from domain.commands import ProtectionPlan, RequestedBy
from domain.ids import (
    NO_REQUEST,
    AccountName,
    ClientOrderId,
    DecisionId,
    ExitId,
    PositionId,
    RequestId,
    TraderName,
)
from domain.instrument import Direction, Instrument, PriceSource
from domain.order import Fill, OrderStatus, OrderTerms
from domain.venue import Outside

FILLS, EXITS, COMMANDS, PRICES = range(4)


class BeginEntry(msgspec.Struct, frozen=True):
    """The portfolio approved, sized and reserved an entry: a position is born."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    account: AccountName
    trader: TraderName
    instrument: Instrument
    direction: Direction
    client_order_id: ClientOrderId
    quantity: Decimal
    limit_price: Decimal | None
    leverage: Decimal
    plan: ProtectionPlan
    expires_at: datetime
    decision_id: DecisionId | None = None
    rationale: str = ""
    request_id: RequestId = NO_REQUEST
    user: str = ""


class BeginAddition(msgspec.Struct, frozen=True):
    """The portfolio approved, sized and reserved an addition to a position that is open."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    client_order_id: ClientOrderId
    quantity: Decimal
    limit_price: Decimal | None
    expires_at: datetime
    stop_price: Decimal | None = None  # moves the stop of the whole at once
    widen: bool = False
    requested_by: RequestedBy = RequestedBy.USER_MANUAL
    decision_id: DecisionId | None = None
    rationale: str = ""
    request_id: RequestId = NO_REQUEST


class FillReported(msgspec.Struct, frozen=True):
    """The exchange actor journaled a fill of one of our orders; possibly told before."""

    lane: ClassVar[int] = FILLS
    position_id: PositionId
    fill: Fill
    ordered: Decimal | None = None  # base units that its order asked for; None: not told


class AdoptPosition(msgspec.Struct, frozen=True):
    """Take over what the venue holds and nobody here opened: a position is born."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    account: AccountName
    instrument: Instrument
    direction: Direction
    quantity: Decimal  # base units, > 0
    price: Decimal  # the venue's average, quote
    leverage: Decimal
    plan: ProtectionPlan  # the emergency stop
    rationale: str = ""


class OutsideReported(msgspec.Struct, frozen=True):
    """A part of a position, or all of it, was closed at the venue, and not by us."""

    lane: ClassVar[int] = FILLS
    position_id: PositionId
    fill: Fill  # without an order of ours
    cause: Outside
    estimated: bool = False  # nobody told the price


class FundingTold(msgspec.Struct, frozen=True):
    """The portfolio has booked funding: what of it is this position's, in all."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    total: Decimal  # quote, below zero: paid
    at: datetime


class GridTold(msgspec.Struct, frozen=True):
    """What the venue takes orders of, by now: it may change that while a position is held."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    lot_size: Decimal  # base units
    min_quantity: Decimal  # base units
    max_market: Decimal | None = None  # base units
    max_market_value: Decimal | None = None  # quote


class OrderEnded(msgspec.Struct, frozen=True):
    """An order of ours is terminal; every fill it had was told before."""

    lane: ClassVar[int] = FILLS
    position_id: PositionId
    client_order_id: ClientOrderId
    status: OrderStatus
    why: str
    at_start: bool = False  # found by the first look of a process
    filled: Decimal = Decimal(0)  # base units: of all those fills


class ExitLocked(msgspec.Struct, frozen=True):
    """An exit has not left: a stop that rests may sell the same, and others hold the symbol."""

    lane: ClassVar[int] = FILLS
    position_id: PositionId
    client_order_id: ClientOrderId


class OrderReported(msgspec.Struct, frozen=True):
    """What has become of a stop, target or trail of ours that rests at the venue.

    OPEN: it rests there with these terms, and nothing we asked of it is outstanding. TRIGGERED: it
    fired; fills follow, or an end.
    """

    lane: ClassVar[int] = FILLS
    position_id: PositionId
    status: OrderStatus  # OPEN or TRIGGERED
    terms: OrderTerms  # as the venue has them
    change: int = 0  # the last change of ours that these terms are the outcome of
    refused: str = ""  # "code: text" when it was refused
    outside: bool = False  # nobody here asked for these terms
    at_start: bool = False  # found by the first look of a process
    at_target: bool = False  # of one that fired: at its target


class Armed(msgspec.Struct, frozen=True):
    """The feed watches the levels of this protection version from now on."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    version: int
    since: datetime  # the feed's stamp: non-decreasing, extremes after it count


class Crossed(msgspec.Struct, frozen=True):
    """A price touched or passed a level, as far as floats can tell; the owner judges exactly."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    exit_id: ExitId
    version: int
    price: Decimal
    source: PriceSource
    frame: int
    tick_id: str
    at: datetime  # venue time
    best: Decimal | None = None  # of a trail: best price since it was armed
    low: Decimal | None = None  # extremes since the position was armed first
    high: Decimal | None = None
    while_down: bool = False  # found in the venue's candles of a downtime


class GuardLost(msgspec.Struct, frozen=True):
    """The feed restarted: what it watched must be armed again."""

    lane: ClassVar[int] = EXITS
    why: str


class Offline(msgspec.Struct, frozen=True):
    """The daemon was down: these candles of the venue tell what the prices did meanwhile."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    began: datetime
    until: datetime
    ahead: timedelta  # the venue's clock minus ours as it was when the rules were set
    candles: Mapping[PriceSource, Sequence[Candle]]  # oldest first
    frame: int
    best: Decimal | None = None  # for the trail, as the feed had seen it when it began


class Wake(msgspec.Struct, frozen=True):
    """A timer the position asked for has run out."""

    lane: ClassVar[int] = EXITS
    # "time_exit", "retry_exit", "unprotected", "overdue"; of the stop at the venue "grace",
    # "release_exit", "venue_stop", "venue_stop_retry", "align"
    purpose: str
    exit_id: ExitId | None = None
    version: int = 0
    crossed: Crossed | None = None  # of a grace


class ResolveConflict(msgspec.Struct, frozen=True):
    """A person accepts or refuses a held automatic change."""

    position_id: PositionId
    conflict_id: str
    accept: bool
    request_id: RequestId = NO_REQUEST
