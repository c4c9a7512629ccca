"""The paper account: cash, a long and a short holding a symbol, and what is set aside.

Cash changes only by realized P&L and fees, on spot too: a spot holding is a position with full
margin. So equity is cash plus unrealized P&L for every kind, and `available` is cash less margin
less what resting orders have frozen. There is no liquidation: losses may eat the margin and cash
may fall below zero; then nothing more can be opened.
"""

from collections.abc import Mapping
from decimal import Decimal

from msgspec.structs import replace

from domain.ids import ClientOrderId, Symbol
from domain.instrument import Direction, Instrument, Kind, Side
from domain.money import ZERO, plain
from domain.order import OrderTerms
from exchanges.paper.records import Holding, HoldingKey, PaperOrder, Records, settled
from exchanges.paper.rules import PaperRules
from exchanges.port import Refused


def extended(holding: Holding, quantity: Decimal, price: Decimal, leverage: Decimal) -> Holding:
    """Return the holding after `quantity` more of it was entered."""
    return replace(
        holding,
        quantity=holding.quantity + quantity,
        cost=holding.cost + quantity * price,
        margin=holding.margin + settled(quantity * price / leverage),
    )


def reduced(holding: Holding, quantity: Decimal, price: Decimal) -> tuple[Holding, Decimal]:
    """Return what is left after closing at average cost, and what it realized (quote, before fees).

    A side never turns into the other: whoever calls has cut the order to what is held.
    """
    assert quantity <= holding.quantity
    whole = quantity == holding.quantity
    released = holding.cost if whole else settled(holding.cost * quantity / holding.quantity)
    freed = holding.margin if whole else settled(holding.margin * quantity / holding.quantity)
    after = replace(
        holding,
        quantity=holding.quantity - quantity,
        cost=holding.cost - released,
        margin=holding.margin - freed,
    )
    return after, holding.direction.sign * (quantity * price - released)


class Account:
    """Balances in memory, and what they can carry."""

    def __init__(
        self, records: Records, instruments: Mapping[Symbol, Instrument], rules: PaperRules
    ) -> None:
        self.cash = records.cash
        self.holdings: dict[HoldingKey, Holding] = {
            holding.key: holding for holding in records.holdings
        }
        self._instruments = instruments
        self._rules = rules
        self._frozen: dict[ClientOrderId, tuple[str, Decimal]] = {}
        self._frozen_sums: dict[str, Decimal] = {}  # by what is frozen: "" is quote, else a symbol

    def holding(self, symbol: Symbol, direction: Direction) -> Holding:
        """Return one side of a symbol, an empty one if nothing was ever held."""
        key = (symbol, direction)
        return self.holdings.get(key) or Holding(symbol=symbol, direction=direction)

    def holding_of(self, terms: OrderTerms) -> Holding:
        """Return the side that an order extends or reduces."""
        entry_side = terms.side.opposite if self.reduces(terms) else terms.side
        direction = Direction.LONG if entry_side is Side.BUY else Direction.SHORT
        return self.holding(terms.symbol, direction)

    def held(self, terms: OrderTerms) -> Decimal:
        """Return base units on the side that an order extends or reduces."""
        return self.holding_of(terms).quantity

    def reduces(self, terms: OrderTerms) -> bool:
        """Whether an order closes and must not open: reduce-only, or a spot sale (never short)."""
        return terms.reduce_only or self._sells_spot(terms)

    @property
    def available(self) -> Decimal:
        """Quote that new orders may use."""
        margin = sum((holding.margin for holding in self.holdings.values()), ZERO)
        return self.cash.amount - margin - self._frozen_sums.get("", ZERO)

    def refusal(self, terms: OrderTerms, price: Decimal | None) -> Refused | None:
        """Return why the account cannot carry an order; margin is asked for only with a `price`."""
        held = self.held(terms)
        if terms.reduce_only and not held:
            text = f"no holding of {terms.symbol} that a {terms.side.value} order reduces"
            return Refused("REDUCE_ONLY", text)
        if self._sells_spot(terms):
            wanted = min(terms.quantity, held) if terms.reduce_only else terms.quantity
            free, what = self._free_base(terms.symbol), self._instruments[terms.symbol].base
        elif price is None:
            return None
        else:
            wanted = self._quote_needed(terms, terms.quantity, price)
            free, what = self.available, self._rules.quote_asset
        if not wanted or wanted <= free:
            return None
        text = f"needs {plain(wanted)} {what}, available {plain(free)}"
        return Refused("INSUFFICIENT_BALANCE", text)

    def to_freeze(self, order: PaperOrder, price: Decimal | None) -> Decimal:
        """Return what an order sets aside while it waits to execute at `price`, if it has one."""
        if self._sells_spot(order.terms):
            own = self._frozen.get(order.id, ("", ZERO))[1]
            return min(order.remaining, self._free_base(order.terms.symbol) + own)
        if price is None:
            return ZERO
        return self._quote_needed(order.terms, order.remaining, price)

    def freeze(self, order: PaperOrder) -> None:
        """Set `order.frozen` aside, in place of what was set aside for it before."""
        self.release(order.id)
        if order.frozen:
            what = order.terms.symbol if self._sells_spot(order.terms) else ""
            self._frozen[order.id] = (what, order.frozen)
            self._frozen_sums[what] = self._frozen_sums.get(what, ZERO) + order.frozen

    def release(self, order_id: ClientOrderId) -> None:
        """Give back what was set aside for an order, if anything was."""
        what, amount = self._frozen.pop(order_id, ("", ZERO))
        if amount:
            self._frozen_sums[what] -= amount

    def frozen_after(self, order: PaperOrder, quantity: Decimal) -> Decimal:
        """Return what stays set aside for an order when `quantity` more of it has executed."""
        if self._sells_spot(order.terms):
            return max(ZERO, order.frozen - quantity)
        return settled(order.frozen * (order.remaining - quantity) / order.remaining)

    def apply(self, order: PaperOrder, quantity: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Book an execution; returns what it realized (quote, before fees)."""
        terms = order.terms
        holding, realized = self.holding_of(terms), ZERO
        if self.reduces(terms):
            holding, realized = reduced(holding, quantity, price)
        else:
            holding = extended(holding, quantity, price, terms.leverage)
        self.holdings[holding.key] = holding
        self.cash = replace(
            self.cash,
            amount=self.cash.amount + realized - fee,
            realized=self.cash.realized + realized,
            fees=self.cash.fees + fee,
            trades=self.cash.trades + 1,
        )
        return realized

    def _sells_spot(self, terms: OrderTerms) -> bool:
        instrument = self._instruments.get(terms.symbol)
        return instrument is not None and instrument.kind is Kind.SPOT and terms.side is Side.SELL

    def _free_base(self, symbol: Symbol) -> Decimal:
        return self.holding(symbol, Direction.LONG).quantity - self._frozen_sums.get(symbol, ZERO)

    def _quote_needed(self, terms: OrderTerms, quantity: Decimal, price: Decimal) -> Decimal:
        """Return margin and fee of an order that opens; closing is always affordable."""
        if self.reduces(terms):
            return ZERO
        fee = quantity * price * max(self._rules.taker_fee, self._rules.maker_fee)
        return max(ZERO, settled(quantity * price / terms.leverage + fee))
