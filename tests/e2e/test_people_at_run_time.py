"""What people do to a running daemon besides opening and closing: add, limit, and find it kept."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import HOLDFAST, ROOT, Daemon, Processes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

CONFIG = """
market: {source: simulated, symbols: [BTC/USDT], ticks_per_second: 10}
traders:
  - {name: trend, strategy: ema-cross, symbols: [BTC/USDT], timeframe: 1h}
metrics: {enabled: false}
log: {format: json}
"""


def refused(daemon: Daemon, *arguments: str) -> str:
    """Run a command that must be refused; return what it said."""
    command = [HOLDFAST, *arguments, "--config", str(daemon.config)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT
    )
    assert done.returncode == 1, (arguments, done)
    return done.stderr


def test_an_addition_and_limits_are_there_after_a_kill(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        daemon = processes.run(CONFIG)
        opened = daemon.cli("open", "BTC/USDT", "long", "--quantity", "0.01", "--stop", "40000")
        position_id = opened["position"]["id"]
        added = daemon.cli("add", position_id, "--quantity", "0.02", "--number", "1")["position"]
        assert added["remaining_quantity"] == "0.03"
        assert added["status"] == "open_protected"
        daemon.cli("traders", "set-limits", "trend", "--max-positions", "1", "--max-risk", "0.5%")
        account = daemon.cli("portfolio", "set-limits", "--max-positions", "1")
        assert "nothing is closed" in account["note"]
        daemon.process.kill()

        daemon = processes.run(CONFIG)

        found = daemon.position(position_id)
        assert found["remaining_quantity"] == "0.03"
        assert found["entry_price"] == added["entry_price"]
        assert found["protection"]["stop"]["lives"] == "client guard"
        again = daemon.cli("add", position_id, "--quantity", "0.02", "--number", "1")["position"]
        assert again["remaining_quantity"] == "0.03"
        traders = {each["name"]: each for each in daemon.cli("traders")["traders"]}
        assert traders["trend"]["limits"]["max_risk_pct"] == "0.5"
        assert traders["trend"]["configured_limits"] == {"max_positions": 3, "max_risk_pct": "2"}
        text = refused(daemon, "open", "BTC/USDT", "long", "--quantity", "0.01")
        assert "MAX_POSITIONS_ACCOUNT" in text
        story = json.dumps(daemon.cli("why", position_id))
        assert "AdditionIntended" in story
        told = [each["event"] for each in daemon.cli("why", "paper")["events"]]
        assert told == ["PortfolioOpened", "AccountLimitsChanged"]
        assert daemon.cli("portfolio", "set-limits", "--reset")["configured_limits"] == {}
        assert daemon.cli("health")["parts"]
