"""The one read-write connection.

SQLite from 3.7.0 to 3.51.2 can corrupt a write-ahead log that two connections write or checkpoint.
So there is exactly one: within the process a guard refuses a second, between processes an exclusive
lock on the file and `storage.lock`. A third line, the writer epoch, is a number in the database
that every opening raises and every commit compares.

A commit that fails with an I/O error may have happened or not, and a failed fsync is never tried
again on the same descriptor: the kernel forgets what it could not write. `reopen` reads the file
anew and writes what it found to the log once more, and through a checkpoint, so that what it
reports as present is on the disk.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.wal import WalContent, make_durable, read_wal
from storage.errors import (
    FencedError,
    JournalDamagedError,
    JournalUnavailableError,
    SqliteError,
    StorageError,
    Trouble,
    UnsafeFileError,
    UnsupportedSqliteError,
    trouble_of,
    unavailable,
)
from storage.files import prepare_directory
from storage.migrate import migrate
from storage.single import Identity, release, reserve

NAME = "holdfast.db"
APPLICATION_ID = 0x484F4C44  # "HOLD"
OLDEST_SQLITE = (3, 35, 0)
_SAFE_WITH_TWO = (3, 51, 3)
_EXCLUSIVE = "PRAGMA locking_mode = EXCLUSIVE"  # first: then no shared memory file is used
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "busy_timeout = 0",
    "cache_size = -8192",  # KiB; more would fill within hours and look like a leak
    "journal_size_limit = 67108864",
)

_KIND_OF = {
    errno.EROFS: Trouble.READ_ONLY,
    errno.ENOSPC: Trouble.FULL,
    errno.ENOENT: Trouble.GONE,
}
_ASK_THE_VENUE = "What is missing shows when the venue is asked."


def check_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raise `UnsupportedSqliteError` for a library that lacks what the journal needs."""
    if version < OLDEST_SQLITE:
        found, needed = (".".join(map(str, numbers)) for numbers in (version, OLDEST_SQLITE))
        raise UnsupportedSqliteError(f"SQLite {found} is too old; {needed} or later is needed.")


def is_safe_with_two(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether two connections may write one write-ahead log. Holdfast does not rely on it."""
    return version >= _SAFE_WITH_TWO


class Database:
    """An open database file; `transaction` is the way to change it.

    `claim=False` looks without becoming its writer: the epoch stays.
    """

    def __init__(self, path: Path, *, claim: bool = True) -> None:
        check_sqlite()
        prepare_directory(path.parent)
        self.path = path
        self.epoch = 0
        self.wal_before = WalContent()
        self._identity: Identity | None = None
        self._connection: sqlite3.Connection | None = None
        self._is_suspect = False
        self._connect()
        try:
            self._take_over(claim=claim)
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for reading. Raises `JournalUnavailableError` while there is none."""
        if self._connection is None:
            raise JournalUnavailableError(Trouble.CLOSED, f"{self.path} is not open")
        return self._connection

    @property
    def identity(self) -> Identity | None:
        """Which file is open: its device and inode; None while none is."""
        return self._identity

    @property
    def is_suspect(self) -> bool:
        """Whether an error left it unknown what the file holds; `reopen` finds out."""
        return self._is_suspect

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, all of it or nothing.

        Raises `FencedError` when another writer took over, `JournalUnavailableError` for what the
        disk does; then it is unknown whether the commit happened if `is_suspect` says so.
        """
        connection = self.connection
        if self._is_suspect:
            raise JournalUnavailableError(Trouble.CLOSED, "an earlier error; reopen first")
        is_committing = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._check_epoch(connection)
            yield connection
            is_committing = True
            connection.execute("COMMIT")
        except SqliteError as error:
            # A full disk within the transaction is known to have changed nothing.
            self._is_suspect = is_committing or trouble_of(error) not in {None, Trouble.FULL}
            self._roll_back(connection)
            known = unavailable(error)
            if known is None:
                raise
            raise known from error
        except BaseException:
            self._roll_back(connection)
            raise

    def reopen(self) -> None:
        """Read the file anew after an error; on return everything in it is durable.

        A file that is missing is not created: nothing would be left of what was durable. Raises
        `JournalUnavailableError` while the disk is still in trouble or the file is gone,
        `JournalDamagedError`, `UnsafeFileError` for one that is not ours, `FencedError`.
        """
        if self._is_suspect:
            self._make_log_durable()  # before it is closed, which may write it back
        self._disconnect()
        self._connect(creates=False)
        connection = self.connection
        try:
            self._check_epoch(connection)
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except SqliteError as error:
            self._disconnect()
            raise self._typed(error) from error
        except StorageError:
            self._disconnect()
            raise
        if busy:
            self._disconnect()
            raise JournalUnavailableError(Trouble.LOCKED, "the log could not be written back")
        self._is_suspect = False

    def problems_of_log(self) -> list[str]:
        """Return what the log held that SQLite did not accept when it was opened; say it once."""
        log, self.wal_before = self.wal_before, WalContent()
        if log.is_damaged:
            return [
                f"the log of {self.path} is damaged: SQLite dropped all of it. {_ASK_THE_VENUE}"
            ]
        if not log.commits:
            return []
        try:
            _, frames, _ = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except SqliteError as error:
            raise self._typed(error) from error
        dropped = log.commits_after(frames)
        if not dropped:
            return []
        ends = f"at the end of the log of {self.path}: power failed while it was written, or it is"
        return [f"SQLite dropped {dropped} transaction(s) {ends} damaged. {_ASK_THE_VENUE}"]

    def close(self) -> None:
        """Write the log back and close. What was committed stays, whatever happens here."""
        if self._is_suspect:
            with suppress(StorageError):
                self._make_log_durable()
        self._disconnect()

    def _connect(self, *, creates: bool = True) -> None:
        try:
            self._identity = reserve(self.path, creates=creates)
            self.wal_before = read_wal(self.path)
        except OSError as error:
            self._disconnect()
            kind = _KIND_OF.get(error.errno or 0, Trouble.IO)
            raise JournalUnavailableError(kind, str(error)) from error
        try:
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=0
            )
            self._connection.execute(_EXCLUSIVE)
            # Before anything changes in what is not ours.
            is_new = self._is_new(self._connection, creates=creates)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            if is_new:
                self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        except SqliteError as error:
            self._disconnect()
            raise self._typed(error) from error
        except BaseException:
            self._disconnect()
            raise

    def _make_log_durable(self) -> None:
        try:
            make_durable(self.path)
        except OSError as error:
            kind = _KIND_OF.get(error.errno or 0, Trouble.IO)
            raise JournalUnavailableError(kind, str(error)) from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if self._identity is not None:
            release(self._identity)
            self._identity = None

    def _is_new(self, connection: sqlite3.Connection, *, creates: bool) -> bool:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found == APPLICATION_ID:
            return False
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found or tables:
            raise UnsafeFileError(f"{self.path} is not a Holdfast database; use another directory.")
        if not creates:
            raise JournalDamagedError(self.path, "it is empty")
        return True

    def _take_over(self, *, claim: bool) -> None:
        connection = self.connection
        try:
            migrate(connection)
            if claim:
                connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'writer_epoch'")
            epoch = _epoch_in(connection)
        except SqliteError as error:
            raise self._typed(error) from error
        if epoch is None:
            raise JournalDamagedError(self.path, "the writer epoch is missing")
        self.epoch = epoch

    def _check_epoch(self, connection: sqlite3.Connection) -> None:
        found = _epoch_in(connection)
        if found != self.epoch:
            raise FencedError(self.path, self.epoch, found)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._is_suspect = True

    def _typed(self, error: Exception) -> StorageError:
        """Our own statements are right when opening: what SQLite does not understand is damage."""
        known = unavailable(error, self.path)
        if known is None or known.kind is Trouble.DAMAGED:
            return JournalDamagedError(self.path, str(error))
        return known


def _epoch_in(connection: sqlite3.Connection) -> int | None:
    row = connection.execute("SELECT value FROM meta WHERE name = 'writer_epoch'").fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else None
