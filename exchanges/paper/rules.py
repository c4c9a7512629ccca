"""How the paper venue behaves, and what it refuses at the door.

Swaps are held in hedge mode: of each symbol a long and a short side by side, which never offset
each other. Which of the two an order means follows from its terms alone:

| | buy | sell |
|---|---|---|
| not reduce-only | opens or extends the long | opens or extends the short |
| reduce-only | reduces the short | reduces the long |

Spot has one holding, the long one: a buy extends it, any sale reduces it.

A refusal carries a short code that programs match and a sentence with the numbers.

| code | when |
|---|---|
| INVALID_ID | the client's id is not 1-32 letters and digits |
| DUPLICATE_ID | the id was used before |
| UNKNOWN_SYMBOL | the venue does not list it |
| INVALID_QUANTITY, INVALID_PRICE | zero, negative, not finite, absurdly large, missing |
| NOT_ON_LOT, NOT_ON_TICK | off the instrument's grid (see below) |
| BELOW_MIN_QUANTITY, BELOW_MIN_NOTIONAL | too small (a swap's reduce-only: any notional) |
| INVALID_LEVERAGE | below 1, above the maximum, any but 1 on spot (reduce-only: any) |
| NO_PRICE | a market order before the first trade |
| REDUCE_ONLY | nothing is held on the side that the order reduces |
| INSUFFICIENT_BALANCE | margin and fee, or the base asset of a spot sale, are not available |
| BUSY | drawn with `reject_chance` |

The configuration may have changed an instrument while it was held. A reduce-only order passes by
the sizes of today or by those that a position still held was opened with: nobody could close the
rest of it elsewhere.
"""

from decimal import Decimal

import msgspec

from domain.instrument import Instrument, Kind, Side
from domain.money import ONE, ZERO, ceil_to, floor_to, plain
from domain.order import OrderTerms, OrderType
from exchanges.port import Refused

_MAX_ID_LENGTH = 32  # as OKX
_ABSURD = Decimal(10) ** 15  # above it decimal arithmetic would round; nobody owns as much


class PaperRules(msgspec.Struct, frozen=True):
    """What trading here costs and how it goes wrong. Raises `ValueError` when out of range."""

    starting_balance: Decimal = Decimal(10_000)
    quote_asset: str = "USDT"
    slippage_low: Decimal = Decimal("0.0005")  # ratio of the price, always against the taker
    slippage_high: Decimal = Decimal("0.001")
    latency_low_s: float = 0.02  # from sending to the matching engine
    latency_high_s: float = 0.08
    maker_fee: Decimal = Decimal("0.0002")  # ratio of the notional, negative for a rebate
    taker_fee: Decimal = Decimal("0.0005")
    partial_fill_chance: float = 0.0
    reject_chance: float = 0.0

    def __post_init__(self) -> None:
        """Check what configuration may get wrong."""
        if not ZERO <= self.slippage_low <= self.slippage_high < ONE:
            message = "slippage needs 0 <= slippage_low <= slippage_high < 1"
            raise ValueError(message)
        if not 0 <= self.latency_low_s <= self.latency_high_s < float("inf"):
            message = "latency needs 0 <= latency_low_s <= latency_high_s"
            raise ValueError(message)
        if not (0 <= self.partial_fill_chance <= 1 and 0 <= self.reject_chance <= 1):
            message = "a chance lies between 0 and 1"
            raise ValueError(message)
        if not 0 < self.starting_balance < _ABSURD:
            message = "the starting balance must be above 0"
            raise ValueError(message)
        if not all(-ONE < fee < ONE for fee in (self.maker_fee, self.taker_fee)):
            message = "a fee is a ratio of the notional, between -1 and 1"
            raise ValueError(message)


def slipped(last: Decimal, ratio: Decimal, side: Side, tick_size: Decimal) -> Decimal:
    """Return what a taker pays or gets at `ratio` from the last price, rounded against it."""
    if not ratio:
        return last
    if side is Side.BUY:
        return ceil_to(last * (ONE + ratio), tick_size)
    return max(tick_size, floor_to(last * (ONE - ratio), tick_size))


def refusal_of(terms: OrderTerms, instrument: Instrument) -> Refused | None:
    """Return what stands against the terms by themselves, whatever the market and the account."""
    return (
        _id_refusal(terms)
        or _quantity_refusal(terms, instrument)
        or _price_refusal(terms, instrument)
        or _leverage_refusal(terms, instrument)
    )


def notional_refusal(terms: OrderTerms, instrument: Instrument, price: Decimal) -> Refused | None:
    """Return whether the order is worth too little at `price`."""
    if terms.reduce_only and instrument.kind is Kind.SWAP:
        return None
    notional = terms.quantity * price
    if notional >= instrument.min_notional:
        return None
    return Refused(
        "BELOW_MIN_NOTIONAL",
        f"notional {plain(notional)} of {terms.symbol} is below {plain(instrument.min_notional)}",
    )


def _id_refusal(terms: OrderTerms) -> Refused | None:
    order_id = terms.client_order_id
    if 0 < len(order_id) <= _MAX_ID_LENGTH and order_id.isascii() and order_id.isalnum():
        return None
    return Refused("INVALID_ID", f"{order_id[:40]!r} is not 1-{_MAX_ID_LENGTH} letters and digits")


def _quantity_refusal(terms: OrderTerms, instrument: Instrument) -> Refused | None:
    quantity = terms.quantity
    if not _is_sane(quantity):
        return Refused("INVALID_QUANTITY", f"{quantity} is no quantity")
    if quantity % instrument.lot_size:
        lot = plain(instrument.lot_size)
        return Refused("NOT_ON_LOT", f"quantity {plain(quantity)} is not a multiple of {lot}")
    if quantity < instrument.min_quantity:
        least = plain(instrument.min_quantity)
        return Refused("BELOW_MIN_QUANTITY", f"quantity {plain(quantity)} is below {least}")
    return None


def _price_refusal(terms: OrderTerms, instrument: Instrument) -> Refused | None:
    if terms.type is OrderType.MARKET:
        return None
    price = terms.price if terms.type is OrderType.LIMIT else terms.trigger_price
    if price is None or not _is_sane(price):
        return Refused("INVALID_PRICE", f"{price} is no price for a {terms.type.value} order")
    if not instrument.is_on_tick(price):
        tick = plain(instrument.tick_size)
        return Refused("NOT_ON_TICK", f"price {plain(price)} is not a multiple of {tick}")
    return None


def _leverage_refusal(terms: OrderTerms, instrument: Instrument) -> Refused | None:
    if terms.reduce_only:
        return None  # it borrows nothing, whatever was allowed when it was opened
    most = ONE if instrument.kind is Kind.SPOT else instrument.max_leverage
    if terms.leverage.is_finite() and ONE <= terms.leverage <= most:
        return None
    return Refused("INVALID_LEVERAGE", f"leverage {terms.leverage} is not within 1-{plain(most)}")


def _is_sane(number: Decimal) -> bool:
    return number.is_finite() and ZERO < number < _ABSURD
