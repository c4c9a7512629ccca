"""What may befall a daemon's disk: full, low, or taken over by another writer."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors import names
from domain.commands import ModificationType, ModifyProtection
from domain.modes import Mode
from storage.errors import JournalUnavailableError, Trouble
from tests.actors.box import Box, D, pid


class FullDisk:
    """A disk on which the journal may not grow: SQLite itself says SQLITE_FULL."""

    def __init__(self, box: Box) -> None:
        self.database = box.store.database
        self.reopen = self.database.reopen
        self.reopened = 0
        self.database.reopen = self._reopen
        self.is_full = True
        self._limit()

    def _limit(self) -> None:
        connection = self.database.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def _reopen(self) -> None:
        self.reopen()
        self.reopened += 1
        if self.is_full:
            self._limit()

    def make_room(self) -> None:
        self.is_full = False


async def fill_up(box: Box) -> FullDisk:
    """Write until SQLite has no page left."""
    disk = FullDisk(box)
    for number in range(500):
        price = D(58_000) + D(number + 1) / 10  # not near where tests let the price go
        box.tell(
            names.position(pid()), ModifyProtection(pid(), ModificationType.MOVE_SL, price=price)
        )
        await box.soon(0.01)
        if box.actor(names.PORTFOLIO).mode is Mode.PROTECT_ONLY:
            return disk
    raise AssertionError("the disk did not fill up")


class LowDisk:
    """A disk with hardly any room left."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def free_bytes(self, path: Path) -> int:
        del path
        return 0


class SilentDisk(LowDisk):
    """A disk that fails when it is asked how much is free."""

    def free_bytes(self, path: Path) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def steal(box: Box) -> None:
    """Raise the writer epoch, as another daemon that opened the database would."""
    connection = box.store.database.connection
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'writer_epoch'")


def fail_and(box: Box, befall: Callable[[Path], None]) -> None:
    """Let the next commit end in an I/O error, after which the closed file befalls something."""
    database = box.store.database
    transaction = database.transaction

    @contextmanager
    def failing() -> Iterator[sqlite3.Connection]:
        database.transaction = transaction
        database.close()
        befall(database.path)
        raise JournalUnavailableError(Trouble.IO, "disk I/O error")
        yield

    database.transaction = failing
