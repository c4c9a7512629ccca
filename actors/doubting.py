"""Orders in doubt: the venue is asked about them until it owes no news.

An order is in doubt while an answer about it is lost, while a market order is not done, and while
nobody has told the id that the venue gave it.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from actors.inquiry import Inquiry, Question
from actors.messages import Finding, ForgetOrders, ResolveOrder
from actors.orders import OrderKeeper
from actors.world import World
from domain.ids import ClientOrderId
from domain.order import RESTING, Order, OrderStatus, OrderType
from exchanges.port import Exchange
from runtime.actor import handles

ASK_AGAIN_AFTER_S = (0.2, 0.5, 1.0, 2.0, 5.0)
ACCEPTANCE_WINDOW_S = 5.0  # a request that left may be accepted this much later
ATTACHED_WITHIN_S = 1.0  # after an entry is done the venue has the stop that came with it
PROVE_AGAIN_AFTER_S = 0.5  # other fills came between two answers, which then do not agree
A_TICK_S = 0.001  # past a deadline, whatever floats make of it
FORGET_AFTER_S = 1.0
NAME_WITHIN = timedelta(minutes=10)  # a venue that does not tell its id of an order by then, never
_S = OrderStatus


class Doubting(OrderKeeper):
    """Keeps asking about the orders of one account that something is not known of."""

    def __init__(self, world: World, port: Exchange) -> None:
        super().__init__(world)
        self.port = port
        self.reconciled = False  # before that, `reconcile` asks about everything
        self.inquiry = Inquiry(port, world.clock, self._known)

    def _known(self, order_id: ClientOrderId) -> Order | None:
        stream = self._stream(order_id)
        return None if stream is None else stream.state

    def _doubt(self, order_id: ClientOrderId, within_s: float = ASK_AGAIN_AFTER_S[0]) -> None:
        if order_id not in self.in_doubt and self.reconciled:
            self.in_doubt.add(order_id)
            self.after(within_s, ResolveOrder(order_id, 0))

    @handles(ResolveOrder)
    def on_resolve(self, resolve: ResolveOrder) -> None:
        """Ask the venue what became of an order."""
        order = self._known(resolve.client_order_id)
        if order is None or not self._owes_news(order):
            self.in_doubt.discard(resolve.client_order_id)
            return
        asked = self._ask(order.terms.client_order_id, order.terms.symbol, resolve.attempt, True)
        self.run(asked)

    async def _ask(
        self,
        order_id: ClientOrderId,
        symbol: Any,
        attempt: int,
        repeats: bool = False,  # noqa: FBT001, FBT002 - told apart from a single question
    ) -> None:
        """Find out what became of an order, together with others that are asked about."""
        order = self._known(order_id)
        self.inquiry.add(
            Question(
                client_order_id=order_id,
                symbol=symbol,
                since=None if order is None else order.intended_at,
                attempt=attempt,
                repeats=repeats,
                is_exit=order is not None and order.terms.reduce_only,
            )
        )
        if not self.inquiry.is_under_way:
            await self.inquiry.rounds(partial(self.tell, self.name))

    def _ask_again(self, found: Finding) -> None:
        """Ask later about what the venue still owes news of; once is enough for each order."""
        order_id = found.client_order_id
        order = self._known(order_id)
        if order is None or not self._owes_news(order):
            self.in_doubt.discard(order_id)
            return
        if not found.repeats and order_id in self.in_doubt:
            return  # it is asked about already
        self.in_doubt.add(order_id)
        again = min(found.attempt + 1, len(ASK_AGAIN_AFTER_S) - 1)
        delay = ASK_AGAIN_AFTER_S[again]
        window_s = self._window_s(order_id)
        proof = window_s - self._since_it_left_s(order)
        if 0 < proof < delay:
            delay = proof + A_TICK_S  # an exit that never left is sent anew once that is proven
        elif -window_s < proof <= 0:
            delay = min(delay, PROVE_AGAIN_AFTER_S)
        self.after(delay, ResolveOrder(order_id, again))

    def _window_s(self, order_id: ClientOrderId) -> float:
        """Return how long after it left an order may still appear at the venue."""
        return ATTACHED_WITHIN_S if order_id in self.attached else ACCEPTANCE_WINDOW_S

    @handles(ForgetOrders)
    def on_forget(self, forget: ForgetOrders) -> None:
        """Drop the orders of a position that is over, once the venue has told its ids of them."""
        orders = self.of_position.get(forget.position_id, ())
        if any(order is not None and self._lacks_name(order) for order in map(self._known, orders)):
            self.after(FORGET_AFTER_S, forget)
            return
        super().on_forget(forget)

    def _owes_news(self, order: Order) -> bool:
        return is_owed(order) or self._lacks_name(order)

    def _lacks_name(self, order: Order) -> bool:
        """Whether the venue's id of an order is still being asked for."""
        since = order.updated_at or order.intended_at
        return is_nameless(order) and self.world.clock.now() - since < NAME_WITHIN


def is_owed(order: Order) -> bool:
    """Whether the venue should say more: about a doubt, or that a market order is done by now.

    A stop that fired has become one.
    """
    is_at_market = order.terms.type is OrderType.MARKET and order.status in {_S.OPEN, _S.PARTIAL}
    has_fired = order.terms.type in RESTING and order.status in {_S.TRIGGERED, _S.PARTIAL}
    return order.status is _S.UNKNOWN or is_at_market or has_fired


def is_nameless(order: Order) -> bool:
    """Whether the venue has it, and nobody has told its id there: the answer was lost."""
    was_there = order.filled or order.status in {_S.CANCELED, _S.EXPIRED}
    return order.venue_order_id is None and bool(was_there)
