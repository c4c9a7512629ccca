"""The private stream's times as shipped, on a virtual clock: dead peers, refusals, pacing."""

import asyncio
import contextlib
import random
from collections import deque

import orjson
import pytest

from exchanges.okx_private import OkxPrivateStream
from exchanges.port import StreamDown, StreamUp
from tests.exchanges.okx_private_venue import Keys
from tests.exchanges.okx_rows import INSTRUMENTS


class Wire:
    """A websocket in memory: the venue answers at once, until it is told to fall silent."""

    def __init__(self, net) -> None:
        self.net = net
        self._answers: deque[bytes] = deque()
        self._arrived = asyncio.Event()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._answers:
            self._arrived.clear()
            await self._arrived.wait()
        return self._answers.popleft()

    async def send(self, message):
        if self.net.silent:
            return
        for answer in self.net.answers(message):
            self._answers.append(answer)
        self._arrived.set()


class Net:
    """Opens wires, and notes when and what was sent."""

    def __init__(self, loop) -> None:
        self._loop = loop
        self.silent = False
        self.code = ""  # with which logins are refused
        self.unreachable = False
        self.opened: list[float] = []
        self.logins: list[dict] = []
        self.pings: list[float] = []

    @contextlib.asynccontextmanager
    async def websocket(self, url):
        self.opened.append(self._loop.time())
        if self.unreachable:
            raise ConnectionRefusedError
        yield Wire(self)

    def answers(self, message):
        if message == "ping":
            self.pings.append(self._loop.time())
            return [b"pong"]
        asked = orjson.loads(message)
        if asked["op"] == "login":
            self.logins.append(asked["args"][0])
            if self.code:
                refusal = {"event": "error", "code": self.code, "msg": "no"}
                return [orjson.dumps(refusal)]
            return [b'{"event":"login","code":"0","msg":""}']
        return [orjson.dumps({"event": "subscribe", "arg": arg}) for arg in asked["args"]]


@pytest.fixture
def net(virtual_loop) -> Net:
    return Net(virtual_loop)


@pytest.fixture
def for_seconds(virtual_loop, loop_clock, in_virtual_time, net):
    """Run a stream as shipped; call what is due at each time; return updates with their times."""

    def go(seconds, *due):
        told = []

        async def work():
            begun = virtual_loop.time()
            stream = OkxPrivateStream(
                net, loop_clock, random.Random(7), ws_url="wss://venue.test", credentials=Keys,
                instruments=lambda: INSTRUMENTS,
                on_update=lambda update: told.append((virtual_loop.time() - begun, update)),
            )  # fmt: skip
            for at, function in due:
                virtual_loop.call_later(at, function)
            task = asyncio.create_task(stream.run())
            await asyncio.sleep(seconds)
            await stream.close()
            assert task.cancelled()

        in_virtual_time(work())
        return told

    return go


def first(told, type_):
    return next(at for at, update in told if isinstance(update, type_))


def test_a_half_open_connection_is_noticed_within_fifteen_seconds(for_seconds, net):
    told = for_seconds(60, (20.0, lambda: setattr(net, "silent", True)))

    assert 20.0 < first(told, StreamDown) <= 35.0


def test_it_is_up_again_within_five_seconds_of_the_venue(for_seconds, net):
    told = for_seconds(
        200,
        (20.0, lambda: setattr(net, "silent", True)),
        (20.0, lambda: setattr(net, "unreachable", True)),
        (150.0, lambda: setattr(net, "silent", False)),
        (150.0, lambda: setattr(net, "unreachable", False)),
    )

    ups = [at for at, update in told if isinstance(update, StreamUp)]
    assert len(ups) == 2
    assert 150.0 < ups[1] < 155.0


def test_a_day_without_news_is_no_reason_to_reconnect(for_seconds, net):
    told = for_seconds(20 * 3600)

    assert [type(update) for _, update in told] == [StreamUp]
    apart = [later - at for at, later in zip(net.pings, net.pings[2:], strict=False)]
    assert 8.0 <= min(apart) <= max(apart) < 30.0  # the venue hangs up after 30 s


def test_connections_are_renewed_before_a_day_is_over_without_being_down(for_seconds, net):
    told = for_seconds(26 * 3600)

    assert [type(update) for _, update in told] == [StreamUp]
    assert len(net.opened) == 4


def test_a_refused_key_is_tried_every_half_minute_and_told_once_a_connection(for_seconds, net):
    net.code = "60005"

    told = for_seconds(600)

    assert len([update for _, update in told if isinstance(update, StreamDown)]) == 2
    assert 2 * 600 / 30 <= len(net.logins) <= 2 * (600 / 24 + 1)


@pytest.mark.parametrize("trouble", ["unreachable", "code"])
def test_never_more_than_three_connections_in_a_second(for_seconds, net, trouble):
    setattr(net, trouble, "63999" if trouble == "code" else True)

    for_seconds(300)

    for at in net.opened:
        assert sum(at <= other < at + 1.0 for other in net.opened) <= 3


def test_each_login_names_the_second_it_is_sent_in(for_seconds, net):
    net.code = "60006"  # not for good: asked again within seconds

    for_seconds(60)

    seconds = [int(login["timestamp"]) for login in net.logins]
    assert len(set(seconds)) > 10
    assert max(seconds) - min(seconds) > 50
