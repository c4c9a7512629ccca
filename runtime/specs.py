"""Supervision is data: what to start, and what to do when it fails."""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from runtime.mailbox import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from runtime.actor import Actor


class Restart(Enum):
    """When a child is started again (the three kinds of Erlang's OTP)."""

    PERMANENT = "permanent"  # always, also when it stopped by itself
    TRANSIENT = "transient"  # when it crashed; one that stopped by itself is done and forgotten
    TEMPORARY = "temporary"  # never


class Strategy(Enum):
    """Who else is restarted with a failed child: halted in reverse, started in start order."""

    ONE_FOR_ONE = "one_for_one"
    REST_FOR_ONE = "rest_for_one"  # those started after it, because they depend on it
    ONE_FOR_ALL = "one_for_all"


class Exhausted(Enum):
    """What happens when a child fails more often than its intensity allows."""

    ESCALATE = "escalate"  # the supervisor crashes in turn, and its own supervisor decides
    QUARANTINE = "quarantine"  # hands off: not restarted, its messages are dead letters, alarm
    STOP = "stop"  # forgotten


class Intensity(msgspec.Struct, frozen=True):
    """At most `max_restarts` (None: any number) in any `period_s` seconds."""

    max_restarts: int | None = 3
    period_s: float = 60.0


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait before a restart: doubling from `first_s` up to `max_s`.

    It begins anew after a quiet intensity period. Each wait is shortened by chance, by up to
    `jitter_ratio` (0-1) of itself, so that many do not come back as one. With `first_s` 0 every
    restart is immediate.
    """

    first_s: float = 0.0
    max_s: float = 30.0
    jitter_ratio: float = 0.1


THREE_A_MINUTE: Final = Intensity()
AT_ONCE: Final = Backoff()


class ChildSpec(msgspec.Struct, frozen=True):
    """One child. `factory` makes a new actor each time, from durable state only."""

    name: str
    factory: "Callable[[], Actor]"
    restart: Restart = Restart.PERMANENT
    intensity: Intensity = THREE_A_MINUTE
    backoff: Backoff = AT_ONCE
    on_exhausted: Exhausted = Exhausted.ESCALATE
    limits: Limits = DEFAULT_LIMITS
    drops_fills: bool = True  # False: one that crashed it twice counts as failing too often
