"""An account at the sandbox venue: what it does by REST comes back by the private stream."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from domain.ids import AccountName, client_order_id
from domain.instrument import Side
from domain.order import Fill, OrderStatus, OrderTerms, OrderType
from exchanges.okx_account import OkxAccount, OkxSettings
from exchanges.okx_private import SETTINGS, stream_of
from exchanges.port import (
    Accepted,
    BalanceReport,
    Outside,
    OutsideFill,
    PositionReport,
    StreamDown,
    StreamUp,
    Unknown,
    VenueOrder,
)
from exchanges.real_net import RealNet
from exchanges.sandbox import DEMO_KEY, SandboxSettings, running
from exchanges.sandbox.params import Params
from exchanges.sandbox.trading import place
from tests.builders import position_id
from tests.exchanges.okx_private_venue import Updates
from tests.exchanges.okx_rows import BTC_SPOT, BTC_SWAP

D = Decimal
S = OrderStatus
SWAP = "BTC-USDT-SWAP"
pytestmark = pytest.mark.timeout(60)


def terms(leg="entry-0", side=Side.BUY, quantity="0.02", *, epoch=0, **more):
    """Return an order of ours; at market unless said."""
    given = {"type": OrderType.MARKET, "leverage": D(3)} | more
    return OrderTerms(
        client_order_id=client_order_id(AccountName("main"), position_id(), leg, epoch),
        position_id=position_id(),
        symbol=BTC_SWAP.symbol,
        side=side,
        quantity=D(quantity),
        **given,
    )


def stop(price, **more):
    more = {"reduce_only": True} | more
    return terms("guard-0", Side.SELL, type=OrderType.STOP, trigger_price=D(price), **more)


class Desk:
    """An account at a sandbox, and what its stream told."""

    def __init__(self, sandbox, account, told) -> None:
        self.sandbox, self.account, self.told = sandbox, account, told

    async def submit(self, order) -> None:
        assert isinstance(await self.account.submit(order), Accepted)

    def statuses(self, order) -> list[OrderStatus]:
        return [
            each.status
            for each in self.told.of(VenueOrder)
            if each.terms.client_order_id == order.client_order_id
        ]

    async def until(self, order, status) -> None:
        await self.told.until(lambda: self.statuses(order)[-1:] == [status])

    def fills(self, order) -> list[Fill]:
        mine = order.client_order_id
        return [each for each in self.told.of(Fill) if each.client_order_id == mine]

    def held(self) -> list[Decimal]:
        """Return the quantities of the last report."""
        reports = self.told.of(PositionReport)
        return [each.quantity for each in reports[-1].positions] if reports else []

    def a_person(self, **fields) -> None:
        """Trade on the venue's site."""
        given = {"instId": SWAP, "tdMode": "cross", "ordType": "market"} | fields
        place(self.sandbox.venue.account, Params(given))

    async def until_up(self, times) -> None:
        await self.told.until(lambda: len(self.told.of(StreamUp)) == times)


@pytest.fixture
def trading(clock, chance):
    """Run a sandbox and an account that watches it."""

    @contextlib.asynccontextmanager
    async def trade(*, instrument=BTC_SWAP, key=DEMO_KEY, stream=SETTINGS, **settings):
        balances = {"USDT": D(10_000), "BTC": D(0)}
        async with running(SandboxSettings(**({"balances": balances} | settings))) as sandbox:
            told = Updates()
            login = OkxSettings(key.key, key.secret, key.passphrase, rest_url=sandbox.rest_url)
            make = stream_of((RealNet(close_timeout_s=0.2), clock, chance), sandbox.ws_url, stream)
            account = OkxAccount(login, clock, [instrument], make)
            await account.start(told)
            try:
                yield Desk(sandbox, account, told)
            finally:
                await account.close()

    return trade


def test_the_life_of_a_swap_position_is_pushed_from_entry_to_stop_out(run, trading):
    entry, guard = terms(), stop("59000")

    async def work():
        async with trading() as desk:
            await desk.until_up(1)
            await desk.submit(entry)
            await desk.until(entry, S.FILLED)
            await desk.submit(guard)
            await desk.until(guard, S.OPEN)
            assert isinstance(await desk.account.amend(stop("59500")), Accepted)
            await desk.told.until(
                lambda: desk.told.of(VenueOrder)[-1].terms.trigger_price == D(59500)
            )
            desk.sandbox.set_price(SWAP, "59400")
            await desk.until(guard, S.FILLED)
            await desk.told.until(
                lambda: desk.told.of(PositionReport)[-1].positions[0].quantity == 0
            )
            return desk

    desk = run(work())
    (bought,), (sold,) = desk.fills(entry), desk.fills(guard)
    assert (bought.quantity, bought.side) == (D("0.02"), Side.BUY)
    assert (sold.quantity, sold.side) == (D("0.02"), Side.SELL)
    assert bought.fee.amount > 0
    assert bought.fee.asset == "USDT"
    assert S.TRIGGERED in desk.statuses(guard)
    assert not desk.told.of(OutsideFill)
    quantities = [each.positions[0].quantity for each in desk.told.of(PositionReport)]
    assert quantities == sorted(quantities, reverse=True)
    venue_cash = desk.sandbox.venue.account.assets["USDT"].cash
    last = [b for each in desk.told.of(BalanceReport) for b in each.balances if b.asset == "USDT"]
    assert last[-1].total == venue_cash


def test_a_trail_that_rests_at_the_venue_follows_and_fires(run, trading):
    entry = terms()
    trail = terms(
        "guard-0", Side.SELL, type=OrderType.TRAIL, trail_ratio=D("0.02"), reduce_only=True
    )

    async def work():
        async with trading() as desk:
            await desk.until_up(1)
            await desk.submit(entry)
            await desk.submit(trail)
            await desk.until(trail, S.OPEN)
            desk.sandbox.set_price(SWAP, "66000")
            desk.sandbox.set_price(SWAP, "64000")
            await desk.until(trail, S.FILLED)
            return desk

    desk = run(work())
    assert [each.quantity for each in desk.fills(trail)] == [D("0.02")]
    assert desk.told.of(VenueOrder)[-1].terms.client_order_id == trail.client_order_id


def test_what_was_filled_before_a_cancel_stays_filled(run, trading):
    entry = terms(type=OrderType.LIMIT, price=D(60010))

    async def work():
        async with trading() as desk:
            await desk.until_up(1)
            desk.sandbox.venue.market.quotes[SWAP].liquidity = D("0.5")  # contracts
            await desk.submit(entry)
            await desk.until(entry, S.PARTIAL)
            answer = await desk.account.cancel(entry.symbol, entry.client_order_id)
            assert isinstance(answer, Accepted)
            await desk.until(entry, S.CANCELED)
            return desk

    desk = run(work())
    assert [each.quantity for each in desk.fills(entry)] == [D("0.005")]
    assert desk.told.of(VenueOrder)[-1].filled == D("0.005")


def test_a_spot_buy_pays_its_fee_in_the_coin(run, trading):
    entry = terms(quantity="0.01", leverage=D(1))

    async def work():
        async with trading(instrument=BTC_SPOT) as desk:
            await desk.until_up(1)
            await desk.submit(entry)
            await desk.until(entry, S.FILLED)
            await desk.told.until(
                lambda: any(
                    each.asset == "BTC" and each.total
                    for report in desk.told.of(BalanceReport)
                    for each in report.balances
                )
            )
            return desk

    desk = run(work())
    (bought,) = desk.fills(entry)
    assert (bought.fee.amount, bought.fee.asset) == (D("0.00001"), "BTC")


def test_a_stop_whose_order_the_venue_refuses_is_told_as_rejected(run, trading):
    entry, guard = terms(), stop("59000")

    async def work():
        async with trading() as desk:
            await desk.until_up(1)
            await desk.submit(entry)
            await desk.submit(guard)
            await desk.until(guard, S.OPEN)
            desk.a_person(side="sell", sz="2", reduceOnly="true")  # now there is nothing to close
            desk.sandbox.set_price(SWAP, "58000")
            await desk.told.until(lambda: desk.statuses(guard)[-1] in {S.REJECTED, S.CANCELED})
            return desk

    desk = run(work())
    assert desk.statuses(guard)[0] is S.OPEN
    assert desk.told.of(OutsideFill)[0].cause is Outside.PERSON


def test_a_person_is_told_as_an_outside_fill_and_a_liquidation_is_one_that_is_read(run, trading):
    began = datetime.now(UTC)

    async def work():
        async with trading(balances={"USDT": D(2_000)}) as desk:
            await desk.until_up(1)
            await desk.submit(terms(quantity="0.05"))
            desk.a_person(side="sell", sz="1", reduceOnly="true")
            await desk.told.until(lambda: desk.told.of(OutsideFill))
            desk.sandbox.set_price(SWAP, "9000")
            await desk.told.until(lambda: desk.held() == [0])
            (told,) = desk.told.of(OutsideFill)
            read = await desk.account.outside_fills(began - timedelta(minutes=1))
            assert not isinstance(read, Unknown)
            assert read[0].fill.trade_id == told.fill.trade_id
            return read

    person, liquidation = run(work())
    assert (person.cause, person.fill.quantity) == (Outside.PERSON, D("0.01"))
    assert (liquidation.cause, liquidation.fill.quantity) == (Outside.LIQUIDATION, D("0.04"))
    assert {person.fill.client_order_id, liquidation.fill.client_order_id} == {""}


def test_in_hedge_mode_a_report_names_both_sides(run, trading):
    async def work():
        async with trading(position_mode="long_short_mode") as desk:
            await desk.until_up(1)
            desk.a_person(side="buy", posSide="long", sz="3")
            desk.a_person(side="sell", posSide="short", sz="1")
            desk.a_person(side="sell", posSide="long", sz="3")
            await desk.told.until(lambda: desk.held() == [D("-0.01")])

    run(work())


def test_after_a_cut_it_is_up_within_five_seconds_and_repeats_nothing(run, trading):
    entry, missed = terms(), terms("entry-1")

    async def work():
        async with trading() as desk:
            await desk.until_up(1)
            await desk.submit(entry)
            await desk.until(entry, S.FILLED)
            cut = time.monotonic()
            assert desk.sandbox.sockets.cut() == 2
            await desk.submit(missed)  # while nobody listens
            await desk.until_up(2)
            took_s = time.monotonic() - cut
            asked = await desk.account.fills(datetime.now(UTC) - timedelta(minutes=5))
            return desk, took_s, asked

    desk, took_s, asked = run(work())
    assert took_s < 5.0
    assert len(desk.fills(entry)) == 1
    assert {each.client_order_id for each in asked} == {
        entry.client_order_id,
        missed.client_order_id,
    }
    pushed = {each.trade_id for each in desk.told.of(Fill)}
    assert pushed <= {each.trade_id for each in asked}  # one and the same, by either way


def test_pushes_that_come_twice_or_late_are_told_once_and_take_nothing_back(run, trading):
    orders = [terms(f"entry-{number}", quantity="0.001") for number in range(12)]

    async def work():
        async with trading() as desk:
            await desk.until_up(1)
            desk.sandbox.fault("duplicate", "*", count=None, probability=0.5)
            desk.sandbox.fault("reorder", "*", count=None, probability=0.5)
            for each in orders:
                await desk.submit(each)
            desk.sandbox.faults.clear()
            await desk.submit(terms("entry-30", quantity="0.001"))  # lets what is held go
            await desk.told.until(
                lambda: all(desk.statuses(each)[-1:] == [S.FILLED] for each in orders)
            )
            return desk

    desk = run(work())
    assert [len(desk.fills(each)) for each in orders] == [1] * len(orders)
    assert all(desk.statuses(each).count(S.FILLED) == 1 for each in orders)


def test_a_half_open_connection_is_left_and_made_anew(run, trading):
    quick = {"ping_after_s": 0.2, "answer_timeout_s": 0.4, "backoff_first_s": 0.1}

    async def work():
        async with trading(stream=msgspec.structs.replace(SETTINGS, **quick)) as desk:
            await desk.until_up(1)
            desk.sandbox.sockets.half_open = True
            await desk.told.until(lambda: desk.told.of(StreamDown))
            desk.sandbox.sockets.half_open = False
            await desk.until_up(2)
            return desk.told.of(StreamDown)[0].why

    assert "no answer to a ping" in run(work())


def test_a_restart_that_was_announced_costs_nothing(run, trading):
    before, after = terms(), terms("entry-1")

    async def work():
        async with trading() as desk:
            await desk.until_up(1)
            await desk.submit(before)
            desk.sandbox.sockets.notice()
            old = list(desk.sandbox.sockets.open)
            while any(each in desk.sandbox.sockets.open for each in old):  # noqa: ASYNC110 - the venue has no event for it
                await asyncio.sleep(0.02)
            await desk.submit(after)
            await desk.until(after, S.FILLED)
            return desk

    desk = run(work())
    assert len(desk.fills(before)) == len(desk.fills(after)) == 1
    assert [type(each) for each in desk.told.of(StreamUp, StreamDown)] == [StreamUp]


def test_a_wrong_passphrase_is_a_named_state(run, trading):
    class Wrong:
        key, secret, passphrase = DEMO_KEY.key, DEMO_KEY.secret, "wrong"

    async def work():
        async with trading(key=Wrong) as desk:
            await desk.told.until(lambda: desk.told.of(StreamDown))
            return desk.told.of(StreamDown)[0].why

    why = run(work())
    assert "60024" in why
    assert "Check key, secret and passphrase" in why
