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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

_CANCELED = 100  # timers kept at least

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DeadlockError(RuntimeError):
    """Nothing is ready, no timer is set, and somebody still waits: it would be forever."""


class RealTimeError(RuntimeError):
    """Something that takes real time has no place on a virtual-time loop."""


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


class _Handle(asyncio.Handle):
    """A callback as asyncio makes it, but for its aids to debugging."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None


class _TimerHandle(asyncio.TimerHandle):
    """The same at a time."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None
        self._when = when
        self._scheduled = False


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose `time()` starts at 0 and jumps to the next timer when idle."""

    _ready: deque[asyncio.Handle]  # asyncio's queue of callbacks
    _stopping: bool
    _clock_resolution: float  # s

    def __init__(self) -> None:
        self._now_s = 0.0
        self._coming: list[tuple[float, int, asyncio.TimerHandle]] = []  # a heap
        self._timers = 0
        self._canceled = 0  # of those that are coming, at most
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
        timer = _TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._coming, (when, self._timers, timer))
        return timer

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back after what is ready already."""
        if self.is_closed():
            raise RuntimeError("the loop is closed")
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Forget canceled timers now and then, the far ones too."""
        del handle
        self._canceled += 1
        if self._canceled > max(_CANCELED, len(self._coming) / 2):
            self._coming = [each for each in self._coming if not each[2].cancelled()]
            heapq.heapify(self._coming)
            self._canceled = 0

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
        ready, coming = self._ready, self._coming
        while coming and coming[0][2].cancelled():
            heapq.heappop(coming)
        if not ready and not self._stopping:
            self._jump()
        until_s = self._now_s + self._clock_resolution
        while coming and coming[0][0] < until_s:
            ready.append(heapq.heappop(coming)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001

    def _jump(self) -> None:
        """Let the time until the next timer pass."""
        if not self._coming:
            waiting = sorted(repr(task) for task in asyncio.all_tasks(self) if not task.done())
            raise DeadlockError(
                "nothing is ready and no timer is set; these wait:\n  " + "\n  ".join(waiting)
            )
        self._now_s = max(self._now_s, self._coming[0][0])


def run_virtual(main: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Run `main(*args)` on a new `VirtualLoop` and return its result; cancel leftover tasks.

    Raises `DeadlockError` when it waits for what cannot come, and what `main` raises.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main(*args))
