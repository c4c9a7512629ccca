"""Timers: a message an actor gets later, from itself.

A timer travels through the mailbox as its own envelope. So a canceled one is not heard of again
even if it had fired already, and a timer of a past incarnation never reaches the next.

It is due by the clock, which goes on while the computer sleeps, and set by the loop's time, which
does not: see `ActorSystem.wake`. That wakes timers only. A supervisor's pause before a restart and
an `asyncio.sleep` run by the loop's time: what was left of them is left after a sleep too.
"""

import asyncio
from typing import TYPE_CHECKING

from runtime.mailbox import lane_for

if TYPE_CHECKING:
    from runtime.owned import Owned
    from runtime.ref import Ref


class Timer:
    """One of an actor's timers, once or periodic; canceled when the actor stops or crashes."""

    __slots__ = (
        "_due_s",
        "_handle",
        "_owned",
        "_period_s",
        "_ref",
        "_waiting",
        "active",
        "message",
    )

    def __init__(
        self, ref: "Ref", owned: "Owned", delay_s: float, message: object, *, repeat: bool
    ) -> None:
        self.message = message
        self.active = True
        self._ref = ref
        self._owned = owned
        self._period_s = delay_s if repeat else None
        self._waiting = False  # in the mailbox, fired and not yet handled
        self._due_s = ref.system.clock.monotonic() + delay_s
        self._handle = self._set()
        owned.timers[self] = None

    def cancel(self) -> None:
        """Stop it, even if it has fired and waits to be handled; harmless when it is over."""
        self.active = False
        self._handle.cancel()
        self._owned.timers.pop(self, None)

    def look_again(self) -> None:
        """Come when it is due by the clock: the loop's time stood still meanwhile."""
        if self._waiting and self._period_s is None:
            return  # it has fired
        self._handle.cancel()
        self._handle = self._set()

    def delivered(self) -> bool:
        """Take note that its turn has come; return False where it was canceled meanwhile."""
        self._waiting = False
        if self.active and self._period_s is None:
            self.cancel()
            return True
        return self.active

    def bounced(self) -> object | None:
        """Return the message if its loss is worth a dead letter: not of a canceled timer."""
        return self.message if self.delivered() else None

    def _set(self) -> asyncio.TimerHandle:
        system = self._ref.system
        return system.loop.call_at(self._due_s - system.ahead_s, self._fire)

    def _fire(self) -> None:
        ref = self._ref
        if self._period_s is not None:
            # On the grid of the first due time, not from now: a periodic timer must not drift.
            # Missed ones are skipped.
            missed = max(0.0, ref.system.clock.monotonic() - self._due_s) // self._period_s
            self._due_s += (missed + 1) * self._period_s
            self._handle = self._set()
        if not self._waiting:
            self._waiting = True
            ref.put(self, lane_for(self.message))
