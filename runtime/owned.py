"""What an actor has running besides itself, so that nothing of it outlives it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runtime.record import NOTHING

if TYPE_CHECKING:
    from runtime.timers import Timer


class Owned:
    """An actor's timers, tasks, watches and asynchronous handler; made when the first is needed.

    Dicts without values are sets that keep their order: what ends together ends in the same order
    in every run.
    """

    __slots__ = ("handler", "message", "tasks", "timers", "watched")

    def __init__(self) -> None:
        self.timers: dict[Timer, None] = {}
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.watched: dict[str, None] = {}
        self.handler: asyncio.Task[Any] | None = None
        self.message: Any = NOTHING  # what `handler` is about

    def release(self, cancel: Callable[[asyncio.Task[Any]], None]) -> None:
        """Cancel timers and tasks; `cancel` sees to a task that nobody owns any more."""
        for timer in tuple(self.timers):
            timer.cancel()
        tasks = tuple(self.tasks)
        self.tasks.clear()
        for task in tasks:
            cancel(task)
        handler, self.handler = self.handler, None
        if handler is not None:
            cancel(handler)
