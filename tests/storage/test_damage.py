"""A flipped bit is found where it is; what came before it is kept, what comes after set aside."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.wal import wal_path
from storage.admin import rebuild_directory, verify, verify_open
from storage.connection import NAME, Database
from storage.errors import JournalDamagedError, StorageError
from storage.queries import quarantined
from storage.rebuild import rebuild
from storage.store import Store
from storage.streams import Streams
from tests.storage.words import (
    DISK,
    REGISTRY,
    TABLES,
    Count,
    Writer,
    accepted,
    filled,
    intended,
    life_of,
    live,
    new_directory,
    open_store,
    order_stream,
    read_tables,
    sent,
)

COLUMNS = (
    "seq",
    "stream",
    "stream_version",
    "writer_epoch",
    "type",
    "schema_version",
    "time",
    "payload",
    "previous_hash",
    "hash",
)


def ten_records(directory: Path) -> list[Streams]:
    """Write ten records in five commits; return the states after each record."""
    states: list[Streams] = [{}]
    with open_store(directory) as store:
        writer = Writer(store.journal)
        for stream, event in (
            (order_stream(1), intended(1)),
            (order_stream(2), intended(2)),
            (order_stream(1), sent()),
            (order_stream(1), accepted("v1")),
            (order_stream(2), sent()),
            (order_stream(1), filled(1, "0.5")),
            (order_stream(2), accepted("v2")),
            (order_stream(3), intended(3)),
            (order_stream(3), sent()),
            (order_stream(3), accepted("v3")),
        ):
            writer.append(stream, event)
            states.append(dict(writer.streams))
    return states


def flip_in_column(directory: Path, seq: int, column: str, bit: int) -> None:
    """Flip one bit of what a column holds, as a bad disk would."""
    connection = sqlite3.connect(directory / NAME)
    query = f"SELECT CAST({column} AS BLOB) FROM journal WHERE seq = ?"
    data = bytearray(connection.execute(query, (seq,)).fetchone()[0])
    bit %= 8 * len(data)
    data[bit // 8] ^= 1 << bit % 8
    value: object = bytes(data)
    if column in {"seq", "stream_version", "writer_epoch", "schema_version"}:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        value = int(seq) ^ (1 << 20 + bit % 8) if column == "seq" else 7 + bit
        assignment = "?"
    else:
        assignment = "CAST(? AS TEXT)"
    connection.execute(f"UPDATE journal SET {column} = {assignment} WHERE seq = ?", (value, seq))
    connection.commit()
    connection.close()


@given(st.integers(1, 10), st.sampled_from(COLUMNS), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_of_a_record_is_detected(seq: int, column: str, bit: int) -> None:
    with TemporaryDirectory() as parent:
        directory = new_directory(Path(parent))
        ten_records(directory)
        assert verify(directory, REGISTRY, DISK).is_sound

        flip_in_column(directory, seq, column, bit)

        report = verify(directory, REGISTRY, DISK)
        assert report.first_bad == seq
        assert report.records == seq - 1


def test_every_byte_of_a_payload_and_its_hash_counts(directory: Path) -> None:
    ten_records(directory)
    with open_store(directory) as store:
        connection = store.database.connection
        for column in ("payload", "hash"):
            query = f"SELECT {column} FROM journal WHERE seq = 6"
            (text,) = connection.execute(query).fetchone()
            update = f"UPDATE journal SET {column} = ? WHERE seq = 6"
            for index, character in enumerate(text):
                other = chr(ord(character) ^ 1)
                connection.execute(update, (text[:index] + other + text[index + 1 :],))
                report = verify_open(store.database, REGISTRY, DISK)
                assert report.first_bad == 6, (column, index)
            connection.execute(update, (text,))
        assert verify_open(store.database, REGISTRY, DISK).is_sound


def damage_payload(directory: Path, seq: int) -> None:
    flip_in_column(directory, seq, "payload", 77)


def test_the_daemon_goes_on_from_the_last_good_record(directory: Path) -> None:
    states = ten_records(directory)
    damage_payload(directory, 7)

    with open_store(directory) as store:
        assert store.recovered.streams == live(states[6])
        assert store.journal.tail.seq == 6
        (problem,) = store.recovered.problems
        assert problem == (
            "journal record 7: its content does not match its hash. The journal ends with"
            " record 6; 4 record(s) from there on were moved to the table quarantine."
        )
        set_aside = quarantined(store.database.connection)
        assert [record.seq for record in set_aside] == [10, 9, 8, 7]
        assert "does not match its hash" in set_aside[0].why

        writer = Writer(store.journal, store.recovered.streams)
        writer.append(order_stream(3), intended(3))  # its first intent is among those set aside
        assert store.journal.tail.seq == 7
    with open_store(directory) as store:
        assert store.recovered.problems == ()
        assert verify_open(store.database, REGISTRY, DISK).is_sound


@pytest.mark.parametrize("seq", range(1, 11))
def test_read_tables_follow_the_journal_when_records_are_set_aside(
    directory: Path, seq: int
) -> None:
    ten_records(directory)
    damage_payload(directory, seq)

    with open_store(directory) as store:
        after = read_tables(store.database)
        rebuild(store.database, REGISTRY, TABLES, DISK)
        assert read_tables(store.database) == after


def delete(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM journal WHERE seq = 5")


def swap(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE journal SET seq = 99 WHERE seq = 5")
    connection.execute("UPDATE journal SET seq = 5 WHERE seq = 6")
    connection.execute("UPDATE journal SET seq = 6 WHERE seq = 99")


def spoil_text(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE journal SET payload = CAST(x'ff00fe' AS TEXT) WHERE seq = 5")


def spoil_stream(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE journal SET stream = CAST(x'ff00fe' AS TEXT) WHERE seq = 5")


def spoil_type(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE journal SET stream_version = 'two' WHERE seq = 5")


@pytest.mark.parametrize("hurt", [delete, swap, spoil_text, spoil_stream, spoil_type])
def test_records_missing_swapped_or_unreadable_are_set_aside(
    directory: Path, hurt: Callable[[sqlite3.Connection], None]
) -> None:
    states = ten_records(directory)
    connection = sqlite3.connect(directory / NAME)
    hurt(connection)
    connection.commit()
    connection.close()

    with open_store(directory) as store:
        assert store.recovered.streams == live(states[4])
        assert "journal record 5" in store.recovered.problems[0]
        after = read_tables(store.database)
        rebuild(store.database, REGISTRY, TABLES, DISK)
        assert read_tables(store.database) == after


def test_damage_below_a_snapshot_does_not_cost_the_states(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 1, 2, 3)
        store.write_snapshot(writer.streams)
        writer.count("count/a", 4)
    damage_payload(directory, 2)

    with open_store(directory) as store:
        assert store.recovered.streams == {"count/a": (4, Count(10))}
    report = verify(directory, REGISTRY, DISK)
    assert (report.first_bad, report.usable_up_to) == (2, 3)
    assert report.is_outlived


def test_damage_after_the_last_snapshot_is_not_outlived(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 1, 2)
        store.write_snapshot(writer.streams)
        writer.count("count/a", 3)
    assert not verify(directory, REGISTRY, DISK).is_outlived
    damage_payload(directory, 3)

    report = verify(directory, REGISTRY, DISK)

    assert (report.first_bad, report.usable_up_to) == (3, 2)
    assert not report.is_outlived


def test_a_snapshot_that_is_taken_after_the_damage_saves_the_states(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 1, 2, 3)
        store.database.connection.execute("UPDATE journal SET payload = '{}' WHERE seq = 2")
        store.write_snapshot(writer.streams)

    with open_store(directory) as store:
        assert store.recovered.streams == writer.streams
        assert store.recovered.problems == ()


@given(st.integers(0, 10**9), st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_of_the_file_is_detected_or_changes_nothing(place: int, bit: int) -> None:
    with TemporaryDirectory() as parent:
        directory = new_directory(Path(parent))
        states = ten_records(directory)
        data = bytearray((directory / NAME).read_bytes())
        data[place % len(data)] ^= 1 << bit
        (directory / NAME).write_bytes(data)

        try:
            with open_store(directory) as store:
                assert store.recovered.problems or store.recovered.streams == live(states[10])
                assert store.recovered.streams in [live(state) for state in states]
        except StorageError:
            pass  # said so, and did not start


def page_of(data: bytes, text: bytes) -> int:
    return data.index(text) // 4096


def many_records(directory: Path, count: int = 400) -> list[Streams]:
    states: list[Streams] = [{}]
    with open_store(directory) as store:
        writer = Writer(store.journal)
        for number in range(1, count + 1):
            writer.append(order_stream(number), intended(number))
            states.append(dict(writer.streams))
    return states


def ruin_page(directory: Path, text: bytes) -> None:
    """Overwrite the page of the journal that holds `text`."""
    data = bytearray((directory / NAME).read_bytes())
    start = page_of(bytes(data), text) * 4096
    data[start : start + 4096] = b"\xff" * 4096
    (directory / NAME).write_bytes(data)


def test_a_malformed_page_is_cut_out_into_a_new_file(directory: Path) -> None:
    states = many_records(directory)
    connection = sqlite3.connect(directory / NAME)
    (digest,) = connection.execute("SELECT hash FROM journal WHERE seq = 300").fetchone()
    connection.close()
    ruin_page(directory, digest.encode())

    with open_store(directory) as store:
        last = store.recovered.last_seq
        assert 250 < last < 300
        assert store.recovered.streams == states[last]
        (problem,) = store.recovered.problems
        assert f"ends with record {last}, in a new file" in problem
        kept = directory / f"holdfast-damaged-{last + 1}.db"
        assert str(kept) in problem
        assert kept.exists()
        assert verify_open(store.database, REGISTRY, DISK).is_sound
        assert len(read_tables(store.database)["orders"]) == last
        epoch = store.database.epoch
        Writer(store.journal, store.recovered.streams).append(order_stream(999), intended(999))

    with open_store(directory) as store:
        assert store.recovered.problems == ()
        assert store.recovered.last_seq == last + 1
        assert store.database.epoch == epoch + 1


def test_a_rebuilding_does_not_cut_off_what_a_snapshot_has_outlived(directory: Path) -> None:
    states = many_records(directory)
    with open_store(directory) as store:
        store.write_snapshot(states[-1])
        (digest,) = store.database.connection.execute(
            "SELECT hash FROM journal WHERE seq = 300"
        ).fetchone()
    ruin_page(directory, digest.encode())
    data = (directory / NAME).read_bytes()

    with pytest.raises(JournalDamagedError, match="though the snapshot of record 400 is good"):
        rebuild_directory(directory, REGISTRY, TABLES, DISK)

    assert (directory / NAME).read_bytes() == data
    with open_store(directory) as store:
        assert store.recovered.streams == states[-1]


def test_a_file_damaged_at_its_root_is_refused_and_left_alone(directory: Path) -> None:
    ten_records(directory)
    data = bytearray((directory / NAME).read_bytes())
    data[100:4096] = b"\xff" * 3996
    (directory / NAME).write_bytes(data)

    with pytest.raises(JournalDamagedError, match="restore a backup"):
        open_store(directory)

    assert (directory / NAME).read_bytes() == data


def crashed_with_log(directory: Path) -> tuple[Store, bytes, list[Streams]]:
    """Return a store whose log holds five commits, and that log."""
    store = open_store(directory)
    writer = Writer(store.journal)
    states: list[Streams] = [{}]
    for number in range(1, 6):
        writer.append(order_stream(number), *life_of(number)[:2])
        states.append(dict(writer.streams))
    return store, wal_path(store.database.path).read_bytes(), states


def test_a_flipped_bit_in_the_log_is_noticed_though_sqlite_drops_it_silently(
    directory: Path,
) -> None:
    store, log, states = crashed_with_log(directory)
    data = (directory / NAME).read_bytes()
    store.close()
    (directory / NAME).write_bytes(data)
    spoiled = bytearray(log)
    spoiled[len(log) // 2] ^= 1
    wal_path(directory / NAME).write_bytes(spoiled)

    with open_store(directory) as again:
        (problem,) = again.recovered.problems
        assert "SQLite dropped" in problem
        assert again.recovered.streams in states
        assert again.recovered.streams != states[-1]


def test_a_log_whose_header_is_damaged_is_noticed(directory: Path) -> None:
    store, log, _ = crashed_with_log(directory)
    data = (directory / NAME).read_bytes()
    store.close()
    for place in (0, 9, 17, 25):
        (directory / NAME).write_bytes(data)
        spoiled = bytearray(log)
        spoiled[place] ^= 0x40
        wal_path(directory / NAME).write_bytes(spoiled)
        with open_store(directory) as again:
            assert "SQLite dropped" in again.recovered.problems[0], place


def test_a_whole_log_is_no_problem(directory: Path) -> None:
    store, log, states = crashed_with_log(directory)
    data = (directory / NAME).read_bytes()
    store.close()
    (directory / NAME).write_bytes(data)
    wal_path(directory / NAME).write_bytes(log)

    with open_store(directory) as again:
        assert again.recovered.problems == ()
        assert again.recovered.streams == states[-1]


def test_a_database_that_was_not_claimed_can_be_verified_while_open(directory: Path) -> None:
    ten_records(directory)
    database = Database(directory / NAME, claim=False)
    try:
        report = verify_open(database, REGISTRY, DISK)
    finally:
        database.close()
    assert (report.records, report.quarantined, report.snapshots) == (10, 0, ())


@given(st.integers(0, 10**9), st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_of_the_log_is_detected(place: int, bit: int) -> None:
    with TemporaryDirectory() as parent:
        directory = new_directory(Path(parent))
        store, log, states = crashed_with_log(directory)
        data = (directory / NAME).read_bytes()
        store.close()
        (directory / NAME).write_bytes(data)
        spoiled = bytearray(log)
        spoiled[place % len(log)] ^= 1 << bit
        wal_path(directory / NAME).write_bytes(spoiled)

        with open_store(directory) as again:
            assert again.recovered.problems
            assert again.recovered.streams in states


def test_records_lost_at_the_end_are_missed(directory: Path) -> None:
    """A page whose count of cells is damaged hides its last records and looks whole."""
    states = ten_records(directory)
    connection = sqlite3.connect(directory / NAME)
    connection.execute("DELETE FROM journal WHERE seq > 8")
    connection.commit()
    connection.close()
    assert "record 10 is noted" in verify(directory, REGISTRY, DISK).problems[0]

    with open_store(directory) as store:
        assert store.recovered.streams == live(states[8])
        (problem,) = store.recovered.problems
        assert problem.startswith(
            "the journal ends with record 8, but 10 is noted as the last one."
        )
        after = read_tables(store.database)
        rebuild(store.database, REGISTRY, TABLES, DISK)
        assert read_tables(store.database) == after
        Writer(store.journal, store.recovered.streams).append(order_stream(3), sent())

    assert verify(directory, REGISTRY, DISK).is_sound
