"""Entries with a bounded risk: what the built-in trend followers share.

The risk of an entry, R, is the distance from the price to its stop. Everything else is measured in
it: a target at 2 R earns twice what the stop loses, a breakeven at 1 R moves the stop to the entry
once the price has gone as far as it could have lost.
"""

from decimal import Decimal

import msgspec

from domain.candles import Timeframe
from domain.commands import ProtectionPlan
from domain.instrument import Direction, PriceSource
from domain.money import ONE, ZERO
from strategies.base import (
    Decision,
    Strategy,
    View,
    decimal_of,
    enter,
    no_trade,
    require,
    targets_at,
)

_MAX_TARGETS = 10


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Close `part` of the entry quantity once `r` times the risk is earned."""

    r: Decimal
    part: Decimal


class GuardedStrategy(Strategy, frozen=True):
    """Parameters of stop, targets, breakeven, trail and time limit; entries made from them."""

    allow_short: bool = True
    atr_bars: int = 14
    stop_atr: Decimal = Decimal(2)  # distance of the stop in average true ranges
    stop_ratio: Decimal | None = None  # instead: relative to the price
    min_stop_ratio: Decimal = Decimal("0.0005")  # nearer than this is spread and fees
    targets: tuple[Target, ...] = ()
    breakeven_r: Decimal | None = None
    trail_atr: Decimal | None = None  # distance of a trailing stop in average true ranges
    trail_ratio: Decimal | None = None  # instead: relative to the best price
    max_holding_bars: int | None = None
    stop_watches: PriceSource | None = None  # last, bid, ask or mark; last if left out
    target_watches: PriceSource | None = None

    def __post_init__(self) -> None:
        require(self.atr_bars >= 1, f"atr_bars must be 1 or more, not {self.atr_bars}")
        require(self.stop_atr > 0, f"stop_atr must be above 0, not {self.stop_atr}")
        for name in ("stop_ratio", "trail_ratio"):
            ratio = getattr(self, name)
            require(ratio is None or ZERO < ratio < ONE, f"{name} must be 0 < x < 1, not {ratio}")
        require(
            ZERO <= self.min_stop_ratio < ONE,
            f"min_stop_ratio must be 0 <= x < 1, not {self.min_stop_ratio}",
        )
        for name in ("breakeven_r", "trail_atr", "max_holding_bars"):
            value = getattr(self, name)
            require(value is None or value > 0, f"{name} must be above 0, not {value}")
        require(
            self.trail_atr is None or self.trail_ratio is None,
            "trail_atr and trail_ratio are two ways to say one thing; give one of them",
        )
        self._check_targets()

    def _check_targets(self) -> None:
        require(len(self.targets) <= _MAX_TARGETS, f"at most {_MAX_TARGETS} targets are allowed")
        for target in self.targets:
            require(target.r > 0, f"targets: r must be above 0, not {target.r}")
            require(target.part > 0, f"targets: part must be above 0, not {target.part}")
        parts = sum((target.part for target in self.targets), ZERO)
        require(parts <= ONE, f"targets: the parts add up to {parts}, more than 1")

    def allows(self, direction: Direction) -> bool:
        """Return whether positions in this direction are wanted at all."""
        return self.allow_short or direction is Direction.LONG

    def entry(
        self, direction: Direction, view: View, timeframe: Timeframe, atr: float, why: str
    ) -> Decision:
        """Return the wish to enter at the last price; NO_TRADE if the stop would be below zero."""
        range_ = decimal_of(atr)
        if self.stop_ratio is not None:
            risk = self.stop_ratio * view.last
        else:
            risk = self.stop_atr * range_
        risk = max(risk, self.min_stop_ratio * view.last)
        if not ZERO < risk < view.last:
            return no_trade(f"{why}, but a stop at a distance of {risk} from {view.last} is none")
        plan = self._plan(direction, view.last, risk, range_, timeframe)
        return enter(direction, why, plan, volatility=range_ if range_ > 0 else None)

    def _plan(
        self,
        direction: Direction,
        price: Decimal,
        risk: Decimal,
        range_: Decimal,
        timeframe: Timeframe,
    ) -> ProtectionPlan:
        trail_distance = breakeven = holding_s = None
        if self.trail_atr is not None:
            trail_distance = max(self.trail_atr * range_, self.min_stop_ratio * price)
        if self.breakeven_r is not None:
            breakeven = price + direction.sign * self.breakeven_r * risk
        if self.max_holding_bars is not None:
            holding_s = self.max_holding_bars * timeframe.ms / 1000
        return ProtectionPlan(
            stop_price=price - direction.sign * risk,
            targets=targets_at(direction, price, risk, *((t.r, t.part) for t in self.targets)),
            trail_ratio=self.trail_ratio,
            trail_distance=trail_distance or None,
            breakeven_price=breakeven if breakeven is not None and breakeven > 0 else None,
            max_holding_s=holding_s,
            stop_watches=self.stop_watches,
            target_watches=self.target_watches,
        )
