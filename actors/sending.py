"""What leaves for the venue: orders and their cancels.

An entry's intent is durable before it leaves; an armed exit leaves at once and is journaled behind.
An answer that does not come makes the order UNKNOWN; `doubting.py` finds out what became of it.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from actors import names
from actors.absence import Proving
from actors.attempts import attempt_of
from actors.cancels import CancelAgain, Cancels
from actors.covered import (
    Room,
    had_none_to_close,
    has_neighbor,
    may_sell_others,
    never_left,
    room_for,
)
from actors.doubting import ASK_AGAIN_AFTER_S
from actors.journaled import Stream
from actors.latency import Step
from actors.messages import AmendAnswered, CancelAnswered, NoneToClose, ResolveOrder, Submitted
from actors.orders import LEAVES_WITHIN_S
from actors.reconcile_rules import UNREAD
from actors.world import World
from domain.effects import CancelOrder, SubmitOrder
from domain.ids import ClientOrderId, PositionId, identity_of
from domain.inputs import EXITS, ExitLocked, OrderEnded
from domain.instrument import Kind
from domain.order import (
    RESTING,
    Order,
    OrderAccepted,
    OrderBecameUnknown,
    OrderCancelRequested,
    OrderIntended,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderTerms,
    evolve,
    is_entry,
)
from domain.position import Position, PositionStatus
from domain.venue_stop import GUARD
from exchanges.port import Accepted, Exchange, Refused, Submission, Unknown
from runtime.actor import handles

log = structlog.get_logger("trade.execution")

ANSWER_WITHIN_S = LEAVES_WITHIN_S
REFUSAL_COUNTS_FOR = timedelta(minutes=1)  # that nothing was held to close
ABSENCE_COUNTS_FOR = timedelta(seconds=15)  # that an exit never left, while others closed
HOLDINGS_WITHIN_S = 3.0  # of a start: so long an exit waits to know who else holds its symbol
CANCEL_FAILING = "CANCEL_FAILING"
_S = OrderStatus
_WORKS = frozenset({_S.OPEN, _S.PARTIAL})
_DUPLICATE_CODES = frozenset({"DUPLICATE_ID"})


class _Send:
    """Effect: the intent is durable, let the request leave."""

    __slots__ = ("expires_at", "order_id")

    def __init__(self, order_id: ClientOrderId, expires_at: datetime | None) -> None:
        self.order_id = order_id
        self.expires_at = expires_at


class _LookAgain:
    """Message: may what waits for a stop of this position leave?"""

    __slots__ = ("position_id",)
    lane = EXITS

    def __init__(self, position_id: PositionId) -> None:
        self.position_id = position_id


class Sender(Proving):
    """Sends the orders of one account, once the venue has told what it knows of them."""

    def __init__(self, world: World, port: Exchange) -> None:
        super().__init__(world, port)
        self.began_s = world.clock.monotonic()
        self.waiting: list[SubmitOrder] = []  # asked before the venue was
        self.superseded: dict[ClientOrderId, list[OrderTerms]] = {}  # by what works instead
        self.locked: dict[PositionId, list[SubmitOrder]] = {}  # by a stop at the venue
        self.said_to_wait: set[ClientOrderId] = set()
        self.looking: set[PositionId] = set()  # again, soon, at what waits for a stop of theirs
        self.cancels = Cancels()

    def _drop(self, order_id: ClientOrderId) -> None:
        super()._drop(order_id)
        self.cancels.forget(order_id)
        self.said_to_wait.discard(order_id)

    # --- sending ---

    @handles(SubmitOrder)
    def on_submit(self, effect: SubmitOrder) -> None:
        """Journal the intent, then send; an order that is known already is never sent again."""
        if self.reconciled or self._stream(effect.terms.client_order_id) is not None:
            self._submit(effect)
        else:
            self.waiting.append(effect)

    def _submit(self, effect: SubmitOrder) -> None:
        terms = effect.terms
        if self._stream(terms.client_order_id) is not None:
            self._tell_again(terms.position_id, terms.client_order_id)
            return
        now = self.world.clock.now()
        if effect.expires_at is not None and now > effect.expires_at:
            self._end_unsent(terms, "EXPIRED", "decided for an older market")
            return
        if not self._has_room(effect):
            return
        self._index(terms)
        stream = self.open_stream(names.order_stream(terms.client_order_id))
        if effect.armed:
            self._record(stream, self._intent(effect, now), OrderSent(now))
            self._send(stream.state)
            return
        send = _Send(terms.client_order_id, effect.expires_at)
        self.journal(stream, (self._intent(effect, now),), evolve, (send,))

    def _has_room(self, effect: SubmitOrder) -> bool:
        """Whether an order may leave now; an exit of what may be sold already ends, or waits."""
        terms = effect.terms
        if is_entry(terms):
            return not self._is_kept_out(effect)
        position = self.world.position(terms.position_id)
        if position is None or not terms.reduce_only:
            return True
        orders = self._orders_of(terms.position_id)
        if self._is_anothers(position, orders):
            why = "the venue had none to close: what is there may be a neighbor's"
            self._end_unsent(terms, "NOT_HELD", why)
            return False
        if terms.type in RESTING:
            return True
        positions = partial(self.world.states.latest_of, "position")
        world = self.world
        is_known = world.holdings_known and UNREAD not in world.causes
        shared = world.shared if is_known else None
        room = room_for(terms, position, orders, positions, shared)
        if room is Room.LOCKED and not world.holdings_known and self._is_young():
            self._lock(terms.position_id, effect, "exit_waits")
            return False
        match room:
            case Room.GONE:
                self._end_unsent(terms, "SUPERSEDED", "what it was to sell had been sold")
                return False
            case Room.LOCKED:
                if _is_beside(position, terms):
                    log.info("exit_waits", client_order_id=terms.client_order_id)
                    locked = ExitLocked(terms.position_id, terms.client_order_id)
                    self.tell(names.position(terms.position_id), locked)
                else:
                    self._lock(terms.position_id, effect, "exit_waits")
                return False
            case Room.ENOUGH:
                return True

    def _is_anothers(self, position: Position, orders: Sequence[Order]) -> bool:
        """Whether an exit, or a stop, would close what a neighbor holds: refused for a while.

        The venue holds less than ours together, or has not been looked at since, and it is not
        booked yet whose is missing. On spot the same is said of coins that a stop has not let go of
        yet: there only a look counts.
        """
        world, now = self.world, self.world.clock.now()
        codes = self.port.abilities.not_held
        refused_at = had_none_to_close(orders, codes, now - REFUSAL_COUNTS_FOR, now)
        if refused_at is None and not never_left(orders, now - ABSENCE_COUNTS_FOR, now):
            return False
        if not has_neighbor(position, world.states.latest_of("position")):
            return False
        if refused_at is not None and (world.holdings_at is None or world.holdings_at < refused_at):
            return position.instrument.kind is not Kind.SPOT
        symbol = position.instrument.symbol
        return not world.lacking.isdisjoint({(symbol, None), (symbol, position.direction)})

    def _is_young(self) -> bool:
        """Whether the venue may tell any moment what it holds; until then the stop may stay."""
        return self.world.clock.monotonic() - self.began_s < HOLDINGS_WITHIN_S

    def _is_kept_out(self, effect: SubmitOrder) -> bool:
        """Whether an entry waits: a neighbor is leaving, and its stop could sell what this buys."""
        terms = effect.terms
        positions: list[Position] = self.world.states.latest_of("position")
        for each in positions:
            is_neighbor = each.instrument.symbol == terms.symbol and each.id != terms.position_id
            if is_neighbor and may_sell_others(each, self._orders_of(each.id)):
                self._lock(each.id, effect, "entry_waits")
                return True
        return False

    def _orders_of(self, position_id: PositionId) -> list[Order]:
        known = map(self._known, self.of_position.get(position_id, ()))
        return [order for order in known if order is not None]

    def _lock(self, position_id: PositionId, effect: SubmitOrder, event: str) -> None:
        """Let an order wait for a stop of that position; look again from time to time, too."""
        order_id = effect.terms.client_order_id
        if order_id not in self.said_to_wait:
            self.said_to_wait.add(order_id)
            log.info(event, client_order_id=order_id)
        self.locked.setdefault(position_id, []).append(effect)
        if position_id not in self.looking:
            self.looking.add(position_id)
            self.after(ASK_AGAIN_AFTER_S[0], _LookAgain(position_id))

    @handles(_LookAgain)
    def on_look_again(self, look: _LookAgain) -> None:
        """An entry may have expired, a stop have ended that never left."""
        self.looking.discard(look.position_id)
        self._unlock(look.position_id)

    def _unlock(self, position_id: PositionId) -> None:
        """Look again at what waited for a stop at the venue, whose state has changed."""
        for effect in self.locked.pop(position_id, ()):
            self._submit(effect)

    def _intent(self, effect: SubmitOrder, now: datetime) -> OrderIntended:
        terms, decided_at = effect.terms, effect.decided_at or now
        entry = self.attempt_that_opened(terms.position_id)
        return OrderIntended(terms, now, attempt_of(self.world, terms, entry, decided_at))

    def _send(self, order: Order) -> None:
        """Hand the order to the venue now; its answer comes back as a message."""
        terms = order.terms
        self.sent_at_s[terms.client_order_id] = self.world.clock.monotonic()
        log.info(
            "order_sent",
            client_order_id=terms.client_order_id,
            position_id=terms.position_id,
            side=terms.side.value,
            quantity=terms.quantity,
            symbol=terms.symbol,
        )
        decided_at = None if order.attempt is None else order.attempt.decided_at
        answer = self.port.submit(terms)
        if decided_at is not None and order.sent_at is not None:
            self._measure(order, Step.SEND, (self.world.clock.now() - decided_at).total_seconds())
        self.run(self._await_answer(terms.client_order_id, answer, Submitted))

    def release(self, effect: Any) -> None:
        """Send what is durable; pass on what is durable."""
        if not isinstance(effect, _Send):
            super().release(effect)
            return
        stream = self._stream(effect.order_id)
        if stream is None or stream.state.status is not _S.INTENT:
            return  # canceled meanwhile
        now = self.world.clock.now()
        if effect.expires_at is not None and now > effect.expires_at:
            self._deny(stream, "EXPIRED", "its intent was too long on its way to the disk")
            return
        if self._comes_too_late(stream.state.terms):
            self._deny(stream, "CLOSING", "its position closes meanwhile")
            return
        self._record(stream, OrderSent(now))
        self._send(stream.state)

    def _comes_too_late(self, terms: OrderTerms) -> bool:
        """Whether an entry would add to what is being closed."""
        if not is_entry(terms):
            return False
        position = self.world.position(terms.position_id)
        return position is not None and (
            position.is_closed or position.status is PositionStatus.CLOSING
        )

    async def _await_answer(
        self,
        order_id: ClientOrderId,
        answer: Awaitable[Submission],
        message: type[Submitted] | type[CancelAnswered] | type[AmendAnswered],
    ) -> None:
        left_s = self.world.clock.monotonic()
        try:
            outcome = await asyncio.wait_for(answer, ANSWER_WITHIN_S)
        except TimeoutError:
            outcome = Unknown(f"no answer within {ANSWER_WITHIN_S:.0f} s")
        self.tell(self.name, message(order_id, outcome, self.world.clock.monotonic() - left_s))

    @handles(Submitted)
    def on_submitted(self, submitted: Submitted) -> None:
        """Take the venue's answer for what it is: yes, no, or none."""
        stream = self._stream(submitted.client_order_id)
        if stream is None:
            return
        order: Order = stream.state
        now = self.world.clock.now()
        outcome = submitted.outcome
        kind = type(outcome).__name__.lower()
        seconds = submitted.after_s
        self.world.telemetry.order_sent(self.world.venue, order.terms.type.value, kind, seconds)
        if not isinstance(outcome, Unknown):
            self._measure(order, Step.ANSWER, seconds)
        if not order.is_terminal:
            self.answered_s[submitted.client_order_id] = self.world.clock.monotonic()
        if isinstance(outcome, Accepted) and order.venue_order_id is None:
            self._record(stream, OrderAccepted(outcome.venue_order_id, now, seconds))
        if isinstance(outcome, Accepted) or order.status is not _S.SENDING:
            # Else what the venue reported came first, and that is the answer.
            self._cancel_if_wanted(stream)
            if isinstance(outcome, Unknown) and self._owes_news(stream.state):
                self._doubt(submitted.client_order_id)
            elif self._owes_news(stream.state):  # a fill that is not told by then is lost
                self.after(ASK_AGAIN_AFTER_S[1], ResolveOrder(submitted.client_order_id, 1))
            return
        if isinstance(outcome, Refused) and outcome.code not in _DUPLICATE_CODES:
            code, text, remedy = outcome.code, outcome.text, outcome.remedy
            self._record(stream, OrderRejected(code, text, now, seconds, remedy))
            log.warning(
                "order_rejected",
                client_order_id=submitted.client_order_id,
                code=outcome.code,
                text=outcome.text,
            )
            if code in self.port.abilities.not_held and order.terms.reduce_only:
                self.tell(names.RECONCILER, NoneToClose())
            self._ended(stream)
            return
        why = outcome.why if isinstance(outcome, Unknown) else outcome.text
        # It may have left at the last moment: leverage is set before, our own budget is waited for.
        self.sent_at_s[submitted.client_order_id] = self.world.clock.monotonic()
        self._record(stream, OrderBecameUnknown(why, now))
        log.warning("order_unknown", client_order_id=submitted.client_order_id, why=why)
        self._doubt(submitted.client_order_id)

    def _never_send(self, terms: OrderTerms) -> None:
        """End an entry that nobody intended here.

        Its intent is durable before it leaves: without one it never left. Nor will it, should its
        position's wish to send it still be on its way.
        """
        self._end_unsent(terms, "NEVER_SENT", "nobody knew of it when it was asked for")

    def _end_unsent(self, terms: OrderTerms, rule: str, why: str) -> None:
        """Journal an order only to say that it is not sent."""
        self._index(terms)
        stream = self.open_stream(names.order_stream(terms.client_order_id))
        now = self.world.clock.now()
        self._record(stream, self._intent(SubmitOrder(terms), now))
        self._deny(stream, rule, why)

    # --- what waited for the venue ---

    def _waiting_ids(self) -> set[ClientOrderId]:
        """Return the ids of orders asked for that have neither left nor ended."""
        parked = (terms for known in self.superseded.values() for terms in known)
        locked = (effect for some in self.locked.values() for effect in some)
        waiting = {effect.terms.client_order_id for effect in (*self.waiting, *locked)}
        return waiting | {terms.client_order_id for terms in parked}

    def _let_go(self, effect: SubmitOrder, adopted: Sequence[Order]) -> None:
        """Send what waited for the venue, unless it was decided without knowing what was found.

        An exit of another id had left before the crash: both would sell the same units, and at the
        venue those of another position. Its position is told all of that one first, and decides
        anew.
        """
        terms = effect.terms
        others = [
            each
            for each in adopted
            if each.terms.position_id == terms.position_id and each.terms.side is terms.side
            if each.terms.client_order_id not in self.attached  # its position knows of it
        ]
        if not others or not terms.reduce_only or self._stream(terms.client_order_id) is not None:
            self.on_submit(effect)
            return
        working = [each.terms.client_order_id for each in others if not each.is_terminal]
        if working:
            self.superseded.setdefault(working[0], []).append(terms)
            self._doubt(working[0])  # nothing but its end lets the other one go on
        else:
            self._supersede(terms)

    def _supersede(self, terms: OrderTerms) -> None:
        if self._stream(terms.client_order_id) is None:
            self._end_unsent(terms, "SUPERSEDED", "another exit had left before the crash")

    def _ended(self, stream: Stream) -> None:
        super()._ended(stream)
        self._unlock(stream.state.terms.position_id)
        self._let_stops_go(stream.state.terms.position_id)
        for terms in self.superseded.pop(stream.state.terms.client_order_id, ()):
            self._supersede(terms)

    # --- cancel ---

    @handles(CancelOrder)
    def on_cancel(self, cancel: CancelOrder) -> None:
        """Take an order out: at once when it rests, later when its own answer is outstanding."""
        stream = self._stream(cancel.client_order_id)
        if stream is None:
            self._leave_out(cancel.client_order_id)
            return
        order: Order = stream.state
        if order.is_terminal:
            self._tell_again(order.terms.position_id, cancel.client_order_id)
        elif order.status is _S.INTENT:
            self._deny(stream, "CANCELED", "canceled before it was sent")
        elif order.status is not _S.TRIGGERED:  # then there is nothing left to take out
            self.cancel_wanted.add(cancel.client_order_id)
            self._cancel_if_wanted(stream)

    def _leave_out(self, order_id: ClientOrderId) -> None:
        """Do not send what waits: for the venue to be asked, or for a neighbor's stop."""
        for waiting in (self.waiting, *self.locked.values()):
            for effect in waiting:
                if effect.terms.client_order_id != order_id:
                    continue
                waiting.remove(effect)
                ended = OrderEnded(effect.terms.position_id, order_id, _S.DENIED, "never sent")
                self.tell(names.position(effect.terms.position_id), ended)
                return
        identity = identity_of(order_id)
        if identity is not None:
            self._unknown_here(order_id, identity.position_id)

    def _unknown_here(self, order_id: ClientOrderId, position_id: PositionId) -> None:
        """Say that an order was never sent: what is sent is known here."""
        identity = identity_of(order_id)
        if identity is not None and identity.leg == GUARD:  # others are told of when they end
            ended = OrderEnded(position_id, order_id, _S.DENIED, "canceled before it was sent")
            self.tell(names.position(position_id), ended)

    def _cancel_if_wanted(self, stream: Stream) -> None:
        """Cancel what works; the wish stands until the order has ended, whatever is lost."""
        order: Order = stream.state
        order_id = order.terms.client_order_id
        if order_id not in self.cancel_wanted or not _may_be_canceled(order):
            return
        if order.terms.type in RESTING and self._exit_is_in_doubt(order.terms.position_id):
            return  # it may have to guard for as long as that takes
        if order_id in self.cancels.waiting:
            return
        self.cancels.note_sent(order_id)
        if not (self.cancels.is_repeat(order_id) and order.status in _WORKS):
            self._record(stream, OrderCancelRequested(self.world.clock.now()))
        answer = self.port.cancel(order.terms.symbol, order_id)
        self.run(self._await_answer(order_id, answer, CancelAnswered))

    def _exit_is_in_doubt(self, position_id: PositionId) -> bool:
        """Whether an exit may have left, or may not: the process stopped, or its answer is lost."""
        return any(
            order.status is _S.UNKNOWN
            and order.terms.reduce_only
            and order.terms.type not in RESTING
            for order in self._orders_of(position_id)
        )

    def _let_stops_go(self, position_id: PositionId) -> None:
        """Cancel what had to wait until an exit was known."""
        for order_id in sorted(self.of_position.get(position_id, ())):
            stream = self._stream(order_id)
            if stream is not None and not stream.state.is_terminal:
                self._cancel_if_wanted(stream)

    @handles(CancelAnswered)
    def on_cancel_answered(self, answered: CancelAnswered) -> None:
        """A cancel that is not confirmed may have met a fill: ask."""
        order_id = answered.client_order_id
        stream = self._stream(order_id)
        if stream is None or stream.state.is_terminal:
            return
        is_repeat = self.cancels.is_repeat(order_id)
        pause_s = self.cancels.note_answer(order_id)
        if pause_s:
            self.after(pause_s, CancelAgain(order_id))
        match answered.outcome:
            case Refused() | Unknown() if is_repeat and stream.state.status in _WORKS:
                self.run(self._ask(order_id, stream.state.terms.symbol, 0))
                return  # what it says has been journaled
            case Accepted():
                # Out of the book; but what it filled before that may not have been reported yet.
                why, within_s = "canceled, how much it filled is being asked", 0.0
            case Refused(code=code):
                why, within_s = f"cancel refused: {code}", ASK_AGAIN_AFTER_S[0]
            case Unknown(why=why):
                within_s = ASK_AGAIN_AFTER_S[0]
        if self.cancels.begins_to_fail(order_id):
            log.warning("cancel_failing", client_order_id=order_id, why=why)
            self.world.telemetry.alarm(CANCEL_FAILING, f"{order_id}: {why}")
        self._record(stream, OrderBecameUnknown(why, self.world.clock.now()))
        self._doubt(order_id, within_s)

    @handles(CancelAgain)
    def on_cancel_again(self, again: CancelAgain) -> None:
        """Cancel what still works; what is in doubt as soon as it is found."""
        self.cancels.go_on(again.order_id)
        stream = self._stream(again.order_id)
        if stream is not None:
            self._cancel_if_wanted(stream)

    def _miss(self, order_id: ClientOrderId) -> None:
        """Doubt an order that could not be canceled and is not found either."""
        stream = self._stream(order_id)
        if stream is not None and order_id in self.cancels.tries and stream.state.status in _WORKS:
            why = "neither canceled nor found"
            self._record(stream, OrderBecameUnknown(why, self.world.clock.now()))


def _is_beside(position: Position, terms: OrderTerms) -> bool:
    """Whether an exit was to leave while the stop stays; else the stop has been asked to go."""
    return any(
        each.client_order_id == terms.client_order_id and each.beside for each in position.exits
    )


def _may_be_canceled(order: Order) -> bool:
    """Whether a cancel is sure to meet the order, if it lives.

    What rests is known to have arrived, whatever else of it is in doubt.
    """
    if order.status in _WORKS:
        return True
    rests = order.terms.type in RESTING and order.venue_order_id is not None
    return rests and order.status is _S.AMEND_PENDING
