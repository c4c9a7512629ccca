"""What the machine does to a daemon: damaged files, a full or closed disk, taken places, signals.

Each has a real process. What keeps a daemon from starting is said by name, with what to do, and has
changed nothing; what hits it while it runs costs entries, never an exit, and ends by itself.
"""

import fcntl
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.admin_requests import Open
from domain.instrument import Direction
from tests.e2e.attempts import Attempt, attempt, log_lines, logged, what_is_held
from tests.e2e.harness import HOLDFAST, ROOT, Daemon, Processes, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

CONFIG = """
market: {source: simulated, symbols: [BTC/USDT], ticks_per_second: 50}
paper: {slippage: 0, latency_ms: 0, taker_fee: 0.0005}
traders: []
metrics: {enabled: false}
log: {format: json}
journal: {min_free_mb: 1}
"""
DRAINS_WITHIN_S = 20.0
AWAY = (5, 10, 20, 40)  # ten-thousandths of the price: some stops fire before, some after
MIB = 1024 * 1024


def opened(daemon: Daemon, direction: str, *, stop: str) -> str:
    """Open a position with its stop at so many times the price; return its id."""
    price = Decimal(daemon.status()["prices"][0]["last"])
    level = (price * Decimal(stop)).quantize(Decimal("0.1"))
    request = Open(
        symbol="BTC/USDT", direction=Direction(direction), quantity=Decimal("0.01"), stop=level
    )
    return daemon.ask(request)["position"]["id"]


def running(processes: Processes, name: str, config: str = CONFIG) -> Daemon:
    daemon = processes.run(config, name)
    wait_until(lambda: is_ready(daemon), 10, "there is a price, and entries are open")
    return daemon


def is_ready(daemon: Daemon) -> bool:
    status = daemon.status()
    return bool(status["prices"][0]["last"]) and status["mode"] == "NORMAL"


def config_in(directory: Path, data_dir: Path, config: str = CONFIG) -> Path:
    file = directory / "mine.yaml"
    file.write_text(f"data_dir: {data_dir}\n{config}")
    return file


# --- damaged files ---


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a daemon that was stopped with three positions and a snapshot."""
    directory = tmp_path_factory.mktemp("good")
    with Processes(directory) as processes:
        daemon = running(processes, "good")
        opened(daemon, "long", stop="0.8")
        opened(daemon, "short", stop="1.2")
        daemon.cli("snapshot")
        opened(daemon, "long", stop="0.7")
        assert daemon.process.stop() == 0
    return directory / "good-data"


@pytest.fixture
def damaged(tmp_path: Path, good: Path) -> Path:
    """A copy of that directory, where a daemon called "daemon" starts."""
    return Path(shutil.copytree(good, tmp_path / "daemon-data"))


def last_payload(directory: Path) -> tuple[int, bytes]:
    """Return the number of the last record of a position, and what it says."""
    with sqlite3.connect(directory / "holdfast.db") as connection:
        found = connection.execute(
            "SELECT seq, payload FROM journal WHERE stream LIKE 'position/%' ORDER BY seq DESC"
        ).fetchone()
    connection.close()
    return found[0], found[1].encode()


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 4
    file.write_bytes(data)


def records(directory: Path) -> int:
    with sqlite3.connect(directory / "holdfast.db") as connection:
        (count,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    connection.close()
    return count


def protected(daemon: Daemon) -> int:
    return [each["status"] for each in daemon.positions()].count("open_protected")


def test_a_damaged_record_is_found_set_aside_and_told(processes: Processes, damaged: Path) -> None:
    seq, payload = last_payload(damaged)
    database = damaged / "holdfast.db"
    flip(database, database.read_bytes().index(payload) + len(payload) // 2)
    config = config_in(damaged.parent, damaged)

    found = attempt(config, "journal", "verify")
    daemon = running(processes, "daemon")
    wait_until(lambda: protected(daemon) == 3, 10, "the three positions are guarded again")
    (problem,) = logged(daemon, "recovery_problem")
    daemon.process.stop()
    afterwards = attempt(config, "journal", "verify")

    assert found.code == 1
    assert f"journal record {seq}: its content does not match its hash" in found.out
    assert f"journal record {seq}: " in problem["problem"]
    assert "moved to the table quarantine" in problem["problem"]
    assert afterwards.code == 0, afterwards
    assert "quarantined" in afterwards.out


def test_a_damaged_snapshot_falls_back_to_the_journal(processes: Processes, damaged: Path) -> None:
    (snapshot,) = (damaged / "snapshots").glob("*.snapshot")
    flip(snapshot, snapshot.stat().st_size // 2)

    found = attempt(config_in(damaged.parent, damaged), "journal", "verify")
    daemon = running(processes, "daemon")

    assert f"{snapshot.name}: damaged or truncated" in found.out
    (problem,) = logged(daemon, "recovery_problem")
    assert f"snapshot {snapshot.name} is not used: damaged" in problem["problem"]
    assert protected(daemon) == 3
    assert logged(daemon, "started")[0]["armed"] == 3


@pytest.mark.parametrize(
    ("how", "rule", "says"),
    [
        ("half", "JOURNAL_DAMAGED", "malformed"),
        ("header", "JOURNAL_DAMAGED", "file is not a database"),
        ("emptied", "JOURNAL_DAMAGED", "it is empty, yet there is the snapshot"),
        ("foreign", "UNSAFE_FILE", "is not a Holdfast database"),
    ],
)
def test_a_database_beyond_repair_is_left_as_it_is(
    damaged: Path, how: str, rule: str, says: str
) -> None:
    database = damaged / "holdfast.db"
    if how == "half":
        os.truncate(database, database.stat().st_size // 2)
    elif how == "header":
        database.write_bytes(b"garbage!" * 4 + database.read_bytes()[32:])
    elif how == "emptied":
        os.truncate(database, 0)
    else:
        database.unlink()
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE mine (x)")
        connection.close()
        database.chmod(0o600)
    ledger = (damaged / "paper.db").read_bytes()
    before = database.read_bytes()
    config = config_in(damaged.parent, damaged)

    tries = [attempt(config, "run"), attempt(config, "run")]

    for tried in tries:
        assert (tried.rule, tried.code) == (rule, 1), tried
        assert says in tried.err
        assert str(database) in tried.err
        assert "restore a backup" in tried.err or "use another directory" in tried.err
        assert log_lines(tried.err) == []
    if how != "emptied":  # the tables are there again, and nothing else
        assert database.read_bytes() == before
        assert attempt(config, "journal", "verify").rule == rule
    assert (damaged / "paper.db").read_bytes() == ledger


@pytest.mark.parametrize(
    ("how", "rule", "says"),
    [
        ("header", "PAPER_LEDGER_UNUSABLE", "file is not a database"),
        ("gone", "PAPER_LEDGER_MISSING", "open positions"),
        ("no journal", "JOURNAL_MISSING", "has fills that the empty journal does not know"),
    ],
)
def test_journal_and_paper_ledger_start_together_or_not_at_all(
    damaged: Path, how: str, rule: str, says: str
) -> None:
    ledger = damaged / "paper.db"
    if how == "header":
        ledger.write_bytes(b"garbage!" * 4 + ledger.read_bytes()[32:])
    elif how == "gone":
        ledger.unlink()
    else:
        (damaged / "holdfast.db").unlink()
        shutil.rmtree(damaged / "snapshots")
    before = 0 if how == "no journal" else records(damaged)

    tried = attempt(config_in(damaged.parent, damaged), "run")

    tried.assert_refused(rule, says, "Restore paper.db and holdfast.db")
    assert records(damaged) == before


# --- places that are taken ---


def test_a_second_daemon_names_the_first_and_leaves_it_alone(processes: Processes) -> None:
    daemon = running(processes, "first")
    opened(daemon, "long", stop="0.8")
    before = what_is_held(daemon)

    second = attempt(daemon.config, "run")

    assert (second.rule, second.code) == ("ALREADY_RUNNING", 1)
    assert f"held by process {daemon.process.pid}" in second.err
    assert "→ Stop it first (holdfast drain), or give this one its own data_dir." in second.err
    assert what_is_held(daemon) == before
    assert opened(daemon, "short", stop="1.2")


def test_a_paper_ledger_in_use_elsewhere_stops_the_start(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    with (data_dir / "paper.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tried = attempt(config_in(tmp_path, data_dir), "run")

    tried.assert_refused("PAPER_LEDGER_LOCKED", "is open in another process", "holdfast drain")
    assert records(data_dir) == 0


def test_a_metrics_port_in_use_stops_the_start_before_anything_runs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        metrics = CONFIG.replace("enabled: false", f"port: {port}")
        tried = attempt(config_in(tmp_path, tmp_path / "data", metrics), "run")

    tried.assert_refused("METRICS_PORT_IN_USE", f"127.0.0.1:{port}", "metrics.port", "free")
    assert records(tmp_path / "data") == 0
    assert not (tmp_path / "data" / "holdfast.sock").exists()
    assert log_lines(tried.err) == []


# --- the disk ---


def mounting() -> list[str]:
    """Return the beginning of a command with mounts of its own, or skip."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        if shutil.which("unshare") is None:
            break
        tried = [*command, "mount", "-t", "tmpfs", "none", "/mnt"]
        if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("a small disk has to be mounted, which is not permitted here")


def on_disk(directory: Path, options: str) -> list[str]:
    """Return the beginning of a command that mounts a disk of its own at `directory`."""
    directory.mkdir()
    script = f"mount -t tmpfs -o {options},mode=700 none '{directory}' && exec \"$@\""
    return [*mounting(), "sh", "-c", script, "sh"]


def test_a_read_only_place_is_refused(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    config = config_in(tmp_path, disk / "data")

    done = subprocess.run(
        [*on_disk(disk, "ro"), HOLDFAST, "run", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
    )

    tried = Attempt(("run",), done.returncode, done.stdout, done.stderr)
    tried.assert_refused("DATA_DIR_UNUSABLE", "Read-only file system", "Set data_dir")


@pytest.fixture
def on_small_disk(processes: Processes, tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    """A daemon on a disk of 32 MB that only it sees; and the way there from here."""
    disk = tmp_path / "disk"
    config = config_in(tmp_path, disk / "data")
    process = processes.start(
        "small", "run", "--config", str(config), inside=on_disk(disk, "size=32m")
    )
    seen = Path(f"/proc/{process.pid}/root{disk}")
    daemon = Daemon(process, config, seen / "data" / "holdfast.sock")
    wait_until(lambda: is_ready(daemon), 10, "there is a price, and entries are open")
    yield daemon, seen
    daemon.client.close()


def fill_up(directory: Path) -> list[Path]:
    """Leave not a single block free; return what has to go to make room again."""
    files = []
    for size in (MIB, 512):
        files.append(directory / f"ballast-{size}")
        descriptor = os.open(files[-1], os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(descriptor, b"x" * size)
        except OSError:
            pass
        finally:
            os.close(descriptor)
    return files


def test_on_a_full_disk_nothing_opens_and_everything_still_closes(
    on_small_disk: tuple[Daemon, Path],
) -> None:
    daemon, disk = on_small_disk
    socket_ = ("--socket", str(daemon.client.path))
    far = opened(daemon, "long", stop="0.8")
    near = [opened(daemon, "long", stop=f"{1 - away / 10_000}") for away in AWAY]
    near += [opened(daemon, "short", stop=f"{1 + away / 10_000}") for away in AWAY]

    ballast = fill_up(disk)
    wait_until(lambda: daemon.status()["mode"] == "PROTECT_ONLY", 5, "exits only")
    opening = attempt(daemon.config, "open", "BTC/USDT", "long", "--quantity", "0.01", *socket_)
    widening = attempt(daemon.config, "move-stop", far, "1", "--widen", *socket_)
    before = exits_sent(daemon, near)
    wait_until(lambda: exits_sent(daemon, near) != before, 40, "a price reaches a stop")
    closing = subprocess.Popen(
        [HOLDFAST, "close", far, *socket_], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    wait_until(lambda: bool(exits_sent(daemon, [far])), 10, "the position is closed by hand")
    stopped = [each for each in exits_sent(daemon, near) if each not in before]
    freed_at = datetime.now(UTC)
    for file in ballast:
        file.unlink()
    wait_until(lambda: daemon.status()["mode"] == "NORMAL", 10, "all is as before")

    for refused in (opening, widening):
        refused.assert_refused("PROTECT_ONLY", "MB are needed", "Free some space")
    assert closing.communicate(timeout=15)[0].count("closed, LONG") == 1
    for position_id in {*stopped, far}:
        wait_until(lambda each=position_id: is_closed(daemon, each), 5, "it is told")
        found = daemon.position(position_id)
        assert datetime.fromisoformat(found["fills"][-1]["time"]) < freed_at
        assert found["exit_reason"] == ("MANUAL_CLOSE" if position_id == far else "STOP_LOSS")
    for event in ("disk_low", "disk_recovered", "journal_unavailable", "journal_available"):
        assert len(logged(daemon, event)) == 1, event
    assert not logged(daemon, "paper_ledger_failed")
    assert not logged(daemon, "order_unknown")
    assert opened(daemon, "long", stop="0.9")


def exits_sent(daemon: Daemon, positions: list[str]) -> list[str]:
    """Return those of the positions of which more than the entry was sent."""
    sent = [line["position_id"] for line in logged(daemon, "order_sent")]
    return [each for each in positions if sent.count(each) > 1]


def is_closed(daemon: Daemon, position_id: str) -> bool:
    return daemon.position(position_id)["status"] == "closed"


def test_a_disk_that_fails_costs_entries_and_ends_by_itself(processes: Processes) -> None:
    daemon = running(processes, "daemon")
    kept = opened(daemon, "long", stop="0.8")
    before = what_is_held(daemon)
    limit_writes(daemon, 0)
    wait_until(lambda: daemon.status()["mode"] == "PROTECT_ONLY", 5, "exits only")

    opening = attempt(daemon.config, "open", "BTC/USDT", "long", "--quantity", "0.01")
    causes = [each["code"] for each in daemon.status()["causes"]]
    limit_writes(daemon, resource.RLIM_INFINITY)
    wait_until(lambda: daemon.status()["mode"] == "NORMAL", 10, "all is as before")

    opening.assert_refused("PROTECT_ONLY", "JOURNAL_DOWN", "Free or repair the disk")
    assert "JOURNAL_DOWN" in causes
    assert what_is_held(daemon) == before
    assert daemon.cli("close", kept)["position"]["status"] == "closed"


def limit_writes(daemon: Daemon, size: int) -> None:
    """Let every write beyond so many bytes of a file fail, as a broken disk would."""
    limits = (size, resource.RLIM_INFINITY)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, limits)


# --- signals ---


def test_sigterm_drains_and_the_positions_are_there_again(processes: Processes) -> None:
    daemon = running(processes, "daemon")
    opened(daemon, "long", stop="0.8")
    opened(daemon, "short", stop="1.2")
    before = what_is_held(daemon)

    began = datetime.now(UTC)
    assert daemon.process.stop() == 0
    assert (datetime.now(UTC) - began).total_seconds() < DRAINS_WITHIN_S
    (stopped,) = logged(daemon, "stopped")
    again = running(processes, "daemon")

    assert stopped["in_time"] is True
    assert what_is_held(again) == before
    assert logged(again, "started")[-1]["armed"] == 2
    assert not logged(again, "recovery_problem")


def test_a_second_signal_forces(processes: Processes) -> None:
    slow = CONFIG.replace("latency_ms: 0", "latency_ms: 60000")
    daemon = running(processes, "daemon", slow)
    entering = subprocess.Popen(
        [HOLDFAST, "open", "BTC/USDT", "long", "--quantity", "0.01", "--config", daemon.config],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    wait_until(lambda: bool(logged(daemon, "order_sent")), 10, "an order is on its way")

    os.kill(daemon.process.pid, signal.SIGTERM)
    wait_until(lambda: bool(logged(daemon, "draining")), 5, "it drains")
    wait_until(lambda: not insisted(daemon), 8, "it gives in")

    entering.wait(10)
    assert daemon.process.stop() == 130
    assert len(logged(daemon, "forced")) == 1
    assert not logged(daemon, "stopped")
    assert attempt(daemon.config, "journal", "verify").code == 0


def insisted(daemon: Daemon) -> bool:
    """Signal again; return whether it is still there."""
    if daemon.process.is_running:
        os.kill(daemon.process.pid, signal.SIGTERM)
    return daemon.process.is_running


def test_a_log_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    config = config_in(
        tmp_path, tmp_path / "d", CONFIG.replace("json}", f"json, file: {tmp_path}}}")
    )

    tried = attempt(config, "run")

    tried.assert_refused("LOG_UNUSABLE", f"The log {tmp_path} cannot be written: Is a directory.")


def test_a_full_disk_under_the_log_makes_no_failure_of_a_stop(processes: Processes) -> None:
    daemon = running(processes, "daemon", CONFIG.replace("json}", "json, file: /dev/full}"))

    assert daemon.process.stop() == 0
    assert "Traceback" not in daemon.process.text()
