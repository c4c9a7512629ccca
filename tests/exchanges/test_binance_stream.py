"""The Binance stream against servers on loopback: subscribed, watched, restored, renewed."""

import asyncio
import contextlib
import socket
from itertools import pairwise

import orjson
import pytest
from websockets.asyncio.server import serve

from domain.instrument import Kind
from exchanges.binance_stream import USDM_ROUTES, USDM_URL, BinanceStream
from exchanges.real_net import RealNet
from exchanges.recorded_server import RecordedServer
from exchanges.session import LineSettings
from tests.exchanges.running import running

SYMBOLS = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}
BTC = {"BTCUSDT": "BTC/USDT"}


class Venue:
    """A scripted server: confirms subscriptions, then does what the test says."""

    def __init__(self, *, confirms: bool = True) -> None:
        self.confirms = confirms
        self.subscriptions: list[list[str]] = []
        self.times: list[float] = []
        self.connections: list = []  # those that are subscribed, oldest first
        self.subscribed = asyncio.Condition()
        self.url = ""
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self, port: int = 0):
        async with serve(self._serve, "127.0.0.1", port, close_timeout=0.2) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.url = f"ws://127.0.0.1:{self.port}"
            yield self

    async def _serve(self, connection):
        async for text in connection:
            asked = orjson.loads(text)
            self.subscriptions.append(asked["params"])
            self.times.append(asyncio.get_running_loop().time())
            if self.confirms:
                await connection.send(f'{{"result":null,"id":{asked["id"]}}}')
            if connection not in self.connections:
                self.connections.append(connection)
            async with self.subscribed:
                self.subscribed.notify_all()

    async def until_subscribed(self, times: int):
        async with self.subscribed:
            await self.subscribed.wait_for(lambda: len(self.subscriptions) >= times)


@pytest.fixture
def stream(clock, chance):
    """Build a stream with short times."""

    def build(url, *, symbols=BTC, kind=Kind.SWAP, settings=None, **more):
        quick = {"answer_timeout_s": 2.0, "overlap_s": 0.05, "message_interval_s": 0.01}
        return BinanceStream(
            RealNet(close_timeout_s=0.2),
            clock,
            chance,
            base_url=url,
            kind=kind,
            symbols=symbols,
            settings=LineSettings(**(quick | (settings or {}))),
            **more,
        )

    return build


def test_it_says_connected_when_confirmed_and_hands_on_every_price_in_order(
    run, sink, record, make, stream
):
    frames = [
        make.quote(1),
        make.trade(1),
        make.quote(7, symbol="ETHUSDT"),
        make.trade(7, symbol="ETHUSDT"),
        make.mark(1),
        make.trade(2),
        make.trade(8, symbol="ETHUSDT"),
    ]

    async def work():
        async with (
            RecordedServer([record(*frames)], speed=0) as server,
            running(stream(server.url, symbols=SYMBOLS), sink),
        ):
            await sink.until(lambda: sink.frames == len(frames))

    run(work())
    prices = [(kind, rest[0]) for kind, *rest in sink.events if rest]
    assert prices == [
        ("quote", "BTC/USDT"),
        ("trade", "BTC/USDT"),
        ("quote", "ETH/USDT"),
        ("trade", "ETH/USDT"),
        ("mark", "BTC/USDT"),
        ("trade", "BTC/USDT"),
        ("trade", "ETH/USDT"),
    ]
    assert sink.events[0] == ("connected",)
    assert sink.bad == []


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Kind.SPOT, {"btcusdt@trade", "btcusdt@bookTicker"}),
        (Kind.SWAP, {"btcusdt@trade", "btcusdt@bookTicker", "btcusdt@markPrice@1s"}),
    ],
)
def test_marks_are_asked_for_swaps_only(run, sink, stream, kind, names):
    async def work():
        async with Venue().open() as venue, running(stream(venue.url, kind=kind), sink):
            await sink.until(lambda: sink.events)
            return venue.subscriptions

    (asked,) = run(work())
    assert set(asked) == names


def test_bad_frames_of_a_venue_are_reported_and_the_next_ones_read(run, sink, stream, make):
    async def work():
        async with Venue().open() as venue, running(stream(venue.url), sink):
            await venue.until_subscribed(1)
            (connection,) = venue.connections
            for text in ("<html>", '{"e":"trade","s":"BTCUSDT","t":1}', make.trade(5).decode()):
                await connection.send(text)
            await sink.until(lambda: sink.trade_ids() == [5])

    run(work())
    assert len(sink.bad) == 2
    assert sink.of("disconnected") == []


def test_after_a_restart_of_the_server_it_is_back_and_subscribed_within_five_seconds(
    run, sink, record, make, stream
):
    async def work():
        loop = asyncio.get_running_loop()
        path = record(*(make.trade(number) for number in range(1, 50)))
        async with RecordedServer([path], speed=0) as server:
            port = int(server.url.rsplit(":", 1)[1])
            task = asyncio.create_task(stream(server.url).run(sink))
            await sink.until(lambda: len(sink.trade_ids()) == 49)
        await sink.until(lambda: sink.of("disconnected"))
        await asyncio.sleep(1.0)  # down for a while: several attempts fail
        async with RecordedServer([path], port=port, speed=0):
            back = loop.time()
            await sink.until(lambda: len(sink.trade_ids()) == 98)
            took_s = loop.time() - back
            task.cancel()
            await asyncio.wait({task})
        return took_s

    assert run(work()) < 5.0
    assert [kind for kind, *_ in sink.events if "connected" in kind] == [
        "connected",
        "disconnected",
        "connected",
    ]
    assert sink.of("disconnected")[0][0].startswith("closed by the venue")
    # A server that counts anew is a new server: its lower ids are no duplicates.
    assert sink.trade_ids() == [*range(1, 50), *range(1, 50)]


def test_a_server_that_only_answers_pings_is_left_and_tried_again(run, sink, stream):
    async def work():
        settings = {"max_silence_s": 0.2}
        async with Venue().open() as venue, running(stream(venue.url, settings=settings), sink):
            await sink.until(lambda: len(sink.of("connected")) == 2)
            return len(venue.subscriptions)

    assert run(work()) == 2
    assert sink.events == [("connected",), ("disconnected", "no frame for 0.2 s"), ("connected",)]


def test_a_server_that_never_confirms_is_left(run, sink, stream):
    async def work():
        settings = {"max_silence_s": 0.2, "answer_timeout_s": 0.1}
        venue = Venue(confirms=False)
        async with venue.open(), running(stream(venue.url, settings=settings), sink):
            await venue.until_subscribed(2)

    run(work())
    assert sink.events == [
        ("disconnected", "the venue did not confirm the subscription within 0.1 s")
    ]


def test_a_refused_subscription_is_told_in_the_venues_words(run, sink, stream):
    async def refuse(connection):
        await connection.recv()
        await connection.send('{"error":{"code":2,"msg":"Invalid request: no"},"id":1}')
        await connection.wait_closed()

    async def work():
        async with serve(refuse, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with running(stream(url), sink):
                await sink.until(lambda: sink.events)

    run(work())
    assert sink.events == [
        ("disconnected", "the venue refused the subscription: 2 Invalid request: no")
    ]


def test_a_venue_that_is_not_there_is_told_once_while_it_keeps_trying(run, sink, make, stream):
    async def work():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        settings = {"backoff_first_s": 0.01, "backoff_last_s": 0.05}
        async with running(stream(f"ws://127.0.0.1:{port}", settings=settings), sink):
            await asyncio.sleep(0.3)
            assert sink.events == [("disconnected", "refused: nothing listens there")]
            async with Venue().open(port):
                await sink.until(lambda: sink.of("connected"))

    run(work())
    assert sink.events[1] == ("connected",)


def test_a_connection_is_renewed_before_its_end_without_a_gap_or_a_repetition(
    run, sink, make, stream
):
    """Each connection gets every trade, the older one later than the newer one and vice versa."""
    count = 600
    taken = []

    async def work():
        async with Venue().open() as venue:
            settings = {"lifetime_s": 0.25, "overlap_s": 0.1}
            tapped = stream(
                venue.url, settings=settings, tap=lambda stamp, raw: taken.append((stamp, raw))
            )
            async with running(tapped, sink):
                await sink.until(lambda: sink.of("connected"))
                loop = asyncio.get_running_loop()
                sends = []

                async def send(connection, raw, delay_s):
                    await asyncio.sleep(delay_s)
                    with contextlib.suppress(Exception):
                        await connection.send(raw.decode())

                for number in range(count):
                    for index, connection in enumerate(venue.connections):
                        lag_s = 0.03 if index % 3 == 0 else 0.0
                        sends.append(loop.create_task(send(connection, make.trade(number), lag_s)))
                    await asyncio.sleep(0.002)
                await sink.until(lambda: sink.trade_ids()[-1:] == [count - 1])
                await asyncio.wait(sends)
                return len(venue.connections)

    connections = run(work())
    assert connections >= 4
    assert sink.trade_ids() == list(range(count))
    assert [event for event in sink.events if "connected" in event[0]] == [("connected",)]
    assert sink.frames > count  # the overlaps, dropped
    once = list(dict.fromkeys(raw for _, raw in taken))  # a recorder leaves repeats out
    assert once == [make.trade(number) for number in range(count)]
    assert all(one[0] <= other[0] for one, other in pairwise(taken))


def test_a_server_that_announces_its_end_is_left_for_a_new_one(run, sink, make, stream):
    async def work():
        async with Venue().open() as venue:
            settings = {"max_silence_s": 0.4, "overlap_s": 0.05}
            async with running(stream(venue.url, settings=settings), sink):
                await venue.until_subscribed(1)
                await venue.connections[0].send('{"e":"serverShutdown","E":1770123456789}')
                await venue.until_subscribed(2)
                for number, connection in enumerate(venue.connections):
                    await connection.send(make.trade(number).decode())
                await sink.until(lambda: len(sink.trade_ids()) == 2)
                await venue.connections[0].wait_closed()

    run(work())
    assert sink.trade_ids() == [0, 1]
    assert sink.of("disconnected") == []


def test_a_renewal_that_fails_leaves_the_old_connection_at_work(run, sink, make, stream):
    async def work():
        venue = Venue()
        async with venue.open():
            settings = {"lifetime_s": 0.1, "answer_timeout_s": 0.1, "backoff_last_s": 0.1}
            async with running(stream(venue.url, settings=settings), sink):
                await sink.until(lambda: sink.of("connected"))
                venue.confirms = False
                await venue.until_subscribed(3)  # two renewals tried
                await venue.connections[0].send(make.trade(1).decode())
                await sink.until(lambda: sink.trade_ids() == [1])
                venue.confirms = True
                await venue.connections[0].wait_closed()
                await venue.connections[-1].send(make.trade(2).decode())
                await sink.until(lambda: sink.trade_ids() == [1, 2])

    run(work())
    assert sink.of("disconnected") == []


def test_many_streams_are_asked_for_in_few_messages_at_the_pace_allowed(run, sink, stream):
    symbols = {f"COIN{number}USDT": f"COIN{number}/USDT" for number in range(341)}

    async def work():
        async with Venue().open() as venue:
            settings = {"message_interval_s": 0.05}
            async with running(stream(venue.url, symbols=symbols, settings=settings), sink):
                await sink.until(lambda: sink.events)
                return venue

    venue = run(work())
    assert [len(names) for names in venue.subscriptions] == [200, 200, 200, 200, 200, 23]
    assert len({name for names in venue.subscriptions for name in names}) == 1023
    assert all(later - earlier > 0.04 for earlier, later in pairwise(venue.times))
    assert sink.events == [("connected",)]


def test_the_pace_of_subscriptions_stays_below_the_limit_of_the_venue(
    run, sink, record, make, stream
):
    symbols = {f"COIN{number}USDT": f"COIN{number}/USDT" for number in range(512)}

    async def work():
        settings = {"message_interval_s": LineSettings().message_interval_s}
        async with (
            RecordedServer([record(make.trade(1))]) as server,
            running(stream(server.url, symbols=symbols, kind=Kind.SPOT, settings=settings), sink),
        ):
            await sink.until(lambda: sink.events)

    run(work())
    assert sink.events == [("connected",)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"symbols": {f"C{n}USDT": f"C{n}/USDT" for n in range(342)}},
            r"1,026 streams at ws://x/stream, but Binance allows 1,024 .* watch fewer",
        ),
        ({"symbols": {}}, "nothing to subscribe to"),
        ({"kind": Kind.SPOT, "streams": ["markPrice"]}, "nothing to subscribe to"),
        ({"streams": ["trades"]}, "no stream is called 'trades'; there are trade, aggTrade"),
        ({"url": "https://stream.binance.com"}, "is no websocket address; write it like 'wss://"),
        ({"url": "stream.binance.com"}, "is no websocket address"),
    ],
)
def test_what_cannot_work_is_refused_at_once(stream, changes, why):
    with pytest.raises(ValueError, match=why):
        stream(**({"url": "ws://x"} | changes))


def test_usdm_marks_come_over_a_connection_of_their_own(run, sink, record, make, stream):
    frames = [make.trade(1), make.mark(1), make.quote(2), make.mark(2), make.trade(3)]

    async def work():
        async with (
            RecordedServer([record(*frames)], speed=0, hold=True) as server,
            running(stream(server.url, routes=USDM_ROUTES), sink),
        ):
            await sink.until(lambda: sink.of("connected"))
            server.release()
            await sink.until(lambda: len(sink.events) == 6)

    run(work())
    assert [event[0] for event in sink.events].count("connected") == 1
    assert [stamp for _, _, stamp in sink.of("mark")] == [1, 2]
    assert [event[0] for event in sink.events if event[0] in ("trade", "quote")] == [
        "trade",
        "quote",
        "trade",
    ]


def test_one_of_two_connections_lost_is_told_once_and_both_restored_once(run, sink, make, stream):
    async def work():
        async with Venue().open() as venue:
            routes = {"trade": "/public", "bookTicker": "/public", "markPrice": "/market"}
            async with running(stream(venue.url, routes=routes), sink):
                await sink.until(lambda: sink.of("connected"))
                for connection in list(venue.connections):
                    await connection.close(1012, "restart")
                await sink.until(lambda: len(sink.of("connected")) == 2)

    run(work())
    assert sink.events == [
        ("connected",),
        ("disconnected", "closed by the venue: 1012 restart"),
        ("connected",),
    ]


def test_the_real_usdm_host_is_routed_without_being_told(stream):
    names = stream(USDM_URL)._names

    assert names == {
        f"{USDM_URL}/public/stream": ["btcusdt@trade", "btcusdt@bookTicker"],
        f"{USDM_URL}/market/stream": ["btcusdt@markPrice@1s"],
    }


@pytest.mark.parametrize("routes", [{}, USDM_ROUTES], ids=["one connection", "two"])
def test_what_a_sink_raises_ends_the_stream(run, sink, make, stream, routes):
    class BrokenSinkError(Exception):
        pass

    def fail(*trade):
        raise BrokenSinkError

    async def work():
        sink.on_trade = fail
        async with Venue().open() as venue:
            task = asyncio.create_task(stream(venue.url, routes=routes).run(sink))
            await sink.until(lambda: sink.events)
            for connection in venue.connections:
                await connection.send(make.trade(1).decode())
            with pytest.raises(BrokenSinkError):
                await task
            for connection in venue.connections:
                await connection.wait_closed()

    run(work())


def test_an_os_error_of_a_sink_does_not_pass_for_one_of_the_network(run, sink, make, stream):
    def fail(*trade):
        raise OSError(28, "No space left on device")

    async def work():
        sink.on_trade = fail
        async with Venue().open() as venue:
            task = asyncio.create_task(stream(venue.url).run(sink))
            await venue.until_subscribed(1)
            await venue.connections[0].send(make.trade(1).decode())
            with pytest.raises(RuntimeError, match="No space left"):
                await task

    run(work())
    assert sink.of("disconnected") == []


def test_a_stream_that_was_canceled_can_be_run_again(run, sink, make, stream):
    async def work():
        async with Venue().open() as venue:
            one = stream(venue.url)
            for number in (1, 2):
                async with running(one, sink):
                    await venue.until_subscribed(number)
                    await venue.connections[-1].send(make.trade(number).decode())
                    await sink.until(lambda wanted=number: wanted in sink.trade_ids())

    run(work())
    assert sink.trade_ids() == [1, 2]


def test_the_loop_gets_its_turn_during_a_flood(run, sink, make, clock, chance):
    """A net whose messages are all there already: nothing in it ever waits."""
    flood = [b'{"result":null,"id":1}', *(make.trade(number) for number in range(3000))]

    class Flood:
        def __aiter__(self):
            return self

        async def __anext__(self):
            if not flood:
                await asyncio.Event().wait()
            return flood.pop(0)

        async def send(self, message):
            pass

    class FloodedNet:
        @contextlib.asynccontextmanager
        async def websocket(self, url):
            yield Flood()

    async def work():
        turns = 0
        taken_by_turn = []

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        sink.on_trade = lambda *_: taken_by_turn.append(turns)
        stream = BinanceStream(
            FloodedNet(), clock, chance, base_url="ws://x", kind=Kind.SPOT, symbols=BTC
        )
        other = asyncio.create_task(others())
        async with running(stream, sink):
            await sink.until(lambda: sink.frames == 3000)
        other.cancel()
        return taken_by_turn

    taken = run(work())
    assert max(taken.count(turn) for turn in set(taken)) <= 256


@pytest.mark.recorded
def test_a_real_recording_over_a_real_websocket_gives_every_price(run, sink, recorded, stream):
    async def work():
        path = recorded("usdm_btcusdt_20240808.gz")
        async with (
            RecordedServer([path], speed=0) as server,
            running(stream(server.url), sink),
        ):
            await sink.until(lambda: sink.frames == 87_402)

    run(work())
    assert len(sink.of("trade")) == 21_313
    assert len(sink.of("quote")) == 66_089
    assert sink.trade_ids() == sorted(set(sink.trade_ids()))
    assert sink.bad == []
