"""Workers: where a blocking call goes, so that the loop stands still by design or not at all.

For blocking code with state of its own there is `pykka.ThreadingActor`, which answers with
`ActorSystem.tell_threadsafe`.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

CALLS_LIMIT: Final = 10_000


class WorkerBusyError(RuntimeError):
    """More calls wait than a worker takes: its user does not wait for results as it should."""


class WorkerClosingError(RuntimeError):
    """The worker is to end: a call that takes long gives up."""


class ThreadWorker:
    """Runs calls one after another on one thread of its own, and their continuations on `loop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str = "worker") -> None:
        self._loop = loop
        self._calls: queue.Queue[tuple[Callable[[], Any], Callable[[Any], None]] | None]
        self._calls = queue.Queue(CALLS_LIMIT)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T], then: Callable[[T | BaseException], None]) -> None:
        """Run `function`; call `then` on the loop with its result or the exception it raised.

        Raises `RuntimeError` after `close`, `WorkerBusyError` when 10,000 calls wait already.
        """
        if self._closed:
            raise RuntimeError("the worker is closed")
        try:
            self._calls.put_nowait((function, then))
        except queue.Full:
            raise WorkerBusyError(f"{CALLS_LIMIT} calls wait already") from None

    def give_way(self) -> None:
        """Run the calls that wait now; asked from within one that takes long, between its steps.

        Raises `WorkerClosingError` once the worker is to end.
        """
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            if call is None:
                self._calls.put(None)  # for `_work`
                raise WorkerClosingError("the worker is closing")
            self._run(*call)

    def close(self) -> None:
        """Finish what was asked, then end; the last continuations run in the loop's next turn.

        Blocks the loop meanwhile: it is for the end, when the loop has nothing better to do.
        """
        if not self._closed:
            self._closed = True
            self._calls.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            self._run(*call)

    def _run(self, function: Callable[[], Any], then: Callable[[Any], None]) -> None:
        result: Any
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  whoever asked decides
            result = error
        self._loop.call_soon_threadsafe(then, result)


class InlineWorker:
    """Runs calls at once, on the loop's thread; continuations follow in order, `latency_s` later.

    For simulation and replay, where the time a disk takes must be the same in each run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, latency_s: float = 0.0) -> None:
        self._loop = loop
        self._latency_s = latency_s
        self._results: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._closed = False

    def call(self, function: Callable[[], T], then: Callable[[T | BaseException], None]) -> None:
        """Run `function` now, `then` on the loop, later. Raises `RuntimeError` after `close`."""
        if self._closed:
            raise RuntimeError("the worker is closed")
        result: T | BaseException
        try:
            result = function()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  whoever asked decides
            result = error
        self._results.append((then, result))
        # Not `then` itself: timers of the same instant may come in any order, results must not.
        if self._latency_s > 0:
            self._loop.call_later(self._latency_s, self._deliver)
        else:
            self._loop.call_soon(self._deliver)

    def give_way(self) -> None:
        """Nobody waits: calls run at once."""

    def close(self) -> None:
        """Take no more calls; continuations that are due still come."""
        self._closed = True

    def _deliver(self) -> None:
        then, result = self._results.popleft()
        then(result)
