"""A venue of our own: Binance's spot websocket and REST on loopback, both telling one market.

Its market is a price that the test sets; it trades ten times a second, whether a daemon listens or
not. REST tells the candles that come of it. The stream can be silenced while it stays connected and
answers pings, and REST can be broken.
"""

import asyncio
import contextlib
import threading
import time
from typing import Self

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve

from tests.exchanges.http_server import Venue, reply

TRADE_EVERY_S = 0.1
_LENGTHS_MS = {"1s": 1_000, "1m": 60_000, "1h": 3_600_000}


class LocalVenue:
    """Runs in a thread of its own; a context manager."""

    def __init__(self, price: str) -> None:
        self.price = price
        self.is_silent = False  # the stream sends no prices; connections live
        self.trades: list[tuple[int, str]] = []
        self._listeners: set[ServerConnection] = set()
        self.rest = Venue(
            {
                "/api/v3/ticker/price": self._last,
                "/api/v3/klines": self._klines,
            }
        )
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.ws_url = self.rest_url = ""

    def _last(self, asked: dict[str, str]) -> bytes:
        return reply({"symbol": asked["symbol"], "price": self.price})

    def _klines(self, asked: dict[str, str]) -> bytes:
        length = _LENGTHS_MS[asked["interval"]]
        begin, end = int(asked["startTime"]), int(asked["endTime"])
        rows, before = [], self.trades[0][1]
        for open_ms in range(begin, end + 1, length):
            inside = [price for at, price in self.trades if open_ms <= at < open_ms + length]
            prices = inside or [before]
            before = prices[-1]
            high, low = max(prices, key=float), min(prices, key=float)
            last_ms = open_ms + length - 1
            head = [open_ms, prices[0], high, low, prices[-1], "1", last_ms, "1", len(inside)]
            rows.append([*head, "0", "0", "0"])
        return reply(rows[: int(asked["limit"])])

    # --- its life ---

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        rest = await asyncio.start_server(self.rest.serve, "127.0.0.1", 0)
        stream: Server = await serve(self._listen, "127.0.0.1", 0)
        self.rest_url = f"http://127.0.0.1:{rest.sockets[0].getsockname()[1]}"
        self.ws_url = f"ws://127.0.0.1:{next(iter(stream.sockets)).getsockname()[1]}"
        trading = asyncio.create_task(self._trade())
        self._ready.set()
        await self._stop.wait()
        trading.cancel()
        stream.close()
        rest.close()
        await stream.wait_closed()

    async def _listen(self, connection: ServerConnection) -> None:
        async for message in connection:
            request = orjson.loads(message)
            await connection.send(orjson.dumps({"result": None, "id": request["id"]}).decode())
            self._listeners.add(connection)
        self._listeners.discard(connection)

    async def _trade(self) -> None:
        number = int(time.time())
        while True:
            number += 1
            at, price = int(time.time() * 1000), self.price
            self.trades.append((at, price))
            if not self.is_silent:
                await self._tell(number, at, price)
            await asyncio.sleep(TRADE_EVERY_S)

    async def _tell(self, number: int, at: int, price: str) -> None:
        trade = {"e": "trade", "E": at, "T": at, "s": "BTCUSDT", "t": number, "p": price, "q": "1"}
        quote = {"u": number, "s": "BTCUSDT", "b": price, "B": "1", "a": price, "A": "1"}
        for connection in list(self._listeners):
            for name, data in (("trade", trade), ("bookTicker", quote)):
                frame = {"stream": f"btcusdt@{name}", "data": data}
                with contextlib.suppress(OSError, Exception):
                    await connection.send(orjson.dumps(frame).decode())
