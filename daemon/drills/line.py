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
        self._carrying: set[asyncio.Task[None]] = set()
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
            self._server = await asyncio.start_server(self._take, LOOPBACK, self.port)
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

    async def close(self) -> None:
        """Cut it for good."""
        self.cut()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passes.wait()
            if writer.is_closing():
                return  # cut meanwhile: what hung in it is lost
            venue_reader, venue_writer = await asyncio.open_connection(LOOPBACK, self._venue_port)
            self._writers.add(venue_writer)
            try:
                await self._both_ways(reader, writer, venue_reader, venue_writer)
            finally:
                self._drop(venue_writer)
        except OSError:
            return
        finally:
            self._drop(writer)

    async def _both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        venue_reader: asyncio.StreamReader,
        venue_writer: asyncio.StreamWriter,
    ) -> None:
        there = asyncio.create_task(self._pump(reader, venue_writer))
        back = asyncio.create_task(self._pump(venue_reader, writer))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                await self._passes.wait()
                if writer.is_closing():
                    return
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
        await line.close()
