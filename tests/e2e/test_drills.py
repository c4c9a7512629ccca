"""Every drill of `holdfast drill`, small: a real daemon, a venue that breaks, its ledger."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli.console import Exit
from daemon.drills.catalog import DRILLS
from daemon.drills.drill import Drill, Outcome
from daemon.drills.running import run_all
from daemon.drills.stage import Stage
from exchanges.sandbox import outside
from tests.e2e.harness import HOLDFAST, wait_until
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
AT_ONCE = 9
NAMES = [drill.name for drill in DRILLS]


async def trade(stage: Stage) -> None:
    position_id = await stage.open("BTC/USDT")
    await stage.until_guarded(position_id)


async def uncover(stage: Stage) -> None:
    """Take the stop out on the site; the daemon puts it back."""
    await trade(stage)
    outside.cancel_stops(stage.account, "BTC-USDT-SWAP")
    await stage.until_settled()


async def meddle(stage: Stage) -> None:
    """Spoil the venue's books: what a daemon that doubles and forgets would leave there."""
    await trade(stage)
    (entry,) = stage.account.orders.values()
    entry.filled += 1
    stage.account.resent.append(entry.client_id)


async def wait(stage: Stage) -> None:
    await stage.until(lambda: False, "the impossible", within_s=60)


BAD = (
    Drill("bare", "a stop is gone, no time is allowed", uncover, 60, unprotected_within_s=0),
    Drill("meddled", "the venue's books are spoiled", meddle, 60),
    Drill("endless", "nothing ever comes", wait, 10),
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    logs = tmp_path_factory.mktemp("drills")
    found = asyncio.run(run_all((*DRILLS, *BAD), jobs=AT_ONCE, logs=logs, is_small=True))
    return {outcome.name: outcome for outcome in found}


@pytest.mark.parametrize("name", NAMES)
def test_a_drill_passes(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]

    assert outcome.wrong == ()
    assert outcome.passed
    assert outcome.orders > 0
    assert outcome.duplicates == 0
    assert outcome.unprotected_s <= outcome.unprotected_within_s
    assert outcome.report


def test_time_without_a_stop_fails_a_drill(outcomes: dict[str, Outcome]) -> None:
    (why,) = outcomes["bare"].wrong

    assert "BTC-USDT-SWAP" in why
    assert "allowed are 0 s" in why
    assert outcomes["bare"].unprotected_s > 0


def test_what_the_venue_booked_and_the_daemon_did_not_fails_a_drill(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["meddled"]

    assert not outcome.passed
    assert outcome.duplicates >= 2
    assert any(why.startswith("sent again") for why in outcome.wrong)
    assert any(why.startswith("doubled") for why in outcome.wrong)
    assert any("at the venue 0.03" in why for why in outcome.wrong)


def test_a_drill_that_does_not_end_is_ended_and_its_log_is_there(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["endless"]

    assert outcome.wrong == ("not over within 10 s",)
    assert outcome.logs is not None
    assert (Path(outcome.logs) / "daemon.log").exists()


def drill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOLDFAST, "drill", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_prints_one_object_and_keeps_what_it_is_asked_to(tmp_path: Path) -> None:
    done = drill("silent-feed", "--quick", "--json", "--logs", str(tmp_path))

    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["drills"]
    assert {"name", "passed", "unprotected_s", "orders", "duplicates"} <= told.keys()
    assert told["passed"] is True
    assert told["logs"] == str(tmp_path / "silent-feed")
    assert (tmp_path / "silent-feed" / "daemon.log").stat().st_size


def test_a_drill_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = drill("flood", "--json")

    assert done.returncode == Exit.REFUSED
    assert "UNKNOWN_DRILL" in done.stderr
    assert all(name in done.stderr for name in NAMES)


def test_all_are_listed_without_running_any() -> None:
    listed = json.loads(drill("--list", "--json").stdout)["drills"]

    assert [each["name"] for each in listed] == NAMES


def pid_in(log: Path) -> int:
    """Return the process of the daemon that wrote a log, once it is up."""
    wait_until(lambda: log.exists() and '"ready"' in log.read_text(), 30, "the daemon is up")
    ready = next(line for line in log.read_text().splitlines() if '"ready"' in line)
    return int(json.loads(ready)["pid"])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_is_told_to_stop_leaves_no_daemon_behind(tmp_path: Path) -> None:
    command = [HOLDFAST, "drill", "outage", "--json", "--logs", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as started:
        pid = pid_in(tmp_path / "outage" / "daemon.log")
        os.kill(started.pid, signal.SIGTERM)

        assert started.wait(30) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_terminal_shows_what_runs_and_no_daemon_outlives_it(tmp_path: Path) -> None:
    command = [HOLDFAST, "drill", "outage", "liquidation", "--logs", str(tmp_path)]
    with Terminal(command, columns=120) as terminal:
        terminal.until(r"outage +running")
        pid = pid_in(tmp_path / "outage" / "daemon.log")
        terminal.hang_up()

        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30, "its daemon ends too")
