"""A line to a port of this machine on which everything takes its time, both ways."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

LOOPBACK = "127.0.0.1"
_CHUNK = 1 << 16


@contextlib.asynccontextmanager
async def slow_line(port: int, one_way_s: float) -> AsyncIterator[int]:
    """Carry bytes to `port`, each after `one_way_s`; yields the port to connect to."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(LOOPBACK, port)
        for way in (_pump(reader, there_writer, one_way_s), _pump(there_reader, writer, one_way_s)):
            task = asyncio.ensure_future(way)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(carry, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way_s: float
) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while chunk := await _read(reader):
            loop.call_later(one_way_s, _write, writer, chunk)
    loop.call_later(one_way_s, writer.close)


def _read(reader: asyncio.StreamReader) -> Awaitable[bytes]:
    return reader.read(_CHUNK)


def _write(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    if not writer.is_closing():
        writer.write(chunk)
