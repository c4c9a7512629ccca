"""A file layer of our own under the very SQLite that the daemon uses.

SQLite reaches files through a table of functions, its VFS. This one sits on top of the usual one:
each call that opens, writes, cuts, syncs or removes a file is told first, may be refused with an
error code, and only then done. No code of ours knows that it is there: it is made the default.

It works where Python's `sqlite3` uses a shared library (`is_available`), as Debian's and most
distributions' does. Layout: https://www.sqlite.org/c3ref/vfs.html, .../c3ref/io_methods.html
"""

import ctypes
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from ctypes.util import find_library
from pathlib import Path
from typing import Any, Protocol

OK = sqlite3.SQLITE_OK
FULL = sqlite3.SQLITE_FULL
IOERR_READ = sqlite3.SQLITE_IOERR_READ
IOERR_WRITE = sqlite3.SQLITE_IOERR_WRITE
IOERR_FSYNC = sqlite3.SQLITE_IOERR_FSYNC
IOERR_TRUNCATE = sqlite3.SQLITE_IOERR_TRUNCATE
IOERR_DELETE = sqlite3.SQLITE_IOERR_DELETE
CANTOPEN = sqlite3.SQLITE_CANTOPEN

_LEFT_OPEN: list[Any] = []

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_FILE = CFUNCTYPE(c_int, c_void_p)
_DATA = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_SIZE = CFUNCTYPE(c_int, c_void_p, c_int64)
_FLAGS = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    _fields_ = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("app_data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("rest", c_void_p * 14),
    )


class _Methods(Structure):
    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("rest", c_void_p * 13),
    )


class Watcher(Protocol):
    """Is told of every call before it is done. What it returns but 0 is returned instead.

    What it raises fails the call, and `watched` at its end.
    """

    def opening(self, path: Path) -> int:
        """Answer for a file that is to be opened, and created if it is missing."""

    def reading(self, path: Path, offset: int, size: int) -> int:
        """Answer for a read."""

    def writing(self, path: Path, offset: int, data: bytes) -> tuple[int, int]:
        """Answer for a write, with how many of its bytes are to be written all the same."""

    def truncating(self, path: Path, size: int) -> int:
        """Answer for a file that is to be cut."""

    def syncing(self, path: Path) -> int:
        """Answer for what is to be made durable."""

    def deleting(self, path: Path, *, is_synced: bool) -> int:
        """Answer for a file that is to be removed, and its directory synced or not."""


def _library() -> Any:
    """Return the library that `sqlite3` uses; None when that cannot be reached."""
    name = find_library("sqlite3")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    library.sqlite3_libversion.restype = c_char_p
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    if library.sqlite3_libversion().decode() != sqlite3.sqlite_version:
        return None
    return library


def is_available() -> bool:
    """Whether a VFS that is registered here is seen by Python's `sqlite3`."""
    if _library() is None:
        return False
    with watched(Path("/nonexistent"), _Nobody()) as vfs:
        sqlite3.connect(":memory:").close()
        name = vfs.table.name.decode()
        try:
            sqlite3.connect(f"file::memory:?vfs={name}", uri=True).close()
        except sqlite3.OperationalError:  # no such vfs: it has a copy of its own
            return False
        return True


class _Nobody:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: OK


class _Layer:
    """The VFS, and the methods of the files that it opens below one directory."""

    def __init__(self, library: Any, directory: Path, watcher: Watcher) -> None:
        self._directory = directory
        self._watcher = watcher
        self._paths: dict[int, Path] = {}  # by the address of the open file
        self.below = library.sqlite3_vfs_find(None)
        self._open_below = _OPEN(self.below.contents.open)
        self._delete_below = _DELETE(self.below.contents.delete)
        self._methods: dict[
            int, _Methods
        ] = {}  # ours, by the address of those below: logs have others
        self.errors: list[BaseException] = []
        # Kept, else they are collected.
        self._keep: list[Any] = [
            _OPEN(self._safe(self._open)),
            _DELETE(self._safe(self._delete)),
        ]
        self.table = _Vfs()
        ctypes.memmove(ctypes.byref(self.table), self.below, ctypes.sizeof(_Vfs))
        self.table.name = b"holdfast-%x" % id(self)
        self.table.open = cast(self._keep[0], c_void_p)
        self.table.delete = cast(self._keep[1], c_void_p)

    @property
    def has_open_files(self) -> bool:
        """Whether a connection was left open."""
        return bool(self._paths)

    def _safe(self, function: Callable[..., int]) -> Callable[..., int]:
        """Return it with its errors kept for later: there is only C to raise them to."""

        def called(*arguments: Any) -> int:
            try:
                return function(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised again by `watched`
                self.errors.append(error)
                return sqlite3.SQLITE_IOERR

        return called

    def _watched_path(self, name: int | None) -> Path | None:
        if not name:
            return None  # a temporary file
        path = Path(ctypes.string_at(name).decode())
        return path if path.is_relative_to(self._directory) else None

    def _open(self, _vfs: int, name: int, file: int, flags: int, out_flags: int) -> int:
        path = self._watched_path(name)
        code = OK if path is None else self._watcher.opening(path)
        if code:
            c_void_p.from_address(file).value = None  # so that SQLite does not close it
            return code
        code = self._open_below(cast(self.below, c_void_p), name, file, flags, out_flags)
        methods = c_void_p.from_address(file)
        if code == OK and path is not None and methods.value:
            ours = self._methods.get(methods.value)
            if ours is None:
                ours = self._made(_Methods.from_address(methods.value))
                self._methods[methods.value] = ours
            self._paths[file] = path
            methods.value = ctypes.addressof(ours)
        return code

    def _delete(self, _vfs: int, name: int, sync_directory: int) -> int:
        path = self._watched_path(name)
        is_synced = bool(sync_directory)
        code = OK if path is None else self._watcher.deleting(path, is_synced=is_synced)
        return code or self._delete_below(cast(self.below, c_void_p), name, sync_directory)

    def _made(self, below: _Methods) -> _Methods:
        """Return methods that tell the watcher first; locks and the like stay as they are."""
        close, read, write = _FILE(below.close), _DATA(below.read), _DATA(below.write)
        truncate = _SIZE(below.truncate)
        watcher, paths = self._watcher, self._paths

        def closes(file: int) -> int:
            paths.pop(file, None)
            return close(file)

        def reads(file: int, data: int, size: int, offset: int) -> int:
            return watcher.reading(paths[file], offset, size) or read(file, data, size, offset)

        def writes(file: int, data: int, size: int, offset: int) -> int:
            code, all_the_same = watcher.writing(paths[file], offset, ctypes.string_at(data, size))
            if not code:
                return write(file, data, size, offset)
            if all_the_same:
                write(file, data, all_the_same, offset)
            return code

        def truncates(file: int, size: int) -> int:
            return watcher.truncating(paths[file], size) or truncate(file, size)

        def syncs(file: int, flags: int) -> int:
            del flags  # what is durable is what the watcher says: nothing is really synced
            return watcher.syncing(paths[file])

        ours = _Methods()
        ctypes.pointer(ours)[0] = below
        made = {
            "close": _FILE(self._safe(closes)),
            "read": _DATA(self._safe(reads)),
            "write": _DATA(self._safe(writes)),
            "truncate": _SIZE(self._safe(truncates)),
            "sync": _FLAGS(self._safe(syncs)),
        }
        for name, function in made.items():
            self._keep.append(function)
            setattr(ours, name, cast(function, c_void_p))
        return ours


@contextmanager
def watched(directory: Path, watcher: Watcher) -> Iterator[_Layer]:
    """Tell `watcher` of all that SQLite does to files below `directory`, for as long as it lasts.

    Connections must be closed before the end. Nothing is really synced meanwhile.
    """
    library = _library()
    layer = _Layer(library, directory, watcher)
    library.sqlite3_vfs_register(ctypes.byref(layer.table), 1)
    try:
        yield layer
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(layer.table))
        library.sqlite3_vfs_register(layer.below, 1)
        if layer.has_open_files:
            _LEFT_OPEN.append(layer)  # its functions may still be called
    if layer.errors:
        raise layer.errors[0]
