"""Clocks: the real one, and one that a virtual-time loop drives."""

import time
from asyncio import AbstractEventLoop
from datetime import UTC, datetime, timedelta

_COUNTS_SLEEP = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clocks.

    The monotonic one is CLOCK_BOOTTIME: CLOCK_MONOTONIC, which the loop goes by, stands still while
    a computer sleeps (clock_gettime(2)). Where there is no such clock, that one serves.
    """

    def now(self) -> datetime:
        """Return wall time, UTC, aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never step back, those of a sleep included."""
        return time.clock_gettime(_COUNTS_SLEEP)


class VirtualClock:
    """Wall time that begins at `start` (aware) and goes on as `loop.time()` does, and only so."""

    def __init__(self, loop: AbstractEventLoop, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError(f"a clock starts at an aware time, not {start!r}")
        self._loop = loop
        self._start = start.astimezone(UTC)
        self._origin_s = self._at_s = loop.time()
        self._now = self._start

    def now(self) -> datetime:
        """Return wall time, UTC, aware, to the microsecond."""
        at_s = self._loop.time()
        if at_s != self._at_s:  # many ask at the same instant
            self._at_s = at_s
            self._now = self._start + timedelta(seconds=at_s - self._origin_s)
        return self._now

    def monotonic(self) -> float:
        """Return the loop's seconds."""
        return self._loop.time()
