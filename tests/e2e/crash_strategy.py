"""A trader that rarely rests: it enters with every candle that finds it free, and meddles then."""

from decimal import Decimal
from typing import ClassVar

import msgspec

from domain.candles import Candle
from domain.commands import ProtectionPlan
from domain.instrument import Direction
from strategies.base import Step, Strategy, View, close, enter, move_stop, take_part, targets_at


class _State(msgspec.Struct, frozen=True):
    """How many candles it has seen."""

    seen: int = 0


class Restless(Strategy, frozen=True):
    """Enters with the candle's color, tightens, takes a part, closes; all of it soon."""

    stop_ratio: float = 0.0015
    trail_ratio: float = 0.002

    State: ClassVar[type] = _State

    def on_candle(self, state: _State, candle: Candle, view: View) -> Step:
        after = _State(state.seen + 1)
        price, stop = view.last, Decimal(str(self.stop_ratio))
        if view.is_free:
            way = Direction.LONG if candle.close >= candle.open else Direction.SHORT
            risk = price * stop
            plan = ProtectionPlan(
                stop_price=(price - way.sign * risk).quantize(candle.close),
                targets=targets_at(way, price, risk, (Decimal(1), Decimal("0.5"))),
                trail_ratio=Decimal(str(self.trail_ratio)),
            )
            return Step(after, enter(way, "a candle", plan))
        if view.held is None:
            return Step(after)
        match after.seen % 5:
            case 1:
                nearer = price * (1 - view.held.direction.sign * stop * Decimal("0.8"))
                return Step(after, move_stop(nearer.quantize(candle.close), "nearer"))
            case 2:
                return Step(after, take_part(Decimal("0.4"), "a part"))
            case 4:
                return Step(after, close("enough"))
            case _:
                return Step(after)
