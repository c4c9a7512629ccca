"""What is left to chance at the paper venue. Nothing is drawn that the rules make certain."""

from decimal import Decimal

from domain.money import floor_to
from exchanges.paper.rules import PaperRules
from runtime.ports import Chance

_LIKELIHOOD_OF_TWO_PARTS = 0.5  # else three


class Draws:
    """Slippage, latency, parts and bad luck."""

    def __init__(self, rules: PaperRules, chance: Chance) -> None:
        self._rules = rules
        self._chance = chance

    @property
    def is_instant(self) -> bool:
        """Whether requests take no time at all."""
        return self._rules.latency_high_s == 0

    def latency_s(self) -> float:
        """Return how long a request takes to the venue."""
        low, high = self._rules.latency_low_s, self._rules.latency_high_s
        return low if low == high else self._chance.uniform(low, high)

    def slippage(self) -> Decimal:
        """Return a ratio of the price."""
        low, high = self._rules.slippage_low, self._rules.slippage_high
        if low == high:
            return low
        ratio = Decimal(repr(self._chance.uniform(float(low), float(high))))
        return min(max(ratio, low), high)

    def parts(self, quantity: Decimal, lot_size: Decimal) -> list[Decimal]:
        """Return the executions an order comes in: usually one, else two or three of whole lots."""
        if not self.happens(self._rules.partial_fill_chance):
            return [quantity]
        count = 2 if self.happens(_LIKELIHOOD_OF_TWO_PARTS) else 3
        part = floor_to(quantity / count, lot_size)
        if not part:
            return [quantity]
        return [part] * (count - 1) + [quantity - part * (count - 1)]

    def happens(self, likelihood: float) -> bool:
        """Return whether something of that likelihood (0-1) happens this time."""
        return likelihood > 0 and self._chance.random() < likelihood
