"""What SQLite's write-ahead log held before SQLite read it.

On opening, SQLite takes the log's transactions up to the first whose checksum is wrong and drops
the rest without a word. After kill -9 that is right: what is left over is at most one transaction
that never committed. But one flipped bit makes it drop transactions that had been acknowledged.
Counting the commit marks in the file beforehand tells the two apart. Layout:
https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import os
from pathlib import Path

import msgspec

_HEADER = 32
_FRAME_HEADER = 24
_PAGE_SIZE = slice(8, 12)
_SALTS_OF_LOG = slice(16, 24)
_SALTS_OF_FRAME = slice(8, 16)
_COMMIT_MARK = slice(4, 8)  # size of the database after a commit; 0 within a transaction


class WalContent(msgspec.Struct, frozen=True):
    """The frames after whose number a transaction is complete, as far as the file tells."""

    commits: tuple[int, ...] = ()
    size: int = 0  # bytes

    def dropped_after(self, frames: int) -> int:
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


def _content(descriptor: int) -> WalContent:
    size = os.fstat(descriptor).st_size
    header = os.pread(descriptor, _HEADER, 0)
    page_size = int.from_bytes(header[_PAGE_SIZE], "big")
    if len(header) < _HEADER or page_size == 0:
        return WalContent(size=size)
    salts = header[
        _SALTS_OF_LOG
    ]  # frames left over from before the last restart of the log have others
    step = _FRAME_HEADER + page_size
    commits = []
    for number in range(1, (size - _HEADER) // step + 1):
        frame = os.pread(descriptor, _FRAME_HEADER, _HEADER + (number - 1) * step)
        if frame[_SALTS_OF_FRAME] == salts and any(frame[_COMMIT_MARK]):
            commits.append(number)
    return WalContent(tuple(commits), size)
