"""What the kernel itself tells an actor, and the errors it speaks of."""

from typing import ClassVar, Final

import msgspec

from runtime.mailbox import Lane

FATAL: Final = (
    KeyboardInterrupt,
    SystemExit,
)  # these end the process; every other exception ends one actor


class Terminated(msgspec.Struct, frozen=True):
    """A watched name is gone; `reason` as of dead letters ("stopped", "unknown", ...)."""

    lane: ClassVar[Lane] = Lane.EXITS  # never refused: who misses it waits forever

    name: str
    reason: str


class Restarted(msgspec.Struct, frozen=True):
    """A watched name lives again and remembers nothing it was told: arm again, ask again."""

    lane: ClassVar[Lane] = Lane.EXITS

    name: str
    incarnation: int  # 1 is the first life


class Killed(Exception):  # noqa: N818  an event rather than an error
    """The drill: somebody made the actor crash."""


class StoppedByItselfError(Exception):
    """A permanent child stopped of its own accord; its supervisor treats that as a failure."""


class RestartsExhaustedError(Exception):
    """A child failed more often than its intensity allows; its last error is the cause."""


class UnhandledMessageError(Exception):
    """The answer to an ask whose message type the actor does not handle."""


class ReentrancyError(RuntimeError):
    """A handler tried to run the run queue that is running it, or to ask: handlers tell."""
