"""A sample of the failing calls of `make diskfaults`, and that they would find a broken promise."""

from pathlib import Path

import pytest

from daemon.assembly import LEDGER
from storage.connection import NAME, Database
from tests.disk import vfs
from tests.disk.calls import LONG_S, Plan, played, template
from tests.disk.simulated import Fault

pytestmark = pytest.mark.skipif(
    not vfs.is_available(), reason="sqlite3 brings a SQLite of its own that no VFS can be added to"
)


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("calls"))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(3, Fault.EIO),
        Plan(60, Fault.FULL, LONG_S),
        Plan(150, Fault.EIO, LONG_S),
        Plan(267, Fault.LOST, LONG_S),
        Plan(300, Fault.SHORT),
        Plan(382, Fault.LOST),
        Plan(420, Fault.LOST, LONG_S),
        Plan(433, Fault.LOST, LONG_S),  # the log on the disk was older than the database
        Plan(40, Fault.FULL, LONG_S, LEDGER),
        Plan(60, Fault.LOST, LONG_S, LEDGER),
    ],
    ids=lambda plan: f"{plan.fault.value} {plan.number} {plan.lasts_s} {plan.victim}",
)
def test_a_failing_call_costs_time_and_nothing_else(
    begin: Path, plan: Plan, tmp_path: Path
) -> None:
    found, calls = played(plan, tmp_path, begin)

    assert not found.faults
    assert found.calls
    assert calls >= plan.number


def test_one_who_trusts_a_log_after_a_failed_sync_is_found_out(
    begin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reopen(database: Database) -> None:
        """Read the file anew, without writing the log back."""
        database._disconnect()
        database._connect()
        database._check_epoch(database.connection)
        database._is_suspect = False

    monkeypatch.setattr(Database, "reopen", reopen)

    days = [
        played(Plan(number, Fault.LOST, LONG_S, NAME), tmp_path, begin)[0]
        for number in (408, 432, 456)
    ]

    assert any("lack what was durable" in text for day in days for text in day.faults)
