"""The troubled past of a name: kept only for those that crashed or are asked to stop."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runtime.ports import Chance
    from runtime.specs import Backoff, Intensity

NOTHING: Final = object()


class Record:
    """Past restarts and pending matters of one name. It survives incarnations, as the ref does."""

    __slots__ = ("attempts", "closing", "restarts", "retry", "stuck", "timer", "tried")

    def __init__(self) -> None:
        self.restarts: deque[float] = deque()  # monotonic seconds, oldest first
        self.attempts = 0  # restarts since the last quiet period
        self.retry: Any = NOTHING  # the message during which the last incarnation ended
        self.tried = False  # the present incarnation has been given it
        self.stuck = False  # that message has crashed it twice, and must not be dropped
        self.closing = False  # stop when nothing waits any more
        self.timer: asyncio.TimerHandle | None = None  # until the end of a backoff

    def may_restart(self, now: float, intensity: "Intensity") -> bool:
        """Count one more restart at `now`, or return False: the period's budget is used up."""
        while self.restarts and self.restarts[0] <= now - intensity.period_s:
            self.restarts.popleft()
        if not self.restarts:
            self.attempts = 0
        if intensity.max_restarts is None:
            self.restarts.clear()  # only the last one matters: it tells when the period was quiet
        elif len(self.restarts) >= intensity.max_restarts:
            return False
        self.restarts.append(now)
        self.attempts += 1
        return True

    def delay(self, backoff: "Backoff", chance: "Chance") -> float:
        """Return how many seconds to wait before the restart just counted."""
        if backoff.first_s <= 0:
            return 0.0
        # 2**60 times anything exceeds any max_s; beyond it floats would overflow.
        longest = min(backoff.max_s, backoff.first_s * 2.0 ** min(self.attempts - 1, 60))
        return longest * (1.0 - backoff.jitter_ratio * chance.random())

    def cancel_timer(self) -> None:
        """Give up a restart that is due later."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
