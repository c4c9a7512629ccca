"""A daemon that is killed again and again, those who use it and those who judge it.

One life: start, judge what the lives before promised, command it, kill it. It dies at a random
instant by our hand, or at a labelled one by its own (`crash_points.py`).
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from tests.e2e.crash_client import Crowd, Worker
from tests.e2e.crash_found import Found, Label
from tests.e2e.crash_ground import STRATEGY, Ground
from tests.e2e.crash_judge import Judge, is_same, same_money, told_no_more_than_the_venue_has
from tests.e2e.crash_ledger import Ledger
from tests.e2e.crash_line import GoneError, Line, Place
from tests.e2e.crash_nursery import Life, Nursery
from tests.e2e.crash_points import POINTS
from tests.e2e.crash_promises import Book, Trader
from tests.e2e.crash_trap import Mark
from tests.e2e.harness import HOLDFAST, ROOT

READY_WITHIN_S = 30.0
END_WITHIN_S = 20.0
SPRUNG_WITHIN_S = 12.0  # else the daemon is killed where it is, and the label has missed
_EARLY_CHANCE = 0.2  # of a label that counts from the start of the process
_PLAIN_CHANCE = 0.1  # of a labelled life that begins with loading the code
_SNAPSHOT_S, _SNAPSHOT_OFTEN_S = 3.0, 0.5
_NEEDED_EVERY_S = 0.03  # what a label needs
_POLL_S = 0.005


class Drill:
    """A daemon, those who use it and those who judge it."""

    def __init__(self, directory: Path, seed: int, ground: Ground) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.seed = seed
        self.ground = ground
        self.scale = ground.scale
        self.book = Book(self.scale.fires_within_s)
        self.book.traders = {name: Trader() for name in self.scale.traders}
        self.found = Found()
        self.ledger = Ledger()
        self.workers = [
            Worker(number, str(seed), self.book, self.scale) for number in range(self.scale.workers)
        ]
        self.place = Place(self.data_dir / "holdfast.sock", directory / "config.yaml")
        self.log = directory / "daemon.log"
        self.last_label = ""
        self._last_pid = 0
        self._read_to = 0  # bytes of the log
        self.told = 0  # broken promises until now
        strategy = ROOT / "tests" / "e2e" / STRATEGY
        (directory / STRATEGY).write_text(strategy.read_text())

    # --- one life of the daemon

    def start(
        self,
        round_: int,
        trap: tuple[str, ...] = (),
        snapshot_s: float = _SNAPSHOT_S,
        nursery: Nursery | None = None,
    ) -> tuple[Life, float]:
        """Start the daemon, perhaps with a trap in it, perhaps as a child of a nursery."""
        config = self.ground.config(self.data_dir, self.seed, round_, snapshot_s)
        self.place.config.write_text(config)
        command = ["run", "--config", str(self.place.config)]
        if nursery is not None:
            began_s = time.monotonic()
            return nursery.start([*trap, *command], self.ground.variables(), self.log), began_s
        program = [sys.executable, "-m", "tests.e2e.crash_child", *trap] if trap else [HOLDFAST]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*program, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self.ground.variables(),
            )
        return process, time.monotonic()

    def ready(self, process: Life, began_s: float) -> tuple[Line, float]:
        """Wait for the first answer."""
        line = Line(self.place.socket)
        try:
            return line, self._first_answer(line, process, began_s)
        except BaseException:
            line.close()
            raise

    def _first_answer(self, line: Line, process: Life, began_s: float) -> float:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            code = process.poll()  # asked once: it may end between two questions
            if code == -signal.SIGKILL:
                raise GoneError("it was killed while it started")
            if code is not None:
                message = f"the daemon ended with {code}, see {self.log}"
                raise RuntimeError(message)
            try:
                if line.ask("portfolio")["ok"]:
                    ready_s = time.monotonic()
                    self.found.ready_ms.append((ready_s - began_s) * 1000)
                    self.ground.back()
                    return ready_s
            except GoneError:
                pass
            time.sleep(_POLL_S)
        message = f"the daemon was not ready within {READY_WITHIN_S:.0f} s, see {self.log}"
        raise RuntimeError(message)

    def kill(self, process: Life) -> None:
        """SIGKILL, unless it has done so itself."""
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self.found.kills += 1
        elif process.returncode == -signal.SIGKILL and process.pid != self._last_pid:
            self.found.kills += 1
        self._last_pid = process.pid

    def after_death(self, *, closing: bool = False) -> None:
        """Look at the venue's file, and whether the daemon had told more than is in it.

        How many positions are open counts unless they were closed on purpose.
        """
        self.book.died()
        self.ground.died()
        before = self.ledger.fills.keys()
        self.ledger = self.ground.ledger(self.data_dir, self.directory / "scratch")
        gone = before - self.ledger.fills.keys()
        if gone:
            self.book.blame("lost", f"fills {sorted(gone)} are gone from the venue")
        told_no_more_than_the_venue_has(self.book, self.ledger)
        self._read_life()
        self.ground.judge(self.book)
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
                self._judge(line, ready_s).judge()
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

    def labelled_life(self, round_: int, label: str, chance: Random, nursery: Nursery) -> None:
        """Start with a trap, judge, command, and let it spring."""
        point = POINTS[label]
        is_early = point.at_start or chance.random() < _EARLY_CHANCE
        skip = 0 if point.at_start else chance.randrange(point.skips * (2 if is_early else 1))
        mark = Mark(self.directory / "mark", armed=is_early)
        trap = (label, self.ground.venue, str(skip), str(mark.path))
        often = label.startswith(("snapshot", "archive"))
        is_plain = chance.random() < _PLAIN_CHANCE
        self.found.plain_starts += is_plain
        process, began_s = self.start(
            round_,
            trap,
            _SNAPSHOT_OFTEN_S if often else _SNAPSHOT_S,
            None if is_plain else nursery,
        )
        try:
            self._trapped(process, began_s, round_, mark, point.needs, chance)
            self.kill(process)
        finally:
            _end(process)
        self._attribute()
        found = self.found.labels.setdefault(label, Label())
        found.kills += mark.is_sprung
        found.missed += not mark.is_sprung
        self.last_label = label
        self.after_death()

    def _trapped(
        self,
        process: Life,
        began_s: float,
        round_: int,
        mark: Mark,
        needs: str,
        chance: Random,
    ) -> None:
        """Wait for the end of a daemon with a trap."""
        crowd = line = None
        try:
            line, ready_s = self.ready(process, began_s)
            self._judge(line, ready_s).judge()
            for worker in self.workers:
                worker.begin(round_)
            crowd = Crowd(self.workers, self.book, self.place)
            time.sleep(chance.uniform(0.0, 0.2))
            mark.arm()
            due_s = time.monotonic() + SPRUNG_WITHIN_S
            while process.poll() is None and time.monotonic() < due_s:
                if needs:
                    line.ask(needs)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_NEEDED_EVERY_S)
        except GoneError:  # or no answer in time: then it is killed where it is
            with suppress(subprocess.TimeoutExpired):
                process.wait(SPRUNG_WITHIN_S)
        finally:
            self.kill(process)
            if crowd is not None:
                crowd.leave()
            if line is not None:
                line.close()

    def _attribute(self) -> None:
        """Lay what was found broken at the door of the label that came before."""
        broken = sum(len(texts) for texts in self.book.broken.values())
        if self.last_label:
            self.found.labels[self.last_label].broken += broken - self.told
        self.told = broken

    def _judge(self, line: Line, ready_s: float) -> Judge:
        return Judge(self.book, self.ledger, line, ready_s, self.scale)

    def closing_life(self, round_: int) -> None:
        """Order everything closed, and kill it with its answer."""
        process, began_s = self.start(round_)
        try:
            line, ready_s = self.ready(process, began_s)
            self._judge(line, ready_s).judge()
            for name in self.scale.traders:
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
        """Judge all there ever was, whether everything closes, the money to the last digit."""
        process, began_s = self.start(round_)
        try:
            line, ready_s = self.ready(process, began_s)
            judge = self._judge(line, ready_s)
            judge.judge(everything=True)
            judge.nothing_is_left(END_WITHIN_S)
            balance = self._last_balance(judge)
            self._note_health(line)
            shown = line.ask("positions", closed=True, limit=10_000)["positions"]
            for position_id in {*self.book.promises, *(row["id"] for row in shown)}:
                if self.book.of(position_id).settled:
                    continue
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

    def _last_balance(self, judge: Judge) -> Decimal:
        """Return what the account is worth; the last fee of a venue may be on its way."""
        due_s = time.monotonic() + END_WITHIN_S
        while True:
            balance = judge.balance()
            if (
                is_same(balance, self.ledger.cash)
                or time.monotonic() > due_s
                or not self.scale.pace_s
            ):
                return balance
            self.ledger = self.ground.ledger(self.data_dir, self.directory / "scratch")
            time.sleep(_POLL_S * 20)

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

    def _read_life(self) -> None:
        """Find out when the life that ended had heard from the venue."""
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            lines = log.read().splitlines()
            self._read_to = log.tell()
        began: datetime | None = None
        for text in lines:
            if b'"started"' not in text and b'"reconciled"' not in text:
                continue
            line = json.loads(text)
            at = datetime.fromisoformat(line["time"])
            if line["event"] == "started":
                began = at
            elif began is not None:
                self.found.asked_ms.append((at - began).total_seconds() * 1000)
                self.ground.asked(began, at)
                return
        if began is not None:
            self.ground.asked(began, datetime.now(UTC))  # it did not live to hear of it

    def read_log(self) -> None:
        """Take times and troubles from the daemon's own log."""
        self.found.read(self.log)

    def result(self) -> dict[str, Any]:
        """Return everything that was counted."""
        return self.found.told(self.book, self.ledger)


def _end(process: Life) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
