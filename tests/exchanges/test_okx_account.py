import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from domain.ids import AccountName, PositionId, Symbol, client_order_id
from domain.instrument import PriceSource, Side
from domain.order import OrderStatus, OrderTerms, OrderType
from exchanges import okx_pages
from exchanges.breaker import Breaker, BreakerState
from exchanges.budget import Budget
from exchanges.okx_account import OkxSettings
from exchanges.port import (
    Accepted,
    AccountFacts,
    CashKind,
    NotFound,
    Outside,
    PositionMode,
    Refused,
    Unknown,
    VenueAccount,
    VenueOrder,
)
from tests.exchanges.okx_rows import (
    BTC_SPOT,
    BTC_SWAP,
    INSTRUMENTS,
    algo_row,
    balance_row,
    fill_row,
    order_row,
    position_row,
)
from tests.exchanges.okx_server import (
    CONFIG,
    HANG_UP,
    NEVER,
    NOT_FOUND,
    PASSPHRASE,
    SECRET,
    SWAP_RULES,
    OkxServer,
    OneAfterAnother,
    html,
    http,
    leverage,
    on_loop,
    placed,
    row_failed,
    said,
    trading,
    within,
)

POSITION = PositionId("0190f0a0-0000-7000-8000-000000000001")
ENTRY = client_order_id(AccountName("main"), POSITION, "entry-0", 0)
GUARD = client_order_id(AccountName("main"), POSITION, "guard-0", 0)
BTC = Symbol("BTC/USDT")
BUY = OrderTerms(
    client_order_id=ENTRY,
    position_id=POSITION,
    symbol=BTC,
    side=Side.BUY,
    type=OrderType.MARKET,
    quantity=Decimal("0.02"),
    leverage=Decimal(3),
)
EXIT = replace(BUY, side=Side.SELL, reduce_only=True)
STOP = replace(EXIT, client_order_id=GUARD, type=OrderType.STOP, trigger_price=Decimal(58000))
SINCE = datetime(2024, 6, 1, tzinfo=UTC)
S = OrderStatus
FILLED = order_row(state="filled", accFillSz="2", avgPx="60000")


# --- answers that lie ---

ORDER_ID_42 = {"ordId": "42", "clOrdId": ENTRY, "sCode": "0", "sMsg": "", "tag": "", "ts": "1"}
LIES = {
    "late": NEVER,
    "dropped": HANG_UP,
    "truncated": http(b'{"code":"0","data":[{"ordId":"42"', extra=40),
    "half of the JSON": http(b'{"code":"0","data":[{"ordId":"42"'),
    "a page": html(),
    "a page with 524": html(524),
    "a page with 502": html(502),
    "a page with 429": html(429),
    "an answer with 502": said(ORDER_ID_42, status=502),
    "an answer with 524": said(ORDER_ID_42, status=524),
    "an empty body": http(b""),
    "null": http(b"null"),
    "a number": http(b"5"),
    "a list": http(b"[]"),
    "a list of rows": http(b'[{"ordId":"42","sCode":"0"}]'),
    "an empty object": http(b"{}"),
    "a code that is a number": http(b'{"code":0,"data":[{"ordId":"42","sCode":"0"}]}'),
    "no row": said(),
    "two rows": said(ORDER_ID_42, ORDER_ID_42),
    "a row that is text": said("42"),
    "a row without a code": said({"ordId": "42"}),
    "a row without an id": said(ORDER_ID_42 | {"ordId": ""}),
    "a row of another order": said(ORDER_ID_42 | {"clOrdId": "another"}),
    "all failed, but the row is fine": said(ORDER_ID_42, code="1"),
    "data that is an object": http(b'{"code":"0","data":{"ordId":"42","sCode":"0"}}'),
    "deeply nested": http(b'{"code":' + b"[" * 100_000),
    "50001 maintenance": said(code="50001", msg="Service temporarily unavailable", status=503),
    "50004 timeout": said(code="50004", msg="Endpoint request timeout"),
    "50005 offline": said(code="50005"),
    "50013 busy": said(code="50013"),
    "50026 error": said(code="50026"),
    "51054 at the top": said(code="51054"),
    "51149 at the top": said(code="51149"),
    "51149 in the row, envelope 0": row_failed("51149", "0"),
    "51149 in the row, envelope 1": row_failed("51149"),
    "51149 in the row, envelope 2": row_failed("51149", "2"),
    "51054 in the row": row_failed("51054"),
    "51016 a duplicate": row_failed("51016"),
    "a code that nobody knows": said(code="59999"),
    "a row with a code that nobody knows": row_failed("51999"),
}


@on_loop
async def test_an_order_whose_answer_lies_is_unknown() -> None:
    server = OkxServer()
    outcomes = {}
    async with trading(server) as account:
        for name, lie in LIES.items():
            account.wire.settings = within(account, 0.3)
            server.says["trade/order"] = lie
            outcomes[name] = type(await account.submit(EXIT))

    assert outcomes == dict.fromkeys(LIES, Unknown)
    assert len(server.of("trade/order")) == len(LIES)  # none is sent again


@on_loop
async def test_a_stop_whose_answer_lies_is_unknown() -> None:
    server = OkxServer()
    outcomes = {}
    async with trading(server) as account:
        for name, lie in LIES.items():
            account.wire.settings = within(account, 0.3)
            account.wire.budget = Budget()  # this is not about how often
            server.says["trade/order-algo"] = lie
            outcomes[name] = type(await account.submit(STOP))

    assert outcomes == dict.fromkeys(LIES, Unknown)
    assert len(server.of("trade/order-algo")) == len(LIES)


READS = {
    "trade/order": lambda account: account.order(BTC, ENTRY),
    "trade/orders-pending": lambda account: account.open_orders(),
    "trade/fills": lambda account: account.fills(datetime.now(UTC)),
    "account/balance": lambda account: account.balances(),
    "account/positions": lambda account: account.positions(),
    "account/bills": lambda account: account.cash_flows(datetime.now(UTC)),
}


@pytest.mark.parametrize("path", READS)
@on_loop
async def test_a_read_whose_answer_lies_is_unknown(path: str) -> None:
    server = OkxServer(trade__orders_algo_pending=said())
    outcomes = {}
    lies = [name for name in LIES if name != "no row"]
    async with trading(server) as account:
        for name in lies:
            account.wire.settings = within(account, 0.3)
            account.wire.budget = Budget()
            server.says[path] = LIES[name]
            outcomes[name] = type(await READS[path](account))

    assert outcomes == dict.fromkeys(lies, Unknown)


@on_loop
async def test_an_order_lookup_without_a_row_is_unknown() -> None:
    async with trading(OkxServer(trade__order=said())) as account:
        assert isinstance(await account.order(BTC, ENTRY), Unknown)


REFUSALS = ["51008", "51000", "51121", "51020", "51006", "51112", "51169", "51280", "51023"]


@pytest.mark.parametrize("envelope", ["0", "1", "2"])
@on_loop
async def test_a_refusal_keeps_the_venues_code_and_text(envelope: str) -> None:
    server = OkxServer()
    async with trading(server) as account:
        for code in REFUSALS:
            server.says["trade/order"] = row_failed(code, envelope)
            refused = await account.submit(BUY)

            assert isinstance(refused, Refused)
            assert (refused.code, refused.text) == (code, f"text of {code}")
            assert refused.remedy


@pytest.mark.parametrize("code", ["50101", "50105", "50110", "50111", "50113"])
@on_loop
async def test_an_order_of_a_login_that_is_not_let_in_was_not_sent(code: str) -> None:
    async with trading(OkxServer(trade__order=said(code=code, msg="no", status=401))) as account:
        refused = await account.submit(BUY)

    assert isinstance(refused, Refused)
    assert refused.code == code


@on_loop
async def test_an_order_to_an_address_where_nobody_listens_was_not_sent() -> None:
    server = OkxServer()
    async with trading(server) as account:
        server_url = server.url
    async with trading(OkxServer(), rest_url=server_url) as account:
        refused = await account.submit(EXIT)

    assert isinstance(refused, Refused)
    assert refused.code == "RULES_UNKNOWN"


@on_loop
async def test_an_exit_that_finds_no_connection_was_not_sent() -> None:
    server = OkxServer()
    async with trading(server) as account:
        await account.submit(EXIT)
        address = account.wire._orders.urls["api"]
        account.wire._orders.urls["api"] = {"rest": "http://127.0.0.1:1"}
        refused = await account.submit(replace(EXIT, side=Side.BUY))
        account.wire._orders.urls["api"] = address

    assert isinstance(refused, Refused)
    assert (refused.code, refused.text) == ("NOT_SENT", "refused: nothing listens there")


@on_loop
async def test_the_venue_cannot_send_us_elsewhere() -> None:
    elsewhere = OkxServer()
    async with trading(elsewhere):
        location = f"HTTP/1.1 307 Go\r\nLocation: {elsewhere.url}/api/v5/trade/order\r\n"
        answer = location.encode() + b"Content-Length: 0\r\n\r\n"
        async with trading(OkxServer(trade__order=answer)) as account:
            outcome = await account.submit(BUY)

    assert isinstance(outcome, Unknown)
    assert elsewhere.of("trade/order") == []


# --- requests ---


@on_loop
async def test_an_order_is_signed_and_counts_contracts() -> None:
    server = OkxServer()
    async with trading(server) as account:
        assert await account.submit(BUY) == Accepted("42")
    (asked,) = server.of("trade/order")

    assert asked.is_signed()
    assert asked.headers["x-simulated-trading"] == "1"
    assert asked.body == {
        "instId": "BTC-USDT-SWAP",
        "side": "buy",
        "tdMode": "cross",
        "ordType": "market",
        "sz": "2",
        "clOrdId": ENTRY,
    }


@on_loop
async def test_a_live_login_is_not_marked_as_simulated() -> None:
    server = OkxServer()
    async with trading(server, is_demo=False) as account:
        await account.submit(BUY)

    assert "x-simulated-trading" not in server.of("trade/order")[0].headers


@on_loop
async def test_a_stop_rests_at_the_venue_under_our_id() -> None:
    server = OkxServer()
    async with trading(server) as account:
        assert await account.submit(replace(STOP, watches=PriceSource.MARK)) == Accepted("77")
    (asked,) = server.of("trade/order-algo")

    assert asked.body == {
        "instId": "BTC-USDT-SWAP",
        "side": "sell",
        "tdMode": "cross",
        "reduceOnly": True,
        "ordType": "conditional",
        "sz": "2",
        "clOrdId": GUARD,
        "algoClOrdId": GUARD,
        "slTriggerPx": "58000",
        "slTriggerPxType": "mark",
        "slOrdPx": "-1",
    }


@on_loop
async def test_in_hedge_mode_an_exit_names_the_position_it_closes() -> None:
    server = OkxServer(account__config=said(CONFIG | {"posMode": "long_short_mode"}))
    async with trading(server) as account:
        await account.submit(EXIT)
    body = server.of("trade/order")[0].body

    assert body["posSide"] == "long"
    assert "reduceOnly" not in body


@on_loop
async def test_an_exit_goes_to_the_margin_mode_in_which_its_position_is_held() -> None:
    held = said(position_row(mgnMode="isolated"))
    async with trading(server := OkxServer(account__positions=held)) as account:
        await account.positions()
        await account.submit(EXIT)
        await account.submit(STOP)
        await account.submit(BUY)

    assert [asked.body["tdMode"] for asked in server.of("trade/order")] == ["isolated", "cross"]
    assert server.of("trade/order-algo")[0].body["tdMode"] == "isolated"


@on_loop
async def test_a_refused_exit_learns_the_margin_mode_of_its_position() -> None:
    server = OkxServer(
        account__positions=said(position_row(mgnMode="isolated")),
        trade__order=OneAfterAnother(row_failed("51169"), placed),
    )
    async with trading(server) as account:
        refused = await account.submit(EXIT)
        while not account.reads.margins:  # noqa: ASYNC110 - read beside it
            await asyncio.sleep(0.01)
        assert isinstance(await account.submit(EXIT), Accepted)

    assert isinstance(refused, Refused)
    assert [asked.body["tdMode"] for asked in server.of("trade/order")] == ["cross", "isolated"]


@on_loop
async def test_a_spot_order_counts_base_units() -> None:
    server = OkxServer()
    async with trading(server, [BTC_SPOT]) as account:
        await account.submit(replace(BUY, quantity=Decimal("0.00123")))
    body = server.of("trade/order")[0].body

    assert (body["tdMode"], body["tgtCcy"], body["sz"]) == ("cash", "base_ccy", "0.00123")
    assert server.of("account/leverage-info") == []


@on_loop
async def test_a_quantity_that_is_no_whole_lot_is_refused_unsent() -> None:
    server = OkxServer()
    async with trading(server) as account:
        refused = await account.submit(replace(BUY, quantity=Decimal("0.00015")))

    assert isinstance(refused, Refused)
    assert refused.code == "LOT_SIZE"
    assert server.of("trade/order") == []


# --- leverage and modes ---


@on_loop
async def test_leverage_is_set_before_the_first_entry_and_then_remembered() -> None:
    server = OkxServer(account__leverage_info=leverage("10"), account__set_leverage=leverage("3"))
    async with trading(server) as account:
        assert await account.submit(BUY) == Accepted("42")
        assert await account.submit(BUY) == Accepted("42")

    assert [each.path for each in server.asked if each.method == "POST"] == [
        "account/set-leverage",
        "trade/order",
        "trade/order",
    ]
    assert len(server.of("account/leverage-info")) == 1


@pytest.mark.parametrize(
    "says",
    [
        {"account__leverage_info": html()},
        {"account__leverage_info": said()},
        {"account__leverage_info": leverage("3", "isolated")},
        {"account__leverage_info": leverage("3", inst_id="ETH-USDT-SWAP")},
        {"account__leverage_info": leverage("10"), "account__set_leverage": leverage("9")},
        {"account__leverage_info": leverage("10"), "account__set_leverage": said(code="59100")},
        {"account__leverage_info": leverage("10"), "account__set_leverage": HANG_UP},
    ],
)
@on_loop
async def test_an_entry_whose_leverage_is_not_proven_is_refused_unsent(
    says: dict[str, Any],
) -> None:
    server = OkxServer(**says)
    async with trading(server) as account:
        refused = await account.submit(BUY)

    assert isinstance(refused, Refused)
    assert refused.code == "LEVERAGE_UNVERIFIED"
    assert server.of("trade/order") == []


@on_loop
async def test_an_exit_needs_no_proof_of_leverage() -> None:
    async with trading(OkxServer(account__leverage_info=html())) as account:
        assert await account.submit(EXIT) == Accepted("42")


# --- limits, clock, breaker ---


@on_loop
async def test_stops_are_counted_by_instrument_as_orders_are() -> None:
    async with trading(OkxServer()) as account:
        await account.submit(STOP)
        await account.cancel(STOP.symbol, STOP.client_order_id)
        await account.amend(STOP)

        counted = set(account.wire.budget._sent)

    for name in ("order_algo", "cancel_algos", "amend_algos"):
        assert (name, "BTC-USDT-SWAP") in counted


@on_loop
async def test_an_order_that_came_too_often_is_sent_again() -> None:
    server = OkxServer(
        trade__order=OneAfterAnother(said(code="50011", msg="Too Many Requests"), placed)
    )
    async with trading(server) as account:
        assert await account.submit(BUY) == Accepted("42")

    assert len(server.of("trade/order")) == 2


@on_loop
async def test_orders_say_until_when_the_venue_may_take_them_by_its_own_clock() -> None:
    server = OkxServer(trade__order=placed)
    ahead_ms = 60_000
    server.says["public/time"] = said(
        {"ts": str(int(datetime.now(UTC).timestamp() * 1000) + ahead_ms)}
    )
    async with trading(server) as account:
        await account.wire.measure_clock()
        await account.submit(BUY)
        await account.positions()
        within_ms = account.wire.settings.order_within_s * 1000

    (order,) = server.of("trade/order")
    sent_ms = datetime.fromisoformat(order.headers["ok-access-timestamp"]).timestamp() * 1000
    assert sent_ms == pytest.approx(datetime.now(UTC).timestamp() * 1000 + ahead_ms, abs=5_000)
    assert int(order.headers["exptime"]) - sent_ms == pytest.approx(within_ms, abs=50)
    assert "exptime" not in server.of("account/positions")[0].headers


@on_loop
async def test_a_machine_that_slept_sends_no_order_that_has_expired() -> None:
    server = OkxServer(trade__order=placed)
    async with trading(server) as account:
        assert account.wire._venue_s is not None
        account.wire._venue_s -= 60  # durations stood still for so long; the clock did not
        await account.submit(BUY)

    (order,) = server.of("trade/order")
    assert int(order.headers["exptime"]) > datetime.now(UTC).timestamp() * 1000


@on_loop
async def test_an_order_that_came_too_late_has_the_clock_measured_anew() -> None:
    late = said({"sCode": "51149", "sMsg": "Order timed out"}, code="1")
    server = OkxServer(trade__order=late)
    async with trading(server) as account:
        before = len(server.of("public/time"))
        assert isinstance(await account.submit(BUY), Unknown)
        async with asyncio.timeout(5):
            while len(server.of("public/time")) == before:  # noqa: ASYNC110 - what it waits for has no event of its own
                await asyncio.sleep(0.01)


@on_loop
async def test_a_clock_that_is_wrong_is_corrected_and_the_order_sent_again() -> None:
    skewed = said({"ts": str(int((datetime.now(UTC).timestamp() + 60) * 1000))})
    server = OkxServer(trade__order=OneAfterAnother(said(code="50102", status=401), placed))
    async with trading(server) as account:
        server.says["public/time"] = skewed
        assert await account.submit(BUY) == Accepted("42")
        assert account.clock_offset_s == pytest.approx(60, abs=2)

    first, second = server.of("trade/order")
    stamps = [
        datetime.fromisoformat(each.headers["ok-access-timestamp"]) for each in (first, second)
    ]
    assert (stamps[1] - stamps[0]).total_seconds() == pytest.approx(60, abs=2)


@on_loop
async def test_while_the_venue_is_down_entries_are_refused_and_exits_tried() -> None:
    server = OkxServer()
    async with trading(server) as account:
        account.wire.order_breaker = Breaker(lasts_s=0.0)
        server.says["trade/order"] = HANG_UP
        for _ in range(5):
            assert isinstance(await account.submit(EXIT), Unknown)
        sent = len(server.of("trade/order"))
        refused = await account.submit(BUY)
        assert isinstance(refused, Refused)
        assert refused.code == "VENUE_DOWN"
        assert account.health().state is BreakerState.OPEN
        assert len(server.of("trade/order")) == sent

        server.says["trade/order"] = placed
        assert await account.submit(EXIT) == Accepted("42")
        assert await account.submit(BUY) == Accepted("42")
        assert account.health().state is BreakerState.CLOSED


@on_loop
async def test_the_time_alone_is_no_proof_that_orders_are_taken() -> None:
    server = OkxServer(trade__order=html(502), trade__cancel_algos=html(502))
    async with trading(server) as account:
        account.wire.order_breaker = Breaker(lasts_s=0.0)
        for _ in range(5):
            await account.submit(EXIT)
        assert await account.wire.measure_clock()
        await account.account()
        assert account.health().state is BreakerState.OPEN
        server.says["trade/cancel-algos"] = row_failed("51400")
        await account.account()
        assert account.health().state is BreakerState.CLOSED


@on_loop
async def test_an_answer_that_is_too_long_is_none() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999999999\r\n\r\n"
    async with trading(OkxServer(account__balance=long)) as account:
        begun = datetime.now(UTC)
        assert isinstance(await account.balances(), Unknown)

    assert (datetime.now(UTC) - begun).total_seconds() < 0.9  # not by its deadline


@on_loop
async def test_an_order_that_names_its_stop_by_the_venues_id_only_is_looked_up_there() -> None:
    now = datetime.now(UTC)
    fill = fill_row(ordId="5", clOrdId="", fillTime=str(int(now.timestamp() * 1000)))
    server = OkxServer(
        trade__fills=said(fill),
        trade__order=said(order_row(ordId="5", clOrdId="", algoId="77")),
        trade__order_algo=said(algo_row(algoId="77", algoClOrdId=GUARD)),
    )
    async with trading(server) as account:
        fills = await account.fills(now - timedelta(hours=1))

    assert not isinstance(fills, Unknown)
    assert [each.client_order_id for each in fills] == [GUARD]


@on_loop
async def test_the_clock_and_the_rules_are_read_at_the_start() -> None:
    server = OkxServer()
    async with trading(server) as account:
        (instrument,) = account.instruments()
        health = account.health()

    assert (instrument.lot_size, instrument.max_leverage) == (Decimal("0.0001"), 100)
    assert health.clock_offset_s == pytest.approx(0, abs=0.5)


@on_loop
async def test_a_venue_that_is_away_at_the_start_is_no_error() -> None:
    server = OkxServer()
    server.says = {}
    async with trading(server) as account:
        assert account.instruments() == ()


# --- lookups ---


@on_loop
async def test_an_order_is_looked_up_by_our_id() -> None:
    server = OkxServer(trade__order=said(FILLED | {"clOrdId": ENTRY}))
    async with trading(server) as account:
        found = await account.order(BTC, ENTRY)

    assert isinstance(found, VenueOrder)
    assert (found.status, found.filled) == (S.FILLED, Decimal("0.02"))
    assert server.of("trade/order")[0].query == {"instId": "BTC-USDT-SWAP", "clOrdId": ENTRY}


@on_loop
async def test_an_order_is_not_found_only_if_neither_book_nor_stops_know_it() -> None:
    server = OkxServer(trade__order=NOT_FOUND, trade__order_algo=NOT_FOUND)
    async with trading(server) as account:
        assert await account.order(BTC, ENTRY) == NotFound()
        assert await account.order(BTC, GUARD) == NotFound()
        server.says["trade/order-algo"] = html()
        assert isinstance(await account.order(BTC, ENTRY), Unknown)
        server.says |= {"trade/order-algo": NOT_FOUND, "trade/order": html()}
        assert isinstance(await account.order(BTC, GUARD), Unknown)


@on_loop
async def test_a_triggered_stop_is_told_of_with_its_orders_fills() -> None:
    child = FILLED | {"ordId": "5", "clOrdId": "O1", "algoClOrdId": GUARD, "avgPx": "57990"}
    server = OkxServer(
        trade__order_algo=said(algo_row(algoClOrdId=GUARD, state="effective", ordIdList=["5"])),
        trade__order=said(child),
    )
    async with trading(server) as account:
        found = await account.order(BTC, GUARD)

    assert isinstance(found, VenueOrder)
    assert (found.status, found.filled, found.average_price) == (S.FILLED, Decimal("0.02"), 57990)
    assert (found.terms.type, found.terms.client_order_id) == (OrderType.STOP, GUARD)


def fired(ago: timedelta) -> dict[str, Any]:
    """Return the row of a stop of ours that created order 5 so long ago."""
    at = str(int((datetime.now(UTC) - ago).timestamp() * 1000))
    return algo_row(algoClOrdId=GUARD, state="effective", ordIdList=["5"], uTime=at)


def of_order(order_id: str) -> Any:
    """List one fill of an order, if it is asked for."""
    row = fill_row(ordId=order_id, clOrdId="", fillSz="2", fillPx="57990")
    return lambda asked: said(row) if asked.query.get("ordId", order_id) == order_id else said()


FORGOTTEN = {"trade__order": NOT_FOUND, "trade__orders_history": said(), "trade__fills": said()}


@on_loop
async def test_the_order_of_a_stop_that_the_venue_has_forgotten_is_known_by_its_fills() -> None:
    server = OkxServer(
        trade__order_algo=said(fired(timedelta(hours=3))),
        trade__fills_history=of_order("5"),
        **FORGOTTEN,
    )
    async with trading(server) as account:
        found = await account.order(BTC, GUARD)
        fills = await account.fills(None)
        others = await account.outside_fills(SINCE)

    assert isinstance(found, VenueOrder)
    assert (found.status, found.filled, found.average_price) == (S.FILLED, Decimal("0.02"), 57990)
    assert not isinstance(fills, Unknown)
    assert [each.client_order_id for each in fills] == [GUARD]  # and nobody else's
    assert others == ()


@on_loop
async def test_a_forgotten_order_of_a_stop_without_fills_has_failed() -> None:
    server = OkxServer(
        trade__order_algo=said(fired(timedelta(hours=3))),
        trade__fills_history=of_order("6"),
        **FORGOTTEN,
    )
    async with trading(server) as account:
        found = await account.order(BTC, GUARD)

    assert isinstance(found, VenueOrder)
    assert (found.status, found.filled) == (S.REJECTED, 0)


@on_loop
async def test_the_order_of_a_stop_that_has_just_fired_is_not_there_yet() -> None:
    server = OkxServer(
        trade__order_algo=said(fired(timedelta(seconds=50))),
        trade__fills_history=said(),
        **FORGOTTEN,
    )
    async with trading(server) as account:
        assert isinstance(await account.order(BTC, GUARD), Unknown)


@on_loop
async def test_an_empty_answer_about_a_stop_is_believed_only_with_the_lists() -> None:
    lists = {"trade__orders_algo_pending": said(), "trade__orders_algo_history": said()}
    server = OkxServer(trade__order=NOT_FOUND, trade__order_algo=said(), **lists)
    async with trading(server) as account:
        assert await account.order(BTC, GUARD) == NotFound()
        server.says["trade/orders-algo-pending"] = said(algo_row(algoClOrdId=GUARD))
        found = await account.order(BTC, GUARD)

    assert isinstance(found, VenueOrder)


@on_loop
async def test_open_orders_are_those_of_the_book_and_those_that_wait() -> None:
    def waiting(asked: Any) -> bytes:
        return said(algo_row()) if "conditional" in asked.query["ordType"] else said()

    server = OkxServer(
        trade__orders_pending=said(
            order_row(ordType="limit", px="59000"), order_row(instId="DOGE-USDT")
        ),
        trade__orders_algo_pending=waiting,
    )
    async with trading(server) as account:
        orders = await account.open_orders()

    assert not isinstance(orders, Unknown)
    assert [order.terms.type for order in orders] == [OrderType.LIMIT, OrderType.STOP]


@on_loop
async def test_a_list_is_read_to_its_last_page() -> None:
    def pages(asked: Any) -> bytes:
        first = int(asked.query.get("after", 1000))
        count = 100 if first > 800 else 30
        rows = [order_row(ordId=str(first - 1 - n), ordType="limit", px="1") for n in range(count)]
        return said(*rows)

    server = OkxServer(trade__orders_pending=pages, trade__orders_algo_pending=said())
    async with trading(server) as account:
        orders = await account.open_orders()

    assert not isinstance(orders, Unknown)
    assert len(orders) == 230


# --- cancel, amend ---


@on_loop
async def test_a_stop_is_canceled_by_the_venues_id() -> None:
    server = OkxServer(trade__cancel_algos=said({"algoId": "77", "sCode": "0", "sMsg": ""}))
    async with trading(server) as account:
        await account.submit(STOP)
        assert await account.cancel(BTC, GUARD) == Accepted("77")

    assert server.of("trade/cancel-algos")[0].body == [{"algoId": "77", "instId": "BTC-USDT-SWAP"}]


@on_loop
async def test_a_stop_of_an_earlier_life_is_looked_up_before_it_is_canceled() -> None:
    server = OkxServer(
        trade__order_algo=said(algo_row(algoClOrdId=GUARD, algoId="78")),
        trade__cancel_algos=said({"algoId": "78", "sCode": "0", "sMsg": ""}),
    )
    async with trading(server) as account:
        assert await account.cancel(BTC, GUARD) == Accepted("78")


@on_loop
async def test_a_cancel_that_came_too_late_is_refused_with_the_venues_code() -> None:
    async with trading(OkxServer(trade__cancel_order=row_failed("51400"))) as account:
        refused = await account.cancel(BTC, ENTRY)

    assert isinstance(refused, Refused)
    assert refused.code == "51400"


@on_loop
async def test_a_stop_is_moved_in_place() -> None:
    server = OkxServer(
        trade__amend_algos=said({"algoId": "77", "algoClOrdId": GUARD, "sCode": "0"})
    )
    async with trading(server) as account:
        moved = replace(STOP, trigger_price=Decimal(59000), quantity=Decimal("0.01"))
        assert await account.amend(moved) == Accepted("77")

    assert server.of("trade/amend-algos")[0].body == {
        "instId": "BTC-USDT-SWAP",
        "newSz": "1",
        "algoClOrdId": GUARD,
        "newSlTriggerPx": "59000",
        "newSlTriggerPxType": "last",
        "newSlOrdPx": "-1",
    }


# --- fills, money, positions ---


@on_loop
async def test_fills_of_a_stops_order_carry_the_stops_id() -> None:
    now = datetime.now(UTC)
    at = {"fillTime": str(int(now.timestamp() * 1000))}
    server = OkxServer(
        trade__fills=said(
            fill_row(tradeId="3", ordId="9", clOrdId="", **at),
            fill_row(tradeId="2", ordId="5", clOrdId="O123", **at),
            fill_row(tradeId="1", clOrdId=ENTRY, **at),
        ),
        trade__order=lambda asked: said(
            order_row(ordId="5", clOrdId="O123", algoClOrdId=GUARD)
            if asked.query["ordId"] == "5"
            else order_row(ordId="9", clOrdId="")
        ),
    )
    async with trading(server) as account:
        fills = await account.fills(now - timedelta(hours=1))
        outside = await account.outside_fills(now - timedelta(hours=1))

    assert not isinstance(fills, Unknown)
    assert not isinstance(outside, Unknown)
    assert {fill.client_order_id for fill in fills} == {ENTRY, GUARD}
    assert [each.cause for each in outside] == [Outside.PERSON]
    assert len(server.of("trade/order")) == 2  # each once


def listed(count: int) -> Any:
    """List fills, of ours all but the oldest, in pages of 100."""
    at = {"ts": str(int((datetime.now(UTC) - timedelta(days=5)).timestamp() * 1000))}
    rows = [
        fill_row(**at, billId=str(count - n), tradeId=str(count - n), clOrdId=ENTRY)
        for n in range(count)
    ]
    rows[-1] |= {"clOrdId": "", "subType": "104"}

    def pages(asked: Any) -> bytes:
        first = count - int(asked.query["after"]) + 1 if "after" in asked.query else 0
        return said(*rows[first : first + 100])

    return pages


@on_loop
async def test_others_trades_among_many_of_ours_are_read_on_when_who_asked_has_given_up() -> None:
    server = OkxServer(trade__fills=said(), trade__fills_history=listed(1150))
    async with trading(server) as account:
        account.wire.settings = within(account, 5.0)  # the venue counts requests
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(account.outside_fills(SINCE), 0.2)
        outside = await account.outside_fills(SINCE)

    assert not isinstance(outside, Unknown)
    assert [each.cause for each in outside] == [Outside.LIQUIDATION]
    assert len(server.of("trade/fills-history")) == 12  # each page once


@on_loop
async def test_of_a_list_that_is_too_long_the_latest_trades_of_others_are_known(
    monkeypatch,
) -> None:
    monkeypatch.setattr(okx_pages, "_MAX_PAGES", 2)
    server = OkxServer(trade__fills=said(), trade__fills_history=listed(250))
    async with trading(server) as account:
        assert await account.outside_fills(SINCE) == ()
        assert isinstance(await account.fills(SINCE), Unknown)


@on_loop
async def test_a_liquidation_is_nobodys_order_and_is_not_looked_up() -> None:
    now = datetime.now(UTC)
    at = {"fillTime": str(int(now.timestamp() * 1000))}
    server = OkxServer(trade__fills=said(fill_row(clOrdId="", subType="104", **at)))
    async with trading(server) as account:
        outside = await account.outside_fills(now - timedelta(hours=1))

    assert not isinstance(outside, Unknown)
    assert [each.cause for each in outside] == [Outside.LIQUIDATION]
    assert server.of("trade/order") == []


@on_loop
async def test_older_fills_come_from_the_archive() -> None:
    server = OkxServer(trade__fills=said(), trade__fills_history=said(fill_row(clOrdId=ENTRY)))
    async with trading(server) as account:
        fills = await account.fills(SINCE)

    assert not isinstance(fills, Unknown)
    assert len(fills) == 1
    assert server.of("trade/fills-history")[0].query["instType"] == "SWAP"


def bill(number: int, kind: str, change: str, **changes: str) -> dict[str, str]:
    return {
        "billId": str(number),
        "type": kind,
        "subType": "1",
        "balChg": change,
        "posBalChg": "0",
        "ccy": "USDT",
        "ts": str(1718000000000 + number),
        "instId": "BTC-USDT-SWAP" if kind != "1" else "",
        "sz": "",
    } | changes


@on_loop
async def test_funding_and_transfers_are_told_and_trades_are_not() -> None:
    bills = [bill(3, "1", "500"), bill(2, "8", "-0.25"), bill(1, "2", "-3")]
    server = OkxServer(account__bills=said(), account__bills_archive=said(*bills))
    async with trading(server) as account:
        flows = await account.cash_flows(SINCE)

    assert not isinstance(flows, Unknown)
    assert [(flow.kind, flow.amount, flow.symbol) for flow in flows] == [
        (CashKind.FUNDING, Decimal("-0.25"), BTC),
        (CashKind.TRANSFER, Decimal(500), None),
    ]


@on_loop
async def test_what_leaves_a_margin_is_told_and_what_becomes_margin_is_not() -> None:
    bills = [
        bill(1, "8", "0", posBalChg="-3.2", mgnMode="isolated"),
        bill(2, "8", "1.5", posBalChg="0", mgnMode="isolated"),
        bill(3, "6", "-100", posBalChg="100", mgnMode="isolated"),
        bill(4, "7", "-5", posBalChg="5", mgnMode="isolated"),
        bill(5, "7", "-1", posBalChg=""),
    ]
    server = OkxServer(account__bills=said(), account__bills_archive=said(*bills))
    async with trading(server) as account:
        flows = await account.cash_flows(SINCE)

    assert not isinstance(flows, Unknown)
    assert [str(flow.amount) for flow in flows] == ["-3.2", "1.5", "-1"]


@on_loop
async def test_coins_are_what_is_cash_of_them_and_not_what_a_position_on_margin_holds() -> None:
    held = balance_row(ccy="BTC", cashBal="0.5", isoEq="0.21", isoUpl="0.01")
    async with trading(
        OkxServer(account__balance=said({"details": [held]})), [BTC_SPOT]
    ) as account:
        positions = await account.positions()

    assert not isinstance(positions, Unknown)
    assert [each.quantity for each in positions] == [Decimal("0.5")]


@pytest.mark.parametrize(("asset", "is_told"), [("ETH", True), ("USDT", False)])
@on_loop
async def test_an_asset_that_is_not_told_in_full_hides_no_other(asset: str, is_told: bool) -> None:
    rows = {each: balance_row(ccy=each, cashBal="0.5") for each in ("USDT", "BTC", "ETH")}
    rows[asset] |= {"isoEq": "0.2", "isoUpl": ""}
    server = OkxServer(account__balance=said({"details": [*rows.values()]}))
    async with trading(server, [BTC_SPOT]) as account:
        balances, coins = await account.balances(), await account.positions()

    assert isinstance(balances, Unknown) is not is_told  # none of what is paid with were a loss
    assert isinstance(balances, Unknown) or [each.asset for each in balances] == ["USDT", "BTC"]
    assert not isinstance(coins, Unknown)
    assert [each.quantity for each in coins] == [Decimal("0.5")]


@pytest.mark.parametrize(
    ("mode", "size", "told"),
    [
        ("long_short_mode", "2", Decimal("0.02")),
        ("long_short_mode", "", None),
        ("net_mode", "2", None),  # of what the long outweighs the short: no side is so large
    ],
)
@on_loop
async def test_funding_in_hedge_mode_tells_how_large_its_side_was(
    mode: str, size: str, told: Decimal | None
) -> None:
    bills = said(bill(1, "8", "-0.25", sz=size), bill(2, "1", "500", sz="500"))
    server = OkxServer(
        account__config=said(CONFIG | {"posMode": mode}),
        account__bills=said(),
        account__bills_archive=bills,
    )
    async with trading(server) as account:
        flows = await account.cash_flows(SINCE)

    assert not isinstance(flows, Unknown)
    assert [flow.size for flow in flows] == [told, None]


@on_loop
async def test_money_that_moved_is_unknown_while_the_position_mode_is() -> None:
    async with trading(OkxServer(account__config=HANG_UP)) as account:
        assert isinstance(await account.cash_flows(SINCE), Unknown)


@on_loop
async def test_balances_and_positions_are_read() -> None:
    server = OkxServer(
        account__balance=said({"details": [balance_row()]}),
        account__positions=said(position_row(pos="-2"), position_row(pos="0", avgPx="")),
    )
    async with trading(server) as account:
        balances, positions = await account.balances(), await account.positions()

    assert not isinstance(balances, Unknown)
    assert not isinstance(positions, Unknown)
    assert [each.total for each in balances] == [10000]
    assert [each.quantity for each in positions] == [Decimal("-0.02")]


@on_loop
async def test_a_spot_holding_is_what_the_account_has_of_the_base() -> None:
    details = [balance_row(), balance_row(ccy="BTC", cashBal="0.0199", openAvgPx="60000")]
    async with trading(
        OkxServer(account__balance=said({"details": details})), [BTC_SPOT]
    ) as account:
        positions = await account.positions()

    assert not isinstance(positions, Unknown)
    assert [(each.quantity, each.average_price) for each in positions] == [
        (Decimal("0.0199"), 60000)
    ]


@pytest.mark.parametrize("accumulated", ["-2647058.82", "NaN", ""])
@pytest.mark.parametrize(("average", "price"), [("60000", 60000), ("-1", 0), ("NaN", 0), ("", 0)])
@on_loop
async def test_coins_are_read_whatever_their_prices_say(
    accumulated: str, average: str, price: int
) -> None:
    """The accumulated price is (bought - sold) / held: below zero for what a gain left over."""
    dust = balance_row(ccy="BTC", cashBal="0.0000034", accAvgPx=accumulated, openAvgPx=average)
    server = OkxServer(account__balance=said({"details": [balance_row(), dust]}))
    async with trading(server, [BTC_SPOT]) as account:
        positions = await account.positions()

    assert not isinstance(positions, Unknown)
    assert [(each.quantity, each.average_price) for each in positions] == [
        (Decimal("0.0000034"), price)
    ]


@on_loop
async def test_what_is_traded_on_margin_is_not_the_coin() -> None:
    margin = {"instId": "BTC-USDT", "instType": "MARGIN", "clOrdId": "", "ordId": "9"}
    at = str(int((datetime.now(UTC) - timedelta(minutes=5)).timestamp() * 1000))
    server = OkxServer(
        trade__fills=said(fill_row(**margin, side="sell", ts=at, fillTime=at)),
        trade__orders_pending=said(order_row(**margin, ordType="limit", px="70000")),
        trade__orders_algo_pending=said(algo_row(**margin)),
    )
    async with trading(server, [BTC_SPOT]) as account:
        assert await account.outside_fills(datetime.now(UTC) - timedelta(hours=1)) == ()
        assert await account.open_orders() == ()


# --- account ---


@on_loop
async def test_the_account_says_what_it_may_do() -> None:
    server = OkxServer(
        account__config=said(CONFIG | {"perm": "read_only,withdraw,trade"}),
        trade__cancel_algos=row_failed("51400"),
    )
    async with trading(server) as account:
        facts = await account.account()

    assert facts == AccountFacts(
        account_id="7",
        position_mode=PositionMode.NET,
        may_trade=True,
        may_withdraw=True,
        stops_work=True,
    )


@on_loop
async def test_whose_account_it_is_is_asked_alone() -> None:
    server = OkxServer()
    async with trading(server) as account:
        whose = await account.whose()

    assert whose == VenueAccount("7", is_demo=True)
    assert server.of("trade/cancel-algos") == []


@on_loop
async def test_whose_account_it_is_is_asked_once_with_the_position_mode() -> None:
    server = OkxServer()
    async with trading(server) as account:
        assert await account.whose() == await account.whose()

    assert len(server.of("account/config")) == 1


@on_loop
async def test_a_login_that_is_not_let_in_has_no_account() -> None:
    answer = said(code="50111", msg="no", status=401)
    async with trading(OkxServer(account__config=answer)) as account:
        refused = await account.whose()

    assert isinstance(refused, Refused)
    assert refused.code == "50111"


@pytest.mark.parametrize("answer", [said(CONFIG | {"uid": ""}), said(code="50026", msg="no")])
@on_loop
async def test_an_answer_that_names_no_account_is_none(answer: bytes) -> None:
    async with trading(OkxServer(account__config=answer)) as account:
        assert isinstance(await account.whose(), Unknown)


@pytest.mark.parametrize("answer", [html(404), said(code="50030", msg="no"), html()])
@on_loop
async def test_the_canary_notices_that_stops_do_not_work(answer: bytes) -> None:
    async with trading(OkxServer(trade__cancel_algos=answer)) as account:
        facts = await account.account()

    assert isinstance(facts, Unknown) or not facts.stops_work


@pytest.mark.parametrize("code", ["50101", "50111", "50105", "50110"])
@on_loop
async def test_a_login_that_is_not_let_in_is_named(code: str) -> None:
    async with trading(OkxServer(account__config=said(code=code, msg="no", status=401))) as account:
        refused = await account.account()

    assert isinstance(refused, Refused)
    assert refused.code == code
    assert refused.remedy


def test_no_secret_is_shown() -> None:
    shown = repr(OkxSettings("k", SECRET, PASSPHRASE))
    assert SECRET not in shown
    assert PASSPHRASE not in shown


def test_the_instruments_of_the_tests_are_listed() -> None:
    assert INSTRUMENTS["BTC-USDT-SWAP"] is BTC_SWAP


# --- rules ---


@on_loop
async def test_until_the_venue_has_told_its_rules_nothing_is_read_or_sent() -> None:
    server = OkxServer(public__instruments=html())
    async with trading(server) as account:
        refused = await account.submit(EXIT)
        answers = [
            await account.order(BTC, ENTRY),
            await account.open_orders(),
            await account.fills(SINCE),
            await account.positions(),
        ]

    assert isinstance(refused, Refused)
    assert refused.code == "RULES_UNKNOWN"
    assert [type(answer) for answer in answers] == [Unknown] * 4
    assert server.of("trade/order") == []


@on_loop
async def test_a_contract_is_as_large_as_the_venue_says() -> None:
    server = OkxServer(public__instruments=said(SWAP_RULES | {"ctVal": "0.001"}))
    async with trading(server) as account:
        await account.submit(EXIT)

    assert server.of("trade/order")[0].body["sz"] == "20"


@pytest.mark.parametrize("answer", [said(code="51001", msg="Instrument ID doesn't exist"), said()])
@on_loop
async def test_a_symbol_that_is_not_listed_is_named(answer: bytes) -> None:
    async with trading(OkxServer(public__instruments=answer)) as account:
        refused = await account.submit(BUY)
        assert account.instruments() == ()

    assert isinstance(refused, Refused)
    assert refused.code == "UNKNOWN_SYMBOL"


@on_loop
async def test_a_suspended_symbol_is_not_offered_but_still_read() -> None:
    server = OkxServer(
        public__instruments=said(SWAP_RULES | {"state": "suspend"}),
        account__positions=said(position_row()),
    )
    async with trading(server) as account:
        positions = await account.positions()
        assert account.instruments() == ()

    assert not isinstance(positions, Unknown)
    assert len(positions) == 1


@on_loop
async def test_one_symbol_with_rules_that_are_nonsense_stops_no_other() -> None:
    def rules(asked: Any) -> bytes:
        is_btc = asked.query["instId"] == "BTC-USDT-SWAP"
        changes = {} if is_btc else {"instId": "ETH-USDT-SWAP", "ctVal": "NaN"}
        return said(SWAP_RULES | changes)

    eth = replace(BTC_SWAP, symbol=Symbol("ETH/USDT"), base="ETH")
    async with trading(OkxServer(public__instruments=rules), [BTC_SWAP, eth]) as account:
        assert [each.symbol for each in account.instruments()] == [BTC]
        assert await account.submit(BUY) == Accepted("42")


@on_loop
async def test_a_cancel_and_a_change_whose_answers_lie_are_unknown() -> None:
    server = OkxServer()
    outcomes = {}
    async with trading(server) as account:
        await account.submit(STOP)
        for name, lie in LIES.items():
            account.wire.settings = within(account, 0.3)
            account.wire.budget = Budget()
            server.says |= {
                "trade/cancel-order": lie,
                "trade/cancel-algos": lie,
                "trade/amend-algos": lie,
            }
            answers = await asyncio.gather(
                account.cancel(BTC, ENTRY), account.cancel(BTC, GUARD), account.amend(STOP)
            )
            outcomes[name] = [type(each) for each in answers]

    of_our_id = ("a row of another order",)  # the row of a stop carries no `clOrdId`
    expected = {name: [Unknown] * 3 for name in LIES if name not in of_our_id}
    assert {name: each for name, each in outcomes.items() if name not in of_our_id} == expected
