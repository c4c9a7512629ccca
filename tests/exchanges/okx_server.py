"""A local server that answers OKX's paths as it is told, with the real client against it."""

import asyncio
import contextlib
import functools
import hashlib
import hmac
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from msgspec.structs import replace

from domain.instrument import Instrument
from exchanges.okx_account import OkxAccount, OkxSettings
from runtime.clocks import SystemClock
from tests.exchanges.okx_rows import BTC_SWAP

KEY, SECRET, PASSPHRASE = "a-key", "a-secret", "a-passphrase"
HTML = b"<html><body>Checking your browser</body></html>"


class Asked:
    """One request as it arrived."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        parts = urlsplit(target)
        self.method = method
        self.target = target
        self.path = parts.path.removeprefix("/api/v5/")
        self.query = dict(parse_qsl(parts.query))
        self.headers = headers
        self.raw = body
        self.body: Any = orjson.loads(body) if body else None

    def is_signed(self) -> bool:
        """Whether key, passphrase and signature are right."""
        text = self.headers["ok-access-timestamp"] + self.method + self.target
        digest = hmac.new(SECRET.encode(), text.encode() + self.raw, hashlib.sha256).digest()
        return (
            self.headers["ok-access-sign"] == b64encode(digest).decode()
            and self.headers["ok-access-key"] == KEY
            and self.headers["ok-access-passphrase"] == PASSPHRASE
        )


def on_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run an asynchronous test on a loop of its own, within half a minute."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def limited() -> None:
            async with asyncio.timeout(30):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


Answer = bytes | Callable[[Asked], "Answer"]
NEVER = b"never"  # no answer, and the connection stays open
HANG_UP = b"hang up"  # no answer, and the connection is closed


def http(body: bytes, status: int = 200, kind: str = "application/json", extra: int = 0) -> bytes:
    """Return a whole answer; `extra` more bytes are promised than come."""
    lines = [
        f"HTTP/1.1 {status} Said",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body) + extra}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def said(*rows: Any, code: str = "0", msg: str = "", status: int = 200) -> bytes:
    """Return an envelope."""
    return http(orjson.dumps({"code": code, "msg": msg, "data": list(rows)}), status)


def html(status: int = 200) -> bytes:
    return http(HTML, status, "text/html")


def placed(asked: Asked) -> bytes:
    """Accept an order."""
    row = {"ordId": "42", "clOrdId": asked.body["clOrdId"], "sCode": "0", "sMsg": "", "tag": ""}
    return said(row)


def algo_placed(asked: Asked) -> bytes:
    """Accept a stop."""
    return said({"algoId": "77", "algoClOrdId": asked.body["algoClOrdId"], "sCode": "0"})


def row_failed(s_code: str, code: str = "1") -> bytes:
    row = {"ordId": "", "clOrdId": "", "sCode": s_code, "sMsg": f"text of {s_code}", "tag": ""}
    return said(row, code=code, msg="All operations failed")


def time_now(_: Asked) -> bytes:
    return said({"ts": str(int(SystemClock().now().timestamp() * 1000))})


CONFIG = {"uid": "7", "posMode": "net_mode", "perm": "read_only,trade", "acctLv": "2"}
NOT_FOUND = said(code="51603", msg="Order does not exist")
SWAP_RULES = {
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
    "ctType": "linear",
    "lotSz": "0.01",
    "minSz": "0.01",
    "tickSz": "0.1",
    "lever": "100",
    "state": "live",
}


SPOT_RULES = {
    "instId": "BTC-USDT",
    "instType": "SPOT",
    "lotSz": "0.00000001",
    "minSz": "0.00001",
    "tickSz": "0.1",
    "state": "live",
}


def rules_of(asked: Asked) -> bytes:
    """Tell the rules of what was asked for."""
    return said(SPOT_RULES if asked.query["instType"] == "SPOT" else SWAP_RULES)


def leverage(lever: str, mode: str = "cross", inst_id: str = "BTC-USDT-SWAP") -> bytes:
    return said({"instId": inst_id, "mgnMode": mode, "lever": lever, "posSide": "net"})


class OkxServer:
    """Answers each path with what `says` has for it; keeps what was asked."""

    def __init__(self, **says: Answer) -> None:
        self.says: dict[str, Answer] = {
            "public/time": time_now,
            "public/instruments": rules_of,
            "account/config": said(CONFIG),
            "account/leverage-info": leverage("3"),
            "trade/order": placed,
            "trade/order-algo": algo_placed,
        }
        self.asked: list[Asked] = []
        self.url = ""
        for name, answer in says.items():
            self.says[name.replace("__", "/").replace("_", "-")] = answer

    def of(self, path: str, method: str = "") -> list[Asked]:
        """Return what was asked of a path."""
        return [each for each in self.asked if each.path == path and method in {"", each.method}]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                method, target, _ = lines[0].split(" ")
                pairs = (line.split(": ", 1) for line in lines[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, target, headers, body)
                self.asked.append(asked)
                answer = self.says.get(asked.path, said(code="51000", msg="no such path"))
                while callable(answer):
                    answer = answer(asked)
                if answer == HANG_UP:
                    return
                if answer == NEVER:
                    await reader.read()
                    return
                writer.write(answer)
                await writer.drain()
                if b"\r\nContent-Length" in answer and _is_short(answer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def _is_short(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    return int(length.split(b":")[1]) > len(body)


class OneAfterAnother:
    """Answers in turn; the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def __call__(self, asked: Asked) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.asynccontextmanager
async def served(server: OkxServer) -> AsyncIterator[str]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server.url


@contextlib.asynccontextmanager
async def trading(
    server: OkxServer,
    instruments: Sequence[Instrument] = (BTC_SWAP,),
    held: Sequence[Instrument] = (),
    **settings: Any,
) -> AsyncIterator[OkxAccount]:
    """Serve OKX, and trade at it with the real adapter."""
    async with served(server) as url:
        account = OkxAccount(
            OkxSettings(KEY, SECRET, PASSPHRASE, **({"rest_url": url} | settings)),
            SystemClock(),
            instruments,
            held=held,
        )
        account.wire.settings = within(account, 1.0)
        try:
            await account.start(lambda update: None)
            yield account
        finally:
            await account.close()


def within(account: OkxAccount, seconds: float) -> Any:
    """Return the settings with a deadline for each request."""
    return replace(account.wire.settings, read_within_s=seconds, order_within_s=seconds)
