"""The exchange actor: owns one login at one venue, every order in flight, and what is unknown.

An entry's intent is durable before it leaves; an armed exit leaves at once and is journaled behind.
After a start nothing is sent until the venue has told what it knows (`reconcile`): an exit that may
have been sent is asked for first. An answer that does not come makes the order UNKNOWN, and only
evidence ends that (`doubt.py`).
"""

import asyncio

import structlog
from msgspec.structs import replace

from actors import names
from actors.absence import Verdicts
from actors.attached import AttachedStops
from actors.attempts import attempt_of
from actors.doubting import ASK_AGAIN_AFTER_S, is_nameless, is_owed
from actors.journaled import Stream
from actors.messages import (
    CheckVenue,
    ClearCause,
    Compared,
    ExchangeRestarted,
    Findings,
    Reconciled,
    SetCause,
    Uncompared,
    VenueReported,
    WasStopped,
)
from actors.order_list import OrderList
from actors.orders import Tell, TellMissing
from actors.ownership import Ownership
from actors.taking_stock import TakingStock
from actors.world import World
from domain.effects import AskOrders
from domain.ids import NO_ORDER, ClientOrderId, identity_of
from domain.inputs import FillReported
from domain.modes import Mode, ModeCause
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
    OrderRejected,
    OrderStatus,
    OrderTerms,
    OrderTriggered,
    OrderType,
    evolve,
)
from exchanges.port import Exchange, StreamDown, StreamUp, VenueOrder, VenueUpdate
from runtime.actor import handles

log = structlog.get_logger("trade.execution")

FILLS_WITHIN_S = 0.2  # a venue may report an order's end before its last fill
RECONCILING = "RECONCILING"
STREAM_DOWN = "STREAM_DOWN"
_S = OrderStatus


class ExchangeActor(AttachedStops, OrderList, TakingStock):
    """Owns the orders of one account: reconciles, books, adopts, concludes.

    What leaves for the venue is in `sending.py`, what rests there in `resting.py` and
    `attached.py`, what is asked after a start in `taking_stock.py`, how orders are kept and told
    of in `orders.py`.
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
        self.is_first_look = self.incarnation == 1  # a later one knows all that was asked
        prefix = "order/"
        for name in [name for name in self.world.states.latest if name.startswith(prefix)]:
            stream = self.open_stream(name)
            order: Order = stream.state
            self._index(order.terms)
            self._note_when_it_left(order)
            why = ""
            if order.status in {_S.INTENT, _S.SENDING, _S.CANCEL_PENDING, _S.AMEND_PENDING}:
                why = "the daemon stopped between intent and answer"
            elif name in self.world.unreadable and not order.is_terminal:
                why = "its history does not fold"
            if why:
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

    def _ended(self, stream: Stream) -> None:
        """Read the venue's rules again when it takes no order of that size."""
        super()._ended(stream)
        order: Order = stream.state
        code = order.reason.partition(":")[0]
        if order.status is _S.REJECTED and code in self.port.abilities.off_grid:
            self._check_venue()

    def _is_news(self, order_id: ClientOrderId) -> bool:
        """Whether a fill at the venue belongs to a live position and to an order nobody knows."""
        identity = identity_of(order_id)
        return (
            identity is not None
            and self._stream(order_id) is None
            and not self._is_unread(order_id)
            and self.ownership.is_live(identity.position_id)
        )

    def _on_update(self, update: VenueUpdate) -> None:
        self.tell(self.name, VenueReported(update))

    @handles(Reconciled)
    def on_reconciled(self, found: Reconciled) -> None:
        """Book what happened while nobody listened, then let orders go."""
        known = {order.terms.client_order_id: order for order in found.found}
        before = set(self.streams)  # names
        self.reconciled = False  # for a moment: what is told now is history, known or not
        for fill in found.fills:
            self._book(fill, known.get(fill.client_order_id))
        for venue_order in found.found:
            self._apply(venue_order, asked_s=found.asked_s)
        for order_id in found.unread:
            self._lose_sight_of(order_id)
        self.reconciled = self.world.is_reconciled = True
        self.is_first_look = False
        for name in list(self.streams):
            order: Order = self.streams[name].state
            if self._owes_news(order):
                self._doubt(order.terms.client_order_id)
        self.tell(names.PORTFOLIO, ClearCause(RECONCILING))
        self.tell(names.RECONCILER, Compared())
        new = sorted(self.streams.keys() - before)
        adopted: list[Order] = [self.streams[name].state for name in new]
        waiting, self.waiting = self.waiting, []
        for effect in waiting:
            self._let_go(effect, adopted)
        log.info("reconciled", orders=len(found.found), fills=len(found.fills))

    def _lose_sight_of(self, order_id: ClientOrderId) -> None:
        stream = self._stream(order_id)
        if (
            stream is not None
            and not stream.state.is_terminal
            and stream.state.status is not _S.UNKNOWN
        ):
            why = "the venue says nothing usable of it"
            self._record(stream, OrderBecameUnknown(why, self.world.clock.now()))

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
        """Open nothing while the stream is down, nor until what it did not tell is known.

        The first time it has lost nothing, only what came before it may not have been told.
        """
        is_first = self.world.link.stream_up is None
        self.world.link.note(change, self.world.clock.now())
        self._check_venue()
        if isinstance(change, StreamDown):
            log.warning("private_stream_down", why=change.why)
            self.tell(names.PORTFOLIO, SetCause(_stream_down(change.why)))
            return
        if not is_first:
            self.tell(names.PORTFOLIO, SetCause(_reconciling()))
            self.tell(names.RECONCILER, Uncompared())
        self.tell(names.PORTFOLIO, ClearCause(STREAM_DOWN))
        self.run(self._reconcile())

    @handles(WasStopped)
    def on_was_stopped(self, stopped: WasStopped) -> None:
        """Open nothing until the venue has told what happened while nobody here could listen."""
        log.warning("was_stopped", seconds=round(stopped.seconds, 1))
        self.tell(names.PORTFOLIO, SetCause(_reconciling()))
        self.tell(names.RECONCILER, Uncompared())
        if self.reconciled:  # else it is being asked anyway
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
            FillReported(order.terms.position_id, fill, order.terms.quantity),
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
        elif stream.state.terms.type in RESTING:
            self._doubt(fill.client_order_id, ASK_AGAIN_AFTER_S[2])  # it fired: its end follows

    def _adopt_later(self, fill: Fill) -> None:
        """Ask for the terms of an order of ours that nobody knows.

        Its fills come with the answer.
        """
        order_id = fill.client_order_id
        if self._is_unread(order_id):
            return
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
        if self._is_unread(terms.client_order_id):
            return None  # its stream cannot be begun again
        terms = replace(self._as_attached(terms), position_id=position_id)  # a venue knows our id
        self._index(terms)
        # Before the venue was asked, whoever sent it was a life before: it left before this one.
        now_s = self.world.clock.monotonic() if self.reconciled else self.began_s
        self.sent_at_s[terms.client_order_id] = now_s
        stream = self.open_stream(names.order_stream(terms.client_order_id))
        now = self.world.clock.now()
        attempt = attempt_of(self.world, terms, self.attempt_that_opened(position_id), now)
        self._record(stream, OrderAdopted(terms, now, attempt))
        return stream

    def _apply(self, venue_order: VenueOrder, *, asked_s: float | None = None) -> None:
        """Bring an order to the status the venue reports; fills are booked by their own reports.

        `asked_s`: monotonic, when the venue was asked; None: it told, and that may be old.
        """
        if venue_order.terms.client_order_id == NO_ORDER:
            return  # a person's own: the reconciler shows it, nobody touches it
        stream = self._stream(venue_order.terms.client_order_id)
        if stream is None and not self._is_unread(venue_order.terms.client_order_id):
            stream = self._adopt(venue_order.terms)
            if stream is None and venue_order.status not in TERMINAL:
                self.ownership.note_orphan(venue_order.terms.client_order_id)
        if stream is None:
            return
        if stream.state.is_terminal:
            self._name(stream, venue_order)
            self._came_late(stream, venue_order)
            return
        self._learn(stream, venue_order)
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
        if asked_s is None and _may_be_a_part(stream.state, venue_order):
            if not is_owed(stream.state):  # what is owed is asked for until it is known
                why = "the venue says that a part of it is over"
                self._record(stream, OrderBecameUnknown(why, self.world.clock.now()))
            self.run(self._ask(venue_order.terms.client_order_id, venue_order.terms.symbol, 0))
            return
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
        self._compare(stream, venue_order, asked_s)
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
        agree: Verdicts = {}  # after those fills: what has been told until now
        for found in findings.found:
            if found.order is not None:
                self._apply(found.order, asked_s=found.asked_s)
            elif found.not_found and found.client_order_id not in told:
                self._miss(found.client_order_id)
                self._conclude_absent(found, findings.nets, agree)
            self._ask_again(found)

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
            elif order_id in self.attached:
                self._expect(order_id)
            elif order_id in terms and _may_have_left(terms[order_id]):
                stream = self._adopt(terms[order_id])
                if stream is not None:
                    self._doubt(order_id)
            elif order_id in terms:
                self._never_send(terms[order_id])


def _may_have_left(terms: OrderTerms) -> bool:
    """Whether an order could have been sent though nobody journaled it: an armed exit's."""
    return terms.reduce_only and terms.type not in RESTING


def _may_be_a_part(order: Order, venue_order: VenueOrder) -> bool:
    """Whether what was told to be over may be one of several orders that a stop created.

    A venue splits large ones, and tells of each by itself; asked, it tells of all together.
    """
    is_over = venue_order.status in TERMINAL
    is_less = venue_order.terms.quantity < order.terms.quantity or venue_order.filled < order.filled
    return order.terms.type in RESTING and is_over and is_less


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
        case _S.FILLED if order.filled:
            return OrderCanceled(at)  # it was smaller there than here: no more will come
        case _S.TRIGGERED if order.status is not _S.TRIGGERED:
            return OrderTriggered(at, at_target=venue_order.terms.type is OrderType.TARGET)
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
