"""A scripted private websocket of OKX on loopback: it lets in, confirms, does as a test says."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import time

import orjson
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


class Keys:
    key = "3f0c7a52-demo"
    secret = "C0FFEE5EC2E7"
    passphrase = "Open.Sesame.1"


def _error(code, msg):
    return {"event": "error", "code": code, "msg": msg, "connId": "a4d3ae55"}


class PrivateVenue:
    """Answers as OKX does. `refuses` is a code for every login; `missing` are channels unknown."""

    def __init__(self, *, refuses="", missing=(), pongs=True, ahead_s=0.0) -> None:
        self.refuses = refuses
        self.missing = missing
        self.pongs = pongs
        self.ahead_s = ahead_s  # of its clock
        self.logins: list[str] = []  # paths
        self.opened: list[float] = []
        self.pings = 0
        self.live: dict[str, list] = {"private": [], "business": []}  # subscribed, oldest first
        self.changed = asyncio.Condition()
        self.url = ""
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self, port=0):
        async with serve(self._serve, "127.0.0.1", port, close_timeout=0.2) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.url = f"ws://127.0.0.1:{self.port}/ws/v5"
            yield self

    async def _serve(self, connection):
        self.opened.append(time.monotonic())
        path = connection.request.path.rpartition("/")[2]
        logged_in = False
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                if text == "ping":
                    self.pings += 1
                    if self.pongs:
                        await connection.send("pong")
                    continue
                asked = orjson.loads(text)
                if asked["op"] == "login":
                    self.logins.append(path)
                    answer = self._login(asked["args"][0])
                    logged_in = answer["event"] == "login"
                    await connection.send(orjson.dumps(answer).decode())
                elif logged_in:
                    for arg in asked["args"]:
                        await connection.send(orjson.dumps(self._subscribe(arg)).decode())
                    self.live[path].append(connection)
                else:
                    await connection.send(orjson.dumps(_error("60011", "Please log in")).decode())
                async with self.changed:
                    self.changed.notify_all()

    def _login(self, login):
        if self.refuses:
            return _error(self.refuses, "Login failed.")
        if login["apiKey"] != Keys.key:
            return _error("60005", "Invalid apiKey")
        if login["passphrase"] != Keys.passphrase:
            return _error("60024", "Wrong passphrase")
        if abs(time.time() + self.ahead_s - int(login["timestamp"])) > 30:
            return _error("60006", "Timestamp request expired")
        signed = f"{login['timestamp']}GET/users/self/verify".encode()
        digest = hmac.new(Keys.secret.encode(), signed, hashlib.sha256).digest()
        if login["sign"] != base64.b64encode(digest).decode():
            return _error("60007", "Invalid sign")
        return {"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"}

    def _subscribe(self, arg):
        if arg["channel"] in self.missing:
            named = ",".join(f"{key}:{value}" for key, value in arg.items())
            words = "Please use the correct URL, channel and parameters referring to API document."
            return _error("60018", f"Wrong URL or {named} doesn't exist. {words}")
        return {"event": "subscribe", "arg": arg, "connId": "a4d3ae55"}

    async def until(self, condition):
        async with self.changed:
            await self.changed.wait_for(condition)

    async def push(self, path, *frames):
        """Send frames on the newest connection of a path."""
        for frame in frames:
            await self.live[path][-1].send(frame.decode())


class Updates:
    """Keeps what a stream told; `until` waits for it."""

    def __init__(self) -> None:
        self.all: list = []
        self._changed = asyncio.Event()

    def __call__(self, update) -> None:
        self.all.append(update)
        self._changed.set()

    def of(self, *types) -> list:
        return [each for each in self.all if isinstance(each, types)]

    async def until(self, condition) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()
