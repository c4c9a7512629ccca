"""The sandbox's websockets: logins, subscriptions, pushes in order, and how they fail."""

import asyncio

import aiohttp

from tests.exchanges.sandbox.client import trading

ORDERS = {"channel": "orders", "instType": "ANY"}
STOPS = {"channel": "orders-algo", "instType": "ANY"}


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


def test_what_happens_to_an_order_is_pushed() -> None:
    async def work() -> None:
        async with trading() as client, client.listen("private", ORDERS, login=True) as ear:
            await client.buy("mine1")

            rows = [await ear.row("orders") for _ in range(2)]

            assert [row["state"] for row in rows] == ["live", "filled"]
            assert rows[1]["fillFee"] == "-0.00001"

    run(work)


def test_balances_and_positions_begin_with_a_snapshot() -> None:
    async def work() -> None:
        async with trading() as client, client.listen("private", login=True) as ear:
            for channel in ("account", "positions", "balance_and_position"):
                await ear.say(op="subscribe", args=[{"channel": channel, "instType": "ANY"}])

            account = await ear.row("account")
            frame = await ear.until(lambda one: one.get("arg", {}).get("channel") == "positions")
            if frame.get("event"):
                frame = await ear.next()
            both = await ear.row("balance_and_position")

            assert account["details"][0]["cashBal"] == "10000"
            assert frame["data"] == []
            assert both["eventType"] == "snapshot"

    run(work)


def test_account_and_positions_are_told_again_though_nothing_happened() -> None:
    async def work() -> None:
        async with trading(regular_s=0.05) as client, client.listen("private", login=True) as ear:
            await ear.say(op="subscribe", args=[{"channel": "account"}])

            for _ in range(3):
                await ear.until(lambda frame: frame.get("eventType") == "snapshot")

    run(work)


def test_a_stop_that_fires_is_pushed_on_business_and_its_child_on_private() -> None:
    stop = {"instId": "BTC-USDT", "side": "sell", "ordType": "conditional", "sz": "0.00999"}
    stop |= {"tdMode": "cash", "slTriggerPx": "59000", "slOrdPx": "-1", "algoClOrdId": "stop1"}

    async def work() -> None:
        async with (
            trading() as client,
            client.listen("private", ORDERS, login=True) as orders,
            client.listen("business", STOPS, login=True) as stops,
        ):
            await client.buy("mine1")
            await client.post("trade/order-algo", stop)
            client.sandbox.set_price("BTC-USDT", "58000")

            states = [(await stops.row("orders-algo"))["state"] for _ in range(2)]
            child = [await orders.row("orders") for _ in range(4)][-1]

            assert states == ["live", "effective"]
            assert (child["algoClOrdId"], child["state"]) == ("stop1", "filled")

    run(work)


def test_private_channels_need_a_login() -> None:
    async def work() -> None:
        async with trading() as client, client.listen("private") as ear:
            await ear.say(op="subscribe", args=[ORDERS])

            assert (await ear.next())["code"] == "60011"

    run(work)


def test_a_login_that_is_wrong_is_refused_by_its_fault() -> None:
    async def work() -> None:
        async with trading() as client, client.listen("private") as ear:
            codes = []
            for fields in (
                client.login(apiKey="other"),
                client.login(passphrase="other"),
                client.login(sign="other"),
                client.login(timestamp="1"),
            ):
                await ear.say(op="login", args=[fields])
                codes.append((await ear.next())["code"])

            assert codes == ["60005", "60024", "60007", "60006"]

    run(work)


def test_what_is_not_on_a_path_or_no_request_is_refused() -> None:
    async def work() -> None:
        async with trading() as client, client.listen("public") as ear:
            for arg in (
                {"channel": "candle1m", "instId": "BTC-USDT"},
                {"channel": "tickers", "instId": "NOPE-USDT"},
                ORDERS,
            ):
                await ear.say(op="subscribe", args=[arg])
                assert (await ear.next())["code"] == "60018"
            await ear.socket.send_str("{")
            assert (await ear.next())["code"] == "60012"
            await ear.say(op="dance", args=[{}])
            assert (await ear.next())["code"] == "60012"
            await ear.say(op="login", args=[client.login()])
            assert (await ear.next())["code"] == "60028"

    run(work)


def test_text_pings_are_answered_and_silence_is_cut() -> None:
    async def work() -> None:
        async with trading(idle_s=0.3) as client, client.listen("public") as ear:
            await ear.socket.send_str("ping")
            assert await ear.next() == "pong"

            assert await ear.next() is None
            assert ear.socket.close_code == 4004

    run(work)


def test_prices_are_pushed_on_the_channels_that_were_asked_for() -> None:
    name = "BTC-USDT-SWAP"
    channels = ("tickers", "trades", "mark-price", "books5", "bbo-tbt")
    args = [{"channel": channel, "instId": name} for channel in channels]

    async def work() -> None:
        async with trading() as client, client.listen("public", *args) as ear:
            client.sandbox.set_price(name, "61000")

            trade = await ear.row("trades")
            seen = {one["arg"]["channel"]: one["data"][0] for one in ear.heard if "data" in one}
            while not set(channels) <= set(seen):
                frame = await ear.next()
                seen[frame["arg"]["channel"]] = frame["data"][0]
            ticker = await last(ear, client, "tickers", name)

            assert trade["px"] == "61000"
            assert (ticker["last"], ticker["askPx"]) == ("61001", "61001.1")
            assert len(seen["books5"]["asks"]) == 5

    run(work)


async def last(ear, client, channel: str, name: str) -> dict:
    client.sandbox.set_price(name, "61001")
    while True:
        row = await ear.row(channel)
        if row.get("last") == "61001":
            return row


def test_a_price_that_stands_still_trades_and_fills_nothing() -> None:
    arg = {"channel": "trades", "instId": "BTC-USDT"}
    resting = {"ordType": "limit", "px": "60000", "tgtCcy": ""}

    async def work() -> None:
        async with trading(quiet_s=0.05) as client, client.listen("public", arg) as ear:
            await client.buy("mine1", **resting)

            rows = [await ear.row("trades") for _ in range(3)]

            assert len({row["tradeId"] for row in rows}) == 3
            assert {row["px"] for row in rows} == {"60000"}
            assert client.sandbox.venue.account.order_by_client["mine1"].is_working

    run(work)


def test_book_updates_chain_and_add_up_to_the_book() -> None:
    name = "BTC-USDT"
    arg = {"channel": "books", "instId": name}

    async def work() -> None:
        async with trading(quiet_s=0) as client, client.listen("public", arg) as ear:
            first = await ear.until(lambda one: one.get("action") == "snapshot")
            book = {level[0]: level[1] for level in first["data"][0]["asks"]}
            seq = first["data"][0]["seqId"]
            for price in ("60000.5", "59990", "60010"):
                client.sandbox.set_price(name, price)
                row = (await ear.next())["data"][0]
                assert row["prevSeqId"] == seq
                seq = row["seqId"]
                for level in row["asks"]:
                    book.pop(level[0], None)
                    if level[1] != "0":
                        book[level[0]] = level[1]

            asks, _ = client.sandbox.venue.market.quote(name).levels(25)
            assert book == {level[0]: level[1] for level in asks}
            assert first["data"][0]["prevSeqId"] == -1

    run(work)


def test_candles_come_on_business() -> None:
    arg = {"channel": "candle1m", "instId": "BTC-USDT"}

    async def work() -> None:
        async with trading() as client, client.listen("business", arg) as ear:
            client.sandbox.set_price("BTC-USDT", "60500")

            frame = await ear.until(lambda one: "data" in one and one["data"][0][4] == "60500")

            assert frame["data"][0][8] == "0"

    run(work)


def test_nothing_more_comes_after_unsubscribing() -> None:
    arg = {"channel": "trades", "instId": "BTC-USDT"}

    async def work() -> None:
        async with trading() as client, client.listen("public", arg) as ear:
            await ear.say(op="unsubscribe", args=[arg])
            assert (await ear.next())["event"] == "unsubscribe"
            client.sandbox.set_price("BTC-USDT", "61000")
            await ear.socket.send_str("ping")

            assert await ear.next() == "pong"

    run(work)


def test_pushes_can_be_lost_doubled_and_overtaken() -> None:
    async def states(kind: str) -> list[str]:
        async with trading() as client, client.listen("private", ORDERS, login=True) as ear:
            client.sandbox.fault(kind, "orders")
            await client.buy("mine1")
            await ear.socket.send_str("ping")
            await ear.until(lambda frame: frame == "pong")
            return [frame["data"][0]["state"] for frame in ear.heard if "data" in frame]

    assert asyncio.run(states("drop")) == ["filled"]
    assert asyncio.run(states("duplicate")) == ["live", "live", "filled"]
    assert asyncio.run(states("reorder")) == ["filled", "live"]


def test_a_silent_socket_still_answers_pings_a_half_open_one_does_not() -> None:
    async def work() -> None:
        async with trading() as client, client.listen("private", ORDERS, login=True) as ear:
            client.sandbox.sockets.silent = True
            await client.buy("mine1")
            await ear.socket.send_str("ping")
            assert await ear.next() == "pong"

            client.sandbox.sockets.half_open = True
            await ear.socket.send_str("ping")
            try:
                heard = await asyncio.wait_for(ear.socket.receive(), 0.3)
            except TimeoutError:
                heard = None
            assert heard is None

    run(work)


def test_sockets_are_warned_and_cut() -> None:
    async def work() -> None:
        async with trading() as client, client.listen("private", ORDERS, login=True) as ear:
            client.sandbox.sockets.notice()
            assert (await ear.next())["code"] == "64008"

            assert client.sandbox.sockets.cut("private") == 1
            assert await ear.next() is None

    run(work)


def test_in_maintenance_no_socket_opens() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.world.maintenance = True
            try:
                async with client.listen("public"):
                    opened = True
            except aiohttp.WSServerHandshakeError as refused:
                opened = refused.status != 503

            assert not opened

    run(work)
