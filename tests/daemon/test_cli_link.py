"""Which daemon a command speaks to, and how it ends when it does not hear what became of it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.admin_requests import Close, Health, Ping
from domain.errors import Refusal
from tests.daemon.test_admin_client import daemon_that
from tests.daemon.test_cli import ROOT, Ran, holdfast

# A shell that starts the tests in the background has Ctrl-C ignored; a terminal has not.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from daemon.cli import main; main()"
)


@pytest.fixture
def two(
    open_office: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Any]:
    """Two daemons, `a` and `b`, each with a configuration; both are found by relative paths."""
    monkeypatch.chdir(tmp_path)
    offices = []
    for name in ("a", "b"):
        offices.append(open_office(tmp_path / name / "holdfast.sock"))
        (tmp_path / f"{name}.yaml").write_text(f"data_dir: {name}\n")
    return offices[0], offices[1]


@pytest.mark.parametrize(
    ("environment", "arguments", "asked"),
    [
        ({"SOCKET": "a/holdfast.sock"}, "", "a"),
        ({"SOCKET": "a/holdfast.sock"}, "--config b.yaml", "b"),
        ({"SOCKET": "a/holdfast.sock", "CONFIG": "b.yaml"}, "", "a"),
        ({"CONFIG": "b.yaml"}, "", "b"),
        ({"CONFIG": "a.yaml"}, "--config b.yaml", "b"),
        ({"CONFIG": "a.yaml"}, "--socket b/holdfast.sock", "b"),
        ({"SOCKET": "a/holdfast.sock"}, "--socket b/holdfast.sock", "b"),
        ({}, "--socket b/holdfast.sock --config b.yaml", "b"),
        ({}, "--config a.yaml --socket a/holdfast.sock", "a"),
    ],
)
def test_what_is_typed_goes_before_what_a_variable_says(
    two: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    arguments: str,
    asked: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"HOLDFAST_{name}", value)

    assert holdfast("close", "3f", *arguments.split()).code == 0

    a, b = two
    requests = [Close(position="3f")]
    assert (a.desk.asked, b.desk.asked) == ((requests, []) if asked == "a" else ([], requests))


@pytest.mark.parametrize(
    "arguments",
    ["--config b.yaml --socket a/holdfast.sock", "--socket a/holdfast.sock --config b.yaml"],
)
def test_a_configuration_and_a_socket_of_two_daemons_close_nothing(
    two: tuple[Any, Any], arguments: str
) -> None:
    ran = holdfast("close", "--all", "--yes", *arguments.split())

    assert ran.code == 2
    assert "error TWO_DAEMONS: b.yaml says that its daemon listens at" in ran.err
    assert two[0].desk.asked == two[1].desk.asked == []


def test_a_configuration_that_cannot_be_read_does_not_keep_from_the_socket(
    two: tuple[Any, Any], tmp_path: Path
) -> None:
    (tmp_path / "b.yaml").write_text("a: [")

    ran = holdfast("close", "3f", "--config", "b.yaml", "--socket", "a/holdfast.sock")

    assert ran.code == 0
    assert two[0].desk.asked == [Close(position="3f")]


def interrupted(path: Path, *arguments: str) -> Ran:
    """Run a command, and press Ctrl-C when the daemon has its request and says nothing."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(30)
        command = [sys.executable, "-c", PROGRAM, *arguments, "--socket", str(path)]
        pipe = subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, env=environment
        ) as process:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(65536)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
    return Ran(process.returncode, out, err)


def test_ctrl_c_while_a_position_opens_says_that_it_may_be_open(tmp_path: Path) -> None:
    ran = interrupted(tmp_path / "s", "open", "BTC/USDT", "long", "--quantity", "1")

    assert ran.code == 4
    assert "error ANSWER_LOST: The answer was lost (interrupted)" in ran.err
    assert re.search(r"→ Look before you ask again: holdfast position [0-9a-f-]{36}", ran.err)


def test_ctrl_c_after_a_line_of_ones_own_says_that_it_may_be_done(tmp_path: Path) -> None:
    ran = interrupted(tmp_path / "s", "admin", '{"command": "close-all"}')

    assert ran.code == 4
    assert "error ANSWER_LOST" in ran.err


def test_ctrl_c_while_one_only_looks_is_the_end_of_it(tmp_path: Path) -> None:
    assert interrupted(tmp_path / "s", "status") == Ran(130, "", "")


@pytest.mark.parametrize("answer", ['{"ok": false}', '{"ok": "no"}', "{}"])
def test_an_answer_that_tells_nothing_is_a_lost_one(tmp_path: Path, answer: str) -> None:
    with daemon_that(tmp_path / "s", answer.encode() + b"\n"):
        ran = holdfast("close", "3f", "--socket", str(tmp_path / "s"))

    assert (ran.code, ran.out) == (4, "")
    assert "error ANSWER_LOST" in ran.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"ok": True}, 0),
        ({"ok": False, "error": {"rule": "UNKNOWN_POSITION", "message": "None."}}, 1),
        ({"ok": False, "error": {"rule": "NO_ANSWER", "message": "It may be done."}}, 4),
        ({"ok": False, "error": {"rule": "ANSWER_TIMEOUT", "message": "It may be done."}}, 4),
        ({"ok": False}, 4),
        ({"ok": "no"}, 4),
    ],
)
def test_a_line_of_ones_own_ends_as_its_command_would(
    tmp_path: Path, answer: dict[str, Any], code: int
) -> None:
    with daemon_that(tmp_path / "s", json.dumps(answer).encode() + b"\n"):
        ran = holdfast("admin", '{"command": "close-all"}', "--socket", str(tmp_path / "s"))

    assert (ran.code, ran.json) == (code, answer)


def test_doctor_looks_at_the_daemon_of_the_configuration_that_was_typed(
    two: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_SOCKET", "a/holdfast.sock")
    for office in two:
        office.desk.answers[Health] = Refusal("STARTING", "Not yet.")

    holdfast("doctor", "--config", "b.yaml")

    assert two[0].desk.asked == []
    assert Ping() in two[1].desk.asked


# --- output that goes nowhere ---

DONE = b'{"ok": true, "done": true}\n'


def printed_to(place: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with daemon_that(path, DONE), Path(place).open("w") as full:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments, "--socket", str(path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
            cwd=ROOT,
        )


def test_what_was_done_and_could_not_be_printed_is_no_failure(tmp_path: Path) -> None:
    """A script that reads 1 as "nothing changed" would do it again."""
    for arguments in (["pause", "trend"], ["pause", "trend", "--json"], ["admin", "{}"]):
        ran = printed_to("/dev/full", tmp_path / f"{len(arguments)}{arguments[0]}", *arguments)

        assert ran.returncode == 4
        assert "error OUTPUT_FAILED: The answer could not be printed: No space left" in ran.stderr
        assert "Traceback" not in ran.stderr


def test_what_was_only_looked_at_and_could_not_be_printed_is_a_failure(tmp_path: Path) -> None:
    ran = printed_to("/dev/full", tmp_path / "s", "conflicts", "--json")

    assert ran.returncode == 1
    assert "→ Make room, or print it elsewhere." in ran.stderr


def test_without_any_output_a_change_is_done_all_the_same(tmp_path: Path) -> None:
    with daemon_that(tmp_path / "s", DONE):
        command = [sys.executable, "-c", PROGRAM, "pause", "trend", "--socket", str(tmp_path / "s")]
        ran = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *command], timeout=30, check=False, cwd=ROOT
        )

    assert ran.returncode == 0


def test_a_daemon_whose_queue_is_full_is_not_called_absent(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waiting:
        server.bind(str(path))
        server.listen(0)  # and nobody accepts: one may wait
        waiting.connect(str(path))

        ran = holdfast("status", "--socket", str(path))

    assert ran.code == 3
    assert ran.err.startswith(f"error DAEMON_SILENT: The daemon at {path} takes no more")
