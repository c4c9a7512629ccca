"""The limit of time for a strategy, in processes of their own: signals are the whole process's."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.time_limit import NoLimit
from tests.e2e.harness import ROOT

HEAD = """
import os, sys, time
from pathlib import Path
from runtime.time_limit import OvertimeError, RealLimit
limit = RealLimit(Path(sys.argv[1]), interrupt_s={interrupt_s}, note_s={note_s})
def spin():
    while True:
        pass
def swallow():
    stubborn = 2
    while True:
        try:
            time.sleep(100)
        except BaseException:
            stubborn -= 1
            if not stubborn:
                raise
def shrug():
    try:
        time.sleep(100)
    except:
        return "all is well"
def complain():
    try:
        time.sleep(100)
    except BaseException as error:
        raise ValueError("no answer") from error
def call(function):
    try:
        return limit.call("robot", function)
    except OvertimeError:
        return "interrupted"
"""


def ran(
    directory: Path, body: str, *, interrupt_s: float = 0.2, note_s: float = 100
) -> subprocess.CompletedProcess[str]:
    code = HEAD.format(interrupt_s=interrupt_s, note_s=note_s) + body
    command = [sys.executable, "-c", code, str(directory)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


@pytest.mark.parametrize(
    "function", ["spin", "swallow", "shrug", "complain", "lambda: time.sleep(1000)"]
)
def test_what_does_not_come_back_is_interrupted(tmp_path: Path, function: str) -> None:
    done = ran(tmp_path, f"print(call({function}), call(lambda: 7), limit.is_noted('robot'))")
    assert done.stdout.split() == ["interrupted", "7", "False"], done.stderr


def test_who_is_called_right_after_has_less_time_and_later_all_of_it_again(tmp_path: Path) -> None:
    body = """
from runtime.time_limit import RIGHT_AFTER_S
limit = RealLimit(Path(sys.argv[1]), interrupt_s=2, next_s=0.1)
def took(function):
    began = time.monotonic()
    said = call(function)
    return said, time.monotonic() - began < 1
print(took(spin), took(spin), took(spin), took(lambda: 7))
time.sleep(RIGHT_AFTER_S)
print(took(spin))
"""
    done = ran(tmp_path, body)
    short, full = "('interrupted', True)", "('interrupted', False)"
    assert done.stdout == f"{full} {short} {short} (7, True)\n{full}\n", done.stderr


def test_nothing_is_interrupted_afterwards(tmp_path: Path) -> None:
    body = "print(call(lambda: 7))\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    done = ran(tmp_path, body)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr


def test_a_process_that_is_killed_over_it_leaves_a_note(tmp_path: Path) -> None:
    """Of what cannot be interrupted."""
    body = """
def stands_still():
    while not limit.is_noted("robot"):
        pass
    os.kill(os.getpid(), 9)
call(stands_still)
"""
    done = ran(tmp_path, body, interrupt_s=100, note_s=0.2)
    assert done.returncode == -9, done.stderr
    assert "in stands_still" in (tmp_path / "hung-robot").read_text()

    again = ran(tmp_path, "print(limit.is_noted('robot'), limit.is_noted('other'))")
    forgotten = ran(tmp_path, "limit.forget('robot'); print(limit.is_noted('robot'))")

    assert (again.stdout, forgotten.stdout) == ("True False\n", "False\n")


def test_what_crashes_the_process_from_c_leaves_a_note(tmp_path: Path) -> None:
    done = ran(tmp_path, "import ctypes\ncall(lambda: ctypes.string_at(0))")
    assert done.returncode == -11, done.stderr
    assert "Segmentation fault" in (tmp_path / "hung-robot").read_text()
    assert ran(tmp_path, "print(limit.is_noted('robot'))").stdout == "True\n"


def test_of_a_crash_at_any_other_time_stderr_tells(tmp_path: Path) -> None:
    done = ran(tmp_path, "import ctypes\ncall(lambda: 7)\nctypes.string_at(0)")
    assert "Segmentation fault" in done.stderr
    assert (tmp_path / "hung-robot").read_text() == ""


def test_a_note_of_what_came_back_is_taken_away(tmp_path: Path) -> None:
    body = """
def slow():
    while not limit.is_noted("robot"):
        pass
    return 7
print(call(slow), limit.is_noted("robot"))
"""
    done = ran(tmp_path, body, interrupt_s=100, note_s=0.2)
    assert done.stdout == "7 False\n", done.stderr


def test_a_process_that_is_killed_at_any_other_time_leaves_none(tmp_path: Path) -> None:
    done = ran(tmp_path, "call(lambda: os.kill(os.getpid(), 9))")
    assert done.returncode == -9
    assert ran(tmp_path, "print(limit.is_noted('robot'))").stdout == "False\n"


def test_a_directory_that_takes_no_file_keeps_nothing_from_being_called(tmp_path: Path) -> None:
    done = ran(tmp_path / "none", "print(call(lambda: 7), limit.is_noted('robot'))")
    assert done.stdout == "7 False\n", done.stderr


def test_where_time_is_virtual_there_is_no_limit() -> None:
    limit = NoLimit()
    assert limit.call("robot", lambda: 7) == 7
    limit.forget("robot")
    assert not limit.is_noted("robot")
