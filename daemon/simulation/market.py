"""The simulated market: a walk with trends and rests, and what a plan does to it."""

import math
from decimal import ROUND_HALF_EVEN, Decimal

from daemon.simulation.outside import Outside
from daemon.simulation.venue import BASES, SimVenue

_AWAKE_S = (0.3, 1.7)  # between two trades of a base asset while somebody listens
_CALM_S = (1.6, 2.9)
_ASLEEP_S = (90.0, 300.0)
_TREND_S = 120.0  # how long a trend lasts, on average


class SimMarket:
    """Lets every base asset trade, sparsely."""

    def __init__(self, outside: Outside, venue: SimVenue, volatility: float) -> None:
        self.outside = outside
        self.venue = venue
        self.volatility = volatility
        self.pause_s = _ASLEEP_S
        self.quiet_until_s = dict.fromkeys(BASES, 0.0)
        self.ticks = 0
        self._chance = outside.chance("market")
        self._trend = dict.fromkeys(BASES, 0.0)
        self._last_s = dict.fromkeys(BASES, 0.0)
        self._turn = dict.fromkeys(BASES, 0)
        for base in BASES:
            self._go_on(base)

    def wake(self) -> None:
        """Trade often: somebody listens."""
        self._set_pace(_AWAKE_S)

    def calm(self) -> None:
        """Trade less often, and without surprises."""
        self.quiet_until_s = dict.fromkeys(BASES, 0.0)
        self._trend = dict.fromkeys(BASES, 0.0)
        self._set_pace(_CALM_S)

    def sleep(self) -> None:
        """Trade now and then: nobody listens."""
        self._set_pace(_ASLEEP_S)

    def move(self, base: str, factor: float) -> None:
        """Let a base asset trade at its price times a factor."""
        listing = self.venue.world.venue.market.quotes[self.venue.names[base]].listing
        price = self.venue.price(base) * Decimal(repr(factor))
        steps = (price / listing.tick).to_integral_value(rounding=ROUND_HALF_EVEN)
        self.ticks += 1
        self.venue.set_price(base, max(listing.tick * 100, steps * listing.tick))

    def _set_pace(self, pause_s: tuple[float, float]) -> None:
        self.pause_s = pause_s
        for base in BASES:
            self._turn[base] += 1
            self._go_on(base)

    def _go_on(self, base: str) -> None:
        self.outside.after(self._chance.uniform(*self.pause_s), self._tick, base, self._turn[base])

    def _tick(self, base: str, turn: int) -> None:
        if turn != self._turn[base]:
            return
        now_s = self.outside.now_s
        passed_s = min(now_s - self._last_s[base], 300.0)
        self._last_s[base] = now_s
        if now_s >= self.quiet_until_s[base]:
            chance = self._chance
            if chance.random() < passed_s / _TREND_S:
                self._trend[base] = chance.choice((-1, 0, 0, 1)) * self.volatility * 0.3
            drift = self._trend[base] * passed_s
            self.move(base, math.exp(drift + chance.gauss(0, self.volatility) * passed_s**0.5))
        self._go_on(base)
