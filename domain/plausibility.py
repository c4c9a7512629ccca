"""Which last prices may act at once: the spike rule.

Venues print wrong prices now and then, and a stop that fires on one cannot be taken back. The rule:

    A tick more than 3 % from both the previous accepted tick and the mark (or mid) waits up to
    300 ms for contradiction, then acts. Every other tick acts at once.

A reference that is not known speaks neither for a tick nor against it; so the very first tick of a
market whose mid is unknown acts at once. While a tick is held, the next one decides over it:

- Contradiction: the next tick is plausible itself and lies nearer to the old price than to the held
  one. The held tick is dropped, as if it had never come.
- Anything else confirms it: a tick near it, one even farther out, or 300 ms without a tick. Two
  wild ticks never cancel each other, so nothing is held longer than the limit.

The guard judges numbers; the caller keeps the held tick itself and applies it when told to. Most
ticks need no judging: inside [`low`, `high`] any two prices are close enough to each other, so one
chained comparison settles it. The feed writes that comparison where it reads the tick:

    if guard.low <= price <= guard.high:
        guard.previous = price
        apply(tick)
    else:
        verdict = guard.judge(price, mid, now_s)
"""

from enum import Enum, auto
from math import inf, isfinite

DEFAULT_RATIO = 0.03
DEFAULT_HOLD_S = 0.3
_ROUNDING = 1 - 1e-12  # keeps the band inside the rule in spite of float rounding


class Verdict(Enum):
    """What the caller does with the tick it asked about, and with the one it holds."""

    ACCEPT = auto()  # apply this tick; none was held
    HOLD = auto()  # keep this tick until the next one or `deadline_s`; none was held
    DROP_HELD = auto()  # forget the held tick, apply this one
    APPLY_HELD = auto()  # apply the held tick, then this one
    APPLY_HELD_THEN_HOLD = auto()  # apply the held tick, keep this one


class PriceGuard:
    """Judges the last prices of one symbol. Mutable; owned by the feed.

    `ratio` is the distance, relative to the reference, beyond which a tick is suspect (0.03: 3 %);
    `hold_s` how long it waits, 0: not at all. Prices are positive finite floats, `now_s` monotonic
    seconds. Raises `ValueError` for settings out of range.
    """

    __slots__ = ("_half", "deadline_s", "held", "high", "hold_s", "low", "previous", "ratio")

    def __init__(self, ratio: float = DEFAULT_RATIO, hold_s: float = DEFAULT_HOLD_S) -> None:
        if not 0 < ratio < 1:
            message = f"the spike ratio must lie between 0 and 1, not {ratio}"
            raise ValueError(message)
        if not (isfinite(hold_s) and hold_s >= 0):
            message = f"a spike waits a finite time of 0 s or more, not {hold_s}"
            raise ValueError(message)
        self.hold_s = hold_s
        self.previous: float | None = None  # last accepted price
        self.held: float | None = None  # the suspect
        self.deadline_s = inf  # when the suspect acts
        self.judge_by(ratio)

    def judge_by(self, ratio: float) -> None:
        """Take another ratio (above 0, below 1), from the next tick on; a held one stays held."""
        self.ratio = ratio
        # A band from x to x · (1 + ratio), so that its ends are just plausible from each other.
        self._half = ratio / (2 + ratio) * _ROUNDING
        self._suspend_band()

    def judge(self, price: float, mid_or_mark: float | None, now_s: float) -> Verdict:
        """Decide over a tick and over the one held before it."""
        if self.low <= price <= self.high:
            self.previous = price
            return Verdict.ACCEPT
        if self.held is None:
            return self._accept_or_hold(price, mid_or_mark, now_s)
        if now_s < self.deadline_s and self._contradicts(price, mid_or_mark):
            self._accept(price)
            return Verdict.DROP_HELD
        self._accept(self.held)
        if self._accept_or_hold(price, mid_or_mark, now_s) is Verdict.HOLD:
            return Verdict.APPLY_HELD_THEN_HOLD
        return Verdict.APPLY_HELD

    def release(self, now_s: float) -> bool:
        """Return whether the held tick's time is over; then the caller applies it."""
        if self.held is None or now_s < self.deadline_s:
            return False
        self._accept(self.held)
        return True

    def _accept_or_hold(self, price: float, mid_or_mark: float | None, now_s: float) -> Verdict:
        if self.hold_s == 0 or self._is_plausible(price, mid_or_mark):
            self._accept(price)
            return Verdict.ACCEPT
        self.held = price
        self.deadline_s = now_s + self.hold_s
        self._suspend_band()
        return Verdict.HOLD

    def _accept(self, price: float) -> None:
        """Make `price` the reference and put the band around it."""
        self.previous = price
        self.held = None
        self.deadline_s = inf
        self.low = price * (1 - self._half)
        self.high = price * (1 + self._half)

    def _suspend_band(self) -> None:
        """Send every tick to `judge`."""
        self.low, self.high = inf, -inf

    def _is_plausible(self, price: float, mid_or_mark: float | None) -> bool:
        if self.previous is None and mid_or_mark is None:
            return True
        return self._is_near(price, self.previous) or self._is_near(price, mid_or_mark)

    def _contradicts(self, price: float, mid_or_mark: float | None) -> bool:
        """Whether a plausible `price` speaks for the old price against the held one."""
        old = mid_or_mark if self.previous is None else self.previous
        if old is None or self.held is None or not self._is_plausible(price, mid_or_mark):
            return False
        return abs(price - old) < abs(price - self.held)

    def _is_near(self, price: float, reference: float | None) -> bool:
        return reference is not None and abs(price - reference) <= self.ratio * reference
