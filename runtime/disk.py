"""Files that are whole and durable when a call returns, or untouched.

A file is written beside its place and renamed over it. The rename is atomic, but only after a sync
of the file is its content on the disk, and only after a sync of the directory is its name. Symbolic
links are refused: what we replace or read must be the file we named, not what somebody points it
to.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path


class RealDisk:
    """The machine's file system. Everything raises `OSError` as the system says it."""

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Make `data` the content of `path` (mode 0600); the directory must exist.

        Raises `OSError`: ELOOP for a symbolic link, ENOSPC for a full disk, and so on. `path` is as
        before then, except when syncing the directory fails, where either content may survive a
        power cut.
        """
        _refuse_link(path)
        beside = path.with_name(f".{path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()  # left by a crash
        try:
            _write_synced(beside, data)
            beside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        _sync_directory(path.parent)

    def read(self, path: Path) -> bytes:
        """Return the whole file. Raises `OSError`: ENOENT, ELOOP for a symbolic link, ..."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def free_bytes(self, path: Path) -> int:
        """Return what a file under `path`, which need not exist, may take without privileges."""
        while True:
            try:
                system = os.statvfs(path)
            except FileNotFoundError:
                if path == path.parent:
                    raise
                path = path.parent
            else:
                return system.f_bavail * system.f_frsize


def _refuse_link(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "a symbolic link is not written through", str(path))


def _write_synced(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]  # a write may be short
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
