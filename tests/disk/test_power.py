"""A sample of the power cuts of `make diskfaults`, and that they would find a broken promise."""

from pathlib import Path

import pytest

from storage import connection
from storage.connection import Database
from tests.disk import power, vfs

pytestmark = pytest.mark.skipif(
    not vfs.is_available(), reason="sqlite3 brings a SQLite of its own that no VFS can be added to"
)


@pytest.mark.parametrize("seed", [101, 102])
def test_after_a_power_cut_everything_acknowledged_is_there(seed: int, tmp_path: Path) -> None:
    story = power.told(tmp_path / "data", seed, commits=15, images=1)

    found = power.judged(story, tmp_path)

    assert not found.faults
    assert found.outcomes.total() > 50


@pytest.mark.parametrize("seed", [201, 202])
def test_a_power_cut_after_failed_syncs_leaves_what_was_acknowledged(
    seed: int, tmp_path: Path
) -> None:
    story = power.told(tmp_path / "data", seed, commits=15, images=1, failing=0.3)

    assert not power.judged(story, tmp_path).faults


def test_one_who_trusts_a_log_after_a_failed_sync_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "_make_log_durable", lambda _: None)
    found = power.Cuts()
    for seed in (201, 202):
        place = tmp_path / str(seed)
        place.mkdir()
        story = power.told(place / "data", seed, commits=15, images=2, failing=0.5)
        found.outcomes += power.judged(story, place).outcomes

    assert found.outcomes["broken"]


def test_a_journal_that_does_not_sync_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = tuple(
        "synchronous = OFF" if each.startswith("synchronous") else each
        for each in connection._PRAGMAS
    )
    monkeypatch.setattr(connection, "_PRAGMAS", careless)
    monkeypatch.setattr(power, "_AT_OTHERS", 0.2)
    story = power.told(tmp_path / "data", 103, commits=15, images=1)
    monkeypatch.undo()

    assert power.judged(story, tmp_path).outcomes["broken"]
