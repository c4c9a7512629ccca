"""The trap of a daemon that kills itself: it counts what passes, and springs at its turn.

Parent and child share a file of two bytes: the parent writes the first, "count from now on"; the
child writes the second, "the trap has sprung", right before SIGKILL.
"""

import mmap
import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

When = Callable[..., bool]
_ARMED, _SPRUNG = 0, 1


class Mark:
    """The parent's side."""

    def __init__(self, path: Path, *, armed: bool) -> None:
        path.write_bytes(bytes((armed, 0)))
        self.path = path

    def arm(self) -> None:
        """Let the hits count from now on."""
        with self.path.open("r+b") as file:
            file.write(b"\x01")

    @property
    def is_sprung(self) -> bool:
        """Whether the child has killed itself, rather than having been killed or failed."""
        return bool(self.path.read_bytes()[_SPRUNG])


class Trap:
    """The child's side: kills this process, at the hit after `skip` others."""

    def __init__(self, mark: Path, venue: str, skip: int) -> None:
        with mark.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 2)
        self.venue = venue
        self.skip = skip

    def spring(self) -> None:
        """Die, if it is time. SIGKILL of oneself: no other instruction of this thread runs."""
        if not self._shared[_ARMED]:
            return
        if self.skip > 0:
            self.skip -= 1
            return
        self._shared[_SPRUNG] = 1
        os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, trap: Trap, when: When | None = None) -> None:
    """Spring right before a function of a class or a module runs, `when` its arguments match."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any, **named: Any) -> Any:
        if when is None or when(*arguments, **named):
            trap.spring()
        return original(*arguments, **named)

    setattr(owner, name, patched)


def after(owner: Any, name: str, trap: Trap, when: When | None = None) -> None:
    """Spring right after it has run."""
    original = getattr(owner, name)

    @wraps(original)
    def patched(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        if when is None or when(*arguments, **named):
            trap.spring()
        return found

    setattr(owner, name, patched)


def around_handler(
    actor: Any, message: type, trap: Trap, *, after: bool, when: When | None = None
) -> None:
    """Spring around an actor's handler, which its class has found before this was called."""
    table: dict[type, Any] = actor.actor_lookup.__self__
    original = table[message]

    def patched(self: Any, told: Any) -> Any:
        matches = when is None or when(self, told)
        if matches and not after:
            trap.spring()
        found = original(self, told)
        if matches and after:
            trap.spring()
        return found

    table[message] = patched
