"""An event loop in which time passes only when nobody has anything to do.

When no callback is ready, time jumps to the next timer. So a day of backoffs takes milliseconds,
and a run depends on nothing but its inputs: callbacks run in the order they were scheduled, timers
of the same instant too (asyncio's own heap does not promise that), and whatever would bring in real
time is refused: threads, executors, sockets.
"""

import asyncio
import heapq
import selectors
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DeadlockError(RuntimeError):
    """Nothing is ready, no timer is set, and somebody still waits: it would be forever."""


class RealTimeError(RuntimeError):
    """Something that takes real time has no place on a virtual-time loop."""


class _OrderedTimer(asyncio.TimerHandle):
    """A timer that comes before later-set timers of the same instant."""

    __slots__ = ("_key",)

    def __init__(
        self,
        order: int,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._key = (when, order)
        self._scheduled = True  # as asyncio's own call_at notes

    def __lt__(self, other: object) -> bool:
        return self._key < other._key  # type: ignore[attr-defined, no-any-return]  # of this class


class _NoSelector(selectors.BaseSelector):
    """Has nothing to wait for."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> NoReturn:
        what = f"{fileobj!r}, {events}, {data!r}"
        raise RealTimeError(f"a virtual-time loop has no sockets or pipes: {what}")

    def unregister(self, fileobj: Any) -> NoReturn:
        raise KeyError(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        del timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose `time()` starts at 0 and jumps to the next timer when idle."""

    _scheduled: list[asyncio.TimerHandle]  # asyncio's heap of timers
    _ready: deque[asyncio.Handle]  # and its queue of callbacks
    _stopping: bool
    _clock_resolution: float  # s

    def __init__(self) -> None:
        self._now_s = 0.0
        self._timers = 0
        self._home = threading.get_ident()
        super().__init__(_NoSelector())

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now_s

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at `when`, in the order of the calls among equals."""
        if self.is_closed():
            raise RuntimeError("the loop is closed")
        self._timers += 1
        timer = _OrderedTimer(self._timers, when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        return timer

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back soon. Raises `RealTimeError` on another thread: that would be chance."""
        if threading.get_ident() != self._home:
            raise RealTimeError("another thread called into a virtual-time loop")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, _: Any, func: Any, *__: Any) -> NoReturn:  # type: ignore[override]
        """Refuse. Raises `RealTimeError`."""
        raise RealTimeError(f"a virtual-time loop has no executor: {func!r} must run inline")

    # Without other threads and signals there is nobody to wake the loop through a pipe.
    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        pass

    def _run_once(self) -> None:
        """Run what is ready; asyncio's own, without what is for sockets and for real time."""
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)
        if not ready and not self._stopping:
            self._jump()
        until_s = self._now_s + self._clock_resolution
        while scheduled and scheduled[0].when() < until_s:
            ready.append(heapq.heappop(scheduled))
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001

    def _jump(self) -> None:
        """Let the time until the next timer pass."""
        if not self._scheduled:
            waiting = sorted(repr(task) for task in asyncio.all_tasks(self) if not task.done())
            raise DeadlockError(
                "nothing is ready and no timer is set; these wait:\n  " + "\n  ".join(waiting)
            )
        self._now_s = max(self._now_s, self._scheduled[0].when())


def run_virtual(main: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Run `main(*args)` on a new `VirtualLoop` and return its result; cancel leftover tasks.

    Raises `DeadlockError` when it waits for what cannot come, and what `main` raises.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main(*args))
