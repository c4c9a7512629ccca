"""Start two daemons on one directory at the same instant, again and again: exactly one may live.

    python -m tests.races --races 100 [--seed 1] [--json]

The directory has a position, and often a daemon that is killed at the instant at which they start.
Each time one of them must answer, and the other must end and say who holds the directory. Prints
one JSON object; the exit code is 0 only if each race had one winner and the journal is whole.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.e2e.crash_line import GoneError, Line
from tests.e2e.harness import HOLDFAST, ROOT

ENDS_WITHIN_S = 30.0
_POLL_S = 0.005
_TOLD = "ALREADY_RUNNING"
_CONFIG = """\
data_dir: {data_dir}
market: {{source: simulated, symbols: [BTC/USDT], seed: 1, ticks_per_second: 5}}
paper: {{balance: 100000}}
metrics: {{enabled: false}}
log: {{format: json}}
"""


@dataclass
class Races:
    """One directory, and what came of its races."""

    directory: Path
    wrong: list[str] = field(default_factory=list)
    told: int = 0  # losers that named the lock
    running: subprocess.Popen[str] | None = None
    position_id: str = ""

    @property
    def config(self) -> Path:
        return self.directory / "config.yaml"

    def line(self) -> Line:
        return Line(self.directory / "data" / "holdfast.sock")

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [HOLDFAST, "run", "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def race(self, number: int, chance: Random) -> None:
        """Let two start; see who lives."""
        before, self.running = self.running, None
        kills_between = before is not None and chance.random() < 0.5
        if before is not None and not kills_between:
            _kill(before)
        first = self.start()
        if before is not None and kills_between:
            time.sleep(chance.uniform(0.0, 0.6))  # while they reach for the lock
            _kill(before)
        else:
            time.sleep(chance.choice((0.0, 0.0, chance.uniform(0.0, 0.1))))
        second = self.start()
        over = self._one_ends(first, second)
        if over is None:
            self.wrong.append(f"race {number}: both live")
            _kill(first)
            _kill(second)
            return
        living = second if over is first else first
        said = _said(over)
        self.told += _TOLD in said or "already" in said
        if not self._answers(living):
            if kills_between and living.poll() is not None:
                # The one that was there before was still dying when both looked: nobody is left.
                self.running = self._again(number)
                return
            self.wrong.append(f"race {number}: nobody answers; {said[-300:]}")
            _kill(living)
            return
        self.running = living

    def _again(self, number: int) -> subprocess.Popen[str] | None:
        process = self.start()
        if self._answers(process):
            return process
        self.wrong.append(f"race {number}: none can start any more")
        _kill(process)
        return None

    def _one_ends(
        self, first: subprocess.Popen[str], second: subprocess.Popen[str]
    ) -> subprocess.Popen[str] | None:
        deadline = time.monotonic() + ENDS_WITHIN_S
        while time.monotonic() < deadline:
            for process in (first, second):
                if process.poll() is not None:
                    return process
            time.sleep(_POLL_S)
        return None

    def _answers(self, process: subprocess.Popen[str]) -> bool:
        line, deadline = self.line(), time.monotonic() + ENDS_WITHIN_S
        try:
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    if line.ask("portfolio")["ok"]:
                        return self._is_whole(line)
                except GoneError:
                    pass
                time.sleep(_POLL_S)
        finally:
            line.close()
        return False

    def _is_whole(self, line: Line) -> bool:
        """The position of the first life is there, once, as it was."""
        rows = line.ask("positions")["positions"]
        if not self.position_id:
            return True
        if [row["id"] for row in rows] != [self.position_id]:
            self.wrong.append(f"positions are {[row['id'] for row in rows]}")
        return True

    def open(self) -> None:
        line = self.line()
        deadline = time.monotonic() + ENDS_WITHIN_S
        while time.monotonic() < deadline:
            price = line.ask("status")["prices"][0]["last"]
            if price is not None:
                stop = f"{float(price) * 0.5:.1f}"
                answer = line.ask(
                    "open", symbol="BTC/USDT", direction="long", notional="200", stop=stop
                )
                if answer["ok"]:
                    self.position_id = answer["position"]["id"]
                    break
            time.sleep(0.05)
        line.close()

    def verified(self) -> None:
        """The chain of the journal is whole, with every writer's events in it."""
        command = [HOLDFAST, "journal", "verify", "--config", str(self.config), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            self.wrong.append(f"journal verify: {done.stdout}{done.stderr}")


def _said(process: subprocess.Popen[str]) -> str:
    """Return what a process that has ended had to say."""
    if process.stderr is None or process.stderr.closed:
        return ""
    with process.stderr:
        return process.stderr.read()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    _said(process)


def run(races: int, seed: int, directory: Path) -> dict[str, Any]:
    """Race so often on one directory."""
    held = Races(directory)
    held.config.write_text(_CONFIG.format(data_dir=directory / "data"))
    began_s = time.monotonic()
    try:
        held.running = held._again(0)
        held.open()
        for number in range(1, races + 1):
            held.race(number, Random(f"{seed}/{number}"))
    finally:
        if held.running is not None:
            _kill(held.running)
    held.verified()
    return {
        "races": races,
        "one_lived": races - sum("race " in text for text in held.wrong),
        "losers_that_said_why": held.told,
        "wrong": held.wrong,
        "seconds": round(time.monotonic() - began_s, 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-races-") as temporary:
        result = run(asked.races, asked.seed, Path(temporary))
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
