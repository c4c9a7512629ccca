"""A strategy that wants things without a reason: what, is drawn from the candle and the seed."""

import random
from decimal import Decimal

from domain.candles import Candle
from domain.commands import ProtectionPlan, TargetPlan
from domain.instrument import Direction
from strategies.base import (
    Decision,
    Held,
    Step,
    Strategy,
    View,
    add,
    close,
    enter,
    move_stop,
    take_part,
)

_D = Decimal


class Dreamer(Strategy, frozen=True):
    """Opens, guards, adds and closes by chance."""

    seed: str = ""
    shorts: bool = True

    def on_candle(self, state: None, candle: Candle, view: View) -> Step:
        """Draw a wish."""
        draw = random.Random(f"{self.seed}/{candle.symbol}/{candle.close_ms}")  # noqa: S311
        wish: Decision | None = None
        if view.is_free:
            wish = self._entry(draw, view.last) if draw.random() < 0.6 else None  # noqa: PLR2004
        elif view.held is not None:
            wish = self._change(draw, view.held, view.last)
        return Step(state, wish)

    def _entry(self, draw: random.Random, last: Decimal) -> Decision:
        is_short = self.shorts and draw.random() < 0.5  # noqa: PLR2004
        direction = Direction.SHORT if is_short else Direction.LONG
        away = _D(draw.choice(("0.002", "0.004", "0.01")))
        targets = [
            TargetPlan(last * (1 + direction.sign * away * times), part)
            for times, part in ((_D("0.7"), _D("0.4")), (_D("1.5"), _D("0.6")))
        ][: draw.randrange(3)]
        trails = draw.random() < 0.3  # noqa: PLR2004
        plan = ProtectionPlan(
            stop_price=last * (1 - direction.sign * away),
            targets=tuple(targets),
            trail_ratio=_D("0.004") if trails else None,
        )
        return enter(direction, "a dream", plan)

    def _change(self, draw: random.Random, held: Held, last: Decimal) -> Decision | None:
        fate = draw.random()
        if fate < 0.1:  # noqa: PLR2004
            return close("woke up")
        if fate < 0.14:  # noqa: PLR2004
            return take_part(_D("0.5"), "half awake")
        if fate < 0.22:  # noqa: PLR2004
            return move_stop(last * (1 - held.direction.sign * _D("0.003")), "closer")
        if fate < 0.26 and held.additions < 2:  # noqa: PLR2004
            return add("more of it")
        return None
