"""The proxy that mangles sockets, and a daemon that trades through it for a while."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.fault_proxy import FATES, Fate, fault_proxy
from tests.proxy import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    writer.close()


def test_until_it_misbehaves_everything_is_carried() -> None:
    async def play() -> bytes:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, fault_proxy(server.sockets[0].getsockname()[1]) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"hello")
            answer = await reader.readexactly(5)
            writer.close()
            return answer

    assert asyncio.run(play()) == b"hello"


def test_a_connection_whose_fate_has_come_is_mangled_and_counted() -> None:
    async def play() -> dict[str, int]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, fault_proxy(server.sockets[0].getsockname()[1], seed=2) as proxy:
            proxy.misbehave()
            for _ in range(12):
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                try:
                    async with asyncio.timeout(3.5):
                        while True:
                            writer.write(b"x" * 1000)
                            if not await reader.read(1000):
                                break
                except OSError:
                    pass
                writer.close()
                if proxy.done["reset"] + proxy.done["drop"] + proxy.done["truncate"]:
                    break
            return dict(proxy.done)

    assert asyncio.run(play())


def test_the_same_seed_draws_the_same_fates() -> None:
    def drawn() -> list[Fate]:
        return [Fate.drawn(Random(f"1/{number}")) for number in range(200)]

    assert drawn() == drawn()
    assert {each.kind for each in drawn()} == set(FATES)


def test_a_daemon_that_trades_through_it_keeps_its_word(tmp_path: Path) -> None:
    result, book = run(8.0, seed=3, directory=tmp_path)
    assert book.broken == {"lost": [], "duplicated": [], "unprotected": [], "loosened_trails": []}
    assert result["faults"]
    assert result["fills"]
