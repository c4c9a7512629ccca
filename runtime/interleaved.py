"""A virtual-time loop that chooses, from a seed, which of several ready callbacks runs next.

Real loops run ready callbacks in the order in which they became ready, and that order comes from
the network and the disk. Here it is drawn, so that seeds try different interleavings, and the same
seed the same one. What one task schedules for itself is never overtaken by itself, since a task has
one callback waiting at most.
"""

from asyncio import Handle
from collections import deque

from runtime.ports import Chance
from runtime.virtual import VirtualLoop

_WINDOW = 4  # a callback is overtaken by so many less one at a time


class _Ready(deque[Handle]):
    """Asyncio's queue of ready callbacks, of which any of the first few may be next."""

    def __init__(self, chance: Chance, share: float) -> None:
        super().__init__()
        self._draw = chance.random
        self._take = super().popleft
        self._share = share

    def popleft(self) -> Handle:
        """Take the next, or now and then one after it."""
        if len(self) > 1 and self._draw() < self._share:
            skip = int(self._draw() * min(len(self), _WINDOW))
            if skip:
                self.rotate(-skip)
                handle = self._take()
                self.rotate(skip)
                return handle
        return self._take()


class InterleavedLoop(VirtualLoop):
    """A `VirtualLoop` whose `time()` starts at `start_s`; `share` of the choices are drawn."""

    def __init__(self, chance: Chance, *, start_s: float = 0.0, share: float = 0.3) -> None:
        super().__init__()
        self._now_s = start_s
        self._ready = _Ready(chance, share)
