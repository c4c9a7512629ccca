"""Reads OKX's public frames (v5): raw text in, calls to a sink out, and nothing else touched.

A frame is `{"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [...]}`, where the data are
objects, or lists for candles. An event has no data: it answers a request of ours, or tells of the
server's end. Text `pong` answers our `ping`.

What comes in is a stranger's text, and what is wrong with it becomes `on_bad_frame(why)`, never an
exception. Sizes of swaps count contracts; here, and nowhere else, they become base units.

| channel | becomes | what is taken once |
|---|---|---|
| trades | `on_trade`; several matches of one order at one price are one trade | a `tradeId` |
| tickers | `on_quote`; its last price is that of a trade, which comes by itself | nothing older |
| mark-price | `on_mark` | a `ts` |
| candle1m … | a closed candle, for whoever asked | the closed one |
| books5, books | an order book, for whoever asked | a `seqId` |

Source: www.okx.com/docs-v5/en (websocket: trades, tickers, mark price, candlesticks, order book).
"""

import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any

import msgspec
import orjson

from domain.candles import Candle, Timeframe
from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from domain.money import ONE, ZERO
from exchanges.closed_candles import ClosedCandles
from exchanges.dialect import PONG, Answer, Notice, ShutdownNotice, Unlisted
from exchanges.frame_checks import MAX_STAMP_MS, BadFrameError, excerpt, positive
from exchanges.market import MarketSink
from exchanges.okx_names import stream_name
from exchanges.order_books import OrderBooks

# Those that begin at midnight UTC, as ours do; candle6H and longer begin at the venue's midnight.
CANDLES: Mapping[str, Timeframe] = {
    **{f"candle{bar}": Timeframe.parse(bar) for bar in ("1s", "1m", "3m", "5m", "15m", "30m")},
    **{f"candle{hours}H": Timeframe.parse(f"{hours}h") for hours in (1, 2, 4)},
    **{f"candle{hours}Hutc": Timeframe.parse(f"{hours}h") for hours in (6, 12)},
    "candle1Dutc": Timeframe.parse("1d"),
}
_CANDLE_FIELDS = (
    "ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "volCcy",
    "volCcyQuote",
    "confirm",
)
_RESTARTS = "64008"  # the server's connections are closed within a minute
_UNLISTED = "60018"
_ZERO = re.compile(r"0+(\.0+)?")
_NAMED = re.compile(r"channel:([\w-]+), ?instId:([\w-]+) doesn't exist")
_MAX_ID_DIGITS = 20
_MAX_STAMP_DIGITS = 14
_EXACT = Context(prec=80)


class Listed(msgspec.Struct, frozen=True):
    """What one of the venue's instrument ids stands for."""

    symbol: Symbol
    contract_size: Decimal = ONE  # base units that a size of 1 means

    @classmethod
    def of(cls, instrument: Instrument) -> "Listed":
        """Return it for an instrument of ours: spot sizes are base units already."""
        is_swap = instrument.kind is Kind.SWAP
        return cls(instrument.symbol, instrument.contract_size if is_swap else ONE)

    def in_base(self, size: str) -> str:
        """Turn a size as the venue prints it into base units, exactly."""
        if self.contract_size == ONE:
            return size
        return format(_EXACT.multiply(Decimal(size), self.contract_size), "f")


class Wanted(msgspec.Struct, frozen=True):
    """What somebody asked for besides prices; channels that nobody asked for are passed over."""

    candles: ClosedCandles | None = None
    books: OrderBooks | None = None


class LastSeen:
    """What was taken last, per symbol: what is not newer was taken, or is out of date.

    Forget it when a connection was lost, as with Binance's.
    """

    __slots__ = ("marks", "quotes", "trades")

    def __init__(self) -> None:
        self.trades: dict[Symbol, int] = {}
        self.quotes: dict[Symbol, tuple[int, str, str]] = {}
        self.marks: dict[Symbol, int] = {}


NOTHING_ELSE = Wanted()


def read_frame(
    raw: bytes | str,
    listed: Mapping[str, Listed],
    sink: MarketSink,
    seen: LastSeen | None = None,
    wanted: Wanted = NOTHING_ELSE,
) -> Notice | None:
    """Hand the prices in `raw` to `sink`; return the notice instead when that is what it is.

    `listed` knows the venue's ids ("BTC-USDT-SWAP"); others are passed over. With `seen`, what was
    taken before is dropped. `on_frame` is called once, first, except for a notice, which is no
    market data. A row that is wrong does not spoil the others of its frame.
    """
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if raw in (b"pong", "pong"):
            return PONG
        sink.on_frame()
        sink.on_bad_frame(f"not JSON ({error}): {excerpt(raw)}")
        return None
    if type(message) is dict and "event" in message:
        notice = _notice_in(message)
        if notice is None:  # of no use here
            sink.on_frame()
        return notice
    sink.on_frame()
    try:
        _read_message(message, listed, sink, seen, wanted)
    except BadFrameError as error:
        sink.on_bad_frame(str(error))
    return None


def notice_in(raw: bytes | str) -> Notice | None:
    """Return the notice that `raw` is, if it is one; prices are not looked at."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return PONG if raw in (b"pong", "pong") else None
    return _notice_in(message) if type(message) is dict else None


def _notice_in(message: dict[str, Any]) -> Notice | None:
    """Return the notice in an event; None for one that is of no use here."""
    event = message.get("event")
    if event == "subscribe":
        arg = message.get("arg")
        if type(arg) is not dict:
            return None
        return Answer(stream_name(excerpt(arg.get("channel")), excerpt(arg.get("instId"))), "")
    if event == "error":
        code, text = excerpt(message.get("code")), message.get("msg")
        error = f"{code} {excerpt(text)}"
        named = _NAMED.search(text) if code == _UNLISTED and type(text) is str else None
        return Unlisted(stream_name(*named.groups()), error) if named else Answer(None, error)
    if event == "notice" and message.get("code") == _RESTARTS:
        return ShutdownNotice()
    return None


def _read_message(
    message: Any,
    listed: Mapping[str, Listed],
    sink: MarketSink,
    seen: LastSeen | None,
    wanted: Wanted,
) -> None:
    if type(message) is not dict:
        raise BadFrameError(f"not an object: {excerpt(message)}")
    arg, rows = message.get("arg"), message.get("data")
    if type(arg) is not dict or type(rows) is not list:
        raise BadFrameError(f"neither event nor data of a channel: {excerpt(message)}")
    channel, name = arg.get("channel"), arg.get("instId")
    if type(channel) is not str:
        raise BadFrameError(f"channel is {excerpt(channel)}, not text")
    reader = _READERS.get(channel)
    if reader is None and channel not in CANDLES and channel not in _BOOKS:
        return
    if type(name) is not str:
        raise BadFrameError(f"{channel}: instId is {excerpt(name)}, not text")
    instrument = listed.get(name)
    if instrument is None:
        return
    for row in rows:
        try:
            if reader is not None:
                reader(_object(row, name), instrument, sink, seen)
            elif channel in CANDLES:
                _read_candle(row, instrument, CANDLES[channel], wanted.candles)
            else:
                _read_book(row, name, instrument, message.get("action"), wanted.books)
        except BadFrameError as error:
            sink.on_bad_frame(f"{name} {channel}: {error}")


def _read_trade(
    row: dict[str, Any], listed: Listed, sink: MarketSink, seen: LastSeen | None
) -> None:
    number = _number(row, "tradeId")
    price, size = positive(row, "px"), positive(row, "sz")
    event_ms = _stamp(row, "ts")
    symbol = listed.symbol
    if seen is not None:
        if number <= seen.trades.get(symbol, -1):
            return
        seen.trades[symbol] = number
    sink.on_trade(symbol, price, listed.in_base(size), str(number), event_ms)


def _read_quote(
    row: dict[str, Any], listed: Listed, sink: MarketSink, seen: LastSeen | None
) -> None:
    if row.get("bidPx") == "" or row.get("askPx") == "":
        return  # nobody bids, or nobody asks
    bid, ask = positive(row, "bidPx"), positive(row, "askPx")
    if float(bid) > float(ask):
        raise BadFrameError(f"bid {bid} is above ask {ask}")
    event_ms = _stamp(row, "ts")
    symbol = listed.symbol
    if seen is not None:
        quote = (event_ms, bid, ask)
        last = seen.quotes.get(symbol)
        if last is not None and (event_ms < last[0] or quote == last):
            return
        seen.quotes[symbol] = quote
    sink.on_quote(symbol, bid, ask, str(event_ms), event_ms)  # a ticker has no other number


def _read_mark(
    row: dict[str, Any], listed: Listed, sink: MarketSink, seen: LastSeen | None
) -> None:
    price = positive(row, "markPx")
    event_ms = _stamp(row, "ts")
    symbol = listed.symbol
    if seen is not None:
        if event_ms <= seen.marks.get(symbol, -1):
            return
        seen.marks[symbol] = event_ms
    sink.on_mark(symbol, price, event_ms)


_Reader = Callable[[dict[str, Any], Listed, MarketSink, LastSeen | None], None]
_READERS: dict[str, _Reader] = {
    "trades": _read_trade,
    "tickers": _read_quote,
    "mark-price": _read_mark,
}
_BOOKS = ("books5", "books")


def _read_candle(
    row: Any, listed: Listed, timeframe: Timeframe, candles: ClosedCandles | None
) -> None:
    if candles is None:
        return
    if type(row) is not list or len(row) < len(_CANDLE_FIELDS):
        raise BadFrameError(f"not a list of {len(_CANDLE_FIELDS)}: {excerpt(row)}")
    fields = dict(zip(_CANDLE_FIELDS, row, strict=False))
    confirm = fields["confirm"]
    if confirm == "0":
        return  # still open
    if confirm != "1":
        raise BadFrameError(f"confirm is {excerpt(confirm)}, neither 0 nor 1")
    open_ms = _stamp(fields, "ts")
    if open_ms % timeframe.ms:
        raise BadFrameError(f"ts is {open_ms}, where no interval of {timeframe} begins")
    first, high, low, last = (
        Decimal(positive(fields, field)) for field in ("open", "high", "low", "close")
    )
    if not low <= min(first, last) <= max(first, last) <= high:
        raise BadFrameError(f"open {first} and close {last} are not within {low} and {high}")
    volume = _quantity(fields, "volume", listed)
    candle = Candle(
        symbol=listed.symbol,
        timeframe=timeframe,
        open_ms=open_ms,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=volume,
        trades=1 if volume else 0,  # the venue does not count them: 1 means some
    )
    candles.on_candle(candle)


def _read_book(row: Any, name: str, listed: Listed, action: Any, books: OrderBooks | None) -> None:
    if books is None:
        return
    row = _object(row, name)
    bids, asks = _levels(row, "bids", listed), _levels(row, "asks", listed)
    number, event_ms = _sequence(row, "seqId"), _stamp(row, "ts")
    if action != "update":
        books.replace(listed.symbol, bids, asks, number=number, event_ms=event_ms)
        return
    previous = _sequence(row, "prevSeqId")
    if not books.change(
        listed.symbol, bids, asks, previous=previous, number=number, event_ms=event_ms
    ):
        raise BadFrameError(f"a gap: it builds on {previous}, which never came")


def _levels(row: dict[str, Any], side: str, listed: Listed) -> list[tuple[Decimal, Decimal]]:
    levels = row.get(side)
    if type(levels) is not list:
        raise BadFrameError(f"{side} is {excerpt(levels)}, not a list")
    found = []
    for level in levels:
        if type(level) is not list or len(level) < 2:  # noqa: PLR2004 - price and size, at least
            raise BadFrameError(f"{side} holds {excerpt(level)}, not price and size")
        fields = {f"{side} price": level[0], f"{side} size": level[1]}
        price = Decimal(positive(fields, f"{side} price"))
        found.append((price, _quantity(fields, f"{side} size", listed)))
    return found


def _object(row: Any, name: str) -> dict[str, Any]:
    """Return a row that is of the instrument that its frame names."""
    if type(row) is not dict:
        raise BadFrameError(f"not an object: {excerpt(row)}")
    if row.get("instId", name) != name:
        raise BadFrameError(f"instId is {excerpt(row['instId'])}")
    return row


def _quantity(fields: dict[str, Any], field: str, listed: Listed) -> Decimal:
    """Return a size in base units; 0 is one."""
    text = fields[field]
    if type(text) is str and _ZERO.fullmatch(text):
        return ZERO
    return Decimal(listed.in_base(positive(fields, field)))


def _number(row: dict[str, Any], field: str) -> int:
    text = row.get(field)
    if type(text) is str and len(text) <= _MAX_ID_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    raise BadFrameError(f"{field} is {excerpt(text)}, not an id")


def _sequence(row: dict[str, Any], field: str) -> int:
    number = row.get(field)
    if type(number) is int and number >= 0:
        return number
    raise BadFrameError(f"{field} is {excerpt(number)}, not a sequence number")


def _stamp(row: dict[str, Any], field: str) -> int:
    text = row.get(field)
    if (
        type(text) is str
        and len(text) <= _MAX_STAMP_DIGITS
        and text.isascii()
        and text.isdigit()
        and 0 < int(text) < MAX_STAMP_MS
    ):
        return int(text)
    raise BadFrameError(f"{field} is {excerpt(text)}, not a time in ms")
