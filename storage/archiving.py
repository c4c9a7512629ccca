"""Archiving: moving the oldest records from the journal into a file, in small steps.

Two usable snapshots are needed, and nothing after the oldest of them leaves: should the newest one
turn out damaged, an older one still has its tail in the journal. (With no snapshot at all, as after
an upgrade that changed their shape, a start folds the archive files instead.)

Each step does little, so that on the thread that all share a commit waits milliseconds for it.
"""

import gzip
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path

import msgspec

from runtime.ports import Disk
from storage import archive
from storage.archive import Archived
from storage.chain import Record, Tail, anchor_of, hash_at, line_of, verified
from storage.codec import time_text
from storage.connection import Database
from storage.errors import ArchiveRefusedError
from storage.files import sync_directory
from storage.snapshot import SnapshotError, check_snapshot, snapshot_paths
from storage.streams import StreamRegistry

RECORDS = 100  # in one step
_BLOCK = 1024 * 1024  # bytes
SNAPSHOTS = 2  # that must be usable
_TAKE_SNAPSHOT = "Let it run on, or take one: holdfast snapshot."


class Wish(msgspec.Struct, frozen=True):
    """What is to be archived: all that may, or less."""

    before_seq: int | None = None  # records below this number
    before: datetime | None = None  # records older than this
    dry_run: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What an archiving came to, or would come to."""

    records: int
    first_seq: int | None  # None: nothing was to do
    last_seq: int | None
    last_hash: str | None
    file: str | None
    bytes: int | None  # of the file; None before it is written
    up_to: int  # the last record that might have been archived: at the oldest snapshot
    remaining: int  # records in the journal afterwards
    dry_run: bool


class Archiving:
    """One run. `outcome` is there when `advance` has said that nothing is left."""

    def __init__(
        self, database: Database, registry: StreamRegistry, disk: Disk, wish: Wish
    ) -> None:
        self.outcome: Outcome | None = None
        self._database = database
        self._registry = registry
        self._disk = disk
        self._wish = wish
        self._directory = database.path.parent
        self._steps = self._all()

    def advance(self) -> bool:
        """Do one step; return whether there is more to do.

        Raises `ArchiveRefusedError`, `ArchiveError`, `DamagedRecordError` (of the journal; nothing
        has left it then), `JournalUnavailableError`, `FencedError`, and `OSError` for the file.
        """
        return next(self._steps, None) is not None

    def finish(self) -> Outcome:
        """Do all that is left. For a database that nobody waits for."""
        while self.advance():
            pass
        assert self.outcome is not None  # the last step made it
        return self.outcome

    def _all(self) -> Iterator[bool]:
        if not self._wish.dry_run:
            yield from self._take_out()  # what a crash left
        oldest = yield from self._oldest_snapshot()
        anchor = anchor_of(self._database.connection)
        last = self._last_of(anchor, oldest)
        if last <= anchor.seq:
            self.outcome = self._told(None, oldest)
            return
        planned = self._planned(anchor, last)
        if self._wish.dry_run:
            self.outcome = self._told(planned, oldest)
            return
        path = archive.prepare(self._directory) / planned.file
        beside = path.with_name(path.name + ".new")
        try:
            yield from self._write(beside, planned, anchor)
            yield from _read_back(beside, planned)
            written = yield from _measured(beside, planned)
            beside.replace(path)
            sync_directory(path.parent)
        except BaseException:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        yield True
        with self._database.transaction() as connection:
            archive.insert(connection, written)
        yield True
        yield from self._take_out()
        self.outcome = self._told(written, oldest)

    def _oldest_snapshot(self) -> Generator[bool, None, int]:
        """Return the number of the record up to which all usable snapshots agree."""
        usable = []
        for path in snapshot_paths(self._directory):
            with suppress(SnapshotError):
                usable.append(check_snapshot(path, self._disk, self._registry, self._hash_at).seq)
            yield True
        if len(usable) < SNAPSHOTS:
            found = {0: "none is", 1: "one is"}[len(usable)]
            why = (
                f"Archiving needs {SNAPSHOTS} usable snapshots of different states; {found} there."
            )
            raise ArchiveRefusedError(why, _TAKE_SNAPSHOT)
        return min(usable)

    def _hash_at(self, seq: int) -> str | None:
        return hash_at(self._database.connection, seq)

    def _last_of(self, anchor: Tail, oldest: int) -> int:
        """Return the last record to archive."""
        last = oldest
        if self._wish.before_seq is not None:
            last = self._wish.before_seq - 1
            if last > oldest:
                why = (
                    f"Records from {oldest + 1} on are needed as long as the snapshot of record"
                    f" {oldest} is kept; {last} is beyond."
                )
                remedy = f"Give --before {oldest + 1} or less. {_TAKE_SNAPSHOT}"
                raise ArchiveRefusedError(why, remedy)
        if self._wish.before is not None:
            last = min(last, self._last_before(time_text(self._wish.before), anchor.seq, last))
        return last

    def _last_before(self, time: str, low: int, high: int) -> int:
        """Return the last record in (low, high] older than `time`; `low` if there is none."""
        while low < high:
            middle = (low + high + 1) // 2
            row = self._database.connection.execute(
                "SELECT time FROM journal WHERE seq = ?", (middle,)
            ).fetchone()
            if row is not None and row[0] < time:
                low = middle
            else:
                high = middle - 1
        return low

    def _planned(self, anchor: Tail, last: int) -> Archived:
        found = hash_at(self._database.connection, last)
        return Archived(
            last_seq=last,
            first_seq=anchor.seq + 1,
            previous_hash=anchor.hash,
            last_hash=found or "",  # a record that is missing shows when the chain is read
            file=archive.file_name(anchor.seq + 1, last),
            bytes=0,
            sha256="",
        )

    def _write(self, beside: Path, planned: Archived, anchor: Tail) -> Iterator[bool]:
        with os.fdopen(archive.create(beside), "wb") as file:
            # Without name and time in its header: the same records make the same file.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as out:
                out.write(msgspec.json.encode(archive.head_of(planned)) + b"\n")
                place, synced = anchor, 0
                while place.seq < planned.last_seq:
                    count = min(RECORDS, planned.last_seq - place.seq)
                    batch = self._next(place, count)
                    out.write(b"".join(map(line_of, batch)))
                    place = Tail(batch[-1].seq, batch[-1].hash)
                    if file.tell() - synced >= _BLOCK:  # one large sync at the end would take long
                        synced = file.tell()
                        file.flush()
                        os.fsync(file.fileno())
                    yield True
            file.flush()
            os.fsync(file.fileno())
        yield True

    def _next(self, place: Tail, count: int) -> list[Record]:
        return list(islice(verified(self._database.connection, place, count), count))

    def _take_out(self) -> Iterator[bool]:
        """Remove what stands below the anchor, the oldest first."""
        anchor = anchor_of(self._database.connection).seq
        while True:
            with self._database.transaction() as connection:
                gone = connection.execute(
                    "DELETE FROM journal WHERE seq IN"
                    " (SELECT seq FROM journal WHERE seq <= ? ORDER BY seq LIMIT ?)",
                    (anchor, RECORDS),
                ).rowcount
            if not gone:
                return
            yield True

    def _told(self, archived: Archived | None, oldest: int) -> Outcome:
        (last,) = self._database.connection.execute("SELECT max(seq) FROM journal").fetchone()
        anchor = anchor_of(self._database.connection).seq
        leaving = archived.records if archived is not None and self._wish.dry_run else 0
        return Outcome(
            records=0 if archived is None else archived.records,
            first_seq=None if archived is None else archived.first_seq,
            last_seq=None if archived is None else archived.last_seq,
            last_hash=None if archived is None else archived.last_hash,
            file=None if archived is None else str(Path(archive.DIRECTORY, archived.file)),
            bytes=None if archived is None or self._wish.dry_run else archived.bytes,
            up_to=oldest,
            remaining=max(0, (last or 0) - anchor - leaving),
            dry_run=self._wish.dry_run,
        )


def _read_back(path: Path, planned: Archived) -> Iterator[bool]:
    """Check the chain in the file, not in the records that were meant to be written."""
    records = archive.read_archive(path, planned)
    while list(islice(records, RECORDS)):
        yield True


def _measured(path: Path, planned: Archived) -> Generator[bool, None, Archived]:
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            yield True
    return msgspec.structs.replace(planned, bytes=size, sha256=digest.hexdigest())
