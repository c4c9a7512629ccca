"""Frames of both venues to spoil: a market's trades and quotes in the venue's words, in chunks.

An `Item` is a frame with the trade that an exact pass takes from it; one that must not count has
none. A fault turns the items of a chunk into what the venue sends instead.
"""

import gzip
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from domain.ids import Symbol
from domain.instrument import Instrument, Kind
from exchanges.simulated_market import MarketShape, simulated_frames
from tests.e2e.brute_force import Tick
from tests.okx_market import as_okx

SYMBOL = "BTC/USDT"
TRADES_A_CHUNK = 400
START_NS = 1_723_161_255_000_000_000
_QUOTES_KEPT = 4  # one in so many of a recording: a lively hour would take a minute to send
_PRICE = re.compile(rb'("px?":)"([^"]*)"')


@dataclass(frozen=True)
class Item:
    """What is sent, and the trade that counts in it."""

    raw: bytes
    tick: Tick | None = None
    is_quote: bool = False  # of the tape


@dataclass(frozen=True)
class Words:
    """How a venue prints what a test makes up."""

    trade_of: Callable[[bytes], Tick | None]
    mark: Callable[[str, int], bytes]  # price, time in ms
    stranger: Callable[[Item], list[Item]]  # frames of a trade in other symbols than it says
    bad_strangers: int  # of those, how many contradict themselves
    candle: Callable[[int, str, str], bytes]  # begin in ms, close, whether it is closed

    def priced(self, item: Item, price: str) -> Item:
        """Return a trade with another price; its number and time stay."""
        assert item.tick is not None
        raw = with_price(item.raw, f'"{price}"')
        return Item(raw, replace(item.tick, price=Decimal(price)))


def with_price(raw: bytes, literal: str) -> bytes:
    """Return a frame of a trade whose price is this piece of JSON, or of what is none."""
    spoiled, found = _PRICE.subn(lambda match: match[1] + literal.encode(), raw)
    assert found == 1, raw
    return spoiled


# --- Binance


def _binance_trade(raw: bytes) -> Tick | None:
    frame = orjson.loads(raw)
    if not frame["stream"].endswith("@trade") or frame["data"].get("X", "MARKET") != "MARKET":
        return None
    data = frame["data"]
    return Tick(0, 0, SYMBOL, str(data["t"]), Decimal(data["p"]), data["T"])


def _binance_mark(price: str, at_ms: int) -> bytes:
    data = {"e": "markPriceUpdate", "E": at_ms, "s": "BTCUSDT", "p": price, "r": "0.0001"}
    return orjson.dumps({"stream": "btcusdt@markPrice@1s", "data": data})


def _binance_stranger(item: Item) -> list[Item]:
    wild = with_price(item.raw, '"1.0"')
    named = wild.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"')  # on our stream, of another symbol
    return [Item(named), Item(named.replace(b"btcusdt@", b"ethusdt@"))]


def _binance_candle(begin_ms: int, close: str, closed: str) -> bytes:
    row = {
        "t": begin_ms, "T": begin_ms + 59_999, "s": "BTCUSDT", "i": "1m", "o": close, "c": close,
        "h": close, "l": close, "v": "1", "n": 1, "x": closed == "1",
    }  # fmt: skip
    data = {"e": "kline", "E": begin_ms, "s": "BTCUSDT", "k": row}
    return orjson.dumps({"stream": "btcusdt@kline_1m", "data": data})


# --- OKX


def _okx_rows(raw: bytes) -> tuple[str, dict[str, Any]]:
    frame = orjson.loads(raw)
    return frame["arg"]["channel"], frame["data"][0]


def _okx_trade(raw: bytes) -> Tick | None:
    channel, row = _okx_rows(raw)
    if channel != "trades":
        return None
    return Tick(0, 0, SYMBOL, row["tradeId"], Decimal(row["px"]), int(row["ts"]))


def _okx_mark(price: str, at_ms: int) -> bytes:
    name = "BTC-USDT-SWAP"
    row = {"instType": "SWAP", "instId": name, "markPx": price, "ts": str(at_ms)}
    return orjson.dumps({"arg": {"channel": "mark-price", "instId": name}, "data": [row]})


def _okx_stranger(item: Item) -> list[Item]:
    wild = with_price(item.raw, '"1.0"')
    other = wild.replace(b"BTC-USDT-SWAP", b"ETH-USDT-SWAP")
    contradictory = wild.replace(b'"data":[{"instId":"BTC-', b'"data":[{"instId":"ETH-')
    assert contradictory != wild
    return [Item(other), Item(contradictory)]


def _okx_candle(begin_ms: int, close: str, closed: str) -> bytes:
    row = [str(begin_ms), close, close, close, close, "1", "1", "1", closed]
    arg = {"channel": "candle1m", "instId": "BTC-USDT-SWAP"}
    return orjson.dumps({"arg": arg, "data": [row]})


WORDS = {
    "binance": Words(_binance_trade, _binance_mark, _binance_stranger, 0, _binance_candle),
    "okx": Words(_okx_trade, _okx_mark, _okx_stranger, 1, _okx_candle),
}


# --- tapes


def chunks(venue: str, recording: Path) -> Iterator[list[Item]]:
    """Yield chunks of a market: for Binance of its recording where there is one."""
    words = WORDS[venue]
    chunk: list[Item] = []
    trades = 0
    for raw in _frames(venue, recording):
        tick = words.trade_of(raw)
        chunk.append(Item(raw, tick, is_quote=tick is None))
        trades += tick is not None
        if trades == TRADES_A_CHUNK:
            yield chunk
            chunk, trades = [], 0


def _frames(venue: str, recording: Path) -> Iterator[bytes]:
    if venue == "okx":
        return (as_okx(raw) for raw in _made_up())
    return _recorded(recording) if recording.exists() else _made_up()


def _recorded(file: Path) -> Iterator[bytes]:
    with gzip.open(file) as lines:
        trades_and_quotes = (
            raw.rstrip()
            for raw in (line.partition(b" ")[2] for line in lines)
            if raw.startswith((b'{"stream":"btcusdt@trade"', b'{"stream":"btcusdt@bookTicker"'))
        )
        for number, raw in enumerate(trades_and_quotes):
            if b"@trade" in raw[:30] or number % _QUOTES_KEPT == 0:
                yield raw


def _made_up() -> Iterator[bytes]:
    """Make a market up: ten minutes and more, lively, with gaps, the same each time."""
    instrument = Instrument(
        symbol=Symbol(SYMBOL),
        venue_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        kind=Kind.SWAP,
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        min_notional=Decimal(5),
    )
    shape = MarketShape(ticks_per_second=20, gap_every_s=30, gap_low=0.001, gap_high=0.005)
    start = {instrument.symbol: Decimal(61_800)}
    made = simulated_frames(5, [instrument], start, shape, start_ns=START_NS)
    return (raw for _, raw in islice(made, 10**6) if b"@markPrice" not in raw[:40])


def ticks_of(items: Sequence[Item]) -> list[Tick]:
    """Return the trades that count, in order."""
    return [item.tick for item in items if item.tick is not None]
