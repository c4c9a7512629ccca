"""A client that signs as the venue demands, and shows what comes over the wire."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import aiohttp
import orjson

from exchanges.sandbox import DEMO_KEY, running
from exchanges.sandbox.gate import signature
from exchanges.sandbox.settings import SandboxSettings

_PATIENCE_S = 5.0


def stamp(offset_s: float = 0.0) -> str:
    at = datetime.fromtimestamp(time.time() + offset_s, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Client:
    def __init__(self, sandbox, session, key=DEMO_KEY) -> None:
        self.sandbox = sandbox
        self.session = session
        self.key = key
        self.offset_s = 0.0
        self.headers: dict[str, str] = {}  # instead of the usual ones

    async def ask(self, method: str, path: str, body: object = None) -> aiohttp.ClientResponse:
        """Send a signed request to `/api/v5/…`; the body is read."""
        target = f"/api/v5/{path}"
        text = "" if body is None else orjson.dumps(body).decode()
        at = stamp(self.offset_s)
        headers = {
            "OK-ACCESS-KEY": self.key.key,
            "OK-ACCESS-PASSPHRASE": self.key.passphrase,
            "OK-ACCESS-TIMESTAMP": at,
            "OK-ACCESS-SIGN": signature(self.key.secret, at + method + target + text),
            "Content-Type": "application/json",
            "x-simulated-trading": "1",
            **self.headers,
        }
        url = self.sandbox.rest_url + target
        async with self.session.request(method, url, data=text or None, headers=headers) as answer:
            await answer.read()
            return answer

    async def get(self, path: str) -> dict:
        return await (await self.ask("GET", path)).json()

    async def post(self, path: str, body: object) -> dict:
        return await (await self.ask("POST", path, body)).json()

    async def control(self, method: str, path: str, body: object = None, **headers) -> dict:
        url = f"{self.sandbox.rest_url}/sandbox/{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            return {"status": answer.status, "answer": await answer.json()}

    async def buy(self, client_id: str = "", **more: str) -> dict:
        """Buy 0.01 BTC at market."""
        fields = {"instId": "BTC-USDT", "side": "buy", "ordType": "market", "sz": "0.01"}
        fields |= {"tdMode": "cash", "tgtCcy": "base_ccy", "clOrdId": client_id}
        return await self.post("trade/order", {**fields, **more})

    @contextlib.asynccontextmanager
    async def listen(self, path: str, *args: dict, login: bool = False):
        """Connect to a websocket and subscribe; acknowledgments are read."""
        async with self.session.ws_connect(f"{self.sandbox.ws_url}/{path}") as socket:
            ear = Ear(socket)
            if login:
                await ear.say(op="login", args=[self.login()])
                assert (await ear.next())["event"] == "login"
            if args:
                await ear.say(op="subscribe", args=list(args))
                for _ in args:
                    await ear.until(lambda frame: frame.get("event") == "subscribe")
            yield ear

    def login(self, **more: str) -> dict:
        at = str(int(time.time() + self.offset_s))
        return {
            "apiKey": self.key.key,
            "passphrase": self.key.passphrase,
            "timestamp": at,
            "sign": signature(self.key.secret, at + "GET/users/self/verify"),
            **more,
        }


class Ear:
    """Reads a websocket; frames that were passed over are kept in `heard`."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.heard: list = []

    async def say(self, **message: object) -> None:
        await self.socket.send_str(orjson.dumps(message).decode())

    async def next(self):
        """Return the next frame; text that is not JSON as it is, None when the socket closed."""
        message = await asyncio.wait_for(self.socket.receive(), _PATIENCE_S)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return None
        frame = message.data if message.data == "pong" else orjson.loads(message.data)
        self.heard.append(frame)
        return frame

    async def until(self, wanted):
        while True:
            frame = await self.next()
            assert frame is not None, "the socket closed"
            if wanted(frame):
                return frame

    async def row(self, channel: str) -> dict:
        """Return the row of the next push on a channel."""
        frame = await self.until(lambda one: "data" in one and one["arg"]["channel"] == channel)
        return frame["data"][0]


async def until(happened, listeners: list) -> None:
    """Wait until `happened()`, looking again whenever one of `listeners` would be called."""
    changed = asyncio.Event()

    def look(*_: object) -> None:
        changed.set()

    listeners.append(look)
    while not happened():
        await asyncio.wait_for(changed.wait(), _PATIENCE_S)
        changed.clear()
    listeners.remove(look)


@contextlib.asynccontextmanager
async def trading(**settings):
    """A sandbox and a client of it."""
    async with running(SandboxSettings(**settings)) as sandbox, aiohttp.ClientSession() as session:
        yield Client(sandbox, session)
