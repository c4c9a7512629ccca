"""The line of a drill: it carries, refuses, hangs, and carries again at the same port."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from daemon.drills.line import LOOPBACK, Line, line_to

Test = Callable[[Line], Awaitable[None]]


HEARD: list[bytes] = []


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while word := await reader.read(100):
        HEARD.append(word)
        writer.write(word)
    writer.transport.abort()


def on_a_line(test: Test) -> None:
    """Run a test with a line to a server that says everything again."""

    async def work() -> None:
        server = await asyncio.start_server(echo, LOOPBACK, 0)
        async with server, line_to(server.sockets[0].getsockname()[1]) as line:
            await test(line)

    asyncio.run(work())


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Read; nothing comes of a connection that was dropped."""
    try:
        return await reader.read(100)
    except ConnectionError:
        return b""


async def said(line: Line, word: bytes = b"hello") -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, line.port)
    try:
        writer.write(word)
        return await rest_of(reader)
    finally:
        writer.close()


def test_it_carries_both_ways() -> None:
    async def test(line: Line) -> None:
        assert await said(line) == b"hello"

    on_a_line(test)


def test_cut_it_refuses_and_drops_what_was_open() -> None:
    async def test(line: Line) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, line.port)
        writer.write(b"hello")
        assert await reader.read(100) == b"hello"

        line.cut()

        assert await rest_of(reader) == b""
        with pytest.raises(OSError):
            await said(line)
        writer.close()

    on_a_line(test)


def test_restored_it_is_where_it_was() -> None:
    async def test(line: Line) -> None:
        port = line.port
        line.cut()
        await line.restore()

        assert line.port == port
        assert await said(line) == b"hello"

    on_a_line(test)


def test_what_hangs_in_it_when_it_is_cut_never_arrives() -> None:
    async def test(line: Line) -> None:
        HEARD.clear()
        line.hang()
        waiting = asyncio.create_task(said(line))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.1)

        line.cut()
        await line.restore()

        assert await waiting == b""
        assert await said(line, b"again") == b"again"
        assert HEARD == [b"again"]

    on_a_line(test)
