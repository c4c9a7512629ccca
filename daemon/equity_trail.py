"""How equity went since the start, in a fixed number of points.

When they are full every second one is dropped and sampling goes on at half the pace: memory does
not grow, and the trail always reaches back to the start.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from daemon.view_text import View, computed

POINTS: Final = 240
FIRST_EVERY_S: Final = 1.0


class EquityTrail:
    """Samples `equity` on the loop, from `start` to `stop`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        equity: Callable[[], Decimal | None],
        points: int = POINTS,
    ) -> None:
        self.every_s = FIRST_EVERY_S
        self._loop = loop
        self._equity = equity
        self._points: list[Decimal] = []
        self._most = points
        self._handle: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin; nothing is kept while equity is not known.

        Not at once: what goes wrong here must not go wrong with the daemon's start.
        """
        self._handle = self._loop.call_soon(self._sample)

    def stop(self) -> None:
        """End; the points stay."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def view(self) -> View:
        """Return the points, oldest first, and the seconds between them."""
        return {"every_s": self.every_s, "points": [computed(each) for each in self._points]}

    def _sample(self) -> None:
        try:
            self._take()
        finally:  # one that fails is logged by the loop, and does not end the trail
            self._handle = self._loop.call_later(self.every_s, self._sample)

    def _take(self) -> None:
        equity = self._equity()
        if equity is not None:
            self._points.append(equity)
        if len(self._points) > self._most:
            del self._points[1::2]
            self.every_s *= 2
