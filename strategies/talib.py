"""TA-Lib's indicators, for strategies of your own, where TA-Lib is installed.

    pip install 'holdfast[talib]'

The indicators built in (`strategies.indicators`) go on one value at a time and need nothing. TA-Lib
has many more, and computes them over arrays: so a `TaLib` keeps the last `bars` candles and asks
for the whole array again with each. Some functions (EMA, RSI, ATR, MACD, …) depend on every candle
since the first; over a window they come out right to about (1 - 2 / (period + 1)) ** bars. Give
them ten periods or more.

Source: the abstract interface of TA-Lib's Python wrapper (ta-lib.github.io/ta-lib-python).
"""

from importlib import import_module
from math import isnan
from typing import Any

import msgspec

from domain.candles import Candle
from strategies.base import ParameterError, require

_PRICES = ("open", "high", "low", "close", "volume")
_MAX_BARS = 5_000


class TaLib(msgspec.Struct, frozen=True):
    """One function of TA-Lib over the last `bars` candles; made by `talib`."""

    function: str  # "MACD"
    parameters: dict[str, float]  # "fastperiod": 12
    bars: int
    rows: tuple[tuple[float, float, float, float, float], ...] = ()  # as `_PRICES`, oldest first

    @property
    def values(self) -> dict[str, float] | None:
        """Return what the function says of the last candle, by output ("macd", "macdsignal", …).

        A function of one output calls it "real", or "integer" for candle patterns. None before it
        has seen enough.
        """
        computed = _computed(self)
        last = {name: float(column[-1]) for name, column in computed.items()}
        return None if not last or any(map(isnan, last.values())) else last

    @property
    def value(self) -> float | None:
        """Return the only output, or the first of several; None before enough was seen."""
        values = self.values
        return None if values is None else next(iter(values.values()))

    def after(self, candle: Candle) -> "TaLib":
        """Return it after one more candle."""
        row = (
            float(candle.open),
            float(candle.high),
            float(candle.low),
            float(candle.close),
            float(candle.volume),
        )
        return TaLib(self.function, self.parameters, self.bars, (*self.rows, row)[-self.bars :])


def talib(function: str, bars: int, **parameters: float) -> TaLib:
    """Return a function of TA-Lib that has seen nothing, as in `talib("MACD", 200, fastperiod=8)`.

    Raises `ParameterError` when TA-Lib is missing, has no such function or parameter, or would
    never have seen enough within `bars` candles.
    """
    name = function.upper()
    known = _abstract()
    require(name in _functions(), f"TA-Lib has no function {function!r}")
    info = known.Function(name)
    unknown = sorted(set(parameters) - set(info.parameters))
    require(
        not unknown,
        f"{name} has no parameter {unknown[:1]}; it has {', '.join(info.parameters) or 'none'}",
    )
    require(1 < bars <= _MAX_BARS, f"bars must be from 2 to {_MAX_BARS:,}, not {bars}")
    fresh = TaLib(name, dict(parameters), bars)
    ramp = tuple((x, x + 1, x - 1, x, 1.0) for x in map(float, range(10, bars + 10)))
    try:
        values = msgspec.structs.replace(fresh, rows=ramp).values
    except Exception as error:  # the wrapper raises bare ones
        message = f"{name} cannot be computed from candles like this: {error}"
        raise ParameterError(message) from error
    require(values is not None, f"{name} has no value within {bars} bars: give it more")
    return fresh


def _abstract() -> Any:
    """Return TA-Lib's module. Raises `ParameterError` with what to do when there is none."""
    try:
        return import_module("talib.abstract")
    except ImportError as error:
        message = "TA-Lib is not installed; install it: pip install 'holdfast[talib]'"
        raise ParameterError(message) from error


def _functions() -> list[str]:
    names: list[str] = import_module("talib").get_functions()
    return names


def _as_int(value: float) -> float:
    """Return whole numbers as int: TA-Lib refuses 12.0 for a period."""
    return int(value) if float(value).is_integer() else value


def _computed(state: TaLib) -> dict[str, Any]:
    """Return each output as an array; empty before there is a candle."""
    if not state.rows:
        return {}
    numpy = import_module("numpy")
    function = _abstract().Function(state.function)
    function.set_parameters({key: _as_int(value) for key, value in state.parameters.items()})
    columns = numpy.array(state.rows, dtype=float).T
    result = function.run(dict(zip(_PRICES, map(numpy.ascontiguousarray, columns), strict=True)))
    outputs = result if isinstance(result, list) else [result]
    return dict(zip(function.output_names, outputs, strict=True))
