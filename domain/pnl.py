"""What a position earned, from its fills and from nothing else.

The ledger keeps totals (quantities and their values in quote), never averages: a sum of products
does not depend on how the venue cut an order into fills, an average of averages does. Average entry
and realized P&L are derived:

- Average cost. An addition is mixed into what is still held; what was realized stays realized.
- The last exit takes all the cost that is left, so over a whole life `gross_pnl` is exactly what
  came in minus what went out.
- A fee in base on spot is taken out of the holding. It counts as a fee, valued at its fill's
  price, and the units that never arrived carry no cost: the sum is the same as in cash.
"""

from decimal import Decimal

import msgspec

from domain.errors import InvariantError
from domain.instrument import Direction, Instrument, Kind, Pair, Side
from domain.money import ONE, ZERO, Fee
from domain.order import Fill

# A part of a cost is rounded here, so that sums over many positions stay exact in 28 digits.
QUANTUM = Decimal("1e-12")


class Ledger(msgspec.Struct, frozen=True, omit_defaults=True):
    """The running account of one position.

    The basis is what was held after the latest entry fill; `closed_…` counts exits since then.
    """

    quantity: Decimal = ZERO  # base units opened in all
    basis_quantity: Decimal = ZERO  # base units
    basis_cost: Decimal = ZERO  # quote paid for them (received, for a short)
    closed_quantity: Decimal = ZERO  # base units
    closed_value: Decimal = ZERO  # quote received for them (paid, for a short)
    settled_pnl: Decimal = ZERO  # gross, of exits before the basis
    gross_pnl: Decimal = ZERO  # realized, before fees, quote
    fees: Decimal = ZERO  # quote; those in base valued at their fill
    other_fees: tuple[Fee, ...] = ()  # in a third asset: known, but not in `fees`
    funding: Decimal = ZERO  # quote, received for holding it; below zero: paid

    @property
    def remaining(self) -> Decimal:
        """Base units still held."""
        return self.basis_quantity - self.closed_quantity

    @property
    def average_price(self) -> Decimal:
        """Quote per base unit of the basis; zero before the first fill."""
        return self.basis_cost / self.basis_quantity if self.basis_quantity else ZERO

    @property
    def cost(self) -> Decimal:
        """Quote paid for what remains (received, for a short)."""
        return self.basis_cost - _cost_of_closed(self)

    @property
    def realized_pnl(self) -> Decimal:
        """Quote, net of the fees so far, those of the entry included, and of funding."""
        return self.gross_pnl - self.fees + self.funding

    def unrealized_pnl(self, price: Decimal, direction: Direction) -> Decimal:
        """Quote, of what remains, at `price`, before the fees of leaving."""
        return (price * self.remaining - self.cost) * direction.sign


def fee_in_quote(fill: Fill, instrument: Instrument | Pair) -> Decimal | None:
    """Return the fee in quote, a fee in base valued at the fill's price; None for a third asset.

    A fill happened whatever its fee: one whose asset has no price here must not stop the
    ledger.
    """
    if fill.fee.asset == instrument.quote:
        return fill.fee.amount
    if fill.fee.asset == instrument.base:
        return fill.fee.amount * fill.price
    return None if fill.fee.amount else ZERO


def net_quantity(fill: Fill, instrument: Instrument | Pair) -> Decimal:
    """Return base units by which the holding changes: on spot a fee in base comes out of it."""
    if instrument.kind is not Kind.SPOT or fill.fee.asset != instrument.base:
        return fill.quantity
    fee = fill.fee.amount
    return fill.quantity - fee if fill.side is Side.BUY else fill.quantity + fee


def opened(ledger: Ledger, fill: Fill, instrument: Instrument | Pair) -> Ledger:
    """Return the ledger after a fill of an entry.

    Raises `InvariantError` when the fee left nothing of it.
    """
    quantity = net_quantity(fill, instrument)
    if quantity <= ZERO:
        message = f"fill {fill.trade_id} of {fill.quantity} opens {quantity} after its fee"
        raise InvariantError(message)
    base = _rebased(ledger) if ledger.closed_quantity else ledger
    return _charged(
        msgspec.structs.replace(
            base,
            quantity=base.quantity + quantity,
            basis_quantity=base.basis_quantity + quantity,
            basis_cost=base.basis_cost + quantity * fill.price,
        ),
        fill,
        instrument,
    )


def reduced(
    ledger: Ledger, fill: Fill, instrument: Instrument | Pair, direction: Direction
) -> Ledger:
    """Return the ledger after a fill of an exit.

    What exceeds what is held closed something else; of it only the fee is counted here. It is for
    the caller to raise an alarm.
    """
    # A fee in base beyond what is left here was paid from elsewhere; it still counts as a fee.
    quantity = min(net_quantity(fill, instrument), ledger.remaining)
    after = msgspec.structs.replace(
        ledger,
        closed_quantity=ledger.closed_quantity + quantity,
        closed_value=ledger.closed_value + quantity * fill.price,
    )
    gross = (after.closed_value - _cost_of_closed(after)) * direction.sign
    return _charged(
        msgspec.structs.replace(after, gross_pnl=after.settled_pnl + gross), fill, instrument
    )


def breakeven_price(direction: Direction, price: Decimal, fee_ratio: Decimal) -> Decimal:
    """Return the exit price at which an entry at `price` earns exactly its fees, both ways."""
    fee = fee_ratio * direction.sign
    return price * (ONE + fee) / (ONE - fee)


def _cost_of_closed(ledger: Ledger) -> Decimal:
    if ledger.closed_quantity == ledger.basis_quantity:
        return ledger.basis_cost  # all of it, without a division
    share = ledger.basis_cost * ledger.closed_quantity / ledger.basis_quantity
    return share.quantize(QUANTUM)


def _rebased(ledger: Ledger) -> Ledger:
    """Settle the exits so far: from here on the average is that of what remains."""
    return msgspec.structs.replace(
        ledger,
        basis_quantity=ledger.remaining,
        basis_cost=ledger.cost,
        closed_quantity=ZERO,
        closed_value=ZERO,
        settled_pnl=ledger.gross_pnl,
    )


def _charged(ledger: Ledger, fill: Fill, instrument: Instrument | Pair) -> Ledger:
    fee = fee_in_quote(fill, instrument)
    if fee is not None:
        return msgspec.structs.replace(ledger, fees=ledger.fees + fee)
    totals = {known.asset: known.amount for known in ledger.other_fees}
    totals[fill.fee.asset] = totals.get(fill.fee.asset, ZERO) + fill.fee.amount
    others = tuple(Fee(amount=amount, asset=asset) for asset, amount in totals.items())
    return msgspec.structs.replace(ledger, other_fees=others)
