"""Rows in the shape that OKX documents, for tests: each takes changes as keywords."""

from decimal import Decimal
from typing import Any

from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from exchanges.translate import by_inst_id

OURS = "7F0000000000000000000abcE000001"
BTC_SPOT = Instrument(
    symbol=Symbol("BTC/USDT"),
    venue_symbol="BTC-USDT",
    base="BTC",
    quote="USDT",
    kind=Kind.SPOT,
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.00000001"),
    min_quantity=Decimal("0.00001"),
    min_notional=Decimal(5),
)
BTC_SWAP = Instrument(
    symbol=Symbol("BTC/USDT"),
    venue_symbol="BTC-USDT-SWAP",
    base="BTC",
    quote="USDT",
    kind=Kind.SWAP,
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.0001"),
    min_quantity=Decimal("0.0001"),
    min_notional=Decimal(5),
    max_leverage=Decimal(100),
    contract_size=Decimal("0.01"),
)
INSTRUMENTS = by_inst_id([BTC_SPOT, BTC_SWAP])


def order_row(**changes: Any) -> dict[str, Any]:
    """Return a row of `trade/order`: a market buy of 2 contracts that is not filled yet."""
    return {
        "accFillSz": "0",
        "algoClOrdId": "",
        "algoId": "",
        "attachAlgoClOrdId": "",
        "attachAlgoOrds": [],
        "avgPx": "",
        "cTime": "1718000000000",
        "cancelSource": "",
        "cancelSourceReason": "",
        "category": "normal",
        "ccy": "",
        "clOrdId": OURS,
        "fee": "0",
        "feeCcy": "USDT",
        "fillPx": "",
        "fillSz": "0",
        "fillTime": "",
        "instId": "BTC-USDT-SWAP",
        "instType": "SWAP",
        "lever": "3",
        "ordId": "1752588852617379840",
        "ordType": "market",
        "pnl": "0",
        "posSide": "net",
        "px": "",
        "rebate": "0",
        "rebateCcy": "USDT",
        "reduceOnly": "false",
        "side": "buy",
        "source": "",
        "state": "live",
        "sz": "2",
        "tag": "",
        "tdMode": "cross",
        "tgtCcy": "",
        "tradeId": "",
        "uTime": "1718000000500",
    } | changes


def algo_row(**changes: Any) -> dict[str, Any]:
    """Return a row of `trade/order-algo`: a stop at 58,000 that sells 2 contracts."""
    return {
        "activePx": "",
        "actualPx": "",
        "actualSide": "",
        "actualSz": "0",
        "algoClOrdId": OURS,
        "algoId": "1753184812254216192",
        "cTime": "1718000001000",
        "callbackRatio": "",
        "callbackSpread": "",
        "clOrdId": "",
        "closeFraction": "",
        "failCode": "",
        "instId": "BTC-USDT-SWAP",
        "instType": "SWAP",
        "lever": "3",
        "moveTriggerPx": "",
        "ordId": "",
        "ordIdList": [],
        "ordPx": "",
        "ordType": "conditional",
        "posSide": "net",
        "reduceOnly": "true",
        "side": "sell",
        "slOrdPx": "-1",
        "slTriggerPx": "58000",
        "slTriggerPxType": "last",
        "state": "live",
        "sz": "2",
        "tdMode": "cross",
        "tpOrdPx": "",
        "tpTriggerPx": "",
        "tpTriggerPxType": "",
        "triggerPx": "",
        "triggerPxType": "",
        "triggerTime": "",
        "uTime": "1718000001000",
    } | changes


def fill_row(**changes: Any) -> dict[str, Any]:
    """Return a row of `trade/fills`: 2 contracts bought at 60,000 as taker."""
    return {
        "billId": "1752588852617379842",
        "clOrdId": OURS,
        "execType": "T",
        "fee": "-0.6",
        "feeCcy": "USDT",
        "fillPnl": "0",
        "fillPx": "60000",
        "fillSz": "2",
        "fillTime": "1718000000400",
        "instId": "BTC-USDT-SWAP",
        "instType": "SWAP",
        "ordId": "1752588852617379840",
        "posSide": "net",
        "side": "buy",
        "subType": "1",
        "tag": "",
        "tradeId": "1323",
        "ts": "1718000000450",
    } | changes


def position_row(**changes: Any) -> dict[str, Any]:
    """Return a row of `account/positions`: long 2 contracts from 60,000."""
    return {
        "avgPx": "60000",
        "instId": "BTC-USDT-SWAP",
        "instType": "SWAP",
        "lever": "3",
        "liqPx": "41000.5",
        "markPx": "60010",
        "mgnMode": "cross",
        "pos": "2",
        "posId": "1753000000000000000",
        "posSide": "net",
        "uTime": "1718000000500",
        "upl": "0.2",
    } | changes


def balance_row(**changes: Any) -> dict[str, Any]:
    """Return one of `details` of `account/balance`."""
    return {
        "availBal": "9000",
        "availEq": "9000.2",
        "cashBal": "10000",
        "ccy": "USDT",
        "eq": "10000.2",
        "frozenBal": "1000",
        "upl": "0.2",
        "uTime": "1718000000500",
    } | changes
