"""The exchange actor: owns one login at one venue, every order in flight, and what is unknown.

An entry's intent is durable before it leaves; an armed exit leaves at once and is journaled behind.
After a start nothing is sent until the venue has told what it knows (`reconcile`): an exit that may
have been sent is asked for first. An answer that does not come makes the order UNKNOWN, and only
evidence ends that (`doubt.py`).
"""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any

import structlog
from msgspec.structs import replace

from actors import names
from actors.doubt import gather_evidence, reconcile
from actors.journaled import Journaled, Stream
from actors.messages import (
    AskAgain,
    Beat,
    CancelAnswered,
    ClearCause,
    Evidence,
    ExchangeRestarted,
    ForgetOrders,
    Reconciled,
    ReconcileFailed,
    ResolveOrder,
    Retire,
    SetCause,
    Submitted,
    VenueReported,
)
from actors.world import World
from domain.effects import AskOrders, CancelOrder, SubmitOrder
from domain.ids import ClientOrderId, PositionId, account_tag, identity_of
from domain.inputs import FILLS, FillReported, OrderEnded
from domain.modes import Mode, ModeCause
from domain.order import (
    TERMINAL,
    TRANSITIONS,
    AnyOrderEvent,
    Fill,
    Order,
    OrderAccepted,
    OrderAdopted,
    OrderBecameUnknown,
    OrderCanceled,
    OrderCancelRequested,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderIntended,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderTerms,
    OrderTriggered,
    OrderType,
    evolve,
)
from domain.portfolio import Portfolio
from domain.portfolio_life import REMEMBERED_CLOSED
from domain.position_life import is_known_fill
from exchanges.port import Accepted, Exchange, Refused, Submission, Unknown, VenueOrder
from runtime.actor import handles

log = structlog.get_logger("trade.execution")

ANSWER_WITHIN_S = 5.0
ASK_AGAIN_AFTER_S = (0.2, 0.5, 1.0, 2.0, 5.0)
RECONCILE_AGAIN_AFTER_S = 1.0
ACCEPTANCE_WINDOW_S = 5.0  # a request that left may be accepted this much later
FILLS_WITHIN_S = 0.2  # a venue may report an order's end before its last fill
_S = OrderStatus
RECONCILING = "RECONCILING"
FOREIGN_ORDERS = "FOREIGN_ORDERS"
MOST_STRANGERS = 100
_DUPLICATE_CODES = frozenset({"DUPLICATE_ID"})


class _Send:
    """Effect: the intent is durable, let the request leave."""

    __slots__ = ("expires_at", "order_id")

    def __init__(self, order_id: ClientOrderId, expires_at: datetime | None) -> None:
        self.order_id = order_id
        self.expires_at = expires_at


class _TellMissing:
    """Message: the whole tree has started, tell what a crash kept from being told."""

    __slots__ = ()
    lane = FILLS


class _Tell:
    """Effect: pass on what is durable now."""

    __slots__ = ("message", "names")

    def __init__(self, message: Any, *to: str) -> None:
        self.message = message
        self.names = to


class ExchangeActor(Journaled):
    """Owns the orders of one account."""

    def __init__(self, world: World, port: Exchange) -> None:
        super().__init__(world)
        self.port = port
        self.of_position: dict[PositionId, set[ClientOrderId]] = {}
        self.cancel_wanted: set[ClientOrderId] = set()  # until the order has ended
        self.sent_at_s: dict[ClientOrderId, float] = {}  # monotonic, until it has ended
        self.in_doubt: set[ClientOrderId] = set()
        self.short_of_fills: set[ClientOrderId] = set()
        self.strangers: dict[ClientOrderId, None] = {}  # the last ones, so that each is told once
        self.reconciled = False
        self.waiting: list[SubmitOrder] = []  # asked before the venue was
        self.superseded: dict[ClientOrderId, list[OrderTerms]] = {}  # by what works instead

    # --- life ---

    async def on_start(self) -> None:
        """Take over every live order; ask the venue before anything is sent.

        Guards first: after a start, all levels are armed before this goes on. Messages wait.
        """
        self.tell(names.PORTFOLIO, SetCause(_reconciling()))
        await asyncio.sleep(0)
        prefix = "order/"
        for name in [name for name in self.world.states.latest if name.startswith(prefix)]:
            stream = self.open_stream(name)
            order: Order = stream.state
            self._index(order.terms)
            self._note_when_it_left(order)
            if order.status in {_S.INTENT, _S.SENDING, _S.CANCEL_PENDING, _S.AMEND_PENDING}:
                why = "the daemon stopped between intent and answer"
                self._record(stream, OrderBecameUnknown(why, self.world.clock.now()))
        self.tell(self.name, _TellMissing())
        self.run(self._connect())
        if self.incarnation > 1:
            self.tell_positions(ExchangeRestarted())

    @handles(_TellMissing)
    def on_tell_missing(self, message: _TellMissing) -> None:
        """Complete the ledgers, once those who keep them have started too."""
        del message
        for stream in list(self.streams.values()):
            self._tell_what_is_missing(stream)

    def _note_when_it_left(self, order: Order) -> None:
        """Put the time at which an earlier life sent an order on this life's monotonic clock."""
        if order.is_terminal:
            return
        now = self.world.clock.now()
        left = order.sent_at or (order.updated_at if order.status is _S.UNKNOWN else None) or now
        ago_s = max(0.0, (now - left).total_seconds())
        self.sent_at_s[order.terms.client_order_id] = self.world.clock.monotonic() - ago_s

    def _tell_what_is_missing(self, stream: Stream) -> None:
        """Tell again the fills that a ledger lacks, and the end of what is still reserved for.

        A crash came between the journal and the telling.
        """
        order: Order = stream.state
        position_id, order_id = order.terms.position_id, order.terms.client_order_id
        held = self.world.states.latest.get(names.position(position_id))
        if held is not None and any(not is_known_fill(held[1], fill) for fill in order.fills):
            self._tell_again(position_id, order_id)
        account = self.world.states.latest.get(names.portfolio(self.world.account))
        if account is None:
            return
        portfolio: Portfolio = account[1]
        holding = portfolio.holdings.get(position_id)
        lacks = holding is not None and any(
            fill.trade_id not in holding.trade_ids for fill in order.fills
        )
        if lacks or (order.is_terminal and order_id in portfolio.reservations):
            self._tell_again(position_id, order_id, (names.PORTFOLIO,))

    async def _connect(self) -> None:
        await self.port.start(self._on_update)
        await self._reconcile()

    async def _reconcile(self) -> None:
        positions = self.world.states.latest_of("position")
        if not positions:
            self.tell(self.name, Reconciled((), ()))  # there is nobody it could concern
            return
        since = min(position.intended_at for position in positions)
        orders: list[Order] = [stream.state for stream in self.streams.values()]
        working = {
            order.terms.client_order_id: order.terms.symbol
            for order in orders
            if not order.is_terminal
        }
        self.tell(self.name, await reconcile(self.port, since, working, self._is_news))

    def _is_news(self, order_id: ClientOrderId) -> bool:
        """Whether a fill at the venue belongs to a live position and to an order nobody knows."""
        identity = identity_of(order_id)
        return (
            identity is not None
            and self._stream(order_id) is None
            and names.position(identity.position_id) in self.world.states.latest
        )

    def _on_update(self, update: VenueOrder | Fill) -> None:
        self.tell(self.name, VenueReported(update))

    @handles(ReconcileFailed)
    def on_reconcile_failed(self, failed: ReconcileFailed) -> None:
        """Keep asking; nothing new is sent meanwhile, armed guards stay up."""
        log.warning("reconcile_failed", why=failed.why)
        self.after(RECONCILE_AGAIN_AFTER_S, Beat())

    @handles(Beat)
    def on_beat(self, beat: Beat) -> None:
        """Ask the venue again."""
        del beat
        self.run(self._reconcile())

    @handles(Reconciled)
    def on_reconciled(self, found: Reconciled) -> None:
        """Book what happened while nobody listened, then let orders go."""
        known = {order.terms.client_order_id: order for order in found.found}
        before = set(self.streams)  # names
        for fill in found.fills:
            self._book(fill, known.get(fill.client_order_id))
        for venue_order in found.found:
            self._apply(venue_order)
        self.reconciled = True
        for name in list(self.streams):
            order: Order = self.streams[name].state
            if order.status is _S.UNKNOWN:
                self._doubt(order.terms.client_order_id)
        self.tell(names.PORTFOLIO, ClearCause(RECONCILING))
        adopted: list[Order] = [self.streams[name].state for name in self.streams.keys() - before]
        waiting, self.waiting = self.waiting, []
        for effect in waiting:
            self._let_go(effect, adopted)
        log.info("reconciled", orders=len(found.found), fills=len(found.fills))

    def _let_go(self, effect: SubmitOrder, adopted: Sequence[Order]) -> None:
        """Send what waited for the venue, unless it was decided without knowing what was found.

        An exit of another id had left before the crash: both would sell the same units, and at the
        venue those of another position. Its position is told all of that one first, and decides
        anew.
        """
        terms = effect.terms
        others = [each for each in adopted if each.terms.position_id == terms.position_id]
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

    # --- sending ---

    @handles(SubmitOrder)
    def on_submit(self, effect: SubmitOrder) -> None:
        """Journal the intent, then send; an order that is known already is never sent again."""
        terms = effect.terms
        if self._stream(terms.client_order_id) is not None:
            self._tell_again(terms.position_id, terms.client_order_id)
            return
        if not self.reconciled:
            self.waiting.append(effect)
            return
        now = self.world.clock.now()
        self._index(terms)
        stream = self.open_stream(names.order_stream(terms.client_order_id))
        if effect.expires_at is not None and now > effect.expires_at:
            self._record(stream, OrderIntended(terms, now))
            self._deny(stream, "EXPIRED", "decided for an older market")
            return
        if effect.armed:
            self._record(stream, OrderIntended(terms, now), OrderSent(now))
            self._send(terms)
            return
        send = _Send(terms.client_order_id, effect.expires_at)
        self.journal(stream, (OrderIntended(terms, now),), evolve, (send,))

    def _deny(self, stream: Stream, rule: str, why: str) -> None:
        """Refuse an order of ours that has not left."""
        self._record(stream, OrderDenied(rule, why, self.world.clock.now()))
        self._ended(stream)

    def _send(self, terms: OrderTerms) -> None:
        """Hand the order to the venue now; its answer comes back as a message."""
        self.sent_at_s[terms.client_order_id] = self.world.clock.monotonic()
        log.info(
            "order_sent",
            client_order_id=terms.client_order_id,
            position_id=terms.position_id,
            side=terms.side.value,
            quantity=terms.quantity,
            symbol=terms.symbol,
        )
        answer = self.port.submit(terms)
        self.run(self._await_answer(terms.client_order_id, answer, Submitted))

    async def _await_answer(
        self,
        order_id: ClientOrderId,
        answer: Awaitable[Submission],
        message: type[Submitted] | type[CancelAnswered],
    ) -> None:
        try:
            outcome = await asyncio.wait_for(answer, ANSWER_WITHIN_S)
        except TimeoutError:
            outcome = Unknown(f"no answer within {ANSWER_WITHIN_S:.0f} s")
        self.tell(self.name, message(order_id, outcome))

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
        seconds = self._since_it_left_s(order)
        self.world.telemetry.order_sent(self.world.venue, order.terms.type.value, kind, seconds)
        if isinstance(outcome, Accepted) and order.venue_order_id is None:
            self._record(stream, OrderAccepted(outcome.venue_order_id, now))
            if _owes_news(stream.state):
                self.after(ASK_AGAIN_AFTER_S[-1], ResolveOrder(submitted.client_order_id, 0))
        if isinstance(outcome, Accepted) or order.status is not _S.SENDING:
            # Else what the venue reported came first, and that is the answer.
            self._cancel_if_wanted(stream)
            return
        if isinstance(outcome, Refused) and outcome.code not in _DUPLICATE_CODES:
            self._record(stream, OrderRejected(outcome.code, outcome.text, now))
            log.warning(
                "order_rejected",
                client_order_id=submitted.client_order_id,
                code=outcome.code,
                text=outcome.text,
            )
            self._ended(stream)
            return
        why = outcome.why if isinstance(outcome, Unknown) else outcome.text
        self._record(stream, OrderBecameUnknown(why, now))
        log.warning("order_unknown", client_order_id=submitted.client_order_id, why=why)
        self._doubt(submitted.client_order_id)

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
        else:
            self.cancel_wanted.add(cancel.client_order_id)
            self._cancel_if_wanted(stream)

    def _leave_out(self, order_id: ClientOrderId) -> None:
        """Do not send, once the venue can be asked, what waits for that."""
        for effect in self.waiting:
            if effect.terms.client_order_id == order_id:
                self.waiting.remove(effect)
                ended = OrderEnded(effect.terms.position_id, order_id, _S.DENIED, "never sent")
                self.tell(names.position(effect.terms.position_id), ended)
                return

    def _cancel_if_wanted(self, stream: Stream) -> None:
        """Cancel what works; the wish stands until the order has ended, whatever is lost."""
        order: Order = stream.state
        order_id = order.terms.client_order_id
        if order_id not in self.cancel_wanted or order.status not in {_S.OPEN, _S.PARTIAL}:
            return
        self._record(stream, OrderCancelRequested(self.world.clock.now()))
        answer = self.port.cancel(order.terms.symbol, order_id)
        self.run(self._await_answer(order_id, answer, CancelAnswered))

    @handles(CancelAnswered)
    def on_cancel_answered(self, answered: CancelAnswered) -> None:
        """A cancel that is not confirmed may have met a fill: ask."""
        stream = self._stream(answered.client_order_id)
        if stream is None or stream.state.is_terminal:
            return
        match answered.outcome:
            case Accepted():
                # Out of the book; but what it filled before that may not have been reported yet.
                why, within_s = "canceled, how much it filled is being asked", 0.0
            case Refused(code=code):
                why, within_s = f"cancel refused: {code}", ASK_AGAIN_AFTER_S[0]
            case Unknown(why=why):
                within_s = ASK_AGAIN_AFTER_S[0]
        self._record(stream, OrderBecameUnknown(why, self.world.clock.now()))
        self._doubt(answered.client_order_id, within_s)

    # --- what the venue reports ---

    @handles(VenueReported)
    def on_report(self, report: VenueReported) -> None:
        """Book a fill or a change of status."""
        if isinstance(report.update, Fill):
            self._book(report.update, None)
        else:
            self._apply(report.update)

    def _book(self, fill: Fill, venue_order: VenueOrder | None) -> None:
        stream = self._stream(fill.client_order_id)
        if stream is None:
            if venue_order is None:
                self._adopt_later(fill)
                return
            stream = self._adopt(venue_order.terms)
            if stream is None:
                self._adopt_later(fill)  # which says what is wrong with it
                return
        order: Order = stream.state
        if order.has(fill.trade_id):
            return
        tell = _Tell(
            FillReported(order.terms.position_id, fill),
            names.position(order.terms.position_id),
            names.PORTFOLIO,
        )
        self.journal(stream, (OrderFilled(fill),), evolve, (tell,))
        if stream.state.late_fill:
            self.world.telemetry.alarm("LATE_FILL", f"{fill.client_order_id} filled when over")
        if stream.state.status is _S.FILLED:
            self._ended(stream)

    def _adopt_later(self, fill: Fill) -> None:
        """Ask for the terms of an order of ours that nobody knows.

        Its fills come with the answer.
        """
        order_id = fill.client_order_id
        position_id = self._position_of(order_id, is_present=self.reconciled)
        if position_id is not None and self._is_live(position_id):
            self.run(self._ask(order_id, fill.symbol, 0))
        elif position_id is not None and not self._was_booked(position_id, fill):
            self._alarm("LATE_FILL", order_id, "filled when its position was over and forgotten")

    def _position_of(
        self, order_id: ClientOrderId, *, is_present: bool = True
    ) -> PositionId | None:
        """Return the position that an id of ours names; a stranger at work stops entries."""
        identity = identity_of(order_id)
        if identity is not None and identity.account_tag == account_tag(self.world.account):
            return identity.position_id
        if order_id not in self.strangers:
            self.strangers[order_id] = None
            if len(self.strangers) > MOST_STRANGERS:
                del self.strangers[next(iter(self.strangers))]
            self._alarm("FOREIGN_ORDER", order_id, "is not ours")
            if is_present:
                self.tell(names.PORTFOLIO, SetCause(_not_alone(order_id)))
        return None

    def _is_live(self, position_id: PositionId) -> bool:
        return names.position(position_id) in self.world.states.latest

    def _was_booked(self, position_id: PositionId, fill: Fill) -> bool:
        """Whether a fill of a forgotten position is an old one told again, as far as is known."""
        account = self.world.states.latest.get(names.portfolio(self.world.account))
        closed = {} if account is None else account[1].closed
        if position_id in closed:
            return fill.trade_id in closed[position_id]
        return not self.reconciled and len(closed) >= REMEMBERED_CLOSED

    def _alarm(self, code: str, order_id: ClientOrderId, what: str) -> None:
        log.warning(code.lower(), client_order_id=order_id)
        self.world.telemetry.alarm(code, f"{order_id} {what}")

    def _adopt(self, terms: OrderTerms) -> Stream | None:
        """Take over an order with an id of ours that the journal lacks.

        An exit sent before a crash.
        """
        position_id = self._position_of(terms.client_order_id)
        if position_id is None or not self._is_live(position_id):
            return None
        terms = replace(terms, position_id=position_id)  # a venue knows our id, no more
        self._index(terms)
        self.sent_at_s[terms.client_order_id] = self.world.clock.monotonic()
        stream = self.open_stream(names.order_stream(terms.client_order_id))
        self._record(stream, OrderAdopted(terms, self.world.clock.now()))
        return stream

    def _apply(self, venue_order: VenueOrder) -> None:
        """Bring an order to the status the venue reports; fills are booked by their own reports."""
        stream = self._stream(venue_order.terms.client_order_id)
        if stream is None:
            stream = self._adopt(venue_order.terms)
            if stream is None and venue_order.status not in TERMINAL:
                self._note_orphan(venue_order.terms.client_order_id)
        if stream is None or stream.state.is_terminal:
            return
        if venue_order.filled > stream.state.filled:
            # Its fills are still to come, and only they move quantities: look again.
            order_id = venue_order.terms.client_order_id
            if order_id not in self.short_of_fills:
                self.short_of_fills.add(order_id)
                self.after(FILLS_WITHIN_S, VenueReported(venue_order))
            else:
                self.short_of_fills.discard(order_id)
                self.run(self._ask(order_id, venue_order.terms.symbol, 0))
            return
        self.short_of_fills.discard(venue_order.terms.client_order_id)
        event = _event_for(stream.state, venue_order)
        if event is not None:
            if venue_order.status not in TRANSITIONS[stream.state.status] | {stream.state.status}:
                why = f"the venue says {venue_order.status.value}"  # out of turn, as happens
                self._record(stream, OrderBecameUnknown(why, self.world.clock.now()))
            self._record(stream, event)
            if stream.state.is_terminal:
                self._ended(stream)
        self._cancel_if_wanted(stream)

    def _note_orphan(self, order_id: ClientOrderId) -> None:
        if self._position_of(order_id) is not None:
            self._alarm("ORPHAN_ORDER", order_id, "rests at the venue, and its position is over")

    # --- doubt ---

    def _doubt(self, order_id: ClientOrderId, within_s: float = ASK_AGAIN_AFTER_S[0]) -> None:
        if order_id not in self.in_doubt and self.reconciled:
            self.in_doubt.add(order_id)
            self.after(within_s, ResolveOrder(order_id, 0))

    @handles(ResolveOrder)
    def on_resolve(self, resolve: ResolveOrder) -> None:
        """Ask the venue what became of an order."""
        stream = self._stream(resolve.client_order_id)
        if stream is None or not _owes_news(stream.state):
            self.in_doubt.discard(resolve.client_order_id)
            return
        self.run(self._ask(resolve.client_order_id, stream.state.terms.symbol, resolve.attempt))

    async def _ask(self, order_id: ClientOrderId, symbol: Any, attempt: int) -> None:
        stream = self._stream(order_id)
        since = stream.state.intended_at if stream is not None else None
        self.tell(self.name, await gather_evidence(self.port, symbol, order_id, since))
        if stream is not None and _owes_news(stream.state):
            again = min(attempt + 1, len(ASK_AGAIN_AFTER_S) - 1)
            delay = ASK_AGAIN_AFTER_S[again]
            proof = ACCEPTANCE_WINDOW_S - self._since_it_left_s(stream.state)
            if 0 < proof < delay:
                delay = proof  # an exit that never left is sent anew the moment that is proven
            self.after(delay, ResolveOrder(order_id, again))

    def _since_it_left_s(self, order: Order) -> float:
        """Return how long a request has had to arrive."""
        now_s = self.world.clock.monotonic()
        return now_s - self.sent_at_s.get(order.terms.client_order_id, now_s)

    @handles(Evidence)
    def on_evidence(self, evidence: Evidence) -> None:
        """Conclude from what the venue says.

        Absent only when everything agrees and time has passed.
        """
        for fill in evidence.fills:
            self._book(fill, evidence.order)
        if evidence.order is not None:
            self._apply(evidence.order)
            return
        stream = self._stream(evidence.client_order_id)
        if stream is None or stream.state.status is not _S.UNKNOWN:
            return
        order: Order = stream.state
        waited = self._since_it_left_s(order)
        # What was reported until now, so that fills meanwhile of other orders do not disagree.
        agrees = evidence.complete and evidence.net == self._net(order.terms.symbol)
        if agrees and not evidence.fills and waited >= ACCEPTANCE_WINDOW_S:
            text = f"order query, fills and position agree after {waited:.1f} s"
            self._record(stream, OrderFoundAbsent(text, self.world.clock.now()))
            self._ended(stream)

    def _net(self, symbol: Any) -> Any:
        """Return the signed quantity that our fills amount to."""
        return sum(
            fill.quantity if fill.side.value == "buy" else -fill.quantity
            for stream in self.streams.values()
            if stream.state is not None and stream.state.terms.symbol == symbol
            for fill in stream.state.fills
        )

    # --- telling ---

    @handles(AskOrders)
    def on_ask_orders(self, ask: AskOrders) -> None:
        """Tell a restarted position its orders' fates; find out what nobody knows."""
        terms = {each.client_order_id: each for each in ask.terms}
        waiting = {effect.terms.client_order_id for effect in self.waiting}
        for known in self.superseded.values():
            waiting |= {each.client_order_id for each in known}
        for order_id in ask.client_order_ids:
            if order_id in waiting:
                continue  # it leaves, or ends unsent, as soon as the venue has told enough
            if self._stream(order_id) is not None:
                self._tell_again(ask.position_id, order_id)
            elif order_id in terms and terms[order_id].reduce_only:
                stream = self._adopt(terms[order_id])
                if stream is not None:
                    self._doubt(order_id)
            elif order_id in terms:
                self._never_send(terms[order_id])

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
        self._record(stream, OrderIntended(terms, self.world.clock.now()))
        self._deny(stream, rule, why)

    @handles(AskAgain)
    def on_ask_again(self, ask: AskAgain) -> None:
        """Tell the portfolio all fills again, so that it can book what it lacks."""
        for position_id in ask.position_ids:
            for order_id in sorted(self.of_position.get(position_id, ())):
                self._tell_again(position_id, order_id, (names.PORTFOLIO,))

    def _tell_again(
        self, position_id: PositionId, order_id: ClientOrderId, to: tuple[str, ...] = ()
    ) -> None:
        stream = self._stream(order_id)
        if stream is None:
            return
        receivers = to or (names.position(position_id),)
        order: Order = stream.state
        effects: list[Any] = [
            _Tell(FillReported(position_id, fill), *receivers) for fill in order.fills
        ]
        if order.is_terminal:
            ended = OrderEnded(position_id, order_id, order.status, order.reason)
            effects.append(_Tell(ended, *receivers))
        self.journal(stream, (), evolve, effects)

    @handles(ForgetOrders)
    def on_forget(self, forget: ForgetOrders) -> None:
        """Drop the orders of a position that is over and booked by everybody."""
        orders = self.of_position.pop(forget.position_id, set())
        retired = []
        for order_id in sorted(orders):
            stream = self.streams.pop(names.order_stream(order_id), None)
            if stream is not None:
                retired.append(stream.name)
            self._drop(order_id)
        if retired:
            self.tell(names.PERSISTENCE, Retire(tuple(retired)))

    def _ended(self, stream: Stream) -> None:
        order: Order = stream.state
        terms = order.terms
        self._drop(terms.client_order_id)
        self.world.telemetry.order_ended(self.world.venue, order.status.value)
        ended = OrderEnded(terms.position_id, terms.client_order_id, order.status, order.reason)
        tell = _Tell(ended, names.position(terms.position_id), names.PORTFOLIO)
        self.journal(stream, (), evolve, (tell,))
        for unsent in self.superseded.pop(terms.client_order_id, ()):
            self._supersede(unsent)

    def _drop(self, order_id: ClientOrderId) -> None:
        """Forget what is noted about an order in flight."""
        self.in_doubt.discard(order_id)
        self.cancel_wanted.discard(order_id)
        self.short_of_fills.discard(order_id)
        self.sent_at_s.pop(order_id, None)

    # --- streams ---

    def _stream(self, order_id: ClientOrderId) -> Stream | None:
        return self.streams.get(names.order_stream(order_id))

    def _index(self, terms: OrderTerms) -> None:
        self.of_position.setdefault(terms.position_id, set()).add(terms.client_order_id)

    def _record(self, stream: Stream, *events: AnyOrderEvent) -> None:
        self.journal(stream, events, evolve)

    def release(self, effect: Any) -> None:
        """Send what is durable; pass on what is durable."""
        if isinstance(effect, _Tell):
            for name in effect.names:
                self.tell(name, effect.message)
            return
        stream = self._stream(effect.order_id)
        if stream is None or stream.state.status is not _S.INTENT:
            return  # canceled meanwhile
        now = self.world.clock.now()
        if effect.expires_at is not None and now > effect.expires_at:
            self._deny(stream, "EXPIRED", "its intent was too long on its way to the disk")
            return
        self._record(stream, OrderSent(now))
        self._send(stream.state.terms)


def _owes_news(order: Order) -> bool:
    """Whether the venue should say more: about a doubt, or that a market order is done by now."""
    is_at_market = order.terms.type is OrderType.MARKET and order.status in {_S.OPEN, _S.PARTIAL}
    return order.status is _S.UNKNOWN or is_at_market


def _event_for(order: Order, venue_order: VenueOrder) -> AnyOrderEvent | None:
    """Return the event that brings our order to the venue's status.

    None when there is nothing new.
    """
    at = venue_order.updated_at
    match venue_order.status:
        case _S.CANCELED:
            return OrderCanceled(at)
        case _S.EXPIRED:
            return OrderExpired(at)
        case _S.REJECTED:
            return OrderRejected("VENUE", venue_order.reason, at)
        case _S.TRIGGERED if order.status is not _S.TRIGGERED:
            return OrderTriggered(at)
        case _S.OPEN | _S.PARTIAL if order.venue_order_id is None or order.status is _S.UNKNOWN:
            return OrderAccepted(venue_order.venue_order_id, at)
        case _:
            return None


def _not_alone(order_id: ClientOrderId) -> ModeCause:
    return ModeCause(
        code=FOREIGN_ORDERS,
        mode=Mode.NO_ENTRY,
        message=f"Somebody else trades on this account: order {order_id} is not ours.",
        way_out="Stop the other program or give Holdfast an account of its own, then restart.",
    )


def _reconciling() -> ModeCause:
    return ModeCause(
        code=RECONCILING,
        mode=Mode.NO_ENTRY,
        message="Orders and fills are being compared with the venue.",
        way_out="It ends by itself once the venue has answered.",
    )
