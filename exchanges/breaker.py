"""Whether a venue can be reached: pure, time is an argument.

CLOSED is normal. After several failures in a row, with no answer in between, the venue counts as
down: entries are refused without being sent. Exits, cancels and reads go on, and the first of them
that is answered closes it again.
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

    def __init__(self, *, failures: int = 5, window_s: float = 30.0) -> None:
        """Open after that many `failures` in a row, the first no longer ago than `window_s`."""
        self._most = failures
        self._window_s = window_s
        self._times_s: list[float] = []
        self.state = BreakerState.CLOSED
        self.since: datetime | None = None  # of the present state, once it has changed
        self.why = ""

    @property
    def is_open(self) -> bool:
        """Whether entries are refused."""
        return self.state is BreakerState.OPEN

    def failed(self, why: str, now_s: float, at: datetime) -> bool:
        """Note a request without an answer; return whether this opened it."""
        recent = [time_s for time_s in self._times_s if now_s - time_s < self._window_s]
        self._times_s = [*recent, now_s][-self._most :]
        self.why = why
        if self.is_open or len(self._times_s) < self._most:
            return False
        self.state, self.since = BreakerState.OPEN, at
        return True

    def answered(self, at: datetime) -> bool:
        """Note an answer, whatever it says; return whether this closed it."""
        self._times_s.clear()
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
