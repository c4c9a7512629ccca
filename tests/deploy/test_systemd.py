"""The unit file, read by systemd's own tools where they are installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.lifecycle import STOP_WITHIN_S

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "systemd" / "holdfast.service"
CONFIG = ROOT / "deploy" / "config.yaml"
HOLDFAST = "/usr/local/lib/holdfast/bin/holdfast"
WORST_EXPOSURE = 1.5  # of 10; what is left is that it needs the network


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def systemd_analyze(directory: Path, *arguments: str, text: str = "") -> str:
    """Run it on the unit with the program of this checkout, which is there; return what it says."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    unit = directory / UNIT.name
    here = Path(sys.executable).with_name("holdfast")
    unit.write_text((text or UNIT.read_text()).replace(HOLDFAST, str(here)))
    done = subprocess.run(
        [program, *arguments, str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"},
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path):
    assert systemd_analyze(tmp_path, "verify", "--man=no") == ""


def test_it_would_say_something_about_a_mistake(tmp_path):
    text = UNIT.read_text().replace("WatchdogSec=30", "WatchdogSecs=30")
    assert "WatchdogSecs" in systemd_analyze(tmp_path, "verify", "--man=no", text=text)


def test_a_credential_as_the_comment_shows_it_is_right_too(tmp_path):
    text = UNIT.read_text().replace("# LoadCredential", "LoadCredential")
    assert "\nLoadCredential=okx-key:" in text
    assert systemd_analyze(tmp_path, "verify", "--man=no", text=text) == ""


def test_the_sandbox_is_about_as_tight_as_systemd_knows(tmp_path):
    said = systemd_analyze(tmp_path, "security", "--offline=true", "--no-pager")
    (score,) = re.findall(r"Overall exposure level for holdfast.service: ([0-9.]+)", said)
    assert float(score) <= WORST_EXPOSURE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("Restart", "on-failure"),
        ("KillMode", "mixed"),
        ("StartLimitIntervalSec", "0"),  # while it is down nobody watches: never give up
        ("NoNewPrivileges", "true"),
        ("ProtectSystem", "strict"),
        ("MemoryDenyWriteExecute", "true"),
        ("CapabilityBoundingSet", ""),
        ("UMask", "0077"),
    ],
)
def test_it_says(name, value):
    assert settings()[name] == [value]


def test_a_drain_has_time_to_end():
    assert float(settings()["TimeoutStopSec"][0]) >= 20 + 5
    assert STOP_WITHIN_S < 20


def test_the_configuration_beside_it_writes_where_the_unit_lets_it():
    config = load(ConfigFile(CONFIG)).config
    (state,) = settings()["StateDirectory"]
    assert config.data_dir == Path("/var/lib") / state
    assert config.socket_path.parent == config.data_dir
    assert config.log.file is None
    for command in (*settings()["ExecStart"], *settings()["ExecReload"]):
        assert command.startswith(HOLDFAST + " ")
        assert command.endswith("--config /etc/holdfast/config.yaml")


def test_its_user_is_the_one_that_sysusers_makes():
    (line,) = [
        line
        for line in (UNIT.parent / "holdfast.sysusers.conf").read_text().splitlines()
        if not line.startswith("#")
    ]
    kind, name, *_ = line.split()
    assert kind == "u"
    assert [name] == settings()["User"] == settings()["Group"]
