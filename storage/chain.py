"""The chain that ties each journal record to all before it.

A record's hash covers the hash of the record before it and everything the record says, so one
flipped bit, a missing, added or swapped record shows where it is. The chain protects against disks
and bugs; against a person who may write the file it protects nothing.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from storage.errors import (
    ArchivedError,
    DamagedRecordError,
    SqliteError,
    Trouble,
    trouble_of,
    unreadable,
)

HASH_CHARACTERS = 32  # of SHA-256 in hex: 128 bits, far more than accidents need
NO_HASH = "0" * HASH_CHARACTERS  # before the first record
CHUNK = 1_000  # records read at a time

COLUMNS = (
    "seq, stream, stream_version, writer_epoch, type, schema_version, time, payload,"
    " previous_hash, hash"
)
INSERT_RECORD = "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_INTENT = "INSERT INTO intents VALUES (?, ?)"
_READ = f"SELECT {COLUMNS} FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - constants
_LAST = "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1"
_ANCHOR = "SELECT last_seq, last_hash FROM archives ORDER BY last_seq DESC LIMIT 1"
_READ_STREAM = (
    f"SELECT {COLUMNS} FROM journal WHERE stream = ? AND stream_version > ?"  # noqa: S608
    " ORDER BY stream_version LIMIT ?"
)

Content = tuple[int, str, int, int, str, int, str, str]  # the columns before the hashes


class Tail(NamedTuple):
    """The end of the journal, or a place in it."""

    seq: int = 0
    hash: str = NO_HASH


START = Tail()


class Record(msgspec.Struct, frozen=True):
    """One journaled event, as stored."""

    seq: int
    stream: str
    version: int
    epoch: int
    type: str
    schema_version: int
    time: str  # ISO, UTC
    payload: str  # JSON
    previous_hash: str
    hash: str


def seal(previous: str, content: Content) -> str:
    """Return the hash of a record.

    JSON holds no raw newline, so the columns cannot run into each other.
    """
    text = "%d\n%s\n%d\n%d\n%s\n%d\n%s\n%s" % content  # noqa: UP031 - a third faster than format
    return sha256((previous + text).encode()).hexdigest()[:HASH_CHARACTERS]


def anchor_of(connection: sqlite3.Connection) -> Tail:
    """Return the last archived record's number and hash: what the journal goes on from.

    Records up to there that are still in the table are about to be taken out of it.
    """
    try:
        row = connection.execute(_ANCHOR).fetchone()
    except SqliteError as error:
        raise unreadable(error) from error
    return Tail() if row is None else Tail(*row)


def tail_of(connection: sqlite3.Connection) -> Tail:
    """Return the last record's number and hash as stored, unverified."""
    try:
        row = connection.execute(_LAST).fetchone()
    except SqliteError as error:
        raise unreadable(error) from error
    anchor = anchor_of(connection)
    return anchor if row is None or row[0] <= anchor.seq else Tail(*row)


def mark_of(connection: sqlite3.Connection) -> int | None:
    """Return the number of the last record as noted apart from it; None when that is unreadable.

    A damaged page may lose the last records and leave a chain that looks whole without them.
    """
    rows = _fetch(connection, "SELECT value FROM meta WHERE name = 'last_seq'", ())
    return rows[0][0] if rows and isinstance(rows[0][0], int) else None


def set_mark(connection: sqlite3.Connection, seq: int) -> None:
    """Note the number of the last record, within the transaction that writes it."""
    connection.execute("UPDATE meta SET value = ? WHERE name = 'last_seq'", (seq,))


def hash_at(connection: sqlite3.Connection, seq: int) -> str | None:
    """Return the stored hash of one record; None when there is none that can be read.

    Of archived records only the last one's is here.
    """
    anchor = anchor_of(connection)
    if seq <= anchor.seq:
        return anchor.hash if seq == anchor.seq else None
    rows = _fetch(connection, "SELECT hash FROM journal WHERE seq = ?", (seq,))
    return rows[0][0].decode(errors="replace") if rows and isinstance(rows[0][0], bytes) else None


def verified(
    connection: sqlite3.Connection, after: Tail | None = None, chunk: int = CHUNK
) -> Iterator[Record]:
    """Yield the records after a trusted place, each checked against the one before.

    Without a place: all that the journal has, from its anchor on. `chunk` records are read at a
    time. Raises `DamagedRecordError` at
    the first that does not follow, `JournalUnavailableError` when the disk fails.
    """
    if after is None:
        after = anchor_of(connection)
    for row in _rows_after(connection, after.seq, chunk):
        record = _checked(row, after)
        after = Tail(record.seq, record.hash)
        yield record


def history_of(connection: sqlite3.Connection, stream: str) -> Iterator[Record]:
    """Yield the records of one stream, each checked by itself.

    Raises `ArchivedError` for a stream that began before the journal's anchor,
    `DamagedRecordError`, `JournalUnavailableError`.
    """
    first = True
    for record in rest_of(connection, stream):
        if first and record.version != 1:
            raise ArchivedError(stream, anchor_of(connection).seq)
        first = False
        yield record


def rest_of(connection: sqlite3.Connection, stream: str) -> Iterator[Record]:
    """Yield what the journal still has of one stream, each record checked by itself.

    Raises `DamagedRecordError`, `JournalUnavailableError`.
    """
    version = 0
    while True:
        rows = _fetch(connection, _READ_STREAM, (stream, version, CHUNK))
        if rows is None:
            raise DamagedRecordError(0, f"pages that hold {stream} are malformed")
        for row in rows:
            record = _sealed(row, row[0])
            is_archived = version == 0 and anchor_of(connection).seq > 0
            if record.version != version + 1 and not is_archived:
                raise DamagedRecordError(record.seq, f"{stream} lacks version {version + 1}")
            version = record.version
            yield record
        if len(rows) < CHUNK:
            return


def chosen_of(
    connection: sqlite3.Connection, stream: str, first: int, end: int, types: Sequence[str]
) -> Iterator[Record]:
    """Yield records of some types from a part of one stream, each checked by itself.

    Raises `DamagedRecordError`, `JournalUnavailableError`.
    """
    marks = ", ".join("?" * len(types))
    query = (
        f"SELECT {COLUMNS} FROM journal WHERE stream = ? AND stream_version > ? "  # noqa: S608
        f"AND stream_version <= ? AND type IN ({marks}) ORDER BY stream_version"
    )
    rows = _fetch(connection, query, (stream, first, end, *types))
    if rows is None:
        raise DamagedRecordError(0, f"pages that hold {stream} are malformed")
    for row in rows:
        yield _sealed(row, row[0])


def _rows_after(connection: sqlite3.Connection, seq: int, chunk: int) -> Iterator[tuple[Any, ...]]:
    """Yield rows with texts as bytes: damaged text need not be UTF-8."""
    while True:
        rows = _fetch(connection, _READ, (seq, chunk))
        if rows is None:  # somewhere in it pages are malformed: go up to them one by one
            rows = _fetch(connection, _READ, (seq, 1))
            if rows is None:
                raise DamagedRecordError(seq + 1, "its page in the database file is malformed")
        if not rows:
            return
        yield from rows  # whoever takes them checks that each number follows
        seq = rows[-1][0]


def _fetch(
    connection: sqlite3.Connection, query: str, values: tuple[int | str, ...]
) -> list[tuple[Any, ...]] | None:
    """Read some rows; None when the file is malformed there."""
    connection.text_factory = bytes
    try:
        return connection.execute(query, values).fetchall()
    except SqliteError as error:
        if trouble_of(error) is Trouble.DAMAGED:
            return None
        raise unreadable(error) from error
    finally:
        connection.text_factory = str


def _checked(row: tuple[Any, ...], before: Tail) -> Record:
    expected = before.seq + 1
    if row[0] != expected:
        raise DamagedRecordError(expected, f"missing; the next one is {row[0]!r}")
    return linked(_sealed(row, expected), before)


def linked(record: Record, before: Tail) -> Record:
    """Return the record if it is the next one after `before`. Raises `DamagedRecordError`."""
    expected = before.seq + 1
    if record.seq != expected:
        raise DamagedRecordError(expected, f"missing; the next one is {record.seq}")
    if record.previous_hash != before.hash:
        raise DamagedRecordError(expected, "it does not follow from the record before it")
    return record


def _sealed(row: tuple[Any, ...], seq: int) -> Record:
    """Return the row as a record if its hash is that of its content."""
    try:
        record = _record(row)
    except (TypeError, ValueError, AttributeError) as error:
        raise DamagedRecordError(seq, f"unreadable ({error})") from error
    return sealed(record)


def sealed(record: Record) -> Record:
    """Return the record if its hash is that of its content. Raises `DamagedRecordError`."""
    content = (
        record.seq,
        record.stream,
        record.version,
        record.epoch,
        record.type,
        record.schema_version,
        record.time,
        record.payload,
    )
    if seal(record.previous_hash, content) != record.hash:
        raise DamagedRecordError(record.seq, "its content does not match its hash")
    return record


def _record(row: tuple[Any, ...]) -> Record:
    seq, stream, version, epoch, name, schema, time, payload, previous, digest = row
    for number in (seq, version, epoch, schema):
        if not isinstance(number, int):
            raise TypeError(f"{number!r} is no number")
    return Record(
        seq=seq,
        stream=stream.decode(),
        version=version,
        epoch=epoch,
        type=name.decode(),
        schema_version=schema,
        time=time.decode(),
        payload=payload.decode(),
        previous_hash=previous.decode(),
        hash=digest.decode(),
    )


def line_of(record: Record) -> bytes:
    """Return the record as a line of JSON; the payload in it is the very text."""
    fields = msgspec.structs.asdict(record)
    fields["payload"] = msgspec.Raw(record.payload.encode())  # an object, not a text that holds one
    return msgspec.json.encode(fields) + b"\n"


class _Line(msgspec.Struct):
    seq: int
    stream: str
    version: int
    epoch: int
    type: str
    schema_version: int
    time: str
    payload: msgspec.Raw
    previous_hash: str
    hash: str


_line = msgspec.json.Decoder(_Line)


def record_in(line: bytes) -> Record:
    """Read what `line_of` wrote; unverified. Raises `msgspec.MsgspecError`."""
    fields = msgspec.structs.asdict(_line.decode(line))
    return Record(**fields | {"payload": bytes(fields["payload"]).decode()})
