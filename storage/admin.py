"""Looking after a journal by hand: verify, dump, rebuild, archive.

Each works on an open database, which is how a running daemon answers, or on the directory of a
stopped one, whose lock it takes.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TextIO

import msgspec

from runtime.ports import Disk
from storage.archive import archives_of, path_of, read_archive
from storage.archiving import Archiving, Outcome, Wish
from storage.chain import Tail, anchor_of, hash_at, history_of, line_of, mark_of, tail_of, verified
from storage.compare import row_problems
from storage.connection import NAME, Database
from storage.errors import (
    ArchiveError,
    DamagedRecordError,
    JournalDamagedError,
    NoJournalError,
    SqliteError,
    unavailable,
)
from storage.fold import Fold
from storage.lock import NAME as LOCK
from storage.lock import DirectoryLock
from storage.read_tables import ReadTables
from storage.rebuild import Rebuilt, rebuild, rewrite
from storage.snapshot import (
    SnapshotError,
    known_up_to,
    load_snapshot,
    snapshot_paths,
    usable_up_to,
)
from storage.streams import StreamRegistry, Streams

STEP = 100  # records checked in one go while others wait


class SnapshotReport(msgspec.Struct, frozen=True):
    """One snapshot; `problem` is empty when it can be used."""

    name: str
    problem: str


class ArchiveReport(msgspec.Struct, frozen=True):
    """One archive file; `problem` is empty when it is whole and goes on from the one before."""

    file: str
    first_seq: int
    last_seq: int
    problem: str


class Report(msgspec.Struct, frozen=True):
    """What a verification found."""

    records: int  # good ones, from the first in the journal on
    last_hash: str  # of the last good record
    first_bad: int | None  # number of the first record that cannot be trusted
    problems: tuple[str, ...]
    snapshots: tuple[SnapshotReport, ...]
    quarantined: int  # records moved out of the journal earlier
    archived: int  # records that left it for files; the first one in it follows from the last
    archives: tuple[ArchiveReport, ...]  # as far as they were looked at
    usable_up_to: int = 0  # the record of the newest snapshot that can be used; 0 without one

    @property
    def is_outlived(self) -> bool:
        """Whether the damage lies before a snapshot that a start uses: then it costs no state."""
        return self.first_bad is not None and self.first_bad <= self.usable_up_to

    @property
    def is_sound(self) -> bool:
        """Every record follows from the one before, and the file is well-formed."""
        return not self.problems and not any(each.problem for each in self.archives)


@contextmanager
def stopped(directory: Path) -> Iterator[Database]:
    """Open the database of a stopped daemon without becoming its writer.

    Raises `NoJournalError`, `AlreadyRunningError` and what opening raises.
    """
    if not (directory / NAME).exists():
        if (directory / LOCK).exists():  # a daemon whose file was removed runs on
            DirectoryLock(directory).release()
        raise NoJournalError(f"There is no journal in {directory}.")
    with DirectoryLock(directory):
        database = Database(directory / NAME, claim=False)
        try:
            yield database
        finally:
            database.close()


def verify(
    directory: Path,
    registry: StreamRegistry,
    disk: Disk,
    *,
    archives: bool = False,
    tables: ReadTables | None = None,
) -> Report:
    """Check everything in the directory of a stopped daemon; archive files if asked to.

    With `tables` also whether the read tables are what the journal says, which takes as long as to
    rebuild them.
    """
    with stopped(directory) as database:
        report = verify_open(database, registry, disk, archives=archives)
        if tables is None or not report.is_sound:
            return report
        problems = row_problems(database, registry, tables, disk)
        return msgspec.structs.replace(report, problems=tuple(problems))


def verify_open(
    database: Database, registry: StreamRegistry, disk: Disk, *, archives: bool = False
) -> Report:
    """Check every record, the stream versions, the file's structure and the snapshots."""
    connection = database.connection
    problems: list[str] = []
    anchor = anchor_of(connection)
    last, first_bad = _verify_chain(connection, problems)
    mark = mark_of(connection)
    if first_bad is None and mark != last.seq:
        problems.append(f"record {mark} is noted as the last one, the journal ends with {last.seq}")
    try:
        for (line,) in connection.execute("PRAGMA integrity_check(10)"):
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
        records=last.seq - anchor.seq,
        last_hash=last.hash,
        first_bad=first_bad,
        problems=tuple(problems),
        snapshots=tuple(snapshots),
        quarantined=moved,
        archived=anchor.seq,
        archives=tuple(filter(None, archive_reports(database))) if archives else (),
        usable_up_to=usable_up_to(
            database.path.parent, disk, registry, lambda seq: hash_at(connection, seq)
        ),
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
        start = anchor_of(connection)  # what lies before is archived
        if last - count > start.seq:
            start = Tail(last - count, hash_at(connection, last - count) or "")
        if not start.hash and start.seq:
            problems.append(f"journal record {start.seq} cannot be read")
        else:
            try:
                for _ in verified(connection, start):
                    pass
            except DamagedRecordError as damage:
                problems.append(str(damage))
        for path in snapshot_paths(directory)[:1]:
            problem = _problem_of(path, database, registry, disk)
            if problem:
                problems.append(f"snapshot {path.name}: {problem}")
        return last, problems


def last_states(directory: Path, registry: StreamRegistry, disk: Disk) -> Streams:
    """Return the states that a stopped daemon has left, as far as its records are good.

    Nothing is changed, and nothing is said of what is not good: that is for `verify_end`.
    """
    with stopped(directory) as database:
        connection = database.connection
        last, streams = Tail(), Streams()
        for path in snapshot_paths(directory):
            with suppress(SnapshotError):
                found = load_snapshot(path, disk, registry, lambda seq: hash_at(connection, seq))
                last, streams = found.tail, found.streams
                break
        fold = Fold(connection, registry, streams)
        with suppress(DamagedRecordError):
            for record in verified(connection, last):
                fold.apply(record)
        return registry.without_retired(fold.streams)


def archive_reports(database: Database) -> Iterator[ArchiveReport | None]:
    """Check the archive files one by one: the chain in each, and that they form one.

    Yields None in between, so that others get their turn.
    """
    last = Tail()
    directory = database.path.parent
    for archived in archives_of(database.connection):
        problem = ""
        if (archived.first_seq - 1, archived.previous_hash) != last:
            problem = f"it does not go on from record {last.seq}"
        last = Tail(archived.last_seq, archived.last_hash)
        records = read_archive(path_of(directory, archived), archived)
        try:
            while list(islice(records, STEP)):
                yield None
        except ArchiveError as error:
            problem = error.why
        yield ArchiveReport(archived.file, archived.first_seq, archived.last_seq, problem)


class ChainCheck:
    """Checks the chain in small steps, while the journal is being written."""

    def __init__(self, database: Database, *, archives: bool = False) -> None:
        self.records = 0
        self.archived = Tail()  # known after the first step
        self.archives: list[ArchiveReport] = []
        self._database = database
        self._steps = self._all(archives=archives)

    def advance(self) -> bool:
        """Check some more; return whether there may be more yet.

        Raises `DamagedRecordError`, `JournalUnavailableError`.
        """
        return next(self._steps, None) is not None

    def _all(self, *, archives: bool) -> Iterator[bool]:
        place = self.archived = anchor_of(self._database.connection)
        while batch := list(islice(verified(self._database.connection, place, STEP), STEP)):
            place = Tail(batch[-1].seq, batch[-1].hash)
            self.records += len(batch)
            yield True
        if archives:
            for report in archive_reports(self._database):
                if report is not None:
                    self.archives.append(report)
                yield True


def archive(directory: Path, registry: StreamRegistry, disk: Disk, wish: Wish) -> Outcome:
    """Move the oldest records of a stopped daemon's journal into a file.

    Raises like `Archiving`.
    """
    with stopped(directory) as database:
        return Archiving(database, registry, disk, wish).finish()


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
        out.write(line_of(record).decode())
        count += 1
    return count


def rebuild_directory(
    directory: Path,
    registry: StreamRegistry,
    tables: ReadTables,
    disk: Disk,
    prune: Callable[[Database], None] = lambda _: None,
) -> Rebuilt:
    """Write the read tables of a stopped daemon anew; a malformed file is rewritten as a whole.

    Then `prune`, for rebuilding brings back what retention took out. Raises `DamagedRecordError`,
    `JournalDamagedError` or `ArchiveNeededError`; then nothing has changed.
    """
    with stopped(directory) as database:
        if _is_well_formed(database.connection):
            rebuilt = rebuild(database, registry, tables, disk)
            prune(database)
            return rebuilt
        problems: list[str] = []
        last, first_bad = _verify_chain(database.connection, problems)
        known = known_up_to(directory, disk, lambda seq: hash_at(database.connection, seq))
        if first_bad is not None and first_bad <= known:
            why = f"{problems[-1]}, and a rewritten journal would end before that"
            why = f"{why}, though the snapshot of record {known} is good"
            raise JournalDamagedError(database.path, why)
        kept, rebuilt = rewrite(database, registry, tables, disk, last)
        prune(database)
        note = f"the malformed database is kept as {kept}; the new one ends with record {last.seq}"
        return Rebuilt(rebuilt.records, (note, *problems, *rebuilt.problems))


def _verify_chain(connection: sqlite3.Connection, problems: list[str]) -> tuple[Tail, int | None]:
    last = anchor_of(connection)
    is_whole = last.seq == 0
    versions: dict[str, int] = {}
    try:
        for record in verified(connection):
            expected = versions.get(record.stream, 0) + 1
            if record.version != expected and (is_whole or record.stream in versions):
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
