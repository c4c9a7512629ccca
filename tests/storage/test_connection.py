"""One connection, one process, one owner; everything else is refused before anything changes."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from storage.connection import NAME, Database, check_sqlite, is_safe_with_two
from storage.errors import (
    AlreadyRunningError,
    JournalDamagedError,
    JournalUnavailableError,
    NewerSchemaError,
    SecondConnectionError,
    Trouble,
    UnsafeFileError,
    UnsupportedSqliteError,
)
from storage.lock import DirectoryLock
from tests.storage.words import Writer, open_store

FOREIGN = 65534  # nobody
ROOT = Path(__file__).parents[2]


def pragma(database: Database, name: str) -> object:
    return database.connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_every_commit_reaches_the_disk_through_one_exclusive_log(directory: Path) -> None:
    database = Database(directory / NAME)
    try:
        assert pragma(database, "journal_mode") == "wal"
        assert pragma(database, "synchronous") == 2
        assert pragma(database, "locking_mode") == "exclusive"
        assert pragma(database, "foreign_keys") == 1
        assert pragma(database, "busy_timeout") == 0
        assert not (directory / f"{NAME}-shm").exists()
    finally:
        database.close()


def test_a_new_database_and_its_directory_are_private(tmp_path: Path) -> None:
    path = tmp_path / "var" / NAME
    Database(path).close()

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_connection_in_the_process_is_refused(directory: Path) -> None:
    database = Database(directory / NAME)
    try:
        with pytest.raises(SecondConnectionError, match="open in this process already"):
            Database(directory / NAME)
    finally:
        database.close()
    Database(directory / NAME).close()


def test_a_second_name_of_the_open_file_is_refused_as_well(directory: Path) -> None:
    (directory / "other.db").hardlink_to(directory / NAME)
    database = Database(directory / NAME)
    try:
        with pytest.raises(SecondConnectionError):
            Database(directory / "other.db")
    finally:
        database.close()


def test_another_process_cannot_write_beside_the_connection(directory: Path) -> None:
    database = Database(directory / NAME)
    try:
        script = (
            "import sqlite3\n"
            f"sqlite3.connect({str(directory / NAME)!r}, timeout=0).execute('DELETE FROM meta')"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
    finally:
        database.close()

    assert "database is locked" in done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT",
        "SELECT count(*) FROM journal",  # whoever has looked keeps a lock until he closes
    ],
)
def test_a_database_that_another_program_has_open_is_unavailable_and_says_how_to_find_it(
    directory: Path, statement: str
) -> None:
    Database(directory / NAME).close()  # in WAL mode from here on
    script = (
        "import sqlite3, sys\n"
        f"c = sqlite3.connect({str(directory / NAME)!r}, isolation_level=None)\n"
        f"c.executescript({statement!r})\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(JournalUnavailableError) as caught:
            Database(directory / NAME)
        other.communicate()

    assert caught.value.kind is Trouble.LOCKED
    assert f"open: find it with `fuser {directory / NAME}` and close it" in str(caught.value)


@pytest.mark.parametrize("name", [NAME, f"{NAME}-wal", "holdfast.lock"])
def test_a_symbolic_link_is_refused(directory: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    if (directory / name).exists():
        (directory / name).rename(target)
    else:
        target.write_bytes(b"")
        target.chmod(0o600)
    (directory / name).symlink_to(target)

    with pytest.raises(UnsafeFileError, match="symbolic link"):
        open_store(directory)


def test_a_file_that_others_can_read_is_refused_with_the_remedy(directory: Path) -> None:
    (directory / NAME).chmod(0o644)

    with pytest.raises(UnsafeFileError, match="chmod 600"):
        Database(directory / NAME)


def test_a_directory_that_others_can_write_is_refused(directory: Path) -> None:
    directory.chmod(0o777)

    with pytest.raises(UnsafeFileError, match="chmod 700"):
        open_store(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(directory: Path) -> None:
    os.chown(directory / NAME, FOREIGN, FOREIGN)

    with pytest.raises(UnsafeFileError, match=f"belongs to user {FOREIGN}"):
        Database(directory / NAME)


def test_a_directory_in_place_of_the_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()

    with pytest.raises(JournalUnavailableError):
        Database(tmp_path / NAME)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / NAME)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    (tmp_path / NAME).chmod(0o600)

    with pytest.raises(UnsafeFileError, match="not a Holdfast database"):
        Database(tmp_path / NAME)


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"to whom it may concern " * 100)
    (tmp_path / NAME).chmod(0o600)

    with pytest.raises(JournalDamagedError, match="Keep a copy"):
        Database(tmp_path / NAME)


def test_a_schema_of_a_newer_version_is_refused(directory: Path) -> None:
    database = Database(directory / NAME)
    database.connection.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    with pytest.raises(NewerSchemaError, match=r"schema 9999.*Upgrade Holdfast"):
        open_store(directory)


def test_a_refused_database_can_be_opened_once_it_is_right(directory: Path) -> None:
    (directory / NAME).chmod(0o644)
    with pytest.raises(UnsafeFileError):
        open_store(directory)
    (directory / NAME).chmod(0o600)

    open_store(directory).close()


def test_looking_without_claiming_leaves_the_epoch(directory: Path) -> None:
    Database(directory / NAME).close()
    looked = Database(directory / NAME, claim=False)
    looked.close()
    claimed = Database(directory / NAME)
    claimed.close()

    assert (looked.epoch, claimed.epoch) == (1, 2)


def test_an_old_sqlite_is_refused() -> None:
    check_sqlite((3, 40, 1))
    with pytest.raises(UnsupportedSqliteError, match=r"3\.34\.9 is too old"):
        check_sqlite((3, 34, 9))


@pytest.mark.parametrize(
    ("version", "safe"), [((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True)]
)
def test_which_versions_could_stand_two_connections_is_known(
    version: tuple[int, ...], safe: bool
) -> None:
    assert is_safe_with_two(version) is safe


def test_a_second_daemon_is_refused_by_pid_and_path(directory: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom storage.lock import DirectoryLock\n"
        f"with DirectoryLock(Path({str(directory)!r})):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(
            AlreadyRunningError, match=rf"holdfast\.lock is held by process {other.pid}"
        ):
            open_store(directory)
        other.kill()
    open_store(directory).close()  # the kernel let go of it


def test_the_lock_is_free_again_after_a_failed_start(directory: Path) -> None:
    (directory / NAME).write_bytes(b"x" * 5000)
    with pytest.raises(JournalDamagedError):
        open_store(directory)

    DirectoryLock(directory).release()


def test_a_closed_store_can_be_opened_again(directory: Path) -> None:
    with open_store(directory) as store:
        Writer(store.journal).count("count/a", 1)
    with open_store(directory) as store:
        assert store.journal.tail.seq == 1
