"""Messages that nobody will handle: counted by reason, the latest kept, none silently lost."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

KEPT: Final = 1_000


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was not handled.

    Reasons: "unknown" (no such name), "unhandled" (no handler for its type), "overflow" (lane
    full), "poison" (crashed its actor twice), "expired" (an ask that had timed out before its
    turn), and why its actor is gone: "stopped", "crashed", "exhausted", "quarantined", "orphaned".
    """

    name: str
    message: Any
    reason: str


class DeadLetters:
    """A bounded ring of the last ones. `on_letter` is called once for each, to log it."""

    def __init__(self, on_letter: Callable[[DeadLetter], None] | None = None) -> None:
        self.on_letter = on_letter
        self.count_by_reason: Counter[str] = Counter()
        self._ring: deque[DeadLetter] = deque(maxlen=KEPT)

    def add(self, name: str, message: object, reason: str) -> None:
        """Record that `message`, told to `name`, is not going to be handled."""
        letter = DeadLetter(name, message, reason)
        self.count_by_reason[reason] += 1
        self._ring.append(letter)
        if self.on_letter is not None:
            self.on_letter(letter)

    def last(self) -> tuple[DeadLetter, ...]:
        """Return the kept ones, oldest first."""
        return tuple(self._ring)

    @property
    def total(self) -> int:
        """How many there ever were."""
        return self.count_by_reason.total()
