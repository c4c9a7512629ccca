"""What SQLite's write-ahead log held before SQLite read it.

On opening, SQLite takes the log's transactions up to the first whose checksum is wrong and drops
the rest without a word. After kill -9 that is right: what is left over is at most one transaction
that never committed. But one flipped bit makes it drop transactions that had been acknowledged.
Counting the commit marks in the file beforehand tells the two apart. Layout:
https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import os
from pathlib import Path
from typing import Literal

import msgspec

_BLOCK = 1024 * 1024  # bytes
_MAGIC = 0x377F0682  # the lowest bit tells the byte order of the checksums
_HEADER = 32
_CHECKED = 24  # bytes of the header before its checksum
_FRAME_HEADER = 24
_PAGE_SIZE = slice(8, 12)
_SALTS_OF_LOG = slice(16, 24)
_SALTS_OF_FRAME = slice(8, 16)
_COMMIT_MARK = slice(4, 8)  # size of the database after a commit; 0 within a transaction


class WalContent(msgspec.Struct, frozen=True):
    """What a log held, as far as the file tells."""

    commits: tuple[int, ...] = ()  # the frames after which a transaction is complete, from 1
    is_damaged: bool = False  # its header, and it has more: then SQLite ignores all of it

    def commits_after(self, frames: int) -> int:
        """Return how many transactions lie beyond the first `frames` frames."""
        return sum(1 for commit in self.commits if commit > frames)


def wal_path(database: Path) -> Path:
    """Return where SQLite keeps the log of a database."""
    return database.with_name(database.name + "-wal")


def read_wal(database: Path) -> WalContent:
    """Look at the log of a database that nobody has open. Raises `OSError`."""
    try:
        descriptor = os.open(wal_path(database), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return WalContent()
    try:
        return _content(descriptor)
    finally:
        os.close(descriptor)


def make_durable(database: Path) -> None:
    """Write the log's bytes over themselves and sync: what can be read of it is then on the disk.

    A sync that fails loses what it should have written, and the next one succeeds without it. The
    log can still be read, for it is in memory; written back into the database it would leave, after
    a power cut, a database that is newer than its log, and SQLite would put the old pages of the
    log over it. Raises `OSError`.
    """
    try:
        descriptor = os.open(wal_path(database), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        place = 0
        while block := os.pread(descriptor, _BLOCK, place):
            rest = memoryview(block)
            while rest:
                written = os.pwrite(descriptor, rest, place)
                rest, place = rest[written:], place + written
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> WalContent:
    size = os.fstat(descriptor).st_size
    if size <= _HEADER:
        return WalContent()
    header = os.pread(descriptor, _HEADER, 0)
    if not _is_sound(header):
        return WalContent(is_damaged=not _is_blank(descriptor))
    salts = _words(header[_SALTS_OF_LOG], "big")
    step = _FRAME_HEADER + int.from_bytes(header[_PAGE_SIZE], "big")
    commits = []
    for number in range(1, (size - _HEADER) // step + 1):
        frame = os.pread(descriptor, _FRAME_HEADER, _HEADER + (number - 1) * step)
        found = _words(frame[_SALTS_OF_FRAME], "big")
        # Frames left over from before the last restart differ in both; one flipped bit in one.
        is_current = found[0] == salts[0] or found[1] == salts[1]
        if is_current and any(frame[_COMMIT_MARK]):
            commits.append(number)
    return WalContent(tuple(commits))


def _is_blank(descriptor: int) -> bool:
    """Whether it has room and nothing in it: nobody has written since the room was taken."""
    place = 0
    while block := os.pread(descriptor, _BLOCK, place):
        if block.strip(b"\0"):
            return False
        place += len(block)
    return True


def _is_sound(header: bytes) -> bool:
    magic, *words = _words(header, "big")
    if magic & ~1 != _MAGIC:
        return False
    first = second = 0
    content = _words(header[:_CHECKED], "big" if magic & 1 else "little")
    for one, other in zip(content[::2], content[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return [first, second] == words[-2:]


def _words(data: bytes, order: Literal["big", "little"]) -> list[int]:
    return [int.from_bytes(data[start : start + 4], order) for start in range(0, len(data), 4)]
