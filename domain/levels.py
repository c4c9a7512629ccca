"""Fixed levels of one side of one price: a heap whose top is the nearest.

Both sides share one code because they think in *signed* prices: the price itself on the side that
fires above, its negative on the side that fires below. So everything fires when the signed price
rises to its level, and the nearest level is the smallest.

Rounding a decimal to the nearest float never reverses an order: from `price <= level` follows
`float(price) <= float(level)`. Comparing floats therefore misses no crossing; it may report one too
many when price and level are different decimals but the same float.

Deleting is lazy: a heap entry whose trigger is no longer live is dropped when it reaches the top,
or when the index sweeps.
"""

from heapq import heapify, heappop, heappush
from math import inf
from typing import final

import msgspec

from domain.ids import ExitId, PositionId


class Trigger(msgspec.Struct, eq=False):
    """What an index watches for an owner. Mutable, and never leaves its index."""

    key: PositionId
    exit_id: ExitId
    version: int
    below: bool  # fires when the price is at or below
    seq: int  # arming order
    live: bool  # neither disarmed nor replaced
    reported: bool  # hit, and waiting for the owner's answer; not in any heap


@final
class LevelTrigger(Trigger, eq=False, gc=False):
    """Fires at a fixed level."""

    level: float  # signed


class Levels:
    """The fixed levels of one side."""

    __slots__ = ("_heap", "at")

    def __init__(self) -> None:
        self.at = (
            inf  # signed; the nearest level or nearer (it may be gone): nothing fires before it
        )
        self._heap: list[tuple[float, int, LevelTrigger]] = []

    def __len__(self) -> int:
        """Count heap entries, dead ones included."""
        return len(self._heap)

    def add(self, trigger: LevelTrigger) -> None:
        """Watch a trigger that is new, or was reported and had not crossed."""
        level = trigger.level
        heappush(self._heap, (level, trigger.seq, trigger))
        if level < self.at:  # noqa: PLR1730 - a call costs more than the push
            self.at = level

    def sweep(self) -> None:
        """Leave out dead entries."""
        self._heap = [entry for entry in self._heap if entry[2].live]
        heapify(self._heap)
        self.at = self._heap[0][0] if self._heap else inf

    def take(self, signed: float, taken: list[tuple[float, Trigger]]) -> None:
        """Move what fires at `signed` to `taken`, with the signed level of each."""
        heap = self._heap
        while heap and (heap[0][0] <= signed or not heap[0][2].live):
            level, _, trigger = heappop(heap)
            if trigger.live:
                trigger.reported = True
                taken.append((level, trigger))
        self.at = heap[0][0] if heap else inf

    def settle(self) -> None:
        """Make `at` the nearest live level."""
        self.take(-inf, [])
