"""A trader that trades nothing and says of each candle what it is, so that a test can read it."""

from typing import Any, ClassVar

import msgspec

from domain.candles import Candle
from strategies.base import Step, Strategy, View, no_trade


class _Nothing(msgspec.Struct, frozen=True):
    """It remembers nothing."""


class Witness(Strategy, frozen=True):
    """Declines every candle, with its figures as the reason."""

    State: ClassVar[type[Any]] = _Nothing

    def on_candle(self, state: _Nothing, candle: Candle, view: View) -> Step:
        del view
        prices = (candle.open, candle.high, candle.low, candle.close)
        figures = (candle.open_ms, candle.trades, *(f"{price:f}" for price in prices))
        return Step(state, no_trade(" ".join(map(str, figures))))
