"""The life of an order.

An order is ours from INTENT to a terminal state. Three things make it trustworthy:

- The intent is durable before the request leaves, so a crash can always be followed by a question.
- A lost answer is a state, UNKNOWN, that only evidence from the venue ends. Nothing is sent twice.
- Fills count by `trade_id`. A terminal order that fills late is still credited: the money moved.

`TRANSITIONS` is the whole truth about which change may follow which; the diagram in `docs/` is
drawn from it.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import assert_never

import msgspec

from domain.attempts import Attempt
from domain.errors import InvariantError
from domain.ids import ClientOrderId, PositionId, Symbol, TradeId, VenueOrderId
from domain.instrument import PriceSource, Side
from domain.money import ZERO, Fee


class OrderStatus(Enum):
    """Where an order is in its life."""

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python

    INTENT = "intent"  # decided and journaled, not sent
    SENDING = "sending"  # request under way
    OPEN = "open"
    PARTIAL = "partial"
    TRIGGERED = "triggered"  # a stop order that fired at the venue; not yet filled
    CANCEL_PENDING = "cancel_pending"
    AMEND_PENDING = "amend_pending"
    UNKNOWN = "unknown"  # an answer was lost
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"  # by the venue
    EXPIRED = "expired"
    ABSENT = "absent"  # proven never to have existed at the venue
    DENIED = "denied"  # by us


_S = OrderStatus
_WORKING = frozenset(
    {
        _S.PARTIAL,
        _S.FILLED,
        _S.CANCELED,
        _S.EXPIRED,
        _S.TRIGGERED,
        _S.CANCEL_PENDING,
        _S.AMEND_PENDING,
        _S.UNKNOWN,
    }
)
TERMINAL = frozenset({_S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED, _S.ABSENT, _S.DENIED})

TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.INTENT: frozenset({_S.SENDING, _S.DENIED, _S.UNKNOWN}),
    _S.SENDING: frozenset(
        {_S.OPEN, _S.PARTIAL, _S.FILLED, _S.REJECTED, _S.CANCELED, _S.EXPIRED, _S.UNKNOWN}
    ),
    _S.OPEN: _WORKING,
    _S.PARTIAL: _WORKING,
    _S.CANCEL_PENDING: _WORKING | {_S.OPEN},
    _S.AMEND_PENDING: _WORKING | {_S.OPEN},
    _S.TRIGGERED: frozenset({_S.PARTIAL, _S.FILLED, _S.REJECTED, _S.UNKNOWN}),
    _S.UNKNOWN: frozenset(OrderStatus) - {_S.INTENT, _S.SENDING, _S.DENIED},
    # Venues report a fill after the cancel that lost the race: the fill stands.
    _S.CANCELED: frozenset({_S.FILLED}),
    _S.EXPIRED: frozenset({_S.FILLED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset({_S.FILLED}),
    _S.ABSENT: frozenset({_S.FILLED}),
    _S.DENIED: frozenset({_S.FILLED}),  # believed never sent, and it was
}


class OrderType(Enum):
    """How an order meets the book."""

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"  # market order once the trigger price is crossed against the position
    TARGET = "target"  # market order once the trigger price is crossed in its favor
    TRAIL = "trail"  # market order once the price falls back from its best by a ratio


# Rest at the venue and trigger there.
RESTING = frozenset({OrderType.STOP, OrderType.TARGET, OrderType.TRAIL})


class TimeInForce(Enum):
    """How long an order may rest."""

    GTC = "GTC"
    IOC = "IOC"


class AttachedStop(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stop that an entry brings along: the venue places it once that entry is done."""

    client_order_id: ClientOrderId  # of the stop
    trigger_price: Decimal
    watches: PriceSource = PriceSource.LAST
    target_price: Decimal | None = None  # it closes there, too


class OrderTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked of the venue; the same for every send of one `client_order_id`."""

    client_order_id: ClientOrderId
    position_id: PositionId
    symbol: Symbol
    side: Side
    type: OrderType
    quantity: Decimal  # base units, a whole number of lots
    price: Decimal | None = None  # limit price
    trigger_price: Decimal | None = None  # of STOP and TARGET
    reduce_only: bool = False
    leverage: Decimal = Decimal(1)
    time_in_force: TimeInForce = TimeInForce.GTC
    watches: PriceSource = PriceSource.LAST  # which price triggers STOP, TARGET and TRAIL
    trail_ratio: Decimal | None = None  # of TRAIL: 0.02 is 2 % from the best price
    attached: AttachedStop | None = None  # of an entry; closes whatever that has filled
    target_price: Decimal | None = None  # of a STOP: it closes there, too, in the position's favor


def is_entry(terms: OrderTerms) -> bool:
    """Whether an order opens or adds: it closes nothing and does not wait to be triggered."""
    return not terms.reduce_only and terms.type not in RESTING


class Fill(msgspec.Struct, frozen=True):
    """One execution at the venue. `trade_id` is its identity: reported twice, it counts once."""

    trade_id: TradeId
    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    quantity: Decimal  # base units, > 0
    price: Decimal  # quote per base unit
    fee: Fee
    at: datetime  # venue time, UTC
    maker: bool = False


class OrderEvent(msgspec.Struct, frozen=True):
    """Something that happened to one order."""


class OrderIntended(OrderEvent, frozen=True):
    """We mean to send this.

    Durable before the request leaves (exits: armed before, written behind).
    """

    terms: OrderTerms
    at: datetime
    attempt: Attempt | None = None


class OrderAdopted(OrderEvent, frozen=True):
    """The venue knows an order with an id of ours that the journal lacks.

    An armed exit fired before a crash.
    """

    terms: OrderTerms
    at: datetime
    attempt: Attempt | None = None


class OrderSent(OrderEvent, frozen=True):
    """The request left."""

    at: datetime


class OrderDenied(OrderEvent, frozen=True):
    """We refused our own order before sending it."""

    rule: str
    message: str
    at: datetime


class OrderAccepted(OrderEvent, frozen=True):
    """The venue answered with its id, or was found to know the order."""

    venue_order_id: VenueOrderId
    at: datetime
    after_s: float | None = None  # since the request left, when this is the answer to it


class OrderRejected(OrderEvent, frozen=True):
    """The venue refused; its code and text are kept as they came."""

    code: str
    text: str
    at: datetime
    after_s: float | None = None  # since the request left, when this is the answer to it
    remedy: str = ""  # what a person can do about it


class OrderFilled(OrderEvent, frozen=True):
    """The venue executed all or part of it."""

    fill: Fill


class OrderTriggered(OrderEvent, frozen=True):
    """A stop or target order at the venue fired; its child is not filled yet."""

    at: datetime
    at_target: bool = False  # of a stop with a target, as far as the venue says


class OrderAmendRequested(OrderEvent, frozen=True):
    """We asked the venue to change what it does."""

    terms: OrderTerms
    at: datetime


class OrderAmended(OrderEvent, frozen=True):
    """It rests with these terms now."""

    terms: OrderTerms
    at: datetime
    outside: bool = False  # nobody here asked for that


class OrderAmendRefused(OrderEvent, frozen=True):
    """It rests as before; the venue's code and text."""

    code: str
    text: str
    at: datetime


class OrderCancelRequested(OrderEvent, frozen=True):
    """We asked the venue to take it out."""

    at: datetime


class OrderCanceled(OrderEvent, frozen=True):
    """The venue took it out; what had been filled stays filled."""

    at: datetime


class OrderExpired(OrderEvent, frozen=True):
    """Its time ran out at the venue."""

    at: datetime


class OrderBecameUnknown(OrderEvent, frozen=True):
    """An answer was lost, or the daemon stopped between intent and answer."""

    why: str
    at: datetime


class OrderFoundAbsent(OrderEvent, frozen=True):
    """Order query, fills and position agree, after the acceptance window, that it never was."""

    evidence: str
    at: datetime


_Later = (
    OrderSent
    | OrderDenied
    | OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderTriggered
    | OrderAmendRequested
    | OrderAmended
    | OrderAmendRefused
    | OrderCancelRequested
    | OrderCanceled
    | OrderExpired
    | OrderBecameUnknown
    | OrderFoundAbsent
)
AnyOrderEvent = OrderIntended | OrderAdopted | _Later


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as the journal knows it."""

    terms: OrderTerms
    status: OrderStatus
    intended_at: datetime
    sent_at: datetime | None = None
    venue_order_id: VenueOrderId | None = None
    filled: Decimal = ZERO  # base units
    average_price: Decimal = ZERO  # quote per base unit
    fees: tuple[Fee, ...] = ()  # one an asset
    fills: tuple[Fill, ...] = ()  # kept until its position and portfolio have booked them
    reason: str = ""  # why it is denied, rejected, unknown or absent
    late_fill: bool = False  # filled after a terminal state: an alarm
    over_fill: bool = False  # filled beyond what was asked: an alarm
    asked: OrderTerms | None = None  # a change that the venue has not answered
    most: Decimal = ZERO  # base units of any change asked for since one was made, if refused, too
    updated_at: datetime | None = None
    attempt: Attempt | None = None
    answered_s: float | None = None  # from request to answer; None: no answer came
    doubts: int = 0  # how often an answer was lost
    remedy: str = ""  # of a rejection
    at_target: bool = False  # it fired at the target that it has beside its stop

    @property
    def remaining(self) -> Decimal:
        """Base units not executed."""
        return self.terms.quantity - self.filled

    def has(self, trade_id: TradeId) -> bool:
        """Whether that execution was counted."""
        return any(fill.trade_id == trade_id for fill in self.fills)

    @property
    def is_terminal(self) -> bool:
        """Whether the venue will do nothing more with it, late fills apart."""
        return self.status in TERMINAL


def evolve(order: Order | None, event: AnyOrderEvent) -> Order:
    """Return the order after `event`.

    Raises `InvariantError` on a change that `TRANSITIONS` excludes.
    """
    if isinstance(event, OrderIntended):
        if order is not None:
            message = f"order {event.terms.client_order_id} intended twice"
            raise InvariantError(message)
        return Order(
            terms=event.terms,
            status=_S.INTENT,
            intended_at=event.at,
            updated_at=event.at,
            attempt=event.attempt,
        )
    if isinstance(event, OrderAdopted):
        if order is not None:
            message = f"order {event.terms.client_order_id} adopted though known"
            raise InvariantError(message)
        return Order(
            terms=event.terms,
            status=_S.UNKNOWN,
            intended_at=event.at,
            updated_at=event.at,
            attempt=event.attempt,
            doubts=1,
        )
    if order is None:
        message = f"{type(event).__name__} before any intent"
        raise InvariantError(message)
    return _evolve(order, event)


def _evolve(order: Order, event: _Later) -> Order:
    match event:
        case OrderFilled(fill=fill):
            return _filled(order, fill)
        case OrderSent(at=at):
            return _to(order, _S.SENDING, at, sent_at=at)
        case OrderAccepted(venue_order_id=venue_order_id, at=at, after_s=after_s):
            status = _S.PARTIAL if order.filled else _S.OPEN
            if order.is_terminal or order.status in {status, _S.TRIGGERED}:
                status = order.status  # the acknowledgement came after what it acknowledges
            after_s = order.answered_s if after_s is None else after_s
            return _to(order, status, at, venue_order_id=venue_order_id, answered_s=after_s)
        case OrderDenied(rule=rule, message=text, at=at):
            return _to(order, _S.DENIED, at, reason=f"{rule}: {text}")
        case OrderRejected(code=code, text=text, at=at, after_s=after_s, remedy=remedy):
            after_s = order.answered_s if after_s is None else after_s
            reason = f"{code}: {text}"
            return _to(order, _S.REJECTED, at, reason=reason, answered_s=after_s, remedy=remedy)
        case OrderTriggered(at=at, at_target=at_target):
            return _to(order, _S.TRIGGERED, at, asked=None, at_target=at_target)
        case OrderAmendRequested(terms=terms, at=at):
            most = max(order.most, terms.quantity)
            return _to(order, _S.AMEND_PENDING, at, asked=terms, most=most)
        case OrderAmended(terms=terms, at=at):
            return _to(order, _resting(order), at, terms=terms, asked=None, most=ZERO)
        case OrderAmendRefused(code=code, text=text, at=at):
            return _to(order, _resting(order), at, asked=None, reason=f"{code}: {text}")
        case OrderCancelRequested(at=at):
            return _to(order, _S.CANCEL_PENDING, at)
        case OrderCanceled(at=at):
            return _to(order, _S.CANCELED, at)
        case OrderExpired(at=at):
            return _to(order, _S.EXPIRED, at)
        case OrderBecameUnknown(why=why, at=at):
            return _to(order, _S.UNKNOWN, at, reason=why, doubts=order.doubts + 1)
        case OrderFoundAbsent(evidence=evidence, at=at):
            return _to(order, _S.ABSENT, at, reason=evidence)
        case _:
            assert_never(event)


def _resting(order: Order) -> OrderStatus:
    """Return its status once a change of it is answered."""
    if order.status in {_S.AMEND_PENDING, _S.UNKNOWN}:
        return _S.PARTIAL if order.filled else _S.OPEN
    return order.status


def _to(order: Order, status: OrderStatus, at: datetime, **changes: object) -> Order:
    if status is not order.status and status not in TRANSITIONS[order.status]:
        change = f"{order.status.value} cannot become {status.value}"
        raise InvariantError(f"order {order.terms.client_order_id}: {change}")
    return msgspec.structs.replace(order, status=status, updated_at=at, **changes)


def _filled(order: Order, fill: Fill) -> Order:
    if order.has(fill.trade_id):
        return order
    filled = order.filled + fill.quantity
    late = order.is_terminal
    if filled >= order.terms.quantity:
        status = _S.FILLED
    elif late or order.status in {_S.CANCEL_PENDING, _S.AMEND_PENDING}:
        status = order.status
    else:
        status = _S.PARTIAL
    # A change may have been made, though unsaid; then the next one to the same is refused.
    most = max(order.terms.quantity, order.most)
    value = order.average_price * order.filled + fill.price * fill.quantity
    return _to(
        order,
        status,
        fill.at,
        filled=filled,
        average_price=value / filled,
        fees=_add_fee(order.fees, fill.fee),
        fills=(*order.fills, fill),
        late_fill=order.late_fill or late,
        over_fill=order.over_fill or filled > most,
    )


def _add_fee(fees: tuple[Fee, ...], fee: Fee) -> tuple[Fee, ...]:
    totals = {known.asset: known.amount for known in fees}
    totals[fee.asset] = totals.get(fee.asset, ZERO) + fee.amount
    return tuple(Fee(amount=amount, asset=asset) for asset, amount in totals.items())
