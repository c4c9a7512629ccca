"""How fast market data gets in: frames per second from a websocket to a sink, and parsing.

    python -m bench.bench_ingest [--frames N] [--runs N]

A child process plays the venue. Two servers are measured: one writes frames that were encoded
beforehand, in large pieces, so that the client is what limits; the other is our own recorded server
at speed 0. The wide frame is a trade padded to 368 bytes, the size of a 24-hour ticker; the others
are as long as the venue's. `library_and_json` is what an ordinary client does with the same frames:
websockets' `recv`, orjson, nothing else. Prints JSON, medians of the runs; the ratios are of the
client's CPU time in one run, which other work on the machine disturbs least. `okx` is a trade of a
swap as OKX prints it, whose size becomes base units.
"""

import argparse
import asyncio
import base64
import hashlib
import logging
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import orjson
import structlog
import uvloop
from websockets.asyncio.client import connect

from domain.ids import Symbol
from domain.instrument import Kind
from exchanges import binance_frames, okx_frames
from exchanges.binance_stream import BinanceStream
from exchanges.dialect import Reader
from exchanges.market import MarketSink, MarketStream
from exchanges.okx_stream import OkxStream
from exchanges.real_net import RealNet
from exchanges.recorded_server import RecordedServer
from exchanges.recording import frames

SYMBOLS = {"BTCUSDT": Symbol("BTC/USDT")}
OKX_NAME = "BTC-USDT-SWAP"
LISTED = {OKX_NAME: okx_frames.Listed(Symbol("BTC/USDT"), Decimal("0.01"))}
RECORDING = Path(__file__).resolve().parents[2] / "shared" / "data" / "usdm_btcusdt_20240808.gz"
RECORDED_TICKS = 87_402
WIDE_BYTES = 368
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
_PIECE_FRAMES = 500


class CountingSink:
    """Counts ticks; sets `done` at the last one."""

    def __init__(self, expected: int) -> None:
        self.ticks = self.frames = self.bad = 0
        self.expected = expected
        self.watch: Stopwatch | None = None
        self.done = asyncio.Event()

    def on_frame(self) -> None:
        """Count; the first starts the clock."""
        self.frames += 1
        if self.frames == 1:
            self.watch = Stopwatch()

    def on_trade(self, symbol, price, quantity, trade_id, event_ms) -> None:
        """Count."""
        self.ticks += 1
        if self.ticks == self.expected:
            self.done.set()

    def on_quote(self, symbol, bid, ask, update_id, event_ms) -> None:
        """Count."""
        self.ticks += 1
        if self.ticks == self.expected:
            self.done.set()

    def on_mark(self, symbol, price, event_ms) -> None:
        """Count."""
        self.ticks += 1

    def on_connected(self) -> None:
        """Do nothing."""

    def on_disconnected(self, why) -> None:
        """Fail: a run with a gap measures nothing."""
        raise RuntimeError(why)

    def on_bad_frame(self, why) -> None:
        """Fail."""
        raise RuntimeError(why)


class WallClock:
    """The real clock."""

    def now(self) -> datetime:
        """Return wall time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


def trade(number: int, width: int = 0) -> bytes:
    """Print a trade as the venue does; padded, when `width` says so."""
    data = {
        "e": "trade", "E": 1723161256322 + number, "T": 1723161256322 + number, "s": "BTCUSDT",
        "t": 5266583935 + number, "p": f"{61800 + number % 100}.30", "q": "0.006", "X": "MARKET",
        "m": False,
    }  # fmt: skip
    if width:
        for field in ("w", "x", "c", "Q", "b", "B", "a"):
            data[field] = "61800.30000000"
    raw = orjson.dumps({"stream": "btcusdt@trade", "data": data})
    if not width:
        return raw
    return raw[:-2] + b',"pad":"' + b"0" * (width - len(raw) - 9) + b'"}}'


def okx_trade(number: int) -> bytes:
    """Print a trade as OKX does."""
    row = {
        "instId": OKX_NAME, "tradeId": str(526658393 + number), "px": f"{61800 + number % 100}.3",
        "sz": "0.6", "side": "buy", "ts": str(1723161256322 + number), "count": "1", "source": "0",
        "seqId": 5266583935 + number,
    }  # fmt: skip
    return orjson.dumps({"arg": {"channel": "trades", "instId": OKX_NAME}, "data": [row]})


def printed(kind: str, count: int) -> list[bytes]:
    """Print so many frames of a kind: trade, wide, okx."""
    if kind == "okx":
        return [okx_trade(number) for number in range(count)]
    width = WIDE_BYTES if kind == "wide" else 0
    return [trade(number, width) for number in range(count)]


ANSWERS = {kind: [b'{"result":null,"id":1}'] for kind in ("trade", "wide")} | {
    "okx": [
        orjson.dumps({"event": "subscribe", "arg": {"channel": channel, "instId": OKX_NAME}})
        for channel in ("trades", "tickers")
    ]
}


# ---------------------------------------------------------------- the venue, in a process of its
# own


def encoded(raw: bytes) -> bytes:
    head = bytes((0x81, len(raw))) if len(raw) < 126 else b"\x81\x7e" + len(raw).to_bytes(2)
    return head + raw


def blast(pipe: Connection, count: int, kind: str) -> None:
    """Serve one websocket client after another: confirm its subscription, send `count` frames."""
    messages = [encoded(raw) for raw in printed(kind, count)]
    pieces = [b"".join(messages[at : at + _PIECE_FRAMES]) for at in range(0, count, _PIECE_FRAMES)]

    async def serve_one(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        key = request.lower().index(b"sec-websocket-key: ") + len(b"sec-websocket-key: ")
        digest = hashlib.sha1(request[key : key + 24] + _MAGIC).digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        await reader.read(4096)  # the subscription, one small message
        writer.write(b"".join(map(encoded, ANSWERS[kind])))
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            await reader.read()
        except ConnectionError:
            pass
        writer.close()

    async def serve():
        server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        pipe.send(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    uvloop.run(serve())


def serve_recording(pipe: Connection, path: str) -> None:
    """Serve a recording from the start for each connection: a new server each time asked."""

    async def serve():
        while True:
            async with RecordedServer([Path(path)], speed=0) as server:
                pipe.send(server.url)
                await asyncio.to_thread(pipe.recv)

    uvloop.run(serve())


class Child:
    """A venue's process; a context manager that gives its pipe."""

    def __init__(self, target: Callable[..., None], *args: object) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=target, args=(theirs, *args), daemon=True)

    def __enter__(self) -> Connection:
        self._process.start()
        return self.pipe

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


# ---------------------------------------------------------------------------------- measurements


class Speed(msgspec.Struct):
    """One run, or the medians of several. The client's CPU time alone tells more when busy."""

    per_s: int
    cpu_us: float  # a frame


class Stopwatch:
    """Runs from the first frame to the last."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def stop(self, count: int) -> Speed:
        """Return the speed of `count` frames."""
        wall_s, cpu_s = time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s
        return Speed(round(count / wall_s), cpu_s / count * 1e6)


async def through_okx(url: str, expected: int) -> Speed:
    """Measure the whole way: socket, library, JSON, checks, base units, sink."""
    stream = OkxStream(
        RealNet(),
        WallClock(),
        random.Random(1),
        base_url=url,
        kind=Kind.SWAP,
        listed=LISTED,
        channels=("trades", "tickers"),
    )
    return await measured(stream, expected)


async def through_the_stream(url: str, expected: int) -> Speed:
    """Measure the whole way: socket, library, JSON, checks, sink."""
    stream = BinanceStream(
        RealNet(),
        WallClock(),
        random.Random(1),
        base_url=url,
        kind=Kind.SWAP,
        symbols=SYMBOLS,
        streams=("trade", "bookTicker"),
    )
    return await measured(stream, expected)


async def measured(stream: MarketStream, expected: int) -> Speed:
    sink = CountingSink(expected)
    task = asyncio.create_task(stream.run(sink))
    task.add_done_callback(lambda _: sink.done.set())
    await sink.done.wait()
    assert sink.watch is not None
    speed = sink.watch.stop(sink.frames)
    assert sink.ticks == expected, task.result()
    task.cancel()
    await asyncio.wait({task})
    return speed


async def library_and_json(url: str, expected: int, *, answers: int = 1) -> Speed:
    """Measure what cannot be avoided: the library's messages, parsed and thrown away."""
    async with connect(url + "/stream", compression=None, proxy=None) as socket:
        await socket.send('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}')
        count, watch = -answers, Stopwatch()  # the answers are no frames
        while True:
            orjson.loads(await socket.recv(decode=False))
            count += 1
            if count == 0:
                watch = Stopwatch()
            if count == expected - 1:
                break
        return watch.stop(count)


def binance_reader(sink: MarketSink) -> Reader:
    seen = binance_frames.LastSeen()
    return lambda raw: binance_frames.read_frame(raw, SYMBOLS, sink, seen)


def okx_reader(sink: MarketSink) -> Reader:
    seen = okx_frames.LastSeen()
    return lambda raw: okx_frames.read_frame(raw, LISTED, sink, seen)


def parsing(raws: list[bytes], reader: Callable[[MarketSink], Reader]) -> Speed:
    """Measure the parser alone, JSON included."""
    sink = CountingSink(-1)
    read, watch = reader(sink), Stopwatch()
    for raw in raws:
        read(raw)
    return watch.stop(len(raws))


def median(speeds: list[Speed]) -> Speed:
    return Speed(
        round(statistics.median(speed.per_s for speed in speeds)),
        round(statistics.median(speed.cpu_us for speed in speeds), 2),
    )


def parsing_often(
    raws: list[bytes], runs: int, reader: Callable[[MarketSink], Reader] = binance_reader
) -> Speed:
    return median([parsing(raws, reader) for _ in range(runs)])


Client = Callable[[str, int], Coroutine[object, object, Speed]]


def on(loop: str, client: Client, url: str, expected: int) -> Speed:
    work = client(url, expected)
    return uvloop.run(work) if loop == "uvloop" else asyncio.run(work)


def measure_blast(report: dict[str, object], count: int, name: str, runs: int) -> None:
    client = through_okx if name == "okx" else through_the_stream
    floor_client = partial(library_and_json, answers=len(ANSWERS[name]))
    with Child(blast, count, name) as pipe:
        url = pipe.recv()
        for loop in ("asyncio", "uvloop"):
            floor, ours = [], []
            for _ in range(runs):  # in turn, so that both see the machine in the same moods
                floor.append(on(loop, floor_client, url, count))
                ours.append(on(loop, client, url, count))
            ratios = [one.cpu_us / other.cpu_us for one, other in zip(floor, ours, strict=True)]
            report[f"library_and_json_{name}_{loop}"] = median(floor)
            report[f"stream_{name}_{loop}"] = median(ours)
            report[f"stream_to_library_{name}_{loop}"] = round(statistics.median(ratios), 2)


def measure_recording(report: dict[str, object], runs: int) -> None:
    if not RECORDING.exists():
        report["recording"] = f"absent: {RECORDING}"
        return
    raws = [raw for _, raw in frames(RECORDING)]
    report["parse_recording"] = parsing_often(raws, runs)
    with Child(serve_recording, str(RECORDING)) as pipe:
        speeds = []
        for _ in range(runs):
            speeds.append(on("uvloop", through_the_stream, pipe.recv(), RECORDED_TICKS))
            pipe.send("next")
        report["recorded_server_uvloop"] = median(speeds)


def measure(count: int, runs: int) -> dict[str, object]:
    raws = {kind: printed(kind, count) for kind in ANSWERS}
    assert len(raws["wide"][0]) == WIDE_BYTES
    report: dict[str, object] = {
        "frames": count,
        "runs": runs,
        "bytes": {kind: len(some[0]) for kind, some in raws.items()},
        "parse_wide": parsing_often(raws["wide"], runs),
        "parse_trade": parsing_often(raws["trade"], runs),
        "parse_okx": parsing_often(raws["okx"], runs, okx_reader),
    }
    for kind in ("wide", "trade", "okx"):
        measure_blast(report, count, kind, runs)
    measure_recording(report, runs)
    return report


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--frames", type=int, default=200_000)
    arguments.add_argument("--runs", type=int, default=3)
    asked = arguments.parse_args()
    report = measure(asked.frames, asked.runs)
    print(msgspec.json.format(msgspec.json.encode(report)).decode())


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    main()
