"""Which times of a stream are believed: one wrong stamp must not carry anybody into the future.

A stamp more than a minute ahead of both clocks, the venue's as its other stamps tell it and ours,
is wrong. At first there is only ours, which may be behind: then two that agree are believed.
"""

from actors.world import AHEAD_MS, PriceBoard
from runtime.ports import Clock


class Stamps:
    """Judges the stamps of one stream. Owned by the feed."""

    def __init__(self, clock: Clock, board: PriceBoard) -> None:
        self.believed_ms = 0  # up to here a stamp needs no look
        self._clock = clock
        self._board = board
        self._waiting: tuple[int, float] | None = None  # the first one, and when: monotonic

    def look_again(self) -> None:
        """Judge the next stamp anew: our clock may have been set."""
        self.believed_ms = 0

    def ahead_s(self, event_ms: int) -> float:
        """Return by how many seconds a stamp is too far ahead to be believed; 0: it is not."""
        latest_ms = self._board.latest_ms()
        if event_ms <= latest_ms or (not self._board.is_heard() and self._agrees(event_ms)):
            self.believed_ms = latest_ms
            return 0.0
        return (event_ms - latest_ms + AHEAD_MS) / 1000

    def _agrees(self, event_ms: int) -> bool:
        now_s = self._clock.monotonic()
        before, self._waiting = self._waiting, (event_ms, now_s)
        if before is None:
            return False
        passed_ms = (now_s - before[1]) * 1000
        return abs(event_ms - before[0] - passed_ms) < AHEAD_MS
