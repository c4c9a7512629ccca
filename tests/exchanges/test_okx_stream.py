"""The OKX stream against servers on loopback: subscribed, pinged, restored, renewed."""

import asyncio
import contextlib
import time

import msgspec
import orjson
import pytest
from websockets.asyncio.server import serve

from domain.candles import Timeframe
from domain.instrument import Kind
from exchanges.closed_candles import ClosedCandles
from exchanges.okx_frames import Listed, Wanted
from exchanges.okx_stream import SETTINGS, OkxStream
from exchanges.order_books import OrderBooks
from exchanges.real_net import RealNet
from exchanges.session import LineSettings
from tests.exchanges.running import running

SWAP = "BTC-USDT-SWAP"
LISTED = {SWAP: Listed("BTC/USDT"), "ETH-USDT-SWAP": Listed("ETH/USDT")}
BTC = {SWAP: Listed("BTC/USDT")}
NOTICE = orjson.dumps(
    {
        "event": "notice",
        "code": "64008",
        "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
        "connId": "a4d3ae55",
    }
).decode()
UNLISTED = (
    "Wrong URL or channel:{channel},instId:{instId} doesn't exist. Please use the correct URL,"
    " channel and parameters referring to API document."
)


class Venue:
    """A scripted server: answers as OKX does, then does what the test says."""

    def __init__(self, *, confirms: bool = True, pongs: bool = True, unlisted=()) -> None:
        self.confirms = confirms
        self.pongs = pongs
        self.unlisted = unlisted
        self.subscriptions: list[list[str]] = []
        self.sizes: list[int] = []
        self.pings = 0
        self.opened: list[float] = []
        self.paths: list[str] = []
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
        self.opened.append(time.monotonic())
        self.paths.append(connection.request.path)
        async for text in connection:
            if text == "ping":
                self.pings += 1
                if self.pongs:
                    await connection.send("pong")
                continue
            asked = orjson.loads(text)
            assert asked["op"] == "subscribe"
            self.sizes.append(len(text))
            self.subscriptions.append([f"{a['channel']}:{a['instId']}" for a in asked["args"]])
            for arg in asked["args"] if self.confirms else ():
                await connection.send(orjson.dumps(self._answer(arg)).decode())
            if connection not in self.connections:
                self.connections.append(connection)
            async with self.subscribed:
                self.subscribed.notify_all()

    def _answer(self, arg):
        if arg["instId"] in self.unlisted:
            msg = UNLISTED.format_map(arg)
            return {"event": "error", "msg": msg, "code": "60018", "connId": "a4d3ae55"}
        return {"event": "subscribe", "arg": arg, "connId": "a4d3ae55"}

    async def until_subscribed(self, times: int):
        async with self.subscribed:
            await self.subscribed.wait_for(lambda: len(self.subscriptions) >= times)


@pytest.fixture
def stream(clock, chance):
    """Build a stream with short times."""

    def build(url, *, listed=BTC, kind=Kind.SWAP, settings=None, **more):
        quick = {
            "answer_timeout_s": 2.0,
            "overlap_s": 0.05,
            "message_interval_s": 0.01,
            "backoff_first_s": 0.05,
            "connect_interval_s": 0.0,
        }
        return OkxStream(
            RealNet(close_timeout_s=0.2),
            clock,
            chance,
            base_url=url,
            kind=kind,
            listed=listed,
            settings=LineSettings(**(quick | (settings or {}))),
            **more,
        )

    return build


async def eventually(condition):
    while not condition():  # noqa: ASYNC110 - what it waits for has no event of its own
        await asyncio.sleep(0.01)


async def say(connection, *frames):
    for frame in frames:
        await connection.send(frame if isinstance(frame, str) else frame.decode())


def test_it_says_connected_when_each_stream_is_confirmed_and_hands_on_every_price(
    run, sink, okx, stream
):
    async def work():
        async with (
            Venue().open() as venue,
            running(stream(venue.url, listed=LISTED), sink),
        ):
            await sink.until(lambda: sink.events)
            (connection,) = venue.connections
            await say(
                connection,
                okx.ticker(1),
                okx.trade(1),
                okx.mark(1),
                okx.trade(7, name="ETH-USDT-SWAP"),
                okx.trade(9, name="XRP-USDT-SWAP"),
                okx.trade(2),
            )
            await sink.until(lambda: sink.frames == 6)
            return venue

    venue = run(work())
    assert venue.paths == ["/ws/v5/public"]
    assert set(venue.subscriptions[0]) == {
        f"{channel}:{name}" for channel in ("trades", "tickers", "mark-price") for name in LISTED
    }
    assert [(kind, *rest[:1]) for kind, *rest in sink.events] == [
        ("connected",),
        ("quote", "BTC/USDT"),
        ("trade", "BTC/USDT"),
        ("mark", "BTC/USDT"),
        ("trade", "ETH/USDT"),
        ("trade", "BTC/USDT"),
    ]
    assert sink.bad == []


def test_marks_are_asked_for_swaps_only(run, sink, stream):
    spot = {"BTC-USDT": Listed("BTC/USDT")}

    async def work():
        async with (
            Venue().open() as venue,
            running(stream(venue.url, listed=spot, kind=Kind.SPOT), sink),
        ):
            await sink.until(lambda: sink.events)
            return venue.subscriptions

    assert run(work()) == [["trades:BTC-USDT", "tickers:BTC-USDT"]]


def test_a_market_that_is_not_listed_is_left_out_and_the_others_are_watched(run, sink, okx, stream):
    async def work():
        venue = Venue(unlisted=["ETH-USDT-SWAP"])
        async with venue.open(), running(stream(venue.url, listed=LISTED), sink):
            await sink.until(lambda: sink.of("connected"))
            await say(venue.connections[0], okx.trade(1))
            await sink.until(lambda: sink.trade_ids() == [1])

    run(work())
    assert sink.of("disconnected") == []


@pytest.mark.parametrize("code", ["60012", "60018"])
def test_a_refused_subscription_is_told_in_the_venues_words(run, sink, stream, code):
    async def refuse(connection):
        asked = orjson.loads(await connection.recv())
        for arg in asked["args"]:
            msg = UNLISTED.format_map(arg) if code == "60018" else "Invalid request: no"
            error = {"event": "error", "code": code, "msg": msg, "connId": "a4d3ae55"}
            await connection.send(orjson.dumps(error).decode())
        await connection.wait_closed()

    async def work():
        async with serve(refuse, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with running(stream(url), sink):
                await sink.until(lambda: sink.events)

    run(work())
    ((why,),) = sink.of("disconnected")
    said = (
        "Invalid request: no" if code == "60012" else "Wrong URL or channel:mark-price,instId:BTC"
    )
    assert why.startswith(f"the venue refused the subscription: {code} {said}")
    assert sink.of("connected") == []


def test_a_venue_that_never_confirms_is_left(run, sink, stream):
    async def work():
        settings = {"answer_timeout_s": 0.1, "max_silence_s": 0.4}
        venue = Venue(confirms=False)
        async with venue.open(), running(stream(venue.url, settings=settings), sink):
            await venue.until_subscribed(2)

    run(work())
    assert sink.events == [
        ("disconnected", "the venue did not confirm the subscription within 0.1 s")
    ]


def test_after_a_restart_of_the_server_it_is_back_and_subscribed_within_five_seconds(
    run, sink, okx, stream
):
    async def work():
        loop = asyncio.get_running_loop()
        as_shipped = msgspec.structs.asdict(SETTINGS)
        async with Venue().open() as venue:
            task = asyncio.create_task(stream(venue.url, settings=as_shipped).run(sink))
            await venue.until_subscribed(1)
            await say(venue.connections[0], okx.trade(7))
            await sink.until(lambda: sink.trade_ids() == [7])
        await sink.until(lambda: sink.of("disconnected"))
        await asyncio.sleep(1.0)  # down for a while: an attempt fails
        again = Venue()
        async with again.open(venue.port):
            back = loop.time()
            await again.until_subscribed(1)
            await say(again.connections[0], okx.trade(3))
            await sink.until(lambda: sink.trade_ids() == [7, 3])
            took_s = loop.time() - back
            task.cancel()
            await asyncio.wait({task})
        return took_s, venue.subscriptions, again.subscriptions

    took_s, before, after = run(work())
    assert took_s < 5.0
    assert before == after
    assert [kind for kind, *_ in sink.events if "connected" in kind] == [
        "connected",
        "disconnected",
        "connected",
    ]


def test_a_server_that_answers_pings_and_sends_nothing_else_is_silent(run, sink, stream):
    async def work():
        settings = {"max_silence_s": 0.8, "ping_after_s": 0.1}
        async with Venue().open() as venue, running(stream(venue.url, settings=settings), sink):
            await sink.until(lambda: len(sink.of("connected")) == 2)
            return venue.pings

    assert run(work()) > 0
    assert sink.events == [("connected",), ("disconnected", "no frame for 0.8 s"), ("connected",)]
    assert sink.frames == 0  # a pong is no data


def test_a_quiet_market_is_kept_open_by_pings(run, sink, okx, stream):
    async def work():
        settings = {"max_silence_s": 60.0, "ping_after_s": 0.1}
        async with Venue().open() as venue, running(stream(venue.url, settings=settings), sink):
            await venue.until_subscribed(1)
            await eventually(lambda: venue.pings >= 3)
            await say(venue.connections[0], okx.trade(1))
            await sink.until(lambda: sink.trade_ids() == [1])

    run(work())
    assert sink.of("disconnected") == []
    assert sink.bad == []


def test_no_ping_is_sent_while_frames_come(run, sink, okx, stream):
    async def work():
        settings = {"ping_after_s": 1.0}
        async with Venue().open() as venue, running(stream(venue.url, settings=settings), sink):
            await venue.until_subscribed(1)
            for number in range(30):
                await say(venue.connections[0], okx.trade(number))
                await asyncio.sleep(0.05)
            return venue.pings

    assert run(work()) == 0


def test_a_server_that_answers_no_ping_is_left(run, sink, stream):
    async def work():
        settings = {"max_silence_s": 60.0, "ping_after_s": 0.2, "answer_timeout_s": 0.2}
        venue = Venue(pongs=False)
        async with venue.open(), running(stream(venue.url, settings=settings), sink):
            await sink.until(lambda: len(sink.of("connected")) == 2)

    run(work())
    assert sink.events == [
        ("connected",),
        ("disconnected", "no answer to a ping within 0.2 s"),
        ("connected",),
    ]


def test_a_server_that_announces_its_restart_is_left_for_a_new_one_without_a_gap(
    run, sink, okx, stream
):
    """Both connections push every trade: the old one late, so that it is still under way."""
    count = 200

    async def work():
        async with Venue().open() as venue:
            settings = {"max_silence_s": 0.4, "overlap_s": 0.2}
            async with running(stream(venue.url, settings=settings), sink):
                await sink.until(lambda: sink.of("connected"))
                loop = asyncio.get_running_loop()
                sends = []

                async def send(connection, raw, delay_s):
                    await asyncio.sleep(delay_s)
                    with contextlib.suppress(Exception):
                        await connection.send(raw.decode())

                for number in range(count):
                    if number == 20:
                        await say(venue.connections[0], NOTICE)
                    for index, connection in enumerate(venue.connections):
                        lag_s = 0.03 if index == 0 else 0.0
                        sends.append(loop.create_task(send(connection, okx.trade(number), lag_s)))
                    await asyncio.sleep(0.005)
                await sink.until(lambda: sink.trade_ids()[-1:] == [count - 1])
                await asyncio.wait(sends)
                await venue.connections[0].wait_closed()
                return len(venue.connections)

    assert run(work()) == 2
    assert sink.trade_ids() == list(range(count))
    assert [event for event in sink.events if "connected" in event[0]] == [("connected",)]
    assert sink.frames > count  # the overlap, dropped


def test_what_comes_twice_late_or_broken_does_no_harm(run, sink, okx, stream):
    async def work():
        async with Venue().open() as venue, running(stream(venue.url), sink):
            await venue.until_subscribed(1)
            whole = okx.trade(5)
            await say(
                venue.connections[0],
                okx.trade(4),
                okx.trade(4),
                whole,
                okx.trade(3),
                whole[:-9],
                "<html>",
                okx.trade(6, price="0"),
                okx.trade(6, price="-1"),
                okx.trade(6, price="1e400"),
                okx.trade(6, price="inf"),
                okx.trade(6, name="XRP-USDT-SWAP"),
                okx.trade(6),
            )
            await sink.until(lambda: sink.frames == 12)

    run(work())
    assert sink.trade_ids() == [4, 5, 6]
    assert len(sink.bad) == 6
    assert sink.of("disconnected") == []


def test_connections_are_opened_no_faster_than_the_venue_allows(run, sink, stream):
    """Two lines to a server that hangs up on everybody."""
    opened = []

    async def hang_up(connection):
        opened.append(time.monotonic())
        await connection.close()

    async def work():
        async with serve(hang_up, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            wanted = Wanted(candles=ClosedCandles(lambda _: None))
            two = stream(
                url,
                wanted=wanted,
                timeframes=[Timeframe.parse("1m")],
                settings={"backoff_first_s": 0.01, "connect_interval_s": 0.4},
            )
            async with running(two, sink):
                await eventually(lambda: len(opened) >= 6)

    run(work())
    for first, fourth in zip(opened, opened[3:], strict=False):
        assert fourth - first > 1.0


def test_candles_and_books_come_to_whoever_asked(run, sink, okx, stream):
    taken = []
    wanted = Wanted(candles=ClosedCandles(taken.append), books=OrderBooks())

    async def work():
        async with Venue().open() as venue:
            whole = stream(
                venue.url,
                channels=("trades", "books5"),
                timeframes=[Timeframe.parse("1m"), Timeframe.parse("1d")],
                wanted=wanted,
            )
            async with running(whole, sink):
                await sink.until(lambda: sink.of("connected"))
                by_path = {each.request.path: each for each in venue.connections}
                await say(by_path["/ws/v5/business"], okx.candle(60_000), okx.candle(60_000))
                await say(
                    by_path["/ws/v5/public"],
                    okx.book(1, [("99", "1")], [("101", "1")]),
                    okx.trade(1),
                )
                await sink.until(lambda: sink.frames == 4)
                shown = wanted.books.snapshot("BTC/USDT", 5)
                await by_path["/ws/v5/public"].close()
                await sink.until(lambda: len(sink.of("connected")) == 2)
                return shown, wanted.books.snapshot("BTC/USDT", 5), venue.subscriptions

    shown, after_loss, subscriptions = run(work())
    assert [candle.open_ms for candle in taken] == [60_000]
    assert str(shown.bids[0].price) == "99"
    assert after_loss is None  # nobody knows how it went on
    assert sorted(map(tuple, subscriptions[:2])) == [
        (f"candle1m:{SWAP}", f"candle1Dutc:{SWAP}"),
        (f"trades:{SWAP}", f"books5:{SWAP}"),
    ]
    assert sink.bad == []


def test_a_quiet_minute_does_not_cost_the_line_of_candles(run, sink, okx, stream):
    wanted = Wanted(candles=ClosedCandles(lambda _: None))

    async def work():
        async with Venue().open() as venue:
            both = stream(
                venue.url,
                timeframes=[Timeframe.parse("1m")],
                wanted=wanted,
                settings={"max_silence_s": 0.3},
            )
            async with running(both, sink):
                await sink.until(lambda: sink.of("connected"))
                (public,) = (
                    each for each in venue.connections if each.request.path == "/ws/v5/public"
                )
                for number in range(40):
                    await say(public, okx.trade(number))
                    await asyncio.sleep(0.02)

    run(work())
    assert sink.of("disconnected") == []


def test_many_streams_are_asked_for_in_few_messages_below_the_limit(run, sink, stream):
    listed = {f"{'X' * 17}{n:03}-USDT-SWAP": Listed(f"X{n}/USDT") for n in range(400)}

    async def work():
        async with Venue().open() as venue, running(stream(venue.url, listed=listed), sink):
            await sink.until(lambda: sink.events)
            return venue

    venue = run(work())
    assert [len(names) for names in venue.subscriptions] == [500, 500, 200]
    assert max(venue.sizes) < 64 * 1024
    assert sink.events == [("connected",)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"listed": {}}, "nothing to subscribe to"),
        ({"kind": Kind.SPOT, "channels": ["mark-price"]}, "nothing to subscribe to"),
        ({"channels": ["books5"]}, "nothing to subscribe to"),  # nobody asked for books
        ({"channels": ["trade"]}, "no channel is called 'trade'; there are trades, tickers"),
        ({"url": "https://ws.okx.com"}, "is no websocket address; write it like 'wss://"),
        (
            {
                "timeframes": [Timeframe.parse("8h")],
                "wanted": Wanted(candles=ClosedCandles(lambda _: None)),
            },
            "the venue has no candles of 8h; there are 1s, 1m, 3m",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(stream, changes, why):
    with pytest.raises(ValueError, match=why):
        stream(**({"url": "ws://x"} | changes))
