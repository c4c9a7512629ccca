"""Writing anew: the read tables from the journal, the whole database when its file is malformed."""

import os
import sqlite3
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from runtime.ports import Disk
from runtime.wal import wal_path
from storage.archive import archives_of, insert, whole_past
from storage.chain import (
    INSERT_INTENT,
    INSERT_RECORD,
    Record,
    Tail,
    anchor_of,
    hash_at,
    set_mark,
    verified,
)
from storage.connection import Database
from storage.errors import (
    ArchiveError,
    ArchiveNeededError,
    DamagedRecordError,
    JournalDamagedError,
    SqliteError,
    StorageError,
)
from storage.files import sync_directory
from storage.fold import Fold
from storage.read_tables import ReadTables, Step, reborn, write_rows
from storage.rows import READ_TABLES
from storage.snapshot import SnapshotError, load_snapshot, snapshot_paths
from storage.streams import StreamRegistry, Streams

_BATCH = 1_000  # records
_ALL = 2**62
_SET_INTENT = "INSERT OR REPLACE INTO intents VALUES (?, ?)"


class Rebuilt(NamedTuple):
    """What rebuilding found."""

    records: int
    problems: tuple[str, ...]  # what to tell a person, as streams that did not fold


def rebuild(
    database: Database, registry: StreamRegistry, tables: ReadTables, disk: Disk
) -> Rebuilt:
    """Write read tables and intents anew from archives and journal, in one transaction.

    When an archive is missing, it begins at the oldest snapshot instead, and rows that were last
    changed before that stay as they are. Raises `DamagedRecordError` (nothing has changed then),
    `ArchiveNeededError` when there is no snapshot either, `JournalUnavailableError`.
    """
    with database.transaction() as connection:
        past = _Past(database, registry, disk)
        for name in READ_TABLES:
            connection.execute(f"DELETE FROM {name} WHERE seq > ?", (past.kept.seq,))  # noqa: S608
        records, broken = _write_all(connection, past, registry, tables)
        connection.execute("DELETE FROM intents WHERE seq > ?", (past.intents_from,))
        connection.executemany(_SET_INTENT, past.intents(registry))
    return Rebuilt(records, (*past.problems, *broken))


def past_rows(
    database: Database,
    registry: StreamRegistry,
    tables: ReadTables,
    disk: Disk,
    scratch: sqlite3.Connection,
) -> tuple[int, int]:
    """Write what `rebuild` would write into the empty tables of `scratch` instead.

    Return the record up to which rows are not known, and that of intents; 0 if they all are.
    Raises like `rebuild`.
    """
    past = _Past(database, registry, disk)
    _write_all(scratch, past, registry, tables)
    scratch.executemany(_SET_INTENT, past.intents(registry))
    return past.kept.seq, past.intents_from


def _write_all(
    connection: sqlite3.Connection, past: "_Past", registry: StreamRegistry, tables: ReadTables
) -> tuple[int, list[str]]:
    """Fold from where `past` begins and write the rows; return how many records, what is broken."""
    write_rows(connection, tables.rows_of(past.reborn()))
    fold = Fold(past.connection, registry, past.streams)
    records = 0
    for batch in _batches(past.records()):
        steps = [(record.stream, fold.apply(record)) for record in batch]
        write_rows(connection, tables.rows_of((name, step) for name, step in steps if step))
        _forget_retired(fold, registry, {record.stream for record in batch})
        records += len(batch)
    return records, list(fold.broken.values())


class _Past:
    """Where a rebuilding begins.

    At the first record if all archives are there, else at the oldest snapshot.
    """

    def __init__(self, database: Database, registry: StreamRegistry, disk: Disk) -> None:
        self.kept = Tail()  # rows up to here stay
        self.streams: Streams = {}
        self.problems: tuple[str, ...] = ()
        self.connection = database.connection
        self._directory = database.path.parent
        self._archives = archives_of(self.connection)
        try:
            for _ in whole_past(self._directory, self._archives):
                pass  # the whole is checked before anything is written
        except ArchiveError as error:
            self._begin_at_snapshot(database.path, registry, disk, error)

    def _begin_at_snapshot(
        self, path: Path, registry: StreamRegistry, disk: Disk, why: ArchiveError
    ) -> None:
        for snapshot in reversed(snapshot_paths(self._directory)):
            try:
                self.kept, self.streams = load_snapshot(
                    snapshot, disk, registry, lambda seq: hash_at(self.connection, seq)
                )
            except SnapshotError:
                continue
            kept = f"rows from before record {self.kept.seq + 1} are kept as they were"
            self.problems = (f"{why}; so {kept}",)
            return
        raise ArchiveNeededError(path, str(why)) from why

    def reborn(self) -> Iterator[tuple[str, Step]]:
        """Yield the states that the kept rows may lack, for the events to come change them."""
        for stream, held in self.streams.items():
            yield reborn(stream, held, self.kept.seq)

    @property
    def is_whole(self) -> bool:
        """Whether all that ever was journaled can be read."""
        return self.kept == Tail()

    @property
    def intents_from(self) -> int:
        """Return the record up to which the ids of orders stay: nothing else knows them."""
        return 0 if self.is_whole else anchor_of(self.connection).seq

    def records(self) -> Iterator[Record]:
        """Yield what is to be folded."""
        yield from self._archived()
        yield from verified(self.connection, self.kept if self.kept.seq else None)

    def intents(self, registry: StreamRegistry) -> Iterator[tuple[str, int]]:
        """Yield what records after `intents_from` intend: order id and number."""
        records = chain(self._archived(), verified(self.connection))
        for batch in _batches(records):
            yield from _intents(batch, registry)

    def _archived(self) -> Iterator[Record]:
        if self.is_whole:
            yield from whole_past(self._directory, self._archives)


def rewrite(
    database: Database, registry: StreamRegistry, tables: ReadTables, disk: Disk, last: Tail
) -> tuple[Path, Rebuilt]:
    """Copy the journal up to `last` into a new file that takes the place of the malformed one.

    Returns where the malformed file is kept. Raises `JournalDamagedError`, having changed nothing,
    when the journal cannot be read up to there.
    """
    path = database.path
    fresh = path.with_name(path.name + ".new")
    for leftover in (fresh, wal_path(fresh)):
        leftover.unlink(missing_ok=True)
    target = Database(fresh)
    try:
        lost = _copy_past(database.connection, target)
        _copy(database.connection, target, registry, last)
        rebuilt = rebuild(target, registry, tables, disk)
        rebuilt = rebuilt._replace(problems=(*lost, *rebuilt.problems))
        with target.transaction() as connection:
            _set_epoch(connection, database.epoch)
            set_mark(connection, last.seq)
    except (DamagedRecordError, ArchiveNeededError, *SqliteError) as error:
        target.close()
        fresh.unlink()
        raise JournalDamagedError(path, str(error)) from error
    finally:
        target.close()
    kept = _replace(database, fresh, last)
    return kept, rebuilt


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _forget_retired(fold: Fold, registry: StreamRegistry, names: set[str]) -> None:
    """Bound the memory of a long rebuild; should one of them go on, it is folded anew."""
    for name in names & fold.streams.keys():
        if not registry.is_needed(name, fold.streams):
            del fold.streams[name]


def _copy_past(source: sqlite3.Connection, target: Database) -> list[str]:
    """Copy what does not follow from the journal once a part of it is archived.

    As far as it can be read; return what could not.
    """
    archives = archives_of(source)
    if not archives:
        return []
    lost = []
    with target.transaction() as connection:
        for archived in archives:
            insert(connection, archived)
        anchor = anchor_of(connection).seq
        for table in ("intents", *READ_TABLES):
            up_to = anchor if table == "intents" else _ALL  # younger intents follow from records
            try:
                query = f"SELECT * FROM {table} WHERE seq <= ?"  # noqa: S608 - names of ours
                found = source.execute(query, (up_to,)).fetchall()
            except SqliteError as error:
                lost.append(f"rows of {table} from before record {anchor + 1} are lost: {error}")
                continue
            if found:
                marks = ", ".join("?" * len(found[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", found)  # noqa: S608
    return lost


def _copy(
    source: sqlite3.Connection, target: Database, registry: StreamRegistry, last: Tail
) -> None:
    done = anchor_of(source)
    for batch in _batches(islice(verified(source), last.seq - done.seq)):
        with target.transaction() as connection:
            connection.executemany(INSERT_RECORD, map(msgspec.structs.astuple, batch))
            connection.executemany(INSERT_INTENT, _intents(batch, registry))
        done = Tail(batch[-1].seq, batch[-1].hash)
    if done != last:
        raise DamagedRecordError(done.seq + 1, "missing")


def _intents(batch: list[Record], registry: StreamRegistry) -> Iterator[tuple[str, int]]:
    names = {event_type.__name__: intent for event_type, intent in registry.intents.items()}
    for record in batch:
        intent_of = names.get(record.type)
        if intent_of is not None:
            event = registry.codec.decode(record.type, record.schema_version, record.payload)
            yield intent_of(event), record.seq


def _set_epoch(connection: sqlite3.Connection, epoch: int) -> None:
    connection.execute("UPDATE meta SET value = ? WHERE name = 'writer_epoch'", (epoch,))


def _replace(database: Database, fresh: Path, last: Tail) -> Path:
    """Swap the files. The malformed one keeps a second name; at no instant is there no database."""
    path = database.path
    busy, _, _ = database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    database.close()
    logs = [log for log in (wal_path(path), wal_path(fresh)) if log.exists()]
    if busy or any(log.stat().st_size for log in logs):
        raise JournalDamagedError(path, "its log cannot be written back")
    wal_path(path).unlink(missing_ok=True)
    kept = path.with_name(f"{path.stem}-damaged-{last.seq + 1}{path.suffix}")
    kept.unlink(missing_ok=True)
    os.link(path, kept)
    fresh.replace(path)
    sync_directory(path.parent)
    try:
        database.reopen()
    except StorageError as error:
        raise JournalDamagedError(path, str(error)) from error
    return kept
