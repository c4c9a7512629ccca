"""Feed a reader inputs that are nearly right; keep those that reach lines no other reached.

No library's tracer is needed: some of the inputs run with Python's own, on the files of the reader
alone. An input that reaches something new joins the corpus and is changed further.
"""

import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any

from tests.fuzzing.mutations import changed

HANG_S = 1.0
TRACED = 6  # one of so many inputs
MAX_BYTES = 1 << 16
MAX_CORPUS = 400
MAX_GROWTH_MB = 200


@dataclass(frozen=True)
class Target:
    """A reader: valid examples, what takes bytes, and the files whose lines count.

    `run` raises nothing, whatever the bytes: what the reader documents to raise it has caught.
    """

    name: str
    seeds: list[bytes]
    run: Callable[[bytes], object]
    files: tuple[str, ...]  # ends of paths


@dataclass
class Result:
    """What became of one target's inputs."""

    executions: int = 0
    corpus: int = 0
    lines: int = 0  # of the target's files
    slowest_ms: float = 0.0
    grown_mb: int = 0
    crashes: dict[str, tuple[bytes, str]] = field(default_factory=dict)  # by where: input, trace

    def shown(self) -> dict[str, Any]:
        return {
            "executions": self.executions,
            "corpus": self.corpus,
            "lines": self.lines,
            "slowest_ms": round(self.slowest_ms, 1),
            "grown_mb": self.grown_mb,
            "crashes": len(self.crashes),
        }


class HangError(BaseException):
    """It took too long; no handler of `Exception` may swallow that."""


class Fuzzer:
    """One target's run."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target = target
        self.result = Result()
        self.chance = Random(f"{target.name} {seed}")
        self.corpus = list(target.seeds)
        self.seen: set[tuple[int, int]] = set()
        self._lines: set[tuple[int, int]] = set()

    def run(self, seconds: float, executions: int = 10**9) -> Result:
        """Go on until the time or so many inputs are over."""
        began_mb = _peak_mb()
        end_s = time.monotonic() + seconds
        for seed in self.target.seeds:
            self._try(seed, traced=True)
        while time.monotonic() < end_s and self.result.executions < executions:
            parent = self.chance.choice(self.corpus)
            data = changed(parent, self.corpus, self.chance)[:MAX_BYTES]
            traced = self.chance.randrange(TRACED) == 0
            if self._try(data, traced=traced) and len(self.corpus) < MAX_CORPUS:
                self.corpus.append(data)
        self.result.corpus = len(self.corpus)
        self.result.lines = len(self.seen)
        self.result.grown_mb = max(0, _peak_mb() - began_mb)
        if self.result.grown_mb > MAX_GROWTH_MB:
            self.result.crashes["memory"] = (b"", f"memory grew by {self.result.grown_mb} MB")
        return self.result

    def _try(self, data: bytes, *, traced: bool) -> bool:
        """Run one input; return whether it reached something new."""
        self.result.executions += 1
        self._lines = set()
        began_s = time.perf_counter()
        try:
            with _deadline():
                if traced:
                    sys.settrace(self._trace)
                self.target.run(data)
        except (Exception, HangError) as error:  # noqa: BLE001 - any is a find
            sys.settrace(None)
            self._note(data, error)
        finally:
            sys.settrace(None)
        if not traced:
            took_ms = (time.perf_counter() - began_s) * 1000
            self.result.slowest_ms = max(self.result.slowest_ms, took_ms)
        is_new = not self._lines <= self.seen
        self.seen |= self._lines
        return is_new

    def _note(self, data: bytes, error: BaseException) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {last.filename.rpartition('/')[2]}:{last.lineno}"
        known = self.result.crashes.get(where)
        if known is None or len(data) < len(known[0]):
            self.result.crashes[where] = (data, "".join(traceback.format_exception(error)))

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        return self._line if frame.f_code.co_filename.endswith(self.target.files) else None

    def _line(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            self._lines.add((id(frame.f_code), frame.f_lineno))
        return self._line


@contextmanager
def _deadline() -> Iterator[None]:
    def late(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
