"""Limits that make sense, and plans that do."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import ProtectionPlan, TargetPlan
from domain.ids import Symbol
from domain.instrument import Direction, Instrument, Kind
from domain.risk import (
    MAX_TARGETS,
    AccountLimits,
    TraderLimits,
    loss_distance,
    percent,
    plan_problems,
    shown,
)

D = Decimal
LONG, SHORT = Direction.LONG, Direction.SHORT
FEE = D("0.001")
ETH = Instrument(
    symbol=Symbol("ETH/USDT"),
    venue_symbol="ETHUSDT",
    base="ETH",
    quote="USDT",
    kind=Kind.SWAP,
    tick_size=D("0.01"),
    lot_size=D("0.001"),
    min_quantity=D("0.001"),
    min_notional=D(10),
)


def plan(*targets, stop=None, **more):
    return ProtectionPlan(
        stop_price=None if stop is None else D(stop),
        targets=tuple(TargetPlan(price=D(price), part=D(part)) for price, part in targets),
        **{name: D(value) for name, value in more.items()},
    )


def rules(asked, direction=LONG, price="100"):
    return [problem.rule for problem in plan_problems(asked, direction, D(price), ETH, FEE)]


@pytest.mark.parametrize(
    ("direction", "asked"),
    [
        (LONG, plan(("110", "0.5"), ("120", "0.5"), stop="95", breakeven_price="105")),
        (SHORT, plan(("90", "0.5"), ("80", "0.5"), stop="105", breakeven_price="95")),
        (LONG, plan(trail_ratio="0.02")),
        (SHORT, plan(trail_distance="2")),
        (LONG, ProtectionPlan()),
    ],
)
def test_a_plan_that_makes_sense_has_no_problems(direction, asked):
    assert rules(asked, direction) == []


@pytest.mark.parametrize(("direction", "stop"), [(LONG, "105"), (LONG, "100"), (SHORT, "95")])
def test_a_stop_on_the_wrong_side_of_the_entry_is_refused(direction, stop):
    assert rules(plan(stop=stop), direction) == ["STOP_ON_WRONG_SIDE"]


def test_the_refusal_of_a_stop_says_where_it_may_be():
    (problem,) = plan_problems(plan(stop="105.50"), LONG, D("100.00"), ETH, FEE)

    assert problem.message == "Stop 105.5 is not below 100 for a long of ETH/USDT."
    assert problem.remedy == "Set the stop below 100."
    assert (problem.actual, problem.limit) == ("105.5", "100")


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity", "-Infinity", "1e30"])
def test_what_is_no_price_is_no_stop_target_or_breakeven(price):
    assert rules(plan(stop=price)) == ["INVALID_PRICE"]
    assert rules(plan((price, "1"))) == ["INVALID_PRICE"]
    assert rules(plan(breakeven_price=price)) == ["INVALID_PRICE"]


@pytest.mark.parametrize(("direction", "price"), [(LONG, "99"), (LONG, "100"), (SHORT, "101")])
def test_a_target_on_the_wrong_side_is_refused(direction, price):
    assert rules(plan((price, "1")), direction) == ["TARGET_ON_WRONG_SIDE"]


@pytest.mark.parametrize(
    ("direction", "too_close", "enough"), [(LONG, "100.20", "100.21"), (SHORT, "99.81", "99.79")]
)
def test_a_target_must_earn_more_than_its_fees(direction, too_close, enough):
    assert rules(plan((too_close, "1")), direction) == ["TARGET_BELOW_FEES"]
    assert rules(plan((enough, "1")), direction) == []


@pytest.mark.parametrize("part", ["0", "-0.5", "1.1", "NaN", "Infinity"])
def test_a_target_closes_a_part_above_zero_and_at_most_all(part):
    assert rules(plan(("110", part))) == ["INVALID_PART"]


def test_parts_over_100_percent_are_refused_with_the_excess():
    asked = plan(("110", "0.6"), ("120", "0.5"))

    (problem,) = plan_problems(asked, LONG, D(100), ETH, FEE)

    assert problem.rule == "PARTS_OVER_100"
    assert problem.message == "The targets close 110 % of the position."
    assert problem.remedy == "Lower the parts by 10 % to at most 100 %."


def test_targets_are_bounded_in_number():
    crowd = [("110", "0.01")] * (MAX_TARGETS + 1)

    assert rules(plan(*crowd)) == ["TOO_MANY_TARGETS"]
    assert rules(plan(*crowd[1:])) == []


@pytest.mark.parametrize("ratio", ["0", "1", "-0.1", "NaN"])
def test_a_trail_ratio_lies_between_0_and_1(ratio):
    assert rules(plan(trail_ratio=ratio)) == ["INVALID_TRAIL"]


@pytest.mark.parametrize("distance", ["0", "-1", "100", "NaN"])
def test_a_trail_distance_lies_between_0_and_the_price(distance):
    assert rules(plan(trail_distance=distance)) == ["INVALID_TRAIL"]


@pytest.mark.parametrize(
    ("wish", "width", "least"),
    [
        ({"trail_ratio": "0.00099"}, "0.099 %", "0.1 %"),
        ({"trail_distance": "0.02"}, "0.02", "0.1"),
        ({"trail_distance": "0.0999"}, "0.0999", "0.1"),
    ],
)
def test_a_trail_follows_no_nearer_than_both_fees_take(wish, width, least):
    (problem,) = plan_problems(plan(**wish), LONG, D(100), ETH, D("0.0005"))

    assert problem.rule == "TRAIL_TOO_CLOSE"
    assert problem.message == (
        f"A trail of {width} follows ETH/USDT more closely than both fees take, {least}: "
        "it fires at once."
    )
    assert problem.remedy == (f"Give {least} or more. A distance is in quote: 2 % is written 2%.")
    assert (problem.actual, problem.limit) == (width, least)


@pytest.mark.parametrize("wish", [{"trail_ratio": "0.001"}, {"trail_distance": "0.1"}])
def test_a_trail_may_follow_from_where_both_fees_take_it(wish):
    assert plan_problems(plan(**wish), SHORT, D(100), ETH, D("0.0005")) == ()


def test_a_trail_has_one_way_to_follow():
    assert rules(plan(trail_ratio="0.02", trail_distance="2")) == ["TRAIL_AMBIGUOUS"]


def test_breakeven_may_not_put_the_stop_where_it_fires_at_once():
    assert rules(plan(breakeven_price="100.1")) == ["BREAKEVEN_TOO_CLOSE"]
    assert rules(plan(breakeven_price="101"), SHORT) == ["BREAKEVEN_TOO_CLOSE"]


@pytest.mark.parametrize("seconds", [0, -1, 3.2e8, 3e11, float("nan"), float("inf")])
def test_a_holding_time_is_a_time(seconds):
    assert rules(ProtectionPlan(max_holding_s=seconds)) == ["INVALID_HOLDING_TIME"]


def test_all_problems_are_told_at_once():
    asked = plan(("90", "0.7"), ("110", "0.7"), stop="105", trail_ratio="2")

    assert rules(asked) == [
        "STOP_ON_WRONG_SIDE",
        "PARTS_OVER_100",
        "TARGET_ON_WRONG_SIDE",
        "INVALID_TRAIL",
    ]


def test_the_stop_bounds_the_loss_and_else_the_trail():
    assert loss_distance(plan(stop="95", trail_ratio="0.02"), D(100)) == 5
    assert loss_distance(plan(trail_ratio="0.02"), D(100)) == 2
    assert loss_distance(plan(trail_distance="3"), D(100)) == 3
    assert loss_distance(ProtectionPlan(), D(100)) is None


@pytest.mark.parametrize(
    "limits",
    [
        {"max_risk_ratio": D(2)},
        {"min_confidence": D("-0.1")},
        {"max_position_ratio": D(-1)},
        {"max_position_ratio": D("NaN")},
        {"max_positions": -1},
    ],
)
def test_trader_limits_that_make_no_sense_raise(limits):
    with pytest.raises(ValueError):
        TraderLimits(**limits)


@pytest.mark.parametrize(
    "limits",
    [
        {"daily_drawdown_ratio": D(5)},
        {"total_drawdown_ratio": D(0)},
        {"balance_buffer_ratio": D("NaN")},
        {"max_leverage": D("0.5")},
        {"fee_ratio": D(1)},
        {"daily_loss_cap": D(0)},
        {"max_positions": -1},
    ],
)
def test_account_limits_that_make_no_sense_raise(limits):
    with pytest.raises(ValueError):
        AccountLimits(**limits)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.50", "10.5"),
        ("1E+3", "1000"),
        ("0.123456789", "0.12345679"),
        ("1e-12", "0.000000000001"),
    ],
)
def test_amounts_are_shown_as_people_read_them(value, text):
    assert shown(D(value)) == text


def test_percents_are_shown_as_people_read_them():
    assert percent(D("0.025")) == "2.5 %"


numbers = st.decimals(allow_nan=True, allow_infinity=True) | st.integers(90, 110).map(D)
targets = st.lists(st.builds(TargetPlan, price=numbers, part=numbers), max_size=3).map(tuple)
plans = st.builds(
    ProtectionPlan,
    stop_price=st.none() | numbers,
    targets=targets,
    trail_ratio=st.none() | numbers,
    trail_distance=st.none() | numbers,
    breakeven_price=st.none() | numbers,
    max_holding_s=st.none() | st.floats(),
)


@given(plans, st.sampled_from(Direction))
def test_no_plan_whatever_it_says_makes_the_check_fail(asked, direction):
    for problem in plan_problems(asked, direction, D(100), ETH, FEE):
        assert problem.message
        assert problem.rule.isupper()
