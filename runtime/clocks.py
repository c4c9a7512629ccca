"""Clocks: the real one, and one that a virtual-time loop drives."""

import time
from asyncio import AbstractEventLoop
from datetime import UTC, datetime, timedelta


class SystemClock:
    """The machine's clocks. The monotonic one is the loop's, so durations and timers agree."""

    def now(self) -> datetime:
        """Return wall time, UTC, aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return time.monotonic()


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
