"""The simulated disk: what is synced stays, what is not may go, and it fails when it is told to."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.disk import vfs
from tests.disk.simulated import Call, Fault, SimulatedDisk
from tests.disk.specimens import Files, lay

pytestmark = pytest.mark.skipif(
    not vfs.is_available(), reason="sqlite3 brings a SQLite of its own that no VFS can be added to"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path / "data"


@pytest.fixture
def disk(directory: Path) -> Iterator[SimulatedDisk]:
    disk = SimulatedDisk(directory)
    with disk.mounted():
        yield disk


@pytest.fixture
def database(disk: SimulatedDisk, directory: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(directory / "a.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (x)")
        yield connection
        disk.fault = lambda _: None
        disk.room = None


def rows(files: Files, scratch: Path) -> int:
    lay(scratch, files)
    with closing(sqlite3.connect(scratch / "a.db")) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def test_what_is_committed_survives_every_power_cut(disk, database, tmp_path):
    for number in range(5):
        database.execute("INSERT INTO t VALUES (?)", (number,))
        assert disk.unsynced() == 0
        for seed in range(5):
            assert rows(disk.after_power_cut(Random(seed)), tmp_path / "cut") == number + 1


def test_what_is_written_without_a_sync_may_go_or_stay(disk, database, tmp_path):
    database.execute("PRAGMA synchronous = OFF")
    for number in range(5):
        database.execute("INSERT INTO t VALUES (?)", (number,))

    found = {rows(disk.after_power_cut(Random(seed)), tmp_path / "cut") for seed in range(30)}

    assert disk.unsynced() > 0
    assert {0, 5} <= found


def test_the_same_seed_leaves_the_same_files(disk, database):
    database.execute("PRAGMA synchronous = OFF")
    database.execute("INSERT INTO t VALUES (1)")

    assert disk.after_power_cut(Random(4)) == disk.after_power_cut(Random(4))


@pytest.mark.parametrize(
    ("fault", "kind", "name"),
    [
        (Fault.EIO, "write", "SQLITE_IOERR_WRITE"),
        (Fault.FULL, "write", "SQLITE_FULL"),
        (Fault.SHORT, "write", "SQLITE_FULL"),
        (Fault.LOST, "sync", "SQLITE_IOERR_FSYNC"),
    ],
)
def test_a_call_fails_as_the_system_would_say_it(disk, database, fault, kind, name):
    disk.fault = lambda call: fault if call.kind == kind else None

    with pytest.raises(sqlite3.OperationalError) as told:
        database.execute("INSERT INTO t VALUES (1)")

    assert told.value.sqlite_errorname == name


def test_what_a_failed_sync_should_have_written_is_read_but_never_durable(disk, database, tmp_path):
    disk.fault = lambda call: Fault.LOST if call.kind == "sync" else None
    with pytest.raises(sqlite3.OperationalError):
        database.execute("INSERT INTO t VALUES (1)")
    disk.fault = lambda _: None

    assert {rows(disk.after_power_cut(Random(seed)), tmp_path / "cut") for seed in range(9)} == {0}


def test_a_disk_without_room_is_full_until_there_is_some(disk, database, directory):
    disk.room = 100
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database.execute("INSERT INTO t VALUES (1)")
    assert disk.free_bytes(directory) <= 100
    with pytest.raises(OSError, match="No space"):
        disk.write_atomically(directory / "file", bytes(200))

    disk.room = None

    database.execute("INSERT INTO t VALUES (1)")


def test_a_whole_file_is_there_as_it_was_or_as_it_is(disk, directory):
    path = directory / "file"
    disk.write_atomically(path, b"old")
    cuts: list[Files] = []

    def cut(_: Call) -> None:
        cuts.extend(disk.after_power_cut(Random(seed)) for seed in range(20))

    disk.on_call = cut
    disk.write_atomically(path, b"new")
    cut(Call(0, "after", path))

    assert {files["file"] for files in cuts} == {b"old", b"new"}
    assert {files["file"] for files in cuts[-20:]} == {b"new"}


def test_every_call_is_told_before_it_is_done(disk, database):
    calls: list[Call] = []
    disk.on_call = calls.append

    database.execute("INSERT INTO t VALUES (1)")

    assert [call.kind for call in calls][-1] == "sync"
    assert {call.kind for call in calls[:-1]} == {"write"}
    numbers = [call.number for call in calls]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_what_goes_wrong_in_a_watcher_is_raised_at_the_end(directory):
    disk = SimulatedDisk(directory)

    def broken(_: Call) -> None:
        raise ZeroDivisionError

    disk.on_call = broken

    def use() -> None:
        with disk.mounted(), pytest.raises(sqlite3.OperationalError):
            sqlite3.connect(directory / "b.db").execute("CREATE TABLE t (x)")

    with pytest.raises(ZeroDivisionError):
        use()
