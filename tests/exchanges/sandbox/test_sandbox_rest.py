"""The sandbox's REST: signatures, envelopes, limits, endpoints, and every fault it can play."""

import asyncio
from decimal import Decimal

import aiohttp
import pytest

from exchanges.sandbox import Key, listings
from exchanges.sandbox.endpoints import ENDPOINTS
from tests.exchanges.sandbox.client import trading, until

GOOD = Key("sandbox-key", "sandbox-secret", "sandbox-passphrase")


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


@pytest.mark.parametrize(
    ("key", "offset_s", "headers", "code"),
    [
        (Key("other", GOOD.secret, GOOD.passphrase), 0, {}, "50111"),
        (Key(GOOD.key, "other", GOOD.passphrase), 0, {}, "50113"),
        (Key(GOOD.key, GOOD.secret, "other"), 0, {}, "50105"),
        (GOOD, -40, {}, "50102"),
        (GOOD, 40, {}, "50102"),
        (GOOD, 0, {"x-simulated-trading": "0"}, "50101"),
        (GOOD, 0, {"OK-ACCESS-TIMESTAMP": "yesterday"}, "50112"),
        (GOOD, 0, {"OK-ACCESS-SIGN": ""}, "50106"),
    ],
)
def test_a_request_that_is_not_signed_right_is_refused(key, offset_s, headers, code) -> None:
    async def work() -> None:
        async with trading() as client:
            client.key, client.offset_s, client.headers = key, offset_s, headers

            answer = await client.ask("GET", "account/balance")

            assert (answer.status, (await answer.json())["code"]) == (401, code)

    run(work)


def test_an_order_that_comes_after_its_own_deadline_is_refused_and_reads_are_not() -> None:
    async def work() -> None:
        async with trading() as client:
            now_ms = client.sandbox.world.now_ms
            client.headers = {"expTime": str(now_ms - 1)}
            late = await client.buy("mine1")
            read = await client.get("account/balance")
            client.headers = {"expTime": str(now_ms + 60_000)}
            in_time = await client.buy("mine2")

            assert (late["code"], read["code"], in_time["code"]) == ("51149", "0", "0")
            assert (await client.get("trade/order?instId=BTC-USDT&clOrdId=mine1"))["data"] == []

    run(work)


def test_a_query_is_part_of_what_is_signed() -> None:
    async def work() -> None:
        async with trading() as client:
            await client.buy("mine1")

            found = await client.get("trade/order?instId=BTC-USDT&clOrdId=mine1")
            other = await client.get("trade/order?instId=BTC-USDT&clOrdId=mine2")

            assert found["data"][0]["state"] == "filled"
            assert (other["code"], other["data"]) == ("51603", [])

    run(work)


def test_the_envelope_says_whether_all_some_or_none_were_done() -> None:
    async def work() -> None:
        async with trading() as client:
            good = {"instId": "BTC-USDT", "side": "buy", "ordType": "limit", "tdMode": "cash"}
            good |= {"sz": "0.01", "px": "59000"}
            bad = {**good, "sz": "0.000000001"}

            codes = [
                (await client.post("trade/batch-orders", rows))["code"]
                for rows in ([good, good], [good, bad], [bad, bad])
            ]
            one = await client.post("trade/order", bad)

            assert codes == ["0", "2", "1"]
            assert (one["code"], one["data"][0]["sCode"]) == ("1", "51020")

    run(work)


def test_every_read_endpoint_answers() -> None:
    more = {
        "public/instruments": "?instType=SWAP",
        "public/mark-price": "?instType=SWAP",
        "public/open-interest": "?instType=SWAP",
        "market/tickers": "?instType=SPOT",
        "account/leverage-info": "?instId=BTC-USDT-SWAP&mgnMode=cross",
        "account/trade-fee": "?instType=SPOT",
        "account/max-size": "?instId=BTC-USDT&tdMode=cash",
        "trade/order": "?instId=BTC-USDT&clOrdId=mine1",
        "trade/orders-history": "?instType=SPOT",
        "trade/orders-history-archive": "?instType=SPOT",
        "trade/order-algo": "?algoClOrdId=stop1",
        "trade/orders-algo-pending": "?ordType=conditional,oco",
        "trade/orders-algo-history": "?ordType=conditional&state=canceled",
    }

    async def work() -> None:
        async with trading(history_minutes=5) as client:
            await client.buy("mine1")
            stop = {"instId": "BTC-USDT", "side": "sell", "ordType": "conditional", "sz": "0.009"}
            stop |= {"tdMode": "cash", "slTriggerPx": "59000", "slOrdPx": "-1"}
            await client.post("trade/order-algo", {**stop, "algoClOrdId": "stop1"})
            for method, path in ENDPOINTS:
                name = path.removeprefix("/api/v5/")
                if method == "GET":
                    instrument = "BTC-USDT-SWAP" if "funding" in name else "BTC-USDT"
                    query = more.get(name, f"?instId={instrument}")
                    if name in ("account/positions", "asset/balances", "trade/fills-history"):
                        query = ""

                    answer = await client.get(name + query)

                    assert answer["code"] == "0", (name, answer)

    run(work)


def test_more_requests_than_the_limit_are_refused_for_a_while() -> None:
    async def work() -> None:
        async with trading(limits=True) as client:
            answers = [await client.ask("GET", "account/balance") for _ in range(11)]

            assert [one.status for one in answers] == [200] * 10 + [429]
            assert (await answers[-1].json())["code"] == "50011"

    run(work)


def test_orders_are_counted_by_instrument() -> None:
    async def work() -> None:
        async with trading(limits=True) as client:

            async def cancel(name: str) -> int:
                asked = [{"instId": name, "algoId": "1"}]
                return (await client.ask("POST", "trade/cancel-algos", asked)).status

            of_btc = [await cancel("BTC-USDT-SWAP") for _ in range(21)]

            assert of_btc == [200] * 20 + [429]
            assert await cancel("ETH-USDT-SWAP") == 200

    run(work)


def test_pages_go_back_by_id() -> None:
    async def work() -> None:
        async with trading(balances={"USDT": Decimal(1_000_000)}) as client:
            for number in range(5):
                await client.buy(f"mine{number}")

            newest = (await client.get("trade/fills?limit=2"))["data"]
            older = (await client.get(f"trade/fills?limit=2&after={newest[-1]['billId']}"))["data"]

            assert [row["clOrdId"] for row in newest + older] == [
                "mine4",
                "mine3",
                "mine2",
                "mine1",
            ]
            assert newest[0]["fee"].startswith("-")

    run(work)


def test_a_lost_answer_is_to_an_order_that_lives() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("lost", "POST trade/order")

            with pytest.raises(aiohttp.ClientError):
                await client.buy("mine1")

            found = await client.get("trade/order?instId=BTC-USDT&clOrdId=mine1")
            assert found["data"][0]["state"] == "filled"
            again = await client.buy("mine1")
            assert again["data"][0]["sCode"] == "51016"

    run(work)


def test_a_request_that_never_arrived_left_nothing() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("unsent", "POST trade/order")

            with pytest.raises(aiohttp.ClientError):
                await client.buy("mine1")

            assert not client.sandbox.venue.account.orders

    run(work)


def test_a_body_breaks_off_after_the_order_was_taken() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("truncated", "POST trade/order")

            with pytest.raises(aiohttp.ClientPayloadError):
                await client.buy("mine1")

            assert len(client.sandbox.venue.account.orders) == 1

    run(work)


@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize(
    ("fault", "status", "type_"),
    [
        ({"kind": "html", "status": 200}, 200, "text/html"),
        ({"kind": "html", "status": 524}, 524, "text/html"),
        ({"kind": "html", "status": 429}, 429, "text/html"),
        ({"kind": "code", "code": "50001"}, 503, "application/json"),
        ({"kind": "code", "code": "50026"}, 500, "application/json"),
        ({"kind": "code", "code": "51149"}, 200, "application/json"),
        ({"kind": "row", "code": "51149"}, 200, "application/json"),
        ({"kind": "empty"}, 200, "application/json"),
    ],
)
def test_an_answer_says_nothing_of_whether_the_order_was_taken(fault, status, type_, acts) -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault(fault["kind"], "POST trade/*", acts=acts, **_rest(fault))
            body = {"instId": "BTC-USDT", "side": "buy", "ordType": "market", "sz": "0.01"}
            body |= {"tdMode": "cash", "tgtCcy": "base_ccy"}

            answer = await client.ask("POST", "trade/order", body)

            assert (answer.status, answer.content_type) == (status, type_)
            assert len(client.sandbox.venue.account.orders) == int(acts)

    run(work)


def _rest(fault: dict) -> dict:
    return {name: value for name, value in fault.items() if name != "kind"}


def test_a_row_may_fail_below_a_code_that_says_success() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("row", "POST trade/order", code="51149")

            answer = await client.buy("mine1")

            assert (answer["code"], answer["data"][0]["sCode"]) == ("0", "51149")

    run(work)


def test_a_late_answer_comes_late_and_the_order_at_once() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("late", "POST trade/order", delay_ms=300)
            loop = asyncio.get_running_loop()
            began_s = loop.time()

            asked = asyncio.create_task(client.buy("mine1"))
            account = client.sandbox.venue.account
            await until(lambda: account.orders, account.on_change)
            taken_s = loop.time() - began_s
            await asked

            assert taken_s < 0.3 <= loop.time() - began_s

    run(work)


def test_a_stale_read_knows_nothing_of_what_just_happened() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("stale", "GET trade/*", count=None, delay_ms=60_000)
            path = "trade/order?instId=BTC-USDT&clOrdId=mine1"
            assert (await client.get(path))["code"] == "51603"

            await client.buy("mine1")

            assert (await client.get(path))["code"] == "51603"
            client.sandbox.faults.clear()
            assert (await client.get(path))["code"] == "0"

    run(work)


def test_one_stale_read_shows_what_was_before_the_last_order() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("stale", "GET trade/order", delay_ms=60_000)
            await client.buy("mine1")
            path = "trade/order?instId=BTC-USDT&clOrdId=mine1"

            codes = [(await client.get(path))["code"] for _ in range(2)]

            assert codes == ["51603", "0"]

    run(work)


def test_an_endpoint_can_be_gone() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("gone", "* trade/order-algo", count=None)

            answer = await client.ask("POST", "trade/order-algo", {})

            assert answer.status == 404

    run(work)


def test_a_fault_hits_as_often_as_it_was_told_to() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("code", "GET account/balance", count=2, skip=1)

            codes = [(await client.get("account/balance"))["code"] for _ in range(4)]

            assert codes == ["0", "50013", "50013", "0"]

    run(work)


def test_a_fault_may_be_for_what_contains_a_text() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.fault("row", "POST trade/order", contains='"clOrdId":"mine2"')

            rows = [(await client.buy(name))["data"][0]["sCode"] for name in ("mine1", "mine2")]

            assert rows == ["0", "50013"]

    run(work)


def test_a_fault_by_chance_hits_the_same_requests_each_time() -> None:
    async def codes() -> list[str]:
        async with trading(seed=7) as client:
            client.sandbox.fault("code", "GET account/balance", count=None, probability=0.5)
            return [(await client.get("account/balance"))["code"] for _ in range(20)]

    first, second = asyncio.run(codes()), asyncio.run(codes())

    assert first == second
    assert set(first) == {"0", "50013"}


def test_in_maintenance_every_request_is_refused() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.world.maintenance = True

            answer = await client.ask("GET", "account/balance")

            assert (answer.status, (await answer.json())["code"]) == (503, "50001")

    run(work)


def test_a_clock_that_is_off_refuses_the_right_time() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.world.skew_ms = 60_000

            assert (await client.get("account/balance"))["code"] == "50102"
            client.offset_s = 60
            assert (await client.get("account/balance"))["code"] == "0"

    run(work)


def test_a_clock_that_is_set_back_is_told_as_it_is() -> None:
    async def work() -> None:
        async with trading() as client:
            client.sandbox.world.skew_ms = 60_000
            ahead = int((await client.get("public/time"))["data"][0]["ts"])
            client.sandbox.world.skew_ms = 0
            back = int((await client.get("public/time"))["data"][0]["ts"])

            assert 50_000 < ahead - back <= 60_000

    run(work)


def test_two_instrument_sets_have_the_venues_sizes() -> None:
    async def work() -> None:
        async with trading(listings=listings(("BTC",))) as client:
            (spot,) = (await client.get("public/instruments?instType=SPOT"))["data"]
            (swap,) = (await client.get("public/instruments?instType=SWAP"))["data"]

            assert (spot["instId"], spot["lotSz"], spot["tickSz"]) == (
                "BTC-USDT",
                "0.00000001",
                "0.1",
            )
            assert (swap["ctVal"], swap["lotSz"], swap["settleCcy"]) == ("0.01", "0.01", "USDT")

    run(work)
