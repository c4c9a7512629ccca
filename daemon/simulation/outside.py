"""What goes on whether the daemon lives or not: one clock, one list of things to come.

While a daemon lives its loop drives this, and both share one time. While none does, `run_until`
does.
"""

import asyncio
import heapq
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

START = datetime(2026, 1, 5, 0, 3, tzinfo=UTC)  # so that midnight comes before the end
_MS = 1000


class Outside:
    """Time, and what will happen in it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.steps = 0
        self._now_s = 0.0
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self.after_step: Callable[[], None] = _nothing
        self.story: list[tuple[float, str]] = []
        self.keeps_story = True

    # --- time and chance

    @property
    def now_s(self) -> float:
        """Seconds since the day began."""
        return self._loop.time() if self._loop is not None else self._now_s

    @property
    def now(self) -> datetime:
        """Wall time."""
        return START + timedelta(seconds=self.now_s)

    def now_ms(self) -> int:
        """Wall time in ms since 1970."""
        return int(START.timestamp()) * _MS + int(self.now_s * _MS)

    def chance(self, label: str) -> random.Random:
        """Return draws that depend on the seed and the label alone."""
        return random.Random(f"{self.seed}/{label}")  # noqa: S311 - reproducible, no secret

    def tell(self, text: str) -> None:
        """Put a line into the story."""
        self.story.append((self.now_s, text))

    # --- what is to come

    def after(self, delay_s: float, act: Callable[..., object], *args: Any) -> None:
        """Let something happen in a while."""
        self.at(self.now_s + delay_s, act, *args)

    def at(self, when_s: float, act: Callable[..., object], *args: Any) -> None:
        """Let something happen at a time; at the same time in the order of the calls."""
        heapq.heappush(self._heap, (when_s, next(self._order), act, args))
        if self._loop is not None and (self._timer is None or when_s < self._timer_s):
            self._set_timer()

    def run_until(self, until_s: float) -> None:
        """Let time pass while no daemon lives."""
        assert self._loop is None
        while self._heap and self._heap[0][0] <= until_s:
            when_s, _, act, args = heapq.heappop(self._heap)
            self._now_s = max(self._now_s, when_s)
            act(*args)
        self._now_s = max(self._now_s, until_s)

    # --- with a daemon

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on in this loop's time."""
        self._loop = loop
        self._set_timer()

    def detach(self) -> None:
        """Go on alone: the daemon is dead."""
        assert self._loop is not None
        self._now_s = self._loop.time()
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer_s = self._heap[0][0]
            self._timer = self._loop.call_at(self._timer_s, self._pump)

    def _pump(self) -> None:
        self._timer = None
        loop = self._loop
        heap = self._heap
        while loop is not None and loop is self._loop and heap and heap[0][0] <= loop.time():
            _, _, act, args = heapq.heappop(heap)
            self.steps += 1
            act(*args)
            self.after_step()
        if self._loop is not None and self._timer is None:
            self._set_timer()


def _nothing() -> None:
    """The usual."""
