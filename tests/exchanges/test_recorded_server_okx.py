"""The recorded server, as a client of OKX sees it."""

import asyncio
import random
from contextlib import asynccontextmanager

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from domain.candles import Timeframe
from domain.instrument import Kind
from exchanges.closed_candles import ClosedCandles
from exchanges.okx_frames import Listed, Wanted
from exchanges.okx_names import BUSINESS, PUBLIC
from exchanges.okx_requests import Endpoint, endpoint_of
from exchanges.real_net import RealNet
from exchanges.recorded_server import RecordedServer
from exchanges.session import LineSettings
from tests.exchanges.running import running

SWAP = "BTC-USDT-SWAP"


def request(op: str, *streams: str, **more) -> str:
    args = [dict(zip(("channel", "instId"), one.split(":"), strict=True)) for one in streams]
    return orjson.dumps({"op": op, "args": args, **more}).decode()


async def ask(client, text: str) -> dict:
    await client.send(text)
    return orjson.loads(await client.recv())


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
async def serving(*paths, path=PUBLIC, **settings):
    async with (
        RecordedServer(paths, **({"speed": 0} | settings)) as server,
        connect(server.url + path, compression=None, close_timeout=0.2) as client,
    ):
        yield server, client


def test_each_stream_is_confirmed_by_its_name_and_its_frames_follow_in_order(run, record, okx):
    frames = [okx.trade(1), okx.ticker(2), okx.trade(3), okx.mark(4)]

    async def work():
        async with serving(record(*frames)) as (_, client):
            first = await ask(client, request("subscribe", f"trades:{SWAP}", f"tickers:{SWAP}"))
            second = orjson.loads(await client.recv())
            assert [first["arg"], second["arg"]] == [
                {"channel": "trades", "instId": SWAP},
                {"channel": "tickers", "instId": SWAP},
            ]
            assert {first["event"], second["event"]} == {"subscribe"}
            assert first["connId"] == second["connId"]
            assert await receive(client, 3) == frames[:3]
            assert await stays_silent(client)

    run(work())


def test_candles_are_on_business_and_everything_else_on_public(run, record, okx):
    frames = [okx.candle(60_000), okx.trade(1)]

    async def work():
        async with (
            serving(record(*frames), hold=True) as (server, public),
            connect(server.url + BUSINESS) as business,
        ):
            for client, bad in ((public, "candle1m"), (business, "trades")):
                refusal = await ask(client, request("subscribe", f"{bad}:{SWAP}", id="7"))
                assert (refusal["event"], refusal["code"], refusal["id"]) == ("error", "60018", "7")
                assert refusal["msg"] == (
                    f"Wrong URL or channel:{bad},instId:{SWAP} doesn't exist. Please use the"
                    " correct URL, channel and parameters referring to API document."
                )
            await public.send(request("subscribe", f"trades:{SWAP}"))
            await business.send(request("subscribe", f"candle1m:{SWAP}"))
            for client, frame in ((business, frames[0]), (public, frames[1])):
                confirmed, pushed = await receive(client, 2)
                assert orjson.loads(confirmed)["event"] == "subscribe"
                assert pushed == frame
            server.release()

    run(work())


def test_a_ping_is_answered_in_text(run, record, okx):
    async def work():
        async with serving(record(okx.trade(1))) as (_, client):
            await client.send("ping")
            assert await client.recv() == "pong"

    run(work())


def test_who_subscribes_is_told_the_present_price_and_no_old_trade(run, record, okx):
    frames = [okx.trade(1), okx.ticker(1), okx.mark(1), okx.ticker(2)]
    names = [f"{channel}:{SWAP}" for channel in ("trades", "tickers", "mark-price")]

    async def work():
        async with serving(record(*frames)) as (server, first):
            await first.send(request("subscribe", *names))
            await receive(first, 3 + 4)
            async with connect(server.url + PUBLIC) as late:
                await late.send(request("subscribe", *names))
                await receive(late, 3)
                assert await receive(late, 2) == [frames[3], frames[2]]
                assert await stays_silent(late)

    run(work())


def test_what_is_unsubscribed_comes_no_more(run, record, okx):
    path_frames = [okx.trade(1), okx.ticker(1), okx.trade(2), okx.ticker(2)]

    async def work():
        async with serving(record(*path_frames), hold=True) as (server, client):
            await client.send(request("subscribe", f"trades:{SWAP}", f"tickers:{SWAP}"))
            await receive(client, 4)
            answer = await ask(client, request("unsubscribe", f"trades:{SWAP}", id="abc"))
            assert (answer["event"], answer["id"]) == ("unsubscribe", "abc")
            server.release()
            assert await receive(client, 1) == [okx.ticker(2)]
            assert await stays_silent(client)

    run(work())


def test_a_held_recording_plays_until_every_symbol_has_a_price_then_waits(run, record, okx):
    opening = [okx.ticker(1), okx.trade(1), okx.mark(1), okx.trade(7, name="ETH-USDT-SWAP")]
    names = [f"trades:{SWAP}", f"tickers:{SWAP}", f"mark-price:{SWAP}", "trades:ETH-USDT-SWAP"]

    async def work():
        async with serving(record(*opening, okx.trade(2)), hold=True) as (server, client):
            await client.send(request("subscribe", *names))
            await receive(client, 4)
            assert await receive(client, 4) == opening
            assert await stays_silent(client)
            server.release()
            assert await receive(client, 1) == [okx.trade(2)]

    run(work())


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("not json", "60012", "Invalid request: not json"),
        ("[]", "60012", "Invalid request: []"),
        ('{"args":[]}', "60012", "Invalid request"),
        ('{"op":7}', "60012", "Invalid request"),
        ('{"op":"subscribe"}', "60012", "Invalid request"),
        ('{"op":"subscribe","args":[]}', "60012", "Invalid request"),
        ('{"op":"subscribe","argss":[{}]}', "60012", "Invalid request"),
        ('{"op":"subscribe","args":["trades"]}', "60012", "Invalid request"),
        ('{"op":"shout","args":[{}]}', "60019", "Invalid op: shout"),
        ('{"op":"login","args":[{}]}', "60028", "not supported by this URL"),
        ('{"op":"subscribe","args":[{"channel":"trades"}]}', "60018", "channel:trades doesn't"),
        ('{"op":"subscribe","args":[{"channel":[],"instId":{}}]}', "60018", "channel:a list"),
        ('{"op":"subscribe","args":[{"channel":"trades","instId":"BTC/USDT"}]}', "60018", "BTC/"),
        ('{"op":"subscribe","args":[{"channel":"shouts","instId":"A-B"}]}', "60018", "shouts"),
        ("[" * 2000, "60012", "Invalid request: ["),
        (
            '{"op":"subscribe","args":[{"channel":' + "[" * 900 + "]" * 900 + "}]}",
            "60018",
            "channel:a list",
        ),
    ],
)
def test_a_malformed_request_gets_the_venues_error(run, record, okx, text, code, message):
    async def work():
        async with serving(record(okx.trade(1))) as (_, client):
            answer = await ask(client, text)
            assert (answer["event"], answer["code"]) == ("error", code)
            assert message in answer["msg"]
            await client.send("ping")
            assert await client.recv() == "pong"

    run(work())


def test_of_several_streams_only_the_impossible_is_refused(run, record, okx):
    async def work():
        async with serving(record(okx.trade(1))) as (_, client):
            await client.send(request("subscribe", f"shouts:{SWAP}", f"trades:{SWAP}"))
            refused, confirmed, frame = await receive(client, 3)
            assert orjson.loads(refused)["code"] == "60018"
            assert orjson.loads(confirmed)["event"] == "subscribe"
            assert frame == okx.trade(1)

    run(work())


def test_more_than_480_requests_an_hour_are_refused_and_pings_are_free(run, record, okx):
    async def work():
        async with serving(record(okx.trade(1))) as (_, client):
            for _ in range(480):
                assert (await ask(client, request("unsubscribe", "trades:A-B")))["event"] != "error"
            await client.send("ping")
            assert await client.recv() == "pong"
            answer = await ask(client, request("subscribe", f"trades:{SWAP}"))
            assert (answer["code"], answer["msg"]) == ("60014", "Requests too frequent")

    run(work())


def test_who_says_and_hears_nothing_is_hung_up_on(run, record, okx):
    async def work():
        async with serving(record(okx.trade(1)), idle_s=0.3) as (_, client):
            for _ in range(4):  # a ping in time keeps it open
                await asyncio.sleep(0.15)
                await client.send("ping")
                assert await client.recv() == "pong"
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4004, "No data received in 30s")

    run(work())


def test_one_recording_may_hold_frames_of_both_venues(run, record, make, okx):
    frames = [make.trade(1), okx.trade(1), make.trade(2), okx.trade(2)]

    async def work():
        async with (
            serving(record(*frames), hold=True) as (server, client),
            connect(server.url + "/stream?streams=btcusdt@trade") as binance,
        ):
            await ask(client, request("subscribe", f"trades:{SWAP}"))
            server.release()
            assert await receive(client, 2) == [frames[1], frames[3]]
            assert await receive(binance, 2) == [frames[0], frames[2]]

    run(work())


@pytest.mark.parametrize("path", ["/ws/v5", "/ws/v5/private", "/public", "/"])
def test_other_paths_are_not_okx(path):
    assert endpoint_of(path, "x") is None
    assert endpoint_of(PUBLIC + "?brokerId=9999", "x") == Endpoint(PUBLIC, "x")


def test_the_stream_takes_a_whole_recording_from_it_pinging_through_the_silence(
    run, sink, record, okx, clock
):
    """The real stream, both lines, against a server that hangs up on the idle."""
    from exchanges.okx_stream import OkxStream  # noqa: PLC0415

    taken = []
    wanted = Wanted(candles=ClosedCandles(taken.append))
    trades = [okx.trade(number) for number in range(1, 300)]
    frames = [okx.ticker(5), *trades, okx.candle(60_000), okx.mark(9)]

    async def work():
        async with RecordedServer([record(*frames)], speed=0, hold=True, idle_s=0.6) as server:
            stream = OkxStream(
                RealNet(close_timeout_s=0.2),
                clock,
                random.Random(7),
                base_url=server.url,
                kind=Kind.SWAP,
                listed={SWAP: Listed("BTC/USDT")},
                timeframes=[Timeframe.parse("1m")],
                wanted=wanted,
                settings=LineSettings(
                    max_silence_s=60.0, ping_after_s=0.2, answer_timeout_s=0.4, overlap_s=0.05
                ),
            )
            async with running(stream, sink):
                await sink.until(lambda: sink.of("connected"))
                await asyncio.sleep(1.5)  # held: without pings it would be hung up on twice
                server.release()
                await sink.until(lambda: sink.of("mark") and len(taken) == 1)

    run(work())
    assert sink.trade_ids() == list(range(1, 300))
    assert sink.of("disconnected") == []
    assert sink.bad == []
