"""One daemon per directory.

The kernel holds the lock for as long as the process lives, however it ends: a stale file locks
nobody out. The pid in it is only for the message. The writer epoch in the database is the second
line, for disks that share no locks.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.errors import AlreadyRunningError
from storage.files import open_private, prepare_directory

NAME = "holdfast.lock"
_LONGEST_PID = 20


class DirectoryLock:
    """Held from construction to `release`. Raises `AlreadyRunningError`, naming who holds it."""

    def __init__(self, directory: Path) -> None:
        prepare_directory(directory)
        self.path = directory / NAME
        self._descriptor: int | None = open_private(self.path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _pid_in(self._descriptor)
            self.release()
            raise AlreadyRunningError(self.path, holder) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in. The file stays: removing it could remove somebody else's lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, _LONGEST_PID, 0).strip()
    return int(text) if text.isdigit() else None
