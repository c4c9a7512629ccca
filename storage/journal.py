"""The journal: what was decided, in order, for good.

`append` is the only way in. It writes the events of a batch and the rows that follow from them in
one transaction (group commit), and the chain, the stream versions and the writer epoch stand guard
over it. The statements go straight to the driver: this is the path that every decision waits for.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from storage.chain import (
    INSERT_INTENT,
    INSERT_RECORD,
    Record,
    Tail,
    seal,
    set_mark,
    tail_of,
    verified,
)
from storage.codec import time_text
from storage.connection import Database
from storage.errors import (
    JournalDamagedError,
    JournalUnavailableError,
    Trouble,
    UnsafeFileError,
    VersionConflictError,
)
from storage.read_tables import ReadTables, Step, write_rows
from storage.streams import StreamRegistry


class Entry(NamedTuple):
    """An event to be journaled, and the state it led to."""

    stream: str  # "kind/rest"
    version: int  # 1 for the first event of the stream
    event: Any
    at: datetime
    state: Any = None  # needed where the stream's kind has read tables


class AppendResult(NamedTuple):
    """What a batch became."""

    last_seq: int
    last_hash: str


class Reopened(NamedTuple):
    """What the journal turned out to hold after an error."""

    last_seq: int
    last_hash: str
    has_last_batch: bool  # whether the batch that failed is durable after all


class _Batch(NamedTuple):
    """A batch ready to be written."""

    records: list[tuple[Any, ...]]
    intents: list[tuple[str, int]]
    rows: dict[Any, list[tuple[Any, ...]]]
    tail: Tail


class Journal:
    """Appends to and reads from the journal of an open database."""

    def __init__(
        self, database: Database, registry: StreamRegistry, read_tables: ReadTables
    ) -> None:
        self._database = database
        self._registry = registry
        self._read_tables = read_tables
        self._attempted: Tail | None = None
        self._is_short = False  # of records that were durable
        self.tail = tail_of(database.connection)

    @property
    def journal_hash(self) -> str:
        """The hash of the last record: equal for equal histories."""
        return self.tail.hash

    def append(self, batch: Sequence[Entry]) -> AppendResult:
        """Make a batch durable, all of it or nothing.

        Raises `JournalUnavailableError` for what the disk does (then call `reopen`, which says
        whether this batch is in), `FencedError`, `VersionConflictError` when a stream version or an
        intent is in already, `KeyError` for an event whose type is not registered.
        """
        if not batch:
            return AppendResult(*self.tail)
        if self._is_short:
            raise JournalUnavailableError(Trouble.CLOSED, "it lacks records; reopen first")
        self._attempted = None  # a batch that cannot even be prepared is not in for certain
        prepared = self._prepare(batch)
        self._attempted = prepared.tail
        try:
            with self._database.transaction() as connection:
                connection.executemany(INSERT_RECORD, prepared.records)
                if prepared.intents:
                    connection.executemany(INSERT_INTENT, prepared.intents)
                write_rows(connection, prepared.rows)
                set_mark(connection, prepared.tail.seq)
        except sqlite3.IntegrityError as error:
            raise VersionConflictError(f"the journal has it already: {error}") from error
        self.tail = prepared.tail
        return AppendResult(*self.tail)

    def reopen(self) -> Reopened:
        """After `JournalUnavailableError`: find out what is durable; `tail` is exact again.

        Raises `JournalUnavailableError` while the disk is still in trouble, the file damaged or
        gone, or what was durable is not in it; `FencedError`.
        """
        found = self._tail_of_file()
        self._is_short = found not in {self.tail, self._attempted}
        if self._is_short:
            raise JournalUnavailableError(Trouble.LOST, _what_is_missing(self.tail, found))
        self.tail = found
        return Reopened(*self.tail, has_last_batch=self.tail == self._attempted)

    def _tail_of_file(self) -> Tail:
        try:
            self._database.reopen()
            return tail_of(self._database.connection)
        except JournalDamagedError as error:
            raise JournalUnavailableError(Trouble.DAMAGED, error.text) from error
        except UnsafeFileError as error:
            raise JournalUnavailableError(Trouble.GONE, str(error)) from error

    def read(self, after: Tail | None = None) -> Iterator[Record]:
        """Yield records after a place, or all that are not archived; verified.

        Raises `DamagedRecordError`, `JournalUnavailableError`.
        """
        return verified(self._database.connection, after)

    def _prepare(self, batch: Sequence[Entry]) -> _Batch:
        encode = self._registry.codec.encode
        intents_of = self._registry.intents
        epoch = self._database.epoch
        seq, previous = self.tail
        records: list[tuple[Any, ...]] = []
        intents: list[tuple[str, int]] = []
        steps: list[tuple[str, Step]] = []
        for stream, version, event, at, state in batch:
            seq += 1
            name, schema, payload = encode(event)
            content = (seq, stream, version, epoch, name, schema, time_text(at), payload)
            digest = seal(previous, content)
            records.append((*content, previous, digest))
            previous = digest
            intent_of = intents_of.get(type(event))
            if intent_of is not None:
                intents.append((intent_of(event), seq))
            steps.append((stream, Step(seq, version, event, state)))
        return _Batch(records, intents, self._read_tables.rows_of(steps), Tail(seq, previous))


def _what_is_missing(acknowledged: Tail, found: Tail) -> str:
    missing = acknowledged.seq - found.seq
    if missing <= 0:
        return f"record {acknowledged.seq} was acknowledged, and the file has another in its place"
    return (
        f"{missing} acknowledged record(s) are missing: the file ends with record {found.seq}, not"
        f" {acknowledged.seq}"
    )
