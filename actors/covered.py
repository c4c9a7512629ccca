"""Whether an exit may leave: is what it sells still there, and its own to sell?

A reduce-only order protects a holding from turning over, not one position from another: where two
positions share a symbol, the second exit of one of them sells the other's units. The exchange actor
hears of fills first, so it looks once more before an exit leaves, and before an entry does: beside
a stop and an exit of one position, both at the venue, nobody else may begin to hold the symbol.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from enum import Enum

from domain.ids import Symbol
from domain.instrument import Kind
from domain.money import ZERO
from domain.order import RESTING, Order, OrderStatus, OrderTerms
from domain.position import Position
from domain.position_life import is_known_fill


class Room(Enum):
    """What becomes of an exit."""

    ENOUGH = "it may leave"
    GONE = "what it was to sell has been sold: its position decides anew"
    LOCKED = "a stop at the venue may sell the same: first its end must be known"


def room_for(
    terms: OrderTerms,
    position: Position,
    orders: Iterable[Order],
    positions: Callable[[], Iterable[Position]],
    shared: Container[Symbol] | None,
) -> Room:
    """Say whether an exit may leave; all `positions` are looked at only if need be.

    `shared`: of which the venue holds more than ours; None where that was not read.
    """
    left, locked, leaving = _told(position, orders)
    if terms.quantity > left:
        return Room.GONE
    is_too_much = terms.quantity + locked + leaving > left
    if locked and is_too_much and _is_shared(position, positions, shared):
        return Room.LOCKED
    return Room.ENOUGH


def may_sell_others(position: Position, orders: Iterable[Order]) -> bool:
    """Whether an exit beside a stop, or that stop alone by now, could close more than is held."""
    if not position.exits:
        return False
    left, locked, leaving = _told(position, orders)
    return locked > ZERO and locked + leaving > left


def had_none_to_close(
    orders: Iterable[Order], codes: Container[str], since: datetime, now: datetime
) -> datetime | None:
    """Return when the venue last had nothing for an exit to close; None: not since.

    What a clock has stamped that was set back meanwhile does not count.
    """
    refused = _exits_ended(orders, OrderStatus.REJECTED, since, now)
    return max((at for code, at in refused if code in codes), default=None)


def never_left(orders: Iterable[Order], since: datetime, now: datetime) -> bool:
    """Whether an exit was proven absent since then: what it was to close may be gone without it."""
    return any(_exits_ended(orders, OrderStatus.ABSENT, since, now))


def _exits_ended(
    orders: Iterable[Order], status: OrderStatus, since: datetime, now: datetime
) -> Iterator[tuple[str, datetime]]:
    """Yield by which code and when exits, stops at the venue apart, have ended so since then."""
    for order in orders:
        at, terms = order.updated_at, order.terms
        is_exit = terms.reduce_only and terms.type not in RESTING
        if is_exit and order.status is status and at is not None and since < at <= now:
            yield order.reason.partition(":")[0], at


def has_neighbor(position: Position, positions: Iterable[Position]) -> bool:
    """Whether another position holds the same side of the same symbol."""
    return any(
        each.id != position.id
        and each.instrument.symbol == position.instrument.symbol
        and each.direction is position.direction
        and each.remaining
        for each in positions
    )


def _told(position: Position, orders: Iterable[Order]) -> tuple[Decimal, Decimal, Decimal]:
    """Return what is held by all that was told, and what stops and exits under way may sell.

    A stop that its position has just asked for counts, too: it leaves when the disk has it.
    """
    left, locked, leaving = position.remaining, ZERO, ZERO
    coming = {stop.client_order_id: stop.may_sell for stop in position.at_venue.live}
    for order in orders:
        terms = order.terms
        coming.pop(terms.client_order_id, None)
        for fill in order.fills:
            if not is_known_fill(position, fill):
                is_exit = fill.side is position.direction.exit_side
                left += -fill.quantity if is_exit else fill.quantity
        if order.is_terminal:
            continue
        if terms.type in RESTING:
            locked += _may_sell(order)
        elif terms.reduce_only:
            leaving += terms.quantity - order.filled
    return left, locked + sum(coming.values(), ZERO), leaving


def _may_sell(order: Order) -> Decimal:
    asked = ZERO if order.asked is None else order.asked.quantity
    return max(order.terms.quantity, asked) - order.filled


def _is_shared(
    position: Position,
    positions: Callable[[], Iterable[Position]],
    shared: Container[Symbol] | None,
) -> bool:
    """Whether the venue would take the rest from somebody else, who may hold more than is told."""
    if position.instrument.kind is Kind.SPOT:
        return False  # its balance is locked, and its position waits for that
    symbol = position.instrument.symbol
    if shared is None:
        return True
    return symbol in shared or any(
        each.id != position.id
        and each.instrument.symbol == symbol
        and (each.remaining or not each.is_closed)
        for each in positions()
    )
