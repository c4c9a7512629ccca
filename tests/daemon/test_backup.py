"""Where a backup may go: never where a daemon keeps its own, and over nothing but a backup."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.backup import check_place
from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.config_models import Config
from daemon.errors import StartError
from runtime.disk import RealDisk
from storage.backup import Staging
from storage.connection import NAME
from storage.lock import NAME as LOCK
from tests.storage.words import open_store


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """One whose daemon has run: its journal is there, and its log, which is a link to elsewhere."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        "market: {source: simulated, symbols: [BTC/USDT]}\n"
        "log: {file: now.log}\njournal: {min_free_mb: 0}\n"
        "admin: {socket: door/a.sock}\n"
    )
    found = load(ConfigFile(file)).config
    with open_store(found.data_dir) as store:
        (found.data_dir / "archive").mkdir()
        (found.data_dir / "snapshots").mkdir(exist_ok=True)
        with Staging(tmp_path / "a backup") as staging:
            staging.write(NAME, b"")
            store.database.connection.execute("VACUUM INTO ?", (str(staging.directory / "v"),))
            (staging.directory / "v").replace(staging.directory / NAME)
            staging.pack("1.2.3", "2026-01-01T00:00:00Z")
    (tmp_path / "door").mkdir()
    (tmp_path / "now.log").symlink_to(tmp_path / "door" / "today.log")
    return found


def rule_at(file: Path, config: Config, *, force: bool = True) -> str:
    """Return the code of what refuses a place; empty if nothing does."""
    try:
        check_place(file, config, RealDisk(), force=force)
    except StartError as error:
        return error.refusal.rule
    return ""


@pytest.mark.parametrize(
    "place",
    [
        "var/holdfast.db", "var/paper.db", "var/new", "var/holdfast.db-journal", "var/snapshots/1",
        "var/archive/1", "var/../var/new", "linked/new", "door/a.sock", "linked/../door/a.sock",
        "now.log", "door/today.log",
    ],
)  # fmt: skip
def test_a_backup_never_goes_where_the_daemon_keeps_its_own(
    config: Config, tmp_path: Path, place: str
) -> None:
    (tmp_path / "linked").symlink_to(config.data_dir)

    assert rule_at(tmp_path / place, config) == "FILE_UNUSABLE"
    assert rule_at(tmp_path / place, config, force=False) == "FILE_UNUSABLE"


@pytest.mark.parametrize("name", [NAME, LOCK])
def test_nor_where_another_daemon_does(config: Config, tmp_path: Path, name: str) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).touch()

    assert rule_at(tmp_path / "theirs" / "b.tar.gz", config) == "FILE_UNUSABLE"


def test_a_folder_of_ones_own_in_the_data_directory_may_hold_backups(config: Config) -> None:
    (config.data_dir / "backups").mkdir()

    assert rule_at(config.data_dir / "backups" / "b.tar.gz", config) == ""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        yield tmp_path / "s"


def test_only_a_backup_is_replaced(config: Config, tmp_path: Path, door: Path) -> None:
    backup, mine = tmp_path / "a backup", tmp_path / "precious"
    mine.write_text("mine")
    (tmp_path / "link").symlink_to(backup)
    (tmp_path / "hanging").symlink_to(tmp_path / "nowhere")
    (tmp_path / "database").hardlink_to(config.data_dir / NAME)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "half").write_bytes(backup.read_bytes()[:20])
    others = [mine, door, *(tmp_path / each for each in ("link", "hanging", "database", "pipe"))]
    others += [tmp_path / "half", tmp_path / "mine.yaml", Path("/dev/null")]

    assert {each.name: rule_at(each, config) for each in others} == {
        each.name: "NOT_A_BACKUP" for each in others
    }
    assert {rule_at(each, config, force=False) for each in [*others, backup]} == {"FILE_EXISTS"}
    assert rule_at(backup, config) == ""
    backup.write_bytes(backup.read_bytes()[:-100])
    assert rule_at(backup, config) == ""  # damaged, but one of ours
