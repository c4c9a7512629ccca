"""Verify, dump and rebuild say what they find, and keep their hands off a running daemon."""

import io
import json
import sqlite3
from pathlib import Path

import pytest

from storage.admin import dump, dump_open, rebuild_directory, verify
from storage.connection import NAME
from storage.errors import AlreadyRunningError, DamagedRecordError, NoJournalError
from storage.snapshot import snapshot_paths
from tests.storage.words import (
    DISK,
    REGISTRY,
    TABLES,
    Writer,
    intended,
    life_of,
    open_store,
    order_stream,
    read_tables,
)


def two_orders(directory: Path) -> str:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.append(order_stream(1), *life_of(1))
        store.write_snapshot(writer.streams)
        writer.append(order_stream(2), *life_of(2)[:3])
        return store.journal.journal_hash


def edit(directory: Path, sql: str) -> None:
    connection = sqlite3.connect(directory / NAME)
    connection.execute(sql)
    connection.commit()
    connection.close()


def test_a_sound_journal_is_said_to_be_sound(directory: Path) -> None:
    last_hash = two_orders(directory)

    report = verify(directory, REGISTRY, DISK)

    assert report.is_sound
    assert (report.records, report.last_hash, report.first_bad) == (7, last_hash, None)
    assert [(each.name, each.problem) for each in report.snapshots] == [
        ("0000000000000004.snapshot", "")
    ]


def test_verifying_changes_nothing(directory: Path) -> None:
    two_orders(directory)
    before = (directory / NAME).read_bytes()

    verify(directory, REGISTRY, DISK)

    assert (directory / NAME).read_bytes() == before


def test_a_damaged_record_and_a_damaged_snapshot_are_both_named(directory: Path) -> None:
    two_orders(directory)
    edit(directory, "UPDATE journal SET payload = '{}' WHERE seq = 3")
    snapshot_paths(directory)[0].write_bytes(b"HOLD")

    report = verify(directory, REGISTRY, DISK)

    assert not report.is_sound
    assert report.first_bad == 3
    assert report.problems == ("journal record 3: its content does not match its hash",)
    assert "truncated" in report.snapshots[0].problem


def test_a_damaged_index_is_a_problem_of_the_file(directory: Path) -> None:
    two_orders(directory)
    connection = sqlite3.connect(directory / NAME)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_journal_1'"
    ).fetchone()
    connection.close()
    data = bytearray((directory / NAME).read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    (directory / NAME).write_bytes(data)

    report = verify(directory, REGISTRY, DISK)
    assert report.first_bad is None
    assert any(problem.startswith("database file: ") for problem in report.problems)

    rebuilt = rebuild_directory(directory, REGISTRY, TABLES, DISK)

    assert rebuilt.records == 7
    assert "is kept as" in rebuilt.problems[0]
    assert verify(directory, REGISTRY, DISK).is_sound
    with open_store(directory) as store:
        assert store.recovered.problems == ()
        Writer(store.journal, store.recovered.streams).append(order_stream(3), intended(3))


def test_a_dump_is_one_json_object_a_line(directory: Path) -> None:
    last_hash = two_orders(directory)
    out = io.StringIO()

    assert dump(directory, out) == 7

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert lines[0]["payload"]["terms"]["symbol"] == "BTC/USDT"
    assert lines[-1]["hash"] == last_hash


def test_a_dump_of_one_stream_holds_only_it(directory: Path) -> None:
    two_orders(directory)
    out = io.StringIO()

    assert dump(directory, out, order_stream(2)) == 3

    streams = {json.loads(line)["stream"] for line in out.getvalue().splitlines()}
    assert streams == {order_stream(2)}


def test_a_dump_stops_at_damage_and_says_where(directory: Path) -> None:
    two_orders(directory)
    edit(directory, "UPDATE journal SET time = 'yesterday' WHERE seq = 5")
    out = io.StringIO()

    with pytest.raises(DamagedRecordError, match="journal record 5"):
        dump(directory, out)

    assert len(out.getvalue().splitlines()) == 4


def test_an_open_database_is_dumped_by_its_owner(directory: Path) -> None:
    two_orders(directory)
    with open_store(directory) as store:
        assert dump_open(store.database.connection, io.StringIO()) == 7


def test_lost_read_rows_come_back_by_rebuilding(directory: Path) -> None:
    two_orders(directory)
    with open_store(directory) as store:
        before = read_tables(store.database)
    edit(directory, "DELETE FROM orders")
    edit(directory, "UPDATE fills SET price = '1'")

    rebuilt = rebuild_directory(directory, REGISTRY, TABLES, DISK)

    assert rebuilt == (7, ())
    with open_store(directory) as store:
        assert read_tables(store.database) == before


def test_rebuilding_from_a_damaged_journal_changes_nothing(directory: Path) -> None:
    two_orders(directory)
    edit(directory, "UPDATE journal SET payload = '{}' WHERE seq = 3")
    with sqlite3.connect(directory / NAME) as connection:
        before = connection.execute("SELECT * FROM orders").fetchall()
    connection.close()

    with pytest.raises(DamagedRecordError, match="record 3"):
        rebuild_directory(directory, REGISTRY, TABLES, DISK)

    with sqlite3.connect(directory / NAME) as connection:
        assert connection.execute("SELECT * FROM orders").fetchall() == before
    connection.close()


def test_a_running_daemon_is_left_alone(directory: Path) -> None:
    with open_store(directory):
        for work in (
            lambda: verify(directory, REGISTRY, DISK),
            lambda: dump(directory, io.StringIO()),
            lambda: rebuild_directory(directory, REGISTRY, TABLES, DISK),
        ):
            with pytest.raises(AlreadyRunningError, match="process"):
                work()


def test_a_directory_without_a_journal_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(NoJournalError, match="no journal"):
        verify(tmp_path, REGISTRY, DISK)

    assert list(tmp_path.iterdir()) == []
