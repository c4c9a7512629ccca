"""A read that goes on when whoever asked has given up: the next who asks gets its answer."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Generic, TypeVar

from runtime.ports import Clock

T = TypeVar("T")
KEPT_S = 300.0  # an answer to a question that is older than this is of no use


class LastingRead(Generic[T]):
    """Reads what happened since a time; one question at a time."""

    def __init__(self, clock: Clock, read: Callable[[datetime], Coroutine[Any, Any, T]]) -> None:
        self._clock = clock
        self._read = read
        self._task: asyncio.Task[T] | None = None
        self._since: datetime | None = None
        self._began_s = 0.0

    async def since(self, since: datetime) -> T:
        """Return what a question under way, or answered and not taken yet, or a new one says."""
        task = self._task
        if task is None or not self._serves(since):
            await self.close()
            self._since, self._began_s = since, self._clock.monotonic()
            task = self._task = asyncio.ensure_future(self._read(since))
        try:
            return await asyncio.shield(task)
        finally:
            if task.done() and self._task is task:
                self._task = None

    def _serves(self, since: datetime) -> bool:
        is_new = self._clock.monotonic() - self._began_s < KEPT_S
        return is_new and self._since is not None and self._since <= since

    async def close(self) -> None:
        """Ask no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
