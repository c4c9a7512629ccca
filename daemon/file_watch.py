"""Whether the files that the daemon writes are still where they were.

A file that is removed or replaced under a running process goes on to exist for that process, and
for nobody else: everything is written, told as durable, and gone with the process.
"""

import asyncio
import os
from pathlib import Path

import structlog

from actors import names
from actors.messages import ClearCause, SetCause
from daemon.assembly import Assembly
from domain.modes import Mode, ModeCause
from storage.connection import NAME
from storage.lock import NAME as LOCK

FILES_GONE = "FILES_GONE"
LOOK_S = 5.0
WAY_OUT = (
    "Put them back by moving, not by copying, and it ends by itself. Else: holdfast backup FILE at"
    " once, holdfast drain, then restore FILE."
)
ANEW = (
    "Nothing is lost: stop it (holdfast drain; where no command reaches it, kill {pid}), then start"
    " it again. No backup is needed."
)
_Identity = tuple[int, int]  # device and inode
_log = structlog.get_logger("system")


class FileWatch:
    """Looks again and again; stops entries while a file is gone, and says so."""

    def __init__(self, parts: Assembly, socket: Path) -> None:
        self._parts = parts
        directory = parts.store.directory
        self._database = directory / NAME
        self._log_file = directory / f"{NAME}-wal"
        self._directory = directory
        self._made_anew = {self._name(directory / LOCK), self._name(socket)}
        """What a start makes again, and nobody misses by then."""
        kept = [directory / LOCK, socket]
        if parts.paper is not None:
            kept.append(parts.ledger_path)
        self._kept = {path: _identity(path) for path in kept}
        self._missed: tuple[str, ...] = ()  # at the last look: it may be open anew just now
        self._said: tuple[str, ...] = ()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, then every few seconds."""
        self.look()
        self._timer = self._parts.system.loop.call_later(LOOK_S, self.start)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Tell what is gone at two looks in a row, and what is back."""
        was, self._missed = self._missed, self._gone()
        gone = tuple(name for name in self._missed if name in was)
        if gone == self._said:
            return
        self._said = gone
        tell = self._parts.system.tell
        if not gone:
            _log.info("files_back")
            tell(names.PORTFOLIO, ClearCause(FILES_GONE))
            return
        message, way_out = self._told(gone)
        _log.error("files_gone", files=list(gone), directory=str(self._directory), remedy=way_out)
        self._parts.world.telemetry.alarm(FILES_GONE, f"{message} {way_out}")
        tell(names.PORTFOLIO, SetCause(ModeCause(FILES_GONE, Mode.NO_ENTRY, message, way_out)))

    def _told(self, gone: tuple[str, ...]) -> tuple[str, str]:
        """Return what is wrong, and the way out of it."""
        what = f"{', '.join(gone)} in {self._directory} is not the file that this process has open:"
        if self._made_anew.issuperset(gone):
            why = "a command may not reach it, and a second daemon may start."
            return f"{what} {why}", ANEW.format(pid=os.getpid())
        return f"{what} what it writes there ends with it.", WAY_OUT

    def _gone(self) -> tuple[str, ...]:
        """Name the files that are not there, or are others."""
        kept = dict(self._kept)
        persistence = self._parts.actor(names.PERSISTENCE)
        is_sound = persistence is not None and persistence.trouble is None
        if is_sound:  # else it is told already
            kept[self._database] = self._parts.store.database.identity
        gone = [self._name(path) for path, known in kept.items() if _identity(path) != known]
        if is_sound and _identity(self._log_file) is None:
            gone.append(self._log_file.name)
        return tuple(sorted(gone))

    def _name(self, path: Path) -> str:
        return path.name if path.parent == self._directory else str(path)


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
