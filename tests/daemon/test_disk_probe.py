"""The probe of a disk: a real file beside the journal, on a thread of its own."""

import threading
import time
from pathlib import Path

import pytest

from daemon.pulse import PROBE, DiskProbe
from runtime.disk import RealDisk


class Slow(RealDisk):
    """A disk that writes when it is let."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def write_atomically(self, path: Path, data: bytes) -> None:
        self.goes_on.wait(20)
        super().write_atomically(path, data)


def ended(probe: DiskProbe) -> str:
    probe._thread.join(20)
    return probe.result


def test_a_disk_that_works_answers_and_nothing_is_left_on_it(tmp_path):
    probe = DiskProbe(RealDisk(), tmp_path)
    assert probe.result == "untried"
    probe.ask()
    assert ended(probe) == "answers"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_is_as_silent_as_one_that_hangs(tmp_path):
    probe = DiskProbe(RealDisk(), tmp_path / "gone")
    probe.ask()
    assert ended(probe) == "silent"


def test_a_disk_that_hangs_is_silent_and_holds_nobody_up(tmp_path):
    disk = Slow()
    probe = DiskProbe(disk, tmp_path)
    began = time.monotonic()
    probe.ask()
    probe.ask()  # the first one is still under way
    assert time.monotonic() - began < 10
    assert probe.result == "silent"
    disk.goes_on.set()
    assert ended(probe) == "answers"


def test_an_answer_that_comes_too_late_does_not_count(tmp_path):
    disk = Slow()
    probe = DiskProbe(disk, tmp_path)
    probe.ask()
    probe.forget()
    disk.goes_on.set()
    assert ended(probe) == "untried"


@pytest.mark.parametrize("link", [True, False])
def test_it_does_not_write_through_a_link_that_somebody_planted(tmp_path, link):
    target = tmp_path / "target"
    target.write_text("mine")
    if link:
        (tmp_path / PROBE).symlink_to(target)
    probe = DiskProbe(RealDisk(), tmp_path)
    probe.ask()
    assert ended(probe) == ("silent" if link else "answers")
    assert target.read_text() == "mine"
