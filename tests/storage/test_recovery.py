"""What is recovered is the fold of what is durable, whatever happened in between."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.order import OrderCanceled, OrderStatus
from runtime.wal import wal_path
from storage.chain import Tail, seal, set_mark
from storage.connection import NAME
from storage.errors import NewerSchemaError
from storage.fold import state_of
from storage.journal import Entry
from storage.store import Store
from tests.builders import NOW, Life, position_id
from tests.storage.words import (
    REGISTRY,
    TABLES,
    Count,
    Counted,
    Exploded,
    Writer,
    batches_of,
    filled,
    intended,
    life_of,
    live,
    new_directory,
    open_store,
    order_stream,
    read_tables,
    story_steps,
)

ROOT = Path(__file__).parents[2]


def test_an_empty_directory_is_recovered_as_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "var") as store:
        assert store.recovered.streams == {}
        assert (store.recovered.last_seq, store.recovered.last_hash) == Tail()
        assert store.recovered.problems == ()


@given(story_steps, st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_replay_equals_live(steps: list[tuple[int, int, bool]], snapshot_after: int) -> None:
    with TemporaryDirectory() as parent:
        directory = new_directory(Path(parent))
        with open_store(directory) as store:
            writer = Writer(store.journal)
            durable = {}
            for index, batch in enumerate(batches_of(steps, writer)):
                store.journal.append(batch)
                durable.update({entry.stream: (entry.version, entry.state) for entry in batch})
                if index == snapshot_after:
                    store.write_snapshot(durable)
            tail = store.journal.tail
        with open_store(directory) as store:
            assert store.recovered.streams == live(durable)
            assert (store.recovered.last_seq, store.recovered.last_hash) == tail
            assert store.recovered.problems == ()
            for stream, (version, state) in durable.items():
                assert state_of(store.database.connection, REGISTRY, stream) == (version, state)


def test_a_finished_order_is_kept_while_its_position_lives(directory: Path) -> None:
    life = Life().begin()
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.append(order_stream(1), *life_of(1))
        writer.append(f"position/{position_id(1)}", *life.events)
        writer.append(order_stream(2), *life_of(2))

    with open_store(directory) as store:
        assert set(store.recovered.streams) == {order_stream(1), f"position/{position_id(1)}"}


def test_a_late_fill_of_a_forgotten_order_is_folded_onto_its_history(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.append(order_stream(1), intended(1), *life_of(1)[1:3], filled(1, "0.5", "t1"))
        writer.append(order_stream(1), OrderCanceled(at=NOW))
        store.write_snapshot(writer.streams)
        writer.append(order_stream(1), filled(1, "0.5", "t2"))

    with open_store(directory) as store:
        version, order = state_of(store.database.connection, REGISTRY, order_stream(1))
        assert store.recovered.problems == ()
    assert version == 6
    assert order.status is OrderStatus.FILLED
    assert order.late_fill


def test_a_stream_that_does_not_fold_does_not_hold_up_the_others(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 1)
        store.journal.append(
            [
                Entry("count/a", 2, Exploded(), NOW),
                Entry("count/a", 3, Counted(1), NOW),
                Entry("count/b", 1, Counted(5), NOW),
            ]
        )

    with open_store(directory) as store:
        recovered = store.recovered

    assert recovered.streams == {"count/a": (3, Count(2)), "count/b": (1, Count(5))}
    assert recovered.broken == ("count/a",)
    assert "count/a at record 2 (Exploded): a counter never explodes" in recovered.problems[0]


def test_the_owner_of_a_stream_that_does_not_fold_goes_on_behind_the_bad_record(
    directory: Path,
) -> None:
    with open_store(directory) as store:
        Writer(store.journal).count("count/a", 1)
        store.journal.append([Entry("count/a", 2, Exploded(), NOW)])

    for version in (2, 3, 4):
        with open_store(directory) as store:
            found = store.recovered.streams["count/a"]
            assert found == (version, Count(version - 1))
            Writer(store.journal, {"count/a": found}).count("count/a", 1)


def test_of_a_stream_whose_first_record_does_not_fold_only_the_version_is_known(
    directory: Path,
) -> None:
    with open_store(directory) as store:
        store.journal.append([Entry("count/a", version, Exploded(), NOW) for version in (1, 2)])

    with open_store(directory) as store:
        assert store.recovered.streams == {}
        assert store.recovered.broken == ("count/a",)
        assert store.recovered.unread == {"count/a": 2}


def test_a_gap_in_a_stream_is_noticed(directory: Path) -> None:
    with open_store(directory) as store:
        Writer(store.journal).count("count/a", 1)
        store.journal.append([Entry("count/a", 3, Counted(1), NOW)])

    with open_store(directory) as store:
        assert "version 3 follows 1" in store.recovered.problems[0]


def test_an_event_of_a_newer_version_stops_the_start(directory: Path) -> None:
    with open_store(directory) as store:
        content = (1, "count/a", 1, 1, "Counted", 3, "2026-01-02T03:04:05.000000Z", '{"stride":1}')
        tail = Tail()
        store.database.connection.execute(
            "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*content, tail.hash, seal(tail.hash, content)),
        )
        set_mark(store.database.connection, 1)

    with pytest.raises(NewerSchemaError, match="Counted version 3"):
        open_store(directory)


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from tests.storage.words import Writer, life_of, open_store, order_stream

store = open_store(Path(sys.argv[1]))
writer = Writer(store.journal, store.recovered.streams)
number = len(writer.streams)
while True:
    entries = []
    for _ in range(4):
        number += 1
        entries += writer.entries(order_stream(number), *life_of(number)[:3])
    store.journal.append(entries)
    print(store.journal.tail.seq, store.journal.tail.hash, flush=True)
    if number % 20 == 0:
        store.write_snapshot(writer.streams)
"""


def test_nothing_acknowledged_is_lost_by_kill_9(directory: Path) -> None:
    acknowledged = Tail()
    for round_number in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(directory)], cwd=ROOT, stdout=PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(3 + 7 * round_number):  # another instant each time
                line = child.stdout.readline()
            os.kill(child.pid, signal.SIGKILL)
            line = ([line, *child.stdout.readlines()])[-1]
        seq, digest = line.split()
        with open_store(directory) as store:
            recovered = store.recovered
            hashes = {record.seq: record.hash for record in store.journal.read()}
            tables = read_tables(store.database)
        assert recovered.problems == ()
        assert hashes[int(seq)] == digest
        assert recovered.last_seq >= int(seq) > acknowledged.seq
        assert len(tables["orders"]) == len(recovered.streams) == recovered.last_seq / 3
        acknowledged = Tail(int(seq), digest)


def test_a_process_that_dies_within_a_commit_leaves_all_or_nothing(directory: Path) -> None:
    """Half-written frames at the end of the log, as kill -9 leaves them, are no damage."""
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.count("count/a", 1)
        log = wal_path(store.database.path).read_bytes()
        data = (directory / NAME).read_bytes()
        writer.count("count/a", 2)
        longer = wal_path(store.database.path).read_bytes()
    (directory / NAME).write_bytes(data)
    wal_path(directory / NAME).write_bytes(longer[: len(log) + 1000])

    with open_store(directory) as store:
        assert store.recovered.streams == {"count/a": (1, Count(1))}
        assert store.recovered.problems == ()


def test_recovered_states_go_on_living(directory: Path) -> None:
    with open_store(directory) as store:
        Writer(store.journal).append(order_stream(1), *life_of(1)[:2])
    with open_store(directory) as store:
        writer = Writer(store.journal, store.recovered.streams)
        writer.append(order_stream(1), *life_of(1)[2:])
        assert [record.version for record in store.journal.read()] == [1, 2, 3, 4]


def test_the_store_needs_no_projection_to_recover(directory: Path, store: Store) -> None:
    Writer(store.journal).append(order_stream(1), *life_of(1)[:2])
    assert TABLES is not store.tables
    store.close()

    with Store(directory, REGISTRY, store.disk, projections=()) as bare:
        assert set(bare.recovered.streams) == {order_stream(1)}
