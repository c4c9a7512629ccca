"""TA-Lib agrees with the built-in indicators, and says what it cannot do."""

import builtins
import sys
from random import Random

import msgspec
import pytest

from strategies import ParameterError
from strategies.indicators import atr, ema, rsi
from strategies.talib import TaLib, talib


def walk(candle, count, seed=3):
    chance, price, candles = Random(seed), 100.0, []
    for number in range(count):
        price += chance.gauss(0, 1)
        up, down = chance.random(), chance.random()
        candles.append(
            candle(
                round(price, 2),
                high=round(price + up, 2),
                low=round(price - down, 2),
                number=number,
            )
        )
    return candles


@pytest.mark.parametrize(
    ("function", "built_in", "whole"),
    [("EMA", ema(10), False), ("RSI", rsi(10), False), ("ATR", atr(10), True)],
)
def test_over_a_long_window_it_gives_what_the_built_in_indicator_gives(
    candle, function, built_in, whole
):
    library = talib(function, 300, timeperiod=10)
    for each in walk(candle, 300):
        library = library.after(each)
        built_in = built_in.after(each if whole else float(each.close))

    # TA-Lib's ATR leaves the first candle's own range out, which fades away.
    assert library.value == pytest.approx(built_in.value, rel=1e-6)


def test_there_is_no_value_before_it_has_seen_enough(candle):
    library, values = talib("RSI", 50, timeperiod=5), []
    for each in walk(candle, 8):
        library = library.after(each)
        values.append(library.value is not None)

    assert values == [False] * 5 + [True] * 3
    assert talib("RSI", 50).value is None


def test_a_function_of_several_outputs_names_them(candle):
    library = talib("MACD", 100, fastperiod=5, slowperiod=9, signalperiod=4)
    for each in walk(candle, 60):
        library = library.after(each)

    assert list(library.values) == ["macd", "macdsignal", "macdhist"]
    assert library.value == library.values["macd"]


def test_it_keeps_no_more_candles_than_asked_for(candle):
    library = talib("SMA", 20, timeperiod=3)
    candles = walk(candle, 30)
    for each in candles:
        library = library.after(each)

    assert len(library.rows) == 20
    assert library.value == pytest.approx(sum(float(each.close) for each in candles[-3:]) / 3)


def test_it_survives_being_saved(candle):
    library = talib("EMA", 30, timeperiod=3).after(candle(100)).after(candle(101))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(library), type=TaLib) == library


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("NOPE", 30, {}), "TA-Lib has no function 'NOPE'"),
        (("RSI", 30, {"period": 3}), r"RSI has no parameter \['period'\]; it has timeperiod"),
        (("RSI", 10, {"timeperiod": 14}), "RSI has no value within 10 bars"),
        (("RSI", 30, {"timeperiod": -3}), "RSI cannot be computed from candles like this"),
        (("RSI", 30, {"timeperiod": 2.5}), "RSI cannot be computed from candles like this"),
        (("MAVP", 30, {}), "MAVP cannot be computed from candles like this"),
        (("RSI", 1, {}), "bars must be from 2 to 5,000, not 1"),
        (("RSI", 5001, {}), "bars must be from 2 to 5,000, not 5001"),
    ],
)
def test_what_cannot_be_computed_is_said_at_once(asked, message):
    function, bars, parameters = asked
    with pytest.raises(ParameterError, match=message):
        talib(function, bars, **parameters)


def test_without_ta_lib_it_says_how_to_get_it(monkeypatch):
    found = builtins.__import__
    for name in [name for name in sys.modules if name.partition(".")[0] == "talib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "talib", None)
    assert builtins.__import__ is found

    with pytest.raises(ParameterError, match=r"pip install 'holdfast\[talib\]'"):
        talib("RSI", 30)
