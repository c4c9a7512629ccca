"""For market data: a sink to wait for, real and virtual time, frames and small recordings."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from exchanges.recording import FrameWriter

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data"


class WatchedSink:
    """Keeps what a stream said; `until` waits for it."""

    def __init__(self) -> None:
        self.frames = 0
        self.events: list[tuple] = []  # in the order of arrival
        self.bad: list[str] = []
        self._changed = asyncio.Event()

    def on_frame(self) -> None:
        self.frames += 1
        self._changed.set()

    def on_trade(self, symbol, price, quantity, trade_id, event_ms) -> None:
        self._add("trade", symbol, price, quantity, trade_id, event_ms)

    def on_quote(self, symbol, bid, ask, update_id, event_ms) -> None:
        self._add("quote", symbol, bid, ask, update_id, event_ms)

    def on_mark(self, symbol, price, event_ms) -> None:
        self._add("mark", symbol, price, event_ms)

    def on_connected(self) -> None:
        self._add("connected")

    def on_disconnected(self, why) -> None:
        self._add("disconnected", why)

    def on_bad_frame(self, why) -> None:
        self.bad.append(why)
        self._changed.set()

    def _add(self, *event) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: str) -> list[tuple]:
        return [event[1:] for event in self.events if event[0] == kind]

    def trade_ids(self) -> list[int]:
        return [int(event[4]) for event in self.events if event[0] == "trade"]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer when there is nothing else to do."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 1000.0
        really_select = self._selector.select

        def select(timeout=None):
            if timeout:
                self.seconds += timeout
            return really_select(0)

        self._selector.select = select

    def time(self) -> float:
        return self.seconds


class LoopClock:
    """The clock of a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_700_000_000 + self._loop.time(), UTC)

    def monotonic(self) -> float:
        return self._loop.time()


@pytest.fixture
def sink() -> WatchedSink:
    return WatchedSink()


@pytest.fixture
def new_sink() -> type[WatchedSink]:
    return WatchedSink


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def chance() -> random.Random:
    return random.Random(7)


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on a real loop, for at most 30 s."""

    async def limited(work):
        async with asyncio.timeout(30):
            return await work

    return lambda work: asyncio.run(limited(work))


@pytest.fixture
def virtual_loop():
    loop = VirtualLoop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def loop_clock(virtual_loop) -> LoopClock:
    return LoopClock(virtual_loop)


@pytest.fixture
def in_virtual_time(virtual_loop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    return virtual_loop.run_until_complete


class Frames:
    """Builds frames as the venue prints them (USD-M unless said)."""

    @staticmethod
    def enveloped(stream: str, data: dict) -> bytes:
        return orjson.dumps({"stream": stream, "data": data})

    def trade(self, number: int, price: str = "100.0", symbol: str = "BTCUSDT", **more) -> bytes:
        data = {
            "e": "trade", "E": 1000 + number, "T": 1000 + number, "s": symbol, "t": number,
            "p": price, "q": "0.5", "X": "MARKET", "m": False,
        }  # fmt: skip
        return self.enveloped(f"{symbol.lower()}@trade", data | more)

    def quote(
        self, number: int, bid: str = "99.9", ask: str = "100.1", symbol: str = "BTCUSDT", **more
    ) -> bytes:
        data = {
            "e": "bookTicker", "u": number, "s": symbol, "b": bid, "B": "1", "a": ask, "A": "2",
            "T": 1000 + number, "E": 1000 + number,
        }  # fmt: skip
        return self.enveloped(f"{symbol.lower()}@bookTicker", data | more)

    def mark(self, stamp: int, price: str = "100.0", symbol: str = "BTCUSDT", **more) -> bytes:
        data = {"e": "markPriceUpdate", "E": stamp, "s": symbol, "p": price, "r": "0.0001"}
        return self.enveloped(f"{symbol.lower()}@markPrice@1s", data | more)

    @staticmethod
    def snapshot() -> bytes:
        return orjson.dumps({"lastUpdateId": 5, "bids": [["99.9", "1"]], "asks": []})


@pytest.fixture
def make() -> Frames:
    return Frames()


class OkxFrames:
    """Builds frames as OKX prints them (a swap unless said)."""

    @staticmethod
    def push(channel: str, name: str, *rows, **more) -> bytes:
        return orjson.dumps({"arg": {"channel": channel, "instId": name}, **more, "data": rows})

    def trade(
        self, number: int, price: str = "100.0", name: str = "BTC-USDT-SWAP", **more
    ) -> bytes:
        row = {
            "instId": name, "tradeId": str(number), "px": price, "sz": "5", "side": "buy",
            "ts": str(1000 + number), "count": "1", "source": "0", "seqId": 7 * number,
        }  # fmt: skip
        return self.push("trades", name, row | more)

    def ticker(
        self,
        stamp: int,
        bid: str = "99.9",
        ask: str = "100.1",
        name: str = "BTC-USDT-SWAP",
        **more,
    ) -> bytes:
        row = {
            "instType": "SWAP", "instId": name, "last": "100.0", "lastSz": "1", "askPx": ask,
            "askSz": "11", "bidPx": bid, "bidSz": "5", "open24h": "99", "high24h": "101",
            "low24h": "98", "volCcy24h": "2222", "vol24h": "2222", "sodUtc0": "99",
            "sodUtc8": "99", "ts": str(stamp),
        }  # fmt: skip
        return self.push("tickers", name, row | more)

    def mark(self, stamp: int, price: str = "100.0", name: str = "BTC-USDT-SWAP", **more) -> bytes:
        row = {"instType": "SWAP", "instId": name, "markPx": price, "ts": str(stamp)}
        return self.push("mark-price", name, row | more)

    def candle(
        self,
        open_ms: int,
        *prices: str,
        confirm: str = "1",
        volume: str = "12",
        channel: str = "candle1m",
        name: str = "BTC-USDT-SWAP",
    ) -> bytes:
        prices = prices or ("100", "110", "90", "105")
        return self.push(channel, name, [str(open_ms), *prices, volume, "1", "1", confirm])

    def book(
        self,
        number: int,
        bids,
        asks,
        *,
        channel: str = "books5",
        name: str = "BTC-USDT-SWAP",
        previous: int | None = None,
        action: str | None = None,
        stamp: int | None = None,
    ) -> bytes:
        row = {
            "asks": [[price, size, "0", "1"] for price, size in asks],
            "bids": [[price, size, "0", "1"] for price, size in bids],
            "instId": name, "ts": str(1000 + number if stamp is None else stamp), "seqId": number,
        }  # fmt: skip
        more = {} if action is None else {"action": action}
        return self.push(
            channel, name, row if previous is None else row | {"prevSeqId": previous}, **more
        )


@pytest.fixture
def okx() -> OkxFrames:
    return OkxFrames()


@pytest.fixture
def record(tmp_path) -> Callable[..., Path]:
    """Write frames to a file, a millisecond apart unless stamped; return its path."""

    def write(*frames, name="recording.gz") -> Path:
        path = tmp_path / name
        with FrameWriter(path) as writer:
            for number, frame in enumerate(frames):
                stamp, raw = frame if isinstance(frame, tuple) else (10**9 + number * 10**6, frame)
                writer.write(stamp, raw)
        return path

    return write


@pytest.fixture
def recorded() -> Callable[[str], Path]:
    """Return a recording made at the venue; skip where there is none."""

    def path_of(name: str) -> Path:
        path = RECORDINGS / name
        if not path.exists():
            pytest.skip(f"no recorded market data at {RECORDINGS}")
        return path

    return path_of
