"""Who may change what the daemon runs: a configuration names code, a strategy is code."""

import grp
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import trust
from daemon.config import load
from daemon.config_file import ConfigError, ConfigFile, Use
from tests.e2e.harness import HOLDFAST, ROOT
from tests.e2e.test_bad_surroundings import mounting

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
SOMEBODY = 12_345
TEXT = "market: {source: simulated, symbols: [BTC/USDT]}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "config.yaml"
    path.parent.mkdir(mode=0o700)
    path.write_text(TEXT)
    path.chmod(0o600)
    return path


def said_of(path: Path) -> str:
    """Return what stands against running a configuration; empty if nothing does."""
    try:
        load(ConfigFile(path), Use.RUN)
    except ConfigError as error:
        (line,) = error.lines()
        return line
    return ""


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o644, 0o755])
def test_a_file_that_only_its_owner_may_write_is_run(file: Path, mode: int) -> None:
    file.chmod(mode)

    assert said_of(file) == ""


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o777])
def test_a_file_that_everybody_may_write_is_not_run(file: Path, mode: int) -> None:
    file.chmod(mode)

    said = said_of(file)

    assert said.startswith(f"{file}:1: not used: every user of this machine may write {file}.")
    assert said.endswith(f"Run chmod o-w {file}")


def test_a_file_that_everybody_may_replace_is_not_run(file: Path) -> None:
    file.parent.chmod(0o777)
    assert f"its directory {file.parent}. Run chmod o-w {file.parent}" in said_of(file)

    file.parent.chmod(0o1777)  # as /tmp: others put files there, and leave those of others alone
    assert said_of(file) == ""


def test_a_link_is_as_safe_as_what_it_leads_to(file: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o700)
    link = tmp_path / "open" / "link.yaml"
    link.symlink_to(file)
    link.parent.chmod(0o777)  # as Kubernetes mounts a ConfigMap
    assert said_of(link) == ""

    file.parent.chmod(0o777)
    assert f"chmod o-w {file.parent}" in said_of(link)


def group_of(monkeypatch: pytest.MonkeyPatch, name: str, *members: str) -> None:
    """Let the group of files that are made here have a name and members beside who owns them."""
    user = pwd.struct_passwd(("me", "x", os.geteuid(), os.getegid(), "", "/", "/bin/sh"))
    group = grp.struct_group((name, "x", os.getegid(), list(members)))
    monkeypatch.setattr(trust.pwd, "getpwuid", lambda _: user)
    monkeypatch.setattr(trust.grp, "getgrgid", lambda _: group)


def test_a_group_of_ones_own_is_nobody_else(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group_of(monkeypatch, "me", "me")
    file.chmod(0o664)
    file.parent.chmod(0o775)

    assert said_of(file) == ""


@pytest.mark.parametrize(("name", "members"), [("traders", []), ("me", ["you"])])
def test_a_group_of_several_is_somebody_else(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, members: list[str]
) -> None:
    group_of(monkeypatch, name, *members)
    file.chmod(0o664)

    assert f"may write {file}. Run chmod g-w {file}" in said_of(file)


@as_root
@pytest.mark.parametrize(("group", "is_run"), [(0, True), (SOMEBODY, False)])
def test_a_group_without_a_name_is_ones_own_by_its_number(
    file: Path, monkeypatch: pytest.MonkeyPatch, group: int, *, is_run: bool
) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(trust.grp, "getgrgid", nobody)
    os.chown(file, 0, group)
    file.chmod(0o664)

    assert (said_of(file) == "") is is_run
    assert is_run or said_of(file).endswith(f"Run chmod g-w {file}")


@as_root
@pytest.mark.parametrize("whose", [".", ".."])
def test_what_belongs_to_somebody_else_is_not_run(file: Path, whose: str) -> None:
    theirs = (file if whose == "." else file.parent).resolve()
    os.chown(theirs, SOMEBODY, SOMEBODY)

    said = said_of(file)

    assert f"{theirs} belongs to user {SOMEBODY}" in said
    assert said.endswith(f"Run this as that user (sudo -u '#{SOMEBODY}'), or mount it read-only")


@as_root
def test_who_is_not_root_is_told_to_own_it_or_to_mount_it_to_be_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust.os, "geteuid", lambda: 10_001)
    os.chown(file, SOMEBODY, SOMEBODY)

    assert said_of(file).endswith(f"Run chown 10001 {file}, or mount it read-only")


def told(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOLDFAST, *map(str, command)], capture_output=True, text=True, cwd=ROOT, check=False
    )


RUNS = """
import sys
from pathlib import Path
from daemon.config import load
from daemon.config_file import ConfigFile, Use

load(ConfigFile(Path(sys.argv[1])), Use.RUN)
"""
STRATEGY = """
from strategies.base import Strategy

print("RUN")

class Mine(Strategy, frozen=True):
    def on_candle(self, state, candle, view):
        raise NotImplementedError
"""
TRADER = "traders: [{name: one, strategy: ./mine.py:Mine, symbols: [BTC/USDT], timeframe: 1m}]\n"


@as_root
def test_root_may_look_at_the_configuration_of_the_daemons_user_and_runs_none_of_it(
    file: Path,
) -> None:
    file.write_text(TEXT + TRADER)
    (file.parent / "mine.py").write_text(STRATEGY)  # root's own: what it may run
    assert "RUN" in told("config", "check", "--config", file).stdout
    for theirs in (file, file.parent):
        os.chown(theirs, SOMEBODY, SOMEBODY)

    checked = told("config", "check", "--config", file)
    verified = told("journal", "verify", "--config", file)
    run = told("run", "--config", file)

    assert checked.returncode == 0
    assert "RUN" not in checked.stdout
    assert "its strategies were not loaded: " in checked.stdout
    assert f"(sudo -u '#{SOMEBODY}')" in checked.stdout
    assert "not used" not in verified.stderr  # there is no journal yet
    assert run.returncode == 1
    assert "not used" in run.stderr


@as_root
def test_what_its_owner_could_not_run_is_told_to_whoever_checks_it(file: Path) -> None:
    os.chown(file, SOMEBODY, SOMEBODY)  # in a directory of root's
    assert told("config", "check", "--config", file).returncode == 0

    file.chmod(0o666)
    assert told("config", "check", "--config", file).returncode == 1


@as_root
def test_what_is_mounted_for_reading_may_belong_to_whoever_mounted_it(file: Path) -> None:
    os.chown(file, SOMEBODY, SOMEBODY)
    os.chown(file.parent, SOMEBODY, SOMEBODY)
    here = file.parent
    script = f"mount --bind '{here}' '{here}' && mount -o remount,ro,bind '{here}' && exec \"$@\""
    command = [sys.executable, "-c", RUNS, str(file)]

    def checked() -> int:
        inside = [*mounting(), "sh", "-c", script, "sh", *command]
        return subprocess.run(inside, capture_output=True, cwd=ROOT, check=False).returncode

    assert checked() == 0
    file.chmod(0o664)  # its group has no name here
    assert checked() == 0
    file.chmod(0o666)
    assert checked() == 1


def test_who_only_looks_for_the_daemon_may_use_any_file(file: Path) -> None:
    file.chmod(0o666)

    assert ConfigFile(file).socket_path() == file.parent / "var" / "holdfast.sock"


def test_a_pipe_is_as_good_as_who_writes_it() -> None:
    command = f"{sys.executable} -m daemon.cli config check --config <(echo '{TEXT.strip()}')"

    done = subprocess.run(["bash", "-c", command], capture_output=True, cwd=ROOT, check=False)

    assert done.returncode == 0, done
