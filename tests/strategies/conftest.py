"""Candles, views and a small market to try strategies on."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random

import pytest

from domain.candles import Candle, CandleBook, Timeframe
from domain.ids import PositionId, Symbol
from domain.instrument import Direction
from strategies import Action, Held, View

BTC = Symbol("BTC/USDT")
RECORDINGS = Path(__file__).parents[2].parent / "shared" / "data"


def _candle(close, *, high=None, low=None, number=0, timeframe="1m", whole=True):
    close = Decimal(str(close))
    high = close if high is None else Decimal(str(high))
    low = close if low is None else Decimal(str(low))
    frame = Timeframe.parse(timeframe)
    return Candle(
        symbol=BTC,
        timeframe=frame,
        open_ms=number * frame.ms,
        open=close,
        high=high,
        low=low,
        close=close,
        volume=Decimal(1),
        trades=1,
        whole=whole,
    )


def _view(last, *, held=None, is_entering=False, now_ms=0):
    return View(
        symbol=BTC,
        now=datetime.fromtimestamp(now_ms / 1000, UTC),
        last=Decimal(str(last)),
        equity=Decimal(10_000),
        held=held,
        is_entering=is_entering,
    )


def _held(direction, *, entry="100", stop="90"):
    return Held(
        position_id=PositionId("8a5f9c9e-0000-4000-8000-000000000001"),
        direction=direction,
        entry_price=Decimal(entry),
        quantity=Decimal(1),
        stop_price=Decimal(stop),
        unrealized=Decimal(0),
    )


def _trade_on(strategy, candles):
    """Run a strategy; entries fill at the last price, stops and targets close at a later candle.

    Returns (decision, candle) in order and the number of positions that a stop or target closed.
    """
    state, held, plan, guarded, decisions = strategy.initial(), None, None, 0, []
    for candle in candles:
        if held is not None and _is_hit(held.direction, plan, candle):
            held, guarded = None, guarded + 1
        view = _view(candle.close, held=held, now_ms=candle.close_ms)
        step = strategy.on_candle(state, candle, view)
        state = step.state
        if step.decision is None:
            continue
        decisions.append((step.decision, candle))
        match step.decision.action:
            case Action.LONG | Action.SHORT:
                assert held is None
                plan = step.decision.plan
                direction = Direction[step.decision.action.name]
                held = _held(direction, entry=str(candle.close), stop=str(plan.stop_price))
            case Action.CLOSE:
                held = None
    return decisions, guarded


def _is_hit(direction, plan, candle):
    target = plan.targets[-1].price if plan.targets else None
    if direction is Direction.LONG:
        return candle.low <= plan.stop_price or (target is not None and candle.high >= target)
    return candle.high >= plan.stop_price or (target is not None and candle.low <= target)


def _random_walk(seed, trades=6_000, *, timeframe="1s", step=0.5):
    """Return candles of a market whose price walks at random, with trends that come and go."""
    chance, price, drift = Random(seed), 61_000.0, 0.0
    book = CandleBook(BTC, Timeframe.parse(timeframe))
    candles = []
    for number in range(trades):
        if number % 300 == 0:
            drift = chance.uniform(-0.3, 0.3)
        price += chance.gauss(drift, step) * 2
        text = f"{price:.1f}"
        quantity = f"{chance.uniform(0.001, 0.5):.3f}"
        candles += book.on_trade(float(text), text, quantity, 1_000_000 + number * 50)
    return candles


@cache
def _recorded_trades(path):
    with gzip.open(path) as frames:
        trades = [
            json.loads(line.split(b" ", 1)[1])["data"] for line in frames if b"@trade" in line
        ]
    return [(float(trade["p"]), trade["p"], trade["q"], trade["T"]) for trade in trades]


def _recorded_candles(name, timeframe):
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"the recorded market data {name} is not beside the checkout")
    book = CandleBook(BTC, Timeframe.parse(timeframe))
    candles = []
    for trade in _recorded_trades(path):
        candles += book.on_trade(*trade)
    assert (book.late, book.restarts) == (0, 0)
    return candles


@pytest.fixture(scope="session")
def candle():
    return _candle


@pytest.fixture(scope="session")
def view():
    return _view


@pytest.fixture(scope="session")
def held():
    return _held


@pytest.fixture(scope="session")
def trade_on():
    return _trade_on


@pytest.fixture(scope="session")
def random_walk():
    return _random_walk


@pytest.fixture(scope="session")
def recorded_candles():
    return _recorded_candles
