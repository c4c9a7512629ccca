"""A real daemon under a service manager: what it tells, what it obeys, how it reads anew.

The manager is a datagram socket of ours, as systemd's is of its own.
"""

import json
import os
import pty
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.attempts import attempt, log_lines, logged
from tests.e2e.harness import HOLDFAST, ROOT, Daemon, Processes, wait_until
from tests.e2e.test_bad_surroundings import CONFIG, is_ready, mounting, opened

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

WATCHDOG_S = 2.0
# prctl(2): no memory is ever both writable and executable, as MemoryDenyWriteExecute= has it.
NO_WRITE_AND_EXECUTE = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""

ENDS_THE_PROCESS = """
import sys
from strategies.base import Strategy

class Ends(Strategy, frozen=True):
    def on_candle(self, state, candle, view):
        sys.exit(0)

class EndsItself(Ends, frozen=True):
    def on_candle(self, state, candle, view):
        import asyncio
        asyncio.get_running_loop().call_soon(sys.exit, 0)
"""


class Manager:
    """Hears what a daemon tells its service manager."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.environment = [
            "env",
            f"NOTIFY_SOCKET={path}",
            f"WATCHDOG_USEC={int(WATCHDOG_S * 1_000_000)}",
        ]
        self.messages: list[dict[str, str]] = []

    def hear(self) -> list[dict[str, str]]:
        """Return all that has been told."""
        while True:
            try:
                message = self._socket.recv(4096).decode()
            except BlockingIOError:
                return self.messages
            self.messages.append(dict(line.split("=", 1) for line in message.split("\n")))

    def count(self, name: str) -> int:
        return sum(name in message for message in self.hear())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with closing(Manager(tmp_path / "notify")) as found:
        yield found


def managed(processes: Processes, manager: Manager, config: str = CONFIG) -> Daemon:
    daemon = processes.run(config, inside=manager.environment)
    wait_until(lambda: is_ready(daemon), 10, "there is a price, and entries are open")
    return daemon


def test_it_says_when_it_is_ready_alive_and_stopping(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    opened(daemon, "long", stop="0.8")
    wait_until(lambda: manager.count("WATCHDOG") >= 4, 15, "it feeds the watchdog")

    assert daemon.process.stop() == 0

    told = [next(iter(message)) for message in manager.hear()]
    assert told[0] == "READY"
    assert told[1] == "WATCHDOG"
    assert told.count("READY") == told.count("STOPPING") == 1
    assert any("1 position guarded" in each["STATUS"] for each in manager.messages)
    assert told.index("STOPPING") > told.index("WATCHDOG")


def test_it_is_ready_only_when_the_levels_are_armed(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    opened(daemon, "long", stop="0.8")
    daemon.process.kill()
    before = len(manager.hear())

    managed(processes, manager)

    ready = next(each for each in manager.hear()[before:] if "READY" in each)
    assert "1 position guarded" in ready["STATUS"]


def test_a_loop_that_stands_still_feeds_nothing(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    wait_until(lambda: manager.count("WATCHDOG") >= 2, 15, "it feeds the watchdog")

    os.kill(daemon.process.pid, signal.SIGSTOP)
    time.sleep(0.1)  # for what is under way
    before = manager.count("WATCHDOG")
    time.sleep(2 * WATCHDOG_S)
    silent = manager.count("WATCHDOG") - before
    os.kill(daemon.process.pid, signal.SIGCONT)
    wait_until(lambda: manager.count("WATCHDOG") > before, 15, "it goes on")

    assert silent == 0


def test_a_full_disk_does_not_starve_the_watchdog(processes: Processes, manager: Manager):
    """A restart would not help: it would not even start, and nobody would watch."""
    daemon = managed(processes, manager)
    opened(daemon, "long", stop="0.8")
    limits = (0, resource.RLIM_INFINITY)  # every write fails, as on a broken disk
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, limits)
    wait_until(lambda: daemon.status()["mode"] == "PROTECT_ONLY", 10, "exits only")
    before = manager.count("WATCHDOG")

    wait_until(lambda: manager.count("WATCHDOG") >= before + 4, 15, "it is fed all the same")
    health = daemon.health()
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    wait_until(lambda: daemon.status()["mode"] == "NORMAL", 10, "all is as before")

    assert (health["live"], health["ready"]) == (True, False)
    journal = next(each for each in health["checks"] if each["what"] == "journal")
    assert "a restart would not help" in journal["why"]


def test_the_watchdogs_signal_leaves_a_trace_of_where_it_stood(
    processes: Processes, manager: Manager
):
    daemon = managed(processes, manager)
    os.kill(daemon.process.pid, signal.SIGABRT)
    wait_until(lambda: not daemon.process.is_running, 10, "it is gone")
    assert "Fatal Python error: Aborted" in daemon.process.text()


# --- reload ---

RELOADED = CONFIG.replace("traders: []", "traders: []\nlimits: {max_positions: 1}").replace(
    "symbols: [BTC/USDT]", "symbols: [BTC/USDT], seed: 8"
)


def rewritten(daemon: Daemon, config: str) -> None:
    first = daemon.config.read_text().splitlines()[0]
    daemon.config.write_text(f"{first}\n{config}")


def test_a_reload_applies_what_can_change_and_names_what_cannot(
    processes: Processes, manager: Manager
):
    daemon = managed(processes, manager)
    opened(daemon, "long", stop="0.8")
    rewritten(daemon, RELOADED)

    answer = daemon.cli("reload")
    again = daemon.cli("reload")
    refused = attempt(daemon.config, "open", "BTC/USDT", "long", "--quantity", "0.01")

    change = {"key": "limits.max_positions", "was": "10", "now": "1"}
    waits = {"key": "market.seed", "was": "7", "now": "8"}
    assert (answer["applied"], answer["needs_restart"]) == ([change], [waits])
    assert answer["unchanged"] > 30
    assert (again["applied"], again["needs_restart"]) == ([], [waits])
    refused.assert_refused("MAX_POSITIONS_ACCOUNT")
    told = [each for each in manager.hear() if {"READY", "RELOADING"} & each.keys()]
    assert [next(iter(each)) for each in told] == ["READY", *["RELOADING", "READY"] * 2]
    assert int(told[1]["MONOTONIC_USEC"]) > 0


def test_sighup_reads_the_file_again(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    rewritten(daemon, RELOADED)

    os.kill(daemon.process.pid, signal.SIGHUP)
    wait_until(lambda: bool(logged(daemon, "reloaded")), 10, "it has read the file")

    (line,) = logged(daemon, "reloaded")
    assert (line["applied"], line["needs_restart"]) == (["limits.max_positions"], ["market.seed"])
    assert daemon.process.is_running


def test_a_file_with_an_error_changes_nothing(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    wrong = RELOADED + "limitz: 3\nprotection: {exit_after_s: -1}\n"
    rewritten(daemon, wrong)

    tried = attempt(daemon.config, "reload")
    os.kill(daemon.process.pid, signal.SIGHUP)
    wait_until(lambda: len(logged(daemon, "reload_refused")) == 2, 10, "both are told in the log")

    tried.assert_refused("INVALID_CONFIG", "What is in force stays", "limitz: unknown key")
    for line in logged(daemon, "reload_refused"):
        where = [each.split(": ")[0].rpartition(":")[2] for each in line["problems"]]
        text = daemon.config.read_text().splitlines()
        assert [text[int(number) - 1].partition(":")[0] for number in where] == [
            "limitz",
            "protection",
        ]
    assert not logged(daemon, "reloaded")
    assert opened(daemon, "long", stop="0.8")
    assert opened(daemon, "long", stop="0.8")  # max_positions is as it was


def test_a_file_that_never_answers_keeps_neither_a_reload_nor_a_stop_waiting(
    processes: Processes, manager: Manager
):
    daemon = managed(processes, manager)
    daemon.config.unlink()
    os.mkfifo(daemon.config, 0o600)
    silent = os.open(daemon.config, os.O_RDWR)  # who opens it waits for what is never written
    try:
        os.kill(daemon.process.pid, signal.SIGHUP)
        wait_until(lambda: bool(logged(daemon, "reload_refused")), 20, "it gives up reading")
        assert daemon.process.stop() == 0
    finally:
        os.close(silent)

    (line,) = logged(daemon, "reload_refused")
    assert "could not be read within 10 s" in line["problems"][0]
    assert logged(daemon, "threads_left")


def test_a_level_of_the_log_changes_while_it_runs(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    rewritten(daemon, CONFIG.replace("format: json", "format: json, level: warning"))
    daemon.cli("reload")
    before = len(logged(daemon, "order_sent"))
    opened(daemon, "long", stop="0.8")
    assert len(logged(daemon, "order_sent")) == before
    rewritten(daemon, CONFIG)
    daemon.cli("reload")
    opened(daemon, "long", stop="0.8")
    wait_until(lambda: len(logged(daemon, "order_sent")) > before, 5, "orders are logged again")


# --- its surroundings ---


def test_it_runs_where_no_memory_is_both_writable_and_executable(processes: Processes):
    """The unit's MemoryDenyWriteExecute, by the kernel's own word for it."""
    tried = subprocess.run(
        [sys.executable, "-c", NO_WRITE_AND_EXECUTE, "/bin/true"], check=False, timeout=20
    )
    if tried.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3 has)")
    daemon = processes.run(CONFIG, inside=[sys.executable, "-c", NO_WRITE_AND_EXECUTE])
    wait_until(lambda: is_ready(daemon), 10, "there is a price, and entries are open")
    assert opened(daemon, "long", stop="0.8")
    assert daemon.process.stop() == 0


def test_it_runs_without_a_privilege_on_a_disk_that_is_read_only_but_for_its_directory(
    processes: Processes, tmp_path: Path
):
    """The unit's ProtectSystem=strict, CapabilityBoundingSet= and NoNewPrivileges."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed")
    script = (
        f"mount --bind '{tmp_path}' '{tmp_path}' && mount -o remount,ro,bind / && "
        'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"'
    )
    daemon = processes.run(CONFIG, inside=[*mounting(), "sh", "-c", script, "sh"])
    wait_until(lambda: is_ready(daemon), 10, "there is a price, and entries are open")
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()

    assert opened(daemon, "long", stop="0.8")
    assert re.search(r"CapEff:\s+0+\n", status)
    assert re.search(r"NoNewPrivs:\s+1\n", status)
    assert not os.access(f"/proc/{daemon.process.pid}/root/usr", os.W_OK)
    assert daemon.process.stop() == 0


def of_robot(processes: Processes, strategy: str) -> Path:
    mine = processes.directory / "mine.py"
    mine.write_text(ENDS_THE_PROCESS)
    trader = f"{{name: robot, strategy: '{mine}:{strategy}', symbols: [BTC/USDT], timeframe: 1s}}"
    file = processes.directory / "ends.yaml"
    file.write_text(CONFIG.replace("traders: []", f"data_dir: ends\ntraders: [{trader}]"))
    return file


def test_a_strategy_that_calls_for_the_end_of_the_process_has_failed(processes: Processes):
    process = processes.start("ends", "run", "--config", str(of_robot(processes, "Ends")))
    wait_until(lambda: "actor_crashed" in process.text(), 30, "the strategy has had a candle")
    assert process.is_running
    assert process.stop() == 0


def test_code_that_ends_the_process_ends_it_as_a_failure(processes: Processes):
    """Else a service manager would not start it again."""
    process = processes.start("ends", "run", "--config", str(of_robot(processes, "EndsItself")))
    wait_until(lambda: not process.is_running, 30, "the strategy has had a candle")
    assert process.stop() == 1
    last = log_lines(process.text())[-1]
    assert (last["event"], last["error"]) == ("failed", "SystemExit(0)")


HANGS = """
import time
from strategies.base import Strategy

class Spins(Strategy, frozen=True):
    def on_candle(self, state, candle, view):
        while True:
            pass

class CallsIntoC(Strategy, frozen=True):
    def on_candle(self, state, candle, view):
        sum(range(10**15))
"""


def with_hanging_robot(processes: Processes, strategy: str) -> str:
    mine = processes.directory / "mine.py"
    mine.write_text(HANGS)
    trader = f"{{name: robot, strategy: '{mine}:{strategy}', symbols: [BTC/USDT], timeframe: 5s}}"
    return CONFIG.replace("traders: []", f"traders: [{trader}]")


def robot(daemon: Daemon) -> dict[str, Any]:
    traders = daemon.cli("traders")["traders"]
    return next(each for each in traders if each["name"] == "robot")


def test_a_strategy_that_hangs_is_interrupted_and_its_trader_paused(processes: Processes):
    daemon = processes.run(with_hanging_robot(processes, "Spins"))
    wait_until(lambda: "strategy_hung" in daemon.process.text(), 40, "it is interrupted")
    wait_until(lambda: is_ready(daemon), 20, "entries are open again")

    assert robot(daemon)["paused"]
    assert robot(daemon)["hung"] is not None
    assert opened(daemon, "long", stop="0.8")
    (line,) = logged(daemon, "strategy_hung")
    assert "in on_candle" in line["exception"]
    said = attempt(daemon.config, "traders").out
    assert "holdfast resume robot" in said
    assert "paused until it is resumed" in attempt(daemon.config, "why", "robot").out
    daemon.cli("resume", "robot")
    assert not robot(daemon)["paused"]


def test_whose_strategy_stood_when_the_process_was_killed_is_known_at_the_next_start(
    processes: Processes,
):
    config = with_hanging_robot(processes, "CallsIntoC")
    daemon = processes.run(config)
    note = daemon.client.path.parent / "hung-robot"
    wait_until(lambda: note.exists() and note.stat().st_size > 0, 60, "it is noted")
    daemon.process.kill()  # as a service manager does whose watchdog is not fed

    again = processes.run(config)
    wait_until(lambda: is_ready(again), 20, "entries are open")

    assert robot(again)["hung"] is not None
    again.cli("resume", "robot")
    assert note.stat().st_size == 0


def test_a_terminal_that_is_closed_stops_it_in_good_order(tmp_path: Path):
    """The kernel's SIGHUP is no wish for a reload: nobody could see the daemon any more."""
    config = tmp_path / "config.yaml"
    log = tmp_path / "holdfast.log"
    text = CONFIG.replace("{format: json}", f"{{format: json, file: {log}}}")
    config.write_text(f"data_dir: {tmp_path / 'data'}\n{text}")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(HOLDFAST, [HOLDFAST, "run", "--config", str(config)])
    try:
        wait_until(lambda: log.exists() and '"ready"' in log.read_text(), 30, "it is ready")
    finally:
        os.close(terminal)
    deadline = time.monotonic() + 25
    ended, status = 0, 0
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    assert ended
    assert os.waitstatus_to_exitcode(status) == 0
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events[-1] == "stopped"
    assert "reloaded" not in events


def test_probes_over_http_tell_alive_from_ready(processes: Processes):
    daemon = processes.run(CONFIG.replace("{enabled: false}", "{port: 0}"))
    wait_until(lambda: is_ready(daemon), 10, "there is a price, and entries are open")
    (metrics,) = logged(daemon, "metrics")
    base = metrics["url"].removesuffix("/metrics")

    assert probe(base + "/livez") == (200, [])
    assert probe(base + "/readyz") == (200, [])
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    attempt(daemon.config, "pause", "manual")
    wait_until(lambda: probe(base + "/readyz") == (503, ["JOURNAL_DOWN"]), 10, "it is not ready")

    assert probe(base + "/livez") == (200, [])
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    wait_until(lambda: probe(base + "/readyz") == (200, []), 10, "it is ready again")


def probe(url: str) -> tuple[int, list[str]]:
    """Return the status, and what is not well."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            status, body = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read()
    return status, [each["what"] for each in json.loads(body)["checks"] if not each["ok"]]


# --- doctor on a daemon that runs ---


def test_doctor_asks_a_daemon_that_runs(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    checks = {each["what"]: each for each in daemon.cli("doctor", "--full")["checks"]}
    assert {each["level"] for each in checks.values()} == {"ok"}
    assert f"process {daemon.process.pid} answers" in checks["daemon"]["found"]
    assert {"health", "prices", "loop", "journal"} <= checks.keys()


def test_doctor_on_a_daemon_that_hangs_ends_and_says_so(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    os.kill(daemon.process.pid, signal.SIGSTOP)
    tried = attempt(daemon.config, "doctor")  # ends by itself, or this fails
    os.kill(daemon.process.pid, signal.SIGCONT)

    assert tried.code == 1
    assert "does not answer" in tried.out
    assert f"held by process {daemon.process.pid}" in tried.out


def test_doctor_finds_a_socket_that_was_opened_to_others(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    daemon.client.path.chmod(0o666)
    tried = attempt(daemon.config, "doctor")
    assert tried.code == 1
    assert f"chmod 600 {daemon.client.path}" in tried.out


def test_doctor_asks_the_daemon_though_the_file_is_broken(processes: Processes, manager: Manager):
    daemon = managed(processes, manager)
    rewritten(daemon, CONFIG + "limitz: 3\n")
    tried = attempt(daemon.config, "doctor")
    assert tried.code == 1
    assert "1 problem at line" in tried.out
    assert "alive and ready" in tried.out


@pytest.mark.parametrize("live", [True, False])
def test_health_live_fails_only_if_a_restart_would_help(
    processes: Processes, manager: Manager, live: bool
):
    daemon = managed(processes, manager)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    attempt(daemon.config, "pause", "manual")
    wait_until(lambda: daemon.status()["mode"] == "PROTECT_ONLY", 10, "exits only")
    tried = attempt(daemon.config, "health", *(["--live"] if live else []))
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert tried.code == (0 if live else 1)
