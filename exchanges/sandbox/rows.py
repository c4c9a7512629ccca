"""Rows as the venue prints them, of the private side: orders, algo orders, executions.

Field lists after www.okx.com/docs-v5/en (trade, account; private channels).
"""

from decimal import Decimal
from functools import lru_cache
from typing import Any

from exchanges.sandbox.catalog import QUOTE, Listing
from exchanges.sandbox.numbers import ZERO, text
from exchanges.sandbox.records import Algo, Attached, Fill, Order

Row = dict[str, Any]


def optional(value: Decimal | None) -> str:
    """Print a number, "" for none."""
    return "" if value is None else text(value)


def _flag(value: bool) -> str:  # noqa: FBT001 - printed as text
    return "true" if value else "false"


def order_row(order: Order) -> Row:
    """Print an order as REST does."""
    last = order.fills[-1] if order.fills else None
    stop = order.attached[0] if order.attached else None
    return {
        "accFillSz": text(order.filled),
        "algoClOrdId": order.algo_client_id,
        "algoId": order.algo_id,
        "attachAlgoClOrdId": stop.algo_client_id if stop else "",
        "attachAlgoOrds": [_attached_row(one) for one in order.attached],
        "avgPx": text(order.average) if order.filled else "",
        "cTime": str(order.created_ms),
        "cancelSource": order.cancel_source,
        "cancelSourceReason": "",
        "category": order.category,
        "ccy": "",
        "clOrdId": order.client_id,
        "fee": text(order.fee),
        "feeCcy": order.fee_asset,
        "fillPx": text(last.price) if last else "",
        "fillSz": text(last.size) if last else "0",
        "fillTime": str(last.at_ms) if last else "",
        "instId": order.listing.inst_id,
        "instType": order.listing.inst_type,
        "isTpLimit": "false",
        "lever": optional(order.leverage),
        "linkedAlgoOrd": {"algoId": ""},
        "ordId": order.order_id,
        "ordType": order.type,
        "pnl": text(order.pnl),
        "posSide": order.pos_side if order.listing.is_swap else "",
        "px": optional(order.price),
        "pxType": "",
        "pxUsd": "",
        "pxVol": "",
        "quickMgnType": "",
        "rebate": "0",
        "rebateCcy": order.listing.base if order.side == "sell" else QUOTE,
        "reduceOnly": _flag(order.reduce_only),
        "side": order.side,
        "slOrdPx": optional(stop.sl_price) if stop else "",
        "slTriggerPx": optional(stop.sl_trigger) if stop else "",
        "slTriggerPxType": stop.sl_watches if stop and stop.sl_trigger is not None else "",
        "source": order.source,
        "state": order.state,
        "stpId": "",
        "stpMode": "cancel_maker",
        "sz": text(order.size),
        "tag": order.tag,
        "tdMode": order.mode,
        "tgtCcy": order.target,
        "tpOrdPx": optional(stop.tp_price) if stop else "",
        "tpTriggerPx": optional(stop.tp_trigger) if stop else "",
        "tpTriggerPxType": stop.tp_watches if stop and stop.tp_trigger is not None else "",
        "tradeId": _told_with_order(last),
        "tradeQuoteCcy": QUOTE,
        "uTime": str(order.updated_ms),
    }


def _attached_row(one: Attached) -> Row:
    return {
        "amendPxOnTriggerType": "0",
        "attachAlgoClOrdId": one.algo_client_id,
        "attachAlgoId": one.algo_id,
        "failCode": "",
        "failReason": "",
        "slOrdPx": optional(one.sl_price),
        "slTriggerPx": optional(one.sl_trigger),
        "slTriggerPxType": one.sl_watches,
        "sz": "",
        "tpOrdKind": "condition",
        "tpOrdPx": optional(one.tp_price),
        "tpTriggerPx": optional(one.tp_trigger),
        "tpTriggerPxType": one.tp_watches,
    }


def order_push(order: Order, fill: Fill | None, *, request_id: str = "", amended: str = "") -> Row:
    """Print an order as the `orders` channel does: with the fill that it is about, if one is."""
    row = order_row(order)
    row |= {
        "amendResult": amended,
        "amendSource": "",
        "code": "0",
        "execType": ("M" if fill.is_maker else "T") if fill else "",
        "fillFee": text(fill.fee) if fill else "0",
        "fillFeeCcy": fill.fee_asset if fill else "",
        "fillFwdPx": "",
        "fillMarkPx": text(fill.price) if fill else "",
        "fillMarkVol": "",
        "fillNotionalUsd": text(_value(order.listing, fill.size, fill.price)) if fill else "",
        "fillPnl": text(fill.pnl) if fill else "0",
        "fillPx": text(fill.price) if fill else "",
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillSz": text(fill.size) if fill else "0",
        "fillTime": str(fill.at_ms) if fill else "",
        "lastPx": text(fill.price) if fill else "",
        "msg": "",
        "notionalUsd": text(_value(order.listing, order.size, order.price or ZERO)),
        "reqId": request_id,
        "tradeId": _told_with_order(fill),
    }
    return row


def _told_with_order(fill: Fill | None) -> str:
    """Return the number of a trade as an order's row has it: 0 of a liquidation or an ADL.

    `fills` have a number below zero for those.
    """
    if fill is None:
        return ""
    return "0" if fill.trade_id.startswith("-") else fill.trade_id


def _value(listing: Listing, size: Decimal, price: Decimal) -> Decimal:
    return size * listing.contract_value * price


def algo_row(algo: Algo) -> Row:
    """Print an algo order, as REST and `orders-algo` do."""
    return {
        "activePx": optional(algo.active),
        "actualPx": optional(algo.actual_price),
        "actualSide": algo.actual_side,
        "actualSz": text(algo.actual_size),
        "algoClOrdId": algo.client_id,
        "algoId": algo.algo_id,
        "amendPxOnTriggerType": "0",
        "attachAlgoOrds": [],
        "cTime": str(algo.created_ms),
        "callbackRatio": optional(algo.callback_ratio),
        "callbackSpread": optional(algo.callback_spread),
        "ccy": "",
        "clOrdId": "",
        "closeFraction": "1" if algo.whole_position else "",
        "cxlOnClosePos": _flag(algo.cancel_with_position),
        "failCode": algo.fail_code,
        "failReason": "",
        "instId": algo.listing.inst_id,
        "instType": algo.listing.inst_type,
        "isTradeBorrowMode": "",
        "last": "",
        "lever": optional(algo.leverage),
        "linkedOrd": {"ordId": algo.parent_id},
        "moveTriggerPx": optional(algo.move_trigger),
        "ordId": algo.order_id or ("0" if not algo.triggered_ms else ""),
        "ordIdList": [algo.order_id] if algo.order_id else [],
        "ordPx": optional(algo.trigger_price),
        "ordType": algo.type,
        "posSide": algo.pos_side if algo.listing.is_swap else "",
        "pxLimit": "",
        "pxSpread": "",
        "pxVar": "",
        "quickMgnType": "",
        "reduceOnly": _flag(algo.reduce_only),
        "side": algo.side,
        "slOrdPx": optional(algo.sl_price),
        "slTriggerPx": optional(algo.sl_trigger),
        "slTriggerPxType": algo.sl_watches if algo.sl_trigger is not None else "",
        "state": algo.state,
        "sz": "" if algo.whole_position else text(algo.size),
        "szLimit": "",
        "tag": algo.tag,
        "tdMode": algo.mode,
        "tgtCcy": algo.target,
        "timeInterval": "",
        "tpOrdPx": optional(algo.tp_price),
        "tpTriggerPx": optional(algo.tp_trigger),
        "tpTriggerPxType": algo.tp_watches if algo.tp_trigger is not None else "",
        "triggerPx": optional(algo.trigger),
        "triggerPxType": algo.trigger_watches if algo.trigger is not None else "",
        "triggerTime": str(algo.triggered_ms) if algo.triggered_ms else "",
        "uTime": str(algo.updated_ms),
    }


def fill_row(fill: Fill) -> Row:
    """Print an execution as `trade/fills` does."""
    return dict(_printed(fill))


@lru_cache(4_096)  # the latest are asked for again and again, and do not change
def _printed(fill: Fill) -> Row:
    order = fill.order
    return {
        "billId": fill.bill_id,
        "clOrdId": order.client_id,
        "execType": "M" if fill.is_maker else "T",
        "fee": text(fill.fee),
        "feeCcy": fill.fee_asset,
        "feeRate": "",
        "fillFwdPx": "",
        "fillIdxPx": text(fill.price),
        "fillMarkPx": text(fill.price) if order.listing.is_swap else "",
        "fillMarkVol": "",
        "fillPnl": text(fill.pnl),
        "fillPx": text(fill.price),
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillSz": text(fill.size),
        "fillTime": str(fill.at_ms),
        "instId": order.listing.inst_id,
        "instType": order.listing.inst_type,
        "ordId": order.order_id,
        "posSide": order.pos_side if order.listing.is_swap else "net",
        "side": order.side,
        "subType": fill.sub_type,
        "tag": order.tag,
        "tradeId": fill.trade_id,
        "tradeQuoteCcy": QUOTE,
        "ts": str(fill.at_ms),
    }
