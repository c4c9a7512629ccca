"""Kill a real daemon at random instants, again and again, and see whether it keeps its word.

    python -m tests.crash --kills 50 [--seed 1] [--json] [--keep DIRECTORY]

A daemon on the simulated market holds at least twenty positions, three traders trade, three people
command it without a pause, and levels are crossed all the time. It is killed (SIGKILL), started
again on the same directory, and judged from outside: what it had acknowledged and shown, and the
paper venue's own ledger, against what it says now. Prints one JSON object; the exit code is 0 only
if nothing was lost, duplicated, unprotected or loosened.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.e2e.crash_client import TRADERS, WORKERS, Crowd, Worker
from tests.e2e.crash_judge import Judge, same_money, told_no_more_than_the_venue_has
from tests.e2e.crash_ledger import Ledger, read_ledger
from tests.e2e.crash_line import GoneError, Line, Place
from tests.e2e.crash_promises import Book, Trader
from tests.e2e.harness import HOLDFAST, ROOT

READY_WITHIN_S = 30.0
END_WITHIN_S = 20.0
_POLL_S = 0.002
_STRATEGY = "crash_strategy.py"
_LEVEL_OF_TROUBLE = {"error", "critical"}

CONFIG = """\
data_dir: {data_dir}
market:
  source: simulated
  symbols: [BTC/USDT, ETH/USDT, SOL/USDT, XRP/USDT, DOGE/USDT]
  seed: {seed}
  ticks_per_second: 50
paper:
  balance: 1000000
  slippage: [0%, 0.002%]
  latency_ms: [2, 40]
  maker_fee: 0.0005%
  taker_fee: 0.001%
  partial_fill_chance: 0.25
  reject_chance: 0.02
  seed: {seed}
limits: {{max_positions: 200, daily_drawdown_ratio: 100%, total_drawdown_ratio: 100%}}
protection: {{automatic_modification_every_s: 0}}
journal: {{snapshot_every_events: 1500, snapshot_every_s: 3, min_free_mb: 1}}
metrics: {{port: 0}}
log: {{format: json}}
traders:
  - name: restless
    strategy: "./{strategy}:Restless"
    symbols: [BTC/USDT, ETH/USDT, SOL/USDT]
    timeframe: 1s
    size: {{by: notional, value: 300}}
    limits: {{max_positions: 5}}
  - name: nervous
    strategy: "./{strategy}:Restless"
    symbols: [XRP/USDT, DOGE/USDT]
    timeframe: 1s
    parameters: {{stop_ratio: 0.0006, trail_ratio: 0.0008}}
    size: {{by: notional, value: 200}}
    limits: {{max_positions: 5}}
  - name: cross
    strategy: ema-cross
    symbols: [BTC/USDT, SOL/USDT]
    timeframe: 1s
    parameters: {{fast: 2, slow: 4, atr_bars: 3}}
    size: {{by: notional, value: 250}}
    limits: {{max_positions: 5}}
"""


@dataclass
class Found:
    """What is counted besides broken promises."""

    kills: int = 0
    early: int = 0  # of them: without waiting for the daemon to be ready
    hasty: int = 0  # of them: commanded before anybody looked whether it was well
    min_open: int = 10**9
    ready_ms: list[float] = field(default_factory=list)  # process start to first answer
    armed_ms: list[float] = field(default_factory=list)  # process start to all levels armed
    replayed: list[int] = field(default_factory=list)
    trouble: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    journal_events: int = 0


class Drill:
    """A daemon, those who use it and those who judge it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.seed = seed
        self.book = Book()
        self.book.traders = {name: Trader() for name in TRADERS}
        self.found = Found()
        self.ledger = Ledger()
        self.workers = [Worker(number, str(seed), self.book) for number in range(WORKERS)]
        self.place = Place(self.data_dir / "holdfast.sock", directory / "config.yaml")
        self.log = directory / "daemon.log"
        strategy = ROOT / "tests" / "e2e" / _STRATEGY
        (directory / _STRATEGY).write_text(strategy.read_text())

    # --- one life of the daemon

    def start(self, round_: int) -> tuple[subprocess.Popen[bytes], float]:
        """Start the daemon; every time the market goes another way."""
        config = CONFIG.format(
            data_dir=self.data_dir, seed=self.seed * 1000 + round_, strategy=_STRATEGY
        )
        self.place.config.write_text(config)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [HOLDFAST, "run", "--config", str(self.place.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        return process, time.monotonic()

    def ready(self, process: subprocess.Popen[bytes], began_s: float) -> tuple[Line, float]:
        """Wait for the first answer."""
        line = Line(self.place.socket)
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                message = f"the daemon ended with {process.returncode}, see {self.log}"
                raise RuntimeError(message)
            try:
                if line.ask("portfolio")["ok"]:
                    ready_s = time.monotonic()
                    self.found.ready_ms.append((ready_s - began_s) * 1000)
                    return line, ready_s
            except GoneError:
                pass
            time.sleep(_POLL_S)
        message = f"the daemon was not ready within {READY_WITHIN_S:.0f} s, see {self.log}"
        raise RuntimeError(message)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL, then read what the venue has."""
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.found.kills += 1

    def after_death(self, *, closing: bool = False) -> None:
        """Look at the venue's file, and whether the daemon had told more than is in it.

        How many positions are open counts unless they were closed on purpose.
        """
        self.book.died()
        before = self.ledger.fills.keys()
        self.ledger = read_ledger(self.data_dir, self.directory / "scratch")
        gone = before - self.ledger.fills.keys()
        if gone:
            self.book.blame("lost", f"fills {sorted(gone)} are gone from the venue")
        told_no_more_than_the_venue_has(self.book, self.ledger)
        if not closing:
            self.found.min_open = min(self.found.min_open, self.ledger.open_positions())

    def early_kill(self, round_: int, delay_s: float) -> None:
        """Kill it while it starts or recovers."""
        process, _ = self.start(round_)
        time.sleep(delay_s)
        self.kill(process)
        self.found.early += 1
        self.after_death()

    def life(self, round_: int, delay_s: float, *, hasty: bool) -> None:
        """Start, judge unless `hasty`, command, kill."""
        process, began_s = self.start(round_)
        try:
            line, ready_s = self.ready(process, began_s)
            if not hasty:
                Judge(self.book, self.ledger, line, ready_s).judge()
            for worker in self.workers:
                worker.begin(round_)
                if not round_:  # twenty positions before anything else
                    worker.fill_up(line)
            self._note_health(line)
            crowd = Crowd(self.workers, self.book, self.place)
            time.sleep(delay_s)
            self.kill(process)
            crowd.leave()
            line.close()
        finally:
            _end(process)
        self.found.hasty += hasty
        self.after_death()

    def closing_life(self, round_: int) -> None:
        """Judge all there ever was, order everything closed, and kill it with its answer."""
        process, began_s = self.start(round_)
        try:
            line, ready_s = self.ready(process, began_s)
            Judge(self.book, self.ledger, line, ready_s).judge(everything=True)
            for name in TRADERS:
                line.ask("pause", trader=name)
                self.book.traders[name].paused = True
            if not self.book.entries.paused:
                line.ask("stop-entries")
                self.book.entries.paused = True
            self._note_health(line)
            for position_id in line.ask("close-all")["closing"]:
                self.book.of(position_id).must_close = True
            self.kill(process)
            line.close()
        finally:
            _end(process)
        self.after_death(closing=True)

    def last_life(self, round_: int) -> None:
        """Judge whether everything closes, compare the money to the last digit."""
        process, began_s = self.start(round_)
        try:
            line, ready_s = self.ready(process, began_s)
            judge = Judge(self.book, self.ledger, line, ready_s)
            judge.judge(everything=True)
            judge.nothing_is_left(END_WITHIN_S)
            balance = judge.balance()
            self._note_health(line)
            shown = line.ask("positions", closed=True, limit=10_000)["positions"]
            for position_id in {*self.book.promises, *(row["id"] for row in shown)}:
                answer = line.ask("position", position=position_id)
                if answer["ok"]:
                    self.book.see_view(answer["position"], time.monotonic())
            line.close()
            os.kill(process.pid, signal.SIGTERM)
            process.wait(END_WITHIN_S + 5)
        finally:
            _end(process)
        self.after_death(closing=True)
        for position_id, fills in self.ledger.of_position.items():
            missing = {fill.trade_id for fill in fills} - self.book.of(position_id).fills
            if missing:
                self.book.blame("lost", f"{position_id} never counted {sorted(missing)}")
        same_money(self.book, balance, self.ledger)
        self._verify()

    def _note_health(self, line: Line) -> None:
        health = line.ask("health")
        self.found.restarts.update(health["restarts"])
        self.found.dead_letters += health["dead_letters"]
        self.found.journal_events = health["journal"]["last_seq"]

    def _verify(self) -> None:
        command = [HOLDFAST, "journal", "verify", "--config", str(self.place.config), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            self.book.blame("lost", f"journal verify: {done.stdout}{done.stderr}")

    # --- what the daemon logged

    def read_log(self) -> None:
        """Take times and troubles from the daemon's own log."""
        for text in self.log.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                self.found.trouble["not JSON"] += 1
                print("daemon:", text, file=sys.stderr)
                continue
            if line.get("event") == "started":
                self.found.armed_ms.append(line["seconds"] * 1000)
                self.found.replayed.append(line["replayed"])
            if line.get("level") in _LEVEL_OF_TROUBLE:
                self.found.trouble[line["event"]] += 1

    def result(self) -> dict[str, Any]:
        """Return everything that was counted."""
        found, book = self.found, self.book
        return {
            "kills": found.kills,
            "acknowledged": book.acknowledged,
            "exits_fired": self.ledger.exits(manual=False),
            "min_open": found.min_open,
            **{kind: len(texts) for kind, texts in book.broken.items()},
            "early_kills": found.early,
            "hasty_kills": found.hasty,
            "positions": len(self.ledger.of_position),
            "fills": len(self.ledger.fills),
            "manual_exits": self.ledger.exits(manual=True),
            "refused": dict(book.refused.most_common()),
            "unanswered": book.unanswered,
            "restart_to_ready_p50_ms": _median(found.ready_ms),
            "restart_to_ready_max_ms": round(max(found.ready_ms, default=0)),
            "recovery_p50_ms": _median(found.armed_ms),
            "recovery_max_ms": round(max(found.armed_ms, default=0)),
            "replayed_max": max(found.replayed, default=0),
            "journal_events": found.journal_events,
            "actor_restarts": dict(found.restarts),
            "dead_letters": found.dead_letters,
            "errors_logged": dict(found.trouble),
        }


def _median(values: list[float]) -> int:
    return round(statistics.median(values)) if values else 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def run(kills: int, seed: int, directory: Path, *, shows: bool) -> tuple[dict[str, Any], Book]:
    """Kill so many times; return what was counted, and the book."""
    drill = Drill(directory, seed)
    began_s = time.monotonic()
    for round_ in range(kills - 1):
        chance = Random(f"{seed}/{round_}")
        kind = chance.random() if round_ else 1.0
        if kind < 0.1:
            drill.early_kill(round_, chance.uniform(0.0, 0.15))
        elif kind < 0.25:
            drill.early_kill(round_, chance.uniform(0.15, 1.6))
        elif kind < 0.45:
            drill.life(round_, chance.uniform(0.0, 0.6), hasty=True)
        else:
            drill.life(round_, chance.uniform(0.3, 2.0), hasty=False)
        if shows:
            _progress(drill, kills, began_s)
    drill.closing_life(kills - 1)
    if shows:
        _progress(drill, kills, began_s)
    drill.last_life(kills)
    drill.read_log()
    result = drill.result()
    return result | {"seconds": round(time.monotonic() - began_s, 1)}, drill.book


def _progress(drill: Drill, kills: int, began_s: float) -> None:
    broken = sum(len(each) for each in drill.book.broken.values())
    print(
        f"\r{drill.found.kills}/{kills} kills, {drill.book.acknowledged} acknowledged,"
        f" {drill.ledger.exits(manual=False)} exits fired, {drill.ledger.open_positions()} open,"
        f" {broken} broken promises, {time.monotonic() - began_s:.0f} s ",
        end="" if drill.found.kills < kills else "\n",
        file=sys.stderr,
        flush=True,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--keep", type=Path, help="leave the daemon's files in this new directory")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-crash-") as temporary:
        directory = asked.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        result, book = run(asked.kills, asked.seed, directory, shows=sys.stderr.isatty())
    for kind, texts in book.broken.items():
        for text in texts:
            print(f"{kind}: {text}", file=sys.stderr)
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 1 if any(book.broken.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
