"""A long list, read for longer than who asked for it waits.

What moved money since a position was opened, and who traded: the venue lists them page by page, and
counts requests. The read goes on when whoever asked has given up; the next who asks gets it, and
what came since it began.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from exchanges.port import Unknown
from runtime.ports import Clock

T = TypeVar("T")
KEPT_S = 300.0  # what nobody has fetched for so long is asked for anew
_OVERLAP = timedelta(minutes=1)


class LastingRead(Generic[T]):
    """Asks one question at a time, to its end."""

    def __init__(
        self,
        clock: Clock,
        read: Callable[[datetime], Coroutine[Any, Any, tuple[T, ...] | Unknown]],
        key: Callable[[T], Any],
    ) -> None:
        """`key` returns when something happened and what it is: by that each is told once."""
        self._clock = clock
        self._read = read
        self._key = key
        self._task: asyncio.Task[tuple[T, ...] | Unknown] | None = None
        self._since: datetime | None = None
        self._began: datetime | None = None
        self._ended_s = 0.0

    async def since(self, since: datetime) -> tuple[T, ...] | Unknown:
        """Return what happened since then, oldest first: all until now."""
        task, began = self._task, self._began
        if task is None or began is None or _failed(task) or not self._serves(task, since):
            task, began = self._begin(since), None
        answer = await asyncio.shield(task)
        if began is not None and not isinstance(answer, Unknown):
            answer = self._joined(answer, await self._read(began - _OVERLAP))
        if self._task is task:
            self._task = None
        return answer

    def _serves(self, task: asyncio.Task[Any], since: datetime) -> bool:
        # One that is under way is let end, however long it takes: begun anew it never would.
        is_new = not task.done() or self._clock.monotonic() - self._ended_s < KEPT_S
        return is_new and self._since is not None and self._since <= since

    def _begin(self, since: datetime) -> asyncio.Task[tuple[T, ...] | Unknown]:
        if self._task is not None:
            self._task.cancel()
        self._since, self._began = since, self._clock.now()
        self._task = asyncio.ensure_future(self._read_to_its_end(since))
        return self._task

    async def _read_to_its_end(self, since: datetime) -> tuple[T, ...] | Unknown:
        try:
            return await self._read(since)
        finally:
            self._ended_s = self._clock.monotonic()

    def _joined(
        self, older: tuple[T, ...], newer: tuple[T, ...] | Unknown
    ) -> tuple[T, ...] | Unknown:
        if isinstance(newer, Unknown):
            return newer
        known = {self._key(each): each for each in (*older, *newer)}
        return tuple(known[key] for key in sorted(known))

    async def close(self) -> None:
        """Ask no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
