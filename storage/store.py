"""All of storage for one directory: lock, connection, recovered states, journal."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.ports import Disk
from storage.connection import NAME, Database
from storage.journal import Journal
from storage.lock import DirectoryLock
from storage.projections import PROJECTIONS
from storage.read_tables import Projection, ReadTables
from storage.recovery import Recovered, recover
from storage.snapshot import SnapshotWriter
from storage.streams import StreamRegistry, Streams


class Store:
    """An opened directory. Synchronous: used by one thread at a time.

    Opening raises `AlreadyRunningError`, `UnsafeFileError`, `NewerSchemaError`,
    `JournalDamagedError`, `ArchiveNeededError`, `SnapshotNeededError` or
    `JournalUnavailableError`; then nothing stays open.
    """

    def __init__(
        self,
        directory: Path,
        registry: StreamRegistry,
        disk: Disk,
        projections: Iterable[Projection] = PROJECTIONS,
    ) -> None:
        self.directory = directory
        self.registry = registry
        self.disk = disk
        self.tables = ReadTables(projections)
        self._lock = DirectoryLock(directory)
        try:
            self.database = Database(directory / NAME)
        except BaseException:
            self._lock.release()
            raise
        try:
            self.recovered: Recovered = recover(self.database, registry, self.tables, disk)
            self.journal = Journal(self.database, registry, self.tables)
        except BaseException:
            self.close()
            raise

    def begin_snapshot(self, streams: Streams) -> SnapshotWriter:
        """Begin a snapshot of `streams`, which must be the states as of the journal's end."""
        return SnapshotWriter(self.registry, self.journal.tail, streams)

    def write_snapshot(self, streams: Streams) -> Path:
        """Write a snapshot in one go. Raises `OSError`."""
        return self.begin_snapshot(streams).write(self.disk, self.directory)

    def close(self) -> None:
        """Close the database and let others in."""
        self.database.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
