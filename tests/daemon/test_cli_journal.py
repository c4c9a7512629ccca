"""`holdfast journal`: on the directory of a stopped daemon, and asking one that runs."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from actors.streams import registry
from daemon.admin_requests import JournalArchive, JournalVerify
from daemon.cli.program import build
from domain.position_life import evolve
from runtime.disk import RealDisk
from storage.archiving import Outcome
from storage.connection import NAME
from storage.journal import Entry
from storage.store import Store
from tests.builders import NOW, opened, plan, position_id

CONFIG = "market: {source: simulated, symbols: [BTC/USDT]}\ndata_dir: state\n"
FOR_EVER = "retention: {closed_paper_days: null}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory in which a position was opened and stopped out."""
    (tmp_path / "c.yaml").write_text(CONFIG + FOR_EVER)
    directory = tmp_path / "state"
    life = opened("1", "100", plan("90"))
    life.cross("stop", "89").fill_exit(at="89")
    entries: list[Any] = []
    position = None
    for version, event in enumerate(life.events, start=1):
        position = evolve(position, event)  # type: ignore[arg-type]
        entries.append((f"position/{life.p.id}", version, event, NOW, position))
    store = Store(directory, registry(), RealDisk())
    store.journal.append(entries)
    store.close()
    return directory


@pytest.fixture
def journal(directory: Path) -> Callable[..., Any]:
    """Run a journal command on the directory."""

    def run(*arguments: str) -> Any:
        line = ["journal", *arguments, "--config", str(directory.parent / "c.yaml")]
        result = CliRunner().invoke(build(line), line)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def records(dumped: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dumped.splitlines()]


def test_a_sound_journal_is_verified(journal: Callable[..., Any]) -> None:
    shown = journal("verify")
    report = json.loads(journal("verify", "--json").stdout)

    assert shown.exit_code == 0
    assert "journal  sound" in shown.stdout
    assert report["sound"]
    assert report["records"] > 5
    assert report["first_bad"] is None


def test_a_dump_is_one_object_a_record(journal: Callable[..., Any]) -> None:
    dumped = records(journal("dump").stdout)

    assert dumped[0]["type"] == "PositionIntended"
    assert dumped[-1]["type"] == "PositionClosed"
    assert dumped[0]["payload"]["trader"] == "manual"
    assert records(journal("dump", "--stream", dumped[0]["stream"]).stdout) == dumped
    assert journal("dump", "--stream", "position/none").stdout == ""


def test_a_changed_record_is_found_and_named(journal: Callable[..., Any], directory: Path) -> None:
    with closing(sqlite3.connect(directory / NAME)) as connection, connection:
        connection.execute(
            "UPDATE journal SET payload = replace(payload, 'manual', 'mallory') WHERE seq = 1"
        )

    verified = journal("verify")
    assert verified.exit_code == 1
    assert "DAMAGED" in verified.stdout
    assert "safe" not in verified.stdout
    assert json.loads(journal("verify", "--json").stdout)["first_bad"] == 1
    dumped = journal("dump")
    assert dumped.exit_code == 1
    assert dumped.stderr.startswith("error DAMAGED_RECORD: journal record 1")


def test_damage_that_a_snapshot_has_outlived_is_said_to_leave_what_is_open_safe(
    journal: Callable[..., Any], directory: Path
) -> None:
    with Store(directory, registry(), RealDisk()) as store:
        store.write_snapshot(store.recovered.streams)
        store.database.connection.execute("UPDATE journal SET time = '?' WHERE seq = 2")

    verified = journal("verify")

    assert verified.exit_code == 1
    assert "DAMAGED" in verified.stdout
    assert "safe: a snapshot from after the damage can be used" in verified.stdout


def test_read_tables_are_rebuilt_from_the_journal(
    journal: Callable[..., Any], directory: Path
) -> None:
    with closing(sqlite3.connect(directory / NAME)) as connection, connection:
        before = connection.execute("SELECT * FROM closed_positions").fetchall()
        connection.execute("DELETE FROM closed_positions")

    rebuilt = journal("rebuild", "--json")

    assert json.loads(rebuilt.stdout)["problems"] == []
    with closing(sqlite3.connect(directory / NAME)) as connection:
        assert connection.execute("SELECT * FROM closed_positions").fetchall() == before
    assert len(before) == 1


def test_rebuilding_does_not_bring_back_what_is_too_old(
    journal: Callable[..., Any], directory: Path
) -> None:
    (directory.parent / "c.yaml").write_text(CONFIG)

    rebuilt = json.loads(journal("rebuild", "--json").stdout)

    assert rebuilt["pruned"]["positions"] == 1
    with closing(sqlite3.connect(directory / NAME)) as connection:
        assert connection.execute("SELECT * FROM closed_positions").fetchall() == []


def two_snapshots(directory: Path) -> int:
    """Journal a second position, with a snapshot before and after; return the first's number."""
    store = Store(directory, registry(), RealDisk())
    store.write_snapshot(store.recovered.streams)
    seq = store.journal.tail.seq
    position = None
    for version, event in enumerate(opened("1", "100", plan("90")).events, start=1):
        position = evolve(position, event)  # type: ignore[arg-type]
        stream = f"position/{position_id(2)}"
        store.journal.append([Entry(stream, version, event, NOW, position)])
    store.write_snapshot({**store.recovered.streams, stream: (version, position)})
    store.close()
    return seq


def test_a_stopped_daemons_oldest_records_are_archived(
    journal: Callable[..., Any], directory: Path
) -> None:
    seq = two_snapshots(directory)

    would = journal("archive", "--dry-run")
    done = json.loads(journal("archive", "--json").stdout)
    again = journal("archive")

    assert f"{seq} records, 1 to {seq}, would go in archive/journal-" in would.stdout
    assert (done["records"], done["up_to"], done["dry_run"]) == (seq, seq, False)
    assert list(done) == list(Outcome.__struct_fields__)
    assert again.stdout == f"nothing to archive; records up to {seq} might leave\n"
    verified = journal("verify", "--archives")
    assert verified.exit_code == 0
    assert f"archived  {seq} records before these" in verified.stdout
    assert ".jsonl.gz: whole" in verified.stdout
    assert json.loads(journal("verify", "--json").stdout)["archives"] == []


def test_a_damaged_archive_is_told_when_asked_for(
    journal: Callable[..., Any], directory: Path
) -> None:
    two_snapshots(directory)
    journal("archive")
    (file,) = (directory / "archive").iterdir()
    file.write_bytes(file.read_bytes()[:-9])

    assert journal("verify").exit_code == 0
    told = journal("verify", "--archives")
    report = json.loads(journal("verify", "--archives", "--json").stdout)

    assert told.exit_code == 1
    assert "cannot be read" in told.stdout
    assert not report["sound"]
    assert "cannot be read" in report["archives"][0]["problem"]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((), "ARCHIVE_REFUSED"),
        (("--before", "2"), "ARCHIVE_REFUSED"),
    ],
)
def test_without_two_snapshots_nothing_is_archived(
    journal: Callable[..., Any], arguments: tuple[str, ...], rule: str
) -> None:
    refused = journal("archive", *arguments)

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error {rule}: ")
    assert "holdfast snapshot" in refused.stderr


def test_a_running_daemon_is_asked_to_archive(
    journal: Callable[..., Any], directory: Path, open_office: Callable[..., Any]
) -> None:
    office = open_office(directory / "holdfast.sock")
    outcome = Outcome(0, None, None, None, None, None, 7, 5, dry_run=True)
    office.desk.answers[JournalArchive] = msgspec.to_builtins(outcome)
    store = Store(directory, registry(), RealDisk())
    try:
        shown = journal("archive", "--keep-days", "3", "--dry-run")
    finally:
        store.close()

    assert office.desk.asked == [JournalArchive(keep_days=3, dry_run=True)]
    assert shown.stdout == "nothing to archive; records up to 7 might leave\n"


@pytest.mark.parametrize("command", ["verify", "dump", "rebuild", "archive"])
def test_a_directory_without_a_journal_is_said_to_be_one(tmp_path: Path, command: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG)
    line = ["journal", command, "--config", str(config)]

    result = CliRunner().invoke(build(line), line)

    assert result.exit_code == 1
    assert result.stderr.startswith("error NO_JOURNAL: ")
    assert "holdfast run" in result.stderr
    assert not (tmp_path / "state").exists()


def test_a_running_daemon_is_asked_to_verify_and_keeps_the_rest_to_itself(
    journal: Callable[..., Any], directory: Path, open_office: Callable[..., Any]
) -> None:
    office = open_office(directory / "holdfast.sock")
    office.desk.answers[JournalVerify] = {"verified": 12, "journal_hash": "ab"}
    store = Store(directory, registry(), RealDisk())
    try:
        assert json.loads(journal("verify", "--json").stdout) == {
            "verified": 12,
            "journal_hash": "ab",
        }
        refused = journal("rebuild")
    finally:
        store.close()

    assert refused.exit_code == 1
    assert refused.stderr.startswith("error ALREADY_RUNNING: ")
    assert "holdfast drain" in refused.stderr
