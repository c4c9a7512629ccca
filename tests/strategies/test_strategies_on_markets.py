"""The built-in strategies act on real bars of seconds and on a market that walks at random."""

from collections import Counter
from decimal import Decimal

import pytest

from strategies import Action
from strategies.donchian import DonchianBreakout
from strategies.ema_cross import EmaCross
from strategies.guarded import Target
from strategies.multi_timeframe import MultiTimeframe
from strategies.rsi_reversion import RsiReversion

QUICK_CROSS = EmaCross(
    fast=3,
    slow=8,
    atr_bars=8,
    min_stop_ratio=Decimal("0.0002"),
    targets=(
        Target(r=Decimal("1.5"), part=Decimal("0.5")),
        Target(r=Decimal(3), part=Decimal("0.5")),
    ),
)
QUICK_BREAKOUT = DonchianBreakout(
    entry_bars=10, exit_bars=5, atr_bars=10, min_stop_ratio=Decimal("0.0002")
)
QUICK_REVERSION = RsiReversion(
    rsi_bars=5, atr_bars=8, oversold=25, overbought=75, min_stop_ratio=Decimal("0.0002")
)
BTC = "usdm_btcusdt_20240808.gz"
ETH = "usdm_ethusdt_20240808.gz"


def check_sense(decisions):
    """Check that every entry has its stop on the losing and its targets on the winning side."""
    for decision, candle in decisions:
        if decision.plan is None:
            continue
        sign = 1 if decision.action is Action.LONG else -1
        assert (candle.close - decision.plan.stop_price) * sign > 0
        assert all((target.price - candle.close) * sign > 0 for target in decision.plan.targets)


@pytest.mark.recorded
@pytest.mark.parametrize("recording", [BTC, ETH])
@pytest.mark.parametrize("timeframe", ["1s", "2s", "5s"])
@pytest.mark.parametrize(
    "strategy",
    [QUICK_CROSS, QUICK_BREAKOUT, QUICK_REVERSION],
    ids=["cross", "breakout", "reversion"],
)
def test_strategies_enter_and_leave_on_recorded_bars(
    recorded_candles, trade_on, recording, timeframe, strategy
):
    candles = recorded_candles(recording, timeframe)

    decisions, guarded = trade_on(strategy, candles)

    check_sense(decisions)
    actions = Counter(decision.action for decision, _ in decisions)
    entries = actions[Action.LONG] + actions[Action.SHORT]
    assert entries >= 3
    assert actions[Action.CLOSE] + guarded >= entries - 1


@pytest.mark.recorded
def test_the_shipped_defaults_trade_on_bars_of_a_second(recorded_candles, trade_on):
    candles = recorded_candles(BTC, "1s")

    for strategy in (EmaCross(), DonchianBreakout(), RsiReversion(rsi_bars=5)):
        decisions, _ = trade_on(strategy, candles)
        actions = {decision.action for decision, _ in decisions}
        assert actions == {Action.LONG, Action.SHORT, Action.CLOSE}


@pytest.mark.recorded
def test_recorded_candles_are_regular(recorded_candles):
    candles = recorded_candles(BTC, "1s")

    opens = [candle.open_ms for candle in candles]
    assert opens == list(range(opens[0], opens[-1] + 1, 1_000))
    assert len(candles) == 343


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "strategy",
    [EmaCross(), DonchianBreakout(), QUICK_REVERSION],
    ids=["cross", "breakout", "reversion"],
)
def test_strategies_enter_and_leave_on_a_random_walk(random_walk, trade_on, seed, strategy):
    decisions, guarded = trade_on(strategy, random_walk(seed))

    check_sense(decisions)
    actions = Counter(decision.action for decision, _ in decisions)
    assert actions[Action.LONG] >= 1
    assert actions[Action.SHORT] >= 1
    assert actions[Action.CLOSE] + guarded >= 1


@pytest.mark.parametrize(
    "strategy",
    [QUICK_CROSS, QUICK_BREAKOUT, QUICK_REVERSION],
    ids=["cross", "breakout", "reversion"],
)
def test_a_strategy_saved_and_restored_at_every_candle_decides_the_same(
    random_walk, view, strategy
):
    state = restored = strategy.initial()
    for candle in random_walk(7):
        seen = view(candle.close, now_ms=candle.close_ms)
        step, again = (strategy.on_candle(each, candle, seen) for each in (state, restored))
        assert again == step
        state = step.state
        restored = strategy.restored(strategy.save(again.state))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_multi_timeframe_filter_trades_a_walk_with_the_trend_of_the_longer_bars(
    random_walk, trade_on, seed
):
    strategy = MultiTimeframe(
        higher=("5s", "15s"), fast=2, slow=4, rsi_bars=3, atr_bars=5, dip=45,
        min_stop_ratio=Decimal("0.0002"),
    )  # fmt: skip
    series = [random_walk(seed, timeframe=timeframe) for timeframe in ("1s", "5s", "15s")]
    candles = sorted(
        (candle for each in series for candle in each),
        key=lambda candle: (candle.close_ms, -candle.timeframe.ms),
    )

    decisions, guarded = trade_on(strategy, candles)

    check_sense(decisions)
    assert {str(candle.timeframe) for _, candle in decisions} == {"1s"}
    actions = Counter(decision.action for decision, _ in decisions)
    assert actions[Action.LONG] + actions[Action.SHORT] >= 3
    assert actions[Action.CLOSE] + guarded >= 1
