"""The simulated market in the words of OKX: each of its frames, which are Binance's, translated."""

from decimal import Decimal

import orjson

_QUOTES = ("USDT",)


def as_okx(raw: bytes, contract_size: str = "0.01") -> bytes:
    """Turn a frame of a Binance swap into one of OKX: the same price, size and time."""
    frame = orjson.loads(raw)
    data = frame["data"]
    name, stamp = _name(data["s"]), str(data.get("T", data["E"]))
    channel = frame["stream"].split("@")[1]
    if channel == "trade":
        size = Decimal(data["q"]) / Decimal(contract_size)
        row = {
            "instId": name, "tradeId": str(data["t"]), "px": data["p"], "sz": f"{size:f}",
            "side": "sell" if data["m"] else "buy", "ts": stamp, "count": "1", "source": "0",
            "seqId": data["t"],
        }  # fmt: skip
        return _push("trades", name, row)
    if channel == "bookTicker":
        row = {
            "instType": "SWAP", "instId": name, "last": data["b"], "lastSz": "1",
            "askPx": data["a"], "askSz": "1", "bidPx": data["b"], "bidSz": "1", "ts": stamp,
        }  # fmt: skip
        return _push("tickers", name, row)
    assert channel == "markPrice"
    row = {"instType": "SWAP", "instId": name, "markPx": data["p"], "ts": str(data["E"])}
    return _push("mark-price", name, row)


def _name(symbol: str) -> str:
    quote = next(each for each in _QUOTES if symbol.endswith(each))
    return f"{symbol.removesuffix(quote)}-{quote}-SWAP"


def _push(channel: str, name: str, row: dict) -> bytes:
    return orjson.dumps({"arg": {"channel": channel, "instId": name}, "data": [row]})
