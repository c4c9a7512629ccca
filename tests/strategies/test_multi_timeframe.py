"""The multi-timeframe filter: a dip on the own timeframe, a trend on the others."""

import msgspec
import pytest

from domain.instrument import Direction
from strategies import Action, ParameterError
from strategies.multi_timeframe import MultiTimeframe

FILTER = MultiTimeframe(
    higher=("5m", "15m", "1h"), fast=1, slow=2, rsi_bars=2, atr_bars=2, dip=30.0
)
UP, DOWN = (100, 101, 102), (100, 99, 98)
DIP, BOUNCE = (100, 101, 99, 97, 95), 98
PEAK, DROP = (100, 99, 101, 103, 105), 102


@pytest.fixture
def see(candle, view):
    """Return the last step after closes of timeframes, one series after another."""

    def run(*series, strategy=FILTER, state=None, **seen):
        state = strategy.initial() if state is None else state
        step = None
        for timeframe, closes in series:
            for close in closes:
                bar = candle(close, high=close + 1, low=close - 1, timeframe=timeframe)
                step = strategy.on_candle(state, bar, view(close, **seen))
                state = step.state
        return step

    return run


def trends(five, fifteen, hour):
    return ("5m", five), ("15m", fifteen), ("1h", hour)


def test_a_dip_that_ends_in_an_upward_trend_on_all_timeframes_is_bought(see):
    step = see(*trends(UP, UP, UP), ("1m", (*DIP, BOUNCE)))

    assert step.decision.action is Action.LONG
    assert step.decision.plan.stop_price < BOUNCE
    assert step.decision.rationale.startswith("3 of 3 timeframes go up, the dip is over")


def test_a_peak_that_ends_in_a_downward_trend_is_sold(see):
    assert see(*trends(DOWN, DOWN, DOWN), ("1m", (*PEAK, DROP))).decision.action is Action.SHORT


def test_a_dip_in_a_downward_trend_is_left_alone(see):
    assert see(*trends(DOWN, DOWN, DOWN), ("1m", (*DIP, BOUNCE))).decision is None


def test_one_timeframe_that_disagrees_or_is_not_warm_forbids_it(see):
    assert see(*trends(UP, DOWN, UP), ("1m", (*DIP, BOUNCE))).decision is None
    assert see(*trends(UP, UP, (100,)), ("1m", (*DIP, BOUNCE))).decision is None
    assert see(("1m", (*DIP, BOUNCE))).decision is None


def test_fewer_may_suffice(see):
    two = msgspec.structs.replace(FILTER, agree=2)

    step = see(*trends(UP, DOWN, UP), ("1m", (*DIP, BOUNCE)), strategy=two)

    assert step.decision.action is Action.LONG
    assert "2 of 3" in step.decision.rationale
    one = msgspec.structs.replace(FILTER, agree=1, higher=("5m", "15m"))
    split = see(("5m", UP), ("15m", DOWN), ("1m", (*DIP, BOUNCE)), strategy=one)
    assert split.decision is None  # as many up as down: no trend


def test_as_a_filter_it_points_and_does_not_enter(see):
    pointing = msgspec.structs.replace(FILTER, enter=False)

    step = see(*trends(UP, UP, UP), ("1m", (*DIP, BOUNCE)), strategy=pointing)

    assert step.decision.action is Action.WATCH
    assert step.decision.plan is None


def test_a_position_is_closed_when_the_shortest_higher_timeframe_turns(see, held):
    long = held(Direction.LONG)
    calm = see(*trends(UP, UP, UP), ("1m", DIP), held=long)
    assert calm.decision is None

    turned = see(("5m", (90, 80)), ("1m", (96,)), state=calm.state, held=long)

    assert turned.decision.action is Action.CLOSE
    assert "5m crossed against" in turned.decision.rationale


def test_a_candle_of_a_higher_timeframe_decides_nothing_and_moves_only_its_trend(see):
    before = see(*trends(UP, UP, UP), ("1m", DIP)).state

    step = see(("15m", (90,)), state=before)

    assert step.decision is None
    assert step.state.trends[0] == before.trends[0]
    assert step.state.trends[1] != before.trends[1]
    assert (step.state.rsi, step.state.atr) == (before.rsi, before.atr)


def test_it_asks_for_its_timeframes_and_its_state_survives_saving(see):
    state = see(*trends(UP, UP, UP), ("1m", DIP)).state

    assert FILTER.timeframes == ("5m", "15m", "1h")
    assert FILTER.restored(FILTER.save(state)) == state


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"higher": ()}, "higher takes 1 to 8 timeframes"),
        ({"higher": ("5m", "5m")}, "higher names a timeframe twice"),
        ({"higher": ("7m",)}, "higher: '7m' does not divide a day"),
        ({"higher": ("soon",)}, "higher: 'soon' is not a timeframe"),
        ({"higher": ("60m",)}, "higher: write '60m' as '1h'"),
        ({"agree": 4}, "agree must be from 1 to 3"),
        ({"fast": 50}, r"fast \(50\) must be smaller than slow \(50\)"),
        ({"dip": 50.0}, "dip must be 0 < x < 50, not 50"),
        ({"rsi_bars": 1}, "rsi_bars must be 2 or more"),
    ],
)
def test_parameters_that_make_no_sense_are_named(parameters, message):
    with pytest.raises(ParameterError, match=message):
        MultiTimeframe(**parameters)
