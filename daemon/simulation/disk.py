"""The disk under the journal: a commit takes time, and is durable before anybody is told of it.

The journal's real code runs on a real file; what is simulated is when, and what a crash leaves:
calls that were not done never happen, calls that were done are there although nobody heard.
"""

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.disk import RealDisk
from storage.connection import Database
from storage.errors import JournalUnavailableError, Trouble


class SimWorker:
    """Runs calls one after another: half of the time until it is done, half until it is known."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: random.Random) -> None:
        self._loop = loop
        self._chance = chance
        self._calls: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._busy = False
        self.is_dead = False
        self.slow_s = 0.0  # more than usual
        self.calls = 0

    def call(self, function: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run `function` in its turn, then `then` with what it returned or raised."""
        self.calls += 1
        self._calls.append((function, then))
        self._next()

    def give_way(self) -> None:
        """Nobody waits within a call."""

    def kill(self) -> None:
        """Take the machine away."""
        self.is_dead = True

    def close(self) -> None:
        """Do what was asked; nobody is told."""
        while self._calls and not self.is_dead:
            self._outcome(self._calls.popleft()[0])
        self.is_dead = True

    def _next(self) -> None:
        if self._calls and not self._busy and not self.is_dead:
            self._busy = True
            self._loop.call_later(self._half_s(), self._do)

    def _half_s(self) -> float:
        return self._chance.uniform(0.0002, 0.003) + self.slow_s / 2

    def _do(self) -> None:
        if self.is_dead or not self._calls:
            return
        function, then = self._calls.popleft()
        outcome = self._outcome(function)
        self._loop.call_later(self._half_s(), self._tell, then, outcome)

    def _outcome(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  whoever asked decides
            return error

    def _tell(self, then: Callable[[Any], None], outcome: Any) -> None:
        if self.is_dead:
            return
        self._busy = False
        then(outcome)
        self._next()


class ShakyJournal:
    """Lets commits of a real database fail as a full or failing disk does, while it is told to."""

    def __init__(self, database: Database) -> None:
        self.kind = Trouble.IO
        self.lands = False  # a commit that fails is there all the same
        self.is_failing = False
        self._left = 0
        self._transaction, self._reopen = database.transaction, database.reopen
        database.transaction = self._commit  # type: ignore[method-assign]
        database.reopen = self._open_again  # type: ignore[method-assign]

    def fail_once(self) -> None:
        """Fail with the next commit; then nothing is wrong any more."""
        self._left = 1

    @contextmanager
    def _commit(self) -> Iterator[sqlite3.Connection]:
        fails = self.is_failing or self._left > 0
        if fails and not self.lands:
            raise self._trouble()
        with self._transaction() as connection:
            yield connection
        if fails:
            raise self._trouble()

    def _open_again(self) -> None:
        if self.is_failing:
            raise self._trouble()
        self._reopen()

    def _trouble(self) -> JournalUnavailableError:
        self._left = 0
        return JournalUnavailableError(self.kind, "the disk fails, as the day has it")


class SimDisk(RealDisk):
    """Files in a directory in memory; how much is free is what the simulation says."""

    free = 10 * 2**30  # bytes

    def free_bytes(self, path: Path) -> int:
        """Return what is said to be free."""
        del path
        return self.free
