"""The private stream against a server on loopback: logged in, kept up, told of when down."""

import asyncio
import contextlib
import io
import time
from decimal import Decimal
from itertools import pairwise

import msgspec
import orjson
import pytest

from daemon.logs import Logs
from domain.order import Fill, OrderStatus
from exchanges.okx_private import SETTINGS, OkxPrivateStream, stream_of
from exchanges.port import BalanceReport, PositionReport, StreamDown, StreamUp, VenueOrder
from exchanges.real_net import RealNet
from exchanges.session import LineSettings
from tests.exchanges.okx_account_frames import (
    INSTRUMENTS,
    account,
    algo_row,
    algos,
    balance_row,
    filled_row,
    order_row,
    orders,
    position_row,
    positions,
)
from tests.exchanges.okx_private_venue import Keys, PrivateVenue, Updates
from tests.exchanges.okx_rows import BTC_SWAP, OURS

NOTICE = orjson.dumps(
    {
        "event": "notice",
        "code": "64008",
        "msg": "The connection will soon be closed.",
        "connId": "a",
    }
)


@pytest.fixture
def told() -> Updates:
    return Updates()


@pytest.fixture
def watching(clock, chance, told):
    """Run a stream with short times while a test looks at it."""

    @contextlib.asynccontextmanager
    async def watch(url, *, credentials=Keys, settings=None, **more):
        quick = {
            "max_silence_s": None,
            "answer_timeout_s": 1.0,
            "overlap_s": 0.05,
            "ping_after_s": 5.0,
            "backoff_first_s": 0.05,
            "refused_retry_s": 0.4,
        }
        stream = OkxPrivateStream(
            RealNet(close_timeout_s=0.2),
            clock,
            chance,
            ws_url=url,
            credentials=credentials,
            instruments=lambda: INSTRUMENTS,
            on_update=told,
            settings=LineSettings(**(quick | (settings or {}))),
            **more,
        )
        task = asyncio.create_task(stream.run())
        try:
            yield stream
        finally:
            await stream.close()
            assert task.cancelled() or task.result() is None

    return watch


async def eventually(condition):
    while not condition():  # noqa: ASYNC110 - what it waits for has no event of its own
        await asyncio.sleep(0.01)


def ups_and_downs(told):
    return [type(each).__name__ for each in told.of(StreamUp, StreamDown)]


def test_it_is_up_when_both_connections_are_subscribed_and_tells_what_happens(run, told, watching):
    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url) as stream:
            await told.until(lambda: told.of(StreamUp))
            assert sorted(venue.logins) == ["business", "private"]
            await venue.push("private", account(balance_row()), positions(position_row()))
            await venue.push("private", orders(order_row()), orders(filled_row()))
            await told.until(lambda: len(told.all) == 6)
            await venue.push("business", algos(algo_row(algoClOrdId=OURS[:24] + "G000001")))
            await told.until(lambda: len(told.all) == 7)
            return stream.counts

    counts = run(work())
    assert [type(each) for each in told.all] == [
        StreamUp, BalanceReport, PositionReport, VenueOrder, Fill, VenueOrder, VenueOrder,
    ]  # fmt: skip
    assert (counts.updates, counts.bad, counts.unlisted) == (6, 0, 0)


@pytest.mark.parametrize("suffix", ["", "/", "/ws/v5", "/ws/v5/"])
def test_an_address_may_name_the_version_or_not(run, told, watching, suffix):
    async def work():
        venue = PrivateVenue()
        async with venue.open(), contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(watching(f"ws://127.0.0.1:{venue.port}{suffix}"))
            await told.until(lambda: told.of(StreamUp))

    run(work())


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1:80", ""])
def test_an_address_of_another_kind_is_refused(clock, chance, told, url):
    with pytest.raises(ValueError, match="websocket address"):
        OkxPrivateStream(
            RealNet(), clock, chance, ws_url=url, credentials=Keys,
            instruments=lambda: INSTRUMENTS, on_update=told,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "code"), [("key", "60005"), ("secret", "60007"), ("passphrase", "60024")]
)
def test_wrong_credentials_are_named_and_asked_again_rarely(run, told, watching, field, code):
    class Wrong(Keys):
        pass

    setattr(Wrong, field, "wrong")

    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url, credentials=Wrong):
            await venue.until(lambda: len(venue.opened) == 6)
            return venue.opened

    opened = run(work())
    assert {"Check key, secret and passphrase" in each.why for each in told.of(StreamDown)} == {
        True
    }
    assert len(told.of(StreamDown)) == 2  # one a connection, however often it is tried
    assert f"the venue refused the login: {code}" in told.all[0].why
    assert min(later - earlier for earlier, later in pairwise(opened[::2])) > 0.25
    assert not told.of(StreamUp)


def test_a_key_that_works_again_is_taken_up(run, told, watching):
    async def work():
        async with PrivateVenue(refuses="50110").open() as venue, watching(venue.url):
            await told.until(lambda: len(told.of(StreamDown)) == 2)
            venue.refuses = ""
            await told.until(lambda: told.of(StreamUp))

    run(work())


def test_a_clock_that_is_off_is_corrected_by_what_was_measured(run, told, watching):
    offset = [0.0]

    async def work():
        venue = PrivateVenue(ahead_s=120.0)
        async with venue.open(), watching(venue.url, offset_s=lambda: offset[0]):
            await told.until(lambda: told.of(StreamDown))
            offset[0] = 120.0
            await told.until(lambda: told.of(StreamUp))

    run(work())
    assert "60006" in told.all[0].why


def test_a_channel_one_can_do_without_may_be_missing(run, told, watching):
    async def work():
        async with PrivateVenue(missing=["algo-advance"]).open() as venue, watching(venue.url):
            await told.until(lambda: told.of(StreamUp))

    run(work())
    assert ups_and_downs(told) == ["StreamUp"]


def test_without_the_orders_it_is_not_up(run, told, watching):
    async def work():
        async with PrivateVenue(missing=["orders"]).open() as venue, watching(venue.url):
            await told.until(lambda: told.of(StreamDown))

    run(work())
    assert "60018" in told.of(StreamDown)[0].why
    assert not told.of(StreamUp)


@pytest.mark.parametrize("path", ["private", "business"])
def test_when_one_connection_is_cut_it_is_down_and_soon_up_again(run, told, watching, path):
    as_shipped = msgspec.structs.asdict(SETTINGS)

    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url, settings=as_shipped):
            await told.until(lambda: told.of(StreamUp))
            venue.live[path][-1].transport.abort()
            cut = time.monotonic()
            await told.until(lambda: len(told.of(StreamUp)) == 2)
            return time.monotonic() - cut

    assert run(work()) < 5.0
    assert ups_and_downs(told) == ["StreamUp", "StreamDown", "StreamUp"]
    assert told.of(StreamDown)[0].why.startswith(f"{path}: ")


def test_after_a_restart_of_the_venue_it_is_back_within_five_seconds(run, told, watching):
    as_shipped = msgspec.structs.asdict(SETTINGS)

    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url, settings=as_shipped):
            await told.until(lambda: told.of(StreamUp))
            # The server goes away while the stream watches, and comes back where it was.
            for connections in venue.live.values():
                connections[-1].transport.abort()
            venue.refuses = "63999"
            await told.until(lambda: any("63999" in each.why for each in told.of(StreamDown)))
            venue.refuses, back = "", time.monotonic()
            await told.until(lambda: len(told.of(StreamUp)) == 2)
            return time.monotonic() - back

    assert run(work()) < 5.0


def test_a_peer_that_answers_no_ping_is_dead(run, told, watching):
    settings = {"ping_after_s": 0.1, "answer_timeout_s": 0.2}

    async def work():
        venue = PrivateVenue(pongs=False)
        async with venue.open(), watching(venue.url, settings=settings):
            await told.until(lambda: len(told.of(StreamUp)) == 2)

    run(work())
    assert "no answer to a ping" in told.of(StreamDown)[0].why


def test_a_quiet_account_is_kept_alive_by_pings_alone(run, told, watching):
    settings = {"ping_after_s": 0.1, "answer_timeout_s": 0.2}

    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url, settings=settings):
            await told.until(lambda: told.of(StreamUp))
            await eventually(lambda: venue.pings >= 8)

    run(work())
    assert ups_and_downs(told) == ["StreamUp"]


def test_before_the_venue_goes_away_a_new_connection_stands_beside_the_old_one(run, told, watching):
    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url):
            await told.until(lambda: told.of(StreamUp))
            (old,) = venue.live["private"]
            await venue.push("private", orders(order_row()), NOTICE)
            await venue.until(lambda: len(venue.live["private"]) == 2)
            await old.send(orders(filled_row("1", "0.5", "0.5")).decode())  # both tell of it
            await venue.push("private", orders(filled_row("1", "0.5", "0.5")))
            await old.wait_closed()
            await venue.push("private", orders(filled_row("2", "1.5", "2")))
            await told.until(lambda: told.of(VenueOrder)[-1].status is OrderStatus.FILLED)

    run(work())
    assert ups_and_downs(told) == ["StreamUp"]
    assert [each.trade_id for each in told.of(Fill)] == ["BTC-USDT-SWAP:1", "BTC-USDT-SWAP:2"]


def test_what_is_pushed_again_after_a_reconnect_is_told_once(run, told, watching):
    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url):
            await told.until(lambda: told.of(StreamUp))
            await venue.push("private", orders(filled_row()), positions(position_row()))
            await told.until(lambda: told.of(PositionReport))
            venue.live["private"][-1].transport.abort()
            await told.until(lambda: len(told.of(StreamUp)) == 2)
            await venue.push("private", orders(filled_row()), positions(position_row()))
            await told.until(lambda: len(told.of(PositionReport)) == 2)

    run(work())
    assert len(told.of(Fill)) == 1


def test_its_lines_log_as_what_concerns_orders(run, told, watching):
    said = io.StringIO()
    log = Logs(format="json", stream=said)
    log.start()

    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url):
            await told.until(lambda: told.of(StreamUp))

    try:
        run(work())
    finally:
        log.close()
    lines = [orjson.loads(line) for line in said.getvalue().splitlines()]
    assert {each["category"] for each in lines if each["event"] == "stream_connected"} == {
        "trade.execution"
    }


def test_nonsense_is_counted_and_the_stream_goes_on(run, told, watching):
    async def work():
        async with PrivateVenue().open() as venue, watching(venue.url) as stream:
            await told.until(lambda: told.of(StreamUp))
            await venue.push("private", *[b"{"] * 30, orders(filled_row(instId="A-B")))
            await venue.push("private", orders(filled_row()))
            await told.until(lambda: told.of(Fill))
            return stream.counts

    counts = run(work())
    assert (counts.bad, counts.unlisted) == (30, 1)
    assert ups_and_downs(told) == ["StreamUp"]


def test_what_the_owner_raises_ends_the_stream(run, clock, chance):
    def fail(update):
        raise RuntimeError("a bug")

    async def work():
        async with PrivateVenue().open() as venue:
            stream = OkxPrivateStream(
                RealNet(close_timeout_s=0.2), clock, chance, ws_url=venue.url, credentials=Keys,
                instruments=lambda: INSTRUMENTS, on_update=fail,
            )  # fmt: skip
            await stream.run()

    with pytest.raises(RuntimeError, match="a bug"):
        run(work())


def test_the_stream_of_an_account_reads_by_the_rules_that_the_venue_told_it(
    run, clock, chance, told
):
    class Rules:
        def __init__(self):
            self.listed = {}  # also what is suspended, which is not offered

    class Account:
        settings = Keys
        clock_offset_s = 120.0
        rules = Rules()

    account = Account()

    async def work():
        async with PrivateVenue(ahead_s=120.0).open() as venue:
            make = stream_of((RealNet(close_timeout_s=0.2), clock, chance), venue.url)
            stream = make(account, told)
            task = asyncio.create_task(stream.run())
            await told.until(lambda: told.of(StreamUp))
            await venue.push("private", orders(filled_row("1")))
            await eventually(lambda: stream.counts.unlisted == 1)
            account.rules.listed = {"BTC-USDT-SWAP": BTC_SWAP}
            await venue.push("private", orders(filled_row("2")))
            await told.until(lambda: told.of(Fill))
            await stream.close()
            assert task.cancelled()

    run(work())
    assert [each.quantity for each in told.of(Fill)] == [Decimal("0.02")]


def test_a_stream_may_be_closed_before_it_ran_and_twice(run, clock, chance, told):
    async def work():
        stream = OkxPrivateStream(
            RealNet(), clock, chance, ws_url="ws://127.0.0.1:1", credentials=Keys,
            instruments=lambda: INSTRUMENTS, on_update=told,
        )  # fmt: skip
        await stream.close()
        await stream.close()

    run(work())
