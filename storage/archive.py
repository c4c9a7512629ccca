"""Archive files: prefixes of the journal that have left the database.

    archive/journal-0000000000000001-0000000000120000.jsonl.gz

Gzip of JSON lines: a head with first and last number and hash, then the records as `holdfast
journal dump` prints them. The payload in a line is the very text that was hashed, so the chain can
be checked from the file alone. The table `archives` names every file with its SHA-256; its last row
is the journal's anchor.

A file is read back and its chain checked before a row says that it is there, and only after that
row records leave the table. So a crash at any step costs nothing: before the row the file does not
count and the journal has everything; after it, what is left below the anchor is passed over, and
taken out by the next run.
"""

import gzip
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from storage.chain import Record, Tail, linked, record_in, sealed
from storage.errors import (
    ArchiveError,
    DamagedRecordError,
    JournalUnavailableError,
    SqliteError,
    Trouble,
    unreadable,
)

DIRECTORY = "archive"
FORMAT = 1


class Archived(msgspec.Struct, frozen=True):
    """A row of the table `archives`: one file, and the part of the journal in it."""

    last_seq: int
    first_seq: int
    previous_hash: str  # of the record before the first
    last_hash: str
    file: str
    bytes: int
    sha256: str

    @property
    def records(self) -> int:
        """How many records it has."""
        return self.last_seq - self.first_seq + 1


_FIELDS = Archived.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)


class Head(msgspec.Struct, frozen=True):
    """The first line of a file."""

    holdfast_archive: int  # the format
    first_seq: int
    last_seq: int
    previous_hash: str
    last_hash: str


def archives_of(connection: sqlite3.Connection) -> list[Archived]:
    """Return all archives, oldest first. Raises `JournalUnavailableError`."""
    query = f"SELECT {_COLUMNS} FROM archives ORDER BY last_seq"  # noqa: S608 - a constant
    try:
        rows = connection.execute(query).fetchall()
        return [msgspec.convert(dict(zip(_FIELDS, row, strict=True)), Archived) for row in rows]
    except SqliteError as error:
        raise unreadable(error) from error
    except msgspec.ValidationError as error:  # SQLite lets a damaged row pass
        raise JournalUnavailableError(Trouble.DAMAGED, f"an archive's row: {error}") from error


def insert(connection: sqlite3.Connection, archived: Archived) -> None:
    """Add a row, within the transaction under way: the anchor moves."""
    query = f"INSERT INTO archives ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    connection.execute(query, msgspec.structs.astuple(archived))


def file_name(first: int, last: int) -> str:
    """Return what the file of these records is called."""
    return f"journal-{first:016d}-{last:016d}.jsonl.gz"


def path_of(directory: Path, archived: Archived) -> Path:
    """Return where an archive's file should be. Its name is from a table: nothing else is taken."""
    return directory / DIRECTORY / Path(archived.file).name


def read_archive(path: Path, archived: Archived) -> Iterator[Record]:
    """Yield the records of a file, each checked against the one before.

    Raises `ArchiveError` for a file that is missing, damaged, truncated or another one.
    """
    try:
        with gzip.open(path, "rb") as lines:
            _check_head(path, lines.readline(), archived)
            last = Tail(archived.first_seq - 1, archived.previous_hash)
            for line in lines:
                record = linked(sealed(record_in(line)), last)
                last = Tail(record.seq, record.hash)
                yield record
    except FileNotFoundError:
        raise ArchiveError(path, "it is not there") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveError(path, f"it cannot be read: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"a line cannot be read: {error}") from error
    except DamagedRecordError as error:
        raise ArchiveError(path, str(error)) from error
    if last != (archived.last_seq, archived.last_hash):
        raise ArchiveError(path, f"it ends with record {last.seq}, not {archived.last_seq}")


def _check_head(path: Path, line: bytes, archived: Archived) -> None:
    head = msgspec.json.decode(line, type=Head)
    if head.holdfast_archive != FORMAT:
        why = f"it has format {head.holdfast_archive}, this version of Holdfast reads {FORMAT}"
        raise ArchiveError(path, why)
    if head != head_of(archived):
        why = f"it has the records {head.first_seq} to {head.last_seq} of another journal"
        raise ArchiveError(path, why)


def head_of(archived: Archived) -> Head:
    """Return the first line of an archive's file."""
    return Head(
        holdfast_archive=FORMAT,
        first_seq=archived.first_seq,
        last_seq=archived.last_seq,
        previous_hash=archived.previous_hash,
        last_hash=archived.last_hash,
    )


def whole_past(directory: Path, archives: Sequence[Archived]) -> Iterator[Record]:
    """Yield all archived records, from the very first to the anchor.

    Raises `ArchiveError` for a file that is missing or damaged, or does not go on from the one
    before.
    """
    last = Tail()
    for archived in archives:
        path = path_of(directory, archived)
        if (archived.first_seq - 1, archived.previous_hash) != last:
            raise ArchiveError(path, f"it does not go on from record {last.seq}")
        yield from read_archive(path, archived)
        last = Tail(archived.last_seq, archived.last_hash)


def past_of(directory: Path, archives: Sequence[Archived], streams: frozenset[str]) -> list[Record]:
    """Return the archived records of some streams, each checked by itself, in order.

    Reads all files, so it belongs on a thread of its own. Raises `ArchiveError`.
    """
    wanted = tuple(f'"stream":{msgspec.json.encode(name).decode()}'.encode() for name in streams)
    found: list[Record] = []
    for archived in archives:
        path = path_of(directory, archived)
        try:
            with gzip.open(path, "rb") as lines:
                found += (
                    sealed(record)
                    for line in lines
                    if any(name in line for name in wanted)
                    and (record := record_in(line)).stream in streams
                )
        except FileNotFoundError:
            raise ArchiveError(path, "it is not there") from None
        except (OSError, EOFError, zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ArchiveError(path, f"it cannot be read: {error}") from error
        except DamagedRecordError as error:
            raise ArchiveError(path, str(error)) from error
    return found


def prepare(directory: Path) -> Path:
    """Make the directory of the archives, for us alone. Raises `OSError`."""
    folder = directory / DIRECTORY
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def create(path: Path) -> int:
    """Create a file of ours for writing, in the place of what a crash left; return its descriptor.

    Raises `OSError`.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)
