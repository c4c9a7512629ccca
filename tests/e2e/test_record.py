"""`holdfast record` against a real websocket: what it writes is what was sent."""

import gzip
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.instruments import instruments_of
from exchanges.recording import FrameWriter, frames
from exchanges.simulated_market import simulated_frames
from tests.builders import D
from tests.e2e.attempts import attempt
from tests.e2e.harness import HOLDFAST, ROOT, Processes, Server, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

COUNT = 600
START_NS = 1_760_000_000_000_000_000


def config_of(directory: Path, url: str | None = None) -> Path:
    source = "simulated" if url is None else f"binance, url: '{url}'"
    file = directory / "record.yaml"
    file.write_text(f"market: {{source: {source}, symbols: [BTC/USDT, ETH/USDT]}}\n")
    return file


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Ten minutes or so of two made-up symbols."""
    config = load(ConfigFile(config_of(tmp_path))).config
    starts = {"BTC/USDT": D(60_000), "ETH/USDT": D(2_500)}
    path = tmp_path / "original.gz"
    with FrameWriter(path) as writer:
        made = simulated_frames(3, instruments_of(config), starts, start_ns=START_NS)
        for at_ns, raw in islice(made, COUNT):
            writer.write(START_NS + at_ns, raw)
    return path


@pytest.fixture
def server(processes: Processes, original: Path) -> Iterator[Server]:
    return processes.serve(original, hold=False)


def replayed(file: Path) -> dict[str, object]:
    done = subprocess.run(
        [HOLDFAST, "replay", str(file), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["again.gz", "again"])
def test_a_recording_of_a_recording_is_the_same(
    tmp_path: Path, original: Path, server: Server, name: str
) -> None:
    copy = tmp_path / name

    done = attempt(
        config_of(tmp_path, server.url),
        *("record", "BTC/USDT", "ETH/USDT", str(copy), "--frames", str(COUNT), "--json"),
    )

    assert done.code == 0, done
    summary = json.loads(done.out)
    assert summary["frames"] == COUNT
    assert summary["symbols"] == ["BTC/USDT", "ETH/USDT"]
    assert (summary["file"], summary["bytes"]) == (str(copy), copy.stat().st_size)
    assert (copy.read_bytes()[:2] == b"\x1f\x8b") == (name == "again.gz")
    assert [raw for _, raw in frames(copy)] == [raw for _, raw in frames(original)]
    first, second = replayed(original), replayed(copy)
    assert (second["frames"], second["ticks"]) == (first["frames"], first["ticks"])
    assert int(str(first["ticks"])) == COUNT


def test_a_recording_is_served_again(
    tmp_path: Path, processes: Processes, original: Path, server: Server
) -> None:
    copy = tmp_path / "copy.gz"
    config = config_of(tmp_path, server.url)
    both = ("BTC/USDT", "ETH/USDT")
    attempt(config, "record", *both, str(copy), "--frames", str(COUNT))

    again = processes.serve(copy, hold=False, name="second")
    third = tmp_path / "third"
    config = config_of(tmp_path, again.url)
    done = attempt(config, "record", *both, str(third), "--frames", str(COUNT))

    assert done.code == 0, done
    assert [raw for _, raw in frames(third)] == [raw for _, raw in frames(original)]


def test_only_the_symbols_asked_for_are_recorded(
    tmp_path: Path, original: Path, server: Server
) -> None:
    copy = tmp_path / "eth"
    mine = [raw for _, raw in frames(original) if b"ethusdt" in raw]

    attempt(
        config_of(tmp_path, server.url),
        *("record", "ETH/USDT", str(copy), "--frames", str(len(mine))),
    )

    assert [raw for _, raw in frames(copy)] == mine


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_whole_file(
    tmp_path: Path, processes: Processes, number: signal.Signals
) -> None:
    file = tmp_path / "made-up.gz"
    config = config_of(tmp_path)
    process = processes.start("record", "record", "BTC/USDT", str(file), "--config", str(config))
    wait_until(file.exists, 20, "it has begun")
    wait_until(lambda: _has_begun(process.pid), 20, "its signal handlers stand")

    os.kill(process.pid, number)
    wait_until(lambda: not process.is_running, 20, "it ends")

    assert process.stop() == 0, process.text()
    recorded = list(frames(file))
    assert f"{len(recorded)} frames" in process.text()
    with gzip.open(file) as lines:
        assert len(lines.read().splitlines()) == len(recorded) > 0


def _has_begun(pid: int) -> bool:
    """Whether it catches SIGTERM and SIGINT, by the kernel's word."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(x for x in status.splitlines() if x.startswith("SigCgt")).split()[1], 16)
    return all(caught >> (each - 1) & 1 for each in (signal.SIGINT, signal.SIGTERM))


def test_what_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    asked = ("record", "BTC/USDT", str(file), "--frames", "1")
    config = config_of(tmp_path)
    for text, why in (("1 {}\n", "FILE_EXISTS"), ("mine", "FILE_EXISTS")):
        file.write_text(text)
        attempt(config, *asked).assert_refused(why)
        assert file.read_text() == text

    attempt(config, *asked, "--force").assert_refused("NOT_A_RECORDING")
    assert file.read_text() == "mine"

    file.write_text("1 {}\n")
    forced = attempt(config, *asked, "--force")
    assert forced.code == 0, forced
    assert len(list(frames(file))) == 1
    assert file.read_text() != "1 {}\n"


def test_a_server_that_is_not_there_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "nothing.gz"

    done = attempt(
        config_of(tmp_path, "ws://127.0.0.1:1"), "record", "BTC/USDT", str(file), "--seconds", "0.5"
    )

    assert (done.rule, done.code) == ("NO_FRAMES", 1), done
    assert not file.exists()


@pytest.mark.parametrize(
    ("symbol", "rule"), [("BTCUSDT", "INVALID_SYMBOL"), ("ABC/USDT", "UNKNOWN_SYMBOL")]
)
def test_a_symbol_that_cannot_be_is_refused(tmp_path: Path, symbol: str, rule: str) -> None:
    file = tmp_path / "nothing.gz"
    attempt(config_of(tmp_path), "record", symbol, str(file)).assert_refused(rule)
    assert not file.exists()


def test_a_full_disk_is_said_and_ends_it(tmp_path: Path) -> None:
    done = attempt(
        config_of(tmp_path), "record", "BTC/USDT", "/dev/full", "--force", "--frames", "2000"
    )
    assert done.code == 1
    assert "No space left" in done.err
