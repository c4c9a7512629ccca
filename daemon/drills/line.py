"""The line between a daemon and its venue: TCP through a port of its own, so that it can break."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

LOOPBACK = "127.0.0.1"
_CHUNK = 1 << 16


class Line:
    """Carries bytes to the venue until it is cut. Of `line_to`."""

    def __init__(self, venue_port: int) -> None:
        self.port = 0
        self._venue_port = venue_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._passes.set()

    @property
    def rest_url(self) -> str:
        """Where REST is."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where the websockets are."""
        return f"ws://{LOOPBACK}:{self.port}/ws/v5"

    async def restore(self) -> None:
        """Accept connections, at the same port as before."""
        self._passes.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, LOOPBACK, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Refuse connections from now on, drop those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    def hang(self) -> None:
        """Carry nothing more; connections stay, and nobody is told: a partition."""
        self._passes.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passes.wait()
            venue_reader, venue_writer = await asyncio.open_connection(LOOPBACK, self._venue_port)
        except OSError:
            self._drop(writer)
            return
        self._writers.add(venue_writer)
        there = asyncio.create_task(self._pump(reader, venue_writer))
        back = asyncio.create_task(self._pump(venue_reader, writer))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            self._drop(writer)
            self._drop(venue_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                await self._passes.wait()
                writer.write(chunk)
                await writer.drain()

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()


@contextlib.asynccontextmanager
async def line_to(venue_port: int) -> AsyncIterator[Line]:
    """Carry bytes to a port of this machine while the context lasts."""
    line = Line(venue_port)
    await line.restore()
    try:
        yield line
    finally:
        line.cut()
        line._passes.set()  # noqa: SLF001 - whoever waits may go
