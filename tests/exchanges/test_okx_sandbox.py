"""The adapter against the sandbox venue, which has a ledger of its own."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from domain.ids import AccountName, ClientOrderId, PositionId, Symbol, client_order_id
from domain.instrument import Direction, Instrument, Side
from domain.order import AttachedStop, Fill, OrderStatus, OrderTerms, OrderType
from exchanges.budget import Budget
from exchanges.okx_account import OkxAccount, OkxSettings
from exchanges.port import (
    Accepted,
    AccountFacts,
    CashKind,
    NotFound,
    Outside,
    Refused,
    Unknown,
    VenueOrder,
)
from exchanges.sandbox import DEMO_KEY, Sandbox, SandboxSettings, outside, running
from runtime.clocks import SystemClock
from tests.exchanges.okx_rows import BTC_SPOT, BTC_SWAP
from tests.exchanges.okx_server import on_loop

POSITION = PositionId("0190f0a0-0000-7000-8000-000000000001")
BTC = Symbol("BTC/USDT")
SWAP, SPOT = "BTC-USDT-SWAP", "BTC-USDT"
HOUR = timedelta(hours=1)
S = OrderStatus


def order_id(leg: str, epoch: int = 0) -> ClientOrderId:
    return client_order_id(AccountName("main"), POSITION, leg, epoch)


def terms(leg: str, side: Side, quantity: str = "0.02", **changes: Any) -> OrderTerms:
    return OrderTerms(
        client_order_id=order_id(leg, changes.pop("epoch", 0)),
        position_id=POSITION,
        symbol=BTC,
        side=side,
        type=changes.pop("type", OrderType.MARKET),
        quantity=Decimal(quantity),
        leverage=Decimal(3),
        **changes,
    )


def stop(side: Side, at: str, quantity: str = "0.02") -> OrderTerms:
    return terms(
        "guard-0",
        side,
        quantity,
        type=OrderType.STOP,
        trigger_price=Decimal(at),
        reduce_only=True,
    )


@contextlib.asynccontextmanager
async def at_sandbox(
    instruments: Sequence[Instrument] = (BTC_SWAP,), **settings: Any
) -> AsyncIterator[tuple[Sandbox, OkxAccount]]:
    async with running(SandboxSettings(**settings)) as sandbox:
        sandbox.set_price(SWAP, "60000")
        sandbox.set_price(SPOT, "60000")
        login = OkxSettings(
            DEMO_KEY.key, DEMO_KEY.secret, DEMO_KEY.passphrase, rest_url=sandbox.rest_url
        )
        account = OkxAccount(login, SystemClock(), instruments)
        try:
            await account.start(lambda update: None)
            yield sandbox, account
        finally:
            await account.close()


async def fills_of(account: OkxAccount) -> dict[ClientOrderId, list[Fill]]:
    fills = await account.fills(datetime.now(UTC) - HOUR)
    assert not isinstance(fills, Unknown)
    found: dict[ClientOrderId, list[Fill]] = {}
    for fill in fills:
        found.setdefault(fill.client_order_id, []).append(fill)
    return found


async def net(account: OkxAccount) -> Decimal:
    positions = await account.positions()
    assert not isinstance(positions, Unknown)
    return sum((each.quantity for each in positions), Decimal(0))


@pytest.mark.parametrize("mode", ["net_mode", "long_short_mode"])
@pytest.mark.parametrize(("opens", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
@on_loop
async def test_a_swap_lives_from_entry_over_a_moved_stop_to_being_stopped_out(
    mode: str, opens: Side, sign: int
) -> None:
    async with at_sandbox(position_mode=mode) as (sandbox, account):
        assert isinstance(await account.submit(terms("entry-0", opens)), Accepted)
        assert await net(account) == sign * Decimal("0.02")

        guard = stop(opens.opposite, str(60000 - sign * 1000))
        assert isinstance(await account.submit(guard), Accepted)
        moved = replace(guard, trigger_price=Decimal(60000 - sign * 500))
        assert isinstance(await account.amend(moved), Accepted)
        resting = await account.open_orders()
        assert not isinstance(resting, Unknown)
        assert [each.terms.trigger_price for each in resting] == [moved.trigger_price]

        part = terms("target-1", opens.opposite, "0.01", reduce_only=True)
        assert isinstance(await account.submit(part), Accepted)
        smaller = replace(moved, quantity=Decimal("0.01"))
        assert isinstance(await account.amend(smaller), Accepted)

        sandbox.set_price(SWAP, str(60000 - sign * 600))
        ended = await account.order(BTC, guard.client_order_id)
        fills = await fills_of(account)
        assert await net(account) == 0

    assert isinstance(ended, VenueOrder)
    assert (ended.status, ended.filled, ended.terms.type) == (
        S.FILLED,
        Decimal("0.01"),
        OrderType.STOP,
    )
    assert {id_: sum(f.quantity for f in all_) for id_, all_ in fills.items()} == {
        order_id("entry-0"): Decimal("0.02"),
        part.client_order_id: Decimal("0.01"),
        guard.client_order_id: Decimal("0.01"),
    }
    assert all(fill.fee.amount > 0 for each in fills.values() for fill in each)


@on_loop
async def test_spot_is_bought_protected_and_stopped_out() -> None:
    async with at_sandbox((BTC_SPOT,)) as (sandbox, account):
        assert isinstance(await account.submit(terms("entry-0", Side.BUY)), Accepted)
        (entry,) = (await fills_of(account))[order_id("entry-0")]
        assert entry.fee.asset == "BTC"
        assert await net(account) == entry.quantity - entry.fee.amount
        guard = stop(Side.SELL, "59000", "0.0199")
        assert isinstance(await account.submit(guard), Accepted)
        sandbox.set_price(SPOT, "58900")
        ended = await account.order(BTC, guard.client_order_id)
        fills = await fills_of(account)

    assert isinstance(ended, VenueOrder)
    assert ended.status is S.FILLED
    assert [fill.side for fill in fills[guard.client_order_id]] == [Side.SELL]


@on_loop
async def test_a_stop_that_is_canceled_is_out() -> None:
    async with at_sandbox() as (_, account):
        await account.submit(terms("entry-0", Side.BUY))
        guard = stop(Side.SELL, "59000")
        await account.submit(guard)
        assert isinstance(await account.cancel(BTC, guard.client_order_id), Accepted)
        again = await account.cancel(BTC, guard.client_order_id)
        found = await account.order(BTC, guard.client_order_id)

    assert isinstance(again, Refused)
    assert isinstance(found, VenueOrder)
    assert found.status is S.CANCELED


@on_loop
async def test_where_the_venue_cannot_look_a_stop_up_its_lists_say_what_became_of_it() -> None:
    async with at_sandbox() as (sandbox, account):
        sandbox.fault("gone", "GET trade/order-algo", count=None)
        await account.submit(terms("entry-0", Side.BUY))
        guard = stop(Side.SELL, "59000")
        await account.submit(guard)
        resting = await account.order(BTC, guard.client_order_id)
        assert isinstance(await account.cancel(BTC, guard.client_order_id), Accepted)
        ended = await account.order(BTC, guard.client_order_id)

    assert isinstance(resting, VenueOrder)
    assert resting.status is S.OPEN
    assert isinstance(ended, VenueOrder)
    assert ended.status is S.CANCELED


@on_loop
async def test_a_trailing_stop_rests_at_the_venue() -> None:
    async with at_sandbox() as (sandbox, account):
        await account.submit(terms("entry-0", Side.BUY))
        trail = terms(
            "guard-0",
            Side.SELL,
            type=OrderType.TRAIL,
            trail_ratio=Decimal("0.01"),
            reduce_only=True,
        )
        assert isinstance(await account.submit(trail), Accepted)
        sandbox.set_price(SWAP, "62000")
        sandbox.set_price(SWAP, "61000")
        ended = await account.order(BTC, trail.client_order_id)

    assert isinstance(ended, VenueOrder)
    assert ended.status is S.FILLED


@on_loop
async def test_a_limit_order_rests_is_moved_and_canceled() -> None:
    async with at_sandbox() as (_, account):
        limit = terms("entry-0", Side.BUY, type=OrderType.LIMIT, price=Decimal(59000))
        assert isinstance(await account.submit(limit), Accepted)
        assert isinstance(await account.amend(replace(limit, price=Decimal(59100))), Accepted)
        resting = await account.open_orders()
        assert not isinstance(resting, Unknown)
        assert [each.terms.price for each in resting] == [Decimal(59100)]
        assert isinstance(await account.cancel(BTC, limit.client_order_id), Accepted)
        found = await account.order(BTC, limit.client_order_id)

    assert isinstance(found, VenueOrder)
    assert found.status is S.CANCELED


@pytest.mark.parametrize("kind", ["lost", "truncated"])
@on_loop
async def test_an_order_whose_answer_was_lost_is_found_by_our_id(kind: Any) -> None:
    async with at_sandbox() as (sandbox, account):
        sandbox.fault(kind, "POST trade/order")
        entry = terms("entry-0", Side.BUY)
        assert isinstance(await account.submit(entry), Unknown)
        found = await account.order(BTC, entry.client_order_id)

    assert isinstance(found, VenueOrder)
    assert found.status is S.FILLED


@on_loop
async def test_an_order_that_never_arrived_is_not_found() -> None:
    async with at_sandbox() as (sandbox, account):
        sandbox.fault("unsent", "POST trade/order")
        entry = terms("entry-0", Side.BUY)
        assert isinstance(await account.submit(entry), Unknown)
        assert await account.order(BTC, entry.client_order_id) == NotFound()


@on_loop
async def test_an_order_sent_twice_is_never_called_rejected() -> None:
    async with at_sandbox() as (_, account):
        entry = terms("entry-0", Side.BUY)
        await account.submit(entry)
        assert isinstance(await account.submit(entry), Unknown)
        assert await net(account) == Decimal("0.02")


@on_loop
async def test_too_large_an_order_is_refused_with_51008() -> None:
    async with at_sandbox() as (_, account):
        refused = await account.submit(terms("entry-0", Side.BUY, "20"))

    assert isinstance(refused, Refused)
    assert refused.code == "51008"
    assert refused.remedy


@on_loop
async def test_the_account_is_known_and_its_stops_work() -> None:
    async with at_sandbox() as (sandbox, account):
        facts = await account.account()
        assert isinstance(facts, AccountFacts)
        assert facts.may_trade
        assert facts.stops_work
        sandbox.fault("gone", "POST trade/cancel-algos", count=None)
        facts = await account.account()

    assert isinstance(facts, AccountFacts)
    assert not facts.stops_work


@on_loop
async def test_balances_are_told() -> None:
    async with at_sandbox() as (_, account):
        balances = await account.balances()

    assert not isinstance(balances, Unknown)
    assert [(each.asset, each.total) for each in balances] == [("USDT", Decimal(10_000))]


# --- what others do ---


@on_loop
async def test_what_a_person_closes_on_the_site_is_an_outside_fill() -> None:
    async with at_sandbox() as (sandbox, account):
        await account.submit(terms("entry-0", Side.BUY))
        outside.close(sandbox.venue.account, SWAP)
        found = await account.outside_fills(datetime.now(UTC) - HOUR)
        assert await net(account) == 0

    assert not isinstance(found, Unknown)
    assert [(each.cause, each.fill.side, each.fill.quantity) for each in found] == [
        (Outside.PERSON, Side.SELL, Decimal("0.02"))
    ]


@on_loop
async def test_a_clock_of_ours_that_is_ahead_hides_no_fill_of_others() -> None:
    async with at_sandbox() as (sandbox, account):
        sandbox.world.skew_ms = -20_000  # what it may be off before nothing is signed right
        await account.wire.measure_clock()
        began = datetime.now(UTC)
        await account.submit(terms("entry-0", Side.BUY))
        outside.close(sandbox.venue.account, SWAP)
        found = await account.outside_fills(began)

    assert not isinstance(found, Unknown)
    assert [each.fill.side for each in found] == [Side.SELL]


@pytest.mark.parametrize(
    ("category", "cause"), [("full_liquidation", Outside.LIQUIDATION), ("adl", Outside.ADL)]
)
@on_loop
async def test_a_liquidation_is_told_as_one(category: str, cause: Outside) -> None:
    async with at_sandbox(position_mode="long_short_mode") as (sandbox, account):
        await account.submit(terms("entry-0", Side.BUY))
        outside.liquidate(sandbox.venue.account, SWAP, category)
        found = await account.outside_fills(datetime.now(UTC) - HOUR)

    assert not isinstance(found, Unknown)
    assert [(each.cause, each.direction) for each in found] == [(cause, Direction.LONG)]


@on_loop
async def test_funding_and_transfers_are_cash_flows() -> None:
    async with at_sandbox() as (sandbox, account):
        await account.submit(terms("entry-0", Side.BUY))
        outside.transfer(sandbox.venue.account, "USDT", Decimal(500))
        paid = outside.fund(sandbox.venue.account, SWAP, Decimal("0.0001"))
        flows = await account.cash_flows(datetime.now(UTC) - HOUR)

    assert not isinstance(flows, Unknown)
    told = {(each.kind, each.amount, each.symbol) for each in flows}
    assert (CashKind.TRANSFER, Decimal(500), None) in told
    assert (CashKind.FUNDING, paid, BTC) in told
    assert CashKind.OTHER not in {each.kind for each in flows}


@on_loop
async def test_a_stop_that_was_moved_on_the_site_is_told_where_it_stands() -> None:
    async with at_sandbox() as (sandbox, account):
        await account.submit(terms("entry-0", Side.BUY))
        guard = stop(Side.SELL, "59000")
        await account.submit(guard)
        outside.move_stop(sandbox.venue.account, SWAP, Decimal(58500))
        found = await account.order(BTC, guard.client_order_id)

    assert isinstance(found, VenueOrder)
    assert found.terms.trigger_price == Decimal(58500)


# --- storms ---


@on_loop
async def test_with_half_of_the_answers_lost_nothing_is_doubled_or_called_refused() -> None:
    async with at_sandbox(balances={"USDT": Decimal(10**7)}) as (sandbox, account):
        account.wire.budget = Budget(scale=1000)
        await account.submit(terms("entry-0", Side.BUY, "0.001", epoch=999))  # sets leverage
        sandbox.fault("lost", "POST trade/order", count=None, probability=0.5)
        orders = [terms("entry-0", Side.BUY, "0.001", epoch=number) for number in range(200)]
        outcomes = await asyncio.gather(*map(account.submit, orders))
        lost = [
            order
            for order, outcome in zip(orders, outcomes, strict=True)
            if not isinstance(outcome, Accepted)
        ]
        found = [await account.order(BTC, each.client_order_id) for each in lost]
        unsent = [
            each
            for each, outcome in zip(orders, outcomes, strict=True)
            if isinstance(outcome, Refused)
        ]
        held = await net(account)

    assert 60 < len(lost) < 140
    assert {each.code for each in outcomes if isinstance(each, Refused)} <= {"VENUE_DOWN"}
    assert held == Decimal("0.001") * (201 - len(unsent))
    assert sum(isinstance(each, NotFound) for each in found) == len(unsent)
    assert not [each for each in found if isinstance(each, Unknown)]


@on_loop
async def test_an_exit_gets_through_while_reads_use_up_their_budget() -> None:
    async with at_sandbox() as (_, account):
        await account.submit(terms("entry-0", Side.BUY))
        reads = [asyncio.ensure_future(account.positions()) for _ in range(40)]
        begun_s = time.monotonic()
        closing = terms("close-1", Side.SELL, reduce_only=True)
        assert isinstance(await account.submit(closing), Accepted)
        took_s = time.monotonic() - begun_s
        for each in reads:
            each.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    assert took_s < 1.5  # the reads alone take eight seconds


@on_loop
async def test_twenty_orders_at_once_stay_within_the_venues_limits() -> None:
    async with at_sandbox(limits=True) as (_, account):
        orders = [terms("entry-0", Side.BUY, "0.001", epoch=number) for number in range(20)]
        outcomes = await asyncio.gather(*map(account.submit, orders))
        guards = [
            replace(stop(Side.SELL, "59000", "0.001"), client_order_id=order_id("guard-0", number))
            for number in range(20)
        ]
        placed = await asyncio.gather(*map(account.submit, guards))

    assert [each for each in (*outcomes, *placed) if not isinstance(each, Accepted)] == []


@pytest.mark.parametrize(("instrument", "held"), [(BTC_SWAP, "0.02"), (BTC_SPOT, "0.01998")])
@on_loop
async def test_an_entry_brings_a_stop_along_for_what_it_has_filled(
    instrument: Instrument, held: str
) -> None:
    brought = AttachedStop(order_id("guard-0"), Decimal(59000))
    async with at_sandbox((instrument,)) as (_, account):
        entry = replace(terms("entry-0", Side.BUY, attached=brought), leverage=Decimal(1))
        assert isinstance(await account.submit(entry), Accepted)
        found = await account.order(BTC, brought.client_order_id)
        assert isinstance(await account.cancel(BTC, brought.client_order_id), Accepted)

    assert isinstance(found, VenueOrder)
    assert (found.status, found.terms.type) == (S.OPEN, OrderType.STOP)
    assert (found.terms.trigger_price, found.terms.quantity) == (Decimal(59000), Decimal(held))


@on_loop
async def test_an_entry_whose_stop_is_on_the_wrong_side_opens_nothing() -> None:
    brought = AttachedStop(order_id("guard-0"), Decimal(61000))
    async with at_sandbox() as (_, account):
        answer = await account.submit(terms("entry-0", Side.BUY, attached=brought))
        assert await net(account) == 0

    assert isinstance(answer, Refused)
    assert answer.code == "51280"
