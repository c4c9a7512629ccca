"""The EMA cross: in with a cross, out with the next one."""

from decimal import Decimal

import pytest

from domain.instrument import Direction
from strategies import Action, ParameterError
from strategies.ema_cross import EmaCross
from strategies.guarded import Target

QUICK = EmaCross(fast=1, slow=2, atr_bars=2, min_stop_ratio=Decimal(0))


def after(strategy, state, candles, view, **seen):
    """Return the last step."""
    step = None
    for candle in candles:
        step = strategy.on_candle(state, candle, view(candle.close, **seen))
        state = step.state
    return step


@pytest.fixture
def falling(candle, view):
    """Return the state of `QUICK` after prices that fall, so that the fast average is below."""
    candles = [candle(close, high=close + 1, low=close - 1) for close in (104, 102, 100)]
    step = after(QUICK, QUICK.initial(), candles, view)
    assert step.decision is None
    assert step.state.side is Direction.SHORT
    return step.state


def test_the_first_side_is_no_cross(candle, view):
    strategy = EmaCross(fast=2, slow=3, atr_bars=2)
    candles = [candle(100 + number) for number in range(strategy.warm_up)]

    assert after(strategy, strategy.initial(), candles, view).decision is None


def test_a_cross_from_below_buys_with_a_stop_below(falling, candle, view):
    step = QUICK.on_candle(falling, candle(110, high=110, low=110), view(110))

    assert step.decision.action is Action.LONG
    # True ranges 2, 3, 3 and 10: (2 + 3) / 2 = 2.5, 2.75, 6.375.
    assert step.decision.plan.stop_price == Decimal("97.25")
    assert "crossed over" in step.decision.rationale


def test_a_cross_from_above_sells_with_a_stop_above(falling, candle, view):
    state = QUICK.on_candle(falling, candle(110), view(110, is_entering=True)).state

    step = QUICK.on_candle(state, candle(90), view(90))

    assert step.decision.action is Action.SHORT
    assert step.decision.plan.stop_price > 90
    assert "crossed under" in step.decision.rationale


def test_shorts_can_be_left_out(falling, candle, view):
    strategy = EmaCross(fast=1, slow=2, atr_bars=2, allow_short=False)
    state = strategy.on_candle(falling, candle(110), view(110)).state

    assert strategy.on_candle(state, candle(90), view(90)).decision is None


def test_a_cross_against_the_position_closes_it_and_then_enters(falling, candle, view, held):
    crossed = QUICK.on_candle(falling, candle(110), view(110, held=held(Direction.SHORT)))
    still_closing = QUICK.on_candle(
        crossed.state, candle(111), view(111, held=held(Direction.SHORT))
    )
    closed = QUICK.on_candle(still_closing.state, candle(112), view(112))
    once = QUICK.on_candle(closed.state, candle(113), view(113))

    assert [step.decision and step.decision.action for step in (crossed, still_closing)] == [
        Action.CLOSE,
        Action.CLOSE,
    ]
    assert closed.decision.action is Action.LONG
    assert once.decision is None


def test_an_entry_that_waits_is_forgotten_when_the_averages_cross_back(falling, candle, view, held):
    strategy = EmaCross(fast=1, slow=2, atr_bars=2, allow_short=False)
    crossed = strategy.on_candle(falling, candle(110), view(110, held=held(Direction.SHORT)))
    back = strategy.on_candle(crossed.state, candle(90), view(90, held=held(Direction.SHORT)))

    assert strategy.on_candle(back.state, candle(89), view(89)).decision is None


def test_nothing_is_entered_while_an_entry_is_under_way(falling, candle, view):
    step = QUICK.on_candle(falling, candle(110), view(110, is_entering=True))

    assert step.decision is None


def test_a_position_on_the_right_side_is_left_alone(falling, candle, view, held):
    step = QUICK.on_candle(falling, candle(110), view(110, held=held(Direction.LONG)))

    assert step.decision is None
    assert step.state.wanted is None


def test_the_stop_lies_at_a_multiple_of_the_range_and_targets_at_multiples_of_the_risk(
    candle, view
):
    strategy = EmaCross(
        fast=1,
        slow=2,
        atr_bars=2,
        stop_atr=Decimal("1.5"),
        targets=(Target(r=Decimal(2), part=Decimal("0.5")),),
        breakeven_r=Decimal(1),
        trail_atr=Decimal(3),
        max_holding_bars=10,
    )
    candles = [candle(close, high=close + 2, low=close - 2) for close in (100, 99, 101)]

    step = after(strategy, strategy.initial(), candles, view)

    assert step.state.atr.value == 4
    plan = step.decision.plan
    assert plan.stop_price == 95  # 101 - 1.5 · 4
    assert [(target.price, target.part) for target in plan.targets] == [(113, Decimal("0.5"))]
    assert plan.breakeven_price == 107
    assert plan.trail_distance == 12
    assert plan.max_holding_s == 600
    assert step.decision.volatility == 4


def test_the_stop_may_lie_at_a_ratio_of_the_price(falling, candle, view):
    strategy = EmaCross(
        fast=1, slow=2, atr_bars=2, stop_ratio=Decimal("0.1"), trail_ratio=Decimal("0.2")
    )

    plan = strategy.on_candle(falling, candle(110), view(110)).decision.plan

    assert (plan.stop_price, plan.trail_ratio) == (99, Decimal("0.2"))


def test_the_stop_is_never_nearer_than_the_smallest_ratio(candle, view):
    strategy = EmaCross(fast=1, slow=2, atr_bars=2, min_stop_ratio=Decimal("0.05"))
    candles = [candle("100.00"), candle("99.99"), candle("100.01")]

    plan = after(strategy, strategy.initial(), candles, view).decision.plan

    assert plan.stop_price == Decimal("95.0095")


def test_a_stop_below_zero_is_no_stop(falling, candle, view):
    strategy = EmaCross(fast=1, slow=2, atr_bars=2, stop_atr=Decimal(1_000))

    decision = strategy.on_candle(falling, candle(110), view(110)).decision

    assert decision.action is Action.NO_TRADE
    assert "a stop at a distance of" in decision.rationale


def test_the_range_of_a_candle_seen_in_part_does_not_count(falling, candle, view):
    step = QUICK.on_candle(falling, candle(110, high=500, low=1, whole=False), view(110))

    assert step.state.atr == falling.atr
    assert step.state.fast.value == 110


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fast": 0}, "fast must be 1 or more, not 0"),
        ({"fast": 26}, r"fast \(26\) must be smaller than slow \(26\)"),
        ({"atr_bars": 0}, "atr_bars must be 1 or more"),
        ({"stop_atr": Decimal(0)}, "stop_atr must be above 0"),
        ({"stop_ratio": Decimal(1)}, "stop_ratio must be 0 < x < 1"),
        ({"min_stop_ratio": Decimal(1)}, "min_stop_ratio must be 0 <= x < 1"),
        ({"trail_ratio": Decimal(-1)}, "trail_ratio must be 0 < x < 1"),
        ({"trail_ratio": Decimal("0.1"), "trail_atr": Decimal(1)}, "give one of them"),
        ({"breakeven_r": Decimal(0)}, "breakeven_r must be above 0"),
        ({"max_holding_bars": 0}, "max_holding_bars must be above 0"),
        ({"targets": (Target(r=Decimal(0), part=Decimal(1)),)}, "targets: r must be above 0"),
        ({"targets": (Target(r=Decimal(1), part=Decimal(0)),)}, "targets: part must be above 0"),
        ({"targets": (Target(r=Decimal(1), part=Decimal("0.6")),) * 2}, "add up to 1.2"),
        ({"targets": (Target(r=Decimal(1), part=Decimal("0.01")),) * 11}, "at most 10 targets"),
    ],
)
def test_parameters_that_make_no_sense_are_named(parameters, message):
    with pytest.raises(ParameterError, match=message):
        EmaCross(**parameters)
