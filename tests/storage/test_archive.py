"""The oldest records leave as one checked file, and a crash at any step leaves a whole journal."""

import gzip
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import admin, archiving
from storage.archive import archives_of, past_of, path_of, whole_past
from storage.archiving import Archiving, Outcome, Wish
from storage.backup import Staging, copy_database, restore
from storage.chain import Record, anchor_of
from storage.compare import row_problems
from storage.connection import NAME
from storage.errors import (
    ArchivedError,
    ArchiveError,
    ArchiveNeededError,
    ArchiveRefusedError,
    DamagedRecordError,
    JournalUnavailableError,
    Trouble,
)
from storage.rebuild import rebuild
from storage.snapshot import snapshot_paths
from storage.store import Store
from tests.builders import NOW, opened, plan, position_id
from tests.storage.words import (
    DISK,
    REGISTRY,
    TABLES,
    Writer,
    batches_of,
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
LATER = NOW + timedelta(days=30)


def archive(store: Store, wish: Wish | None = None) -> Outcome:
    return Archiving(store.database, REGISTRY, DISK, wish or Wish()).finish()


def two_snapshots(store: Store, writer: Writer) -> None:
    """Four orders, ended; a snapshot after the second and one after the third; 16 records."""
    for number in (1, 2, 3, 4):
        writer.append(order_stream(number), *life_of(number))
        if number in (2, 3):
            store.write_snapshot(writer.streams)


def records_of(store: Store) -> list[Record]:
    return list(store.journal.read())


def test_records_before_the_oldest_snapshot_leave_for_a_file(store: Store, writer: Writer) -> None:
    two_snapshots(store, writer)
    before = records_of(store)

    outcome = archive(store)

    assert (outcome.records, outcome.first_seq, outcome.last_seq) == (8, 1, 8)
    assert (outcome.up_to, outcome.remaining, outcome.dry_run) == (8, 8, False)
    (archived,) = archives_of(store.database.connection)
    path = path_of(store.directory, archived)
    assert outcome.file == f"archive/{path.name}"
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (archived.bytes, 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(whole_past(store.directory, [archived])) == before[:8]
    assert records_of(store) == before[8:]
    assert anchor_of(store.database.connection) == (8, before[7].hash)


def test_the_file_says_by_itself_what_it_is(store: Store, writer: Writer) -> None:
    two_snapshots(store, writer)
    archive(store)

    (path,) = (store.directory / "archive").iterdir()
    with gzip.open(path) as lines:
        head, *records = map(msgspec.json.decode, lines)

    assert head["holdfast_archive"] == 1
    assert (head["first_seq"], head["last_seq"]) == (1, 8)
    assert head["last_hash"] == records[-1]["hash"]
    assert records[0]["payload"]["terms"]["symbol"] == "BTC/USDT"


def test_writing_goes_on_and_so_does_the_chain(store: Store, writer: Writer) -> None:
    two_snapshots(store, writer)
    archive(store)

    writer.append(order_stream(5), *life_of(5))

    report = admin.verify_open(store.database, REGISTRY, DISK, archives=True)
    assert report.is_sound
    assert (report.records, report.archived) == (12, 8)
    assert [each.problem for each in report.archives] == [""]


def test_a_start_finds_the_same_after_archiving(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        two_snapshots(store, writer)
        writer.append(order_stream(5), intended(5))
        archive(store)
    with open_store(directory) as store:
        assert store.recovered.problems == ()
        assert store.recovered.streams == live(writer.streams)
        assert store.recovered.last_seq == 17


def test_all_of_the_journal_may_leave(directory: Path) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        two_snapshots(store, writer)
        old, new = snapshot_paths(directory)[::-1]
        new.unlink()
        store.write_snapshot(writer.streams)
        old.unlink()
        shutil.copy(snapshot_paths(directory)[0], old)  # two of the same place
        outcome = archive(store)
    assert (outcome.last_seq, outcome.remaining) == (16, 0)

    with open_store(directory) as store:
        assert store.recovered.problems == ()
        assert store.journal.tail.seq == 16
        Writer(store.journal, store.recovered.streams).append(order_stream(6), intended(6))
        assert admin.verify_open(store.database, REGISTRY, DISK, archives=True).is_sound


def test_one_snapshot_is_not_enough(store: Store, writer: Writer) -> None:
    writer.append(order_stream(1), *life_of(1))
    store.write_snapshot(writer.streams)

    with pytest.raises(ArchiveRefusedError, match="one is there"):
        archive(store)

    assert len(records_of(store)) == 4


def test_a_damaged_snapshot_does_not_count(store: Store, writer: Writer) -> None:
    two_snapshots(store, writer)
    snapshot_paths(store.directory)[0].write_bytes(b"HOLDSNAP")

    with pytest.raises(ArchiveRefusedError, match="one is there"):
        archive(store)


def test_with_the_newest_snapshot_damaged_the_one_before_still_has_its_tail(
    directory: Path,
) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        two_snapshots(store, writer)
        archive(store)
    snapshot_paths(directory)[0].write_bytes(b"HOLDSNAP")

    with open_store(directory) as store:
        assert store.recovered.streams == live(writer.streams)
        assert store.recovered.snapshot_seq == 8


def test_less_may_be_asked_for(store: Store, writer: Writer) -> None:
    two_snapshots(store, writer)

    first = archive(store, Wish(before_seq=4))
    second = archive(store, Wish(before=NOW + timedelta(milliseconds=6)))
    third = archive(store, Wish(before=NOW))

    assert (first.first_seq, first.last_seq) == (1, 3)
    assert (second.first_seq, second.last_seq) == (4, 5)
    assert (third.records, third.file) == (0, None)
    assert admin.verify_open(store.database, REGISTRY, DISK, archives=True).is_sound


def test_more_than_may_leave_is_refused_with_the_number_that_would_do(
    store: Store, writer: Writer
) -> None:
    two_snapshots(store, writer)

    with pytest.raises(ArchiveRefusedError, match="Records from 9 on are needed") as refused:
        archive(store, Wish(before_seq=10))

    assert "--before 9 or less" in refused.value.remedy
    assert archive(store, Wish(before_seq=9)).last_seq == 8


def test_a_dry_run_changes_nothing(store: Store, writer: Writer) -> None:
    two_snapshots(store, writer)
    before = records_of(store)

    outcome = archive(store, Wish(dry_run=True))

    assert (outcome.records, outcome.remaining, outcome.bytes) == (8, 8, None)
    assert records_of(store) == before
    assert not (store.directory / "archive").exists()


def test_a_damaged_record_keeps_everything_in_the_journal(store: Store, writer: Writer) -> None:
    two_snapshots(store, writer)
    store.database.connection.execute("UPDATE journal SET payload = '{}' WHERE seq = 3")

    with pytest.raises(DamagedRecordError, match="record 3"):
        archive(store)

    assert archives_of(store.database.connection) == []
    assert list((store.directory / "archive").iterdir()) == []
    assert store.database.connection.execute("SELECT count(*) FROM journal").fetchone() == (16,)


# --- crashes ---


def steps_of(directory: Path, batch: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many steps an archiving of a copy of the directory takes."""
    monkeypatch.setattr(archiving, "RECORDS", batch)
    copy = Path(shutil.copytree(directory, directory.parent / "counted"))
    with open_store(copy) as store:
        run = Archiving(store.database, REGISTRY, DISK, Wish())
        count = 1
        while run.advance():
            count += 1
    shutil.rmtree(copy)
    return count


def test_a_stop_after_any_step_leaves_a_whole_journal_that_can_be_archived(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        two_snapshots(store, writer)
        writer.append(order_stream(5), intended(5))
    states = set()
    for stop in range(steps_of(directory, 3, monkeypatch)):
        copy = Path(shutil.copytree(directory, directory.parent / f"stop-{stop}"))
        with open_store(copy) as store:
            run = Archiving(store.database, REGISTRY, DISK, Wish())
            for _ in range(stop):
                run.advance()
            del run
        with open_store(copy) as store:
            connection = store.database.connection
            assert store.recovered.problems == ()
            assert store.recovered.streams == live(writer.streams)
            assert admin.verify_open(store.database, REGISTRY, DISK, archives=True).is_sound
            (left,) = connection.execute("SELECT count(*) FROM journal").fetchone()
            states.add((len(archives_of(connection)), left))
            Writer(store.journal, store.recovered.streams).append(order_stream(6), intended(6))

            archive(store)

            assert [record.seq for record in records_of(store)] == list(range(9, 19))
            assert connection.execute("SELECT min(seq) FROM journal").fetchone() == (9,)
            past = list(whole_past(copy, archives_of(connection)))
            assert [record.seq for record in past] == list(range(1, 9))
            assert [path.suffix for path in (copy / "archive").iterdir()] == [".gz"]
    assert {(0, 17), (1, 17), (1, 14), (1, 11), (1, 9)} <= states


VICTIM = """
import os, signal, sys
from pathlib import Path
from storage import archiving
from storage.archiving import Archiving, Wish
from tests.storage.words import DISK, REGISTRY, open_store

archiving.RECORDS = 3
with open_store(Path(sys.argv[1])) as store:
    run = Archiving(store.database, REGISTRY, DISK, Wish())
    for _ in range(int(sys.argv[2])):
        run.advance()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("steps", [4, 9, 10, 11, 12, 13])
def test_kill_9_within_an_archiving_loses_nothing(directory: Path, steps: int) -> None:
    with open_store(directory) as store:
        writer = Writer(store.journal)
        two_snapshots(store, writer)
        before = records_of(store)

    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(directory), str(steps)], cwd=ROOT, check=False
    )

    assert done.returncode == -signal.SIGKILL
    with open_store(directory) as store:
        assert store.recovered.problems == ()
        assert store.recovered.streams == live(writer.streams)
        archive(store)
        past = list(whole_past(directory, archives_of(store.database.connection)))
        assert past + records_of(store) == before


@given(story_steps, st.lists(st.integers(0, 40), min_size=2, max_size=2, unique=True))
@settings(max_examples=25, deadline=None)
def test_whatever_happened_archives_and_journal_are_the_whole(
    steps: list[tuple[int, int, bool]], snapshots_after: list[int]
) -> None:
    with TemporaryDirectory() as parent:
        directory = new_directory(Path(parent))
        with open_store(directory) as store:
            writer = Writer(store.journal)
            for index, batch in enumerate(batches_of(steps, writer)):
                store.journal.append(batch)
                if index in snapshots_after:
                    store.write_snapshot(writer.streams)
            before, tables = records_of(store), read_tables(store.database)
            if len(snapshot_paths(directory)) < 2:
                return
            archive(store)
            past = list(whole_past(directory, archives_of(store.database.connection)))
            assert past + records_of(store) == before
            assert read_tables(store.database) == tables
        with open_store(directory) as store:
            assert store.recovered.streams == live(writer.streams)
            rebuild(store.database, REGISTRY, TABLES, DISK)
            assert read_tables(store.database) == tables


# --- what is archived, afterwards ---


@pytest.fixture
def archived(directory: Path) -> Callable[[], Store]:
    """A directory in which a position that is open began before the anchor, and two orders ended.

    Returns a function that opens it.
    """
    stream = f"position/{position_id()}"
    life = opened("1", "100", plan("90"))
    born = len(life.events)
    with open_store(directory) as store:
        writer = Writer(store.journal)
        writer.append(stream, *life.events)
        writer.append(order_stream(1), *life_of(1))
        store.write_snapshot(writer.streams)
        writer.append(order_stream(2), *life_of(2)[:2])
        store.write_snapshot(writer.streams)
        archive(store)
        life.cross("stop", "89")
        writer.append(stream, *life.events[born:])
        writer.append(order_stream(2), *life_of(2)[2:])
    return lambda: open_store(directory)


def test_a_row_of_an_archive_that_is_damaged_is_no_archive(archived: Callable[[], Store]) -> None:
    with archived() as store:
        connection = store.database.connection
        connection.execute("UPDATE archives SET file = x'00'")

        with pytest.raises(JournalUnavailableError, match="an archive's row") as refused:
            archives_of(connection)

        assert refused.value.kind is Trouble.DAMAGED


def test_a_stream_that_began_before_the_anchor_says_so(archived: Callable[[], Store]) -> None:
    with archived() as store:
        connection = store.database.connection
        archives = archives_of(connection)

        with pytest.raises(ArchivedError):
            list(admin.history_of(connection, f"position/{position_id()}"))

        past = past_of(store.directory, archives, frozenset({order_stream(1)}))
        assert [record.version for record in past] == [1, 2, 3, 4]


def test_tables_are_rebuilt_with_the_help_of_the_archives(archived: Callable[[], Store]) -> None:
    with archived() as store:
        before = read_tables(store.database)
        for table in before:
            store.database.connection.execute(f"DELETE FROM {table}")

        rebuilt = rebuild(store.database, REGISTRY, TABLES, DISK)

        assert rebuilt.problems == ()
        assert read_tables(store.database) == before


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE intents SET client_order_id = '?' WHERE seq = (SELECT min(seq) FROM intents)",
        "DELETE FROM intents WHERE seq = (SELECT min(seq) FROM intents)",
        "UPDATE orders SET seq = seq + 1 WHERE seq = (SELECT min(seq) FROM orders)",
    ],
)
def test_rows_that_archived_records_wrote_are_compared_and_written_anew(
    archived: Callable[[], Store], damage: str
) -> None:
    with archived() as store:
        connection = store.database.connection
        intents = "SELECT * FROM intents ORDER BY seq"
        before = read_tables(store.database), connection.execute(intents).fetchall()
        connection.execute(damage)

        (problem,) = row_problems(store.database, REGISTRY, TABLES, DISK)
        rebuild(store.database, REGISTRY, TABLES, DISK)

        assert "not what the journal says" in problem or "missing" in problem
        assert row_problems(store.database, REGISTRY, TABLES, DISK) == []
        assert (read_tables(store.database), connection.execute(intents).fetchall()) == before


def test_without_the_archives_the_ids_of_their_orders_stay(
    archived: Callable[[], Store],
) -> None:
    with archived() as store:
        connection = store.database.connection
        shutil.rmtree(store.directory / "archive")
        before = connection.execute("SELECT * FROM intents ORDER BY seq").fetchall()

        rebuild(store.database, REGISTRY, TABLES, DISK)

        assert connection.execute("SELECT * FROM intents ORDER BY seq").fetchall() == before


def test_without_the_archives_tables_are_rebuilt_from_the_oldest_snapshot_on(
    archived: Callable[[], Store],
) -> None:
    with archived() as store:
        shutil.rmtree(store.directory / "archive")
        before = read_tables(store.database)
        anchor = anchor_of(store.database.connection).seq
        for table in before:
            store.database.connection.execute(f"DELETE FROM {table} WHERE seq > {anchor}")

        rebuilt = rebuild(store.database, REGISTRY, TABLES, DISK)

        assert "kept as they were" in rebuilt.problems[0]
        assert read_tables(store.database) == before


def test_an_open_position_keeps_its_row_when_the_tail_is_set_aside(
    archived: Callable[[], Store],
) -> None:
    with archived() as store:
        last = store.journal.tail.seq
        first = anchor_of(store.database.connection).seq + 3
        store.database.connection.execute(f"UPDATE journal SET time = '?' WHERE seq = {first}")
    with archived() as store:
        assert f"journal record {first}" in store.recovered.problems[0]
        assert store.recovered.last_seq < last
        rows = read_tables(store.database)
        assert [row[0] for row in rows["positions"]] == [position_id()]
        assert rows["fills"]


def test_a_malformed_file_is_rewritten_from_the_anchor_on(archived: Callable[[], Store]) -> None:
    with archived() as store:
        directory, before = store.directory, read_tables(store.database)
        (page,) = store.database.connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_journal_1'"
        ).fetchone()
        tail, intents = (
            store.journal.tail,
            store.database.connection.execute("SELECT * FROM intents ORDER BY seq").fetchall(),
        )
    data = bytearray((directory / NAME).read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    (directory / NAME).write_bytes(data)

    admin.rebuild_directory(directory, REGISTRY, TABLES, DISK)

    with archived() as store:
        connection = store.database.connection
        assert store.recovered.problems == ()
        assert store.journal.tail == tail
        assert read_tables(store.database) == before
        assert connection.execute("SELECT * FROM intents ORDER BY seq").fetchall() == intents
        assert admin.verify_open(store.database, REGISTRY, DISK, archives=True).is_sound


def without_snapshots(directory: Path) -> None:
    for path in snapshot_paths(directory):
        path.write_bytes(b"HOLDSNAP")


def test_with_no_snapshot_the_archives_are_folded(
    directory: Path, archived: Callable[[], Store]
) -> None:
    with archived() as store:
        before = store.recovered.streams
    without_snapshots(directory)

    with archived() as store:
        assert store.recovered.streams == before
        assert "archived records were folded" in " ".join(store.recovered.problems)


def test_with_neither_it_does_not_start_and_changes_nothing(
    directory: Path, archived: Callable[[], Store]
) -> None:
    without_snapshots(directory)
    (directory / "archive").rename(directory / "elsewhere")
    names = snapshot_paths(directory)

    with pytest.raises(ArchiveNeededError, match="Put them back"):
        archived()

    assert snapshot_paths(directory) == names
    (directory / "elsewhere").rename(directory / "archive")
    with archived() as store:
        assert f"position/{position_id()}" in store.recovered.streams


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda data: b"", "line cannot be read"),
        (lambda data: data[:-20], "cannot be read"),
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "read"),
        (lambda data: _edited(data, b'"leverage":"1"', b'"leverage":"2"'), "does not match"),
        (lambda data: _edited(data, b'"seq":2,', b'"seq":3,'), "does not match"),
        (lambda data: _without_line(data, 3), "missing"),
        (lambda data: _without_line(data, -1), "ends with record"),
    ],
)
def test_a_damaged_archive_is_found(
    archived: Callable[[], Store], harm: Callable[[bytes], bytes], problem: str
) -> None:
    with archived() as store:
        (path,) = (store.directory / "archive").iterdir()
        path.write_bytes(harm(path.read_bytes()))

        report = admin.verify_open(store.database, REGISTRY, DISK, archives=True)

        assert not report.is_sound
        assert problem in report.archives[0].problem
        assert admin.verify_open(store.database, REGISTRY, DISK).is_sound
        with pytest.raises(ArchiveError):
            list(whole_past(store.directory, archives_of(store.database.connection)))


def _edited(data: bytes, old: bytes, new: bytes) -> bytes:
    text = gzip.decompress(data)
    assert old in text
    return gzip.compress(text.replace(old, new, 1))


def _without_line(data: bytes, number: int) -> bytes:
    lines = gzip.decompress(data).splitlines(keepends=True)
    del lines[number]
    return gzip.compress(b"".join(lines))


def test_a_first_record_that_does_not_follow_from_the_anchor_is_found(
    directory: Path, archived: Callable[[], Store]
) -> None:
    with archived() as store:
        store.database.connection.execute("UPDATE archives SET last_hash = 'f'")

    report = admin.verify(directory, REGISTRY, DISK)

    assert report.first_bad == report.archived + 1
    assert "does not follow" in report.problems[0]


def test_a_backup_of_what_is_left_is_enough_to_start_from(
    archived: Callable[[], Store], tmp_path: Path
) -> None:
    file = tmp_path / "b.tar.gz"
    with archived() as store, Staging(file) as staging:
        before = store.recovered.streams
        for path in snapshot_paths(store.directory):
            staging.snapshot(path)
        target = staging.directory / NAME
        copy_database(lambda: store.database.connection, target, lambda: None)
        made = staging.pack("1", "")

    restore(file, tmp_path / "new", lambda _: None)

    assert made.journal.first_seq > 1
    with open_store(tmp_path / "new") as store:
        assert store.recovered.problems == ()
        assert store.recovered.streams == before


def test_the_stopped_daemons_journal_is_archived_under_its_lock(directory: Path) -> None:
    with open_store(directory) as store:
        two_snapshots(store, Writer(store.journal))

    assert admin.archive(directory, REGISTRY, DISK, Wish()).records == 8
    assert admin.archive(directory, REGISTRY, DISK, Wish()).records == 0
