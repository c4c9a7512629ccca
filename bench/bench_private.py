"""How long a pushed frame takes through the private stream: read, understood, handed on.

    python -m bench.bench_private [--frames N] [--json]

Two figures. `read`: one frame of each kind, from text to updates, without a network. `pushed`: from
just before a server on loopback sends a fill until `on_update` has it, in one process, so that the
server's own work is in it: first one frame at a time, then all at once.
"""

import argparse
import asyncio
import logging
import statistics
import time
from collections.abc import Callable

import orjson
import structlog
from websockets.asyncio.server import ServerConnection, serve

from domain.order import Fill
from exchanges.okx_private import OkxPrivateStream
from exchanges.okx_private_frames import read_frame
from exchanges.okx_private_told import Told
from exchanges.port import StreamUp, VenueUpdate
from exchanges.real_net import RealNet
from runtime.chance import SeededChance
from runtime.clocks import SystemClock
from tests.exchanges.okx_account_frames import (
    account,
    algo_row,
    algos,
    balance_row,
    filled_row,
    orders,
    position_row,
    positions,
)
from tests.exchanges.okx_private_venue import Keys
from tests.exchanges.okx_rows import INSTRUMENTS, OURS


class Nobody:
    """Takes everything, keeps nothing."""

    def on_frame(self) -> None: ...

    def on_update(self, update: VenueUpdate) -> None: ...

    def on_bad_frame(self, why: str) -> None:
        raise AssertionError(why)

    def on_unlisted(self, name: str) -> None:
        raise AssertionError(name)


def fill_frame(number: int) -> bytes:
    """An order of its own, filled by one trade."""
    return orders(filled_row(str(number), clOrdId=f"{OURS[:-4]}{number % 10_000:04}"))


def read_us(frame: Callable[[int], bytes], times: int) -> float:
    """Return microseconds a frame, each of them new."""
    frames = [frame(number) for number in range(times)]
    told, sink = Told(), Nobody()
    begun = time.perf_counter()
    for each in frames:
        read_frame(each, INSTRUMENTS, sink, told)
    return (time.perf_counter() - begun) / times * 1e6


class Server:
    """Lets everybody in."""

    def __init__(self) -> None:
        self.private: ServerConnection | None = None

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        async for text in connection:
            if text == "ping":
                await connection.send("pong")
                continue
            asked = orjson.loads(text)
            if asked["op"] == "login":
                await connection.send('{"event":"login","code":"0","msg":""}')
                continue
            for arg in asked["args"]:
                answer = {"event": "subscribe", "arg": arg}
                await connection.send(orjson.dumps(answer).decode())
            if connection.request.path.endswith("private"):
                self.private = connection


async def pushed(frames: int) -> dict[str, float]:
    """Measure pushes over a websocket."""
    server = Server()
    up, arrived = asyncio.Event(), asyncio.Event()
    times: list[float] = []

    def on_update(update: VenueUpdate) -> None:
        if isinstance(update, Fill):
            times.append(time.perf_counter())
            arrived.set()
        elif isinstance(update, StreamUp):
            up.set()

    async with serve(server.serve, "127.0.0.1", 0) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        stream = OkxPrivateStream(
            RealNet(),
            SystemClock(),
            SeededChance(7),
            ws_url=f"ws://127.0.0.1:{port}",
            credentials=Keys(),
            instruments=lambda: INSTRUMENTS,
            on_update=on_update,
        )
        task = asyncio.create_task(stream.run())
        await up.wait()
        assert server.private is not None
        texts = [fill_frame(number).decode() for number in range(2 * frames)]
        alone = []
        for text in texts[:frames]:
            arrived.clear()
            begun = time.perf_counter()
            await server.private.send(text)
            await arrived.wait()
            alone.append((times[-1] - begun) * 1e6)
        begun = time.perf_counter()
        for text in texts[frames:]:
            await server.private.send(text)
        while len(times) < 2 * frames:
            arrived.clear()
            await arrived.wait()
        burst_s = times[-1] - begun
        await stream.close()
        await asyncio.wait({task})
    alone.sort()
    return {
        "pushed_p50_us": round(statistics.median(alone), 1),
        "pushed_p99_us": round(alone[int(len(alone) * 0.99)], 1),
        "pushed_max_us": round(alone[-1], 1),
        "burst_frames_a_second": round(frames / burst_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stamp = 1_718_000_000_000
    kinds: dict[str, Callable[[int], bytes]] = {
        "order_with_fill": fill_frame,
        "algo": lambda n: algos(algo_row(uTime=str(stamp + n))),
        "position": lambda n: positions(position_row(uTime=str(stamp + n))),
        "balance": lambda n: account(balance_row(uTime=str(stamp + n))),
    }
    figures = {
        f"read_{name}_us": round(read_us(kind, given.frames), 1) for name, kind in kinds.items()
    }
    figures |= asyncio.run(pushed(given.frames))
    if given.json:
        print(orjson.dumps(figures).decode())
        return
    for name, value in figures.items():
        print(f"{name:<24}{value:>12,}")


if __name__ == "__main__":
    main()
