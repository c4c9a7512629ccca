"""Orders of ours as the bodies that OKX's REST (v5) takes. Pure.

Sizes of swaps become contracts here, exactly: what is no whole number of lots is refused, never
rounded. Spot orders count base units (`tgtCcy`), also at market, where the venue would else take
the size of a purchase for money.

Stops and targets are `conditional` orders, both together an `oco`, trails `move_order_stop`; once
triggered they go to the market. The venue watches the last or the mark price: an exit that watches
bid or ask here has its stop there watch the last.

Source: www.okx.com/docs-v5/en (place order, place algo order, amend order, amend algo order).
"""

from decimal import Decimal
from typing import Any

import msgspec

from domain.instrument import Instrument, Kind, PriceSource, Side
from domain.money import plain
from domain.order import AttachedStop, OrderTerms, OrderType, TimeInForce
from exchanges.port import PositionMode, Refused
from exchanges.translate import inst_id

Body = dict[str, Any]

RESTING = frozenset({OrderType.STOP, OrderType.TARGET, OrderType.TRAIL})
_AT_MARKET = "-1"  # the price of an order that a trigger sends to the market


class AccountModes(msgspec.Struct, frozen=True):
    """What of the account changes the shape of an order."""

    margin: str  # "cross" or "isolated", of swaps
    positions: PositionMode


def size_of(quantity: Decimal, instrument: Instrument) -> str | Refused:
    """Return base units as OKX counts them; a refusal for what is no whole number of lots."""
    if quantity <= 0 or quantity % instrument.lot_size != 0:
        return Refused(
            "LOT_SIZE",
            f"{plain(quantity)} {instrument.base} is no whole number of lots of"
            f" {plain(instrument.lot_size)}",
        )
    is_swap = instrument.kind is Kind.SWAP
    return plain(quantity / instrument.contract_size if is_swap else quantity)


def place(terms: OrderTerms, instrument: Instrument, modes: AccountModes) -> Body | Refused:
    """Return the body of `trade/order`, or of `trade/order-algo` for what rests to be triggered."""
    size = size_of(terms.quantity, instrument)
    if isinstance(size, Refused):
        return size
    body = _common(terms, instrument, modes) | {"sz": size}
    # Of orders without `clOrdId` ccxt makes up one, with a tag of its own.
    body["clOrdId"] = terms.client_order_id
    if terms.attached is not None:
        stop = attached(_stop_of(terms, terms.attached))
        if isinstance(stop, Refused):
            return stop
        body["attachAlgoOrds"] = stop
    if terms.type is OrderType.MARKET:
        if instrument.kind is Kind.SPOT:
            body["tgtCcy"] = "base_ccy"
        return body | {"ordType": "market"}
    if terms.type is OrderType.LIMIT:
        if terms.price is None:
            return Refused("NO_PRICE", "a limit order without a price")
        kind = "ioc" if terms.time_in_force is TimeInForce.IOC else "limit"
        return body | {"ordType": kind, "px": plain(terms.price)}
    trigger = _trigger(terms)
    if isinstance(trigger, Refused):
        return trigger
    if instrument.kind is Kind.SPOT:
        body["tgtCcy"] = "base_ccy"
    kind = "conditional" if terms.target_price is None else "oco"
    if terms.type is OrderType.TRAIL:
        kind = "move_order_stop"
    return body | trigger | {"ordType": kind, "algoClOrdId": terms.client_order_id}


def attached(stop: OrderTerms) -> list[Body] | Refused:
    """Return `attachAlgoOrds` of an entry: a stop that the venue sets when the entry fills."""
    trigger = _trigger(stop)
    if isinstance(trigger, Refused):
        return trigger
    if stop.type is OrderType.TRAIL:
        return Refused("UNSUPPORTED", "OKX lets no trail come with an entry")
    return [{"attachAlgoClOrdId": stop.client_order_id} | trigger]


def amend(terms: OrderTerms, instrument: Instrument) -> Body | Refused:
    """Return the body of `trade/amend-algos`, or of `trade/amend-order` for a limit order."""
    size = size_of(terms.quantity, instrument)
    if isinstance(size, Refused):
        return size
    body: Body = {"instId": inst_id(instrument), "newSz": size}
    if terms.type is OrderType.LIMIT and terms.price is not None:
        return body | {"clOrdId": terms.client_order_id, "newPx": plain(terms.price)}
    if terms.type not in {OrderType.STOP, OrderType.TARGET}:
        return Refused("UNSUPPORTED", f"OKX changes no {terms.type.value} order in place")
    if instrument.kind is Kind.SPOT:
        return Refused("UNSUPPORTED", "OKX changes no stop of spot in place")
    trigger = _trigger(terms)
    if isinstance(trigger, Refused):
        return trigger
    new = {f"new{field[0].upper()}{field[1:]}": value for field, value in trigger.items()}
    return body | {"algoClOrdId": terms.client_order_id} | new


def position_side(terms: OrderTerms) -> str:
    """Return which position of hedge mode an order is about."""
    opens_long = (terms.side is Side.BUY) is not terms.reduce_only
    return "long" if opens_long else "short"


def _common(terms: OrderTerms, instrument: Instrument, modes: AccountModes) -> Body:
    body: Body = {"instId": inst_id(instrument), "side": terms.side.value}
    if instrument.kind is Kind.SPOT:
        return body | {"tdMode": "cash"}
    body["tdMode"] = modes.margin
    if modes.positions is PositionMode.HEDGE:
        return body | {"posSide": position_side(terms)}
    return body | ({"reduceOnly": True} if terms.reduce_only else {})


def _stop_of(entry: OrderTerms, stop: AttachedStop) -> OrderTerms:
    """Return the stop that an entry brings along as an order of its own."""
    return OrderTerms(
        client_order_id=stop.client_order_id,
        position_id=entry.position_id,
        symbol=entry.symbol,
        side=Side.SELL if entry.side is Side.BUY else Side.BUY,
        type=OrderType.STOP,
        quantity=entry.quantity,
        trigger_price=stop.trigger_price,
        watches=stop.watches,
        target_price=stop.target_price,
    )


def _trigger(terms: OrderTerms) -> Body | Refused:
    """Return the fields that say when a resting order fires."""
    if terms.type is OrderType.TRAIL:
        if terms.trail_ratio is None:
            return Refused("NO_PRICE", "a trailing stop without a ratio")
        return {"callbackRatio": plain(terms.trail_ratio)}  # it follows from now on
    if terms.trigger_price is None:
        return Refused("NO_PRICE", f"a {terms.type.value} order without a trigger price")
    prefix = "sl" if terms.type is OrderType.STOP else "tp"
    fields = _at(prefix, terms.trigger_price, terms.watches)
    beside = terms.target_price if terms.type is OrderType.STOP else None
    return fields if beside is None else fields | _at("tp", beside, terms.watches)


def _at(prefix: str, price: Decimal, watches: PriceSource) -> Body:
    return {
        f"{prefix}TriggerPx": plain(price),
        f"{prefix}TriggerPxType": "mark" if watches is PriceSource.MARK else "last",
        f"{prefix}OrdPx": _AT_MARKET,
    }
