"""Reading one stream, or a part of one: every record checked, nothing passed over in silence."""

from pathlib import Path

import pytest

from storage.chain import (
    NO_HASH,
    Tail,
    anchor_of,
    chosen_of,
    hash_at,
    history_of,
    line_of,
    linked,
    mark_of,
    record_in,
    rest_of,
    tail_of,
    verified,
)
from storage.errors import ArchivedError, DamagedRecordError, JournalUnavailableError, Trouble
from storage.store import Store
from tests.storage.test_damage import page_of, ten_records
from tests.storage.words import Writer, open_store, order_stream


@pytest.fixture
def ten(directory: Path) -> Store:
    ten_records(directory)
    with open_store(directory) as store:
        yield store


def test_a_part_of_a_stream_has_the_types_asked_for_in_order(ten: Store) -> None:
    connection = ten.database.connection
    stream = order_stream(1)

    def types(first: int, end: int, *asked: str) -> list[str]:
        return [each.type for each in chosen_of(connection, stream, first, end, asked)]

    assert types(0, 4, "OrderFilled", "OrderSent") == ["OrderSent", "OrderFilled"]
    assert types(0, 3, "OrderFilled", "OrderSent") == ["OrderSent"]
    assert types(2, 4, "OrderFilled", "OrderSent") == ["OrderFilled"]
    assert types(1, 4, "OrderSent") == ["OrderSent"]
    assert types(0, 4) == []


@pytest.mark.parametrize("read", [history_of, rest_of])
def test_one_stream_is_read_from_its_first_record_to_its_last(ten: Store, read) -> None:
    found = list(read(ten.database.connection, order_stream(1)))

    assert [each.seq for each in found] == [1, 3, 4, 6]
    assert [each.version for each in found] == [1, 2, 3, 4]


def test_a_stream_that_lacks_a_record_is_damaged(ten: Store) -> None:
    ten.database.connection.execute("DELETE FROM journal WHERE seq = 3")

    with pytest.raises(DamagedRecordError, match="lacks version 2") as told:
        list(rest_of(ten.database.connection, order_stream(1)))

    assert told.value.seq == 4


def test_a_damaged_record_of_a_stream_is_not_handed_out(ten: Store) -> None:
    connection = ten.database.connection
    connection.execute("UPDATE journal SET payload = payload || ' ' WHERE seq = 3")

    with pytest.raises(DamagedRecordError, match="does not match its hash"):
        list(chosen_of(connection, order_stream(1), 0, 9, ["OrderSent"]))
    with pytest.raises(DamagedRecordError, match="does not match its hash"):
        list(rest_of(connection, order_stream(1)))


def test_a_record_that_names_another_one_as_the_one_before_is_damaged(ten: Store) -> None:
    place = Tail(2, "f" * 32)

    with pytest.raises(DamagedRecordError, match="does not follow from the record before"):
        list(verified(ten.database.connection, place))


def test_a_malformed_page_of_a_stream_is_said(directory: Path) -> None:
    ten_records(directory)
    with open_store(directory) as store:
        connection = store.database.connection
        (digest,) = connection.execute("SELECT hash FROM journal WHERE seq = 5").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = bytearray(store.database.path.read_bytes())
        start = page_of(bytes(data), digest.encode()) * 4096
        data[start : start + 4096] = b"\xff" * 4096
        with store.database.path.open("r+b") as file:
            file.write(data)
        connection.execute("PRAGMA cache_size = 0")
        connection.execute("PRAGMA shrink_memory")
        for read in (
            rest_of(connection, order_stream(1)),
            chosen_of(connection, order_stream(1), 0, 9, ["OrderSent"]),
            verified(connection),
        ):
            with pytest.raises(DamagedRecordError, match="malformed"):
                list(read)
        with pytest.raises(JournalUnavailableError) as told:
            tail_of(connection)
        assert told.value.kind is Trouble.DAMAGED


def test_a_journal_without_records_ends_at_the_beginning(store: Store) -> None:
    connection = store.database.connection

    assert tail_of(connection) == anchor_of(connection) == Tail(0, NO_HASH)
    assert mark_of(connection) == 0
    assert hash_at(connection, 1) is None


def test_the_end_and_each_hash_are_as_they_were_written(store: Store) -> None:
    writer = Writer(store.journal)
    writer.count("count/a", 1)
    first = store.journal.tail
    writer.count("count/a", 2)
    connection = store.database.connection

    assert tail_of(connection) == store.journal.tail
    assert mark_of(connection) == 2
    assert hash_at(connection, 1) == first.hash
    assert hash_at(connection, 0) == NO_HASH


def test_a_table_that_is_gone_is_damage_and_not_a_crash(store: Store) -> None:
    connection = store.database.connection
    connection.execute("ALTER TABLE archives RENAME TO elsewhere")

    with pytest.raises(JournalUnavailableError) as told:
        anchor_of(connection)

    assert told.value.kind is Trouble.DAMAGED


def test_a_record_is_the_same_after_it_was_a_line(ten: Store) -> None:
    for record in verified(ten.database.connection):
        assert record_in(line_of(record)) == record


def test_a_stream_longer_than_is_read_at_a_time_is_read_to_its_end(
    ten: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = ten.database.connection
    for chunk in (1, 2, 3, 4, 5):
        monkeypatch.setattr("storage.chain.CHUNK", chunk)
        assert [each.seq for each in rest_of(connection, order_stream(1))] == [1, 3, 4, 6]
        assert len(list(verified(connection, chunk=chunk))) == 10


@pytest.mark.parametrize(("number", "missing"), [("'x'", 10), ("2.5", 3)])
def test_a_record_whose_number_is_none_is_damaged(ten: Store, number: str, missing: int) -> None:
    connection = ten.database.connection
    connection.execute("CREATE TABLE copy AS SELECT * FROM journal")
    connection.execute("ALTER TABLE journal RENAME TO before")
    connection.execute("ALTER TABLE copy RENAME TO journal")
    connection.execute(f"UPDATE journal SET seq = {number} WHERE seq = 10")

    with pytest.raises(DamagedRecordError, match="missing; the next one is") as told:
        list(verified(connection, chunk=1))

    assert told.value.seq == missing


def test_a_journal_that_is_gone_is_damage_and_not_a_crash(ten: Store) -> None:
    connection = ten.database.connection
    connection.execute("ALTER TABLE journal RENAME TO elsewhere")

    for read in (rest_of(connection, order_stream(1)), verified(connection)):
        with pytest.raises(JournalUnavailableError) as told:
            list(read)
        assert told.value.kind is Trouble.DAMAGED
    assert connection.text_factory is str


# --- when its first records have been archived


def archived(store: Store, last: int) -> Tail:
    """Take the first records out, as archiving does; return the anchor."""
    connection = store.database.connection
    anchor = Tail(last, hash_at(connection, last) or "")
    connection.execute(
        "INSERT INTO archives (last_seq, first_seq, previous_hash, last_hash, file, bytes, sha256)"
        " VALUES (?, 1, ?, ?, 'a.jsonl', 1, 'x')",
        (last, NO_HASH, anchor.hash),
    )
    connection.execute("DELETE FROM journal WHERE seq <= ?", (last,))
    return anchor


@pytest.mark.parametrize("last", [1, 3])
def test_what_is_left_of_a_stream_is_read_and_its_history_is_not_pretended(
    ten: Store, last: int
) -> None:
    anchor = archived(ten, last)
    connection = ten.database.connection

    assert anchor_of(connection) == anchor
    left = [each.seq for each in rest_of(connection, order_stream(1))]
    assert left == [seq for seq in (1, 3, 4, 6) if seq > last]
    with pytest.raises(ArchivedError):
        list(history_of(connection, order_stream(1)))
    assert [each.seq for each in verified(connection)] == list(range(last + 1, 11))


def test_a_hole_in_what_is_left_of_a_stream_is_damage(ten: Store) -> None:
    archived(ten, 1)
    connection = ten.database.connection
    connection.execute("DELETE FROM journal WHERE seq = 4")

    with pytest.raises(DamagedRecordError, match="lacks version 3"):
        list(rest_of(connection, order_stream(1)))


def test_a_stream_without_its_first_record_is_damaged_where_nothing_was_archived(
    ten: Store,
) -> None:
    connection = ten.database.connection
    connection.execute("DELETE FROM journal WHERE seq = 1")

    for read in (rest_of, history_of):
        with pytest.raises(DamagedRecordError, match="lacks version 1"):
            list(read(connection, order_stream(1)))


def test_when_all_is_archived_the_journal_ends_at_its_anchor(ten: Store) -> None:
    end = tail_of(ten.database.connection)

    assert archived(ten, 10) == end
    assert tail_of(ten.database.connection) == end
    assert hash_at(ten.database.connection, 10) == end.hash
    assert hash_at(ten.database.connection, 9) is None


# --- what cannot be read


def test_a_mark_that_is_none_is_told_apart_from_one(ten: Store) -> None:
    connection = ten.database.connection
    assert mark_of(connection) == 10
    connection.execute("UPDATE meta SET value = 'ten' WHERE name = 'last_seq'")
    assert mark_of(connection) is None
    connection.execute("DELETE FROM meta WHERE name = 'last_seq'")
    assert mark_of(connection) is None


def test_a_record_that_cannot_be_read_is_named_by_its_number(ten: Store) -> None:
    connection = ten.database.connection
    connection.execute("UPDATE journal SET payload = X'FF' WHERE seq = 3")

    for read in (
        rest_of(connection, order_stream(1)),
        chosen_of(connection, order_stream(1), 0, 9, ["OrderSent"]),
        verified(connection),
    ):
        with pytest.raises(DamagedRecordError, match="unreadable") as told:
            list(read)
        assert told.value.seq == 3


def test_a_record_follows_only_the_one_before_it(ten: Store) -> None:
    first, second, third, *_ = verified(ten.database.connection)

    assert linked(second, Tail(first.seq, first.hash)) is second
    with pytest.raises(DamagedRecordError, match="missing; the next one is 3") as told:
        linked(third, Tail(first.seq, first.hash))
    assert told.value.seq == 2
