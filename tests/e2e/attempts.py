"""What is tried against a daemon and must change nothing: how it ended, what it left."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.admin_requests import ListPositions, ShowPortfolio, ShowPosition
from tests.e2e.harness import CLI_WITHIN_S, HOLDFAST, ROOT, Daemon

_HELD = ("status", "remaining_quantity", "realized_pnl")
_OWED = ("balance", "reserved", "reservations", "margin", "positions", "mode", "causes")


@dataclass(frozen=True)
class Attempt:
    """A command that has ended."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def rule(self) -> str:
        """The code of the error that it printed last."""
        errors = [line for line in self.err.splitlines() if line.startswith("error ")]
        assert errors, self
        return errors[-1].removeprefix("error ").partition(":")[0]

    def assert_refused(self, rule: str, *parts: str) -> None:
        """It failed with this error, said what to do, and printed no answer."""
        assert (self.rule, self.code) == (rule, 1), self
        assert all(part in self.err for part in parts), self
        assert "→ " in self.err, self
        assert self.out == "", self
        assert "Traceback" not in self.err, self


def attempt(config: Path, *arguments: str) -> Attempt:
    """Run a command as a person would."""
    done = subprocess.run(
        [HOLDFAST, *arguments, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=CLI_WITHIN_S,
        check=False,
        cwd=ROOT,
    )
    return Attempt(arguments, done.returncode, done.stdout, done.stderr)


def what_is_held(daemon: Daemon) -> dict[str, Any]:
    """Return everything that only a command or an exit may change; prices move by themselves."""
    account = daemon.ask(ShowPortfolio())
    positions = {}
    for row in daemon.ask(ListPositions())["positions"]:
        found = daemon.ask(ShowPosition(position=row["id"]))["position"]
        rules = found["protection"]
        positions[found["id"]] = (
            [found[name] for name in _HELD],
            rules["version"],
            rules["stop"] and rules["stop"]["price"],
            rules["trail"] and (rules["trail"]["ratio"], rules["trail"]["distance"]),
            [(one["id"], one["price"], one["part_pct"]) for one in rules["targets"]],
            len(found["fills"]),
        )
    return {"positions": positions, "account": {name: account[name] for name in _OWED}}


def logged(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    """Return the log lines of one event."""
    return [line for line in log_lines(daemon.process.text()) if line["event"] == event]


def log_lines(text: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a log; the rest is what a command printed."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
