"""The real network: bytes come out, failures are errors with a reason."""

import asyncio
import contextlib
import socket
import ssl

import pytest
from websockets.asyncio.server import serve

from exchanges.real_net import RealNet, reason_of


@contextlib.asynccontextmanager
async def a_server(handler):
    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextlib.asynccontextmanager
async def a_plain_server(reply: bytes):
    """Answer anything with `reply` and hang up."""

    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def failure(url: str, **settings) -> OSError:
    with pytest.raises(OSError) as raised:
        async with RealNet(**settings).websocket(url):
            pass
    return raised.value


def test_text_arrives_as_bytes_in_order_and_the_end_of_the_connection_ends_it(run):
    async def handler(connection):
        assert await connection.recv() == "hello"
        for number in range(100):
            await connection.send(f"{number}")

    async def work():
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            await websocket.send("hello")
            return [message async for message in websocket]

    assert run(work()) == [b"%d" % number for number in range(100)]


def test_fragments_are_one_message_and_binary_ones_are_bytes_too(run):
    async def handler(connection):
        await connection.send(["he", "", "llo ", "world"])
        await connection.send(b"binary")
        await connection.send("")
        await connection.send("last")

    async def work():
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            return [message async for message in websocket]

    assert run(work()) == [b"hello world", b"binary", b"", b"last"]


def test_what_arrived_before_the_connection_broke_is_read_first(run):
    async def handler(connection):
        for number in range(500):
            await connection.send(f"{number}")
        connection.transport.close()  # flushes, without a closing handshake

    async def work():
        read = []
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            await asyncio.sleep(0.1)
            with contextlib.suppress(ConnectionError):
                async for message in websocket:
                    read.append(message)  # noqa: PERF401 - it raises at the end
        return read

    assert run(work()) == [b"%d" % number for number in range(500)]


def test_who_reads_slowly_holds_the_sender_up_and_loses_nothing(run):
    sent = 0

    async def handler(connection):
        nonlocal sent
        while sent < 10_000:
            await connection.send("x" * 2000)
            sent += 1

    async def work():
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            before = -1
            while before != sent:  # until everything on the way is full
                before = sent
                await asyncio.sleep(0.05)
            assert before < 10_000
            assert len(websocket._connection._inbox) < 2000
            return [message async for message in websocket]

    assert len(run(work())) == 10_000


def test_a_connection_is_closed_at_once_although_nobody_reads_it(run):
    async def handler(connection):
        with contextlib.suppress(Exception):
            while True:
                await connection.send("x" * 2000)

    async def work():
        async with a_server(handler) as url, RealNet(close_timeout_s=20).websocket(url):
            await asyncio.sleep(0.1)

    run(work())


def test_canceled_while_waiting_it_can_be_read_again(run):
    async def handler(connection):
        await connection.recv()
        await connection.send("late")

    async def work():
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            messages = aiter(websocket)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(messages), 0.02)
            await websocket.send("now")
            return await anext(messages)

    assert run(work()) == b"late"


def test_a_connection_closed_for_a_reason_tells_it(run):
    async def handler(connection):
        await connection.close(1008, "Too many requests")

    async def work():
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            with pytest.raises(
                ConnectionError, match="closed by the venue: 1008 Too many requests"
            ):
                async for _ in websocket:
                    pass
            with pytest.raises(ConnectionError, match="1008"):
                await websocket.send("late")

    run(work())


def test_a_connection_that_breaks_says_so(run):
    async def handler(connection):
        connection.transport.abort()

    async def work():
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            with pytest.raises(ConnectionError, match="the connection broke"):
                async for _ in websocket:
                    pass

    run(work())


def test_a_message_beyond_four_mebibytes_ends_the_connection(run):
    async def handler(connection):
        await connection.send("x" * (4 * 2**20 + 1))
        await connection.wait_closed()

    async def work():
        async with a_server(handler) as url, RealNet().websocket(url) as websocket:
            with pytest.raises(ConnectionError, match="closed by us: 1009"):
                async for _ in websocket:
                    pass

    run(work())


def test_nobody_listening_is_refused(run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    assert reason_of(run(failure(f"ws://127.0.0.1:{port}"))) == "refused: nothing listens there"


def test_a_server_that_never_answers_times_out(run):
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            return await failure(f"ws://127.0.0.1:{port}", open_timeout_s=0.1)

    assert reason_of(run(work())) == "timed out"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            b"HTTP/1.1 451 Unavailable\r\nContent-Length: 0\r\n\r\n",
            "the venue answered HTTP 451 (not served in this country)",
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "the venue answered HTTP 503"),
        (b"220 mail.example.com ESMTP\r\n", "not a websocket server: "),
    ],
)
def test_what_is_no_websocket_server_is_named(run, reply, reason):
    async def work():
        async with a_plain_server(reply) as address:
            return await failure(f"ws://{address}")

    assert reason_of(run(work())).startswith(reason)


def test_a_server_without_tls_is_named(run):
    async def work():
        async with a_plain_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
            return await failure(f"wss://{address}")

    assert reason_of(run(work())).startswith("TLS: ")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "DNS: the host cannot be resolved (Name or service not known)",
        ),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version"), "TLS: "),
        (TimeoutError(), "timed out"),
        (ConnectionRefusedError(111, "Connection refused"), "refused: nothing listens there"),
        (OSError(101, "Network is unreachable"), "[Errno 101] Network is unreachable"),
        (OSError(), "OSError"),
    ],
)
def test_each_kind_of_failure_has_its_reason(error, reason):
    assert reason_of(error).startswith(reason)
