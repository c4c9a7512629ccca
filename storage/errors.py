"""What can go wrong with the disk, the database and its files; each error says what to do.

Three kinds of trouble call for three answers. `JournalUnavailableError`: the disk is full, failing
or read-only; the daemon goes on protecting and tries again. `FencedError`: another writer took
over; only a person leads out. Everything else stops the start, before anything has changed.
"""

import sqlite3
from enum import Enum
from pathlib import Path


class StorageError(Exception):
    """Something about the stored data; the message names the file and the remedy."""


class Trouble(Enum):
    """Why the journal cannot be written or read at the moment."""

    FULL = "full"
    IO = "io"
    READ_ONLY = "read_only"
    LOCKED = "locked"  # another process holds the file without our lock file
    DAMAGED = "damaged"  # pages of the database file are malformed
    GONE = "gone"  # the database file is not there any more, or another one is
    LOST = "lost"  # the file is sound, and lacks what was durable before
    CLOSED = "closed"  # an earlier error; `reopen` first


class JournalUnavailableError(StorageError):
    """A commit or a read failed.

    Whether a commit that failed took effect is unknown until `Journal.reopen`.
    """

    def __init__(self, kind: Trouble, text: str) -> None:
        super().__init__(f"the journal is unavailable ({kind.value}): {text}")
        self.kind = kind
        self.text = text


class JournalDamagedError(StorageError):
    """The database file is malformed beyond what is set aside automatically."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(
            f"{path} is damaged: {text}. Keep a copy of it, then restore a backup of the whole"
            " directory."
        )
        self.path = path
        self.text = text


class DamagedRecordError(StorageError):
    """The first journal record that does not follow from the one before."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"journal record {seq}: {why}")
        self.seq = seq
        self.why = why


class ArchivedError(StorageError):
    """A stream's first events are not in the journal any more."""

    def __init__(self, stream: str, seq: int) -> None:
        super().__init__(f"{stream} began before record {seq + 1}: its first events are archived")
        self.stream = stream


class ArchiveError(StorageError):
    """An archive file that is missing, damaged, or does not belong to the journal."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"the archive {path}: {why}")
        self.path = path
        self.why = why


class ArchiveNeededError(StorageError):
    """No snapshot can be used, and the archives that would do instead are not all there."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"No snapshot of {path} can be used, so all of its archives are needed: {why}. Put them"
            f" back into {path.parent / 'archive'} and start again."
        )


class SnapshotNeededError(StorageError):
    """A record is damaged, and what came after it is known by snapshots not usable here alone."""

    def __init__(self, damage: DamagedRecordError, known: int) -> None:
        super().__init__(
            f"{damage}. What it led to is in the snapshot of record {known}, which another version"
            " of Holdfast wrote and this one cannot read; without it all from the damage on would"
            " be forgotten, open positions too. Nothing was moved aside. Start the version that"
            " wrote it, or restore a backup from before the damage."
        )
        self.seq = damage.seq


class ArchiveRefusedError(StorageError):
    """Records that cannot be archived yet; `remedy` is what would help."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


class BackupError(StorageError):
    """A backup that cannot be made or used; the message says why."""


class FencedError(StorageError):
    """Another writer has opened this database since."""

    def __init__(self, path: Path, ours: int, found: int | None) -> None:
        super().__init__(
            f"{path} was taken over by another writer (its epoch is {found}, ours {ours}); nothing"
            " is written any more. Stop this daemon, then see which other one uses the directory."
        )
        self.ours = ours
        self.found = found


class NewerSchemaError(StorageError):
    """The data was written by a newer Holdfast than this one."""

    def __init__(self, what: str, found: str, known: str) -> None:
        super().__init__(
            f"{what} was written by a newer Holdfast: it has {found}, this one reads up to {known}."
            " Upgrade Holdfast."
        )
        self.found = found
        self.known = known


class VersionConflictError(StorageError):
    """A stream version or an intent is in the journal already: its writer has an old state."""


class AlreadyRunningError(StorageError):
    """Another process holds the lock of the directory."""

    def __init__(self, path: Path, pid: int | None) -> None:
        process = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is held by {process}.")
        self.path = path
        self.pid = pid


class UnsafeFileError(StorageError):
    """A file or directory that somebody else could have planted or can read."""


class SecondConnectionError(StorageError):
    """This process has the database open already."""


class NoJournalError(StorageError):
    """There is no database in the directory."""


class UnsupportedSqliteError(StorageError):
    """The SQLite library is too old."""


_KINDS = {
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_IOERR: Trouble.IO,
    sqlite3.SQLITE_CANTOPEN: Trouble.IO,
    sqlite3.SQLITE_NOMEM: Trouble.IO,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
    sqlite3.SQLITE_PERM: Trouble.READ_ONLY,
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Trouble.LOCKED,
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
}
_PRIMARY = 0xFF  # extended result codes carry the primary one in the low byte


# Damage may be in a name that SQLite's message repeats, which sqlite3 then cannot decode.
SqliteError = (sqlite3.Error, UnicodeDecodeError)


def trouble_of(error: Exception) -> Trouble | None:
    """Classify by SQLite's result code; None for a mistake in our own SQL or values."""
    if isinstance(error, UnicodeDecodeError):
        return Trouble.DAMAGED
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _KINDS.get(code & _PRIMARY)


def unreadable(error: Exception) -> JournalUnavailableError:
    """Return the typed error for a read of our tables; what SQLite cannot make out is damage."""
    return unavailable(error) or JournalUnavailableError(Trouble.DAMAGED, str(error))


def unavailable(error: Exception, path: Path | None = None) -> JournalUnavailableError | None:
    """Return the typed error for what the disk or the file did; None when it is a bug of ours.

    `path` is the file that was to be opened.
    """
    kind = trouble_of(error)
    if kind is None:
        return None
    if kind is Trouble.LOCKED and path is not None:
        text = f"another program has {path} open: find it with `fuser {path}` and close it"
        return JournalUnavailableError(kind, text)
    name = getattr(error, "sqlite_errorname", "")
    return JournalUnavailableError(kind, f"{error} ({name})")
