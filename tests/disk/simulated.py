"""A disk that keeps what was synced apart from what was only written, and fails when it is told to.

    disk = SimulatedDisk(directory)
    with disk.mounted():                      # SQLite below `directory` now goes through it
        store = Store(directory, registry, disk)     # it is a `runtime.ports.Disk` as well
        disk.fault = lambda call: Fault.EIO if call.number == 17 else None
        disk.room = 0                         # bytes that files may still grow by: the disk is full
        ...
        files = disk.after_power_cut(chance)  # what a power cut at this instant would leave
    lay(directory, files)                     # once everything is closed: the next life's files

The files in `directory` are what the operating system would show to a process that lives on (the
page cache); `after_power_cut` gives synced content plus a random part of what was written since:
any subset of the writes, the last of them torn at a sector. A sync that fails is the worst that
Linux does: what it should have synced can still be read, and no later sync makes it durable.

Everything is deterministic: faults are chosen by the number and kind of a call, the rest by the
`Random` that is given.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random

from exchanges.paper import ledger
from runtime.disk import RealDisk
from runtime.wal import wal_path
from storage import connection
from tests.disk import vfs
from tests.disk.specimens import Files

SECTOR = 512  # bytes that reach a disk together or not at all


class Fault(Enum):
    """What happens instead of a call."""

    EIO = "eio"
    FULL = "full"
    SHORT = "short write"  # half of it, then the disk is full
    LOST = "failing sync"  # a sync fails; what it should have written is never durable


@dataclass(frozen=True)
class Call:
    """One call to the file layer."""

    number: int  # from 1
    kind: str  # open, read, write, truncate, sync, delete; atomic: a whole file of ours
    path: Path
    offset: int = 0
    size: int = 0


@dataclass
class _File:
    """What a file has for certain, and what was done to it since."""

    synced: bytes | None = None  # None: its name is not on the disk yet
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut there
    is_gone: bool = False  # removed, and that may not be on the disk yet


_CODES = {
    "open": vfs.CANTOPEN,
    "read": vfs.IOERR_READ,
    "write": vfs.IOERR_WRITE,
    "truncate": vfs.IOERR_TRUNCATE,
    "sync": vfs.IOERR_FSYNC,
    "delete": vfs.IOERR_DELETE,
}


class SimulatedDisk(RealDisk):
    """See the module. Reads count as calls only if `counts_reads`."""

    def __init__(self, directory: Path, *, counts_reads: bool = False) -> None:
        self.directory = directory
        self.fault: Callable[[Call], Fault | None] = lambda _: None
        self.on_call: Callable[[Call], None] = lambda _: None
        self.room: int | None = None  # None: no limit
        self.calls = 0
        self.counts_reads = counts_reads
        self._files: dict[Path, _File] = {}
        for path in directory.rglob("*"):
            if path.is_file():
                self._files[path] = _File(path.read_bytes())

    @contextmanager
    def mounted(self) -> Iterator["SimulatedDisk"]:
        """Put it under SQLite; close all databases before the end."""
        patched = (connection, ledger)
        before = [module.make_durable for module in patched]
        for module in patched:
            module.make_durable = self._make_log_durable
        try:
            with vfs.watched(self.directory, self):
                yield self
        finally:
            for module, function in zip(patched, before, strict=True):
                module.make_durable = function

    def _make_log_durable(self, database: Path) -> None:
        """As `runtime.wal.make_durable`, which goes past SQLite."""
        path = wal_path(database)
        if not path.exists():
            return
        fault = self._called("sync", path)
        file = self._files.setdefault(path, _File())
        file.pending = []
        if fault is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        file.synced = path.read_bytes()

    # --- what a power cut leaves

    def after_power_cut(self, chance: Random) -> Files:
        """Return files, by path below the directory, as a power cut now might leave them."""
        found: Files = {}
        for path, file in self._files.items():
            content = _survivor(file, chance)
            if content is not None:
                found[str(path.relative_to(self.directory))] = content
        return found

    def unsynced(self) -> int:
        """Return how many writes are not durable."""
        return sum(len(file.pending) for file in self._files.values())

    # --- runtime.ports.Disk

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Write beside, sync, rename, sync the directory: four instants at which power may fail."""
        fault = self._called("atomic", path, size=len(data))
        if fault is not None:
            number = errno.EIO if fault in {Fault.EIO, Fault.LOST} else errno.ENOSPC
            raise OSError(number, os.strerror(number), str(path))
        if self.room is not None and len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        before = self._files.get(path, _File())
        beside = path.with_name(f".{path.name}.new")
        self._files[beside] = _File(None, [(0, data)])
        self.on_call(Call(self.calls, "atomic write", beside))
        self._files[beside] = _File(data)
        super().write_atomically(path, data)
        self._files[path] = _File(before.synced, [(-1, data)])  # either content may survive
        self.on_call(Call(self.calls, "atomic rename", path))
        del self._files[beside]
        self._files[path] = _File(data)

    def free_bytes(self, path: Path) -> int:
        """Return the room that is left."""
        return super().free_bytes(path) if self.room is None else self.room

    # --- tests.disk.vfs.Watcher

    def opening(self, path: Path) -> int:
        """Note a file that is new."""
        code = self._code("open", path)
        if not code:
            file = self._files.setdefault(path, _File())
            file.is_gone = False
        return code

    def reading(self, path: Path, offset: int, size: int) -> int:
        """Fail if it is time to."""
        if not self.counts_reads:
            return vfs.OK
        return self._code("read", path, offset, size)

    def writing(self, path: Path, offset: int, data: bytes) -> tuple[int, int]:
        """Remember it as pending."""
        fault = self._called("write", path, offset, len(data))
        written = 0
        if fault is None and not self._has_room(path, offset + len(data)):
            fault = Fault.FULL
        if fault is Fault.SHORT:
            written = len(data) // 2
        elif fault is None:
            written = len(data)
        if written:
            self._files[path].pending.append((offset, data[:written]))
        if fault is None:
            return vfs.OK, 0
        return (vfs.FULL if fault is not Fault.EIO else vfs.IOERR_WRITE), written

    def truncating(self, path: Path, size: int) -> int:
        """Remember it as pending."""
        code = self._code("truncate", path, size)
        if not code:
            self._files[path].pending.append((size, None))
        return code

    def syncing(self, path: Path) -> int:
        """Make what is pending durable; or never, if that fails."""
        file = self._files[path]
        fault = self._called("sync", path)
        if fault is None:
            if file.synced is None:  # SQLite syncs the directory of a new log
                self._sync_directory(path.parent)
            file.synced = _applied(file.synced or b"", file.pending)
        file.pending = []
        return vfs.OK if fault is None else vfs.IOERR_FSYNC

    def deleting(self, path: Path, *, is_synced: bool) -> int:
        """Remember it; until the directory is synced a crash may bring it back."""
        code = self._code("delete", path)
        if not code and path in self._files:
            self._files[path].is_gone = True
            if is_synced:
                self._sync_directory(path.parent)
        return code

    def _sync_directory(self, directory: Path) -> None:
        """Make the names in it durable: those that came and those that went."""
        for path, file in list(self._files.items()):
            if path.parent == directory:
                if file.is_gone:
                    del self._files[path]
                elif file.synced is None:
                    file.synced = b""

    def _code(self, kind: str, path: Path, offset: int = 0, size: int = 0) -> int:
        return vfs.OK if self._called(kind, path, offset, size) is None else _CODES[kind]

    def _called(self, kind: str, path: Path, offset: int = 0, size: int = 0) -> Fault | None:
        self.calls += 1
        call = Call(self.calls, kind, path, offset, size)
        self.on_call(call)
        return self.fault(call)

    def _has_room(self, path: Path, end: int) -> bool:
        if self.room is None:
            return True
        grown = max(0, end - (path.stat().st_size if path.exists() else 0))
        if grown > self.room:
            return False
        self.room -= grown
        return True


def _applied(content: bytes, changes: list[tuple[int, bytes | None]]) -> bytes:
    found = bytearray(content)
    for offset, data in changes:
        if data is None:
            del found[offset:]
        elif offset < 0:
            found = bytearray(data)
        else:
            found.extend(bytes(max(0, offset - len(found))))
            found[offset : offset + len(data)] = data
    return bytes(found)


def _survivor(file: _File, chance: Random) -> bytes | None:
    """Return what is left of a file: synced content and a random part of what came after."""
    if file.is_gone and chance.random() < 0.5:
        return None
    if file.synced is None and chance.random() < 0.3:
        return None  # not even its name
    share = chance.choice((0.0, 0.3, 0.7, 1.0))
    kept: list[tuple[int, bytes | None]] = []
    for offset, data in file.pending:
        if chance.random() >= share:
            continue
        if data is not None and offset >= 0 and len(data) > SECTOR and chance.random() < 0.3:
            kept += _torn(offset, data, chance)
        else:
            kept.append((offset, data))
    if file.synced is None and not kept:
        return None
    return _applied(file.synced or b"", kept)


def _torn(offset: int, data: bytes, chance: Random) -> list[tuple[int, bytes | None]]:
    """Return some of a write's sectors."""
    return [
        (offset + start, data[start : start + SECTOR])
        for start in range(0, len(data), SECTOR)
        if chance.random() < 0.5
    ]
