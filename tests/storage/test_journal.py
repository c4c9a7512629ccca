"""What is appended is durable, in order and once; what the disk does is told apart."""

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from storage.chain import NO_HASH, Tail
from storage.connection import NAME
from storage.errors import (
    FencedError,
    JournalUnavailableError,
    Trouble,
    VersionConflictError,
)
from storage.journal import AppendResult, Entry, Journal
from storage.store import Store
from tests.builders import NOW
from tests.storage.words import (
    Count,
    Counted,
    Writer,
    intended,
    life_of,
    new_directory,
    open_store,
    order_stream,
    sent,
)


def rows(store: Store, table: str) -> int:
    return int(store.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_batch_is_numbered_and_chained(store: Store, writer: Writer) -> None:
    writer.append(order_stream(1), *life_of(1))
    writer.count("count/a", 1, 2)

    records = list(store.journal.read())

    assert [record.seq for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.version for record in records] == [1, 2, 3, 4, 1, 2]
    assert records[0].previous_hash == NO_HASH
    assert all(one.hash == two.previous_hash for one, two in pairwise(records))
    assert store.journal.tail == Tail(6, records[-1].hash)


def test_an_empty_batch_changes_nothing(store: Store, writer: Writer) -> None:
    writer.count("count/a", 1)

    assert store.journal.append([]) == AppendResult(*store.journal.tail)
    assert rows(store, "journal") == 1


def test_reading_goes_on_from_a_place(store: Store, writer: Writer) -> None:
    writer.count("count/a", 1, 2)
    place = store.journal.tail
    writer.count("count/a", 3)

    assert [record.payload for record in store.journal.read(place)] == ['{"step":3}']


def test_equal_histories_have_equal_hashes_and_others_do_not(tmp_path: Path) -> None:
    hashes = []
    for number in (1, 1, 2):
        with open_store(new_directory(tmp_path)) as store:
            Writer(store.journal).append(order_stream(number), *life_of(number))
            hashes.append(store.journal.journal_hash)

    assert hashes[0] == hashes[1] != hashes[2]


def test_a_stream_version_is_journaled_once(store: Store, writer: Writer) -> None:
    writer.count("count/a", 1)

    with pytest.raises(VersionConflictError, match="stream_version"):
        store.journal.append([Entry("count/a", 1, Counted(5), NOW)])

    assert rows(store, "journal") == 1
    writer.count("count/a", 2)
    assert store.journal.tail.seq == 2


def test_an_order_is_intended_once_whatever_its_stream_is_called(
    store: Store, writer: Writer
) -> None:
    writer.append(order_stream(1), intended(1))
    again = Entry("order/other", 1, intended(1), NOW, writer.streams[order_stream(1)][1])

    with pytest.raises(VersionConflictError, match="client_order_id"):
        store.journal.append([again])


def test_a_batch_that_fails_leaves_nothing_of_itself(store: Store, writer: Writer) -> None:
    writer.count("count/a", 1)
    batch = writer.entries(order_stream(1), *life_of(1))

    with pytest.raises(VersionConflictError):
        store.journal.append([*batch, Entry("count/a", 1, Counted(5), NOW)])

    assert [rows(store, table) for table in ("journal", "intents", "orders", "fills")] == [
        1,
        0,
        0,
        0,
    ]
    store.journal.append(batch)
    assert [rows(store, table) for table in ("journal", "intents", "orders", "fills")] == [
        5,
        1,
        1,
        1,
    ]


def test_a_state_is_required_where_rows_follow_from_it(store: Store) -> None:
    with pytest.raises(ValueError, match="need the state"):
        store.journal.append([Entry(order_stream(1), 1, intended(1), NOW)])


def test_an_event_that_is_not_registered_is_a_bug(store: Store) -> None:
    with pytest.raises(KeyError):
        store.journal.append([Entry("count/a", 1, Count(), NOW)])


def test_a_batch_that_could_not_be_prepared_is_not_in_whatever_the_one_before_became(
    store: Store, writer: Writer
) -> None:
    writer.count("count/a", 1)
    with pytest.raises(KeyError):
        store.journal.append([Entry("count/a", 2, object(), NOW)])

    assert not store.journal.reopen().has_last_batch


def test_a_full_disk_is_reported_and_what_was_durable_stays(store: Store, writer: Writer) -> None:
    writer.count("count/a", 1)
    connection = store.database.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    batch = [
        entry for number in range(200) for entry in writer.entries(f"count/{number}", Counted(1))
    ]

    with pytest.raises(JournalUnavailableError, match="full") as caught:
        store.journal.append(batch)
    assert caught.value.kind is Trouble.FULL
    assert rows(store, "journal") == 1

    connection.execute("PRAGMA max_page_count = 1000000")
    store.journal.append(batch)
    assert store.journal.tail.seq == 201
    assert len(list(store.journal.read())) == 201


def test_a_read_only_database_is_reported(store: Store, writer: Writer) -> None:
    store.database.connection.execute("PRAGMA query_only = ON")

    with pytest.raises(JournalUnavailableError) as caught:
        writer.count("count/a", 1)

    assert caught.value.kind is Trouble.READ_ONLY


@contextmanager
def no_file_grows() -> Iterator[None]:
    """Writes beyond a page fail with EFBIG, which SQLite calls an I/O error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_after_an_io_error_nothing_is_written_until_the_file_was_read_anew(
    store: Store, writer: Writer
) -> None:
    writer.count("count/a", 1)
    durable = store.journal.tail
    batch = writer.entries("count/a", Counted(2))

    with no_file_grows(), pytest.raises(JournalUnavailableError) as caught:
        store.journal.append(batch)
    assert caught.value.kind is Trouble.IO
    with pytest.raises(JournalUnavailableError, match="reopen first"):
        store.journal.append(batch)

    found = store.journal.reopen()

    assert (found.last_seq, found.last_hash) == durable
    assert not found.has_last_batch
    store.journal.append(batch)
    assert [record.payload for record in store.journal.read()] == ['{"step":1}', '{"step":2}']


def test_while_the_disk_is_in_trouble_reopening_fails_and_can_be_tried_again(
    store: Store, writer: Writer
) -> None:
    writer.count("count/a", 1)
    batch = writer.entries("count/a", Counted(2))
    with no_file_grows():
        with pytest.raises(JournalUnavailableError):
            store.journal.append(batch)
        with pytest.raises(JournalUnavailableError):
            store.journal.reopen()
    with pytest.raises(JournalUnavailableError, match="reopen first"):
        store.journal.append(batch)

    store.journal.reopen()

    store.journal.append(batch)
    assert store.journal.tail.seq == 2


def test_a_file_that_is_gone_is_waited_for_and_not_made_anew(
    directory: Path, store: Store, writer: Writer
) -> None:
    writer.count("count/a", 1)
    store.database.close()
    (directory / NAME).rename(directory / "elsewhere")

    for _ in range(2):
        with pytest.raises(JournalUnavailableError) as caught:
            store.journal.reopen()
        assert caught.value.kind is Trouble.GONE
    assert not (directory / NAME).exists()

    (directory / "elsewhere").rename(directory / NAME)
    assert store.journal.reopen().last_seq == 1
    writer.count("count/a", 2)


@pytest.mark.parametrize("size", [0, 100, 4096])
def test_a_file_that_lost_its_beginning_or_all_is_damaged_and_stays_as_it_is(
    directory: Path, store: Store, writer: Writer, size: int
) -> None:
    writer.count("count/a", 1)
    store.database.close()
    (directory / NAME).write_bytes(b"\0" * size)

    with pytest.raises(JournalUnavailableError) as caught:
        store.journal.reopen()

    assert caught.value.kind is Trouble.DAMAGED
    assert (directory / NAME).read_bytes() == b"\0" * size


def test_a_file_of_somebody_else_in_place_of_the_journal_is_as_if_it_were_gone(
    directory: Path, store: Store, writer: Writer
) -> None:
    writer.count("count/a", 1)
    store.database.close()
    (directory / NAME).chmod(0o644)

    with pytest.raises(JournalUnavailableError, match="chmod 600") as caught:
        store.journal.reopen()

    assert caught.value.kind is Trouble.GONE


def test_a_file_that_lacks_what_was_durable_is_not_written_on(
    directory: Path, store: Store, writer: Writer
) -> None:
    writer.count("count/a", 1)
    store.database.close()
    old = (directory / NAME).read_bytes()
    store.journal.reopen()
    writer.count("count/a", 2, 3)
    store.database.close()
    whole = (directory / NAME).read_bytes()
    (directory / NAME).write_bytes(old)

    with pytest.raises(JournalUnavailableError, match=r"2 acknowledged record\(s\) are missing"):
        store.journal.reopen()
    with pytest.raises(JournalUnavailableError, match="lacks records"):
        store.journal.append(writer.entries("count/b", Counted(1)))
    store.database.close()
    (directory / NAME).write_bytes(whole)

    assert store.journal.reopen().last_seq == 3
    writer.count("count/a", 4)


def test_a_file_with_another_history_is_not_written_on(
    directory: Path, store: Store, writer: Writer
) -> None:
    store.database.close()
    empty = (directory / NAME).read_bytes()
    store.journal.reopen()
    writer.count("count/a", 1)
    store.database.close()
    (directory / NAME).write_bytes(empty)
    with suppress(JournalUnavailableError):
        store.journal.reopen()
    other = Journal(store.database, store.registry, store.tables)
    Writer(other).count("count/a", 5)

    with pytest.raises(JournalUnavailableError, match="another in its place") as caught:
        store.journal.reopen()

    assert caught.value.kind is Trouble.LOST


def test_a_commit_whose_answer_was_lost_is_found(store: Store, writer: Writer) -> None:
    """The commit happens, the report of it does not arrive."""
    writer.count("count/a", 1)

    class Deaf:
        def __init__(self, connection: object) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> object:
            return getattr(self._connection, name)

        def execute(self, sql: str, *values: object) -> object:
            result = self._connection.execute(sql, *values)  # type: ignore[attr-defined]
            if sql == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
            return result

    store.database._connection = Deaf(store.database.connection)  # type: ignore[assignment]
    with pytest.raises(JournalUnavailableError) as caught:
        writer.count("count/a", 2)
    assert caught.value.kind is Trouble.IO

    assert store.journal.reopen().has_last_batch
    assert store.journal.tail.seq == 2


def test_a_writer_that_was_replaced_writes_nothing(store: Store, writer: Writer) -> None:
    writer.append(order_stream(1), intended(1))
    another = "UPDATE meta SET value = value + 1 WHERE name = 'writer_epoch'"
    store.database.connection.execute(another)

    with pytest.raises(FencedError, match="taken over by another writer"):
        writer.append(order_stream(1), sent())

    assert rows(store, "journal") == 1


def test_a_writer_replaced_while_its_file_was_closed_is_fenced_on_reopening(
    directory: Path, store: Store, writer: Writer, tmp_path: Path
) -> None:
    writer.count("count/a", 1)
    store.database.close()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    shutil.copy(directory / NAME, elsewhere / NAME)
    with open_store(elsewhere) as other:
        Writer(other.journal, {"count/a": (1, Count(1))}).count("count/a", 5)
    shutil.copy(elsewhere / NAME, directory / NAME)

    with pytest.raises(FencedError):
        store.journal.reopen()


def test_every_opening_is_a_new_epoch_and_records_carry_it(directory: Path) -> None:
    for _ in range(3):
        with open_store(directory) as store:
            Writer(store.journal, store.recovered.streams).count("count/a", 1)

    with open_store(directory) as store:
        assert [record.epoch for record in store.journal.read()] == [1, 2, 3]


def test_what_a_batch_became_is_returned(writer: Writer) -> None:
    journal = writer.journal

    first = journal.append(writer.entries("count/a", Counted(1), Counted(2)))

    assert (first.last_seq, first.last_hash) == (2, journal.journal_hash)
    assert journal.append([]) == first
    assert journal.append(writer.entries("count/a", Counted(3))).last_seq == 3
