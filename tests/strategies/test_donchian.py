"""The Donchian breakout: in beyond the range of the candles before, out at the other end."""

from decimal import Decimal

import pytest

from domain.instrument import Direction
from strategies import Action, ParameterError
from strategies.donchian import DonchianBreakout

BREAKOUT = DonchianBreakout(entry_bars=4, exit_bars=2, atr_bars=4, trail_atr=Decimal(3))


@pytest.fixture
def ranging(candle, view):
    """Return the state after four candles between 98 and 102."""
    state = BREAKOUT.initial()
    for close in (100, 101, 99, 100):
        step = BREAKOUT.on_candle(state, candle(close, high=102, low=98), view(close))
        assert step.decision is None
        state = step.state
    return state


def test_a_close_above_the_channel_buys_with_a_stop_at_two_ranges_and_a_trail(
    ranging, candle, view
):
    step = BREAKOUT.on_candle(ranging, candle(103, high=103, low=99), view(103))

    assert step.decision.action is Action.LONG
    assert step.state.atr.value == 4
    assert step.decision.plan.stop_price == 95
    assert step.decision.plan.trail_distance == 12


def test_a_close_below_the_channel_sells(ranging, candle, view):
    step = BREAKOUT.on_candle(ranging, candle(97, high=101, low=97), view(97))

    assert step.decision.action is Action.SHORT
    assert step.decision.plan.stop_price == 105


def test_a_close_at_the_edge_of_the_channel_is_no_breakout(ranging, candle, view):
    assert BREAKOUT.on_candle(ranging, candle(102), view(102)).decision is None
    assert BREAKOUT.on_candle(ranging, candle(98), view(98)).decision is None


def test_a_wick_beyond_the_channel_is_no_breakout(ranging, candle, view):
    step = BREAKOUT.on_candle(ranging, candle(101, high=150, low=50), view(101))

    assert step.decision is None


def test_shorts_can_be_left_out(ranging, candle, view):
    strategy = DonchianBreakout(entry_bars=4, exit_bars=2, atr_bars=4, allow_short=False)

    assert strategy.on_candle(ranging, candle(97), view(97)).decision is None


def test_a_close_beyond_the_other_end_of_the_exit_channel_closes(ranging, candle, view, held):
    long, short = held(Direction.LONG), held(Direction.SHORT)

    assert BREAKOUT.on_candle(ranging, candle(97), view(97, held=long)).decision.action is (
        Action.CLOSE
    )
    assert BREAKOUT.on_candle(ranging, candle(103), view(103, held=short)).decision.action is (
        Action.CLOSE
    )
    assert BREAKOUT.on_candle(ranging, candle(103), view(103, held=long)).decision is None
    assert BREAKOUT.on_candle(ranging, candle(100), view(100, held=long)).decision is None


def test_nothing_is_entered_while_an_entry_is_under_way(ranging, candle, view):
    assert BREAKOUT.on_candle(ranging, candle(103), view(103, is_entering=True)).decision is None


def test_nothing_is_entered_before_the_channel_and_the_range_are_known(candle, view):
    strategy = DonchianBreakout(entry_bars=2, exit_bars=1, atr_bars=5)
    state, decisions = strategy.initial(), []
    for close in range(100, 108):
        step = strategy.on_candle(state, candle(close), view(close))
        state = step.state
        decisions.append(step.decision is not None)

    assert strategy.warm_up == 5
    assert decisions.index(True) == 4  # the fifth candle gives the range


def test_a_candle_seen_in_part_is_left_out(ranging, candle, view):
    step = BREAKOUT.on_candle(ranging, candle(150, whole=False), view(150))

    assert (step.state, step.decision) == (ranging, None)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"exit_bars": 0}, "exit_bars must be 1 or more"),
        ({"entry_bars": 5}, r"entry_bars must be from exit_bars \(10\) to 1000, not 5"),
        ({"entry_bars": 1001}, "not 1001"),
        ({"stop_atr": Decimal(-1)}, "stop_atr must be above 0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(parameters, message):
    with pytest.raises(ParameterError, match=message):
        DonchianBreakout(**parameters)
