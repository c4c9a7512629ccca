"""Reads Binance's public frames: raw text in, calls to a sink out, and nothing else touched.

Two envelopes exist. On `/stream` a frame is `{"stream": "btcusdt@trade", "data": {...}}`, on `/ws`
it is the bare payload, named by its event type "e". One payload has no event type: the quote
(bookTicker) of spot, known by its fields. Depth, snapshots and events nobody asked for are frames
without prices; answers to our own requests are no frames at all.

What comes in is a stranger's text. So every field is checked for type, sign and length before a
sink sees it, and whatever is wrong becomes `on_bad_frame(why)`, never an exception. Prices stay
text: a float tells that one is usable, and a decimal is made by whoever acts on it.

Sources: github.com/binance/binance-spot-api-docs (web-socket-streams), developers.binance.com
(USD-M market streams).
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from domain.ids import Symbol
from exchanges.dialect import Answer, Notice, ShutdownNotice
from exchanges.frame_checks import MAX_STAMP_MS, BadFrameError, excerpt, positive
from exchanges.market import MarketSink


class LastSeen:
    """The highest id taken, per symbol: what is not above it was taken, or is out of date.

    Trades and quotes carry ids that only rise; marks carry their time. Forget it when a connection
    was lost: a venue sends nothing twice on one connection, and one that lost its own state may
    start to count anew.
    """

    __slots__ = ("aggregates", "marks", "quotes", "trades")

    def __init__(self) -> None:
        self.trades: dict[Symbol, int] = {}
        self.aggregates: dict[Symbol, int] = {}  # aggTrade counts apart from trade
        self.quotes: dict[Symbol, int] = {}
        self.marks: dict[Symbol, int] = {}


def read_frame(
    raw: bytes | str, symbols: Mapping[str, Symbol], sink: MarketSink, seen: LastSeen | None = None
) -> Notice | None:
    """Hand the prices in `raw` to `sink`; return the notice instead when that is what it is.

    `symbols` maps the venue's names ("BTCUSDT") to ours; others are passed over. With `seen`, what
    was taken before is dropped. `on_frame` is called once, first, except for an answer, which is no
    market data.
    """
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        sink.on_frame()
        sink.on_bad_frame(f"not JSON ({error}): {excerpt(raw)}")
        return None
    data = message
    if type(message) is dict:
        data = message.get("data")
        if data is None:
            answer = _answer_in(message)
            if answer is not None:
                return answer
            data = message.get("event", message)
    sink.on_frame()
    try:
        return _read_payload(data, symbols, sink, seen)
    except BadFrameError as error:
        sink.on_bad_frame(str(error))
        return None


def notice_in(raw: bytes | str) -> Notice | None:
    """Return the notice that `raw` is, if it is one; prices are not looked at."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if type(message) is not dict:
        return None
    payload = message.get("data", message.get("event", message))
    if type(payload) is dict and payload.get("e") == "serverShutdown":
        return ShutdownNotice()
    return _answer_in(message)


def _answer_in(message: dict[str, Any]) -> Answer | None:
    """Return the answer in one of its shapes: result and id, error and id, bare code and msg."""
    number = message.get("id")
    request_id = number if type(number) is int else None
    if "result" in message:
        return Answer(request_id, "")
    error = message.get("error", message)
    if type(error) is dict and "code" in error and "msg" in error:
        return Answer(request_id, f"{excerpt(error['code'])} {excerpt(error['msg'])}")
    return None


def _read_payload(
    data: Any, symbols: Mapping[str, Symbol], sink: MarketSink, seen: LastSeen | None
) -> Notice | None:
    if type(data) is not dict:
        raise BadFrameError(f"not an object: {excerpt(data)}")
    event = data.get("e")
    if event is None:
        if "u" in data and "a" in data:
            event = "bookTicker"
        elif "lastUpdateId" in data:
            return None  # a snapshot of the book, fetched by whoever recorded
        else:
            raise BadFrameError(f"neither event, quote nor snapshot: {excerpt(data)}")
    if type(event) is not str:
        raise BadFrameError(f"event type is {excerpt(event)}, not text")
    reader = _READERS.get(event)
    if reader is None:
        return ShutdownNotice() if event == "serverShutdown" else None
    name = data.get("s")
    if type(name) is not str:
        raise BadFrameError(f"{event}: symbol is {excerpt(name)}, not text")
    symbol = symbols.get(name)
    if symbol is not None:
        try:
            reader(data, symbol, sink, seen)
        except BadFrameError as error:
            raise BadFrameError(f"{name} {event}: {error}") from None
    return None


def _read_trade(
    data: dict[str, Any], symbol: Symbol, sink: MarketSink, seen: LastSeen | None
) -> None:
    # USD-M prints transfers of its insurance fund among the trades: X "NA", "INSURANCE_FUND", price
    # 0.
    if data.get("X", "MARKET") != "MARKET":
        return
    number = _count(data, "t")
    price, quantity = positive(data, "p"), positive(data, "q")
    event_ms = _stamp(data, "T")
    if seen is not None:
        if number <= seen.trades.get(symbol, -1):
            return
        seen.trades[symbol] = number
    sink.on_trade(symbol, price, quantity, str(number), event_ms)


def _read_aggregate(
    data: dict[str, Any], symbol: Symbol, sink: MarketSink, seen: LastSeen | None
) -> None:
    number = _count(data, "a")
    price, quantity = positive(data, "p"), positive(data, "q")
    event_ms = _stamp(data, "T")
    if seen is not None:
        if number <= seen.aggregates.get(symbol, -1):
            return
        seen.aggregates[symbol] = number
    sink.on_trade(symbol, price, quantity, str(number), event_ms)


def _read_quote(
    data: dict[str, Any], symbol: Symbol, sink: MarketSink, seen: LastSeen | None
) -> None:
    number = _count(data, "u")
    bid, ask = positive(data, "b"), positive(data, "a")
    if float(bid) > float(ask):
        raise BadFrameError(f"bid {bid} is above ask {ask}")
    event_ms = _stamp(data, "T") if "T" in data else 0  # spot gives no time
    if seen is not None:
        if number <= seen.quotes.get(symbol, -1):
            return
        seen.quotes[symbol] = number
    sink.on_quote(symbol, bid, ask, str(number), event_ms)


def _read_mark(
    data: dict[str, Any], symbol: Symbol, sink: MarketSink, seen: LastSeen | None
) -> None:
    price = positive(data, "p")
    event_ms = _stamp(data, "E")
    if seen is not None:
        if event_ms <= seen.marks.get(symbol, -1):
            return
        seen.marks[symbol] = event_ms
    sink.on_mark(symbol, price, event_ms)


_Reader = Callable[[dict[str, Any], Symbol, MarketSink, LastSeen | None], None]
_READERS: dict[str, _Reader] = {
    "trade": _read_trade,
    "aggTrade": _read_aggregate,
    "bookTicker": _read_quote,
    "markPriceUpdate": _read_mark,
}


def _count(data: dict[str, Any], field: str) -> int:
    number = data.get(field)
    if type(number) is int and number >= 0:
        return number
    raise BadFrameError(f"{field} is {excerpt(number)}, not an id")


def _stamp(data: dict[str, Any], field: str) -> int:
    number = data.get(field)
    if type(number) is int and 0 < number < MAX_STAMP_MS:
        return number
    raise BadFrameError(f"{field} is {excerpt(number)}, not a time in ms")
