"""A limit of time for code that is not ours and runs on the loop: a strategy.

While it runs nothing else does, no guard either. Two hands end that. A signal interrupts it
wherever Python can be interrupted: in loops, sleeps, waits. A long call into C cannot be, and
holds up our threads too; so a thread of the interpreter's own, which needs nothing of ours, writes
where it stands into a file that bears the name of who was called. So it does when the process
crashes meanwhile, in C. Whoever starts after that finds it there.
"""

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

INTERRUPT_S: Final = 8.0
NEXT_S: Final = 2.0  # for who is called right after: traders of one strategy hang one by one
RIGHT_AFTER_S: Final = 1.0
AGAIN_S: Final = 1.0  # for code that catches everything
NOTE_S: Final = 12.0  # before a service manager that waits for 30 s, and is told each 15 s, kills
NOTE = "hung-"


class OvertimeError(BaseException):
    """It took too long. No `Exception`: code that catches those must not go on."""


class TimeLimit(Protocol):
    """Calls what is not ours, within a time."""

    def call(self, who: str, function: Callable[[], T]) -> T:
        """Return what `function` returns. Raises `OvertimeError` in it once its time is over."""

    def is_noted(self, who: str) -> bool:
        """Whether an earlier process ended over `who`, which took too long or crashed it."""

    def forget(self, who: str) -> None:
        """Take the note of `who` away."""


class NoLimit:
    """Where time is virtual there is none."""

    def call(self, who: str, function: Callable[[], T]) -> T:
        """Return what `function` returns."""
        del who
        return function()

    def is_noted(self, who: str) -> bool:
        """Never: nobody notes anything."""
        del who
        return False

    def forget(self, who: str) -> None:
        """Nothing is noted."""


class RealLimit:
    """The limit of a daemon; on the main thread, where signals are heard. Notes in `directory`."""

    def __init__(
        self,
        directory: Path,
        *,
        interrupt_s: float = INTERRUPT_S,
        next_s: float = NEXT_S,
        note_s: float = NOTE_S,
    ) -> None:
        self._directory = directory
        self._interrupt_s = interrupt_s
        self._next_s = next_s
        self._note_s = note_s
        self._files: dict[str, int] = {}
        self._is_inside = False
        self._late: OvertimeError | None = None
        self._late_until_s = float("-inf")  # by the steady clock
        self._before = signal.signal(signal.SIGALRM, self._on_alarm)

    def close(self) -> None:
        """Let go of the signal and of the files."""
        signal.signal(signal.SIGALRM, self._before)
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def call(self, who: str, function: Callable[[], T]) -> T:
        """Return what `function` returns. Raises `OvertimeError` in it once its time is over."""
        file = self._file(who)
        began_s = time.monotonic()
        if file is not None:
            faulthandler.dump_traceback_later(self._note_s, file=file)
            faulthandler.enable(file=file)
        self._late, self._is_inside = None, True
        signal.setitimer(signal.ITIMER_REAL, self._limit_s(began_s), AGAIN_S)
        try:
            return function()
        finally:
            self._is_inside = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            if file is not None:
                faulthandler.cancel_dump_traceback_later()
                faulthandler.enable()  # to stderr, as before
            if time.monotonic() - began_s >= self._note_s:
                self.forget(who)  # it came back after all
            self._insist()

    def _insist(self) -> None:
        """Raise what interrupted it, though it caught that, as an `except:` does, and went on."""
        late, self._late = self._late, None
        if late is not None:
            self._late_until_s = time.monotonic()
            raise late

    def _limit_s(self, now_s: float) -> float:
        """Return how long a call may take; guards have waited for one that was late already."""
        is_right_after = now_s - self._late_until_s < RIGHT_AFTER_S
        return min(self._next_s, self._interrupt_s) if is_right_after else self._interrupt_s

    def is_noted(self, who: str) -> bool:
        """Whether an earlier process ended over `who`, which took too long or crashed it."""
        try:
            return self._path(who).stat().st_size > 0
        except OSError:
            return False

    def forget(self, who: str) -> None:
        """Take the note of `who` away."""
        file = self._files.pop(who, None)
        if file is not None:
            os.close(file)
        try:
            self._path(who).unlink(missing_ok=True)
        except OSError:
            return  # the disk fails: perhaps it is found again, and told again

    def _on_alarm(self, _number: int, frame: FrameType | None) -> None:
        """Interrupt what was called; never `call` itself, which has to put all back in order."""
        is_ours = frame is None or frame.f_code is RealLimit.call.__code__
        if self._is_inside and not is_ours:
            self._late = OvertimeError()
            raise self._late

    def _file(self, who: str) -> int | None:
        """Return where its note goes; None on a disk that takes none."""
        if who not in self._files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                self._files[who] = os.open(self._path(who), flags, 0o600)
            except OSError:
                return None
        return self._files[who]

    def _path(self, who: str) -> Path:
        return self._directory / f"{NOTE}{who}"
