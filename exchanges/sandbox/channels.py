"""Which channel is on which path, and what it takes to hear it."""

import re
from typing import Any

from exchanges.sandbox.market import Market

PUBLIC, BUSINESS, PRIVATE = "public", "business", "private"
PATHS = (PUBLIC, BUSINESS, PRIVATE)
_OF_PUBLIC = frozenset(
    {
        "tickers",
        "trades",
        "mark-price",
        "index-tickers",
        "books",
        "books5",
        "bbo-tbt",
        "funding-rate",
        "open-interest",
        "price-limit",
        "instruments",
        "status",
        "liquidation-orders",
    }
)
_OF_PRIVATE = frozenset(
    {"orders", "account", "positions", "balance_and_position", "liquidation-warning"}
)
_ALGOS = frozenset({"orders-algo", "algo-advance"})
NEEDS_LOGIN = _OF_PRIVATE | _ALGOS
CANDLE = re.compile(r"(?:mark-price-)?candle([135]m|15m|30m|[124]H|(?:6|12)H(?:utc)?|1D(?:utc)?)")
_INST_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "ANY")
_BY_INSTRUMENT = _OF_PUBLIC - {"instruments", "status", "liquidation-orders", "index-tickers"}


def carries(path: str, channel: str) -> bool:
    """Whether the channel is on this path."""
    if path == PUBLIC:
        return channel in _OF_PUBLIC
    if path == PRIVATE:
        return channel in _OF_PRIVATE
    return channel in _ALGOS or channel == "trades-all" or bool(CANDLE.fullmatch(channel))


def is_known_instrument(market: Market, channel: str, arg: dict[str, Any]) -> bool:
    """Whether the instrument, or its type, that a subscription names exists."""
    name, kind = arg.get("instId"), arg.get("instType")
    if channel in _BY_INSTRUMENT or channel == "trades-all" or CANDLE.fullmatch(channel):
        return name in market.quotes
    if channel in ("orders", "positions", *_ALGOS):
        return kind in _INST_TYPES and (name is None or name in market.quotes)
    return True


def hears(arg: dict[str, Any], channel: str, inst_type: str, inst_id: str) -> bool:
    """Whether a subscription hears a push."""
    if arg.get("channel") != channel:
        return False
    if arg.get("instId") and inst_id and arg["instId"] != inst_id:
        return False
    kind = arg.get("instType")
    return not kind or not inst_type or kind in ("ANY", inst_type)
