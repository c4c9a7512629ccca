"""Orders that rest at the venue and trigger there: their changes, and what their owner is told.

What the venue says of them is told at once, before the disk has it: it can be asked for again, an
exit may be waiting for it, and the one journal of all keeps who acted on it behind it.
"""

from decimal import Decimal
from typing import Any

import structlog
from msgspec.structs import replace

from actors import names
from actors.doubting import ASK_AGAIN_AFTER_S
from actors.journaled import Stream
from actors.messages import AmendAnswered, ResolveOrder
from actors.orders import Tell
from actors.sending import Sender
from actors.world import World
from domain.effects import AmendOrder
from domain.ids import ClientOrderId
from domain.inputs import OrderEnded, OrderReported
from domain.order import (
    RESTING,
    AnyOrderEvent,
    Order,
    OrderAccepted,
    OrderAmended,
    OrderAmendRefused,
    OrderAmendRequested,
    OrderBecameUnknown,
    OrderStatus,
    OrderTerms,
    OrderTriggered,
    OrderType,
    evolve,
)
from exchanges.port import Accepted, Exchange, Refused, Unknown, VenueOrder
from runtime.actor import handles

log = structlog.get_logger("trade.execution")
LOST = "LOST"  # a change that the venue did not make, as far as it says
_S = OrderStatus
_RESTS = frozenset({_S.OPEN, _S.PARTIAL})


class RestingOrders(Sender):
    """Changes the orders of one account that rest, and reports what becomes of them."""

    def __init__(self, world: World, port: Exchange) -> None:
        super().__init__(world, port)
        self.amend_wanted: dict[ClientOrderId, OrderTerms] = {}  # until the venue was asked
        self.changes: dict[ClientOrderId, int] = {}  # the last that was asked for
        self.suspects: set[ClientOrderId] = set()  # reported with other terms than ours, once
        self.changed_s: dict[ClientOrderId, float] = {}  # monotonic: the last change known here

    def _drop(self, order_id: ClientOrderId) -> None:
        super()._drop(order_id)
        self.amend_wanted.pop(order_id, None)
        self.changes.pop(order_id, None)
        self.suspects.discard(order_id)
        self.changed_s.pop(order_id, None)

    # --- what its owner is told ---

    def _record(self, stream: Stream, *events: AnyOrderEvent) -> None:
        super()._record(stream, *events)
        order: Order = stream.state
        if order.terms.type not in RESTING:
            return
        for event in events:
            match event:
                case OrderTriggered():
                    self._report(stream)
                    self.after(ASK_AGAIN_AFTER_S[2], ResolveOrder(order.terms.client_order_id, 2))
                case OrderAccepted() if order.asked is None:
                    self._report(stream)
                case OrderAmended(outside=outside):
                    self.changed_s[order.terms.client_order_id] = self.world.clock.monotonic()
                    self._report(stream, outside=outside)
                    self._unlock(order.terms.position_id)
                case OrderAmendRefused(code=code):
                    self._report(stream, refused="" if code == LOST else order.reason)
                case _:
                    pass

    def _report(self, stream: Stream, refused: str = "", *, outside: bool = False) -> None:
        """Tell the position; not what is on the way to be something else."""
        order: Order = stream.state
        order_id, position_id = order.terms.client_order_id, order.terms.position_id
        is_changing = order_id in self.cancel_wanted or order_id in self.amend_wanted
        has_fired = order.status is _S.TRIGGERED or order.status is _S.PARTIAL
        if has_fired or (order.status is _S.OPEN and not is_changing):
            status = _S.TRIGGERED if has_fired else _S.OPEN
            change = self.changes.get(order_id, 0)
            report = OrderReported(
                position_id,
                status,
                order.terms,
                change,
                refused,
                outside,
                at_start=self.is_first_look,
                at_target=order.at_target,
            )
            self._tell_soon(stream, Tell(report, names.position(position_id)))

    def _tell_soon(self, stream: Stream, tell: Tell) -> None:
        """Tell at once, unless fills wait for the disk: those come first."""
        if stream.held:
            self.journal(stream, (), evolve, (tell,))
        else:
            self.release(tell)

    def _ended(self, stream: Stream) -> None:
        order: Order = stream.state
        if order.terms.type in RESTING and not stream.held:
            terms, at_start = order.terms, self.is_first_look
            ended = OrderEnded(
                terms.position_id, terms.client_order_id, order.status, order.reason, at_start
            )
            self.release(Tell(ended, names.position(terms.position_id)))
        super()._ended(stream)  # told twice counts once

    def _tell_again(self, position_id: Any, order_id: ClientOrderId, to: Any = ()) -> None:
        super()._tell_again(position_id, order_id, to)
        stream = self._stream(order_id)
        if stream is not None and not to and stream.state.terms.type in RESTING:
            self._report(stream)

    # --- changes ---

    @handles(AmendOrder)
    def on_amend(self, amend: AmendOrder) -> None:
        """Change an order where it rests: now, or when its own answer has come."""
        order_id = amend.terms.client_order_id
        stream = self._stream(order_id)
        if stream is None:
            self._unknown_here(order_id, amend.terms.position_id)
        elif stream.state.is_terminal:
            self._tell_again(amend.terms.position_id, order_id)
        else:
            self.amend_wanted[order_id] = amend.terms
            self.changes[order_id] = amend.number
            self._amend_if_wanted(stream)

    def _amend_if_wanted(self, stream: Stream) -> None:
        order: Order = stream.state
        order_id = order.terms.client_order_id
        if order_id in self.cancel_wanted or order.status not in _RESTS or order.filled:
            return
        terms = self.amend_wanted.pop(order_id, None)
        if terms is None:
            return
        self._record(stream, OrderAmendRequested(terms, self.world.clock.now()))
        log.info(
            "order_amended",
            client_order_id=order_id,
            position_id=terms.position_id,
            quantity=terms.quantity,
            trigger_price=terms.trigger_price,
        )
        self.run(self._await_answer(order_id, self.port.amend(terms), AmendAnswered))

    @handles(AmendAnswered)
    def on_amend_answered(self, answered: AmendAnswered) -> None:
        """Take the venue's answer to a change; without one, ask what it holds."""
        stream = self._stream(answered.client_order_id)
        if stream is None or stream.state.status is not _S.AMEND_PENDING:
            return  # it fired, ended, is leaving, or the venue's report came first
        order: Order = stream.state
        now = self.world.clock.now()
        match answered.outcome:
            case Accepted() if order.asked is not None:
                self._record(stream, OrderAmended(order.asked, now))
            case Refused(code=code, text=text):
                self._record(stream, OrderAmendRefused(code, text, now))
                log.warning("amend_refused", client_order_id=answered.client_order_id, code=code)
                # It may have fired, or be gone.
                self.run(self._ask(answered.client_order_id, order.terms.symbol, 0))
            case Unknown(why=why):
                self._record(stream, OrderBecameUnknown(why, now))
                self._doubt(answered.client_order_id)
            case _:
                pass
        self._go_on(stream)

    def _go_on(self, stream: Stream) -> None:
        """Do what waited for an answer: a cancel before a change."""
        self._cancel_if_wanted(stream)
        self._amend_if_wanted(stream)

    def _compare(self, stream: Stream, venue_order: VenueOrder, asked_s: float | None) -> None:
        """Conclude from what the venue holds whether a change was made, and by whom.

        A push may be older than our last change, and so may be what was asked for before that was
        known: what it says is asked for once more.
        """
        order: Order = stream.state
        order_id = order.terms.client_order_id
        is_sure = asked_s is not None and asked_s >= self.changed_s.get(order_id, asked_s)
        rests = order.status in _RESTS or order.status is _S.AMEND_PENDING
        if order.terms.type not in RESTING or not rests or venue_order.status not in _RESTS:
            return
        now = self.world.clock.now()
        if order.asked is not None and _says(venue_order.terms) == _says(order.asked):
            self._record(stream, OrderAmended(order.asked, now))
        elif order.status is _S.AMEND_PENDING:
            return  # its answer is under way
        elif order.asked is not None:
            self._record(stream, OrderAmendRefused(LOST, "the venue holds it as before", now))
        elif _says(venue_order.terms) == _says(order.terms):
            self.suspects.discard(order_id)
            return
        elif is_sure:
            self.suspects.discard(order_id)
            held = venue_order.terms
            terms = replace(
                order.terms,
                quantity=held.quantity,
                trigger_price=_level(held),
                trail_ratio=held.trail_ratio,
                target_price=held.target_price,
            )
            self._record(stream, OrderAmended(terms, now, outside=True))
        elif order_id not in self.suspects:
            self.suspects.add(order_id)
            self.run(self._ask(order_id, order.terms.symbol, 0))


def _says(terms: OrderTerms) -> tuple[Any, ...]:
    return terms.quantity, _level(terms), terms.trail_ratio, terms.target_price


def _level(terms: OrderTerms) -> Decimal | None:
    """Return the price that somebody set; that of a trail follows the market by itself."""
    return None if terms.type is OrderType.TRAIL else terms.trigger_price
