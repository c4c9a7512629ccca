"""What moved money, read for longer than who asked for it waits.

The venue lists every fill among it, page by page. The read goes on when whoever asked has given up;
the next who asks gets it, and what came since it began.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from domain.venue import CashFlow
from exchanges.port import Unknown
from runtime.ports import Clock

Flows = tuple[CashFlow, ...] | Unknown
KEPT_S = 300.0  # an answer to a question that is older than this is of no use
_OVERLAP = timedelta(minutes=1)


class LastingFlows:
    """Asks one question at a time, to its end."""

    def __init__(
        self, clock: Clock, read: Callable[[datetime], Coroutine[Any, Any, Flows]]
    ) -> None:
        self._clock = clock
        self._read = read
        self._task: asyncio.Task[Flows] | None = None
        self._since: datetime | None = None
        self._began: datetime | None = None
        self._began_s = 0.0

    async def since(self, since: datetime) -> Flows:
        """Return what moved since then, oldest first: all until now."""
        task, began = self._task, self._began
        if task is None or began is None or _failed(task) or not self._serves(since):
            task, began = self._begin(since), None
        answer = await asyncio.shield(task)
        if began is not None and not isinstance(answer, Unknown):
            answer = _joined(answer, await self._read(began - _OVERLAP))
        if self._task is task:
            self._task = None
        return answer

    def _serves(self, since: datetime) -> bool:
        is_new = self._clock.monotonic() - self._began_s < KEPT_S
        return is_new and self._since is not None and self._since <= since

    def _begin(self, since: datetime) -> asyncio.Task[Flows]:
        if self._task is not None:
            self._task.cancel()
        self._since, self._began = since, self._clock.now()
        self._began_s = self._clock.monotonic()
        self._task = asyncio.ensure_future(self._read(since))
        return self._task

    async def close(self) -> None:
        """Ask no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _failed(task: asyncio.Task[Flows]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _joined(older: tuple[CashFlow, ...], newer: Flows) -> Flows:
    if isinstance(newer, Unknown):
        return newer
    known = {each.flow_id: each for each in (*older, *newer)}
    return tuple(sorted(known.values(), key=lambda each: (each.at, each.flow_id)))
