"""What a strategy computes is brought onto the venue's grid, never to the position's harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wishes import on_grid
from domain.commands import ProtectionPlan, TargetPlan
from domain.instrument import Direction
from strategies import Action, Decision, enter, move_stop
from tests.builders import D, opened, swap
from tests.builders import plan as a_plan

BTC = swap(tick_size=D("0.1"))
_prices = st.decimals("0.001", "100000", places=7)


def plan():
    targets = (TargetPlan(D("62000.07"), D("0.5")), TargetPlan(D("63000"), D("0.5")))
    return ProtectionPlan(
        stop_price=D("59999.9422602843"), targets=targets, breakeven_price=D("61000.01")
    )


def test_the_stop_of_a_long_moves_up_and_its_targets_down_to_the_tick():
    decision = on_grid(enter(Direction.LONG, "so", plan(), limit_price=D("60500.19")), BTC, None)

    assert decision.plan.stop_price == D("60000.0")
    assert [target.price for target in decision.plan.targets] == [D("62000.0"), D("63000.0")]
    assert decision.plan.breakeven_price == D("61000.0")
    assert decision.limit_price == D("60500.1")


def test_for_a_short_it_is_the_other_way_round():
    decision = on_grid(enter(Direction.SHORT, "so", plan(), limit_price=D("60500.11")), BTC, None)

    assert decision.plan.stop_price == D("59999.9")
    assert [target.price for target in decision.plan.targets] == [D("62000.1"), D("63000.0")]
    assert decision.limit_price == D("60500.2")


@pytest.mark.parametrize(
    ("direction", "stop", "price"),
    [(Direction.LONG, "90", "60000.1"), (Direction.SHORT, "110", "60000.0")],
)
def test_a_moved_stop_goes_to_the_tick_nearer_to_the_market(direction, stop, price):
    held = opened(protection=a_plan(stop), direction=direction).p

    assert on_grid(move_stop(D("60000.01"), "so"), BTC, held).stop_price == D(price)


@given(_prices, st.sampled_from(Direction))
def test_a_stop_is_on_the_tick_above_zero_and_at_most_a_tick_nearer(price, direction):
    moved = BTC.stop_on_tick(direction, price)

    assert BTC.is_on_tick(moved)
    assert moved > 0
    assert 0 <= (moved - price) * direction.sign < BTC.tick_size or moved == BTC.tick_size


def test_a_decision_without_prices_stays_as_it_is():
    decision = Decision(Action.CLOSE, "so")

    assert on_grid(decision, BTC, None) == decision
