"""What a private stream has told, so that it tells nothing twice and nothing that is out of date.

OKX repeats messages, sometimes with another time, and two connections tell of one order: the one
that the stop fired, the other what became of it. So an order is told of only when it got further:

    open -> triggered -> partly filled, more and more -> over

and, where it is, only when the venue changed it since (an amendment). A fill is told once. What was
told is remembered after it was handed on, never before. All memory is bounded; what was forgotten
is told again, and whoever hears it knows fills by their ids.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from domain.ids import ClientOrderId, Symbol, TradeId
from domain.order import TERMINAL, OrderStatus, OrderTerms
from exchanges.port import Balance, VenueOrder, VenuePosition
from exchanges.recent import Recent

MOST_REMEMBERED = 20_000  # fills and orders each; some 10 MB when full
_OVER = 3
_STEPS = {OrderStatus.TRIGGERED: 1, OrderStatus.PARTIAL: 2}

Side = tuple[str, str, str]  # the venue's id, margin mode, side in hedge mode


class _Progress(msgspec.Struct, frozen=True):
    """How far an order was when it was told of."""

    step: int
    filled: Decimal
    updated_at: datetime
    terms: OrderTerms

    @classmethod
    def of(cls, order: VenueOrder) -> "_Progress":
        step = _OVER if order.status in TERMINAL else _STEPS.get(order.status, 0)
        return cls(step, order.filled, order.updated_at, order.terms)

    def is_beyond(self, told: "_Progress") -> bool:
        if (self.step, self.filled) != (told.step, told.filled):
            return (self.step, self.filled) > (told.step, told.filled)
        if self.step == _OVER or self.updated_at < told.updated_at:
            return False
        # Some rows have no time of their latest change.
        return self.updated_at > told.updated_at or self.terms != told.terms


class Told:
    """The memory of one private stream, of both its connections."""

    def __init__(self, limit: int = MOST_REMEMBERED) -> None:
        self._limit = limit
        self._fills: Recent[TradeId, None] = Recent(limit)
        self._orders: Recent[str, _Progress] = Recent(limit)
        self._owners: Recent[str, ClientOrderId] = Recent(limit)
        self._balances: Recent[str, tuple[int, Balance]] = Recent(limit)
        self._sides: dict[Side, VenuePosition] = {}

    def begin(self) -> None:
        """Forget what a new connection tells from the start: it names only what is not zero."""
        self._balances = Recent(self._limit)
        self._sides.clear()

    # Fills and orders

    def has_fill(self, trade_id: TradeId) -> bool:
        """Whether an execution was told of."""
        return trade_id in self._fills

    def note_fill(self, trade_id: TradeId) -> None:
        """Remember that it was."""
        self._fills.set(trade_id, None)

    def is_news(self, order: VenueOrder) -> bool:
        """Whether an order got further than was told."""
        told = self._orders.get(_name(order))
        return told is None or _Progress.of(order).is_beyond(told)

    def note_order(self, order: VenueOrder) -> None:
        """Remember how far it was told to be."""
        self._orders.set(_name(order), _Progress.of(order))

    def owner_of(self, venue_order_id: str) -> ClientOrderId | None:
        """Return the id of the stop that created an order, if it named its child."""
        return self._owners.get(venue_order_id)

    def note_child(self, venue_order_id: str, owner: ClientOrderId) -> None:
        """Remember which stop created an order."""
        self._owners.set(venue_order_id, owner)

    # Balances and positions

    def is_balance_news(self, balance: Balance, stamp_ms: int) -> bool:
        """Whether it is another balance than was told, and no older one."""
        told = self._balances.get(balance.asset)
        return told is None or (stamp_ms >= told[0] and balance != told[1])

    def note_balance(self, balance: Balance, stamp_ms: int) -> None:
        """Remember what was told, and of when it is."""
        self._balances.set(balance.asset, (stamp_ms, balance))

    def position(self, side: Side) -> VenuePosition | None:
        """Return what was told last of one side."""
        return self._sides.get(side)

    def note_position(self, side: Side, position: VenuePosition) -> None:
        """Remember it."""
        self._sides[side] = position

    def holdings(self, symbol: Symbol) -> tuple[VenuePosition, ...]:
        """Return all that is held of a symbol; a single zero when that is nothing."""
        sides = [each for each in self._sides.values() if each.symbol == symbol]
        return tuple(each for each in sides if each.quantity) or tuple(sides[-1:])


def _name(order: VenueOrder) -> str:
    """A stop and the order it creates are one; the venue's ids hold digits only, and no slash."""
    return order.terms.client_order_id or f"/{order.venue_order_id}"
