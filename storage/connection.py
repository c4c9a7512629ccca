"""The one read-write connection.

SQLite from 3.7.0 to 3.51.2 can corrupt a write-ahead log that two connections write or checkpoint.
So there is exactly one: within the process a guard refuses a second, between processes an exclusive
lock on the file and `storage.lock`. A third line, the writer epoch, is a number in the database
that every opening raises and every commit compares.

A commit that fails with an I/O error may have happened or not, and a failed fsync is never tried
again on the same descriptor: the kernel forgets what it could not write. `reopen` reads the file
anew and writes what it found through a checkpoint, so that what it reports as present is on the
disk.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.errors import (
    FencedError,
    JournalDamagedError,
    JournalUnavailableError,
    SecondConnectionError,
    StorageError,
    Trouble,
    UnsafeFileError,
    UnsupportedSqliteError,
    trouble_of,
    unavailable,
)
from storage.files import open_private, prepare_directory
from storage.migrate import migrate
from storage.wal import WalContent, read_wal

NAME = "holdfast.db"
APPLICATION_ID = 0x484F4C44  # "HOLD"
OLDEST_SQLITE = (3, 35, 0)
_SAFE_WITH_TWO = (3, 51, 3)
_PRAGMAS = (
    "locking_mode = EXCLUSIVE",  # before the journal mode: then no shared memory file is used
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "busy_timeout = 0",
    "cache_size = -65536",  # KiB
    "journal_size_limit = 67108864",
)

_open_files: set[tuple[int, int]] = set()  # device and inode


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
        self._identity: tuple[int, int] | None = None
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
        except sqlite3.Error as error:
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

        Raises `JournalUnavailableError` while the disk is still in trouble, `FencedError`.
        """
        self._disconnect()
        self._connect()
        connection = self.connection
        try:
            self._check_epoch(connection)
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            self._disconnect()
            raise self._typed(error) from error
        except StorageError:
            self._disconnect()
            raise
        if busy:
            self._disconnect()
            raise JournalUnavailableError(Trouble.LOCKED, "the log could not be written back")
        self._is_suspect = False

    def transactions_dropped(self) -> int:
        """Return how many complete transactions of the log SQLite did not accept on opening."""
        if not self.wal_before.commits:
            return 0
        try:
            _, frames, _ = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            raise self._typed(error) from error
        dropped = self.wal_before.dropped_after(frames)
        self.wal_before = WalContent()
        return dropped

    def close(self) -> None:
        """Write the log back and close. What was committed stays, whatever happens here."""
        self._disconnect()

    def _connect(self) -> None:
        try:
            self._identity = self._reserve()
            self.wal_before = read_wal(self.path)
        except OSError as error:
            self._disconnect()
            kind = Trouble.READ_ONLY if error.errno == errno.EROFS else Trouble.IO
            raise JournalUnavailableError(kind, str(error)) from error
        try:
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=0
            )
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            self._check_application(self._connection)
        except sqlite3.Error as error:
            self._disconnect()
            raise self._typed(error) from error
        except BaseException:
            self._disconnect()
            raise

    def _reserve(self) -> tuple[int, int]:
        """Check the files and note in the process that this one is open.

        Closing a descriptor of a database drops the process's locks on it, so this comes before
        SQLite's.
        """
        for suffix in ("-wal", "-shm", "-journal"):
            beside = self.path.with_name(self.path.name + suffix)
            if beside.is_symlink():
                raise UnsafeFileError(f"{beside} is a symbolic link; remove it.")
        if self.path.exists() and not self.path.is_symlink():
            found = self.path.stat()
            self._refuse_second((found.st_dev, found.st_ino))
        descriptor = open_private(self.path)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        identity = (found.st_dev, found.st_ino)
        self._refuse_second(identity)
        _open_files.add(identity)
        return identity

    def _refuse_second(self, identity: tuple[int, int]) -> None:
        if identity in _open_files:
            raise SecondConnectionError(
                f"{self.path} is open in this process already; a database that is written has one"
                f" connection (SQLite {sqlite3.sqlite_version})."
            )

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if self._identity is not None:
            _open_files.discard(self._identity)
            self._identity = None

    def _check_application(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found == APPLICATION_ID:
            return
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found or tables:
            raise UnsafeFileError(f"{self.path} is not a Holdfast database; use another directory.")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _take_over(self, *, claim: bool) -> None:
        connection = self.connection
        try:
            migrate(connection)
            if claim:
                connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'writer_epoch'")
            self.epoch = _epoch_in(connection) or 0
        except sqlite3.Error as error:
            raise self._typed(error) from error

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

    def _typed(self, error: sqlite3.Error) -> StorageError:
        """Our own statements are right when opening: what SQLite does not understand is damage."""
        known = unavailable(error)
        if known is None or known.kind is Trouble.DAMAGED:
            return JournalDamagedError(self.path, str(error))
        return known


def _epoch_in(connection: sqlite3.Connection) -> int | None:
    row = connection.execute("SELECT value FROM meta WHERE name = 'writer_epoch'").fetchone()
    return None if row is None else int(row[0])
