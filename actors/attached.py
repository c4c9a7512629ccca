"""Stops that an entry brought along: the venue places them once that entry is done.

They are never sent, so they have no intent of their own: the entry's tells their id. The venue
reports them, mostly at once. One that it does not report is asked for when its entry has ended, and
is absent when it has not appeared a second later.
"""

import structlog
from msgspec.structs import replace

from actors.journaled import Stream
from actors.messages import CancelAnswered
from actors.resting import RestingOrders
from domain.ids import ClientOrderId
from domain.order import (
    RESTING,
    Order,
    OrderAmended,
    OrderStatus,
    OrderTerms,
    OrderType,
)
from exchanges.port import VenueOrder

log = structlog.get_logger("trade.execution")
_S = OrderStatus
_IS_THERE = frozenset({_S.OPEN, _S.PARTIAL, _S.TRIGGERED})


class AttachedStops(RestingOrders):
    """Finds out what became of the stops that entries of one account brought along."""

    def _adopt(self, terms: OrderTerms) -> Stream | None:
        raise NotImplementedError

    def _ended(self, stream: Stream) -> None:
        super()._ended(stream)
        order: Order = stream.state
        if order.terms.attached is not None and order.filled:
            self._expect(order.terms.attached.client_order_id)

    def _expect(self, order_id: ClientOrderId) -> None:
        """Ask for a stop whose entry is done, unless the venue has reported it."""
        entry = self._known(self.attached[order_id])
        if entry is None or not entry.is_terminal or self._stream(order_id) is not None:
            return  # its entry's end brings it up, or it is known
        stop = entry.terms.attached
        assert stop is not None  # or it would not be in `attached`
        terms = OrderTerms(
            client_order_id=order_id,
            position_id=entry.terms.position_id,
            symbol=entry.terms.symbol,
            side=entry.terms.side.opposite,
            type=OrderType.STOP,
            quantity=entry.filled,
            trigger_price=stop.trigger_price,
            target_price=stop.target_price,
        )
        if self._adopt(terms) is not None:
            self._doubt(order_id)

    def _as_attached(self, terms: OrderTerms) -> OrderTerms:
        """Return a stop's terms with what its entry says of it, which the venue may not repeat."""
        entry = self._known(self.attached.get(terms.client_order_id, terms.client_order_id))
        if entry is None or entry.terms.attached is None:
            return terms
        watches, leverage = entry.terms.attached.watches, entry.terms.leverage
        return replace(terms, reduce_only=True, watches=watches, leverage=leverage)

    def _leave_out(self, order_id: ClientOrderId) -> None:
        if order_id not in self.attached:
            super()._leave_out(order_id)
            return
        self.cancel_wanted.add(order_id)  # as soon as it is there
        self._expect(order_id)

    def _learn(self, stream: Stream, venue_order: VenueOrder) -> None:
        """Take what the venue made of a stop that it placed: it says for how much."""
        order: Order = stream.state
        is_first = order.status is _S.UNKNOWN and order.venue_order_id is None
        if order.terms.client_order_id not in self.attached or not is_first:
            return
        held = venue_order.terms
        terms = replace(
            order.terms,
            quantity=held.quantity,
            trigger_price=held.trigger_price,
            target_price=held.target_price,
        )
        if venue_order.status in _IS_THERE and terms != order.terms:
            self._record(stream, OrderAmended(terms, self.world.clock.now()))

    def _came_late(self, stream: Stream, venue_order: VenueOrder) -> None:
        """Take out a stop that appears after all: another one has its place by now."""
        order: Order = stream.state
        is_late = order.status is _S.ABSENT and order.terms.type in RESTING
        if is_late and venue_order.status in _IS_THERE - {_S.TRIGGERED}:
            order_id = order.terms.client_order_id
            log.warning("late_stop_taken_out", client_order_id=order_id)
            answer = self.port.cancel(order.terms.symbol, order_id)
            self.run(self._await_answer(order_id, answer, CancelAnswered))
