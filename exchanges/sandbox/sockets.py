"""The websocket side: logins, subscriptions, and what is sent to whom.

Three paths, as at the venue: `/ws/v5/public`, `/ws/v5/business`, `/ws/v5/private`. Text `ping` is
answered with `pong`; a connection that says nothing for 30 s is cut with code 4004.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from exchanges.sandbox.account import Account
from exchanges.sandbox.channels import (
    NEEDS_LOGIN,
    PATHS,
    carries,
    is_known_instrument,
)
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.world import World

_IDLE = 4004
_RESTART = "64008"
_QUEUE = 20_000
_REQUESTS, _HOUR_S = 480, 3600.0
Json = dict[str, Any]


class Socket:
    """One connection: where it is, who it is, what it is subscribed to."""

    def __init__(
        self,
        path: str,
        response: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        connection_id: str,
    ) -> None:
        self.path = path
        self.response = response
        self._transport = transport
        self.id = connection_id
        self.account: Account | None = None
        self.args: list[Json] = []
        self.hears: dict[tuple[str, Any], list[Json]] = {}  # of those, by channel and instrument
        self.outbox: asyncio.Queue[str | None] = asyncio.Queue(_QUEUE)
        self.heard_s = 0.0
        self.asked: list[float] = []  # when, of subscribing and logging in

    def subscribe(self, args: list[Json]) -> None:
        """Be subscribed to these and no others."""
        self.args = args
        self.hears = {}
        for arg in args:
            inst_id = arg.get("instId")
            if inst_id is None or isinstance(inst_id, str):
                self.hears.setdefault((arg["channel"], inst_id), []).append(arg)

    def send(self, message: str) -> None:
        """Queue a message; who does not read is cut."""
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()


class Sockets:
    """All connections. `on_subscribed(socket, arg)` is called after each acknowledgment."""

    def __init__(self, world: World, on_subscribed: Callable[[Socket, Json], None]) -> None:
        self._world = world
        self._on_subscribed = on_subscribed
        self.open: list[Socket] = []
        self.silent = False  # nothing is pushed, pings are answered
        self.half_open = False  # nothing at all is sent
        self._number = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends."""
        path = request.path.rstrip("/").rpartition("/")[2]
        if path not in PATHS or self._world.maintenance:
            return web.Response(status=503 if self._world.maintenance else 404)
        response = web.WebSocketResponse(autoping=True)
        await response.prepare(request)
        self._number += 1
        socket = Socket(path, response, request.transport, f"{self._number:08x}")
        self.open.append(socket)
        writer = asyncio.create_task(self._write(socket))
        try:
            await self._read(socket)
        finally:
            if socket in self.open:
                self.open.remove(socket)
            socket.cut()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return response

    async def _read(self, socket: Socket) -> None:
        idle_s = self._world.settings.idle_s
        loop = asyncio.get_running_loop()
        socket.heard_s = loop.time()
        while not socket.response.closed:
            left_s = socket.heard_s + idle_s - loop.time()
            if left_s <= 0:
                await socket.response.close(code=_IDLE, message=b"No data received in 30s.")
                return
            try:
                message = await socket.response.receive(timeout=left_s)
            except TimeoutError:
                continue
            if message.type is WSMsgType.TEXT:
                socket.heard_s = loop.time()
                self._world.advance()
                if not self.half_open:
                    self.take(socket, message.data)
            elif message.type not in (WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
                return

    async def _write(self, socket: Socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await socket.outbox.get()
            if message is None:
                return
            if self.half_open:
                continue
            try:
                await socket.response.send_str(message)
            except ConnectionError:
                return
            socket.heard_s = loop.time()

    def take(self, socket: Socket, raw: str) -> None:
        """Read a client's message; what there is to answer is queued."""
        if raw == "ping":
            socket.send("pong")
            return
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            self._error(socket, "60012", f"Invalid request: {raw}")
            return
        op = message.get("op") if isinstance(message, dict) else None
        args = message.get("args") if isinstance(message, dict) else None
        rows = args if isinstance(args, list) and args else None
        if rows is None or not all(isinstance(one, dict) for one in rows):
            self._error(socket, "60012", f"Invalid request: {raw}")
            return
        given = {"id": message["id"]} if isinstance(message.get("id"), str) else {}
        if op not in ("login", "subscribe", "unsubscribe"):
            self._error(socket, "60012", f"Invalid request: {raw}", given)
            return
        if self._is_too_often(socket):
            self._error(socket, "60014", "Requests too frequent", given)
            return
        if op == "login":
            self._log_in(socket, rows[0], given)
            return
        for arg in rows:
            self._subscribe(socket, op, arg, given)

    def _is_too_often(self, socket: Socket) -> bool:
        now_s = asyncio.get_running_loop().time()
        socket.asked = [at_s for at_s in socket.asked if at_s > now_s - _HOUR_S]
        socket.asked.append(now_s)
        return len(socket.asked) > _REQUESTS

    def _log_in(self, socket: Socket, fields: Json, given: Json) -> None:
        if socket.path == "public":
            text = "The current operation is not supported by this URL. Please use the correct WebSocket URL for the operation."  # noqa: E501
            self._error(socket, "60028", text, given)
            return
        try:
            socket.account = self._world.gate.log_in(fields, self._world.now_ms)
        except VenueRefusal as refusal:
            self._error(socket, refusal.code, refusal.text, given)
            return
        self._event(socket, {**given, "event": "login", "code": "0", "msg": ""})

    def _subscribe(self, socket: Socket, op: str, arg: Json, given: Json) -> None:
        channel = arg.get("channel")
        if not isinstance(channel, str) or not carries(socket.path, channel):
            self._error(socket, "60018", _no_such(arg), given)
            return
        if channel in NEEDS_LOGIN and socket.account is None:
            self._error(socket, "60011", "Please log in", given)
            return
        if not is_known_instrument(self._world.venue.market, channel, arg):
            self._error(socket, "60018", _no_such(arg), given)
            return
        if op == "unsubscribe":
            socket.subscribe([one for one in socket.args if one != arg])
            self._event(socket, {**given, "event": op, "arg": arg})
            return
        if arg not in socket.args:
            socket.subscribe([*socket.args, arg])
        self._event(socket, {**given, "event": op, "arg": arg})
        self._on_subscribed(socket, arg)

    def _error(self, socket: Socket, code: str, text: str, given: Json | None = None) -> None:
        self._event(socket, {**(given or {}), "event": "error", "code": code, "msg": text})

    def _event(self, socket: Socket, event: Json) -> None:
        socket.send(orjson.dumps({**event, "connId": socket.id}).decode())

    def notice(self) -> None:
        """Announce on every connection that it will be closed."""
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        for socket in self.open:
            self._event(socket, {"event": "notice", "code": _RESTART, "msg": text})

    def cut(self, path: str = "") -> int:
        """Drop all connections, or those of one path; return how many."""
        chosen = [one for one in self.open if path in ("", one.path)]
        for socket in chosen:
            socket.cut()
        return len(chosen)


def _no_such(arg: Json) -> str:
    asked = ",".join(f"{name}:{arg[name]}" for name in ("channel", "instId") if name in arg)
    return (
        f"Wrong URL or {asked} doesn't exist. Please use the correct URL, channel and parameters"
        " referring to API document."
    )
