"""What the venue holds of each symbol besides our positions: coins of before, others' trades.

An order of ours that nobody finds is proven absent only if the venue holds what it would hold
without it. On spot that is more than ours, so the rest has to be known: it is learned while nothing
of the symbol is in flight here and two looks agree, and while something is in doubt only what the
venue tells of others changes it, deposits, withdrawals and their trades. Owned by the reconciler;
nothing of it is journaled, a restart learns anew.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from actors.local_truth import dust_of, live_positions, unsettled
from actors.looking import Looked
from actors.world import World
from domain.ids import Symbol, TradeId
from domain.instrument import Instrument, Kind
from domain.money import ZERO
from domain.order import Fill
from domain.reconciliation import whole_trade
from domain.venue import CashKind, OutsideFill


class _Known:
    """Of one symbol: what was read last, and what of others is in what was learned."""

    __slots__ = ("booked", "flows", "learned_at", "read", "since", "trades")

    def __init__(self) -> None:
        self.read: Decimal | None = None  # at the last look, when nothing was in flight
        self.since: frozenset[str] = frozenset()  # flows told at that look
        self.flows: set[str] = set()  # that the quantity contains, or that came before it
        self.trades: dict[TradeId, Decimal] = {}  # likewise; signed, as far as it contains them
        self.booked: dict[TradeId, Decimal] = {}  # by positions, signed, before it was counted
        self.learned_at: datetime | None = None


class Elsewhere:
    """Keeps `World.elsewhere`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[Symbol, _Known] = {}

    def note(self, looked: Looked) -> None:
        """Learn from a look at everything what is quiet; let others' deeds change what is not."""
        if looked.positions is None or looked.flows is None or looked.outside is None:
            return
        world = self._world
        positions = live_positions(world)
        resting = None
        if looked.orders is not None:
            resting = {each.terms.client_order_id: each.filled for each in looked.orders}
        moving = unsettled(world, world.instruments, positions, resting, looked.began_s)
        held = held_besides(world, looked)
        flow_ids = frozenset(flow.flow_id for flow in looked.flows)
        for symbol, instrument in world.instruments.items():
            known = self._known.setdefault(symbol, _Known())
            if symbol in moving or not self._may_stay(instrument, held[symbol]):
                known.read = None
                self._follow(instrument, known, looked)
                continue
            if known.read == held[symbol]:
                world.elsewhere[symbol] = held[symbol]
                known.flows = set(known.since)
                known.trades = dict.fromkeys(_trades_of(symbol, looked.outside), ZERO)
                known.learned_at = looked.began
            else:
                self._follow(instrument, known, looked)
            known.read, known.since = held[symbol], flow_ids

    def _may_stay(self, instrument: Instrument, quantity: Decimal) -> bool:
        """Whether it is not about to be booked: of a swap, what a person left in quarantine."""
        is_ours = instrument.kind is not Kind.SPOT and quantity
        return not is_ours or instrument.symbol in self._world.quarantined

    def _follow(self, instrument: Instrument, known: _Known, looked: Looked) -> None:
        """Add what others did since it was learned, as the venue tells."""
        symbol = instrument.symbol
        if known.learned_at is None or symbol not in self._world.elsewhere:
            return
        assert looked.flows is not None
        assert looked.outside is not None
        for flow in looked.flows:
            is_coins = instrument.kind is Kind.SPOT and flow.asset == instrument.base
            if is_coins and flow.kind is not CashKind.FUNDING and flow.flow_id not in known.flows:
                known.flows.add(flow.flow_id)
                self._world.elsewhere[symbol] += flow.amount
        for trade_id, each in _trades_of(symbol, looked.outside).items():
            if trade_id not in known.trades:
                booked = known.booked.pop(trade_id, ZERO)
                known.trades[trade_id] = moved_by(each.fill, instrument) - booked
                self._world.elsewhere[symbol] += known.trades[trade_id]

    def booked(self, fill: Fill) -> None:
        """Note that a position took over what others traded, all or a piece of it."""
        known = self._known.get(fill.symbol)
        instrument = self._world.instruments.get(fill.symbol)
        if known is None or instrument is None:
            return
        trade_id, piece = whole_trade(fill.trade_id), moved_by(fill, instrument)
        counted = known.trades.get(trade_id)
        if counted:
            known.trades[trade_id] = counted - piece
            self._world.elsewhere[fill.symbol] -= piece
        elif counted is None:
            known.booked[trade_id] = known.booked.get(trade_id, ZERO) + piece

    def forget(self, symbol: Symbol) -> None:
        """Learn anew: positions took over something that no trade told of here explains."""
        self._world.elsewhere.pop(symbol, None)
        self._known.pop(symbol, None)


def held_besides(world: World, looked: Looked) -> Mapping[Symbol, Decimal]:
    """Return what a look shows beyond our positions and the dust of closed ones, signed."""
    assert looked.positions is not None
    found = dict.fromkeys(world.instruments, ZERO)
    for told in looked.positions:
        if told.symbol in found:
            found[told.symbol] += told.quantity
    for position in live_positions(world):
        if position.instrument.symbol in found:
            found[position.instrument.symbol] -= position.remaining * position.direction.sign
    for symbol, dust in dust_of(world).items():
        if symbol in found:
            found[symbol] -= dust
    return found


def moved_by(fill: Fill, instrument: Instrument) -> Decimal:
    """Return by how much an execution changes what the venue holds: a fee in base is taken off."""
    moved = fill.quantity if fill.side.value == "buy" else -fill.quantity
    is_paid_in_base = instrument.kind is Kind.SPOT and fill.fee.asset == instrument.base
    return moved - fill.fee.amount if is_paid_in_base else moved


def _trades_of(symbol: Symbol, outside: Iterable[OutsideFill]) -> dict[TradeId, OutsideFill]:
    return {each.fill.trade_id: each for each in outside if each.fill.symbol == symbol}
