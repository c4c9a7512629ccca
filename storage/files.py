"""Files that nobody else may have planted, changed or read.

The database, the lock and the snapshots hold what money follows from. A symbolic link, another
owner or a mode that lets others in is refused before the file is used, and the message says which
command puts it right.
"""

import os
import stat
from pathlib import Path

from storage.errors import UnsafeFileError

_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def prepare_directory(path: Path) -> None:
    """Create a directory only we may enter; an existing one must be ours and closed to writers.

    Raises `UnsafeFileError`.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise UnsafeFileError(
            f"{path} belongs to user {found.st_uid}, not to the one running Holdfast."
        )
    if stat.S_IMODE(found.st_mode) & _OTHERS_WRITE:
        is_for_all = found.st_mode & stat.S_ISVTX  # as /tmp, which must stay open
        remedy = "name another, that one is for all" if is_for_all else f"run chmod 700 {path}"
        raise UnsafeFileError(f"Others can write to {path}: {remedy}")


def open_private(path: Path, *, creates: bool = True) -> int:
    """Open for reading and writing; return the descriptor. `creates` a missing one with mode 0600.

    Raises `UnsafeFileError` for a link, a foreign or a shared file, `OSError` for what the disk
    does.
    """
    if path.is_symlink():
        raise UnsafeFileError(f"{path} is a symbolic link; move the file itself there.")
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if creates else 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        _check(path, os.fstat(descriptor))
    except UnsafeFileError:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeFileError(f"{path} is not a regular file.")
    if found.st_uid != os.geteuid():
        raise UnsafeFileError(
            f"{path} belongs to user {found.st_uid}, not to the one running Holdfast."
        )
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        raise UnsafeFileError(f"Others can use {path}: run chmod 600 {path}")


def sync_directory(path: Path) -> None:
    """Make names created, renamed or removed in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
