"""`holdfast doctor` on files of a stopped daemon: what is wrong is found, what is secret is not."""

import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.streams import registry
from daemon import doctor, doctor_machine
from daemon.config_file import ConfigFile
from daemon.doctor_machine import Finding
from runtime.disk import RealDisk
from storage.store import Store
from tests.daemon.test_admin_client import daemon_that

CONFIG = """
data_dir: ./data
market: {source: simulated, symbols: [BTC/USDT]}
"""
CANARY = "canary-7f3a-of-a-secret"
Examine = Callable[..., dict[str, Finding]]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """Examine a configuration; return the worst finding of each kind."""

    def run(config: str = CONFIG, *, full: bool = False) -> dict[str, Finding]:
        file = tmp_path / "config.yaml"
        file.write_text(config)
        found: dict[str, Finding] = {}
        for each in doctor.examine(ConfigFile(file), registry(), socket_path=None, full=full):
            if each.what not in found or found[each.what].level == "ok":
                found[each.what] = each
        return found

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory as a daemon leaves it."""
    Store(tmp_path / "data", registry(), RealDisk()).close()
    return tmp_path / "data"


def test_before_the_first_start_only_the_daemon_is_missing(examine, tmp_path):
    found = examine()
    assert {each.what for each in found.values() if each.level != "ok"} == {"daemon"}
    assert found["daemon"].level == "warn"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("full", [False, True])
def test_what_a_daemon_left_is_well(examine, data, full):
    found = examine(full=full)
    assert found["data directory"].level == "ok"
    assert found["journal"].level == "ok"


def test_everything_that_is_not_well_says_what_to_do(examine, data):
    data.chmod(0o755)
    limited = CONFIG + "journal: {min_free_mb: 1000000000}\n"
    for each in examine(limited).values():
        assert each.found
        assert bool(each.remedy) or each.level == "ok"


def test_a_directory_that_others_may_enter_is_a_failure(examine, data):
    data.chmod(0o755)
    found = examine()["data directory"]
    assert found.level == "fail"
    assert found.remedy == f"chmod 700 {data}"


def test_nobody_is_told_to_close_a_directory_that_is_for_all(examine, data):
    data.chmod(0o1777)  # as /tmp
    assert examine()["data directory"].remedy == "Name another: that one is for all."


def test_a_journal_that_others_may_read_is_a_failure(examine, data):
    (data / "holdfast.db").chmod(0o644)
    found = examine()["data directory"]
    assert found.level == "fail"
    assert found.remedy == f"chmod 600 {data / 'holdfast.db'}"


def test_a_directory_behind_a_link_is_a_failure(examine, data, tmp_path):
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in examine()["data directory"].found


def test_too_little_disk_is_a_failure_and_little_a_warning(examine):
    free_mb = RealDisk().free_bytes(Path.cwd()) // 1024**2
    few = CONFIG + f"journal: {{min_free_mb: {free_mb // 2}}}\n"
    assert examine(CONFIG + "journal: {min_free_mb: 1000000000}\n")["disk"].level == "fail"
    assert examine(few)["disk"].level == "warn"


def test_a_slow_disk_is_a_warning(examine, monkeypatch):
    monkeypatch.setattr(doctor_machine.os, "fsync", lambda _: time.sleep(0.03))
    found = examine()["disk speed"]
    assert found.level == "warn"
    assert "faster disk" in found.remedy


@pytest.mark.parametrize(("by_s", "level"), [(3600, "warn"), (-0.05, "warn"), (0.001, "ok")])
def test_a_clock_that_is_being_set_is_a_warning(by_s, level):
    wall, steady = iter((1_000.0, 1_000.2 + by_s)), iter((5.0, 5.2))
    assert doctor_machine.clock(lambda: next(wall), lambda: next(steady)).level == level


def test_few_open_files_are_a_warning(examine, monkeypatch):
    monkeypatch.setattr(doctor_machine.resource, "getrlimit", lambda _: (256, 256))
    found = examine()["open files"]
    assert (found.level, found.found) == ("warn", "up to 256")


@pytest.mark.parametrize("full", [False, True])
def test_a_damaged_record_is_a_failure(examine, data, full):
    with sqlite3.connect(data / "holdfast.db") as connection:
        connection.execute("UPDATE meta SET value = 7 WHERE name = 'last_seq'")
    connection.close()
    found = examine(full=full)["journal"]
    assert found.level == "fail"
    assert "record 7 is noted as the last one" in found.found
    assert "runbook" in found.remedy


def test_a_file_that_is_no_journal_is_a_failure(examine, data):
    (data / "holdfast.db").write_bytes(b"garbage!" * 512)
    assert examine()["journal"].level == "fail"


def test_a_venue_that_cannot_be_reached_is_a_failure(examine):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        port = closed.getsockname()[1]
        config = CONFIG.replace("simulated", "binance").replace(
            "symbols", f"url: 'ws://127.0.0.1:{port}', symbols"
        )
        found = examine(config)["market"]
    assert found.level == "fail"
    assert f"127.0.0.1:{port}" in found.found


def test_a_venue_whose_name_takes_forever_is_given_up(examine, monkeypatch):
    monkeypatch.setattr(doctor, "DEADLINE_S", 0.05)
    found_out = threading.Event()
    monkeypatch.setattr(doctor, "_reached", lambda *_: found_out.wait(60) and "")
    config = CONFIG.replace("simulated", "binance")
    assert "no answer within" in examine(config)["market"].found
    found_out.set()


def test_a_venue_that_listens_is_reached(examine):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"url: 'ws://127.0.0.1:{port}', symbols"
        config = CONFIG.replace("simulated", "binance").replace("symbols", url)
        assert examine(config)["market"].level == "ok"


def test_a_socket_that_nobody_answers_is_no_daemon(examine, data):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(data / "holdfast.sock"))
    assert examine()["daemon"].level == "warn"


def test_a_daemon_that_refuses_to_talk_is_told_in_its_own_words(examine, data):
    refusal = {"rule": "PEER_REFUSED", "message": "It is another's.", "remedy": "Ask as them."}
    answer = json.dumps({"ok": False, "error": refusal}).encode() + b"\n"
    with daemon_that(data / "holdfast.sock", answer):
        found = examine()
    assert found["daemon"] == Finding("daemon", "fail", "It is another's.", "Ask as them.")
    assert not {"health", "journal"} & found.keys()


def test_a_daemon_whose_queue_is_full_is_not_called_absent(examine, data):
    path = str(data / "holdfast.sock")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waiting:
        server.bind(path)
        server.listen(0)  # and nobody accepts: one may wait
        waiting.connect(path)
        found = examine()["daemon"]
    assert (found.level, found.found) == ("fail", f"{path} takes no more connections")


def test_a_broken_configuration_is_named_by_its_lines(examine):
    found = examine(CONFIG + "limitz: 3\nmarkets: 4\n")["configuration"]
    assert found.level == "fail"
    assert "2 problems at lines 4, 5" in found.found


def test_a_file_that_is_not_there_is_named(tmp_path):
    file = ConfigFile(tmp_path / "gone.yaml")
    found = list(doctor.examine(file, registry(), socket_path=None, full=False))
    assert found[-1].found == f"there is no file {tmp_path / 'gone.yaml'}"


def test_no_secret_is_shown_wherever_it_stands(examine, tmp_path, monkeypatch, data):
    """A secret in the environment, in a file, in the wrong place, in a path."""
    (tmp_path / "key").write_text(CANARY + "-file\n")
    monkeypatch.setenv("OKX_API_KEY", CANARY + "-env")
    monkeypatch.setenv("SOME_TOKEN", CANARY)
    odd = tmp_path / f"{CANARY}-env"
    good = CONFIG.replace("./data", str(odd)) + (
        "secrets:\n  a: {env: OKX_API_KEY}\n  b: {file: ./key}\n"
    )
    wrong = CONFIG + f"secrets:\n  a: {CANARY}-plain\nokx_api_key: {CANARY}-key\n"
    worse = CONFIG + f"limits: {{max_positions: {CANARY}-number}}\n"
    missing = CONFIG + f"secrets:\n  a: {{file: ./{CANARY}-not-there}}\n"
    for config in (good, wrong, worse, missing):
        text = repr(list(examine(config).values()))
        assert CANARY not in text, config
    assert "2 secrets at hand" in examine(good)["configuration"].found


def test_the_secrets_of_a_venue_are_not_shown_either(examine, tmp_path, monkeypatch):
    (tmp_path / "key").write_text(CANARY + "-file\n")
    monkeypatch.setenv("PLAIN_VARIABLE", CANARY + "-env")
    venue = "venues: {mine: {credentials: {key: {file: ./key}, secret: {env: PLAIN_VARIABLE}}}}\n"
    for end in ("-file", "-env"):
        config = CONFIG.replace("./data", str(tmp_path / (CANARY + end))) + venue
        found = repr(list(examine(config).values()))
        assert "****" in found
        assert CANARY not in found


def test_a_missing_secret_is_a_failure(examine, monkeypatch):
    monkeypatch.delenv("OKX_API_KEY", raising=False)
    found = examine(CONFIG + "secrets:\n  a: {env: OKX_API_KEY}\n")["configuration"]
    assert found.level == "fail"


def test_variables_of_the_environment_are_not_shown(examine, monkeypatch):
    monkeypatch.setenv("PLAIN_VARIABLE", CANARY)
    assert CANARY not in repr(examine())
    assert os.environ["PLAIN_VARIABLE"] == CANARY
