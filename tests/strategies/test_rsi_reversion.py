"""RSI reversion: in on the way back from an extreme, out in the middle."""

from decimal import Decimal

import pytest

from domain.instrument import Direction
from strategies import Action, ParameterError
from strategies.rsi_reversion import RsiReversion

REVERSION = RsiReversion(rsi_bars=2, atr_bars=2, oversold=20, overbought=80)
FALL, RISE = (100, 101, 99, 97, 95), (100, 99, 101, 103, 105)


def after(candle, view, closes, strategy=REVERSION, **seen):
    """Return the last step over closes; the view is that of the last."""
    state = strategy.initial()
    for close in closes:
        step = strategy.on_candle(
            state, candle(close, high=close + 1, low=close - 1), view(close, **seen)
        )
        state = step.state
    return step


def test_the_way_back_from_oversold_buys_with_a_stop_below(candle, view):
    step = after(candle, view, (*FALL, 98))

    assert step.decision.action is Action.LONG
    assert step.decision.plan.stop_price < 98
    assert "came back over 20" in step.decision.rationale


def test_the_way_back_from_overbought_sells(candle, view):
    step = after(candle, view, (*RISE, 102))

    assert step.decision.action is Action.SHORT
    assert step.decision.plan.stop_price > 102


def test_a_market_that_goes_on_falling_is_not_bought(candle, view):
    assert after(candle, view, FALL).decision is None
    assert after(candle, view, (*FALL, 94, 92)).decision is None


def test_shorts_can_be_left_out(candle, view):
    longs = RsiReversion(rsi_bars=2, atr_bars=2, oversold=20, overbought=80, allow_short=False)

    assert after(candle, view, (*RISE, 102), longs).decision is None


def test_a_position_is_closed_when_the_index_is_back_in_the_middle(candle, view, held):
    long, short = held(Direction.LONG), held(Direction.SHORT)

    assert after(candle, view, (*FALL, 99), held=long).decision.action is Action.CLOSE
    assert after(candle, view, FALL, held=long).decision is None
    assert after(candle, view, (*RISE, 101), held=short).decision.action is Action.CLOSE
    assert after(candle, view, RISE, held=short).decision is None


def test_nothing_is_entered_while_an_entry_is_under_way(candle, view):
    assert after(candle, view, (*FALL, 98), is_entering=True).decision is None


def test_it_decides_nothing_before_its_warm_up_is_over(candle, view):
    strategy = RsiReversion(rsi_bars=2, atr_bars=7, oversold=20, overbought=80)

    assert strategy.warm_up == 7
    assert after(candle, view, (*FALL, 98), strategy).decision is None
    assert after(candle, view, (100, *FALL, 98), strategy).decision is not None


def test_a_candle_seen_in_part_gives_a_price_but_no_range(candle, view):
    state = after(candle, view, FALL).state
    step = REVERSION.on_candle(state, candle(98, high=900, low=1, whole=False), view(98))

    assert step.state.atr == state.atr
    assert step.decision.action is Action.LONG


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rsi_bars": 1}, "rsi_bars must be 2 or more, not 1"),
        ({"oversold": 60.0}, "0 < oversold < exit_at < overbought < 100"),
        ({"overbought": 100.0}, "not 30, 50, 100"),
        ({"exit_at": 20.0}, "not 30, 20, 70"),
        ({"stop_atr": Decimal(0)}, "stop_atr must be above 0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(parameters, message):
    with pytest.raises(ParameterError, match=message):
        RsiReversion(**parameters)
