"""Questions to a venue about what may have happened.

A failed read is no answer, never "nothing".
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from actors.messages import Reconciled, ReconcileFailed
from domain.ids import ClientOrderId
from domain.order import Fill, Order
from exchanges.port import Exchange, Unknown, VenueOrder

T = TypeVar("T")
READ_WITHIN_S = 5.0
FILLS_WITHIN_S = 60.0  # many pages, of which each has a limit of its own
MARGIN = timedelta(minutes=1)  # the venue's clock is not ours
AFTER_A_STEP = timedelta(hours=2)  # and ours may have been set back since an order was intended


async def within(answer: Awaitable[T], within_s: float = READ_WITHIN_S) -> T | Unknown:
    """Return the answer to a read; one that takes too long is none."""
    try:
        return await asyncio.wait_for(answer, within_s)
    except TimeoutError:
        return Unknown(f"no answer within {within_s:.0f} s")


async def reconcile(
    port: Exchange,
    since: datetime | None,
    booked_until: datetime | None,
    working: Mapping[ClientOrderId, Order],
    is_news: Callable[[ClientOrderId], bool],
    asked_s: float,
) -> Reconciled | ReconcileFailed:
    """Ask for all that may have happened since `since`.

    Of single orders only `working` ones are asked for, which the journal knows and whose end it
    does not, and those with fills that are news: exits wait for this, so it must not grow with
    what has long been booked. For the same reason fills from before `booked_until` are read only
    when a working order turns out to have filled more than later ones tell.

    A working order that the venue says nothing usable about is named, to be asked for later: it
    must not keep the exits of all others waiting. What is news may be an exit that left before a
    crash: without it nothing may leave. `asked_s`: monotonic, now.
    """
    orders = await within(port.open_orders())
    if isinstance(orders, Unknown):
        return ReconcileFailed(f"open orders: {orders.why}")
    recent = since if since is None or booked_until is None else max(since, booked_until)
    fills = await _fills(port, recent)
    if isinstance(fills, Unknown):
        return ReconcileFailed(f"fills: {fills.why}")
    found = {order.terms.client_order_id: order for order in orders}
    news = {fill.client_order_id: fill.symbol for fill in fills if is_news(fill.client_order_id)}
    symbols = news | {order_id: order.terms.symbol for order_id, order in working.items()}
    unread: list[ClientOrderId] = []
    for order_id, symbol in symbols.items():
        if order_id in found:
            continue
        answer = await within(port.order(symbol, order_id))
        if isinstance(answer, Unknown) and order_id in news:
            return ReconcileFailed(f"order {order_id}: {answer.why}")
        if isinstance(answer, Unknown):
            unread.append(order_id)
        if isinstance(answer, VenueOrder):
            found[order_id] = answer
    if recent != since and _lacks_fills(found, working, fills):
        fills = await _fills(port, since)
        if isinstance(fills, Unknown):
            return ReconcileFailed(f"older fills: {fills.why}")
    return Reconciled(tuple(found.values()), fills, asked_s, tuple(unread))


def _fills(
    port: Exchange, since: datetime | None
) -> Coroutine[Any, Any, tuple[Fill, ...] | Unknown]:
    since = None if since is None else since - AFTER_A_STEP
    return within(port.fills(since), FILLS_WITHIN_S)


def _lacks_fills(
    found: Mapping[ClientOrderId, VenueOrder],
    working: Mapping[ClientOrderId, Order],
    fills: Iterable[Fill],
) -> bool:
    """Whether an order has filled more than what is booked of it and what was told now."""
    filled = {order_id: order.filled for order_id, order in working.items()}
    for fill in fills:
        order = working.get(fill.client_order_id)
        if order is not None and not order.has(fill.trade_id):
            filled[fill.client_order_id] += fill.quantity
    return any(
        order_id in found and found[order_id].filled > quantity
        for order_id, quantity in filled.items()
    )
