"""The lowest and highest price since any moment that matters, in a form that survives a crash.

A trail's best price lives in the feed's trigger index and dies with the process. So the feed keeps,
for each instrument and price source, one open `Interval`; once a second it journals the range seen
so far, if that has grown, and it cuts the interval whenever something is armed, so that an interval
begins at the very moment from which extremes count. Recovery folds the reports into `Extremes` and
asks it for the range since each arming.

`Extremes` keeps no report for its own sake. Of the highs only those matter that no later one
reaches, a staircase that falls toward the present; of the lows the mirror image. The high since a
moment is the first step that begins there or later, and a new high removes the steps it overtops.
So the size is bounded by the steps of the staircase, not by time.

Stamps are the feed's and never decrease; two cuts with prices between them should differ, or the
later arming is taken for the earlier one, which errs toward the tighter trail. Prices travel as
text and are compared as floats, and as decimals where two texts give the same float.
"""

from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from math import inf
from operator import attrgetter

import msgspec

from domain.errors import InvariantError


class Step(msgspec.Struct, frozen=True):
    """An extreme that no interval after its own reaches."""

    begin: datetime  # of its interval
    price: Decimal


class Extremes(msgspec.Struct, frozen=True):
    """Lows and highs of one price of one instrument, for every begin of an interval."""

    lows: tuple[Step, ...] = ()  # rising
    highs: tuple[Step, ...] = ()  # falling
    until: datetime | None = None  # nothing is known after it

    def see(self, low: Decimal, high: Decimal, begin: datetime, end: datetime) -> "Extremes":
        """Return these extremes with one interval more, or with the last one reported again, grown.

        Raises `InvariantError` for an interval that begins before the last one or is inside out.
        """
        last = self.lows[-1].begin if self.lows else begin
        if begin < last or end < begin or low > high:
            raise InvariantError(f"extremes {low}-{high} of {begin}-{end} after {last}")
        return Extremes(
            lows=_onto(self.lows, Step(begin, low), lambda step: step.price >= low),
            highs=_onto(self.highs, Step(begin, high), lambda step: step.price <= high),
            until=end if self.until is None else max(self.until, end),
        )

    def since(self, at: datetime) -> tuple[Decimal, Decimal] | None:
        """Return (low, high) of all intervals begun at or after `at`; None without any."""
        low = _first_since(self.lows, at)
        if low == len(self.lows):
            return None
        return self.lows[low].price, self.highs[_first_since(self.highs, at)].price

    def between(self, at: datetime, until: datetime) -> tuple[Decimal | None, Decimal | None]:
        """Return (low, high) of intervals begun from `at` to `until`, as far as it is known still.

        What later intervals overtopped is forgotten: then it is less extreme, or None.
        """
        low, high = (
            next(
                (step.price for step in steps[_first_since(steps, at) :] if step.begin <= until),
                None,
            )
            for steps in (self.lows, self.highs)
        )
        return low, high

    def forget_before(self, at: datetime) -> "Extremes":
        """Drop what only a question about an earlier moment than `at` would need."""
        return Extremes(
            lows=self.lows[_first_since(self.lows, at) :],
            highs=self.highs[_first_since(self.highs, at) :],
            until=self.until,
        )


_BEGIN = attrgetter("begin")


def _onto(
    steps: tuple[Step, ...], step: Step, is_reached: Callable[[Step], bool]
) -> tuple[Step, ...]:
    kept = len(steps)
    while kept and is_reached(steps[kept - 1]):
        kept -= 1
    return (*steps[:kept], step)


def _first_since(steps: tuple[Step, ...], at: datetime) -> int:
    return bisect_left(steps, at, key=_BEGIN)


class Span(msgspec.Struct, frozen=True):
    """The range of prices seen between two moments."""

    low: Decimal
    high: Decimal
    begin: datetime
    end: datetime


class Interval:
    """The open interval of a feed. Mutable.

    It must see every price, so look before you call; most prices are inside:

        if not interval.low < price < interval.high:
            interval.see(price, text)
    """

    __slots__ = ("_high_text", "_is_changed", "_low_text", "begin", "high", "is_quiet", "low")

    def __init__(self, begin: datetime) -> None:
        self._start(begin)

    def _start(self, begin: datetime) -> None:
        self.begin = begin
        self.low = inf  # as floats, for the look
        self.high = -inf
        self._low_text = self._high_text = ""
        self._is_changed = False  # since it was reported
        self.is_quiet = True  # no price has come since it began

    def see(self, price: float, text: str) -> None:
        """Take a price: a finite float and the text it was parsed from."""
        self.is_quiet = False
        if price < self.low or (
            price == self.low and text != self._low_text and Decimal(text) < Decimal(self._low_text)
        ):
            self.low, self._low_text, self._is_changed = price, text, True
        if price > self.high or (
            price == self.high
            and text != self._high_text
            and Decimal(text) > Decimal(self._high_text)
        ):
            self.high, self._high_text, self._is_changed = price, text, True

    def carry(self, price: float, text: str) -> None:
        """Take a price that stood when the interval began, and stands: a quiet one stays quiet."""
        quiet = self.is_quiet
        self.see(price, text)
        self.is_quiet = quiet

    def span(self, end: datetime) -> Span | None:
        """Return what was seen since the interval began; None when no price was."""
        if self.low > self.high:
            return None
        return Span(Decimal(self._low_text), Decimal(self._high_text), self.begin, end)

    def report(self, at: datetime) -> Span | None:
        """Return the range so far if it has grown since the last report, and go on."""
        if not self._is_changed:
            return None
        self._is_changed = False
        return self.span(at)

    def cut(self, at: datetime) -> Span | None:
        """Report, and begin anew at `at`: something is armed whose extremes count from here."""
        span = self.report(at)
        self._start(at)
        return span
