"""Real processes for tests: a daemon, a server of recorded frames, and the command line.

Whatever is started is ended by its own pid when the `Processes` that started it are left. What it
printed is printed again then, so that a failing test shows it.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from daemon.admin_client import AdminClient, UnreachableError
from daemon.admin_requests import (
    AnyAdminRequest,
    Health,
    ListPositions,
    ShowPortfolio,
    ShowPosition,
    Status,
)
from domain.errors import Refusal

HOLDFAST = str(Path(sys.executable).with_name("holdfast"))  # the console script that users run
ROOT = Path(__file__).resolve().parents[2]
START_WITHIN_S = 30.0
STOP_WITHIN_S = 25.0  # longer than the daemon's own limit for a drain
CLI_WITHIN_S = 30.0
SHOWN_LINES = 60
_POLL_S = 0.02


def wait_until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Look again and again until `condition` holds. Raises `AssertionError` when it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s:.0f} s in vain: {what}"
        time.sleep(_POLL_S)


class Process:
    """One process of ours; its output is in a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT
            )
        self.pid = self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is flushed."""
        os.kill(self.pid, signal.SIGKILL)
        self._popen.wait()

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if that does not help; return the exit code."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)
        try:
            return self._popen.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Server:
    """`holdfast serve-recorded`."""

    def __init__(self, process: Process) -> None:
        self.process = process
        wait_until(self._is_up, START_WITHIN_S, "the server says where it listens")
        line = next(each for each in process.text().splitlines() if each.startswith("serving "))
        self.url = line.removeprefix("serving ").strip()

    def _is_up(self) -> bool:
        assert self.process.is_running, self.process.text()
        return "serving ws://" in self.process.text()

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url.replace("ws", "http", 1) + path, timeout=10) as reply:
            return json.load(reply)

    def status(self) -> dict[str, Any]:
        return self._get("/status")

    def release(self) -> None:
        self._get("/release")


class Daemon:
    """`holdfast run`, and how it is spoken to."""

    def __init__(self, process: Process, config: Path, socket: Path) -> None:
        self.process = process
        self.config = config
        self.client = AdminClient(socket)
        wait_until(self._is_open, START_WITHIN_S, "the daemon has opened its account")

    def _is_open(self) -> bool:
        assert self.process.is_running, self.process.text()
        try:
            return not isinstance(self.client.ask(ShowPortfolio()), Refusal)
        except UnreachableError:
            return False

    def status(self) -> dict[str, Any]:
        return self.ask(Status())

    def ask(self, request: AnyAdminRequest) -> dict[str, Any]:
        """Ask over the admin socket. A refusal is a failure of the test."""
        answer = self.client.ask(request)
        assert not isinstance(answer, Refusal), (request, answer)
        return answer

    def cli(self, *arguments: str) -> dict[str, Any]:
        """Run a command as a person would, with `--json`; return what it printed."""
        command = [HOLDFAST, *arguments, "--config", str(self.config), "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CLI_WITHIN_S, check=False, cwd=ROOT
        )
        assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def cli_anyhow(self, *arguments: str) -> dict[str, Any]:
        """Run a command with `--json`, whatever its exit code; return what it printed."""
        command = [HOLDFAST, *arguments, "--config", str(self.config), "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CLI_WITHIN_S, check=False, cwd=ROOT
        )
        return json.loads(done.stdout)

    def health(self) -> dict[str, Any]:
        return self.ask(Health())

    def frames(self) -> int:
        """How many frames it has received."""
        return self.health()["feed"]["frames"]

    def position(self, position_id: str) -> dict[str, Any]:
        return self.ask(ShowPosition(position=position_id))["position"]

    def positions(self, *, closed: bool = False) -> list[dict[str, Any]]:
        return self.ask(ListPositions(closed=closed))["positions"]


class Processes:
    """Starts processes in a directory; a context manager that ends them all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[Process] = []
        self._clients: list[AdminClient] = []

    def start(self, name: str, *arguments: str, inside: Sequence[str] = ()) -> Process:
        """Start `holdfast` with `arguments`; `inside`: the beginning of a command that execs it."""
        command = [*inside, HOLDFAST, *arguments]
        process = Process(name, command, self.directory / f"{name}.log")
        self._started.append(process)
        return process

    def serve(
        self, *files: Path, speed: float = 0, hold: bool = True, name: str = "server"
    ) -> Server:
        """Serve recorded frames on a free port."""
        held = ("--hold",) if hold else ()
        paths = [str(file) for file in files]
        options = ("--speed", str(speed), "--port", "0", *held)
        return Server(self.start(name, "serve-recorded", *paths, *options))

    def run(self, config: str, name: str = "daemon", inside: Sequence[str] = ()) -> Daemon:
        """Start a daemon with `config` (YAML without data_dir) and wait until it answers."""
        data_dir = self.directory / f"{name}-data"
        file = self.directory / f"{name}.yaml"
        file.write_text(f"data_dir: {data_dir}\n{config}")
        process = self.start(name, "run", "--config", str(file), inside=inside)
        daemon = Daemon(process, file, data_dir / "holdfast.sock")
        self._clients.append(daemon.client)
        return daemon

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:  # ends every one of them, whatever the others do
            for process in self._started:
                stack.callback(_end, process)
            for client in self._clients:
                stack.callback(client.close)


def _end(process: Process) -> None:
    try:
        process.stop()
    finally:
        print(f"--- {process.name}, pid {process.pid}")
        print(*process.text().splitlines()[-SHOWN_LINES:], sep="\n")
