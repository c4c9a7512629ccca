"""The orders of one account as the exchange actor keeps them, without the venue.

Their streams, what is noted of those in flight, and who is told of them: a fill or an end is passed
on when it is durable, and told again to whoever lacks it.
"""

from typing import Any

from actors import names
from actors.failures import failure_of
from actors.journaled import Journaled, Stream
from actors.latency import Step
from actors.messages import AskAgain, ForgetOrders, Retire
from actors.world import World
from domain.attempts import Attempt
from domain.ids import ClientOrderId, PositionId
from domain.inputs import FILLS, FillReported, OrderEnded
from domain.order import AnyOrderEvent, Order, OrderDenied, OrderStatus, OrderTerms, evolve
from domain.position_life import is_known_fill
from runtime.actor import handles

LEAVES_WITHIN_S = 5.0  # of being handed over a request has left, or never will
_S = OrderStatus


class TellMissing:
    """Message: the whole tree has started, tell what a crash kept from being told."""

    __slots__ = ()
    lane = FILLS


class Tell:
    """Effect: pass on what is durable now."""

    __slots__ = ("message", "names")

    def __init__(self, message: Any, *to: str) -> None:
        self.message = message
        self.names = to


class OrderKeeper(Journaled):
    """Keeps the orders of one account; tells positions and the portfolio what becomes of them."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.of_position: dict[PositionId, set[ClientOrderId]] = {}
        self.attached: dict[ClientOrderId, ClientOrderId] = {}  # stops, by their entry's order
        self.cancel_wanted: set[ClientOrderId] = set()  # until the order has ended
        self.sent_at_s: dict[ClientOrderId, float] = {}  # monotonic, until it has ended
        self.answered_s: dict[ClientOrderId, float] = {}  # monotonic, until it has ended
        self.in_doubt: set[ClientOrderId] = set()
        self.short_of_fills: set[ClientOrderId] = set()
        self.is_first_look = False  # of a process: the venue has not told yet what happened

    # --- streams ---

    def _stream(self, order_id: ClientOrderId) -> Stream | None:
        return self.streams.get(names.order_stream(order_id))

    def _is_unread(self, order_id: ClientOrderId) -> bool:
        """Whether nothing is known of an order that the journal has: it is left alone."""
        name = names.order_stream(order_id)
        return name in self.world.unreadable and name not in self.streams

    def _index(self, terms: OrderTerms) -> None:
        of_position = self.of_position.setdefault(terms.position_id, set())
        of_position.add(terms.client_order_id)
        if terms.attached is not None:
            of_position.add(terms.attached.client_order_id)
            self.attached[terms.attached.client_order_id] = terms.client_order_id

    def attempt_that_opened(self, position_id: PositionId) -> Attempt | None:
        """Return the attempt of a position's first entry order, as far as it is known."""
        position = self.world.position(position_id)
        stream = None if position is None else self._stream(position.entry.client_order_id)
        return None if stream is None or stream.state is None else stream.state.attempt

    def _record(self, stream: Stream, *events: AnyOrderEvent) -> None:
        self.journal(stream, events, evolve)

    def _drop(self, order_id: ClientOrderId) -> None:
        """Forget what is noted about an order in flight."""
        self.in_doubt.discard(order_id)
        self.cancel_wanted.discard(order_id)
        self.short_of_fills.discard(order_id)
        self.sent_at_s.pop(order_id, None)
        self.answered_s.pop(order_id, None)

    def _note_when_it_left(self, order: Order) -> None:
        """Put the time at which an earlier life sent an order on this life's monotonic clock."""
        if order.is_terminal:
            return
        now = self.world.clock.now()
        left = order.sent_at or (order.updated_at if order.status is _S.UNKNOWN else None) or now
        # It was handed over then; what must be sent before it may have taken time.
        ago_s = max(0.0, (now - left).total_seconds() - LEAVES_WITHIN_S)
        self.sent_at_s[order.terms.client_order_id] = self.world.clock.monotonic() - ago_s

    def _since_it_left_s(self, order: Order) -> float:
        """Return how long a request has had to arrive."""
        now_s = self.world.clock.monotonic()
        return now_s - self.sent_at_s.get(order.terms.client_order_id, now_s)

    # --- telling ---

    def _deny(self, stream: Stream, rule: str, why: str) -> None:
        """Refuse an order of ours that has not left."""
        self._record(stream, OrderDenied(rule, why, self.world.clock.now()))
        self._ended(stream)

    def _ended(self, stream: Stream) -> None:
        order: Order = stream.state
        terms = order.terms
        self._measure_fill(order)
        self._drop(terms.client_order_id)
        failure = failure_of(order)
        if failure is not None:
            self.world.failures.note(failure)
        self.world.telemetry.order_ended(self.world.venue, order.status.value)
        ended = OrderEnded(
            terms.position_id,
            terms.client_order_id,
            order.status,
            order.reason,
            at_start=self.is_first_look,
            filled=order.filled,
        )
        tell = Tell(ended, names.position(terms.position_id), names.PORTFOLIO)
        self.journal(stream, (), evolve, (tell,))

    def _measure(self, order: Order, step: Step, seconds: float) -> None:
        kind = order.terms.type.value + (" exit" if order.terms.reduce_only else "")
        self.world.latency.note(self.world.venue, kind, step, seconds)

    def _measure_fill(self, order: Order) -> None:
        if order.status is _S.FILLED and order.sent_at is not None and not order.doubts:
            now_s = self.world.clock.monotonic()
            answered_s = self.answered_s.get(order.terms.client_order_id, now_s)
            self._measure(order, Step.FILL, now_s - answered_s)

    def _tell_again(
        self, position_id: PositionId, order_id: ClientOrderId, to: tuple[str, ...] = ()
    ) -> None:
        stream = self._stream(order_id)
        if stream is None:
            return
        receivers = to or (names.position(position_id),)
        order: Order = stream.state
        effects: list[Any] = [
            Tell(FillReported(position_id, fill, order.terms.quantity), *receivers)
            for fill in order.fills
        ]
        if order.is_terminal:
            ended = OrderEnded(
                position_id, order_id, order.status, order.reason, filled=order.filled
            )
            effects.append(Tell(ended, *receivers))
        self.journal(stream, (), evolve, effects)

    @handles(TellMissing)
    def on_tell_missing(self, message: TellMissing) -> None:
        """Complete the ledgers, once those who keep them have started too."""
        del message
        for stream in list(self.streams.values()):
            self._tell_what_is_missing(stream)

    def _tell_what_is_missing(self, stream: Stream) -> None:
        """Tell again the fills that a ledger lacks, and the end of what is still reserved for.

        A crash came between the journal and the telling.
        """
        order: Order = stream.state
        position_id, order_id = order.terms.position_id, order.terms.client_order_id
        position = self.world.position(position_id)
        if position is not None and any(not is_known_fill(position, fill) for fill in order.fills):
            self._tell_again(position_id, order_id)
        portfolio = self.world.portfolio()
        if portfolio is None:
            return
        holding = portfolio.holdings.get(position_id)
        lacks = holding is not None and any(
            fill.trade_id not in holding.trade_ids for fill in order.fills
        )
        if lacks or (order.is_terminal and order_id in portfolio.reservations):
            self._tell_again(position_id, order_id, (names.PORTFOLIO,))

    @handles(AskAgain)
    def on_ask_again(self, ask: AskAgain) -> None:
        """Tell the portfolio all fills again, so that it can book what it lacks."""
        for position_id in ask.position_ids:
            for order_id in sorted(self.of_position.get(position_id, ())):
                self._tell_again(position_id, order_id, (names.PORTFOLIO,))

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
            self.attached.pop(order_id, None)
        if retired:
            self.tell(names.PERSISTENCE, Retire(tuple(retired)))

    def release(self, effect: Any) -> None:
        """Pass on what is durable."""
        for name in effect.names:
            self.tell(name, effect.message)
