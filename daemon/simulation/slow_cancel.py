"""A cancel that the venue accepts and carries out later; meanwhile the order may fill.

That is what an accepted cancel is at OKX: received. Whether it came in time the order's own end
says, on the stream or when it is asked for (www.okx.com/docs-v5/en: cancel order).
"""

from collections.abc import Callable
from typing import Any

from daemon.simulation.network import parameters
from daemon.simulation.outside import Outside
from daemon.simulation.venue import SimVenue
from exchanges.sandbox.numbers import floor_to
from exchanges.sandbox.records import Order
from exchanges.sandbox.trading import BY_USER, end, fill
from runtime.ports import Chance

PATH = "trade/cancel-order"
_FILLS_S, _ENDS_S = (0.02, 0.4), (0.5, 1.5)  # after it was accepted
ALL_OF_IT = 0.3  # how often


def later(
    outside: Outside, venue: SimVenue, chance: Chance, fields: Any
) -> Callable[[], dict[str, Any] | None]:
    """Return what receives a cancel; it answers None where there is nothing to cancel."""

    def receive() -> dict[str, Any] | None:
        theirs = parameters(fields)
        account = venue.account
        order = account.orders.get(str(theirs.get("ordId"))) or account.order_by_client.get(
            str(theirs.get("clOrdId"))
        )
        if order is None or not order.is_working or order.price is None:
            return None
        outside.after(chance.uniform(*_FILLS_S), fill_part, venue, order, chance.random())
        outside.after(chance.uniform(*_ENDS_S), _end, venue, order)
        row = {"ordId": order.order_id, "clOrdId": order.client_id, "sCode": "0", "sMsg": ""}
        return {"code": "0", "data": [row | {"ts": str(account.now_ms)}], "msg": ""}

    return receive


def fill_part(venue: SimVenue, order: Order, share: float) -> bool:
    """Let somebody trade with a part of an order that rests, or with all of it."""
    if not order.is_working or order.price is None or order.reduce_only:
        return False
    venue.world.advance()
    half = max(order.listing.lot, floor_to(order.left / 2, order.listing.lot))
    size = order.left if share < ALL_OF_IT else min(half, order.left)
    fill(venue.account, order, size, order.price, is_maker=True)
    return True


def _end(venue: SimVenue, order: Order) -> None:
    if order.is_working:
        venue.world.advance()
        end(venue.account, order, BY_USER)
