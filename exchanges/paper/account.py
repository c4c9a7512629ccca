"""The paper account: cash, one net holding a symbol, and what is set aside.

Cash changes only by realized P&L and fees, on spot too: a spot holding is a position with full
margin. So equity is cash plus unrealized P&L for every kind, and `available` is cash less margin
less what resting orders have frozen. There is no liquidation: losses may eat the margin and cash
may fall below zero; then nothing more can be opened.
"""

from collections.abc import Mapping
from decimal import Decimal

from msgspec.structs import replace

from domain.ids import ClientOrderId, Symbol
from domain.instrument import Instrument, Kind, Side
from domain.money import ZERO, plain
from domain.order import OrderTerms
from exchanges.paper.records import Holding, PaperOrder, Records, settled
from exchanges.paper.rules import PaperRules
from exchanges.port import Refused


def after_fill(
    holding: Holding, side: Side, quantity: Decimal, price: Decimal, leverage: Decimal
) -> tuple[Holding, Decimal]:
    """Return the holding after an execution and what it realized (quote, before fees).

    A fill against the holding closes it at average cost; what exceeds it opens the other way.
    """
    sign = 1 if side is Side.BUY else -1
    held, cost, margin = holding.quantity, holding.cost, holding.margin
    closing = min(quantity, abs(held)) if held * sign < 0 else ZERO
    opening = quantity - closing
    realized = ZERO
    if closing:
        whole = closing == abs(held)
        released = cost if whole else settled(cost * closing / abs(held))
        freed = margin if whole else settled(margin * closing / abs(held))
        realized = -(sign * closing * price) - released
        cost, margin = cost - released, margin - freed
    if opening:
        cost += sign * opening * price
        margin += settled(opening * price / leverage)
    after = Holding(
        symbol=holding.symbol, quantity=held + sign * quantity, cost=cost, margin=margin
    )
    return after, realized


class Account:
    """Balances in memory, and what they can carry."""

    def __init__(
        self, records: Records, instruments: Mapping[Symbol, Instrument], rules: PaperRules
    ) -> None:
        self.cash = records.cash
        self.holdings = {holding.symbol: holding for holding in records.holdings}
        self._instruments = instruments
        self._rules = rules
        self._frozen: dict[ClientOrderId, tuple[str, Decimal]] = {}
        self._frozen_sums: dict[str, Decimal] = {}  # by what is frozen: "" is quote, else a symbol

    def holding(self, symbol: Symbol) -> Holding:
        """Return the net position, a flat one if there never was any."""
        return self.holdings.get(symbol) or Holding(symbol=symbol)

    def reducible(self, terms: OrderTerms) -> Decimal:
        """Base units held on the other side, which the order closes before it opens anything."""
        held = self.holding(terms.symbol).quantity
        return max(ZERO, -held if terms.side is Side.BUY else held)

    def only_reduces(self, terms: OrderTerms) -> bool:
        """Whether an order must not open anything: reduce-only, or a spot sale (never short)."""
        return terms.reduce_only or self._sells_spot(terms)

    @property
    def available(self) -> Decimal:
        """Quote that new orders may use."""
        margin = sum((holding.margin for holding in self.holdings.values()), ZERO)
        return self.cash.amount - margin - self._frozen_sums.get("", ZERO)

    def refusal(self, terms: OrderTerms, price: Decimal | None) -> Refused | None:
        """Return why the account cannot carry an order; margin is asked for only with a `price`."""
        reducible = self.reducible(terms)
        if terms.reduce_only and not reducible:
            text = f"no holding of {terms.symbol} that a {terms.side.value} order reduces"
            return Refused("REDUCE_ONLY", text)
        if self._sells_spot(terms):
            wanted = min(terms.quantity, reducible) if terms.reduce_only else terms.quantity
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
        holding, realized = after_fill(
            self.holding(terms.symbol), terms.side, quantity, price, terms.leverage
        )
        self.holdings[terms.symbol] = holding
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
        return self.holding(symbol).quantity - self._frozen_sums.get(symbol, ZERO)

    def _quote_needed(self, terms: OrderTerms, quantity: Decimal, price: Decimal) -> Decimal:
        """Return margin and fee of the part that opens; closing is always affordable."""
        opening = quantity - self.reducible(terms)
        if terms.reduce_only or opening <= 0:
            return ZERO
        fee = quantity * price * max(self._rules.taker_fee, self._rules.maker_fee)
        return max(ZERO, settled(opening * price / terms.leverage + fee))
