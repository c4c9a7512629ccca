"""The crash drill with a few kills: `make crash` does many more."""

import os
import signal
from argparse import Namespace
from pathlib import Path

import pytest

from tests.crash import KILLS_A_DIRECTORY, jobs_of, run, run_labels, summed
from tests.e2e.crash_ground import PaperGround, sandbox_ground
from tests.e2e.crash_nursery import Nursery
from tests.e2e.crash_points import POINTS, labels_of
from tests.e2e.crash_promises import Book
from tests.e2e.crash_trap import Mark

NOTHING_BROKEN = {"lost": [], "duplicated": [], "unprotected": [], "loosened_trails": []}
ENDS_WITHIN_S = 30.0
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_a_daemon_that_is_killed_again_and_again_keeps_its_word(tmp_path: Path):
    result, book = run(kills=6, seed=6, directory=tmp_path, shows=False)
    assert book.broken == NOTHING_BROKEN
    assert result["kills"] == 6
    assert result["early_kills"]
    assert result["hasty_kills"]
    assert result["min_open"] >= 20
    assert result["acknowledged"] >= 30  # the openings alone; a slow machine does little more
    assert result["exits_fired"] > 5
    assert result["unanswered"] == 0
    assert result["actor_restarts"] == {}
    assert set(result["errors_logged"]) <= {"loop_blocked"}  # a machine may be slow


def test_a_daemon_that_kills_itself_at_labelled_instants_keeps_its_word(tmp_path: Path):
    labels = ("intent-after", "commit-before", "snapshot-rename-before", "start-told")
    result, book = run_labels(len(labels), 3, tmp_path, PaperGround(), labels)
    assert book.broken == NOTHING_BROKEN
    assert {label: each["kills"] for label, each in result["labels"].items()} == dict.fromkeys(
        labels, 1
    )


def test_at_the_sandbox_its_ledger_agrees_after_each_of_them(tmp_path: Path):
    labels = ("ack-before", "stop-amended-after", "stop-canceled-after")
    with sandbox_ground(seed=4) as ground:
        result, book = run_labels(len(labels), 4, tmp_path, ground, labels)
    assert book.broken == NOTHING_BROKEN
    assert sum(each["kills"] for each in result["labels"].values()) == len(labels)


def test_a_nursery_says_how_each_of_its_children_ended(tmp_path: Path):
    log, variables = tmp_path / "log", {"PATH": os.environ["PATH"]}
    trap = ["intent-after", "paper", "0", str(Mark(tmp_path / "mark", armed=False).path)]
    (tmp_path / "config.yaml").write_text(f"data_dir: {tmp_path / 'data'}\n")
    with Nursery() as nursery:
        well = nursery.start([*trap, "--version"], variables, log)
        assert well.wait(ENDS_WITHIN_S) == 0
        assert log.read_text().startswith("holdfast ")
        badly = nursery.start([*trap, "run", "--config", "missing.yaml"], variables, log)
        assert badly.wait(ENDS_WITHIN_S) == 1
        killed = nursery.start(
            [*trap, "run", "--config", str(tmp_path / "config.yaml")], variables, log
        )
        assert killed.poll() is None
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait(ENDS_WITHIN_S) == -signal.SIGKILL
    assert len({well.pid, badly.pid, killed.pid}) == 3


def test_every_label_is_of_a_venue_and_none_of_a_venue_is_unknown():
    assert set(labels_of("paper")) | set(labels_of("sandbox")) == set(POINTS)


def row(price: str) -> dict[str, object]:
    """What a person sees of a long position whose stop is at 59000."""
    return {
        "id": "one",
        "symbol": "BTC/USDT",
        "side": "LONG",
        "status": "open_protected",
        "stop_lives": "client guard",
        "stop": "59000",
        "trail_level": None,
        "current_price": price,
        "price_is_fresh": True,
        "protection_version": 1,
        "entry_quantity": "1",
        "remaining_quantity": "1",
    }


@pytest.mark.parametrize(("killed", "blamed"), [(False, 1), (True, 0)])
def test_a_stop_must_fire_in_its_time_and_the_time_between_two_lives_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch, killed: bool, blamed: int
):
    book, now_s = Book(), 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    book.see_row(row("58900"), now_s)
    if killed:
        book.died()
    now_s += 2.0
    book.see_row(row("58900"), now_s)
    assert len(book.broken["unprotected"]) == blamed
    book.knows = True
    for _ in range(2):
        now_s += 1.0
        book.see_row(row("58900"), now_s)
    assert len(book.broken["unprotected"]) == 1


@pytest.mark.parametrize(("while_down", "blamed"), [(True, 0), (False, 1)])
def test_a_trail_crossed_in_the_downtime_fires_at_the_level_of_before_it(
    while_down: bool, blamed: int
):
    book = Book()
    shown = row("60000") | {"entry_quantity": "0", "remaining_quantity": "0"}
    book.see_row(shown | {"trail_level": "59500"}, 1.0)
    book.died()
    book.see_row(shown | {"trail_level": "59700"}, 2.0)
    trigger = {"level": "59500", "while_down": while_down}
    fired = {"exit_id": "trail", "client_order_id": "x", "filled": "0", "trigger": trigger}
    entry = {"fills": [], "entry_order": "e", "entry_requested": "1"}
    book.see_view(shown | entry | {"status": "closing", "exits": [fired]}, 3.0)
    assert len(book.broken["loosened_trails"]) == blamed


def test_many_labelled_kills_are_shared_out_and_summed_by_venue_and_label():
    labelled = 2 * (KILLS_A_DIRECTORY + 1)  # one more of each venue than goes to one directory
    asked = Namespace(kills=5, labelled=labelled, seed=3, label=["ack-after"], seconds=60.0)
    jobs = jobs_of(asked)
    assert list(jobs) == ["random", "paper-0", "paper-1", "sandbox-0", "sandbox-1"]
    kills = [int(each[each.index("--labelled") + 1]) for each in list(jobs.values())[1:]]
    assert kills == [KILLS_A_DIRECTORY, 1] * 2
    row = {"kills": 2, "missed": 1, "broken": 0}
    parts = {name: {"kills": 3, "labels": {"ack-after": row}} for name in ("paper-0", "paper-1")}
    total = summed(parts | {"sandbox-0": {"kills": 2, "labels": {"ack-after": row}}})
    assert total["kills"] == 8
    assert total["labelled_kills"] == 6
    assert total["fewest_of_a_label"] == 2
    assert total["labels"]["paper/ack-after"] == {"kills": 4, "missed": 2, "broken": 0}
