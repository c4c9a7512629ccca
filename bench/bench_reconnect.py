"""How long a stream takes to be back after its server was away: subscribed again, a price read.

    python -m bench.bench_reconnect [--away-s S] [--trials N] [--json]

With the settings that are shipped. Each trial has a server on loopback of its own, which goes away
for so long (and a little more with each trial, so that the retries meet it at different moments)
and comes back at the same port. All trials run at once, so the whole takes little longer than one.
"""

import argparse
import asyncio
import logging
import random
import tempfile
import time
from pathlib import Path

import msgspec
import orjson
import structlog

from daemon.config_models import Market
from domain.ids import Symbol
from domain.instrument import Kind
from exchanges.binance_stream import BinanceStream
from exchanges.market import MarketStream
from exchanges.okx_frames import Listed
from exchanges.okx_stream import SETTINGS, OkxStream
from exchanges.real_net import RealNet
from exchanges.recorded_server import RecordedServer
from exchanges.recording import FrameWriter
from exchanges.session import LineSettings
from runtime.clocks import SystemClock

BTC = Symbol("BTC/USDT")
OKX_NAME = "BTC-USDT-SWAP"
SILENCE_S = float(Market.model_fields["max_silence_s"].default)
LATER_S = 0.37  # each trial than the one before
FRAMES = 50
WITHIN_S = 60.0


class WatchedSink:
    """Notes when a stream is up, and when a price came."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.priced = asyncio.Event()

    def on_frame(self) -> None: ...

    def on_trade(self, *_: object) -> None:
        self.priced.set()

    def on_quote(self, *_: object) -> None: ...

    def on_mark(self, *_: object) -> None: ...

    def on_bad_frame(self, why: str) -> None:
        raise AssertionError(why)

    def on_connected(self) -> None:
        self.up.set()

    def on_disconnected(self, why: str) -> None:
        del why
        self.up.clear()
        self.priced.clear()
        self.down.set()


def binance_frame(number: int) -> bytes:
    data = {"e": "trade", "E": number, "T": number, "s": "BTCUSDT", "t": number, "p": "1", "q": "1"}
    return orjson.dumps({"stream": "btcusdt@trade", "data": data})


def okx_frame(number: int) -> bytes:
    row = {"instId": OKX_NAME, "tradeId": str(number), "px": "1", "sz": "1", "ts": str(number)}
    return orjson.dumps({"arg": {"channel": "trades", "instId": OKX_NAME}, "data": [row]})


FRAME = {"binance": binance_frame, "okx": okx_frame}


def stream_of(venue: str, url: str, trial: int) -> MarketStream:
    ports = (RealNet(), SystemClock(), random.Random(trial))
    if venue == "binance":
        settings = LineSettings(max_silence_s=SILENCE_S)
        symbols = {"BTCUSDT": BTC}
        return BinanceStream(
            *ports, base_url=url, kind=Kind.SWAP, symbols=symbols, settings=settings
        )
    settings = msgspec.structs.replace(SETTINGS, max_silence_s=SILENCE_S)
    listed = {OKX_NAME: Listed(BTC)}
    return OkxStream(*ports, base_url=url, kind=Kind.SWAP, listed=listed, settings=settings)


async def back_after_s(venue: str, trial: int, path: Path, away_s: float) -> float:
    """Return how long after the server's return a price was read."""
    sink = WatchedSink()
    async with RecordedServer([path], speed=0) as server:
        port = int(server.url.rsplit(":", 1)[1])
        task = asyncio.create_task(stream_of(venue, server.url, trial).run(sink))
        await sink.priced.wait()
    await sink.down.wait()
    await asyncio.sleep(away_s + trial * LATER_S)
    async with RecordedServer([path], port=port, speed=0):
        began_s = time.monotonic()
        await asyncio.wait_for(sink.priced.wait(), WITHIN_S)
        took_s = time.monotonic() - began_s
        task.cancel()
        await asyncio.wait({task})
    return took_s


async def measure(trials: int, away_s: float, directory: Path) -> dict[str, list[float]]:
    work = {}
    for venue, frame in FRAME.items():
        path = directory / venue
        with FrameWriter(path) as writer:
            for number in range(1, FRAMES):
                writer.write(number * 10**6, frame(number))
        each = (back_after_s(venue, trial, path, away_s) for trial in range(trials))
        work[venue] = asyncio.gather(*each)
    return {venue: sorted(await found) for venue, found in work.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--away-s", type=float, default=30.0)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(measure(given.trials, given.away_s, Path(directory)))
    figures = {
        venue: {
            "trials": len(times),
            "median_s": round(times[len(times) // 2], 2),
            "max_s": round(times[-1], 2),
        }
        for venue, times in found.items()
    }
    if given.json:
        print(orjson.dumps({"away_s": given.away_s, "reconnect": figures}).decode())
        return
    print(f"{'venue':<10}{'trials':>8}{'median s':>10}{'max s':>8}   away for {given.away_s:g} s")
    for venue, row in figures.items():
        print(f"{venue:<10}{row['trials']:>8}{row['median_s']:>10.2f}{row['max_s']:>8.2f}")


if __name__ == "__main__":
    main()
