"""Serves recorded frames on a websocket as their venue would: its paths, requests, errors, limits.

Binance's streams are on `/stream` and `/ws`, OKX's on `/ws/v5/public` and `/ws/v5/business`.

There is one clock, as at the venue: who connects late or comes back gets what is played from then
on. It starts with the first subscription. Speed 1 plays in real time, 10 ten times as fast; 0 plays
as fast as the clients take it, and then waits while there are none. Nothing is dropped for a slow
client: everybody waits, until its pings go unanswered.

With `hold`, only the opening is played, up to the first trade and quote of every symbol, so that
prices exist; the rest follows once released, by `release()` or by `GET /release`. Who subscribes in
the meantime is sent the last frame of each of its streams. `GET /status` tells how far it is. At
the end the connections stay open.

Frames without a stream name (a snapshot that the recorder fetched over REST) never were on a
socket, and are not sent.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from exchanges import binance_requests, okx_requests
from exchanges.manners import Endpoint, Reply
from exchanges.recording import Survey, merge, stream_of, survey

_MAX_REQUEST = 64 * 1024  # bytes
_PONG_WITHIN_S = 60.0
_TURN_FRAMES = 256
_NS = 1e9
_OPENING_EVENTS = ("@trade", "@aggTrade", "@bookTicker")
_OPENING_CHANNELS = ("trades:", "tickers:")
_PATHS = (*binance_requests.PATHS, *okx_requests.PATHS, "/status", "/release")


class ServerStatus(msgspec.Struct, frozen=True):
    """How far the playback is."""

    held: bool
    played: int  # frames the clock has passed, sent to somebody or not
    frames: int  # in all
    clients: int
    finished: bool


class Playback:
    """The clock: hands frames to `deliver`, each in its time."""

    def __init__(
        self,
        paths: Sequence[Path],
        contents: Survey,
        *,
        speed: float,
        hold: bool,
        deliver: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        if not (math.isfinite(speed) and speed >= 0):
            raise ValueError(f"speed is {speed}, it must be 0 (as fast as possible) or above")
        self._paths = tuple(paths)
        self._speed = speed
        self._deliver = deliver
        self._opening = {
            name
            for name in contents.streams
            if name.endswith(_OPENING_EVENTS) or name.startswith(_OPENING_CHANNELS)
        }
        self._released = asyncio.Event()
        if not hold:
            self._released.set()
        self.somebody_listens = asyncio.Event()
        self.played = 0

    @property
    def held(self) -> bool:
        """Whether it waits, or will wait, to be released."""
        return not self._released.is_set()

    def release(self) -> None:
        """Let it go on after the opening."""
        self._released.set()

    async def run(self) -> None:
        """Play to the end. Raises `RecordingError` when a file changed since it was surveyed."""
        await self.somebody_listens.wait()
        origin: tuple[int, float] | None = None  # stamp and loop time when the pace began
        loop = asyncio.get_running_loop()
        for stamp_ns, raw in merge(self._paths):
            if self.held and not self._opening:
                await self._released.wait()
            if not self.held and self._speed > 0:
                origin = origin or (stamp_ns, loop.time())
                due_s = origin[1] + (stamp_ns - origin[0]) / _NS / self._speed
                if due_s > loop.time():
                    await asyncio.sleep(due_s - loop.time())
            elif self._speed == 0:
                await self.somebody_listens.wait()
            name = stream_of(raw)
            if name:
                self._opening.discard(name)
                await self._deliver(name, raw)
            self.played += 1
            if self.played % _TURN_FRAMES == 0:
                await asyncio.sleep(0)


class _Client:
    """One connection, and what it is subscribed to."""

    def __init__(self, connection: ServerConnection, endpoint: Endpoint) -> None:
        self.connection = connection
        self.endpoint = endpoint
        self.names: dict[str, None] = {}  # in the order asked for
        self.heard_s = 0.0  # when something was last said, by either side
        self._requests: deque[float] = deque(maxlen=endpoint.limit[0])

    def is_too_fast(self, now_s: float) -> bool:
        """Count a request; whether it is one too many."""
        count, within_s = self.endpoint.limit
        full = len(self._requests) == count
        too_fast = full and now_s - self._requests[0] < within_s
        self._requests.append(now_s)
        return too_fast

    async def send_frame(self, name: str, raw: bytes, now_s: float) -> None:
        """Send a frame in the shape this endpoint has."""
        self.heard_s = now_s
        await self.connection.send(self.endpoint.frame(name, raw), text=True)


class RecordedServer:
    """The server; an async context manager that serves between entry and exit."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        hold: bool = False,
        ping_interval_s: float = 20.0,
        idle_s: float = 30.0,
    ) -> None:
        """Read the files once. `port` 0 takes a free one. Raises `RecordingError`, `ValueError`.

        `idle_s`: after so long without a word, a venue that hangs up then does.
        """
        self._contents = survey(paths)
        self._host = host
        self._port = port
        self._ping_interval_s = ping_interval_s
        self._idle_s = idle_s
        self._playback = Playback(
            paths, self._contents, speed=speed, hold=hold, deliver=self._deliver
        )
        self._clients: set[_Client] = set()
        self._listeners: dict[str, tuple[_Client, ...]] = {}
        self._last: dict[str, bytes] = {}  # the frame played last, by stream
        self._turn = asyncio.Lock()  # held while a client joins: nothing is played past it
        self._server: Server | None = None
        self.player: asyncio.Task[None] | None = None  # ends with the recording, or with an error

    async def __aenter__(self) -> Self:
        """Start to serve. Raises `OSError` when the port is taken."""
        self._server = await serve(
            self._on_connection,
            self._host,
            self._port,
            process_request=self._on_http,
            compression=None,
            max_size=_MAX_REQUEST,
            ping_interval=self._ping_interval_s,
            ping_timeout=_PONG_WITHIN_S,
            close_timeout=1.0,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self.player = asyncio.create_task(self._playback.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections. Raises what ended the playback, if it was an error."""
        assert self._server is not None
        assert self.player is not None
        self.player.cancel()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.wait({self.player})
        if not self.player.cancelled():
            self.player.result()

    @property
    def url(self) -> str:
        """Where it listens: "ws://127.0.0.1:40123"."""
        return f"ws://{self._host}:{self._port}"

    def release(self) -> None:
        """End the hold."""
        self._playback.release()

    def status(self) -> ServerStatus:
        """Return how far the playback is."""
        return ServerStatus(
            held=self._playback.held,
            played=self._playback.played,
            frames=self._contents.frames,
            clients=len(self._clients),
            finished=self._playback.played == self._contents.frames,
        )

    def _on_http(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Answer plain requests; None lets a websocket open."""
        path = urlsplit(request.path).path
        if path in ("/status", "/release"):
            if path == "/release":
                self.release()
            body = msgspec.json.encode(self.status()).decode()
            response = connection.respond(HTTPStatus.OK, body + "\n")
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
            return response
        if _endpoint_of(request.path, connection) is None:
            known = ", ".join(_PATHS)
            return connection.respond(HTTPStatus.NOT_FOUND, f"No such path; there are {known}\n")
        return None

    async def _on_connection(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        endpoint = _endpoint_of(connection.request.path, connection)
        assert endpoint is not None  # _on_http refused it
        client = _Client(connection, endpoint)
        self._clients.add(client)
        loop = asyncio.get_running_loop()
        client.heard_s = loop.time()
        watcher = (
            asyncio.create_task(self._hang_up_idle(client)) if endpoint.hangs_up_idle else None
        )
        try:
            await self._join(client, endpoint.names)
            async for text in connection:
                client.heard_s = loop.time()
                is_too_fast = endpoint.counts(text) and client.is_too_fast(client.heard_s)
                reply = endpoint.too_many() if is_too_fast else endpoint.reply(text, client.names)
                await self._serve(client, reply)
                if reply.close is not None:
                    await connection.close(*reply.close)
                    return
        except ConnectionClosed:
            pass  # the client's right
        finally:
            if watcher is not None:
                watcher.cancel()
            self._leave(client, tuple(client.names))
            self._clients.discard(client)

    async def _hang_up_idle(self, client: _Client) -> None:
        loop = asyncio.get_running_loop()
        while True:
            left_s = client.heard_s + self._idle_s - loop.time()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        await client.connection.close(*okx_requests.IDLE)

    async def _serve(self, client: _Client, reply: Reply) -> None:
        self._leave(client, reply.leave)
        if reply.join:
            await self._join(client, reply.join, reply.texts)
            return
        for text in reply.texts:
            await client.connection.send(text)

    async def _join(
        self, client: _Client, names: Iterable[str], answers: Sequence[str] = ()
    ) -> None:
        """Subscribe; send what was last played of each stream while the playback is held."""
        now_s = asyncio.get_running_loop().time()
        new = [name for name in dict.fromkeys(names) if name not in client.names]
        carried = [name for name in new if client.endpoint.carries(name)]
        async with self._turn:
            for answer in answers:
                await client.connection.send(answer)
            for name in carried:
                is_told = self._playback.held or client.endpoint.repeats(name)
                if is_told and name in self._last:
                    await client.send_frame(name, self._last[name], now_s)
            client.names |= dict.fromkeys(new)
            for name in carried:
                self._listeners[name] = (*self._listeners.get(name, ()), client)
        if self._listeners:
            self._playback.somebody_listens.set()

    def _leave(self, client: _Client, names: Iterable[str]) -> None:
        for name in names:
            client.names.pop(name, None)
            rest = tuple(one for one in self._listeners.pop(name, ()) if one is not client)
            if rest:
                self._listeners[name] = rest
        if not self._listeners:
            self._playback.somebody_listens.clear()

    async def _deliver(self, name: str, raw: bytes) -> None:
        if self._turn.locked():
            async with self._turn:
                pass
        self._last[name] = raw
        now_s = asyncio.get_running_loop().time()
        for client in self._listeners.get(name, ()):
            try:
                await client.send_frame(name, raw, now_s)
            except ConnectionClosed:
                self._leave(client, tuple(client.names))


def _endpoint_of(target: str, connection: ServerConnection) -> Endpoint | None:
    """Return the manners of whose path it is; None when there is no such path."""
    okx = okx_requests.endpoint_of(target, connection_id=connection.id.hex[:8])
    return okx or binance_requests.endpoint_of(target)


async def serve_recorded(
    paths: Sequence[Path],
    *,
    host: str,
    port: int,
    speed: float,
    hold: bool,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop` is set; `on_ready` is called with the url once clients can connect.

    Raises `RecordingError` for files that cannot be used, `ValueError` for a bad speed, `OSError`
    for a taken port.
    """
    async with RecordedServer(paths, host=host, port=port, speed=speed, hold=hold) as server:
        assert server.player is not None
        on_ready(server.url)
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopped, server.player}, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done() and server.player.exception() is None:
                await stopped  # played to the end; the venue does not hang up
        finally:
            stopped.cancel()
