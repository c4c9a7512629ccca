"""The log is written over itself so that what can be read of it is on the disk."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runtime.wal import WalContent, make_durable, read_wal, wal_path

LARGE = 3 * 1024 * 1024


def test_a_log_that_is_made_durable_says_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (zeroblob(3000000))")
        before = wal_path(path).read_bytes()

        make_durable(path)

        assert len(before) > 2 * 1024 * 1024
        assert wal_path(path).read_bytes() == before
        assert read_wal(path).commits
        assert connection.execute("SELECT length(x) FROM t").fetchone() == (3_000_000,)


def test_a_database_without_a_log_has_nothing_to_make_durable(tmp_path: Path) -> None:
    make_durable(tmp_path / "a.db")

    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_log_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"theirs")
    wal_path(tmp_path / "a.db").symlink_to(tmp_path / "other")

    with pytest.raises(OSError, match="symbolic"):
        make_durable(tmp_path / "a.db")


def test_a_log_that_has_room_and_nothing_in_it_is_no_damaged_one(tmp_path: Path) -> None:
    wal_path(tmp_path / "a.db").write_bytes(bytes(LARGE))

    assert read_wal(tmp_path / "a.db") == WalContent()


@pytest.mark.parametrize("place", [32, LARGE - 1])
def test_a_log_whose_header_alone_is_zeros_is_damaged(tmp_path: Path, place: int) -> None:
    log = bytearray(LARGE)
    log[place] = 1
    wal_path(tmp_path / "a.db").write_bytes(log)

    assert read_wal(tmp_path / "a.db").is_damaged
