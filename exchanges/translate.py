"""OKX's private rows (v5), from REST and from the private websocket, as values of the port. Pure.

A row is an object of text fields, as in `data` of an answer or of a frame. What cannot be believed
raises `LieError` with the field that is wrong, and nothing else. `instruments` is keyed by the
venue's ids (`by_inst_id`); a row of another instrument raises `UnlistedError`, a `LieError` of
its own that a caller may pass over.

Three things are said here and nowhere else:

- Sizes of swaps count contracts; they leave this file in base units.
- A fee below zero was paid, in every raw row; in a `Fill`, above zero is paid. (ccxt's own parsing
  turns the sign for REST and not for the websocket.)
- The order that a triggered stop creates at the venue has an id of the venue's only. It is told of
  under the id of the stop (`algoClOrdId`), with what happened since the trigger: TRIGGERED while
  nothing filled, REJECTED when it ended so.

Source: www.okx.com/docs-v5/en (order book trading: trade, algo trading; trading account).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from domain.ids import ClientOrderId, PositionId, Symbol, TradeId, VenueOrderId
from domain.instrument import Direction, Instrument, Kind, PriceSource, Side
from domain.money import ONE, ZERO, Fee
from domain.order import Fill, OrderStatus, OrderTerms, OrderType, TimeInForce
from exchanges.okx_fields import (
    Row,
    above_zero,
    amount,
    if_above_zero,
    maybe,
    optional,
    stamp,
    text,
)
from exchanges.port import Balance, Outside, OutsideFill, VenueOrder, VenuePosition
from exchanges.rest import LieError, excerpt, stamp_ms

Instruments = Mapping[str, Instrument]  # by the venue's ids: "BTC-USDT-SWAP"

NOBODY = ClientOrderId("")  # of an order without an id of its owner's
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S = OrderStatus
_ORDER_STATES = {
    "live": _S.OPEN,
    "partially_filled": _S.PARTIAL,
    "filled": _S.FILLED,
    "canceled": _S.CANCELED,
    "mmp_canceled": _S.CANCELED,
}
_ALGO_STATES = {
    "live": _S.OPEN,
    "pause": _S.OPEN,
    "partially_effective": _S.TRIGGERED,
    "effective": _S.TRIGGERED,
    "canceled": _S.CANCELED,
    "order_failed": _S.REJECTED,  # it fired, and the venue refused its own order
    "partially_failed": _S.REJECTED,
}
_INSTRUMENT_TYPES = {Kind.SPOT: "SPOT", Kind.SWAP: "SWAP"}
_AT_MARKET = frozenset({"market", "optimal_limit_ioc"})
_AT_ONCE = frozenset({"ioc", "fok", "optimal_limit_ioc"})
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_DIRECTIONS = {"long": Direction.LONG, "short": Direction.SHORT, "net": None, "": None}
_WATCHED = {"mark": PriceSource.MARK}  # "last", "" and the index, which we do not watch: LAST
# What a fill was, by `subType` of REST rows and by `category` of orders.
_LIQUIDATIONS = frozenset(str(number) for number in (*range(100, 108), 109, 110, 111))
_ADL = frozenset(str(number) for number in range(125, 129))
_CAUSES = {
    "full_liquidation": Outside.LIQUIDATION,
    "partial_liquidation": Outside.LIQUIDATION,
    "adl": Outside.ADL,
} | {"": Outside.PERSON}


class UnlistedError(LieError):
    """A row of an instrument that nobody here trades, or of another business in it: margin."""


def by_inst_id(instruments: Iterable[Instrument]) -> dict[str, Instrument]:
    """Key instruments by what OKX calls them, whatever another venue's `venue_symbol` is."""
    return {inst_id(each): each for each in instruments}


def inst_id(instrument: Instrument) -> str:
    """Return what OKX calls an instrument: "BTC-USDT", "BTC-USDT-SWAP"."""
    name = f"{instrument.base}-{instrument.quote}"
    return f"{name}-SWAP" if instrument.kind is Kind.SWAP else name


def base_units(size: Decimal, instrument: Instrument) -> Decimal:
    """Return a size as OKX counts it (contracts of a swap) in base units."""
    return size * instrument.contract_size if instrument.kind is Kind.SWAP else size


def order_from_row(row: Row, instruments: Instruments) -> VenueOrder:
    """Read an order: `trade/order`, `orders-pending`, `orders-history`, websocket `orders`.

    An order that a stop of ours created comes with the stop's id, at market. Raises `LieError`.
    """
    instrument = _instrument(row, instruments)
    side, kind = _side(row), text(row, "ordType")
    client_id, is_child = owner_of(row), bool(optional(row, "algoClOrdId"))
    filled = base_units(amount(row, "accFillSz"), instrument)
    is_at_market = kind in _AT_MARKET
    terms = OrderTerms(
        client_order_id=client_id,
        position_id=PositionId(""),  # the owner of the id knows
        symbol=instrument.symbol,
        side=side,
        type=OrderType.MARKET if is_at_market else OrderType.LIMIT,
        quantity=_ordered(row, instrument, filled),
        price=None if is_at_market else above_zero(row, "px"),
        reduce_only=optional(row, "reduceOnly") == "true",
        leverage=maybe(row, "lever") or ONE,
        time_in_force=TimeInForce.IOC if kind in _AT_ONCE else TimeInForce.GTC,
    )
    status = _state(row, _ORDER_STATES)
    return VenueOrder(
        terms=terms,
        venue_order_id=VenueOrderId(text(row, "ordId")),
        status=_of_child(status, filled) if is_child else status,
        filled=filled,
        average_price=(maybe(row, "avgPx") or ZERO) if filled else ZERO,
        reason=_reason(row) if status is _S.CANCELED else "",
        updated_at=_changed_at(row),
    )


def algo_from_row(row: Row, instruments: Instruments) -> VenueOrder:
    """Read an order that rests to be triggered: `order-algo`, `orders-algo-*`, `orders-algo`.

    `conditional` is a STOP or a TARGET, `oco` a STOP with a target (a TARGET once it has fired as
    one), `trigger` a STOP, `move_order_stop` a TRAIL. Nothing is filled in such a row: see
    `with_children`. One that closes the whole position, whatever it is, has no size of its own:
    quantity 0. Raises `LieError`.
    """
    instrument = _instrument(row, instruments)
    kind = text(row, "ordType")
    type_, trigger, watched, target = _trigger(row, kind)
    terms = OrderTerms(
        client_order_id=ClientOrderId(optional(row, "algoClOrdId")),
        position_id=PositionId(""),
        symbol=instrument.symbol,
        side=_side(row),
        type=type_,
        quantity=base_units(maybe(row, "sz") or ZERO, instrument),
        trigger_price=trigger,
        reduce_only=optional(row, "reduceOnly") == "true",
        leverage=maybe(row, "lever") or ONE,
        watches=_WATCHED.get(watched, PriceSource.LAST),
        trail_ratio=maybe(row, "callbackRatio") if type_ is OrderType.TRAIL else None,
        target_price=target,
    )
    status = _state(row, _ALGO_STATES)
    return VenueOrder(
        terms=terms,
        venue_order_id=VenueOrderId(text(row, "algoId")),
        status=status,
        filled=ZERO,
        average_price=ZERO,
        reason=_reason(row) if status in {_S.REJECTED, _S.CANCELED} else "",
        updated_at=_changed_at(row),
    )


def children_of(row: Row) -> tuple[str, ...]:
    """Return the venue's ids of the orders that a triggered one created. Raises `LieError`."""
    listed = row.get("ordIdList") or ()
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
        raise LieError(f"ordIdList is {excerpt(listed)}, not a list of ids")
    single = optional(row, "ordId")
    return tuple(dict.fromkeys((*filter(None, listed), *([single] if single else ()))))


def with_children(algo: VenueOrder, children: Sequence[VenueOrder]) -> VenueOrder:
    """Return a triggered order together with what the orders it created have come to.

    Usually it is one; the venue splits large ones.
    """
    filled = sum((each.filled for each in children), ZERO)
    value = sum((each.filled * each.average_price for each in children), ZERO)
    return replace(
        algo,
        status=_of_children([each.status for each in children], filled),
        filled=filled,
        average_price=value / filled if filled else ZERO,
        reason=next((each.reason for each in children if each.reason), algo.reason),
        updated_at=max(each.updated_at for each in (algo, *children)),
    )


def _of_children(statuses: Sequence[OrderStatus], filled: Decimal) -> OrderStatus:
    if any(status in {_S.OPEN, _S.TRIGGERED, _S.PARTIAL} for status in statuses):
        return _S.PARTIAL if filled else _S.TRIGGERED
    if all(status is _S.FILLED for status in statuses):
        return _S.FILLED
    return _S.CANCELED if filled else _S.REJECTED


def owner_of(row: Row) -> ClientOrderId:
    """Return our id of an order or a fill: of the stop that created it, else its own, else ""."""
    return ClientOrderId(optional(row, "algoClOrdId") or optional(row, "clOrdId"))


def fill_from_row(
    row: Row, instruments: Instruments, client_order_id: ClientOrderId | None = None
) -> Fill:
    """Read a row of `trade/fills` or `fills-history`. Raises `LieError`.

    Such a row does not say which stop created its order: whoever knows gives `client_order_id`.
    """
    charged, asset, at = "fee", "feeCcy", "fillTime" if row.get("fillTime") else "ts"
    return _fill(row, instruments, client_order_id, charged, asset, at)


def fill_from_order_row(
    row: Row, instruments: Instruments, client_order_id: ClientOrderId | None = None
) -> Fill | None:
    """Read the execution in a pushed row of `orders`; None when it tells of none, or not all.

    Of a liquidation it does not say which one it is, `fills` does: there the id is below zero. One
    without a fee would be booked as free. Raises `LieError`.
    """
    has_fee = maybe(row, "fillFee", signed=True) is not None
    if not _number_of(row) or not maybe(row, "fillSz") or not has_fee:
        return None
    at = "fillTime" if row.get("fillTime") else "uTime"
    return _fill(row, instruments, client_order_id, "fillFee", "fillFeeCcy", at)


def outside_fill(row: Row, fill: Fill) -> OutsideFill:
    """Say who traded, of a fill of an order without an id of ours. Raises `LieError`."""
    subtype = optional(row, "subType")
    if subtype in _LIQUIDATIONS:
        cause = Outside.LIQUIDATION
    elif subtype in _ADL:
        cause = Outside.ADL
    else:
        cause = _CAUSES.get(optional(row, "category"), Outside.PERSON)
    fill = replace(fill, client_order_id=NOBODY)
    return OutsideFill(fill=fill, cause=cause, direction=direction_of(row))


def direction_of(row: Row) -> Direction | None:
    """Return the side of the position in hedge mode; None in net mode and for spot."""
    side = optional(row, "posSide")
    if side not in _DIRECTIONS:
        raise LieError(f"posSide is {excerpt(side)}")
    return _DIRECTIONS[side]


def position_from_row(row: Row, instruments: Instruments) -> VenuePosition:
    """Read a row of `account/positions` or of `positions`; quantity 0 is flat.

    Raises `LieError`.
    """
    instrument = _instrument(row, instruments)
    size = base_units(amount(row, "pos", signed=True), instrument)
    direction = direction_of(row)
    if direction is not None:
        size = abs(size) * direction.sign
    at = optional(row, "uTime")
    return VenuePosition(
        symbol=instrument.symbol,
        quantity=size,
        average_price=(above_zero(row, "avgPx") if size else ZERO),
        liquidation_price=if_above_zero(row, "liqPx"),
        leverage=if_above_zero(row, "lever"),
        updated_at=instant(stamp_ms(at)) if at else None,
        margin=optional(row, "mgnMode"),
    )


def balance_from_row(row: Row) -> Balance:
    """Read one of `details` of `account/balance` or of the pushed `account`: one asset.

    The total is cash, and what isolated positions have taken out of it as their margin: their
    equity less what they are ahead. What open positions would win or lose (`upl`) is not in it.
    What is available is after margin, frozen orders and, across positions, that profit or loss; the
    margin of isolated positions has left it by itself. Raises `LieError`.
    """
    available = maybe(row, "availEq", signed=True)
    if available is None:
        available = maybe(row, "availBal", signed=True)
    return Balance(
        asset=text(row, "ccy"),
        total=cash_from_row(row) + _isolated_margin(row),
        available=ZERO if available is None else available,
    )


def cash_from_row(row: Row) -> Decimal:
    """Return what there is of one asset outside isolated positions. Raises `LieError`."""
    cash = maybe(row, "cashBal", signed=True)
    if cash is not None:
        return cash
    isolated = maybe(row, "isoEq", signed=True) or ZERO  # the equity has that in it
    return amount(row, "eq", signed=True) - isolated


def _isolated_margin(row: Row) -> Decimal:
    equity = maybe(row, "isoEq", signed=True)
    if not equity:  # "" where there is no such thing
        return -(maybe(row, "isoUpl", signed=True) or ZERO)
    return equity - amount(row, "isoUpl", signed=True)


def is_listed(row: Row, instruments: Instruments) -> bool:
    """Whether a row is of what is traded here, as what it is: BTC on margin is not the coin."""
    name, type_ = row.get("instId"), row.get("instType")
    instrument = instruments.get(name) if type(name) is str else None
    return instrument is not None and type_ in (None, "", _INSTRUMENT_TYPES[instrument.kind])


def instant(at_ms: int) -> datetime:
    """Return a stamp in ms as a time, exactly."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def symbol_of(row: Row, instruments: Instruments) -> Symbol | None:
    """Return the symbol a row is about; None for another instrument, or for none."""
    instrument = instruments.get(optional(row, "instId"))
    return instrument.symbol if instrument is not None else None


# What the readers share


def _fill(
    row: Row,
    instruments: Instruments,
    client_order_id: ClientOrderId | None,
    charged: str,
    asset: str,
    at: str,
) -> Fill:
    instrument = _instrument(row, instruments)
    fee_asset = optional(row, asset) or instrument.quote
    return Fill(
        trade_id=_trade_id(row),
        client_order_id=owner_of(row) if client_order_id is None else client_order_id,
        symbol=instrument.symbol,
        side=_side(row),
        quantity=base_units(above_zero(row, "fillSz"), instrument),
        price=above_zero(row, "fillPx"),
        fee=Fee(amount=-(maybe(row, charged, signed=True) or ZERO), asset=fee_asset),
        at=instant(stamp(row, at)),
        maker=optional(row, "execType") == "M",
    )


def _trade_id(row: Row) -> TradeId:
    """Return an id that is one execution's alone: OKX counts trades by instrument."""
    number = _number_of(row)
    if number:
        return TradeId(f"{text(row, 'instId')}:{number}")
    return TradeId(f"bill:{text(row, 'billId')}")  # of some liquidations


def _number_of(row: Row) -> str:
    """Return the number of a trade; "" where there is none: an order's row has 0 then."""
    number = optional(row, "tradeId")
    return "" if number == "0" else number


def _ordered(row: Row, instrument: Instrument, filled: Decimal) -> Decimal:
    if instrument.kind is Kind.SPOT and optional(row, "tgtCcy") == "quote_ccy":
        return filled  # its size is money; orders of ours count base units
    return base_units(above_zero(row, "sz"), instrument)


def _of_child(status: OrderStatus, filled: Decimal) -> OrderStatus:
    if status is _S.OPEN:
        return _S.TRIGGERED
    return _S.REJECTED if status is _S.CANCELED and not filled else status


def _trigger(row: Row, kind: str) -> tuple[OrderType, Decimal | None, str, Decimal | None]:
    """Return what kind of order waits, for which price, which it watches, the target beside it."""
    if kind == "move_order_stop":
        return OrderType.TRAIL, maybe(row, "moveTriggerPx") or None, "last", None
    stop, target = maybe(row, "slTriggerPx"), maybe(row, "tpTriggerPx") or None
    if stop:
        has_won = target is not None and optional(row, "actualSide") == "tp"
        type_ = OrderType.TARGET if has_won else OrderType.STOP
        return type_, stop, optional(row, "slTriggerPxType"), target
    if target:
        return OrderType.TARGET, target, optional(row, "tpTriggerPxType"), None
    return OrderType.STOP, maybe(row, "triggerPx") or None, optional(row, "triggerPxType"), None


def _reason(row: Row) -> str:
    """Return why an order ended, in the venue's words, as far as it says."""
    code = optional(row, "failCode") or optional(row, "cancelSource")
    words = optional(row, "failReason") or optional(row, "cancelSourceReason")
    return excerpt(f"{code} {words}".strip())


def _changed_at(row: Row) -> datetime:
    return instant(stamp(row, "uTime" if row.get("uTime") else "cTime"))


def _instrument(row: Row, instruments: Instruments) -> Instrument:
    name = text(row, "instId")
    instrument = instruments.get(name)
    if instrument is None or not is_listed(row, instruments):
        raise UnlistedError(f"{excerpt(name)} is not traded here")
    return instrument


def _side(row: Row) -> Side:
    side = _SIDES.get(text(row, "side"))
    if side is None:
        raise LieError(f"side is {excerpt(row['side'])}")
    return side


def _state(row: Row, states: Mapping[str, OrderStatus]) -> OrderStatus:
    status = states.get(text(row, "state"))
    if status is None:
        raise LieError(f"state is {excerpt(row['state'])}")
    return status
