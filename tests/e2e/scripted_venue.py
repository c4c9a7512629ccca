"""A venue that sends what a test says, and fails as the test says: Binance's or OKX's, on loopback.

Its stream is a real websocket server with the venue's paths and answers; its REST tells the last
price, and candles as if it had always been that. While nothing is sent the stream repeats its last
quote, as a sign of life. It can fall silent while it answers pings, go half-open (connections stay,
nobody reads or writes), and go away and come back.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from exchanges import binance_requests, okx_requests
from exchanges.manners import Endpoint
from tests.exchanges.http_server import Venue, reply

ALIVE_EVERY_S = 0.25
_BUFFER = 64 * 1024  # bytes; small, so that a client that does not read is felt soon
_WITHIN_S = 30.0
_LENGTHS_MS = {"1m": 60_000, "1h": 3_600_000}


class ScriptedVenue:
    """Runs in a thread of its own; a context manager."""

    def __init__(self) -> None:
        self.last = ""  # what REST says the last price is
        self.is_silent = False  # it sends no data; connections live, pings are answered
        self.sent = 0  # frames
        self.pings = 0  # text pings answered
        self.ws_url = self.rest_url = ""
        self._alive: bytes | None = None  # what is repeated
        self._listeners: list[ServerConnection] = []
        self._open: set[ServerConnection] = set()
        self._port = 0
        self._stream: Server | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.rest = Venue(
            {
                "/fapi/v1/ticker/price": self._binance_last,
                "/fapi/v1/klines": self._binance_candles,
                "/api/v5/market/ticker": self._okx_last,
                "/api/v5/market/candles": self._okx_candles,
                "/api/v5/market/history-candles": self._okx_candles,
            }
        )

    # --- what a test does with it ---

    def send(self, frames: Sequence[bytes], last: str = "") -> None:
        """Send frames as fast as they are taken; then REST says `last`."""
        self.begin_to_send(frames, last).result(_WITHIN_S)

    def begin_to_send(self, frames: Sequence[bytes], last: str = "") -> Future[None]:
        """Send frames, and return at once."""
        return asyncio.run_coroutine_threadsafe(self._send(frames, last), self._loop)

    def repeat(self, quote: bytes) -> None:
        """Repeat this one from now on while nothing else is sent."""
        self._alive = quote

    def go_half_open(self) -> None:
        """Leave the connections there are: open for ever, never read, never written again."""
        self._do(self._freeze())

    def go_away(self) -> None:
        """Close everything; nobody listens at the port."""
        self._do(self._close())

    def come_back(self) -> None:
        """Listen again where it did before."""
        self._do(self._listen())

    @property
    def connections(self) -> int:
        """How many are subscribed."""
        return len(self._listeners)

    # --- its life ---

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_WITHIN_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        rest = await asyncio.start_server(self.rest.serve, "127.0.0.1", 0)
        self.rest_url = f"http://127.0.0.1:{rest.sockets[0].getsockname()[1]}"
        await self._listen()
        self.ws_url = f"ws://127.0.0.1:{self._port}"
        alive = asyncio.create_task(self._show_life())
        self._ready.set()
        await self._stop.wait()
        alive.cancel()
        await self._close()
        rest.close()

    async def _listen(self) -> None:
        self._stream = await serve(
            self._on_connection,
            "127.0.0.1",
            self._port,
            compression=None,
            ping_interval=None,
            close_timeout=0.2,
        )
        self._port = self._stream.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._stream is not None
        for connection in list(self._open):
            connection.transport.resume_reading()
        self._stream.close()
        await self._stream.wait_closed()
        self._listeners.clear()

    async def _freeze(self) -> None:
        for connection in self._listeners:
            connection.transport.pause_reading()
        self._listeners.clear()

    # --- the stream ---

    async def _on_connection(self, connection: ServerConnection) -> None:
        endpoint = _endpoint_of(connection)
        _bound_buffer(connection)
        self._open.add(connection)
        try:
            async for text in connection:
                self.pings += not endpoint.counts(text)
                answer = endpoint.reply(text, ())
                for each in answer.texts:
                    await connection.send(each)
                if answer.join and connection not in self._listeners:
                    self._listeners.append(connection)
        except ConnectionClosed:
            pass  # the client's right
        finally:
            self._open.discard(connection)
            if connection in self._listeners:
                self._listeners.remove(connection)

    async def _send(self, frames: Sequence[bytes], last: str) -> None:
        for frame in frames:
            await self._tell(frame)
        self.last = last or self.last

    async def _show_life(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_EVERY_S)
            if self._alive is not None and not self.is_silent:
                await self._tell(self._alive)

    async def _tell(self, frame: bytes) -> None:
        text = _is_text(frame)
        for connection in list(self._listeners):
            with contextlib.suppress(ConnectionClosed):
                await connection.send(frame, text=text)
                self.sent += 1

    # --- REST ---

    def _binance_last(self, asked: dict[str, str]) -> bytes:
        now_ms = int(time.time() * 1000)
        return reply({"symbol": asked["symbol"], "price": self.last, "time": now_ms})

    def _okx_last(self, asked: dict[str, str]) -> bytes:
        row = {"instId": asked["instId"], "last": self.last, "ts": str(int(time.time() * 1000))}
        return reply({"code": "0", "msg": "", "data": [row]})

    def _binance_candles(self, asked: dict[str, str]) -> bytes:
        length, price = _LENGTHS_MS[asked["interval"]], self.last
        begin, end = int(asked["startTime"]), int(asked["endTime"])
        opens = range(-(-begin // length) * length, end + 1, length)[: int(asked["limit"])]
        tail = ("1", 1, "0", "0", "0")
        return reply([[at, *(price,) * 4, "1", at + length - 1, *tail] for at in opens])

    def _okx_candles(self, asked: dict[str, str]) -> bytes:
        length, price = _LENGTHS_MS[asked["bar"].lower()], self.last
        newest = (int(asked["after"]) - 1) // length * length
        opens = (newest - number * length for number in range(int(asked["limit"])))
        rows = [[str(at), *(price,) * 4, "1", "1", "1", "1"] for at in opens]
        return reply({"code": "0", "msg": "", "data": rows})


def _endpoint_of(connection: ServerConnection) -> Endpoint:
    assert connection.request is not None
    target = connection.request.path
    found = okx_requests.endpoint_of(target, "scripted") or binance_requests.endpoint_of(target)
    assert found is not None, target
    return found


def _bound_buffer(connection: ServerConnection) -> None:
    raw = connection.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)


def _is_text(frame: bytes) -> bool:
    """Whether it may be sent as text; a websocket client refuses text that is no UTF-8."""
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True
