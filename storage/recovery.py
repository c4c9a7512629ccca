"""From files to states: the newest good snapshot, then the journal's tail folded onto it.

Nothing is silent. A snapshot that cannot be used, a record that does not follow from the one
before, a transaction that SQLite dropped, a stream that does not fold: each is a line in
`problems`, to be raised as an alarm, and the rest goes on. Only the tail after the snapshot is
verified here, which bounds the time to armed positions; `admin.verify` checks everything. Damage
that lies before a snapshot which only another version can use refuses the start.
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from runtime.ports import Disk
from storage.archive import archives_of, whole_past
from storage.chain import Tail, hash_at, mark_of, verified
from storage.connection import Database
from storage.damage import move_aside
from storage.errors import (
    ArchiveError,
    ArchiveNeededError,
    DamagedRecordError,
    JournalDamagedError,
    JournalUnavailableError,
    SnapshotNeededError,
    Trouble,
)
from storage.fold import Fold, without_collections
from storage.read_tables import ReadTables
from storage.rebuild import rewrite
from storage.snapshot import Snapshot, SnapshotError, known_up_to, load_snapshot, snapshot_paths
from storage.streams import StreamRegistry, Streams


class _Beginning(NamedTuple):
    """Where the fold begins."""

    snapshot: Snapshot
    broken: dict[str, str]  # streams that did not fold up to there
    refused: list[Path]  # newer snapshots that cannot be used


class Recovered(msgspec.Struct, frozen=True):
    """What the directory held."""

    streams: Streams  # name to (version, state); retired ones left out
    last_seq: int
    last_hash: str
    problems: tuple[str, ...]  # alarms; empty when all was well
    snapshot_seq: int  # 0: none was used
    replayed: int  # records after it
    broken: tuple[str, ...]  # streams that do not fold; take no snapshot while there are any
    unread: dict[str, int]  # those of which nothing folds, and the version of their last record


def recover(
    database: Database, registry: StreamRegistry, tables: ReadTables, disk: Disk
) -> Recovered:
    """Return all states as of the last good record; a damaged tail is moved aside first.

    Raises `NewerSchemaError`, `JournalDamagedError`, `ArchiveNeededError`, `SnapshotNeededError`,
    `JournalUnavailableError`.
    """
    try:
        return _recover(database, registry, tables, disk)
    except JournalUnavailableError as error:
        if error.kind is Trouble.DAMAGED:
            raise JournalDamagedError(database.path, error.text) from error
        raise


def _recover(
    database: Database, registry: StreamRegistry, tables: ReadTables, disk: Disk
) -> Recovered:
    problems: list[str] = []
    _check_not_emptied(database)
    with without_collections():
        snapshot, broken, refused = _newest_snapshot(database, registry, disk, problems)
        fold = Fold(database.connection, registry, snapshot.streams)
        fold.broken.update(broken)
        last, damage = _fold_tail(fold, database, snapshot.tail)
    unread = _without_state(fold)
    if damage is not None:
        _check_not_known_better(database, disk, damage)
        problems.append(_set_aside(database, registry, tables, disk, damage, last, fold.streams))
    elif mark_of(database.connection) != last.seq:
        problems.append(_cut_off(database, registry, tables, disk, last))
    for path in refused:  # only now: before, a start may yet be refused
        _put_away(path)
    problems.extend(database.problems_of_log())
    problems.extend(f"does not fold: {why}" for why in fold.broken.values())
    return Recovered(
        streams=registry.without_retired(fold.streams),
        last_seq=last.seq,
        last_hash=last.hash,
        problems=tuple(problems),
        snapshot_seq=snapshot.tail.seq,
        replayed=last.seq - snapshot.tail.seq,
        broken=tuple(fold.broken),
        unread=unread,
    )


def _without_state(fold: Fold) -> dict[str, int]:
    """Take out the streams of which nothing folds; return them with their versions."""
    found = [name for name in fold.broken if fold.streams.get(name, (0, fold))[1] is None]
    return {name: fold.streams.pop(name)[0] for name in found}


def _check_not_emptied(database: Database) -> None:
    """Refuse a journal that has lost all it had: to begin anew would forget open positions."""
    snapshots = snapshot_paths(database.path.parent)
    connection = database.connection
    if snapshots and mark_of(connection) == 0 and hash_at(connection, 1) is None:
        why = f"it is empty, yet there is the snapshot {snapshots[0].name}"
        raise JournalDamagedError(database.path, why)


def _check_not_known_better(database: Database, disk: Disk, damage: DamagedRecordError) -> None:
    """Refuse to move aside what a snapshot has outlived: as a rule only the tail is verified.

    So it happens where an upgrade cannot use the snapshots, and an old record is damaged.
    """
    known = known_up_to(database.path.parent, disk, lambda seq: hash_at(database.connection, seq))
    if damage.seq <= known:
        raise SnapshotNeededError(damage, known)


def _newest_snapshot(
    database: Database, registry: StreamRegistry, disk: Disk, problems: list[str]
) -> _Beginning:
    broken: dict[str, str] = {}
    refused: list[Path] = []
    found: Snapshot | None = None
    for path in snapshot_paths(database.path.parent):
        try:
            found = load_snapshot(
                path, disk, registry, lambda seq: hash_at(database.connection, seq)
            )
            break
        except SnapshotError as error:
            problems.append(f"snapshot {path.name} is not used: {error}")
            refused.append(path)
    if found is None:
        found, broken = _folded_past(database, registry, problems)
    return _Beginning(found, broken, refused)


def _folded_past(
    database: Database, registry: StreamRegistry, problems: list[str]
) -> tuple[Snapshot, dict[str, str]]:
    """Return what a snapshot at the journal's beginning would hold: archives are folded.

    Raises `ArchiveNeededError`.
    """
    archives = archives_of(database.connection)
    if not archives:
        return Snapshot(Tail(), {}), {}
    fold = Fold(database.connection, registry, {})
    last = Tail()
    try:
        for record in whole_past(database.path.parent, archives):
            fold.apply(record)
            last = Tail(record.seq, record.hash)
    except ArchiveError as error:
        raise ArchiveNeededError(database.path, str(error)) from error
    problems.append(f"{last.seq} archived records were folded, as no snapshot can be used")
    return Snapshot(last, registry.without_retired(fold.streams)), fold.broken


def _put_away(path: Path) -> None:
    """Rename it, so that it does not count as one of the snapshots that are kept."""
    with suppress(OSError):
        path.rename(path.with_suffix(".refused"))


def _fold_tail(
    fold: Fold, database: Database, last: Tail
) -> tuple[Tail, DamagedRecordError | None]:
    try:
        for record in verified(database.connection, last):
            fold.apply(record)
            last = Tail(record.seq, record.hash)
    except DamagedRecordError as damage:
        return last, damage
    return last, None


def _set_aside(
    database: Database,
    registry: StreamRegistry,
    tables: ReadTables,
    disk: Disk,
    damage: DamagedRecordError,
    last: Tail,
    streams: Streams,
) -> str:
    try:
        moved = move_aside(database, registry, tables, damage, streams)
    except JournalUnavailableError as error:
        if error.kind is not Trouble.DAMAGED:
            raise
        database.reopen()
        return f"{damage}. {_rewrite(database, registry, tables, disk, last)}"
    return (
        f"{damage}. The journal ends with record {last.seq}; {moved} record(s) from there on were"
        " moved to the table quarantine."
    )


def _cut_off(
    database: Database, registry: StreamRegistry, tables: ReadTables, disk: Disk, last: Tail
) -> str:
    """A page lost its last records, or the note of how many there are is damaged."""
    committed = mark_of(database.connection)
    said = f"the journal ends with record {last.seq}, but {committed} is noted as the last one. "
    return said + _rewrite(database, registry, tables, disk, last)


def _rewrite(
    database: Database, registry: StreamRegistry, tables: ReadTables, disk: Disk, last: Tail
) -> str:
    kept, _ = rewrite(database, registry, tables, disk, last)
    return f"The journal ends with record {last.seq}, in a new file; the malformed one is {kept}."
