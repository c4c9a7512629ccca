"""What a backup of a data directory needs besides its format: a place, and something to tell."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.streams import registry
from daemon.config_models import Config
from daemon.errors import StartError
from daemon.version import installed_version
from domain.errors import Refusal
from runtime.ports import Disk
from storage import admin
from storage.archive import DIRECTORY as ARCHIVE
from storage.backup import (
    LEDGER,
    Manifest,
    Staging,
    begins_as_backup,
    copy_at_rest,
    copy_database,
    restore,
)
from storage.connection import NAME
from storage.errors import BackupError, StorageError
from storage.lock import NAME as LOCK
from storage.snapshot import DIRECTORY as SNAPSHOTS
from storage.snapshot import snapshot_paths

_MIB = 1024 * 1024
_TWICE = 2  # the parts, and the whole that is made of them


def check_place(file: Path, config: Config, disk: Disk, *, force: bool) -> None:
    """Refuse a place where the backup cannot or should not go. Raises `StartError`, `OSError`."""
    directory = config.data_dir
    if file.is_dir() or not file.parent.is_dir():
        why = f"{file} cannot be written: "
        why += "it is a directory." if file.is_dir() else f"there is no directory {file.parent}."
        raise StartError(Refusal("FILE_UNUSABLE", why, "Name a file in a directory that exists."))
    _check_is_free(file, config, force=force)
    parts = [directory / NAME, directory / f"{NAME}-wal", directory / LEDGER]
    parts += snapshot_paths(directory)
    needed = _TWICE * sum(path.stat().st_size for path in parts if path.exists())
    if file.parent.stat().st_dev == directory.stat().st_dev:
        needed += config.journal.min_free_mb * _MIB  # the journal needs it
    free = disk.free_bytes(file.parent)
    if free < needed:
        have, want = free // _MIB, -(-needed // _MIB)
        why = f"{have} MB are free in {file.parent}, a backup may need {want} MB while it is made."
        raise StartError(Refusal("DISK_FULL", why, "Make room, or choose another place."))


def _check_is_free(file: Path, config: Config, *, force: bool) -> None:
    """Refuse a place that is somebody's: a daemon's own, or that of a file which is no backup."""
    folder = file.parent.resolve()
    if _is_data(folder) or folder.samefile(config.data_dir):
        remedy = "Name a file in another directory, such as a folder backups in it."
        why = f"{file} cannot be a backup: a daemon keeps its own files in {folder}."
        raise StartError(Refusal("FILE_UNUSABLE", why, remedy))
    own = [config.socket_path, *filter(None, [config.log.file])]
    if any(_is_same(file, one) or _is_same(file, one.resolve()) for one in own):
        why = f"{file} cannot be a backup: the daemon has its socket or its log there."
        raise StartError(Refusal("FILE_UNUSABLE", why, "Name another file."))
    if not os.path.lexists(file):
        return
    if not force:
        why = f"{file} is there already."
        raise StartError(Refusal("FILE_EXISTS", why, "Name another, or add --force."))
    if not begins_as_backup(file):
        why = f"{file} is there already, and it is no backup: --force replaces nothing else."
        raise StartError(Refusal("NOT_A_BACKUP", why, "Name another file."))


def _is_data(folder: Path) -> bool:
    """Whether a daemon, this one or another, keeps its journal or what belongs to it there."""
    if folder.name in {SNAPSHOTS, ARCHIVE}:
        folder = folder.parent
    return any((folder / name).exists() for name in (NAME, LOCK))


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one place, whichever way they lead there."""
    return one.name == other.name and other.parent.is_dir() and one.parent.samefile(other.parent)


def failed(file: Path, error: BackupError | OSError) -> Refusal:
    """Return what to tell when it came to nothing."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    why = f"There is no backup {file}: {reason}. Nothing of it is left."
    return Refusal("BACKUP_FAILED", why, "Make room, or choose another place.")


def told(file: Path, manifest: Manifest) -> dict[str, object]:
    """Return what there is to tell of a backup that was made or restored."""
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "holdfast": manifest.holdfast,
        "made_at": manifest.made_at,
        "first_seq": manifest.journal.first_seq,
        "last_seq": manifest.journal.last_seq,
        "last_hash": manifest.journal.last_hash,
        "files": [{"name": each.name, "bytes": each.bytes} for each in manifest.files],
    }


def back_up_stopped(
    directory: Path, file: Path, config: str, made_at: str, check: Callable[[], None]
) -> Manifest:
    """Back up the directory of a daemon that does not run.

    Raises what `check` raises, `BackupError`, `OSError`, and what opening the directory raises.
    """
    with admin.stopped(directory) as database:
        check()
        with Staging(file) as staging:
            for path in snapshot_paths(directory):
                staging.snapshot(path)
            parts = staging.directory
            copy_database(lambda: database.connection, parts / NAME, lambda: None)
            if (directory / LEDGER).exists():
                copy_at_rest(directory / LEDGER, parts / LEDGER)
            staging.write("config.yaml", config.encode())
            return staging.pack(installed_version(), made_at)


def restored(file: Path, directory: Path, disk: Disk) -> tuple[Manifest, admin.Report]:
    """Unpack a backup into a new directory and check all of it: hashes, the chain, snapshots.

    Raises `BackupError`, `OSError`; then the directory is as it was.
    """
    reports: list[admin.Report] = []

    def check(path: Path) -> None:
        try:
            report = admin.verify(path, registry(), disk)
        except StorageError as error:
            raise BackupError(str(error)) from error
        if not report.is_sound:
            raise BackupError("; ".join(report.problems[:3]))
        reports.append(report)

    manifest = restore(file, directory, check)
    return manifest, reports[0]


def told_of_restored(
    directory: Path, file: Path, manifest: Manifest, report: admin.Report
) -> dict[str, object]:
    """Return what there is to tell of a restored directory."""
    return {
        "into": str(directory),
        **told(file, manifest),
        "records": report.records,
        "archived": report.archived,
        "snapshots": msgspec.to_builtins(report.snapshots),
    }
