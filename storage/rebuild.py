"""Writing anew: the read tables from the journal, the whole database when its file is malformed."""

import os
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from storage.chain import INSERT_INTENT, INSERT_RECORD, Record, Tail, set_mark, verified
from storage.connection import Database
from storage.errors import DamagedRecordError, JournalDamagedError, SqliteError, StorageError
from storage.files import sync_directory
from storage.fold import Fold
from storage.read_tables import ReadTables, write_rows
from storage.rows import READ_TABLES
from storage.streams import StreamRegistry
from storage.wal import wal_path

_BATCH = 1_000  # records


class Rebuilt(NamedTuple):
    """What rebuilding found."""

    records: int
    problems: tuple[str, ...]  # what to tell a person, as streams that did not fold


def rebuild(database: Database, registry: StreamRegistry, tables: ReadTables) -> Rebuilt:
    """Empty the read tables and write what the journal gives, in one transaction.

    Raises `DamagedRecordError` (nothing has changed then), `JournalUnavailableError`.
    """
    with database.transaction() as connection:
        for name in READ_TABLES:
            connection.execute(f"DELETE FROM {name}")  # noqa: S608 - names of ours
        fold = Fold(connection, registry, {})
        records = 0
        for batch in _batches(verified(connection)):
            steps = [(record.stream, fold.apply(record)) for record in batch]
            write_rows(connection, tables.rows_of((name, step) for name, step in steps if step))
            _forget_retired(fold, registry, {record.stream for record in batch})
            records += len(batch)
    return Rebuilt(records, tuple(fold.broken.values()))


def rewrite(
    database: Database, registry: StreamRegistry, tables: ReadTables, last: Tail
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
        _copy(database.connection, target, registry, last)
        rebuilt = rebuild(target, registry, tables)
        with target.transaction() as connection:
            _set_epoch(connection, database.epoch)
            set_mark(connection, last.seq)
    except (DamagedRecordError, *SqliteError) as error:
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


def _copy(
    source: sqlite3.Connection, target: Database, registry: StreamRegistry, last: Tail
) -> None:
    done = Tail()
    for batch in _batches(islice(verified(source), last.seq)):
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
