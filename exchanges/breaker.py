"""Whether a venue can be reached: pure, time is an argument.

CLOSED is normal. After several failures in a row over some seconds, with no answer in between, the
venue counts as down: entries are refused without being sent. Exits, cancels and reads go on, and
the first of them that is answered closes it again.
"""

from datetime import datetime
from enum import Enum

import msgspec


class BreakerState(Enum):
    """What is let through."""

    CLOSED = "closed"  # everything
    OPEN = "open"  # no entries


class Breaker:
    """Counts failures of one venue."""

    def __init__(self, *, failures: int = 5, lasts_s: float = 2.0, window_s: float = 30.0) -> None:
        """Open after that many `failures` in a row, over at least `lasts_s`.

        Failures with a pause of more than `window_s` are no row.
        """
        self._most = failures
        self._lasts_s = lasts_s
        self._window_s = window_s
        self._count = 0
        self._first_s = self._last_s = 0.0
        self.state = BreakerState.CLOSED
        self.since: datetime | None = None  # of the present state, once it has changed
        self.why = ""

    @property
    def is_open(self) -> bool:
        """Whether entries are refused."""
        return self.state is BreakerState.OPEN

    def failed(self, why: str, now_s: float, at: datetime) -> bool:
        """Note a request without an answer; return whether this opened it."""
        if not self._count or now_s - self._last_s > self._window_s:
            self._count, self._first_s = 0, now_s
        self._count += 1
        self._last_s = now_s
        self.why = why
        is_lasting = now_s - self._first_s >= self._lasts_s
        if self.is_open or self._count < self._most or not is_lasting:
            return False
        self.state, self.since = BreakerState.OPEN, at
        return True

    def answered(self, at: datetime) -> bool:
        """Note an answer, whatever it says; return whether this closed it."""
        self._count = 0
        if not self.is_open:
            return False
        self.state, self.since, self.why = BreakerState.CLOSED, at, ""
        return True


class VenueHealth(msgspec.Struct, frozen=True):
    """How a venue's connection for orders and reads is doing."""

    state: BreakerState
    since: datetime | None
    why: str  # the last failure while it is down; "" when it is not
    clock_offset_s: float | None  # the venue's clock less ours; None: not measured yet
    round_trip_s: float | None  # of the last measurement
    budget_used: float  # 0-1, of the limit that is nearest
    started: bool = False  # the library is loaded
