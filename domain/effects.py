"""What a decision asks of the world.

The shell releases an effect when the events before it are durable.
"""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

import msgspec

from domain.errors import Refusal
from domain.ids import ClientOrderId, ExitId, PositionId, RequestId, Symbol, TraderName
from domain.inputs import EXITS, FILLS, Crossed
from domain.instrument import Direction
from domain.order import Fill, OrderTerms
from domain.protection import ExitReason, Level, TrailLevel


class SubmitOrder(msgspec.Struct, frozen=True):
    """Send an order through the exchange actor.

    `armed` exits have had their id durable since their rule was set: they leave at once, the
    journal follows.
    """

    lane: ClassVar[int] = EXITS
    terms: OrderTerms
    armed: bool = False
    expires_at: datetime | None = None  # an entry decided for an older market is not sent
    decided_at: datetime | None = None  # of an exit; an entry's reservation tells it


class CancelOrder(msgspec.Struct, frozen=True):
    """Take one order out, by id; never "all"."""

    lane: ClassVar[int] = EXITS
    client_order_id: ClientOrderId
    symbol: Symbol
    at_once: bool = False  # an exit waits for it: it does not wait for the disk


class AmendOrder(msgspec.Struct, frozen=True):
    """Give an order that rests at the venue the quantity and trigger of `terms`."""

    lane: ClassVar[int] = EXITS
    terms: OrderTerms
    number: int = 0  # of the changes of this order
    at_once: bool = False  # an exit waits for it


class FreeReservation(msgspec.Struct, frozen=True):
    """Tell the portfolio that an approved addition is not made."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    client_order_id: ClientOrderId
    why: str


class BookOutside(msgspec.Struct, frozen=True):
    """Tell the portfolio an execution that no order of ours had."""

    lane: ClassVar[int] = FILLS
    position_id: PositionId
    fill: Fill


class AskOrders(msgspec.Struct, frozen=True):
    """Tell again all fills and ends of these orders.

    What the exchange does not know it must find out.
    """

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    client_order_ids: tuple[ClientOrderId, ...]
    terms: tuple[OrderTerms, ...] = ()  # exits may have been sent though nobody journaled it


class Arm(msgspec.Struct, frozen=True):
    """Watch exactly these levels for the position, instead of any before."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    symbol: Symbol
    version: int
    levels: tuple[Level | TrailLevel, ...]
    since: datetime | None  # when the position was first armed
    at_once: bool = False  # a rule of the plan moved a level: it counts from the next price on


class Disarm(msgspec.Struct, frozen=True):
    """Stop watching one level, or all.

    Unless it is `over`, the position may be armed again, and what the price does meanwhile counts.
    """

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    symbol: Symbol
    exit_id: ExitId | None = None
    over: bool = False


class RejectCrossing(msgspec.Struct, frozen=True):
    """The exact judge says no: the level stays armed."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    symbol: Symbol
    exit_id: ExitId
    version: int


class WakeAfter(msgspec.Struct, frozen=True):
    """Send the position a `Wake` later."""

    delay_s: float
    purpose: str
    exit_id: ExitId | None = None
    version: int = 0
    crossed: Crossed | None = None  # what the wake is about


class Answer(msgspec.Struct, frozen=True):
    """Answer a question from outside: what was done, or why not."""

    request_id: RequestId
    position_id: PositionId
    refusal: Refusal | None = None


class AnnounceOpened(msgspec.Struct, frozen=True):
    """Tell the trader that a position has its first fill."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    trader: TraderName
    symbol: Symbol
    direction: Direction


class AnnounceClosed(msgspec.Struct, frozen=True):
    """Tell trader and portfolio that a position is over."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    trader: TraderName
    symbol: Symbol
    reason: ExitReason
    realized_pnl: Decimal  # quote, net of fees


class Alarm(msgspec.Struct, frozen=True):
    """Something a person must know now."""

    code: str
    message: str
    position_id: PositionId | None = None


PositionEffect = (
    SubmitOrder
    | CancelOrder
    | AmendOrder
    | FreeReservation
    | BookOutside
    | AskOrders
    | Arm
    | Disarm
    | RejectCrossing
    | WakeAfter
    | Answer
    | AnnounceOpened
    | AnnounceClosed
    | Alarm
)
