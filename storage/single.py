"""The guard against a second connection to a database within the process.

The operating system's locks do not help there: they belong to the process, and closing any
descriptor of the file drops them.
"""

import os
import sqlite3
from pathlib import Path

from storage.errors import SecondConnectionError, UnsafeFileError
from storage.files import open_private

Identity = tuple[int, int]  # device and inode: a file may have several names

_open: set[Identity] = set()


def reserve(path: Path, *, creates: bool = True) -> Identity:
    """Check the file and what lies beside it, and note that it is open; create it if it is missing.

    Raises `SecondConnectionError`, `UnsafeFileError`, `OSError`.
    """
    for suffix in ("-wal", "-shm", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.is_symlink():
            raise UnsafeFileError(f"{beside} is a symbolic link; remove it.")
    if path.exists() and not path.is_symlink():
        _refuse_second(path, _identity(path.stat()))  # before a descriptor of it is closed again
    descriptor = open_private(path, creates=creates)
    try:
        identity = _identity(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    _open.add(identity)
    return identity


def release(identity: Identity) -> None:
    """Note that the file is closed."""
    _open.discard(identity)


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _refuse_second(path: Path, identity: Identity) -> None:
    if identity in _open:
        raise SecondConnectionError(
            f"{path} is open in this process already; a database that is written has one"
            f" connection (SQLite {sqlite3.sqlite_version})."
        )
