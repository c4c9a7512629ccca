"""A local HTTP server that answers as it is told, with the real client against it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from exchanges.real_http import RealHttp
from exchanges.rest import Rest, RestSettings
from runtime.clocks import SystemClock

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
Answer = bytes | Callable[[dict[str, str]], bytes]


def reply(body: Any, status: int = 200, **headers: str) -> bytes:
    """Return a whole HTTP answer; what is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


HTML = b"<html><body>Checking your browser</body></html>"
NEVER = b""  # no answer at all, and the connection stays open
HANG_UP = b"\x00"  # no answer, and the connection is closed


class Venue:
    """Answers `/path` with what `says` has for it; keeps what was asked."""

    def __init__(self, says: dict[str, Answer]) -> None:
        self.says = says
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.most_at_once = 0
        self._at_once = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = urlsplit(head.split(b" ", 2)[1].decode())
            parameters = dict(parse_qsl(target.query))
            self.asked.append((target.path, parameters))
            says = self.says.get(target.path, reply({}, 404))
            answer = says(parameters) if callable(says) else says
            if answer == NEVER:
                await reader.read()  # until the client gives up
            elif answer != HANG_UP:
                writer.write(answer)
                await writer.drain()
        finally:
            self._at_once -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def served(venue: Venue) -> AsyncIterator[str]:
    """Serve a venue on a free port; yield its address."""
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class StoppedWall(SystemClock):
    """A wall clock that stands still; durations go on."""

    def now(self) -> datetime:
        return NOW


@contextlib.asynccontextmanager
async def asking(venue: Venue, **settings: Any) -> AsyncIterator[Rest]:
    """Serve a venue and ask it with the real client."""
    async with served(venue) as url:
        rest = Rest(RealHttp(), StoppedWall(), url, RestSettings(**{"per_second": 1e6} | settings))
        try:
            yield rest
        finally:
            await rest.close()
