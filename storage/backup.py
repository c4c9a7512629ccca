"""Backup files: what belongs together, in one file that can check itself.

    manifest.json       format, versions, the journal's end, size and SHA-256 of each file
    holdfast.db         a copy of the database as of one instant
    snapshots/…         of before that instant
    paper.db            the paper venue's ledger, as of a little later
    config.yaml         what was in force, without secrets

A tar, compressed. It is put together beside its place and renamed, so that a name never stands for
a part of a backup. The order is what makes the pair whole: the ledger is copied after the journal,
so it lacks nothing that the journal knows. What it has beyond that is found at the next start, as
everything is that happened at a venue while the daemon was away.

Archive files are not in it. They never change: copy them beside it.
"""

import os
import shutil
import sqlite3
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from storage.chain import Tail, anchor_of, tail_of
from storage.connection import NAME
from storage.errors import BackupError, SqliteError, StorageError
from storage.files import sync_directory
from storage.migrate import HEAD
from storage.snapshot import DIRECTORY as SNAPSHOTS
from storage.snapshot import SUFFIX

FORMAT = 1
MANIFEST = "manifest.json"
CONFIG = "config.yaml"
LEDGER = "paper.db"
PAGES = 64  # copied in one go, a quarter of a megabyte; then others get their turn
_BLOCK = 1024 * 1024
_MAX_MANIFEST = 1024 * 1024


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a backup."""

    name: str
    bytes: int
    sha256: str


class JournalEntry(msgspec.Struct, frozen=True):
    """Where the journal of a backup begins and ends."""

    first_seq: int
    last_seq: int
    last_hash: str
    anchor_hash: str  # of the last archived record; zeros: nothing is archived


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds."""

    format: int
    holdfast: str
    schema: str
    made_at: str  # ISO, UTC
    journal: JournalEntry
    files: tuple[FileEntry, ...]


class Staging:
    """The directory beside a backup's place where its files are gathered; gone at the end."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.directory = file.with_name(f".{file.name}.parts")
        self._packed = file.with_name(f".{file.name}.new")

    def __enter__(self) -> Self:
        """Make it. Raises `OSError`."""
        self.clear()
        self.directory.mkdir(mode=0o700)
        (self.directory / SNAPSHOTS).mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove it, and what is not finished."""
        shutil.rmtree(self.directory, ignore_errors=True)
        with suppress(OSError):
            self._packed.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Add a file. Raises `OSError`."""
        with _created(self.directory / name) as file:
            file.write(data)

    def snapshot(self, path: Path) -> None:
        """Add a snapshot; one that is gone meanwhile is no loss. Raises `OSError`."""
        with suppress(FileNotFoundError):
            self.write(f"{SNAPSHOTS}/{path.name}", path.read_bytes())

    def pack(self, version: str, made_at: str) -> Manifest:
        """Make the backup of what is here, and give it its name. Raises `OSError`."""
        files = tuple(
            _measured(path, str(path.relative_to(self.directory)))
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        )
        manifest = Manifest(
            format=FORMAT,
            holdfast=version,
            schema=HEAD,
            made_at=made_at,
            journal=_journal_in(self.directory / NAME),
            files=files,
        )
        with _created(self._packed) as out:
            with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
                _add(tar, MANIFEST, msgspec.json.encode(manifest))
                for entry in files:
                    tar.add(self.directory / entry.name, entry.name, filter=_plain)
            out.flush()
            os.fsync(out.fileno())
        self._packed.replace(self.file)
        sync_directory(self.file.parent)
        return manifest


def copy_database(
    connection_of: Callable[[], sqlite3.Connection], target: Path, give_way: Callable[[], None]
) -> None:
    """Copy a database through the connection that writes it, on that connection's thread.

    Between two steps `give_way` lets others use it: what they commit is in the copy. Raises
    `BackupError`, and what `give_way` raises.
    """
    source = connection_of()

    def progress(_status: int, remaining: int, _total: int) -> None:
        if remaining == 0:
            return  # done: what comes now is not in the copy
        give_way()
        if connection_of() is not source:
            raise BackupError("the database had to be opened anew meanwhile; try again")

    with _created(target):
        pass  # with our mode
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        source.backup(copy, pages=PAGES, progress=progress, sleep=0.001)
    except SqliteError as error:
        raise BackupError(f"{target.name} cannot be copied: {error}") from error
    finally:
        copy.close()


def copy_at_rest(path: Path, target: Path) -> None:
    """Copy a database that nobody has open. Raises `BackupError`."""
    try:
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    except SqliteError as error:
        raise BackupError(f"{path} cannot be read: {error}") from error
    try:
        copy_database(lambda: source, target, lambda: None)
    finally:
        source.close()


def restore(file: Path, directory: Path, check: Callable[[Path], None]) -> Manifest:
    """Unpack a backup into a directory that is new or empty, and check it all; then `check` it.

    Raises `BackupError`, `OSError` and what `check` raises; then the directory is as it was.
    """
    is_new = not directory.exists()
    if not is_new and (not directory.is_dir() or any(directory.iterdir())):
        raise BackupError(f"{directory} is there already, and not an empty directory")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    try:
        manifest = _unpacked(file, directory)
        _check_journal(directory, manifest)
        check(directory)
        for folder in (directory / SNAPSHOTS, directory):
            if folder.exists():
                sync_directory(folder)
    except BaseException:
        for path in directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if is_new:
            directory.rmdir()
        raise
    return manifest


def begins_as_backup(path: Path) -> bool:
    """Whether it is a regular file that begins as a backup does, whole or not. Raises `OSError`."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False  # a link, a socket, a device: opening it may already do something
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:gz") as tar:
                first = tar.next()
        except (tarfile.TarError, EOFError, zlib.error):
            return False
        return first is not None and first.name == MANIFEST and first.isreg()


def _unpacked(file: Path, directory: Path) -> Manifest:
    try:
        with tarfile.open(file, "r:gz") as tar:
            members = iter(tar)
            manifest = _manifest_in(tar, next(members, None))
            wanted = {entry.name: entry for entry in manifest.files}
            for member in members:
                entry = wanted.pop(member.name, None)
                if entry is None or not member.isreg() or member.size != entry.bytes:
                    raise BackupError(f"{member.name!r} in it is not what its manifest says")
                _extract(tar, member, entry, directory / member.name)
    except FileNotFoundError:
        raise BackupError(f"there is no file {file}") from None
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"it is damaged, or no backup: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise BackupError(f"it is damaged: {error}") from error  # gzip says it so
    if wanted:
        raise BackupError(f"{', '.join(wanted)} is missing in it")
    return manifest


def _manifest_in(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Manifest:
    content = None
    if member is not None and member.name == MANIFEST and member.size <= _MAX_MANIFEST:
        content = tar.extractfile(member)
    if content is None:
        raise BackupError("it does not begin as a backup does")
    try:
        manifest = msgspec.json.decode(content.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(f"its manifest cannot be read: {error}") from error
    if manifest.format != FORMAT:
        why = f"it has format {manifest.format}, this version of Holdfast reads {FORMAT}"
        raise BackupError(why)
    for entry in manifest.files:
        if not _is_ours(entry.name):
            raise BackupError(f"a backup has no file {entry.name!r}")
    return manifest


def _is_ours(name: str) -> bool:
    """Whether a name may be written: no path of somebody else's making."""
    folder, _, last = name.rpartition("/")
    if folder == SNAPSHOTS:
        return last.endswith(SUFFIX) and last.removesuffix(SUFFIX).isdigit()
    return not folder and last in {NAME, LEDGER, CONFIG}


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, entry: FileEntry, path: Path) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # a regular file
    digest = sha256()
    with _created(path) as out:
        while block := content.read(_BLOCK):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != entry.sha256:
        raise BackupError(f"{entry.name} in it is damaged: its content does not match its hash")


def _check_journal(directory: Path, manifest: Manifest) -> None:
    if not (directory / NAME).exists():
        raise BackupError(f"{NAME} is missing in it")
    try:
        found = _journal_in(directory / NAME)
    except StorageError as error:
        raise BackupError(str(error)) from error
    if found != manifest.journal:
        raise BackupError("its journal ends elsewhere than its manifest says")


def _journal_in(path: Path) -> JournalEntry:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        anchor: Tail = anchor_of(connection)
        tail = tail_of(connection)
    finally:
        connection.close()
    return JournalEntry(anchor.seq + 1, tail.seq, tail.hash, anchor.hash)


def _measured(path: Path, name: str) -> FileEntry:
    digest = sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return FileEntry(name, size, digest.hexdigest())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, BytesIO(data))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made it."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        yield file
