"""The network between daemon and venue: it takes time, loses, repeats, breaks; all of it drawn.

A `Weather` says what becomes of each request and each frame; here it is made to happen. A request
that has left the daemon goes on even if the daemon dies.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import orjson

from daemon.simulation.outside import Outside
from daemon.simulation.venue import SimSocket, SimVenue
from exchanges.ccxt_wire import Judge, Trip, Wire, WireSettings, current_trip
from exchanges.sandbox.account import Account
from exchanges.sandbox.endpoints import ENDPOINTS, Endpoint
from runtime.ports import Clock, HttpReply


class Fate:
    """What becomes of one request."""

    __slots__ = (
        "account",
        "acts",
        "answer",
        "back_s",
        "cut_s",
        "instead",
        "left",
        "out_s",
        "reset",
    )

    def __init__(self, out_s: float, back_s: float) -> None:
        self.out_s = out_s  # until it is at the venue
        self.back_s = back_s  # until the answer is back
        self.left = True  # a byte of it left
        self.acts = True  # the venue does it
        self.reset = False  # the connection is reset instead of an answer
        self.cut_s: float | None = None  # it is reset then, wherever the request is
        self.answer: Any = None  # comes instead of the venue's
        self.instead: Callable[[], Any] | None = None  # done instead, unless it returns None
        self.account: Account | None = None  # as of which a read is answered


class Weather(Protocol):
    """What the network does."""

    def of_request(self, endpoint: Endpoint, fields: Any) -> Fate:
        """Return what becomes of a request."""

    def of_frame(self, path: str, frame: str) -> tuple[str, float] | None:
        """Return a frame as it arrives and how long it takes; None: never."""

    def connects(self, path: str) -> str:
        """Return why a connection cannot be opened; "" when it can."""


class SaidError(ValueError):
    """A refusal as ccxt raises it: the exchange's name and the body."""


class Line:
    """A connection that carries requests of one life of the daemon."""

    id = "okx"

    def __init__(self, outside: Outside, venue: SimVenue, weather: Weather) -> None:
        self.options: dict[str, Any] = {}
        self.is_dead = False
        self._outside = outside
        self._venue = venue
        self._weather = weather
        self.on_change: Callable[[Endpoint, Any], None] = _unheard

    async def close(self) -> None:
        """Nothing is held."""

    def __getattr__(self, method: str) -> Any:
        endpoint = self._venue.endpoint(method)

        async def call(fields: Any) -> Any:
            answer = await self.send(endpoint, fields, current_trip())
            if isinstance(answer, dict) and answer.get("code") not in ("0", "2"):
                raise SaidError(f"okx {orjson.dumps(answer).decode()}")
            return answer

        setattr(self, method, call)  # once
        return call

    async def send(self, endpoint: Endpoint, fields: Any, trip: Trip | None) -> Any:
        """Send a request; return its answer. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Any] = loop.create_future()
        if endpoint.method == "GET":
            fields = {name: str(value) for name, value in fields.items()}
        if self.is_dead:
            return await waiting
        if endpoint.changes:
            self.on_change(endpoint, fields)
        fate = self._weather.of_request(endpoint, fields)
        if fate.left:
            if trip is not None:
                trip.left, trip.left_s = True, loop.time()
            self._outside.after(fate.out_s, self._arrive, endpoint, fields, fate, waiting, trip)
            if fate.cut_s is not None:
                self._outside.after(fate.cut_s, self._back, waiting, trip, None)
        else:
            self._outside.after(fate.out_s, self._back, waiting, trip, None)
        return await waiting

    def _arrive(
        self,
        endpoint: Endpoint,
        fields: Any,
        fate: Fate,
        waiting: "asyncio.Future[Any]",
        trip: Trip | None,
    ) -> None:
        answer: Any = None if fate.instead is None else fate.instead()
        if fate.acts and answer is None:
            answer = self._venue.answer(endpoint, fields, fate.account)
        if fate.answer is not None:
            answer = fate.answer
        self._outside.after(fate.back_s, self._back, waiting, trip, None if fate.reset else answer)

    def _back(self, waiting: "asyncio.Future[Any]", trip: Trip | None, answer: Any) -> None:
        if self.is_dead or waiting.done():
            return
        if answer is None:
            waiting.set_exception(ConnectionResetError(104, "Connection reset by peer"))
            return
        if trip is not None:
            trip.status = 200 if isinstance(answer, dict) else 502
        waiting.set_result(answer)


def _unheard(endpoint: Endpoint, fields: Any) -> None:
    """Nobody looks."""


class SimWire(Wire):
    """The real wire, with budget, breakers and deadlines, over a simulated connection."""

    def __init__(self, settings: WireSettings, clock: Clock, judge: Judge, line: Line) -> None:
        super().__init__(settings, clock, judge)
        self._line = line

    async def _start(self) -> None:
        await asyncio.sleep(0.01)
        self._orders = self._reads = self._line


class SimHttp:
    """Public reads."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def get(self, url: str, *, deadline_s: float, max_bytes: int) -> HttpReply:
        """Fetch; raises `OSError`."""
        del max_bytes
        parts = urlsplit(url)
        endpoint = ENDPOINTS["GET", parts.path]
        async with asyncio.timeout(deadline_s):
            answer = await self._line.send(endpoint, dict(parse_qsl(parts.query)), None)
        if isinstance(answer, dict):
            return HttpReply(200, orjson.dumps(answer), {})
        return HttpReply(502, str(answer).encode(), {})

    async def close(self) -> None:
        """Nothing is held."""


class Connection:
    """The daemon's end of a websocket."""

    def __init__(self, net: "SimNet", path: str) -> None:
        self._net = net
        self._path = path
        self._frames: deque[str | None] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._last_s = 0.0
        self.is_over = False
        self.venue: SimSocket | None = None

    def deliver(self, frame: str | None) -> None:
        """The venue has sent something; None: the end."""
        fate = self._net.weather.of_frame(self._path, frame) if frame is not None else ("", 0.01)
        if fate is None:
            return
        told, delay_s = fate
        outside = self._net.outside
        # Over one connection nothing overtakes anything.
        self._last_s = max(self._last_s, outside.now_s + delay_s)
        outside.at(self._last_s, self._arrive, None if frame is None else told)

    def _arrive(self, frame: str | None) -> None:
        if self.is_over:
            return
        self._frames.append(frame)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            while not self._frames:
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
            frame = self._frames.popleft()
            if frame is None:
                raise ConnectionResetError(104, "Connection reset by peer")
            yield frame

    async def send(self, message: str) -> None:
        """Send a text message."""
        if self.venue is not None and not self.is_over:
            net = self._net
            net.outside.after(net.latency_s(), net.venue.take, self.venue, message)


class SimNet:
    """Opens websockets to the venue."""

    def __init__(self, outside: Outside, venue: SimVenue, weather: Weather) -> None:
        self.outside = outside
        self.venue = venue
        self.weather = weather
        self.is_dead = False
        self.open: list[Connection] = []
        self._chance = outside.chance("net")

    def latency_s(self) -> float:
        """Draw how long a message is under way."""
        return self._chance.uniform(0.002, 0.02)

    @asynccontextmanager
    async def websocket(self, url: str) -> AsyncIterator[Connection]:
        """Connect. Raises `OSError`."""
        path = url.rpartition("/")[2]
        await asyncio.sleep(self.latency_s())
        why = self.weather.connects(path)
        if why:
            raise ConnectionRefusedError(111, why)
        if self.is_dead:
            await asyncio.get_running_loop().create_future()
        connection = Connection(self, path)
        connection.venue = self.venue.connect(path, connection.deliver)
        self.open.append(connection)
        try:
            yield connection
        finally:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        if not connection.is_over:
            connection.is_over = True
            assert connection.venue is not None
            self.venue.disconnect(connection.venue)
            self.open.remove(connection)

    def kill(self) -> None:
        """The daemon is dead: the venue sees its connections end."""
        self.is_dead = True
        for connection in list(self.open):
            self._end(connection)


def parameters(fields: Any) -> Mapping[str, Any]:
    """Return the fields of a request, of a list those of its first row."""
    row = fields[0] if isinstance(fields, list) and fields else fields
    return row if isinstance(row, dict) else {}
