"""Backups and archives of a daemon that trades meanwhile, taken and restored as a person would."""

import json
import re
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import pytest

from daemon.admin_client import AdminClient
from daemon.admin_requests import Add, Close, Open, ShowPosition
from daemon.config import load
from daemon.config_file import ConfigFile
from domain.errors import Refusal
from domain.instrument import Direction
from storage import snapshot
from storage.chain import seal
from storage.rows import READ_TABLES
from tests.e2e.attempts import attempt, logged
from tests.e2e.harness import HOLDFAST, Daemon, Processes, wait_until
from tests.e2e.test_bad_surroundings import on_disk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

CONFIG = """
market: {source: simulated, symbols: [BTC/USDT], ticks_per_second: 20}
paper: {slippage: 0, latency_ms: 0, taker_fee: 0.0005, balance: 1000000}
limits: {max_positions: 10000}
metrics: {enabled: false}
log: {format: json}
journal: {min_free_mb: 1, snapshot_every_events: 150}
"""


def running(processes: Processes, name: str = "daemon", config: str = CONFIG) -> Daemon:
    daemon = processes.run(config, name)
    wait_until(
        lambda: bool(daemon.status()["prices"][0]["last"]) and daemon.status()["mode"] == "NORMAL",
        20,
        "there is a price, and entries are open",
    )
    return daemon


def data_of(daemon: Daemon) -> Path:
    return daemon.config.parent / f"{daemon.config.stem}-data"


def opened(client: AdminClient) -> str:
    request = Open(
        symbol="BTC/USDT",
        direction=Direction.LONG,
        quantity=Decimal("0.001"),
        stop=Decimal(40_000),
    )
    answer = client.ask(request)
    assert not isinstance(answer, Refusal), answer
    return str(answer["position"]["id"])  # type: ignore[index]


class Load:
    """Opens and closes positions from a thread of its own; remembers what was acknowledged."""

    def __init__(self, daemon: Daemon) -> None:
        self.client = AdminClient(daemon.client.path)
        self.open: set[str] = set()
        self.closed: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._stop.is_set():
            self.open.add(opened(self.client))
            if len(self.open) > 3:
                leaving = min(self.open)
                assert not isinstance(self.client.ask(Close(position=leaving)), Refusal)
                self.closed.add(leaving)
                self.open.discard(leaving)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.client.close()


def shape(position: dict[str, Any]) -> dict[str, Any]:
    """What a restart must not change: not prices, and not how far the feed has confirmed."""
    names = ("id", "side", "status", "entry_price", "remaining_quantity", "stop", "fills")
    return {name: position[name] for name in names}


def start_in(processes: Processes, directory: Path) -> Daemon:
    config = directory / "config.yaml"
    process = processes.start(directory.name, "run", "--config", str(config))
    daemon = Daemon(process, config, directory / "holdfast.sock")
    processes._clients.append(daemon.client)
    return daemon


def holdfast(*arguments: str) -> dict[str, Any]:
    """Run a command that needs no configuration."""
    done = subprocess.run(
        [HOLDFAST, *arguments, "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    return dict(json.loads(done.stdout))


def test_a_backup_under_load_is_restored_with_all_that_was_acknowledged_before_it(
    processes: Processes, tmp_path: Path
) -> None:
    daemon = running(processes)
    keep = [opened(daemon.client) for _ in range(3)]
    daemon.ask(Close(position=keep[0]))
    before = {each["id"]: shape(daemon.position(each["id"])) for each in daemon.positions()}
    file = tmp_path / "b.tar.gz"
    with Load(daemon) as load:
        wait_until(lambda: len(load.closed) >= 5, 60, "there is load")
        promised_open, promised_closed = set(load.open), set(load.closed)
        made = daemon.cli("backup", str(file))
    daemon.process.kill()

    told = holdfast("restore", str(file), "--into", str(tmp_path / "new"))
    again = start_in(processes, tmp_path / "new")

    assert told["last_seq"] == made["last_seq"]
    assert {each["name"] for each in made["files"]} >= {"holdfast.db", "paper.db", "config.yaml"}
    wait_until(lambda: again.status()["mode"] == "NORMAL", 20, "it has compared with the venue")
    assert {key: shape(again.position(key)) for key in before} == before
    for position in promised_closed:
        assert again.position(position)["status"] == "closed", position
    for position in promised_open - load.closed:
        assert again.position(position)["status"] == "open_protected", position
    assert again.health()["journal"]["trouble"] is None
    assert not logged(again, "recovery_problem")
    _money_adds_up(again, tmp_path / "new" / "paper.db")
    assert attempt(again.config, "journal", "verify").code == 0


def _money_adds_up(daemon: Daemon, ledger: Path) -> None:
    """Every fill that the journal's positions have is in the venue's ledger."""
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as connection:
        known = {name for (name,) in connection.execute("SELECT trade_id FROM fills")}
    listed = [*daemon.positions(), *daemon.positions(closed=True)]
    fills = [fill["id"] for each in listed for fill in daemon.position(each["id"])["fills"]]
    assert set(fills) <= known
    assert len(fills) > 10


def test_a_stopped_daemon_is_backed_up_too(processes: Processes, tmp_path: Path) -> None:
    daemon = running(processes)
    position = opened(daemon.client)
    before = shape(daemon.position(position))
    assert daemon.process.stop() == 0

    made = daemon.cli("backup", str(tmp_path / "b.tar.gz"))
    told = holdfast("restore", str(tmp_path / "b.tar.gz"), "--into", str(tmp_path / "new"))
    again = start_in(processes, tmp_path / "new")

    assert made["last_hash"] == told["last_hash"]
    wait_until(lambda: again.status()["mode"] == "NORMAL", 20, "it has compared with the venue")
    assert shape(again.position(position)) == before


def test_a_backup_after_a_reload_has_the_limits_in_force(
    processes: Processes, tmp_path: Path
) -> None:
    limits = "limits: {max_positions: 10000, daily_loss_cap: 5000, total_drawdown_ratio: 50%}"
    daemon = running(processes, config=CONFIG.replace("limits: {max_positions: 10000}", limits))
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("5000", "100").replace("50%", "5%"))

    daemon.cli("reload")
    daemon.cli("backup", str(tmp_path / "b.tar.gz"))
    holdfast("restore", str(tmp_path / "b.tar.gz"), "--into", str(tmp_path / "new"))

    restored = load(ConfigFile(tmp_path / "new" / "config.yaml")).config
    assert restored.limits.daily_loss_cap == Decimal(100)
    assert restored.limits.total_drawdown_ratio == Decimal("0.05")


def test_what_is_there_is_not_overwritten_and_a_place_that_is_not_is_said(
    processes: Processes, tmp_path: Path
) -> None:
    daemon = running(processes)
    file = tmp_path / "precious"
    file.write_text("mine")

    refused = attempt(daemon.config, "backup", str(file))
    forced = attempt(daemon.config, "backup", str(file), "--force")
    nowhere = attempt(daemon.config, "backup", str(tmp_path / "none" / "b"))
    daemon.cli("backup", str(tmp_path / "b"))
    again = attempt(daemon.config, "backup", str(tmp_path / "b"), "--force")

    refused.assert_refused("FILE_EXISTS", "--force")
    forced.assert_refused("NOT_A_BACKUP", "--force replaces nothing else")
    nowhere.assert_refused("FILE_UNUSABLE", "there is no directory")
    assert file.read_text() == "mine"
    assert again.code == 0, again


def test_no_backup_takes_the_place_of_what_the_daemon_lives_on(
    processes: Processes, tmp_path: Path
) -> None:
    daemon = running(processes)
    position = opened(daemon.client)
    data = data_of(daemon)
    own = [data / name for name in ("holdfast.db", "paper.db", "holdfast.lock", "holdfast.sock")]
    before = [each.stat().st_ino for each in own]

    running_refuses = [attempt(daemon.config, "backup", str(each), "--force") for each in own]
    after = [each.stat().st_ino for each in own]
    assert daemon.process.stop() == 0
    stopped_refuses = [attempt(daemon.config, "backup", str(each), "--force") for each in own]

    for refused in running_refuses + stopped_refuses:
        refused.assert_refused("FILE_UNUSABLE", "keeps its own files")
    attempt(daemon.config, "backup", str(daemon.config), "--force").assert_refused("NOT_A_BACKUP")
    assert before == after
    assert start_again(processes, daemon).position(position)["id"] == position


@pytest.mark.parametrize(
    ("options", "rule"),
    [("size=64k", "DISK_FULL"), ("size=16m,nr_inodes=4", "BACKUP_FAILED")],
    ids=["seen beforehand", "met on the way"],
)
def test_a_full_disk_is_said_leaves_nothing_and_harms_nobody(
    processes: Processes, tmp_path: Path, options: str, rule: str
) -> None:
    disk = tmp_path / "disk"
    data = tmp_path / "data"
    config = tmp_path / "full.yaml"
    config.write_text(f"data_dir: {data}\n{CONFIG}")
    process = processes.start("full", "run", "--config", str(config), inside=on_disk(disk, options))
    daemon = Daemon(process, config, data / "holdfast.sock")
    seen = Path(f"/proc/{process.pid}/root{disk}")
    wait_until(lambda: daemon.status()["mode"] == "NORMAL", 20, "it trades")

    attempt(config, "backup", str(disk / "b.tar.gz")).assert_refused(rule)

    assert list(seen.iterdir()) == []
    assert daemon.status()["mode"] == "NORMAL"
    assert daemon.position(opened(daemon.client))["status"] == "open_protected"
    daemon.client.close()


# --- archiving ---


@pytest.fixture
def traded(processes: Processes) -> tuple[Daemon, str, str]:
    """A daemon with a position of old that is open and one that is closed, and two snapshots."""
    daemon = running(processes)
    old_open, old_closed = opened(daemon.client), opened(daemon.client)
    daemon.ask(Close(position=old_closed))
    daemon.cli("snapshot")
    daemon.ask(Close(position=opened(daemon.client)))
    daemon.cli("snapshot")
    return daemon, old_open, old_closed


def test_a_running_daemon_archives_and_still_tells_of_the_past(
    traded: tuple[Daemon, str, str], processes: Processes
) -> None:
    daemon, old_open, old_closed = traded
    story, whole = daemon.cli("why", old_closed), daemon.position(old_closed)
    listed = {each["id"]: each for each in daemon.positions(closed=True)}

    would = daemon.cli("journal", "archive", "--dry-run")
    done = daemon.cli("journal", "archive")
    again = daemon.cli("journal", "archive")

    assert would["dry_run"]
    assert (would["records"], would["last_seq"]) == (done["records"], done["last_seq"])
    assert (data_of(daemon) / done["file"]).exists()
    assert again["records"] == 0
    verified = daemon.cli("journal", "verify", "--archives")
    assert verified["archived"] == done["last_seq"]
    assert [each["problem"] for each in verified["archives"]] == [""]
    assert daemon.cli("why", old_closed) == story
    assert daemon.position(old_closed) == whole
    daemon.ask(Close(position=old_open))
    assert daemon.position(old_open)["status"] == "closed"
    rows = {each["id"]: each for each in daemon.positions(closed=True)}
    same = ("realized_pnl", "exit_reason", "opened_at", "closed_at", "entry_price", "status")
    for name in same:
        assert rows[old_closed][name] == listed[old_closed][name], name
    assert list(rows[old_closed]) == list(listed[old_closed])
    daemon.process.kill()

    reborn = start_again(processes, daemon)

    assert reborn.position(old_open)["status"] == "closed"
    assert reborn.cli("why", old_closed) == story


def test_after_archiving_a_kill_a_rebuild_and_the_loss_of_all_snapshots_it_is_the_same(
    traded: tuple[Daemon, str, str], processes: Processes
) -> None:
    daemon, old_open, old_closed = traded
    request = Add(position=old_open, quantity=Decimal("0.002"))
    assert not isinstance(daemon.client.ask(request), Refusal)
    daemon.cli("journal", "archive")
    young_open, young_closed = opened(daemon.client), opened(daemon.client)
    daemon.ask(Close(position=young_closed))
    known = (old_open, old_closed, young_open, young_closed)
    settle(daemon, old_open, young_open)
    told = {each: told_of(daemon, each) for each in known}
    daemon.process.kill()
    rows = tables_of(daemon)

    assert daemon.cli("journal", "rebuild")["problems"] == []

    assert tables_of(daemon) == rows
    second = start_again(processes, daemon)
    assert {each: told_of(second, each) for each in known} == told
    second.process.kill()
    for path in snapshot.snapshot_paths(data_of(daemon)):
        path.write_bytes(b"not a snapshot")

    third = start_again(processes, daemon)

    assert {each: told_of(third, each) for each in known} == told
    assert third.position(old_open)["stop"] is not None
    assert third.cli("journal", "verify", "--archives")["archives"][0]["problem"] == ""
    third.ask(Close(position=old_open))
    assert third.position(old_open)["status"] == "closed"


def settle(daemon: Daemon, *positions: str) -> None:
    """Wait until all has filled and is guarded."""
    wait_until(
        lambda: (
            all(daemon.position(each)["status"] == "open_protected" for each in positions)
            and not daemon.cli("orders")["orders"]
        ),
        20,
        "positions are guarded and no order works",
    )


def told_of(daemon: Daemon, position_id: str) -> tuple[Any, ...]:
    """What a person is told of a position that no restart may change: its shape and its story."""
    wait_until(lambda: daemon.status()["mode"] == "NORMAL", 20, "it trades")
    story = daemon.cli("why", position_id)["events"]
    return shape(daemon.position(position_id)), [
        each for each in story if each["event"] != "DowntimeJudged"
    ]


def tables_of(daemon: Daemon) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(data_of(daemon) / "holdfast.db")) as connection:
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in READ_TABLES
        }


def start_again(processes: Processes, daemon: Daemon) -> Daemon:
    process = processes.start("again", "run", "--config", str(daemon.config))
    again = Daemon(process, daemon.config, daemon.client.path)
    processes._clients.append(again.client)
    return again


def test_without_its_archive_the_past_is_said_to_be_elsewhere(
    traded: tuple[Daemon, str, str],
) -> None:
    daemon, _, old_closed = traded
    daemon.cli("journal", "archive")
    shutil.rmtree(data_of(daemon) / "archive")

    attempt(daemon.config, "why", old_closed).assert_refused("ARCHIVE_MISSING", "not there")
    answer = daemon.client.ask(ShowPosition(position=old_closed))
    assert isinstance(answer, Refusal)
    assert answer.rule == "ARCHIVE_MISSING"
    assert old_closed in {each["id"] for each in daemon.positions(closed=True)}
    verified = attempt(daemon.config, "journal", "verify", "--archives")
    assert verified.code == 1
    assert "it is not there" in verified.out


def test_an_id_that_was_used_opens_nothing_even_when_it_is_archived(
    traded: tuple[Daemon, str, str],
) -> None:
    daemon, _, old_closed = traded
    daemon.cli("journal", "archive")

    answer = daemon.client.ask(
        Open(
            symbol="BTC/USDT",
            direction=Direction.LONG,
            quantity=Decimal("0.001"),
            position_id=old_closed,
        )
    )

    assert isinstance(answer, Refusal)
    assert answer.rule == "ALREADY_CLOSED"


def test_what_is_too_old_leaves_when_the_daemon_starts(
    traded: tuple[Daemon, str, str], processes: Processes
) -> None:
    daemon, _, old_closed = traded
    assert daemon.process.stop() == 0
    long_ago = (datetime.now(UTC) - timedelta(days=91)).isoformat().replace("+00:00", "Z")
    with closing(sqlite3.connect(data_of(daemon) / "holdfast.db")) as connection, connection:
        connection.execute(
            "UPDATE closed_positions SET closed_at = ? WHERE position_id = ?",
            (long_ago, old_closed),
        )

    again = start_again(processes, daemon)
    wait_until(lambda: bool(logged(again, "pruned")), 20, "old rows have left")

    (said,) = logged(again, "pruned")
    assert (said["positions"], said["orders"], said["fills"]) == (1, 2, 2)
    assert old_closed not in {each["id"] for each in again.positions(closed=True)}
    assert re.search("UNKNOWN_POSITION", attempt(again.config, "position", old_closed).err)


def test_a_configuration_may_archive_by_itself(processes: Processes) -> None:
    config = CONFIG.replace("min_free_mb: 1,", "min_free_mb: 1, archive_after_days: 1,")
    daemon = running(processes, config=config)
    for _ in range(2):
        opened(daemon.client)
        daemon.cli("snapshot")
    assert daemon.process.stop() == 0
    _age(data_of(daemon))

    again = start_again(processes, daemon)
    wait_until(lambda: bool(logged(again, "archived")), 20, "the oldest records have left")

    (said,) = logged(again, "archived")
    assert said["records"] == said["last_seq"] > 0
    assert daemon.cli("journal", "verify", "--archives")["archived"] == said["last_seq"]


def _age(directory: Path) -> None:
    """Let the records of a stopped daemon, and the snapshots that name them, be of last week."""
    with closing(sqlite3.connect(directory / "holdfast.db")) as connection, connection:
        rows = connection.execute(
            "SELECT seq, stream, stream_version, writer_epoch, type, schema_version, time, payload"
            " FROM journal ORDER BY seq"
        ).fetchall()
        previous = "0" * 32
        hashes = {}
        for *content, time, payload in rows:
            aged = (datetime.fromisoformat(time) - timedelta(days=7)).isoformat()
            aged = aged.replace("+00:00", "Z")
            digest = seal(previous, (*content, aged, payload))
            connection.execute(
                "UPDATE journal SET time = ?, previous_hash = ?, hash = ? WHERE seq = ?",
                (aged, previous, digest, content[0]),
            )
            hashes[content[0]] = previous = digest
    _resign(directory, hashes)


def _resign(directory: Path, hashes: dict[int, str]) -> None:
    for path in snapshot.snapshot_paths(directory):
        data = path.read_bytes()
        magic, version, seq, _, start = snapshot._PREFIX.unpack_from(data)
        prefix = snapshot._PREFIX.pack(magic, version, seq, hashes[seq].encode(), start)
        lead = data[snapshot._HEADER_BYTES : start]
        digest = sha256(data[start:] + prefix + lead).digest()
        path.write_bytes(prefix + digest + lead + data[start:])
