"""The recorded server, as a client of the venue sees it."""

import asyncio
import urllib.request
from contextlib import asynccontextmanager

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from exchanges.recorded_server import Playback, RecordedServer, serve_recorded
from exchanges.recording import RecordingError, merge, survey

SECOND = 10**9


def request(method: str, *params: str, number=1) -> str:
    return orjson.dumps({"method": method, "params": params, "id": number}).decode()


async def ask(client, text: str) -> dict:
    await client.send(text)
    return orjson.loads(await client.recv())


async def eventually(condition) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for has no event of its own
        await asyncio.sleep(0.001)


async def receive(client, count: int) -> list[bytes]:
    return [await client.recv(decode=False) for _ in range(count)]


async def stays_silent(client, seconds: float = 0.05) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await client.recv()
    except TimeoutError:
        return True
    return False


@asynccontextmanager
async def serving(*paths, path="/stream", **settings):
    async with (
        RecordedServer(paths, **({"speed": 0} | settings)) as server,
        connect(server.url + path, compression=None, close_timeout=0.2) as client,
    ):
        yield server, client


async def fetch(server, path: str, method: str = "GET") -> tuple[int, dict]:
    def blocking():
        url = server.url.replace("ws://", "http://") + path
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as reply:
            return reply.status, orjson.loads(reply.read())

    return await asyncio.to_thread(blocking)


def test_a_subscription_is_confirmed_and_its_frames_follow_in_order(run, record, make):
    frames = [make.trade(1), make.quote(2), make.trade(3), make.quote(4)]

    async def work():
        async with serving(record(*frames)) as (_, client):
            answer = await ask(client, request("SUBSCRIBE", "btcusdt@trade", "btcusdt@bookTicker"))
            assert answer == {"result": None, "id": 1}
            assert await receive(client, 4) == frames

    run(work())


def test_streams_of_the_address_need_no_request(run, record, make):
    frames = [make.trade(1), make.quote(2), make.trade(3)]

    async def work():
        path = "/stream?streams=btcusdt@trade/btcusdt@markPrice@1s"
        async with serving(record(*frames), path=path) as (_, client):
            assert await receive(client, 2) == [frames[0], frames[2]]
            listed = await ask(client, request("LIST_SUBSCRIPTIONS"))
            assert listed["result"] == ["btcusdt@trade", "btcusdt@markPrice@1s"]

    run(work())


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/ws/btcusdt%40trade", "/ws"])
def test_raw_payloads_come_on_ws(run, record, make, path):
    odd = b'{ "stream": "btcusdt@trade", "data": {"e": "trade"} }'

    async def work():
        async with serving(record(make.trade(1), odd), path=path) as (_, client):
            if path == "/ws":
                await ask(client, request("SUBSCRIBE", "btcusdt@trade"))
            first, second = await receive(client, 2)
            assert orjson.loads(first) == orjson.loads(make.trade(1))["data"]
            assert orjson.loads(second) == {"e": "trade"}

    run(work())


def test_a_snapshot_without_a_stream_is_not_sent_but_played(run, record, make):
    frames = [make.trade(1), make.snapshot(), make.trade(2)]

    async def work():
        async with serving(record(*frames)) as (server, client):
            await ask(client, request("SUBSCRIBE", "btcusdt@trade"))
            assert await receive(client, 2) == [frames[0], frames[2]]
            assert await stays_silent(client)
            assert server.status().played == 3

    run(work())


def test_what_is_unsubscribed_comes_no_more(run, record, make):
    async def work():
        path = record(make.trade(1), make.quote(1), make.trade(2), make.quote(2))
        async with serving(path, hold=True) as (server, client):
            await ask(client, request("SUBSCRIBE", "btcusdt@trade", "btcusdt@bookTicker"))
            await receive(client, 2)
            answer = await ask(client, request("UNSUBSCRIBE", "btcusdt@trade", number=312))
            assert answer == {"result": None, "id": 312}
            listed = await ask(client, request("LIST_SUBSCRIPTIONS", number=3))
            assert listed == {"result": ["btcusdt@bookTicker"], "id": 3}
            server.release()
            assert await receive(client, 1) == [make.quote(2)]
            assert await stays_silent(client)

    run(work())


@pytest.mark.parametrize(
    ("text", "code", "message", "number"),
    [
        ("not json", 3, "Invalid JSON", None),
        ("[]", 2, "expected an object", None),
        ('{"id":1}', 2, "missing field `method`", 1),
        ('{"method":"SHOUT","id":1}', 2, "unknown variant `SHOUT`, expected one of `SUBSCRIBE`", 1),
        ('{"method":{},"id":1}', 2, "unknown variant", 1),
        ('{"method":"SUBSCRIBE","params":["a@trade"],"id":-1}', 2, "must be an unsigned", None),
        ('{"method":"SUBSCRIBE","params":["a@trade"],"id":1.5}', 2, "must be an unsigned", None),
        ('{"method":"SUBSCRIBE","params":["a@trade"],"id":[]}', 2, "must be an unsigned", None),
        ('{"method":"SUBSCRIBE","id":1}', 2, "params must be a list", 1),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', 2, "params must be a list", 1),
        ('{"method":"SUBSCRIBE","params":"a@trade","id":"x1"}', 2, "params must be a list", "x1"),
        ('{"method":"UNSUBSCRIBE","params":[7],"id":1}', 2, "params must be a list", 1),
    ],
)
def test_a_malformed_request_gets_the_venues_error(run, record, make, text, code, message, number):
    async def work():
        async with serving(record(make.trade(1))) as (_, client):
            answer = await ask(client, text)
            assert answer["error"]["code"] == code
            assert message in answer["error"]["msg"]
            assert answer["id"] == number
            assert (await ask(client, request("LIST_SUBSCRIPTIONS")))["result"] == []

    run(work())


def test_more_streams_than_a_connection_may_have_are_refused(run, record, make):
    async def work():
        async with serving(record(make.trade(1))) as (_, client):
            many = [f"s{number}@trade" for number in range(1024)]
            assert (await ask(client, request("SUBSCRIBE", *many)))["result"] is None
            assert (await ask(client, request("SUBSCRIBE", "s7@trade")))["result"] is None
            answer = await ask(client, request("SUBSCRIBE", "one@trade"))
            assert answer["error"]["msg"] == "Invalid request: too many parameters"

    run(work())


def test_more_than_five_messages_a_second_end_the_connection(run, record, make):
    async def work():
        async with serving(record(make.trade(1))) as (_, client):
            for _ in range(6):
                await client.send(request("LIST_SUBSCRIPTIONS"))
            with pytest.raises(ConnectionClosed):
                await receive(client, 6)
            assert (client.close_code, client.close_reason) == (1008, "Too many requests")

    run(work())


@pytest.mark.parametrize("path", ["/", "/streams", "/wsx", "/private/ws", "/public"])
def test_an_unknown_path_is_not_found(run, record, make, path):
    async def work():
        async with RecordedServer([record(make.trade(1))]) as server:
            with pytest.raises(InvalidStatus) as raised:
                async with connect(server.url + path):
                    pass
            assert raised.value.response.status_code == 404

    run(work())


def test_a_stream_asked_for_on_the_wrong_path_is_confirmed_and_never_sent(run, record, make):
    names = ("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@markPrice@1s")
    frames = [make.trade(1), make.mark(1), make.quote(1), make.mark(2)]

    async def work():
        async with (
            RecordedServer([record(*frames)], speed=0, hold=True) as server,
            connect(server.url + "/public/stream") as public,
            connect(server.url + "/market/stream") as market,
        ):
            for client in (public, market):
                assert (await ask(client, request("SUBSCRIBE", *names)))["result"] is None
            server.release()
            assert await receive(public, 2) == [frames[0], frames[2]]
            assert await receive(market, 2) == [frames[1], frames[3]]
            assert await stays_silent(public)

    run(work())


def test_a_held_recording_plays_until_every_symbol_has_a_price_then_waits(run, record, make):
    opening = [
        make.quote(1),
        make.trade(1),
        make.trade(2),
        make.trade(7, symbol="ETHUSDT"),
        make.snapshot(),
        make.quote(8, symbol="ETHUSDT"),
    ]
    rest = [make.trade(3), make.trade(9, symbol="ETHUSDT")]
    streams = [
        f"{name}@{kind}" for name in ("btcusdt", "ethusdt") for kind in ("trade", "bookTicker")
    ]

    async def work():
        async with serving(record(*opening, *rest), hold=True) as (server, client):
            status = server.status()
            assert (status.held, status.played, status.frames, status.clients) == (True, 0, 8, 1)
            await ask(client, request("SUBSCRIBE", *streams))
            assert await receive(client, 5) == [raw for raw in opening if raw != make.snapshot()]
            assert await stays_silent(client)
            assert (server.status().held, server.status().played) == (True, 6)

            server.release()

            assert await receive(client, 2) == rest
            assert await stays_silent(client)
            status = server.status()
            assert (status.held, status.played, status.finished) == (False, 8, True)

    run(work())


def test_who_subscribes_while_it_is_held_is_told_the_last_prices(run, record, make):
    frames = [make.quote(1), make.trade(1), make.trade(2), make.quote(2, symbol="ETHUSDT")]
    late = make.trade(3)

    async def work():
        async with serving(record(*frames, late), hold=True) as (server, first):
            await ask(first, request("SUBSCRIBE", "btcusdt@trade"))
            await receive(first, 2)
            await eventually(lambda: server.status().played == 4)
            async with connect(
                server.url + "/stream?streams=btcusdt@bookTicker/btcusdt@trade"
            ) as second:
                assert await receive(second, 2) == [frames[0], frames[2]]
                assert (await ask(first, request("SUBSCRIBE", "ethusdt@bookTicker")))["id"] == 1
                assert await receive(first, 1) == [frames[3]]
                assert (await ask(first, request("SUBSCRIBE", "ethusdt@bookTicker")))["id"] == 1
                server.release()
                assert await receive(first, 1) == [late]
                assert await receive(second, 1) == [late]

    run(work())


def test_it_is_released_and_asked_over_http(run, record, make):
    async def work():
        path = record(make.trade(1), make.trade(2))
        async with serving(path, path="/ws/btcusdt@trade", hold=True) as (server, client):
            await receive(client, 1)
            assert await fetch(server, "/status") == (
                200,
                {"held": True, "played": 1, "frames": 2, "clients": 1, "finished": False},
            )
            status, told = await fetch(server, "/release", "POST")
            assert (status, told["held"]) == (200, False)
            await receive(client, 1)
            assert (await fetch(server, "/status"))[1]["finished"] is True
            assert (await fetch(server, "/release"))[0] == 200

    run(work())


def test_released_before_anybody_came_it_does_not_stop(run, record, make):
    async def work():
        async with RecordedServer(
            [record(make.trade(1), make.trade(2))], speed=0, hold=True
        ) as server:
            server.release()
            async with connect(server.url + "/stream?streams=btcusdt@trade") as client:
                assert await receive(client, 2) == [make.trade(1), make.trade(2)]

    run(work())


def test_as_fast_as_possible_means_as_clients_take_it(run, record, make):
    frames = [make.trade(number, note="x" * 4000) for number in range(5000)]

    async def work():
        async with serving(record(*frames)) as (server, slow):
            await ask(slow, request("SUBSCRIBE", "btcusdt@trade"))
            played = -1
            while played != server.status().played:  # until the buffers on the way are full
                played = server.status().played
                await asyncio.sleep(0.05)
            assert played < 5000
            assert await receive(slow, 2500) == frames[:2500]
            await slow.close()
            await eventually(lambda: not server.status().clients)
            await asyncio.sleep(0.01)
            left_at = server.status().played
            await asyncio.sleep(0.05)
            assert server.status().played == left_at < 5000  # nobody takes it: nothing is played
            async with connect(server.url + "/stream?streams=btcusdt@trade") as next_one:
                received = await receive(next_one, 5000 - left_at)
                assert received == frames[left_at:]

    run(work())


def test_at_a_speed_who_comes_back_gets_what_is_played_from_then_on(run, record, make):
    frames = [(number * 10**6, make.trade(number)) for number in range(1, 20_000)]

    async def work():
        async with RecordedServer([record(*frames)], speed=1) as server:
            async with connect(server.url + "/stream?streams=btcusdt@trade") as client:
                (first,) = await receive(client, 1)
            await asyncio.sleep(0.05)
            async with connect(server.url + "/stream?streams=btcusdt@trade") as client:
                (later,) = await receive(client, 1)
            assert orjson.loads(first)["data"]["t"] == 1
            assert orjson.loads(later)["data"]["t"] > 20

    run(work())


def test_at_the_end_the_connection_stays_open(run, record, make):
    async def work():
        async with serving(record(make.trade(1)), path="/ws/btcusdt@trade") as (server, client):
            await receive(client, 1)
            assert await stays_silent(client)
            assert server.status().finished
            assert (await ask(client, request("LIST_SUBSCRIPTIONS")))["result"] == ["btcusdt@trade"]

    run(work())


def test_the_server_pings_as_the_venue_does(run, record, make):
    async def work():
        async with RecordedServer([record(make.trade(1))], ping_interval_s=0.02) as server:
            host, port = server.url.removeprefix("ws://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            assert (await reader.readexactly(1))[0] == 0x80 | 9  # a ping
            writer.close()
            await writer.wait_closed()

    run(work())


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(record, make, speed):
    with pytest.raises(ValueError, match="speed"):
        RecordedServer([record(make.trade(1))], speed=speed)


def test_a_damaged_recording_is_refused_before_anything_is_served(record, make):
    path = record(*(make.trade(number) for number in range(2000)))
    path.write_bytes(path.read_bytes()[:-500])

    with pytest.raises(RecordingError, match="cut off"):
        RecordedServer([path])


@pytest.mark.parametrize("speed", [1.0, 10.0, 0.5])
def test_frames_are_played_at_the_speed_asked_for(
    record, make, virtual_loop, in_virtual_time, speed
):
    offsets_s = [0, 0.5, 0.5, 3, 10, 600]
    path = record(*((int((50 + at) * SECOND), make.trade(n)) for n, at in enumerate(offsets_s)))
    heard = []

    async def deliver(name, raw):
        heard.append(virtual_loop.time() - start)

    async def work():
        playback = Playback([path], survey([path]), speed=speed, hold=False, deliver=deliver)
        playback.somebody_listens.set()
        await playback.run()

    start = virtual_loop.time()
    in_virtual_time(work())

    assert heard == pytest.approx([at / speed for at in offsets_s])


def test_the_time_it_was_held_does_not_count(record, make, virtual_loop, in_virtual_time):
    path = record(
        (0, make.trade(1)), (5 * SECOND, make.quote(1)), (7 * SECOND, make.trade(2)),
        (9 * SECOND, make.trade(3)),
    )  # fmt: skip
    heard = []

    async def deliver(name, raw):
        heard.append(virtual_loop.time() - start)

    async def work():
        playback = Playback([path], survey([path]), speed=1.0, hold=True, deliver=deliver)
        playback.somebody_listens.set()
        asyncio.get_running_loop().call_later(100, playback.release)
        await playback.run()

    start = virtual_loop.time()
    in_virtual_time(work())

    assert heard == pytest.approx([0, 0, 100, 102])


def test_serving_tells_its_address_and_stops_when_told_and_frees_the_port(run, record, make):
    async def work():
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        serving_it = asyncio.create_task(
            serve_recorded(
                [record(make.trade(1))],
                host="127.0.0.1",
                port=0,
                speed=0,
                hold=False,
                on_ready=ready.set_result,
                stop=stop,
            )
        )
        url = await ready
        async with connect(url + "/stream?streams=btcusdt@trade") as client:
            await receive(client, 1)
            assert not serving_it.done()
            stop.set()
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001
        await serving_it
        with pytest.raises(OSError):
            async with connect(url + "/stream"):
                pass

    run(work())


def test_a_file_that_changes_under_it_ends_the_serving_with_its_error(run, record, make):
    async def work():
        path = record(make.trade(1), make.trade(2))
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving_it = asyncio.create_task(
            serve_recorded(
                [path],
                host="127.0.0.1",
                port=0,
                speed=0,
                hold=False,
                on_ready=ready.set_result,
                stop=asyncio.Event(),
            )
        )
        url = await ready
        path.write_bytes(b"no recording")
        async with connect(url + "/stream?streams=btcusdt@trade"):
            with pytest.raises(RecordingError, match="Not a gzipped file"):
                await serving_it

    run(work())


@pytest.mark.recorded
def test_two_real_recordings_are_served_as_they_were_received(run, recorded):
    paths = [recorded("usdm_btcusdt_20240808.gz"), recorded("usdm_ethusdt_20240808.gz")]
    wanted = [f"{name}@trade" for name in ("btcusdt", "ethusdt")]
    expected = [raw for _, raw in merge(paths) if b"@trade" in raw[:40]]

    async def work():
        async with serving(*paths) as (server, client):
            await ask(client, request("SUBSCRIBE", *wanted))
            assert await receive(client, len(expected)) == expected
            await eventually(lambda: server.status().finished)

    run(work())
