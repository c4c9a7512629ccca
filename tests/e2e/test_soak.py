"""The soak, small: it lives, it sees everything die and come back, and it would see growth."""

import json

import pytest

from tests import soak


@pytest.mark.timeout(300)
def test_twenty_minutes_of_a_daemon_leave_no_file_and_no_task_behind(tmp_path, capsys):
    soak.main(["--hours", "0.33", "--json"])  # its memory has not settled: only the full run judges

    found = json.loads(capsys.readouterr().out)
    assert found["hours"] >= 0.33
    assert (found["fd_growth"], found["task_growth"]) == (0, 0)
    assert found["orders"] > 100
    assert found["events"] > 2_000
    assert found["restarts"] >= 1
    assert "rss_slope_mb_h" in found


def test_the_slope_is_that_of_the_nearest_line():
    assert soak.slope([(0, 10), (1, 12), (2, 14)]) == pytest.approx(2)
    assert soak.slope([(0, 10), (1, 10), (2, 10)]) == 0
    assert soak.slope([(1, 0), (2, 3), (3, 0)]) == 0


@pytest.mark.parametrize(
    ("last", "grew"),
    [
        ({"rss_mb": 90.0, "fds": 9, "tasks": 5}, False),
        ({"rss_mb": 120.0, "fds": 9, "tasks": 5}, True),
        ({"rss_mb": 90.0, "fds": 10, "tasks": 5}, True),
        ({"rss_mb": 90.0, "fds": 9, "tasks": 6}, True),
    ],
)
def test_memory_files_or_tasks_that_grow_are_a_failure(monkeypatch, capsys, last, grew):
    level = {"rss_mb": 90.0, "fds": 9, "tasks": 5}
    hours = [{"hour": float(hour)} | level for hour in range(1, 8)] + [{"hour": 8.0} | last]
    monkeypatch.setattr(soak, "soak", lambda *_, **__: soak.growth(hours))

    assert soak.main(["--json"]) == int(grew)
    capsys.readouterr()
