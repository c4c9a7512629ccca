"""Questions to a venue about what may have happened.

A failed read is no answer, never "nothing".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from actors.messages import Reconciled, ReconcileFailed
from domain.ids import ClientOrderId, Symbol
from exchanges.port import Exchange, Unknown, VenueOrder

T = TypeVar("T")
READ_WITHIN_S = 5.0
MARGIN = timedelta(minutes=1)  # the venue's clock is not ours
AFTER_A_STEP = timedelta(hours=2)  # and ours may have been set back since an order was intended


async def within(answer: Awaitable[T]) -> T | Unknown:
    """Return the answer to a read; one that takes too long is none."""
    try:
        return await asyncio.wait_for(answer, READ_WITHIN_S)
    except TimeoutError:
        return Unknown(f"no answer within {READ_WITHIN_S:.0f} s")


async def reconcile(
    port: Exchange,
    since: datetime | None,
    working: Mapping[ClientOrderId, Symbol],
    is_news: Callable[[ClientOrderId], bool],
    asked_s: float,
) -> Reconciled | ReconcileFailed:
    """Ask for all that may have happened since `since`.

    Of single orders only `working` ones are asked for, which the journal knows and whose end it
    does not, and those with fills that are news: exits wait for this, so it must not grow with
    what has long been booked. `asked_s`: monotonic, now.
    """
    orders = await within(port.open_orders())
    if isinstance(orders, Unknown):
        return ReconcileFailed(f"open orders: {orders.why}")
    fills = await within(port.fills(None if since is None else since - AFTER_A_STEP))
    if isinstance(fills, Unknown):
        return ReconcileFailed(f"fills: {fills.why}")
    found = {order.terms.client_order_id: order for order in orders}
    news = {fill.client_order_id: fill.symbol for fill in fills if is_news(fill.client_order_id)}
    for order_id, symbol in (news | dict(working)).items():
        if order_id in found:
            continue
        answer = await within(port.order(symbol, order_id))
        if isinstance(answer, Unknown):
            return ReconcileFailed(f"order {order_id}: {answer.why}")
        if isinstance(answer, VenueOrder):
            found[order_id] = answer
    return Reconciled(tuple(found.values()), fills, asked_s)
