"""Whatever is traded, the sandbox's ledger adds up."""

from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.okx_account_rows import cash_flow_from_row
from exchanges.sandbox.money_rows import balance_row, bill_row
from exchanges.sandbox.numbers import floor_to, is_multiple, parse, text
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.translate import balance_from_row
from tests.exchanges.sandbox.desk import SPOT, SWAP, Desk

_SIDES = st.sampled_from(["buy", "sell"])
_NAMES = st.sampled_from([SPOT, SWAP])
_SIZES = st.integers(1, 400).map(lambda lots: text(Decimal(lots) / 100))
_PRICES = st.integers(-600, 600).map(lambda steps: text(60_000 + Decimal(steps) * 5))
STEPS = st.one_of(
    st.tuples(st.just("market"), _NAMES, _SIDES, _SIZES),
    st.tuples(st.just("limit"), _NAMES, _SIDES, _SIZES, _PRICES),
    st.tuples(st.just("stop"), _NAMES, _SIDES, _SIZES, _PRICES),
    st.tuples(st.just("price"), _NAMES, _PRICES),
    st.tuples(st.just("thin"), _NAMES, _SIZES),
    st.tuples(st.just("cancel"), st.integers(0, 50)),
    st.tuples(st.just("wait"), st.integers(1, 30_000_000)),
)


def act(desk: Desk, step: tuple) -> None:
    match step:
        case "market", name, side, size:
            desk.place(name, side, size)
        case "limit", name, side, size, price:
            desk.place(name, side, size, px=price)
        case "stop", name, side, size, price:
            desk.stop(name, side, size, slTriggerPx=price)
        case "price", name, price:
            desk.venue.market.quote(name).liquidity = None
            desk.price(price, name)
        case "thin", name, size:
            desk.venue.market.quote(name).liquidity = Decimal(size)
        case "cancel", number:
            working = [one for some in desk.account.working.values() for one in some.values()]
            if working:
                chosen = working[number % len(working)]
                desk.cancel({"instId": chosen.listing.inst_id, "ordId": chosen.order_id})
        case "wait", ms:
            desk.pass_time(ms)


def after(mode: str, steps: list[tuple], margin: str = "cross") -> Desk:
    desk = Desk(mode, margin=margin, USDT="20000", BTC="0.5")
    for step in steps:
        try:
            act(desk, step)
        except VenueRefusal:
            continue
    return desk


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_money_is_the_deposit_and_the_bills(steps: list[tuple]) -> None:
    account = after("net_mode", steps).account

    moved: dict[str, Decimal] = defaultdict(Decimal)
    for bill in account.bills:
        moved[bill.asset] += bill.change
    for name, asset in account.assets.items():
        assert asset.cash == account.deposited.get(name, 0) + moved[name]


@pytest.mark.parametrize("margin", ["cross", "isolated"])
@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_a_balance_as_it_is_read_is_the_deposit_the_trades_and_what_moved_besides(
    margin: str, steps: list[tuple]
) -> None:
    account = after("net_mode", steps, margin).account

    moved: dict[str, Decimal] = defaultdict(Decimal)
    for bill in account.bills:
        flow = cash_flow_from_row(bill_row(bill), {})
        if flow is not None:
            moved[flow.asset] += flow.amount
        elif bill.inst_id == SWAP:
            moved[bill.asset] += bill.pnl + bill.fee
        elif bill.type == "2":
            moved[bill.asset] += bill.change
    for row in balance_row(account)["details"]:
        told = balance_from_row(row)
        gap = told.total - account.deposited.get(told.asset, 0) - moved[told.asset]
        assert abs(gap) < Decimal("1e-8")
        assert Decimal(row["eq"]) == account.equity(told.asset)
        assert told.available <= max(told.total, Decimal(row["eq"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_what_is_frozen_is_what_working_orders_hold(steps: list[tuple]) -> None:
    account = after("net_mode", steps).account

    held: dict[str, Decimal] = defaultdict(Decimal)
    for one in [*account.orders.values(), *account.algos.values()]:
        assert one.is_working or one.frozen == 0
        if one.frozen:
            held[one.frozen_asset] += one.frozen
    for name, asset in account.assets.items():
        assert asset.frozen == held[name]
        assert asset.cash >= 0


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_positions_are_the_sum_of_their_fills(steps: list[tuple]) -> None:
    desk = after("net_mode", steps)

    signs = {"buy": 1, "sell": -1}
    fills = [one for one in desk.account.fills if one.order.listing.inst_id == SWAP]
    assert desk.held() == sum(one.size * signs[one.order.side] for one in fills)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_orders_never_fill_beyond_their_size_and_trades_are_numbered_once(
    steps: list[tuple],
) -> None:
    account = after("net_mode", steps).account

    assert all(one.filled <= one.size for one in account.orders.values() if not one.by_quote)
    ids = [(one.order.listing.inst_id, one.trade_id) for one in account.fills]
    assert len(set(ids)) == len(ids)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, max_value=10**9))
def test_numbers_are_read_as_they_were_printed(value: Decimal) -> None:
    assert parse(text(value)) == value


@given(st.decimals(0, 10**6, places=6), st.sampled_from(["0.01", "0.1", "1", "0.000001"]))
def test_rounding_down_gives_a_multiple_that_is_not_larger(value: Decimal, step: str) -> None:
    rounded = floor_to(value, Decimal(step))

    assert is_multiple(rounded, Decimal(step))
    assert 0 <= value - rounded < Decimal(step)
