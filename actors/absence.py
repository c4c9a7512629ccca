"""The proof that an order never came to be: look-up, fills and position, which all must say so.

The position is compared as of the venue's own time of it, so that other orders that fill meanwhile
do not disturb. On spot, coins that are not ours are known to the reconciler (`elsewhere.py`). Until
it has learned them a position proves nothing, and the other two have to deny for much longer.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal

from msgspec.structs import replace

from actors.doubting import Doubting
from actors.elsewhere import moved_by
from actors.local_truth import dust_of, untold
from actors.messages import Finding, Net
from domain.ids import Symbol
from domain.instrument import Instrument, Kind, Side
from domain.money import ZERO
from domain.order import RESTING, Fill, Order, OrderFoundAbsent, OrderStatus
from exchanges.port import PositionMode

DENIED_FOR_S = 60.0  # by look-up and fills alone: no venue's books are so late
STOP_DENIED_FOR_S = 20.0  # likewise, of one that rests: only if it has fired is anything changed
DISPUTED_AFTER_S = 30.0  # holdings that others change too prove nothing any more
DONE_AFTER_ALL_S = 120.0  # likewise, though the order may look as if it had been executed
UNBOOKED_FOR = timedelta(seconds=30)  # what others traded before an order, and nobody booked
NOTHING = Net(ZERO)
Verdicts = dict[Symbol, bool | None]


class Proving(Doubting):
    """Concludes that orders are absent."""

    def _conclude_absent(
        self, found: Finding, nets: Mapping[Symbol, Net] | None, verdicts: Verdicts
    ) -> None:
        """End an order that neither look-up, fills nor position know.

        Only when it had had its time to arrive before it was looked up.
        """
        stream = self._stream(found.client_order_id)
        if stream is None or stream.state.status is not OrderStatus.UNKNOWN or nets is None:
            return
        order: Order = stream.state
        symbol = order.terms.symbol
        left_s = self.sent_at_s.get(found.client_order_id, found.asked_s)
        waited_s = found.asked_s - left_s
        if waited_s < self._window_s(found.client_order_id) or order.filled:
            return
        if symbol not in verdicts:
            verdicts[symbol] = self._agrees(symbol, nets.get(symbol, NOTHING), found.asked_s)
        agrees = verdicts[symbol]
        if agrees is False and not self._is_disputed(
            order, nets.get(symbol, NOTHING), waited_s, found.asked_s
        ):
            return
        came_along = found.client_order_id in self.attached  # and would not change the position
        denied_s = STOP_DENIED_FOR_S if order.terms.type in RESTING else DENIED_FOR_S
        if agrees is None and waited_s < denied_s and not came_along:
            return
        witnesses = "order query, fills and position" if agrees else "order query and fills"
        text = f"{witnesses} agree after {waited_s:.1f} s"
        self._record(stream, OrderFoundAbsent(text, self.world.clock.now()))
        self._ended(stream)

    def _is_disputed(self, order: Order, net: Net, waited_s: float, asked_s: float) -> bool:
        """Whether a lost order may be given up though the position does not agree.

        Where others trade the same symbol what is held may never agree with ours, and an exit must
        not wait for ever with the stop at the venue gone. One of a swap only reduces, and a stop
        only rests: they wait less, unless it looks as if they had been executed.
        """
        terms = order.terms
        instrument = self.world.instruments.get(terms.symbol)
        if instrument is None:
            return False
        if self._is_as_if_done(order, net, instrument, asked_s):
            wait_s = DONE_AFTER_ALL_S
        elif terms.type in RESTING:
            wait_s = STOP_DENIED_FOR_S
        else:
            only_reduces = terms.reduce_only and instrument.kind is not Kind.SPOT
            wait_s = DISPUTED_AFTER_S if only_reduces else DONE_AFTER_ALL_S
        if waited_s < wait_s:
            return False
        text = f"{terms.client_order_id}: others trade {terms.symbol}; after {waited_s:.0f} s"
        self.world.telemetry.alarm("DISPUTED_POSITION", f"{text} it counts as never sent")
        return True

    def _is_as_if_done(
        self, order: Order, net: Net, instrument: Instrument, asked_s: float
    ) -> bool:
        """Whether what is held is what it would be had the order filled.

        Of coins, with their dust: whether it is nearer to that than to what is known.
        """
        symbol, change = order.terms.symbol, order.remaining
        if order.terms.side is Side.SELL:
            change = -change
        if instrument.kind is Kind.SPOT:
            gap = net.quantity - self._held(symbol) - self._besides(symbol)
            return abs(gap - change) < abs(gap)
        ours = sum((moved_by(fill, instrument) for fill in self._fills_of(symbol)), ZERO)
        gap = net.quantity - ours - self._besides(symbol)
        return change in {gap, gap - self._traded_by_others(symbol, asked_s)}

    def _held(self, symbol: Symbol) -> Decimal:
        """Return what open positions hold of a symbol, base units."""
        positions = self.world.states.latest_of("position")
        live = (each for each in positions if not each.is_closed)
        return sum((each.remaining for each in live if each.instrument.symbol == symbol), ZERO)

    def _fills_of(self, symbol: Symbol) -> Iterator[Fill]:
        """Yield our fills of a symbol, and those of others on our positions."""
        for stream in self.streams.values():
            if stream.state is not None and stream.state.terms.symbol == symbol:
                yield from stream.state.fills
        for position in self.world.states.latest_of("position"):
            if position.instrument.symbol == symbol and not position.is_settled:
                yield from position.outside_fills

    def _besides(self, symbol: Symbol) -> Decimal:
        """Return what is held that no fill here tells of: others' and the dust of what is over."""
        dust = dust_of(self.world).get(symbol, ZERO)
        return dust + (self.world.elsewhere.get(symbol) or ZERO)

    def _traded_by_others(self, symbol: Symbol, asked_s: float) -> Decimal:
        """Return by how much others may have changed a swap of which nothing is learned.

        While an order is in doubt nothing is, nor booked; of a busy symbol it never would be. Only
        what was told before the venue was asked counts: what it holds was read after that.
        """
        instrument = self.world.instruments[symbol]
        orders = (stream.state for stream in self.streams.values() if stream.state is not None)
        doubts = [
            each.intended_at
            for each in orders
            if each.terms.symbol == symbol and each.status is OrderStatus.UNKNOWN
        ]
        if instrument.kind is Kind.SPOT or symbol in self.world.elsewhere or not doubts:
            return ZERO
        since = min(doubts) - UNBOOKED_FOR
        others = (
            replace(each.outside.fill, quantity=each.left)
            for each in self.world.others
            if each.noted_s < asked_s and each.outside.fill.at >= since
        )
        return sum((moved_by(fill, instrument) for fill in others if fill.symbol == symbol), ZERO)

    def _is_hedged(self) -> bool:
        """Whether long and short of a swap are two holdings there; a flat one is not told of."""
        facts = self.world.link.facts
        return facts is not None and facts.position_mode is PositionMode.HEDGE

    def _agrees(self, symbol: Symbol, net: Net, asked_s: float) -> bool | None:
        """Whether the venue holds what it would hold if no order in doubt had done anything.

        None: that cannot be said, coins were there before anybody looked.
        """
        instrument = self.world.instruments.get(symbol)
        if instrument is None:
            return False
        elsewhere = self.world.elsewhere.get(symbol)
        fills = list(self._fills_of(symbol))
        ours = sum((moved_by(fill, instrument) for fill in fills), ZERO)
        at = None if self._is_hedged() else net.at  # else it is of one side, fills are of both
        late = [fill for fill in fills if at is not None and fill.at > at]
        after = sum((moved_by(fill, instrument) for fill in late), ZERO)
        if instrument.kind is not Kind.SPOT:
            known = ours - after + self._besides(symbol)
            return net.quantity in {known, known + self._traded_by_others(symbol, asked_s)}
        positions = {each.id: each for each in self.world.states.latest_of("position")}
        orders = (stream.state for stream in self.streams.values() if stream.state is not None)
        if any(untold(order, positions) for order in orders if order.terms.symbol == symbol):
            return False  # yet
        more = net.quantity + after - self._held(symbol) - dust_of(self.world).get(symbol, ZERO)
        if abs(more - (elsewhere or ZERO)) < instrument.lot_size:
            return True
        return None if elsewhere is None else False
