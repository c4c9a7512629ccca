from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instrument import Direction, PriceSource, Side
from domain.money import Fee
from domain.order import OrderStatus, OrderType, TimeInForce
from exchanges.port import Outside
from exchanges.rest import LieError
from exchanges.translate import (
    UnlistedError,
    algo_from_row,
    balance_from_row,
    base_units,
    cash_from_row,
    children_of,
    fill_from_order_row,
    fill_from_row,
    order_from_row,
    outside_fill,
    position_from_row,
    with_children,
)
from tests.exchanges.okx_rows import (
    BTC_SWAP,
    INSTRUMENTS,
    OURS,
    algo_row,
    balance_row,
    fill_row,
    order_row,
    position_row,
)

S = OrderStatus


def test_contracts_become_base_units() -> None:
    order = order_from_row(order_row(accFillSz="1.5", avgPx="60000.5"), INSTRUMENTS)

    assert order.terms.quantity == Decimal("0.02")
    assert order.filled == Decimal("0.015")
    assert order.average_price == Decimal("60000.5")
    assert order.terms.client_order_id == OURS
    assert order.terms.leverage == 3


def test_sizes_of_spot_are_base_units() -> None:
    row = order_row(instId="BTC-USDT", instType="SPOT", sz="0.5", lever="", tgtCcy="base_ccy")

    assert order_from_row(row, INSTRUMENTS).terms.quantity == Decimal("0.5")


def test_a_spot_order_that_counts_money_is_as_large_as_what_it_bought() -> None:
    row = order_row(
        instId="BTC-USDT",
        instType="SPOT",
        sz="300",
        tgtCcy="quote_ccy",
        accFillSz="0.005",
        avgPx="60000",
        lever="",
    )

    assert order_from_row(row, INSTRUMENTS).terms.quantity == Decimal("0.005")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("live", S.OPEN),
        ("partially_filled", S.PARTIAL),
        ("filled", S.FILLED),
        ("canceled", S.CANCELED),
        ("mmp_canceled", S.CANCELED),
    ],
)
def test_states_of_orders(state: str, status: OrderStatus) -> None:
    assert order_from_row(order_row(state=state), INSTRUMENTS).status is status


@pytest.mark.parametrize(
    ("kind", "type_", "time_in_force"),
    [
        ("market", OrderType.MARKET, TimeInForce.GTC),
        ("limit", OrderType.LIMIT, TimeInForce.GTC),
        ("post_only", OrderType.LIMIT, TimeInForce.GTC),
        ("ioc", OrderType.LIMIT, TimeInForce.IOC),
        ("optimal_limit_ioc", OrderType.MARKET, TimeInForce.IOC),
    ],
)
def test_kinds_of_orders(kind: str, type_: OrderType, time_in_force: TimeInForce) -> None:
    terms = order_from_row(order_row(ordType=kind, px="60000"), INSTRUMENTS).terms

    assert (terms.type, terms.time_in_force) == (type_, time_in_force)


@pytest.mark.parametrize(
    ("state", "filled", "status"),
    [
        ("live", "0", S.TRIGGERED),
        ("partially_filled", "1", S.PARTIAL),
        ("filled", "2", S.FILLED),
        ("canceled", "0", S.REJECTED),
        ("canceled", "1", S.CANCELED),
    ],
)
def test_the_order_of_a_triggered_stop_is_told_of_under_its_id(
    state: str, filled: str, status: OrderStatus
) -> None:
    row = order_row(
        clOrdId="", algoClOrdId=OURS, algoId="9", state=state, accFillSz=filled, avgPx="58000"
    )

    order = order_from_row(row, INSTRUMENTS)

    assert (order.terms.client_order_id, order.status) == (OURS, status)


@pytest.mark.parametrize(
    ("changes", "type_", "trigger", "watches"),
    [
        ({}, OrderType.STOP, "58000", PriceSource.LAST),
        ({"slTriggerPxType": "mark"}, OrderType.STOP, "58000", PriceSource.MARK),
        (
            {"slTriggerPx": "", "tpTriggerPx": "70000", "tpTriggerPxType": "mark"},
            OrderType.TARGET,
            "70000",
            PriceSource.MARK,
        ),
        ({"ordType": "oco", "tpTriggerPx": "70000"}, OrderType.STOP, "58000", PriceSource.LAST),
        (
            {"ordType": "trigger", "slTriggerPx": "", "triggerPx": "59000"},
            OrderType.STOP,
            "59000",
            PriceSource.LAST,
        ),
    ],
)
def test_orders_that_wait_to_be_triggered(
    changes: dict[str, str], type_: OrderType, trigger: str, watches: PriceSource
) -> None:
    order = algo_from_row(algo_row(**changes), INSTRUMENTS)

    assert (order.terms.type, order.terms.watches) == (type_, watches)
    assert order.terms.trigger_price == Decimal(trigger)
    assert (order.terms.client_order_id, order.terms.reduce_only) == (OURS, True)
    assert order.terms.quantity == Decimal("0.02")
    assert order.venue_order_id == "1753184812254216192"


def test_a_trail_tells_its_ratio_and_where_it_stands() -> None:
    row = algo_row(
        ordType="move_order_stop", slTriggerPx="", callbackRatio="0.02", moveTriggerPx="58800"
    )

    terms = algo_from_row(row, INSTRUMENTS).terms

    assert (terms.type, terms.trail_ratio) == (OrderType.TRAIL, Decimal("0.02"))
    assert terms.trigger_price == 58800


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("live", S.OPEN),
        ("pause", S.OPEN),
        ("effective", S.TRIGGERED),
        ("partially_effective", S.TRIGGERED),
        ("canceled", S.CANCELED),
        ("order_failed", S.REJECTED),
    ],
)
def test_states_of_waiting_orders(state: str, status: OrderStatus) -> None:
    assert algo_from_row(algo_row(state=state), INSTRUMENTS).status is status


def test_a_stop_that_failed_says_why() -> None:
    order = algo_from_row(algo_row(state="order_failed", failCode="51008"), INSTRUMENTS)

    assert order.reason == "51008"


def test_the_orders_of_a_triggered_stop_are_named_once() -> None:
    assert children_of(algo_row(ordIdList=["5", "6"], ordId="5")) == ("5", "6")
    assert children_of(algo_row(ordIdList=[], ordId="5")) == ("5",)
    assert children_of(algo_row()) == ()


@pytest.mark.parametrize(
    ("state", "filled", "status"),
    [
        ("live", "0", S.TRIGGERED),
        ("partially_filled", "1", S.PARTIAL),
        ("filled", "2", S.FILLED),
        ("canceled", "0", S.REJECTED),
    ],
)
def test_a_triggered_stop_goes_on_as_its_order_does(
    state: str, filled: str, status: OrderStatus
) -> None:
    algo = algo_from_row(algo_row(state="effective", ordId="5"), INSTRUMENTS)
    row = order_row(ordId="5", clOrdId="", state=state, accFillSz=filled, avgPx="57990")

    both = with_children(algo, [order_from_row(row, INSTRUMENTS)])

    assert (both.status, both.filled) == (status, Decimal(filled) / 100)
    assert both.terms == algo.terms
    assert both.venue_order_id == algo.venue_order_id


def test_a_triggered_stop_that_the_venue_split_is_the_sum_of_its_orders() -> None:
    algo = algo_from_row(algo_row(state="effective", ordIdList=["5", "6"]), INSTRUMENTS)
    rows = [
        order_row(clOrdId="", sz="1", state="filled", accFillSz="1", avgPx="57990"),
        order_row(clOrdId="", sz="1", state="partially_filled", accFillSz="0.5", avgPx="57960"),
    ]

    whole = with_children(algo, [order_from_row(row, INSTRUMENTS) for row in rows])

    assert (whole.status, whole.filled) == (S.PARTIAL, Decimal("0.015"))
    assert whole.average_price == 57980


def test_a_fill_counts_base_units_and_a_fee_that_was_paid_is_above_zero() -> None:
    fill = fill_from_row(fill_row(), INSTRUMENTS)

    assert (fill.quantity, fill.price) == (Decimal("0.02"), 60000)
    assert fill.fee == Fee(Decimal("0.6"), "USDT")
    assert (fill.side, fill.maker) == (Side.BUY, False)


def test_a_rebate_is_a_fee_below_zero() -> None:
    assert fill_from_row(fill_row(fee="0.1", execType="M"), INSTRUMENTS).fee.amount == Decimal(
        "-0.1"
    )


def test_trades_of_two_instruments_with_one_number_are_two() -> None:
    swap = fill_from_row(fill_row(), INSTRUMENTS)
    spot = fill_from_row(fill_row(instId="BTC-USDT", instType="SPOT"), INSTRUMENTS)

    assert swap.trade_id != spot.trade_id


def test_a_pushed_fill_is_the_one_that_is_read() -> None:
    pushed = order_row(
        state="filled",
        accFillSz="2",
        fillSz="2",
        fillPx="60000",
        tradeId="1323",
        fillTime="1718000000400",
        fillFee="-0.6",
        fillFeeCcy="USDT",
        execType="T",
    )

    assert fill_from_order_row(pushed, INSTRUMENTS) == fill_from_row(fill_row(), INSTRUMENTS)


@pytest.mark.parametrize(
    "changes",
    [
        {"tradeId": ""},
        {"tradeId": "0", "category": "partial_liquidation"},
        {"fillFee": ""},
        {"fillSz": "0"},
    ],
)
def test_a_pushed_row_that_does_not_tell_all_of_a_trade_is_no_fill(changes: dict[str, str]) -> None:
    told = {"tradeId": "1", "fillSz": "1", "fillPx": "2", "fillFee": "0", "fillFeeCcy": "USDT"}

    assert fill_from_order_row(order_row(**told), INSTRUMENTS) is not None
    assert fill_from_order_row(order_row(**told | changes), INSTRUMENTS) is None


def test_a_liquidation_has_a_number_below_zero_of_its_own() -> None:
    first, second = (fill_from_row(fill_row(tradeId=each), INSTRUMENTS) for each in ("-7", "-8"))

    assert first.trade_id != second.trade_id
    assert fill_from_row(fill_row(tradeId="0", billId="9"), INSTRUMENTS).trade_id == "bill:9"


@pytest.mark.parametrize(
    ("changes", "cause", "direction"),
    [
        ({}, Outside.PERSON, None),
        ({"subType": "104", "posSide": "long"}, Outside.LIQUIDATION, Direction.LONG),
        ({"subType": "125", "posSide": "short"}, Outside.ADL, Direction.SHORT),
        ({"subType": "", "category": "full_liquidation"}, Outside.LIQUIDATION, None),
        ({"subType": "", "category": "adl"}, Outside.ADL, None),
    ],
)
def test_fills_of_others_say_who_it_was(
    changes: dict[str, str], cause: Outside, direction: Direction | None
) -> None:
    row = fill_row(clOrdId="", **changes)

    outside = outside_fill(row, fill_from_row(row, INSTRUMENTS))

    assert (outside.cause, outside.direction) == (cause, direction)


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({}, "0.02"),
        ({"pos": "-2"}, "-0.02"),
        ({"posSide": "short"}, "-0.02"),
        ({"posSide": "long"}, "0.02"),
        ({"pos": "0", "avgPx": ""}, "0"),
    ],
)
def test_a_short_is_below_zero_in_both_modes(changes: dict[str, str], quantity: str) -> None:
    assert position_from_row(position_row(**changes), INSTRUMENTS).quantity == Decimal(quantity)


def test_a_position_without_a_liquidation_price_has_none() -> None:
    assert position_from_row(position_row(liqPx=""), INSTRUMENTS).liquidation_price is None


@pytest.mark.parametrize("price", ["-1200.5", "0", "NaN", "soon"])
def test_a_liquidation_price_that_is_none_leaves_the_rest_of_a_position_told(price: str) -> None:
    position = position_from_row(position_row(liqPx=price, lever=price), INSTRUMENTS)

    assert (position.quantity, position.average_price) == (Decimal("0.02"), 60000)
    assert (position.liquidation_price, position.leverage) == (None, None)


def test_a_balance_is_cash_without_open_profit() -> None:
    balance = balance_from_row(balance_row())

    assert (balance.total, balance.available) == (Decimal(10000), Decimal("9000.2"))


def test_a_balance_of_a_spot_account_has_no_equity_to_use() -> None:
    assert balance_from_row(balance_row(availEq="")).available == Decimal(9000)


@pytest.mark.parametrize(
    ("equity", "profit", "total"),
    [
        ("610.5", "10.5", "10600"),
        ("589.5", "-10.5", "10600"),
        ("0", "-600", "10600"),  # all but lost
        ("0", "0", "10000"),
        ("", "", "10000"),  # an account of spot
    ],
)
def test_a_balance_has_the_margin_of_isolated_positions_without_what_they_are_ahead(
    equity: str, profit: str, total: str
) -> None:
    balance = balance_from_row(balance_row(isoEq=equity, isoUpl=profit))

    assert (balance.total, balance.available) == (Decimal(total), Decimal("9000.2"))


def test_without_what_isolated_positions_are_ahead_a_balance_cannot_be_told() -> None:
    with pytest.raises(LieError, match="isoUpl"):
        balance_from_row(balance_row(isoEq="610", isoUpl=""))


@pytest.mark.parametrize(("equity", "profit"), [("610.5", "10.5"), ("0", "0"), ("", "")])
def test_a_balance_that_tells_no_cash_has_the_margin_of_isolated_positions_once(
    equity: str, profit: str
) -> None:
    row = balance_row(cashBal="", eq="10610.5", isoEq=equity, isoUpl=profit)

    assert balance_from_row(row).total == Decimal("10610.5") - Decimal(profit or 0)
    assert cash_from_row(row) == Decimal("10610.5") - Decimal(equity or 0)


def test_rows_of_instruments_that_nobody_trades_can_be_told_apart() -> None:
    with pytest.raises(UnlistedError):
        order_from_row(order_row(instId="ETH-USDT"), INSTRUMENTS)


@pytest.mark.parametrize("type_", ["MARGIN", "SWAP", "OPTION"])
def test_rows_of_another_business_in_what_is_traded_can_be_told_apart(type_: str) -> None:
    for read, row in ((order_from_row, order_row), (algo_from_row, algo_row)):
        with pytest.raises(UnlistedError):
            read(row(instId="BTC-USDT", instType=type_), INSTRUMENTS)


READERS = [
    (order_from_row, order_row(tradeId="1", fillSz="1", fillPx="2", fillFee="-1")),
    (algo_from_row, algo_row()),
    (fill_from_row, fill_row()),
    (fill_from_order_row, order_row(tradeId="1", fillSz="1", fillPx="2", fillFee="-1")),
    (position_from_row, position_row()),
    (lambda row, _: balance_from_row(row), balance_row()),
    (lambda row, _: children_of(row), algo_row()),
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=50),
    st.sampled_from(["NaN", "1e999999", "-1", "1_0", " 1", "1\n", "٣", "Infinity", "0", "1E-8"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=1),
)


@given(st.sampled_from(READERS), st.data())
def test_whatever_a_field_holds_it_is_read_or_called_a_lie(reader: tuple, data: st.DataObject):
    read, row = reader
    field = data.draw(st.sampled_from(sorted(row)))
    try:
        value = read(row | {field: data.draw(JUNK)}, INSTRUMENTS)
    except LieError:
        return
    quantity = getattr(value, "quantity", Decimal(0))
    assert quantity.is_finite()


@given(st.decimals(min_value="0.01", max_value=10**9, places=2))
def test_contracts_and_base_units_are_the_same_amount(contracts: Decimal) -> None:
    assert base_units(contracts, BTC_SWAP) / BTC_SWAP.contract_size == contracts
