"""Which UTC day it is for an account's daily limits.

The wall clock may be wrong for a moment, and a day that begins lifts the limits of the one before.
So a day counts once it has stood for a minute.
"""

from datetime import date

DAY_STANDS_S = 60.0


class Calendar:
    """Knows which other day the clock says, and since when."""

    def __init__(self) -> None:
        self.other: date | None = None
        self.since_s = 0.0  # monotonic

    def day(self, told: date, day: date, now_s: float) -> date:
        """Return the day it is, where the clock has `told` one and it was `day` until now."""
        if told != self.other:
            self.other, self.since_s = told, now_s
        return told if now_s - self.since_s >= DAY_STANDS_S else day
