"""Looking after a journal by hand: verify, dump, rebuild.

Each works on an open database, which is how a running daemon answers, or on the directory of a
stopped one, whose lock it takes.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from runtime.ports import Disk
from storage.chain import Record, Tail, hash_at, history_of, mark_of, tail_of, verified
from storage.connection import NAME, Database
from storage.errors import DamagedRecordError, NoJournalError, SqliteError, unavailable
from storage.lock import DirectoryLock
from storage.read_tables import ReadTables
from storage.rebuild import Rebuilt, rebuild, rewrite
from storage.snapshot import SnapshotError, load_snapshot, snapshot_paths
from storage.streams import StreamRegistry


class SnapshotReport(msgspec.Struct, frozen=True):
    """One snapshot; `problem` is empty when it can be used."""

    name: str
    problem: str


class Report(msgspec.Struct, frozen=True):
    """What a verification found."""

    records: int  # good ones, from the first on
    last_hash: str  # of the last good record
    first_bad: int | None  # number of the first record that cannot be trusted
    problems: tuple[str, ...]
    snapshots: tuple[SnapshotReport, ...]
    quarantined: int  # records moved out of the journal earlier

    @property
    def is_sound(self) -> bool:
        """Every record follows from the one before, and the file is well-formed."""
        return not self.problems


@contextmanager
def stopped(directory: Path) -> Iterator[Database]:
    """Open the database of a stopped daemon without becoming its writer.

    Raises `NoJournalError`, `AlreadyRunningError` and what opening raises.
    """
    if not (directory / NAME).exists():
        raise NoJournalError(f"There is no journal in {directory}.")
    with DirectoryLock(directory):
        database = Database(directory / NAME, claim=False)
        try:
            yield database
        finally:
            database.close()


def verify(directory: Path, registry: StreamRegistry, disk: Disk) -> Report:
    """Check everything in the directory of a stopped daemon."""
    with stopped(directory) as database:
        return verify_open(database, registry, disk)


def verify_open(database: Database, registry: StreamRegistry, disk: Disk) -> Report:
    """Check every record, the stream versions, the file's structure and the snapshots."""
    connection = database.connection
    problems: list[str] = []
    last, first_bad = _verify_chain(connection, problems)
    mark = mark_of(connection)
    if first_bad is None and mark != last.seq:
        problems.append(f"record {mark} is noted as the last one, the journal ends with {last.seq}")
    try:
        for (line,) in connection.execute("PRAGMA quick_check(10)"):
            if line != "ok":
                problems.append(f"database file: {line}")
        (moved,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    except SqliteError as error:
        problems.append(f"database file: {error}")
        moved = 0
    snapshots = [
        SnapshotReport(path.name, _problem_of(path, database, registry, disk))
        for path in snapshot_paths(database.path.parent)
    ]
    return Report(
        records=last.seq,
        last_hash=last.hash,
        first_bad=first_bad,
        problems=tuple(problems),
        snapshots=tuple(snapshots),
        quarantined=moved,
    )


def verify_end(
    directory: Path, registry: StreamRegistry, disk: Disk, count: int
) -> tuple[int, list[str]]:
    """Check the last `count` records and the newest snapshot of a stopped daemon's directory.

    Return the number of the last record and what is wrong.
    """
    with stopped(directory) as database:
        connection = database.connection
        last, problems = tail_of(connection).seq, []
        mark = mark_of(connection)
        if mark != last:
            problems.append(f"record {mark} is noted as the last one, the journal ends with {last}")
        first = max(0, last - count)
        before = hash_at(connection, first)
        if before is None:
            problems.append(f"journal record {first} cannot be read")
        else:
            try:
                for _ in verified(connection, Tail(first, before)):
                    pass
            except DamagedRecordError as damage:
                problems.append(str(damage))
        for path in snapshot_paths(directory)[:1]:
            problem = _problem_of(path, database, registry, disk)
            if problem:
                problems.append(f"snapshot {path.name}: {problem}")
        return last, problems


def dump(directory: Path, out: TextIO, stream: str | None = None) -> int:
    """Write the journal of a stopped daemon as JSON lines."""
    with stopped(directory) as database:
        return dump_open(database.connection, out, stream)


def dump_open(connection: sqlite3.Connection, out: TextIO, stream: str | None = None) -> int:
    """Write all records, or those of one stream, one JSON object a line; return how many.

    Raises `DamagedRecordError` at the first that cannot be trusted; those before it are written.
    """
    records = verified(connection) if stream is None else history_of(connection, stream)
    count = 0
    for record in records:
        out.write(_line(record))
        count += 1
    return count


def rebuild_directory(directory: Path, registry: StreamRegistry, tables: ReadTables) -> Rebuilt:
    """Write the read tables of a stopped daemon anew; a malformed file is rewritten as a whole.

    Raises `DamagedRecordError` or `JournalDamagedError`; then nothing has changed.
    """
    with stopped(directory) as database:
        if _is_well_formed(database.connection):
            return rebuild(database, registry, tables)
        problems: list[str] = []
        last, _ = _verify_chain(database.connection, problems)
        kept, rebuilt = rewrite(database, registry, tables, last)
        note = f"the malformed database is kept as {kept}; the new one ends with record {last.seq}"
        return Rebuilt(rebuilt.records, (note, *problems, *rebuilt.problems))


def _verify_chain(connection: sqlite3.Connection, problems: list[str]) -> tuple[Tail, int | None]:
    last = Tail()
    versions: dict[str, int] = {}
    try:
        for record in verified(connection):
            expected = versions.get(record.stream, 0) + 1
            if record.version != expected:
                problems.append(
                    f"journal record {record.seq}: {record.stream} has version {record.version},"
                    f" {expected} is due"
                )
            versions[record.stream] = record.version
            last = Tail(record.seq, record.hash)
    except DamagedRecordError as damage:
        problems.append(str(damage))
        return last, damage.seq
    return last, None


def _problem_of(path: Path, database: Database, registry: StreamRegistry, disk: Disk) -> str:
    try:
        load_snapshot(path, disk, registry, lambda seq: hash_at(database.connection, seq))
    except SnapshotError as error:
        return str(error)
    return ""


def _is_well_formed(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except SqliteError as error:
        if unavailable(error) is None:
            raise
        return False


def _line(record: Record) -> str:
    fields = msgspec.structs.asdict(record)
    fields["payload"] = msgspec.Raw(record.payload.encode())  # an object, not a text that holds one
    return msgspec.json.encode(fields).decode() + "\n"
