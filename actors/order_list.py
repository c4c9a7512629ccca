"""The venue's list of open orders against ours: asks about what should be in it and is not."""

import structlog

from actors.doubt import within
from actors.messages import CancelOrphan, OrdersSeen
from actors.sending import Sender
from actors.world import World
from domain.ids import ClientOrderId
from domain.order import Order, OrderBecameUnknown, OrderStatus, OrderType
from exchanges.port import Exchange, VenueOrder
from runtime.actor import handles

log = structlog.get_logger("trade.execution")

LISTED_WITHIN_S = 1.0  # an order may be accepted and not be in the list of open ones yet
NOT_LISTED = "the venue does not list it among the open orders"
_S = OrderStatus


class OrderList(Sender):
    """Keeps the orders that rest in step with the venue's list, as the reconciler reads it."""

    def __init__(self, world: World, port: Exchange) -> None:
        super().__init__(world, port)
        self.unlisted: set[ClientOrderId] = set()  # rest here, and not in the venue's last list

    def _apply(self, venue_order: VenueOrder, *, asked_s: float | None = None) -> None:
        raise NotImplementedError

    @handles(OrdersSeen)
    def on_orders_seen(self, seen: OrdersSeen) -> None:
        """Take over what rests at the venue; ask about what should and does not."""
        resting = set()
        for venue_order in seen.orders:
            resting.add(venue_order.terms.client_order_id)
            self._apply(venue_order, asked_s=seen.began_s)
        unlisted, self.unlisted = self.unlisted, set()
        for stream in list(self.streams.values()):
            order: Order = stream.state
            order_id = order.terms.client_order_id
            rests = order.status in {_S.OPEN, _S.PARTIAL}
            if not rests or order_id in resting or order.terms.type is OrderType.MARKET:
                continue
            if self.sent_at_s.get(order_id, 0.0) > seen.began_s - LISTED_WITHIN_S:
                continue
            if order_id in unlisted:  # and what was asked about it said nothing new
                self._record(stream, OrderBecameUnknown(NOT_LISTED, self.world.clock.now()))
                self._doubt(order_id, 0.0)
            else:
                self.unlisted.add(order_id)
                self.run(self._ask(order_id, order.terms.symbol, 0))

    @handles(CancelOrphan)
    def on_cancel_orphan(self, orphan: CancelOrphan) -> None:
        """Take out an order that nobody wants any more; what comes of it the next look tells."""
        order_id = orphan.client_order_id
        if self._stream(order_id) is None:
            log.warning("orphan_canceled", client_order_id=order_id)
            self.run(self._cancel_orphan(orphan))

    async def _cancel_orphan(self, orphan: CancelOrphan) -> None:
        await within(self.port.cancel(orphan.symbol, orphan.client_order_id))
