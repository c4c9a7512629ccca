"""A snapshot saves folding and nothing else: a bad one costs time, never a state."""

import os
import sqlite3
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from storage.chain import hash_at
from storage.connection import NAME
from storage.errors import JournalDamagedError, NewerSchemaError, SnapshotNeededError
from storage.snapshot import (
    _HEADER_BYTES,
    _PREFIX,
    DIRECTORY,
    KEPT,
    SnapshotError,
    SnapshotWriter,
    load_snapshot,
    snapshot_paths,
)
from storage.store import Store
from storage.streams import StreamRegistry
from tests.storage.words import (
    DISK,
    ORDER,
    POSITION,
    REGISTRY,
    Count,
    Counted,
    Writer,
    accepted,
    intended,
    life_of,
    live,
    new_directory,
    open_store,
    order_stream,
)

TWO_SNAPSHOTS = 2


def with_two_snapshots(directory: Path) -> Writer:
    """Three records, a snapshot, three records, a snapshot, one record."""
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 1, 2, 3)
        store.write_snapshot(writer.streams)
        writer.count("count/b", 1, 2, 3)
        store.write_snapshot(writer.streams)
        writer.count("count/a", 4)
    return writer


def test_only_the_tail_is_replayed(directory: Path) -> None:
    writer = with_two_snapshots(directory)

    with open_store(directory) as store:
        recovered = store.recovered

    assert recovered.streams == writer.streams
    assert (recovered.snapshot_seq, recovered.replayed, recovered.last_seq) == (6, 1, 7)
    assert recovered.problems == ()


def test_states_are_the_same_after_a_snapshot(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        for number in range(1, 200):
            writer.append(order_stream(number), intended(number), *life_of(number)[1:3])
        store.write_snapshot(writer.streams)

    with open_store(directory) as store:
        assert store.recovered.streams == writer.streams
        assert store.recovered.replayed == 0


def test_three_snapshots_are_kept(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        for _ in range(5):
            writer.count("count/a", 1)
            store.write_snapshot(writer.streams)

    names = [path.name for path in snapshot_paths(directory)]
    assert names == [f"{seq:016d}.snapshot" for seq in (5, 4, 3)]
    assert len(names) == KEPT


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_snapshot_falls_back_to_the_one_before(directory: Path, part: float) -> None:
    writer = with_two_snapshots(directory)
    newest = snapshot_paths(directory)[0]
    data = newest.read_bytes()
    newest.write_bytes(data[: int(len(data) * part)])

    with open_store(directory) as store:
        recovered = store.recovered

    assert recovered.streams == writer.streams
    assert (recovered.snapshot_seq, recovered.replayed) == (3, 4)
    (problem,) = recovered.problems
    assert problem.startswith(f"snapshot {newest.name} is not used: ")
    assert "truncated" in problem


def test_every_flipped_bit_of_a_snapshot_is_noticed(directory: Path) -> None:
    with_two_snapshots(directory)
    newest = snapshot_paths(directory)[0]
    data = newest.read_bytes()
    with open_store(directory) as store:
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            newest.write_bytes(flipped)
            with pytest.raises(SnapshotError):
                load_snapshot(newest, DISK, REGISTRY, partial(hash_at, store.database.connection))


def test_without_a_good_snapshot_everything_is_folded(directory: Path) -> None:
    writer = with_two_snapshots(directory)
    for path in snapshot_paths(directory):
        path.write_bytes(b"")

    with open_store(directory) as store:
        assert store.recovered.streams == writer.streams
        assert (store.recovered.snapshot_seq, store.recovered.replayed) == (0, 7)
        assert len(store.recovered.problems) == TWO_SNAPSHOTS


def test_a_refused_snapshot_does_not_count_among_those_kept(directory: Path) -> None:
    with_two_snapshots(directory)
    snapshot_paths(directory)[0].write_bytes(b"")

    with open_store(directory):
        assert [path.name for path in snapshot_paths(directory)] == ["0000000000000003.snapshot"]
    with open_store(directory) as store:
        assert store.recovered.problems == ()  # said once


def test_a_snapshot_of_another_journal_is_refused(directory: Path, tmp_path: Path) -> None:
    writer = with_two_snapshots(directory)
    other = new_directory(tmp_path)
    with open_store(other) as store:
        strange = Writer(store.journal)
        strange.count("count/z", 9, 9, 9, 9, 9, 9)
        path = store.write_snapshot(strange.streams)
    (directory / DIRECTORY / path.name).write_bytes(path.read_bytes())

    with open_store(directory) as store:
        assert store.recovered.streams == writer.streams
        assert "does not belong to this journal" in store.recovered.problems[0]


def test_a_snapshot_from_beyond_the_journal_is_refused(directory: Path) -> None:
    """As after restoring an older database beside newer snapshots."""
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 1)
        kept = dict(writer.streams)
        old = (directory / "holdfast.db").read_bytes()
    old = (directory / "holdfast.db").read_bytes()
    with open_store(directory) as store:
        writer = Writer(store.journal, store.recovered.streams)
        writer.count("count/a", 2)
        store.write_snapshot(writer.streams)
    (directory / "holdfast.db").write_bytes(old)

    with open_store(directory) as store:
        assert store.recovered.streams == kept
        assert "record 2 is another one" in store.recovered.problems[0]


def test_states_of_another_shape_are_folded_anew(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = with_two_snapshots(directory)
    monkeypatch.setattr(Count, "schema_version", 2, raising=False)

    with open_store(directory) as store:
        assert store.recovered.streams == writer.streams
        assert store.recovered.snapshot_seq == 0
        assert (
            "count states have version 1, those of this Holdfast 2" in store.recovered.problems[0]
        )


def test_a_snapshot_of_the_format_before_is_folded_anew(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("storage.snapshot.FORMAT", 1)
        writer = with_two_snapshots(directory)

    with open_store(directory) as store:
        assert store.recovered.streams == writer.streams
        assert store.recovered.snapshot_seq == 0
        assert "it has format 1, this version of Holdfast reads 2" in store.recovered.problems[0]


def test_a_snapshot_with_kinds_unknown_here_is_not_used(directory: Path, store: Store) -> None:
    writer = Writer(store.journal)
    writer.count("count/a", 1)
    path = store.write_snapshot(writer.streams)
    store.close()
    older = StreamRegistry([ORDER, POSITION])
    with pytest.raises(SnapshotError, match=r"states have version \d, those of this Holdfast None"):
        load_snapshot(path, DISK, older, lambda _: store.journal.tail.hash)


def test_retired_states_are_left_out(store: Store, writer: Writer) -> None:
    writer.append(order_stream(1), *life_of(1))
    writer.append(order_stream(2), intended(2), *life_of(2)[1:3])
    writer.count("count/done", 100)
    store.write_snapshot(writer.streams)
    store.close()

    with open_store(store.directory) as again:
        assert set(again.recovered.streams) == {order_stream(2)}


def test_a_stream_that_had_retired_can_go_on(directory: Path) -> None:
    """A late fill: the order was over and forgotten, its history is folded anew."""
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 60, 60)
        store.write_snapshot(writer.streams)
        writer.count("count/a", -50)

    with open_store(directory) as store:
        assert store.recovered.snapshot_seq == 2
        assert store.recovered.streams == {"count/a": (3, Count(70))}


def test_a_snapshot_is_written_in_steps_while_commits_go_on(store: Store, writer: Writer) -> None:
    for number in range(10):
        writer.append(order_stream(number), intended(number))
    before = dict(writer.streams)
    snapshot = store.begin_snapshot(writer.streams)
    while snapshot.advance(3):
        writer.append(order_stream(100 + len(writer.streams)), intended(100 + len(writer.streams)))
    snapshot.write(store.disk, store.directory)
    after = live(writer.streams)
    store.close()

    assert isinstance(snapshot, SnapshotWriter)
    assert len(after) > len(before)
    with open_store(store.directory) as again:
        assert again.recovered.snapshot_seq == 10
        assert again.recovered.streams == after


def test_a_disk_that_refuses_a_snapshot_leaves_the_others(store: Store, writer: Writer) -> None:
    class Full:
        def write_atomically(self, path: Path, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def read(self, path: Path) -> bytes:
            return path.read_bytes()

        def free_bytes(self, path: Path) -> int:
            return 0

    writer.append(order_stream(1), intended(1))
    store.write_snapshot(writer.streams)
    writer.append(order_stream(1), *life_of(1)[1:2], accepted())

    with pytest.raises(OSError, match="No space"):
        store.begin_snapshot(writer.streams).write(Full(), store.directory)

    assert len(snapshot_paths(store.directory)) == 1


def test_a_journal_emptied_beside_a_snapshot_is_no_new_beginning(directory: Path) -> None:
    with_two_snapshots(directory)
    os.truncate(directory / NAME, 0)

    for _ in range(2):
        with pytest.raises(JournalDamagedError, match="it is empty, yet there is the snapshot"):
            open_store(directory)
    assert len(snapshot_paths(directory)) == 2


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        (b"\xc3\xa9", b"\xff\xff", "its states are of another version"),
        (b"\x92\xa5count", b"\x92\xa5covnt", "it has 'covnt' states and no version of them"),
    ],
)
def test_what_cannot_be_is_refused_though_its_hash_is_right(
    directory: Path, good: bytes, bad: bytes, why: str
) -> None:
    """As a bug of ours would write it: damage does not keep the hash."""
    with open_store(directory) as store:
        store.journal.append(Writer(store.journal).entries("count/a", Counted(1)))
        path = SnapshotWriter(REGISTRY, store.journal.tail, {"count/\u00e9": (1, Count(1))}).write(
            DISK, directory
        )
        data = path.read_bytes().replace(good, bad)
        start = _PREFIX.unpack_from(data)[4]
        digest = sha256(data[start:] + data[: _PREFIX.size] + data[_HEADER_BYTES:start]).digest()
        path.write_bytes(data[: _PREFIX.size] + digest + data[_HEADER_BYTES:])

        with pytest.raises(SnapshotError, match=why):
            load_snapshot(path, DISK, REGISTRY, lambda _: store.journal.tail.hash)


# --- damage that a snapshot has outlived ---


def damaged(directory: Path, seq: int) -> None:
    connection = sqlite3.connect(directory / NAME)
    query = "UPDATE journal SET payload = replace(payload, 'step', 'stop') WHERE seq = ?"
    connection.execute(query, (seq,))
    connection.commit()
    connection.close()


def what_is_there(directory: Path) -> tuple[list[str], int, int]:
    """The snapshots' names, how many records the journal has, how many were moved aside."""
    connection = sqlite3.connect(directory / NAME)
    (kept,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    (moved,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    connection.close()
    return sorted(path.name for path in (directory / DIRECTORY).iterdir()), kept, moved


@pytest.mark.parametrize("seq", [2, 6])
def test_an_upgrade_does_not_move_aside_what_the_snapshots_before_it_have_outlived(
    directory: Path, monkeypatch: pytest.MonkeyPatch, seq: int
) -> None:
    """The last of two snapshots is of record 6."""
    writer = with_two_snapshots(directory)
    damaged(directory, seq)
    before = what_is_there(directory)

    with monkeypatch.context() as upgraded:
        upgraded.setattr(Count, "schema_version", 2, raising=False)
        for _ in range(2):
            with pytest.raises(SnapshotNeededError, match=f"record {seq}: .*snapshot of record 6"):
                open_store(directory)

    assert what_is_there(directory) == before
    with open_store(directory) as store:
        assert store.recovered.streams == writer.streams
        assert store.recovered.problems == ()


def test_a_snapshot_of_another_format_counts_as_one_that_knows(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr("storage.snapshot.FORMAT", 3)
        with_two_snapshots(directory)
    damaged(directory, 2)

    with pytest.raises(SnapshotNeededError):
        open_store(directory)


def test_damage_after_the_snapshots_of_another_version_is_moved_aside(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_two_snapshots(directory)
    damaged(directory, 7)
    monkeypatch.setattr(Count, "schema_version", 2, raising=False)

    with open_store(directory) as store:
        assert store.recovered.last_seq == 6
        assert store.recovered.streams == {"count/a": (3, Count(6)), "count/b": (3, Count(6))}
    names, kept, moved = what_is_there(directory)
    assert [name.partition(".")[2] for name in names] == ["refused", "refused"]
    assert (kept, moved) == (6, 1)


def test_a_snapshot_that_is_damaged_itself_keeps_nothing_from_being_moved_aside(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_two_snapshots(directory)
    for path in snapshot_paths(directory):
        path.write_bytes(path.read_bytes()[:-1])
    damaged(directory, 2)
    monkeypatch.setattr(Count, "schema_version", 2, raising=False)

    with open_store(directory) as store:
        assert store.recovered.last_seq == 1


def test_snapshots_keep_their_names_when_an_event_is_too_new_to_be_read(directory: Path) -> None:
    with_two_snapshots(directory)
    snapshot_paths(directory)[0].write_bytes(b"")
    before = what_is_there(directory)
    older = StreamRegistry([ORDER, POSITION])

    with pytest.raises(NewerSchemaError):
        Store(directory, older, DISK)

    assert what_is_there(directory) == before
