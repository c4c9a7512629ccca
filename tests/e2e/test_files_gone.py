"""Files that somebody removes under a running daemon: it says so, and a backup rescues all."""

from pathlib import Path

import pytest

from tests.e2e.attempts import attempt, logged
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.test_backup import CONFIG, data_of, holdfast, opened, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def codes(daemon: Daemon) -> set[str]:
    return {each["code"] for each in daemon.cli("mode")["causes"]}


@pytest.mark.parametrize("name", ["holdfast.db", "holdfast.db-wal", "holdfast.lock", "paper.db"])
def test_a_file_that_is_moved_away_is_told_until_it_is_back(processes: Processes, name: str):
    daemon = running(processes)
    file = data_of(daemon) / name
    file.rename(file.with_name("away"))
    wait_until(lambda: "FILES_GONE" in codes(daemon), 20, "it is told")
    (line,) = logged(daemon, "files_gone")
    assert line["files"] == [name]

    file.with_name("away").rename(file)
    wait_until(lambda: not codes(daemon), 20, "it is over")


def test_what_was_removed_is_rescued_by_a_backup(processes: Processes, tmp_path: Path):
    daemon = running(processes)
    first = opened(daemon.client)
    for name in ("holdfast.db", "holdfast.db-wal", "paper.db"):
        (data_of(daemon) / name).unlink()
    wait_until(lambda: "FILES_GONE" in codes(daemon), 20, "it is told")
    assert "holdfast backup" in attempt(daemon.config, "mode").out
    daemon.cli("move-stop", first, "41000")  # it goes on

    file = tmp_path / "rescued.tar.gz"
    daemon.cli("backup", str(file))
    assert daemon.process.stop() == 0

    restored = tmp_path / "restored"
    holdfast("restore", str(file), "--into", str(restored))
    daemon.config.write_text(f"data_dir: {restored}\n{CONFIG}")
    found = attempt(daemon.config, "journal", "verify")
    assert found.code == 0, found
    process = processes.start("restored", "run", "--config", str(daemon.config))
    wait_until(lambda: '"event":"ready"' in process.text(), 30, "it starts")
    assert '"positions":1' in process.text()


def test_a_socket_that_was_removed_costs_a_start_and_no_backup(processes: Processes):
    daemon = running(processes)
    opened(daemon.client)
    (data_of(daemon) / "holdfast.sock").unlink()
    wait_until(lambda: bool(logged(daemon, "files_gone")), 20, "it is told")
    (line,) = logged(daemon, "files_gone")
    assert line["files"] == ["holdfast.sock"]
    assert f"kill {daemon.process.pid}" in line["remedy"]
    assert "restore" not in line["remedy"]
    second = attempt(daemon.config, "run")
    assert second.rule == "ALREADY_RUNNING"
    assert "its socket was removed" in second.err

    assert daemon.process.stop() == 0
    process = processes.start("again", "run", "--config", str(daemon.config))
    wait_until(lambda: '"event":"ready"' in process.text(), 30, "it starts")
    assert '"positions":1' in process.text()
