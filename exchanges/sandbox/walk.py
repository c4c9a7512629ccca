"""A seeded walk of prices. The same seed makes the same steps.

A base asset walks once; its spot and its swap follow, the swap a little apart.
"""

import math
import random
from decimal import ROUND_HALF_EVEN, Decimal

from exchanges.sandbox.catalog import Listing
from exchanges.sandbox.market import MINUTE_MS, Market, Trade

_STEPS_A_MINUTE = 4
_BASIS = 0.0002  # of the price, how far a swap strays from spot
_FLOOR_TICKS = 20


def on_grid(price: Decimal, tick: Decimal) -> Decimal:
    """Round to the nearest tick, at least one."""
    return max(tick, (price / tick).to_integral_value(rounding=ROUND_HALF_EVEN) * tick)


class Walk:
    """The path of one base asset's price."""

    def __init__(self, seed: str, start: Decimal, volatility: float) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a market, not a secret
        self._log = math.log(float(start))
        self._volatility = volatility

    def step(self, seconds: float) -> Decimal:
        """Go on for so long; return the price."""
        self._log += self._chance.gauss(0.0, self._volatility * math.sqrt(seconds))
        return Decimal(repr(math.exp(self._log)))

    def basis(self) -> Decimal:
        """Return what a swap costs more, as a factor."""
        return Decimal(repr(1.0 + self._chance.uniform(-_BASIS, _BASIS)))


class Walks:
    """All base assets' walks."""

    def __init__(self, market: Market, *, seed: int, volatility: float) -> None:
        self._market = market
        self._listings: dict[str, list[Listing]] = {}
        for quote in market.quotes.values():
            self._listings.setdefault(quote.listing.base, []).append(quote.listing)
        self._walks = {
            base: Walk(f"{seed}/{base}", some[0].start_price, volatility)
            for base, some in self._listings.items()
        }

    def step(self, seconds: float) -> None:
        """Let every instrument trade once at its next price."""
        for name, price in self._next(seconds):
            self._market.move(name, price)

    def live_through(self, minutes: int, until_ms: int) -> None:
        """Fill the candles of the past; the present continues from there."""
        for minute in range(minutes, 0, -1):
            begin_ms = until_ms - until_ms % MINUTE_MS - minute * MINUTE_MS
            for step in range(_STEPS_A_MINUTE):
                at_ms = begin_ms + step * MINUTE_MS // _STEPS_A_MINUTE
                for name, price in self._next(60 / _STEPS_A_MINUTE):
                    quote = self._market.quotes[name]
                    size = quote.lot_size()
                    quote.count(Trade(quote.next_trade_id(), price, size, "buy", at_ms))
                    quote.last = price
        for quote in self._market.quotes.values():
            self._market.move(quote.listing.inst_id, quote.last)

    def _next(self, seconds: float) -> list[tuple[str, Decimal]]:
        found = []
        for base, some in self._listings.items():
            price = self._walks[base].step(seconds)
            for listing in some:
                own = price * self._walks[base].basis() if listing.is_swap else price
                floor = listing.tick * _FLOOR_TICKS
                found.append((listing.inst_id, max(floor, on_grid(own, listing.tick))))
        return found
