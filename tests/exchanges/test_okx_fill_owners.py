"""Whose a fill is: a stop's of ours, another program's, a person's; or it is not known yet."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exchanges.port import Outside, Unknown
from tests.exchanges.okx_rows import fill_row, order_row
from tests.exchanges.okx_server import NOT_FOUND, OkxServer, on_loop, said, trading
from tests.exchanges.test_okx_account import GUARD


def before(delta: timedelta) -> dict[str, str]:
    stamp = str(int((datetime.now(UTC) - delta).timestamp() * 1000))
    return {"fillTime": stamp, "ts": stamp}


def since() -> datetime:
    return datetime.now(UTC) - timedelta(hours=2)


@on_loop
async def test_a_fresh_fill_of_an_order_that_is_not_found_yet_is_nobodys_for_good() -> None:
    row = fill_row(clOrdId="", ordId="5", **before(timedelta(seconds=1)))
    server = OkxServer(trade__fills=said(row), trade__order=NOT_FOUND)
    async with trading(server) as account:
        early = await account.outside_fills(since())
        server.says["trade/order"] = said(order_row(ordId="5", clOrdId="", algoClOrdId=GUARD))
        fills = await account.fills(since())

    assert isinstance(early, Unknown)
    assert not isinstance(fills, Unknown)
    assert [fill.client_order_id for fill in fills] == [GUARD]


@on_loop
async def test_an_old_fill_of_an_order_that_the_venue_has_forgotten_is_a_strangers() -> None:
    row = fill_row(clOrdId="", ordId="5", **before(timedelta(minutes=30)))
    server = OkxServer(trade__fills=said(row), trade__order=NOT_FOUND)
    async with trading(server) as account:
        outside = await account.outside_fills(since())

    assert not isinstance(outside, Unknown)
    assert [each.cause for each in outside] == [Outside.PERSON]


@pytest.mark.parametrize("wrong", [{"ts": "soon"}, {"ts": ""}, {"algoClOrdId": ["x"]}])
@on_loop
async def test_a_fill_whose_row_cannot_be_believed_is_nobodys_for_now(wrong: Any) -> None:
    row = fill_row(clOrdId="", ordId="5", **before(timedelta(minutes=30))) | wrong
    server = OkxServer(trade__fills=said(row), trade__order=NOT_FOUND)
    async with trading(server) as account:
        owner = await account.reads.owners.of(row)

    assert isinstance(owner, Unknown)


@pytest.mark.parametrize("wrong", [{"clOrdId": ["x"]}, {"algoId": {}}])
@on_loop
async def test_an_ended_order_that_cannot_be_believed_hides_no_other(wrong: Any) -> None:
    at = before(timedelta(minutes=5))
    rows = [
        fill_row(clOrdId="", ordId=str(number), tradeId=str(number), **at)
        for number in range(1, 41)
    ]
    ended = [
        order_row(ordId=str(number), clOrdId="") | (wrong if number == 1 else {})
        for number in range(1, 41)
    ]
    server = OkxServer(
        trade__fills=said(*rows), trade__orders_history=said(*ended), trade__order=NOT_FOUND
    )
    async with trading(server) as account:
        outside = await account.outside_fills(since())

    assert not isinstance(outside, Unknown)
    assert len(outside) == 40
    assert {asked.query["ordId"] for asked in server.of("trade/order")} == {"1"}


@pytest.mark.parametrize("name", ["another-program", "O123"])
@on_loop
async def test_what_another_program_traded_is_told_of_as_a_strangers(name: str) -> None:
    row = fill_row(clOrdId=name, ordId="5", **before(timedelta(minutes=1)))
    server = OkxServer(
        trade__fills=said(row), trade__order=said(order_row(ordId="5", clOrdId=name))
    )
    async with trading(server) as account:
        outside = await account.outside_fills(since())

    assert not isinstance(outside, Unknown)
    assert [each.fill.client_order_id for each in outside] == [""]


@on_loop
async def test_the_owners_of_many_fills_are_read_from_one_list() -> None:
    at = before(timedelta(minutes=5))
    rows = [
        fill_row(clOrdId="", ordId=str(number), tradeId=str(number), **at)
        for number in range(1, 41)
    ]

    def ended(asked: Any) -> bytes:
        assert asked.query["instType"] == "SWAP"
        stop = {"algoClOrdId": GUARD, "algoId": "77"}
        return said(
            *(
                order_row(ordId=str(number), clOrdId="", **(stop if number == 7 else {}))
                for number in range(1, 41)
            )
        )

    server = OkxServer(trade__fills=said(*rows), trade__orders_history=ended)
    async with trading(server) as account:
        fills = await account.fills(since())
        outside = await account.outside_fills(since())

    assert not isinstance(fills, Unknown)
    assert not isinstance(outside, Unknown)
    assert [fill.client_order_id for fill in fills] == [GUARD]
    assert len(outside) == 39
    assert len(server.of("trade/orders-history")) == 1
    assert server.of("trade/order") == []
