"""What can be traded is the venue's word: a lost answer is not "not listed"."""

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from domain.ids import Symbol
from domain.instrument import Instrument
from exchanges import okx_account
from tests.exchanges.okx_rows import BTC_SWAP
from tests.exchanges.okx_server import (
    HANG_UP,
    SWAP_RULES,
    Answer,
    Asked,
    OkxServer,
    on_loop,
    said,
    trading,
)

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
