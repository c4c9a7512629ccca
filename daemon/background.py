"""Queries on the journal's own thread, awaited at the edge.

The connection has one user at a time.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from runtime.ports import Worker

T = TypeVar("T")
BREATH_S = 0.002  # between two steps of long work


class Background:
    """Runs a blocking call on a worker and returns its result to a coroutine."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.give_way = worker.give_way  # from within a call that takes long

    async def call(self, function: Callable[[], T]) -> T:
        """Return what `function` returns on the worker. Raises what it raises."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(outcome: T | BaseException) -> None:
            if future.done():
                return
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self._worker.call(function, done)
        return await future

    async def steps(self, advance: Callable[[], bool]) -> None:
        """Call `advance` until it says that nothing is left; in between others get their turn.

        Raises what it raises.
        """
        while await self.call(advance):  # noqa: ASYNC110 - each step is bounded; there is no event
            await asyncio.sleep(BREATH_S)
