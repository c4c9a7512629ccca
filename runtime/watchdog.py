"""Is the loop on time? One actor that computes too long holds up every stop.

Two instruments. The lag sampler asks the loop to call it at an exact time and notes how late it
was: that is what every message waited. The watchdog is a thread: when the loop has not come round
for too long it writes down where every thread stands, while the culprit is still on the stack.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

SAMPLE_EACH_S: Final = 0.05
SAMPLES_KEPT: Final = 1_200  # a minute


class Lag(msgspec.Struct, frozen=True):
    """How late the loop was over the last samples, in seconds."""

    samples: int
    p50_s: float
    p99_s: float
    max_s: float


class LagSampler:
    """Measures every `period_s` how late the loop runs; keeps the last `keep` samples.

    `on_sample` gets each one in seconds, for a histogram.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        period_s: float = SAMPLE_EACH_S,
        keep: int = SAMPLES_KEPT,
        on_sample: Callable[[float], None] | None = None,
    ) -> None:
        self._loop = loop
        self._period_s = period_s
        self._samples: deque[float] = deque(maxlen=keep)
        self._on_sample = on_sample
        self._due_s = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        self._schedule()

    def stop(self) -> None:
        """End; the samples stay."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def lag(self) -> Lag:
        """Return the percentiles of what is kept; zeros before the first sample."""
        ordered = sorted(self._samples)
        if not ordered:
            return Lag(0, 0.0, 0.0, 0.0)
        last = len(ordered) - 1
        return Lag(len(ordered), ordered[last // 2], ordered[round(last * 0.99)], ordered[last])

    def _schedule(self) -> None:
        self._due_s = self._loop.time() + self._period_s
        self._handle = self._loop.call_at(self._due_s, self._sample)

    def _sample(self) -> None:
        lag_s = max(0.0, self._loop.time() - self._due_s)
        self._samples.append(lag_s)
        self._schedule()
        if self._on_sample is not None:
            self._on_sample(lag_s)


class LoopWatchdog:
    """Calls `on_blocked` with all threads' stacks when the loop has not beaten for `threshold_s`.

    Once for each blockage, and on the watchdog's own thread: the loop cannot. Its beats are the
    samples of a lag sampler, which `on_sample` gets too, in seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        threshold_s: float,
        on_blocked: Callable[[str], None],
        on_sample: Callable[[float], None] | None = None,
    ) -> None:
        self._threshold_s = threshold_s
        self._on_blocked = on_blocked
        self._on_sample = on_sample
        self._sampler = LagSampler(
            loop, period_s=min(SAMPLE_EACH_S, threshold_s / 4), on_sample=self._beat
        )
        self._beat_s = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin; on the loop's thread."""
        self._beat_s = time.monotonic()
        self._sampler.start()
        self._thread.start()

    def stop(self) -> None:
        """End and wait for the thread."""
        self._sampler.stop()
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def lag(self) -> Lag:
        """Return how late the loop was over the last minute."""
        return self._sampler.lag()

    def quantiles(self) -> dict[str, float]:
        """Return the same in seconds by quantile: "0.5", "0.99" and "1"."""
        lag = self.lag()
        return {"0.5": lag.p50_s, "0.99": lag.p99_s, "1": lag.max_s}

    def _beat(self, lag_s: float) -> None:
        self._beat_s = time.monotonic()  # not loop.time(), which may be virtual
        if self._on_sample is not None:
            self._on_sample(lag_s)

    def _watch(self) -> None:
        reported_s = 0.0
        while not self._stopped.wait(self._threshold_s / 4):
            beat_s = self._beat_s
            silent_s = time.monotonic() - beat_s
            if silent_s > self._threshold_s and beat_s != reported_s:
                reported_s = beat_s
                self._on_blocked(f"the loop has not run for {silent_s:.3f} s\n{stacks()}")


def stacks() -> str:
    """Return where every thread stands, as text."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():  # noqa: SLF001  there is no public way
        where = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(ident, '?')} ({ident}):\n{where}")
    return "\n".join(parts)
