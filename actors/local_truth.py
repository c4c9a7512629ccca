"""What we believe of an account, for comparing it with the venue: read from the latest states."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import inf

from actors.world import World
from domain.ids import NO_ORDER, ClientOrderId, PositionId, Symbol
from domain.instrument import Kind
from domain.money import ZERO
from domain.order import Order
from domain.position import Position
from domain.position_life import is_known_fill, working_entries
from domain.reconciliation import SETTLED_S, Held, is_in_flight


def live_positions(world: World) -> list[Position]:
    """Return the positions that are not over."""
    return [each for each in world.states.latest_of("position") if not each.is_closed]


def held_of(positions: Iterable[Position]) -> list[Held]:
    """Return what is held."""
    return [
        Held(
            position_id=each.id,
            symbol=each.instrument.symbol,
            direction=each.direction,
            remaining=each.remaining,
            entry_price=each.entry_price,
            opened_at=each.opened_at or each.intended_at,
            fills=len(each.fills),
            is_adopted=each.fills[0].client_order_id == NO_ORDER,
        )
        for each in positions
        if each.remaining
    ]


def dust_of(world: World) -> dict[Symbol, Decimal]:
    """Return what closed positions left over, base units, signed, as far as the venue tells of it.

    Of coins it does not where swaps are traded now, nor of swaps where coins are.
    """
    portfolio = world.portfolio()
    found: dict[Symbol, Decimal] = {}
    for each in () if portfolio is None else portfolio.dust:
        instrument = world.instruments.get(each.symbol)
        if instrument is None or (instrument.kind is Kind.SPOT) is each.is_spot:
            found[each.symbol] = found.get(each.symbol, ZERO) + each.signed
    return found


def unsettled(
    world: World,
    symbols: Iterable[Symbol],
    positions: Iterable[Position],
    resting: Mapping[ClientOrderId, Decimal] | None,
    began_s: float,
) -> frozenset[Symbol]:
    """Return the symbols whose holdings may be changing: what is read of them does not count.

    `resting` is what open orders have filled by the venue's list; None: it was not read.
    """
    wanted = frozenset(symbols)
    if resting is None:
        return wanted
    found = {each for each in wanted if world.booked.get(each, -inf) > began_s - SETTLED_S}
    mine: dict[Symbol, list[Order]] = {}
    if wanted - found:
        for order in world.states.latest_of("order"):
            if order.terms.symbol in wanted:
                mine.setdefault(order.terms.symbol, []).append(order)
    by_id = {each.id: each for each in positions}
    for symbol, orders in mine.items():
        if any(is_in_flight(order, resting) or untold(order, by_id) for order in orders):
            found.add(symbol)
    for position in by_id.values():
        symbol = position.instrument.symbol
        if symbol in wanted - found and _awaits(position, mine.get(symbol, ())):
            found.add(symbol)
    return frozenset(found)


def untold(order: Order, positions: Mapping[PositionId, Position]) -> bool:
    """Whether a fill is booked and its position does not know of it yet."""
    position = positions.get(order.terms.position_id)
    return position is not None and any(not is_known_fill(position, fill) for fill in order.fills)


def _awaits(position: Position, orders: Iterable[Order]) -> bool:
    """Whether a position has decided on an order that is not journaled yet, or waits for one."""
    known = {order.terms.client_order_id for order in orders}
    entries = (each.client_order_id for each in working_entries(position))
    exits = (each.client_order_id for each in position.exits if not each.done)
    return any(each not in known for each in (*entries, *exits))
