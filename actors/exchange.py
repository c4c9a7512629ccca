"""The exchange actor: owns one login at one venue, every order in flight, and what is unknown.

An entry's intent is durable before it leaves; an armed exit leaves at once and is journaled behind.
After a start nothing is sent until the venue has told what it knows (`reconcile`): an exit that may
have been sent is asked for first. An answer that does not come makes the order UNKNOWN, and only
evidence ends that (`doubt.py`).
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal

import structlog
from msgspec.structs import replace

from actors import names
from actors.attempts import attempt_of
from actors.doubt import reconcile
from actors.doubting import ACCEPTANCE_WINDOW_S, is_nameless
from actors.journaled import Stream
from actors.messages import (
    Beat,
    CheckVenue,
    ClearCause,
    Compared,
    ExchangeRestarted,
    Finding,
    Findings,
    Reconciled,
    ReconcileFailed,
    SetCause,
    Uncompared,
    VenueReported,
)
from actors.order_list import OrderList
from actors.orders import Tell, TellMissing
from actors.ownership import Ownership
from actors.resting import RestingOrders
from actors.world import World
from domain.effects import AskOrders
from domain.ids import NO_ORDER, ClientOrderId, Symbol, identity_of
from domain.inputs import FillReported
from domain.modes import Mode, ModeCause
from domain.money import ZERO
from domain.order import (
    RESTING,
    TERMINAL,
    TRANSITIONS,
    AnyOrderEvent,
    Fill,
    Order,
    OrderAccepted,
    OrderAdopted,
    OrderBecameUnknown,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderRejected,
    OrderStatus,
    OrderTerms,
    OrderTriggered,
    evolve,
)
from exchanges.port import Exchange, StreamDown, StreamUp, VenueOrder, VenueUpdate
from runtime.actor import handles

log = structlog.get_logger("trade.execution")

RECONCILE_AGAIN_AFTER_S = 1.0
ABSENT_ANYHOW_AFTER_S = {True: 20.0, False: 60.0}  # exits, entries; though others hold it too
FILLS_WITHIN_S = 0.2  # a venue may report an order's end before its last fill
RECONCILING = "RECONCILING"
STREAM_DOWN = "STREAM_DOWN"
_S = OrderStatus


class ExchangeActor(RestingOrders, OrderList):
    """Owns the orders of one account: reconciles, books, adopts, concludes.

    What leaves for the venue is in `sending.py`, what rests there in `resting.py`, how orders are
    kept and told of in `orders.py`.
    """

    def __init__(self, world: World, port: Exchange) -> None:
        super().__init__(world, port)
        self.ownership = Ownership(world, self._stop_entries)

    # --- life ---

    async def on_start(self) -> None:
        """Take over every live order; ask the venue before anything is sent.

        Guards first: after a start, all levels are armed before this goes on. Messages wait.
        """
        self.world.is_reconciled = False
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
        self.tell(self.name, TellMissing())
        self.run(self._connect())
        if self.incarnation > 1:
            self.tell_positions(ExchangeRestarted())

    async def _connect(self) -> None:
        await self.port.start(self._on_update)
        self._check_venue()
        await self._reconcile()

    def _check_venue(self) -> None:
        if self.world.is_distant:
            self.tell(names.VENUE_CHECK, CheckVenue())

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
            and self.ownership.is_live(identity.position_id)
        )

    def _on_update(self, update: VenueUpdate) -> None:
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
            self._apply(venue_order, is_sure=True)
        self.reconciled = self.world.is_reconciled = True
        for name in list(self.streams):
            order: Order = self.streams[name].state
            if order.status is _S.UNKNOWN:
                self._doubt(order.terms.client_order_id)
        self.tell(names.PORTFOLIO, ClearCause(RECONCILING))
        self.tell(names.RECONCILER, Compared())
        new = sorted(self.streams.keys() - before)
        adopted: list[Order] = [self.streams[name].state for name in new]
        waiting, self.waiting = self.waiting, []
        for effect in waiting:
            self._let_go(effect, adopted)
        log.info("reconciled", orders=len(found.found), fills=len(found.fills))

    def _stop_entries(self, cause: ModeCause) -> None:
        self.tell(names.PORTFOLIO, SetCause(cause))

    # --- what the venue reports ---

    @handles(VenueReported)
    def on_report(self, report: VenueReported) -> None:
        """Book a fill or a change of status."""
        match report.update:
            case Fill() as fill:
                self._book(fill, None)
            case VenueOrder() as venue_order:
                self._apply(venue_order)
            case StreamUp() | StreamDown() as change:
                self._stream_changed(change)
            case _:
                self.tell(names.RECONCILER, report)

    def _stream_changed(self, change: StreamUp | StreamDown) -> None:
        """Open nothing while the stream is down, nor until what it did not tell is known."""
        self.world.link.note(change, self.world.clock.now())
        self._check_venue()
        if isinstance(change, StreamDown):
            log.warning("private_stream_down", why=change.why)
            self.tell(names.PORTFOLIO, SetCause(_stream_down(change.why)))
            return
        self.tell(names.PORTFOLIO, SetCause(_reconciling()))
        self.tell(names.PORTFOLIO, ClearCause(STREAM_DOWN))
        self.tell(names.RECONCILER, Uncompared())
        self.run(self._reconcile())

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
        tell = Tell(
            FillReported(order.terms.position_id, fill),
            names.position(order.terms.position_id),
            names.PORTFOLIO,
        )
        self.world.booked[fill.symbol] = self.world.clock.monotonic()
        self.journal(stream, (OrderFilled(fill),), evolve, (tell,))
        if stream.state.late_fill:
            self.world.telemetry.alarm("LATE_FILL", f"{fill.client_order_id} filled when over")
        if stream.state.over_fill and not order.over_fill:
            self.world.telemetry.alarm(
                "OVER_FILL", f"{fill.client_order_id} filled beyond its size"
            )
        if stream.state.status is _S.FILLED:
            self._ended(stream)

    def _adopt_later(self, fill: Fill) -> None:
        """Ask for the terms of an order of ours that nobody knows.

        Its fills come with the answer.
        """
        order_id = fill.client_order_id
        position_id = self.ownership.position_of(order_id, is_present=self.reconciled)
        if position_id is not None and self.ownership.is_live(position_id):
            self.run(self._ask(order_id, fill.symbol, 0))
        elif position_id is not None and not self.ownership.was_booked(
            position_id, fill, reconciled=self.reconciled
        ):
            self.ownership.alarm(
                "LATE_FILL", order_id, "filled when its position was over and forgotten"
            )

    def _adopt(self, terms: OrderTerms) -> Stream | None:
        """Take over an order with an id of ours that the journal lacks.

        An exit sent before a crash.
        """
        position_id = self.ownership.position_of(terms.client_order_id)
        if position_id is None or not self.ownership.is_live(position_id):
            return None
        terms = replace(terms, position_id=position_id)  # a venue knows our id, no more
        self._index(terms)
        self.sent_at_s[terms.client_order_id] = self.world.clock.monotonic()
        stream = self.open_stream(names.order_stream(terms.client_order_id))
        now = self.world.clock.now()
        attempt = attempt_of(self.world, terms, self.attempt_that_opened(position_id), now)
        self._record(stream, OrderAdopted(terms, now, attempt))
        return stream

    def _apply(self, venue_order: VenueOrder, *, is_sure: bool = False) -> None:
        """Bring an order to the status the venue reports; fills are booked by their own reports.

        `is_sure`: the venue was asked; else it told by itself, and that may be old.
        """
        if venue_order.terms.client_order_id == NO_ORDER:
            return  # a person's own: the reconciler shows it, nobody touches it
        stream = self._stream(venue_order.terms.client_order_id)
        if stream is None:
            stream = self._adopt(venue_order.terms)
            if stream is None and venue_order.status not in TERMINAL:
                self.ownership.note_orphan(venue_order.terms.client_order_id)
        if stream is None:
            return
        if stream.state.is_terminal:
            self._name(stream, venue_order)
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
            self._name(stream, venue_order)
            if stream.state.is_terminal:
                self._ended(stream)
                return
        self._compare(stream, venue_order, is_sure=is_sure)
        self._go_on(stream)

    def _name(self, stream: Stream, venue_order: VenueOrder) -> None:
        """Note the venue's id of an order that was told of without it: its answer was lost."""
        if is_nameless(stream.state):
            self._record(stream, OrderAccepted(venue_order.venue_order_id, self.world.clock.now()))

    # --- doubt ---

    @handles(Findings)
    def on_findings(self, findings: Findings) -> None:
        """Conclude from what the venue says, then ask again about what is still in doubt."""
        orders = {each.client_order_id: each.order for each in findings.found}
        for fill in findings.fills:
            if fill.client_order_id in orders or self._stream(fill.client_order_id) is not None:
                self._book(fill, orders.get(fill.client_order_id))
        told = {fill.client_order_id for fill in findings.fills}
        agree: dict[Symbol, bool] = {}  # after those fills: what has been told until now
        for found in findings.found:
            if found.order is not None:
                self._apply(found.order, is_sure=True)
            elif found.not_found and found.client_order_id not in told:
                self._conclude_absent(found, findings.nets, agree)
            self._ask_again(found)

    def _conclude_absent(
        self, found: Finding, nets: Mapping[Symbol, Decimal] | None, agree: dict[Symbol, bool]
    ) -> None:
        """End an order that neither look-up, fills nor position know.

        Only when it had had its time to arrive before it was looked up. Where others hold some of
        the symbol too, what is held says nothing. Then an order is believed absent once the other
        two have said so for long: waiting for ever would leave a position without a guard, and what
        others hold unexplained, since nothing is compared while an order is in doubt.
        """
        stream = self._stream(found.client_order_id)
        if stream is None or stream.state.status is not _S.UNKNOWN or nets is None:
            return
        order: Order = stream.state
        symbol = order.terms.symbol
        left_s = self.sent_at_s.get(found.client_order_id, found.asked_s)
        waited_s = found.asked_s - left_s
        if waited_s < ACCEPTANCE_WINDOW_S:
            return
        if symbol not in agree:
            agree[symbol] = self._agrees(symbol, nets.get(symbol, ZERO))
        if agree[symbol]:
            text = f"order query, fills and position agree after {waited_s:.1f} s"
        elif waited_s >= ABSENT_ANYHOW_AFTER_S[order.terms.reduce_only]:
            text = f"order query and fills agree after {waited_s:.1f} s; others hold {symbol} too"
        else:
            return
        self._record(stream, OrderFoundAbsent(text, self.world.clock.now()))
        self._ended(stream)

    @handles(AskOrders)
    def on_ask_orders(self, ask: AskOrders) -> None:
        """Tell a restarted position its orders' fates; find out what nobody knows."""
        terms = {each.client_order_id: each for each in ask.terms}
        waiting = self._waiting_ids()
        for order_id in ask.client_order_ids:
            if order_id in waiting:
                continue  # it leaves, or ends unsent, as soon as the venue has told enough
            if self._stream(order_id) is not None:
                self._tell_again(ask.position_id, order_id)
            elif order_id in terms and _may_have_left(terms[order_id]):
                stream = self._adopt(terms[order_id])
                if stream is not None:
                    self._doubt(order_id)
            elif order_id in terms:
                self._never_send(terms[order_id])


def _may_have_left(terms: OrderTerms) -> bool:
    """Whether an order could have been sent though nobody journaled it: an armed exit's."""
    return terms.reduce_only and terms.type not in RESTING


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


def _stream_down(why: str) -> ModeCause:
    return ModeCause(
        code=STREAM_DOWN,
        mode=Mode.NO_ENTRY,
        message=f"The venue's private stream is lost: {why}.",
        way_out="It is being connected anew; orders and holdings are asked for meanwhile.",
    )


def _reconciling() -> ModeCause:
    return ModeCause(
        code=RECONCILING,
        mode=Mode.NO_ENTRY,
        message="Orders and fills are being compared with the venue.",
        way_out="It ends by itself once the venue has answered.",
    )
