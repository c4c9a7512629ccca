"""Questions to a venue about what may have happened.

A failed read is no answer, never "nothing".
"""

from datetime import datetime, timedelta
from decimal import Decimal

from actors.messages import Evidence, Reconciled, ReconcileFailed
from domain.ids import ClientOrderId, Symbol
from domain.money import ZERO
from domain.order import Fill
from exchanges.port import Exchange, NotFound, Unknown, VenueOrder

_MARGIN = timedelta(minutes=1)  # the venue's clock is not ours


async def reconcile(
    port: Exchange, since: datetime | None, *, nothing: bool
) -> Reconciled | ReconcileFailed:
    """Ask for all that may have happened since `since`.

    `nothing`: there is nobody it could concern.
    """
    if nothing:
        return Reconciled((), ())
    orders = await port.open_orders()
    if isinstance(orders, Unknown):
        return ReconcileFailed(f"open orders: {orders.why}")
    fills = await port.fills(None if since is None else since - _MARGIN)
    if isinstance(fills, Unknown):
        return ReconcileFailed(f"fills: {fills.why}")
    found = {order.terms.client_order_id: order for order in orders}
    for fill in fills:
        if fill.client_order_id in found:
            continue
        answer = await port.order(fill.symbol, fill.client_order_id)
        if isinstance(answer, Unknown):
            return ReconcileFailed(f"order {fill.client_order_id}: {answer.why}")
        if isinstance(answer, VenueOrder):
            found[fill.client_order_id] = answer
    return Reconciled(tuple(found.values()), fills)


async def gather_evidence(
    port: Exchange,
    symbol: Symbol,
    order_id: ClientOrderId,
    since: datetime | None,
    expected: Decimal | int,
) -> Evidence:
    """Ask by id, by fills and by the net position; `expected`: what our known fills amount to."""
    order = await port.order(symbol, order_id)
    fills = await port.fills(None if since is None else since - _MARGIN)
    positions = await port.positions()
    failed = [each.why for each in (order, fills, positions) if isinstance(each, Unknown)]
    net = ZERO
    if not isinstance(positions, Unknown):
        net = sum((each.quantity for each in positions if each.symbol == symbol), ZERO)
    own: tuple[Fill, ...] = ()
    if not isinstance(fills, Unknown):
        own = tuple(fill for fill in fills if fill.client_order_id == order_id)
    return Evidence(
        client_order_id=order_id,
        order=None if isinstance(order, NotFound | Unknown) else order,
        fills=own,
        complete=not failed,
        position_agrees=net == expected,
        why="; ".join(failed),
    )
