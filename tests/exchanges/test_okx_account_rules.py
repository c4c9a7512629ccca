"""What can be traded is the venue's word: a lost answer is not "not listed"."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest
from msgspec.structs import replace

from domain.ids import Symbol
from domain.instrument import Instrument
from domain.order import OrderStatus
from exchanges import okx_account
from exchanges.okx_account_rows import instrument_from_row
from exchanges.port import Accepted, NotFound, Refused, Unknown, VenueOrder
from tests.exchanges.okx_rows import (
    BTC_SPOT,
    BTC_SWAP,
    algo_row,
    balance_row,
    fill_row,
    position_row,
)
from tests.exchanges.okx_server import (
    HANG_UP,
    NOT_FOUND,
    SPOT_RULES,
    SWAP_RULES,
    Answer,
    Asked,
    OkxServer,
    on_loop,
    placed,
    row_failed,
    said,
    trading,
)
from tests.exchanges.test_okx_account import EXIT, GUARD

ETH = "ETH-USDT-SWAP"
ETH_SWAP = replace(BTC_SWAP, symbol=Symbol("ETH/USDT"), venue_symbol=ETH, base="ETH")
UNLISTED = said(code="51001", msg="Instrument ID doesn't exist.")
ETH_RULES = said(SWAP_RULES | {"instId": ETH, "ctValCcy": "ETH"})


def rules(eth: Answer) -> Answer:
    def answer(asked: Asked) -> Answer:
        return eth if asked.query["instId"] == ETH else said(SWAP_RULES)

    return answer


def symbols(listed: tuple[Instrument, ...] | None) -> list[Symbol] | None:
    return None if listed is None else [each.symbol for each in listed]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - many owners, no event
        await asyncio.sleep(0.02)


@on_loop
async def test_what_the_venue_does_not_list_is_left_out() -> None:
    server = OkxServer(public__instruments=rules(UNLISTED))
    async with trading(server, (BTC_SWAP, ETH_SWAP)) as account:
        assert symbols(account.listed()) == [BTC_SWAP.symbol]


@on_loop
async def test_a_venue_that_lists_nothing_of_it_has_told_all_the_same() -> None:
    server = OkxServer(public__instruments=UNLISTED)
    async with trading(server) as account:
        assert account.listed() == ()


@on_loop
async def test_an_answer_that_is_lost_is_asked_for_again_before_anything_counts_as_told() -> None:
    server = OkxServer(public__instruments=rules(HANG_UP))
    async with trading(server, (BTC_SWAP, ETH_SWAP)) as account:
        assert account.listed() is None
        server.says["public/instruments"] = rules(ETH_RULES)
        await until(lambda: account.listed() is not None)
        assert symbols(account.listed()) == [BTC_SWAP.symbol, ETH_SWAP.symbol]


@on_loop
async def test_rules_are_read_again_and_stay_where_the_answer_is_lost(monkeypatch) -> None:
    monkeypatch.setattr(okx_account, "_MEASUREMENTS_A_RULE", 1)
    monkeypatch.setattr(okx_account, "_MEASURE_EVERY_S", 0.02)
    server = OkxServer(public__instruments=rules(ETH_RULES))
    async with trading(server, (BTC_SWAP, ETH_SWAP)) as account:
        changed = SWAP_RULES | {"lotSz": "1", "minSz": "1"}

        def lost(asked: Asked) -> Answer:
            return HANG_UP if asked.query["instId"] == ETH else said(changed)

        server.says["public/instruments"] = lost
        await until(lambda: account.instruments()[0].lot_size != BTC_SWAP.lot_size)
        assert symbols(account.listed()) == [BTC_SWAP.symbol, ETH_SWAP.symbol]

        server.says["public/instruments"] = rules(UNLISTED)
        await until(lambda: symbols(account.listed()) == [BTC_SWAP.symbol])


@pytest.mark.parametrize(
    ("instrument", "row", "most", "worth"),
    [
        (BTC_SWAP, {"maxMktSz": "12000", "maxStopSz": "10000", "maxMktAmt": ""}, "100", None),
        (BTC_SWAP, {"maxMktSz": "12000"}, "120", None),
        (BTC_SPOT, {"maxMktSz": "1000000", "maxMktAmt": "900000"}, None, "900000"),
        (BTC_SWAP, {"maxMktSz": "", "maxStopSz": "0"}, None, None),
    ],
)
def test_the_most_of_one_order_at_market_counts_contracts_and_of_spot_money(
    instrument: Instrument, row: dict[str, str], most: str | None, worth: str | None
) -> None:
    told = SPOT_RULES if instrument is BTC_SPOT else SWAP_RULES
    read = instrument_from_row(told | row, instrument)
    expected = tuple(None if each is None else Decimal(each) for each in (most, worth))
    assert (read.max_market, read.max_market_value) == expected


@pytest.mark.parametrize("answer", [UNLISTED, said()])
@on_loop
async def test_what_is_listed_no_more_is_still_read_and_left_but_not_offered(
    monkeypatch, answer: bytes
) -> None:
    monkeypatch.setattr(okx_account, "_MEASUREMENTS_A_RULE", 1)
    monkeypatch.setattr(okx_account, "_MEASURE_EVERY_S", 0.02)
    server = OkxServer(account__positions=said(position_row()), trade__order=placed)
    async with trading(server) as account:
        server.says["public/instruments"] = answer
        await until(lambda: account.listed() == ())
        held = await account.positions()
        left = await account.submit(EXIT)

    assert not isinstance(held, Unknown)
    assert [each.symbol for each in held] == [BTC_SWAP.symbol]
    assert left == Accepted("42")


@on_loop
async def test_a_holding_whose_rules_were_never_told_is_not_flat() -> None:
    held = said(position_row(instId=ETH), position_row())
    server = OkxServer(public__instruments=rules(said()), account__positions=held)
    async with trading(server, (BTC_SWAP, ETH_SWAP)) as account:
        assert isinstance(await account.positions(), Unknown)


@on_loop
async def test_coins_whose_market_is_not_listed_are_still_held() -> None:
    details = {"details": [balance_row(ccy="BTC", cashBal="0.5")]}
    server = OkxServer(public__instruments=UNLISTED, account__balance=said(details))
    async with trading(server, (BTC_SPOT,)) as account:
        held = await account.positions()

    assert not isinstance(held, Unknown)
    assert [(each.symbol, str(each.quantity)) for each in held] == [("BTC/USDT", "0.5")]


@on_loop
async def test_a_symbol_that_seemed_not_to_be_listed_is_asked_for_again_soon(monkeypatch) -> None:
    monkeypatch.setattr(okx_account, "_MEASURE_EVERY_S", 0.02)
    server = OkxServer(public__instruments=rules(said()))
    async with trading(server, (BTC_SWAP, ETH_SWAP)) as account:
        assert symbols(account.listed()) == [BTC_SWAP.symbol]
        server.says["public/instruments"] = rules(ETH_RULES)
        await until(lambda: symbols(account.listed()) == [BTC_SWAP.symbol, ETH_SWAP.symbol])


@on_loop
async def test_an_order_that_is_off_the_grid_lets_the_next_check_read_the_rules_again() -> None:
    server = OkxServer(trade__order=row_failed("51121"))
    async with trading(server) as account:
        await account.account()
        before = len(server.of("public/instruments"))
        assert isinstance(await account.submit(EXIT), Refused)
        assert len(server.of("public/instruments")) == before
        server.says["public/instruments"] = said(SWAP_RULES | {"lotSz": "1", "minSz": "1"})
        await account.account()
        listed = account.listed()
        assert listed is not None
        assert [each.lot_size for each in listed] == [BTC_SWAP.contract_size]
        await account.account()
        assert len(server.of("public/instruments")) == before + 1


HELD = replace(ETH_SWAP, contract_size=Decimal("0.1"))
CANCELED = algo_row(instId=ETH, algoClOrdId=GUARD, state="canceled", sz="5")


@on_loop
async def test_what_is_open_and_listed_no_more_is_read_by_the_rules_of_its_opening() -> None:
    server = OkxServer(
        public__instruments=rules(UNLISTED),
        trade__order_algo=said(CANCELED),
        trade__fills=said(fill_row(instId=ETH, clOrdId=GUARD, fillSz="5")),
        trade__fills_history=said(),
        account__positions=said(position_row(instId=ETH, pos="5")),
    )
    async with trading(server, (BTC_SWAP, ETH_SWAP), held=(HELD,)) as account:
        assert symbols(account.listed()) == [BTC_SWAP.symbol]
        order = await account.order(ETH_SWAP.symbol, GUARD)
        fills = await account.fills(None)
        held = await account.positions()

    assert isinstance(order, VenueOrder)
    assert (order.status, order.terms.quantity) == (OrderStatus.CANCELED, Decimal("0.5"))
    assert not isinstance(fills, Unknown)
    assert [each.quantity for each in fills] == [Decimal("0.5")]
    assert not isinstance(held, Unknown)
    assert [each.quantity for each in held] == [Decimal("0.5")]


@on_loop
async def test_with_an_instrument_its_orders_are_gone() -> None:
    server = OkxServer(
        public__instruments=rules(UNLISTED),
        trade__order_algo=NOT_FOUND,
        trade__order=UNLISTED,
    )
    async with trading(server, (BTC_SWAP, ETH_SWAP), held=(HELD,)) as account:
        assert await account.order(ETH_SWAP.symbol, GUARD) == NotFound()
        # Of what is listed it is nonsense, and says nothing.
        assert isinstance(await account.order(BTC_SWAP.symbol, GUARD), Unknown)


@on_loop
async def test_rules_of_before_do_not_count_while_the_venue_has_not_told_its_own() -> None:
    server = OkxServer(public__instruments=rules(HANG_UP))
    async with trading(server, (BTC_SWAP, ETH_SWAP), held=(HELD,)) as account:
        assert isinstance(await account.order(ETH_SWAP.symbol, GUARD), Unknown)
        server.says["public/instruments"] = rules(ETH_RULES)
        await until(lambda: account.listed() is not None)
        assert symbols(account.listed()) == [BTC_SWAP.symbol, ETH_SWAP.symbol]
