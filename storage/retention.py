"""Retention: what leaves the read tables, and when.

Only read rows leave. The journal keeps every event until it is archived (`storage.archive`), and
states in memory come from it, so nothing that guards a position depends on a row here.

One step looks at 250 rows at most, or takes 25 positions out, in one transaction: a commit that
waits behind it waits a few milliseconds. Between two steps everybody else gets a turn.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from storage.codec import time_text
from storage.connection import Database

LOOKED_AT = 250  # rows in one step
POSITIONS = 25  # taken out in one step, with their orders and fills
_HOUR = 13  # characters of an ISO time, down to the hour

_CLOSED = (
    "SELECT seq, position_id, paper, closed_at FROM closed_positions"
    " WHERE seq > ? ORDER BY seq LIMIT ?"
)
_NOT_EXECUTED = (
    "SELECT decided_at, decision_id FROM decisions WHERE decided_at < ? AND"
    " (decided_at, decision_id) > (?, ?) ORDER BY decided_at, decision_id LIMIT ?"
)
_ATTEMPTS = (
    "SELECT at, execution_id FROM executions WHERE at < ? AND (at, execution_id) > (?, ?)"
    " ORDER BY at, execution_id LIMIT ?"
)
_UNKNOWN_POSITION = (
    "NOT EXISTS (SELECT 1 FROM positions p WHERE p.position_id = {0}.position_id) AND"
    " NOT EXISTS (SELECT 1 FROM closed_positions c WHERE c.position_id = {0}.position_id)"
)


class Retention(msgspec.Struct, frozen=True):
    """For how many days rows are kept; None: for ever."""

    closed_paper_days: int | None = 90
    closed_live_days: int | None = None
    unexecuted_decisions_days: int | None = 30
    equity_hourly_after_days: int | None = 7


class Pruned(msgspec.Struct):
    """How many rows left."""

    positions: int = 0  # closed ones
    orders: int = 0
    fills: int = 0
    executions: int = 0
    decisions: int = 0
    equity: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(msgspec.structs.astuple(self))


class Pruning:
    """One run over the tables, in steps. What a step did stays done, whatever comes after."""

    def __init__(self, database: Database, retention: Retention, now: datetime) -> None:
        self.pruned = Pruned()
        self._database = database
        self._retention = retention
        self._now = now
        self._steps = self._all()

    def advance(self) -> bool:
        """Do one step; return whether there may be more.

        Raises `JournalUnavailableError`, `FencedError`.
        """
        return next(self._steps, None) is not None

    def finish(self) -> Pruned:
        """Do all that is left. For a database that nobody waits for."""
        while self.advance():
            pass
        return self.pruned

    def _all(self) -> Iterator[bool]:
        yield from self._closed_positions()
        yield from self._executions()
        yield from self._decisions()
        yield from self._equity()

    def _before(self, days: int | None) -> str:
        """Return the time before which rows leave; an empty text is before all times."""
        return "" if days is None else time_text(self._now - timedelta(days=days))

    def _closed_positions(self) -> Iterator[bool]:
        live = self._before(self._retention.closed_live_days)
        paper = self._before(self._retention.closed_paper_days)
        seq = 0
        while rows := self._rows(_CLOSED, (seq, LOOKED_AT)):
            seq = rows[-1][0]
            old = [name for _, name, is_paper, at in rows if at < (paper if is_paper else live)]
            for start in range(0, len(old), POSITIONS):
                self._take_out(old[start : start + POSITIONS])
                yield True
            yield True

    def _take_out(self, names: list[str]) -> None:
        keys = [(name,) for name in names]
        with self._database.transaction() as connection:
            for table in ("orders", "fills", "closed_positions"):
                query = f"DELETE FROM {table} WHERE position_id = ?"  # noqa: S608 - names of ours
                gone = connection.executemany(query, keys).rowcount
                counted = "positions" if table == "closed_positions" else table
                setattr(self.pruned, counted, getattr(self.pruned, counted) + gone)

    def _executions(self) -> Iterator[bool]:
        """Those of positions that have left, or that never were."""
        retention = self._retention
        before = max(
            self._before(retention.closed_paper_days), self._before(retention.closed_live_days)
        )
        after = ("", "")
        while rows := self._rows(_ATTEMPTS, (before, *after, LOOKED_AT)):
            first, last = rows[0], rows[-1]
            unknown = _UNKNOWN_POSITION.format("executions")
            where = f"(at, execution_id) >= (?, ?) AND (at, execution_id) <= (?, ?) AND {unknown}"
            self.pruned.executions += self._delete("executions", where, (*first, *last))
            after = last
            yield True

    def _decisions(self) -> Iterator[bool]:
        """Those that were refused, asked for nothing, or whose position has left."""
        before = self._before(self._retention.unexecuted_decisions_days)
        after = ("", "")
        while rows := self._rows(_NOT_EXECUTED, (before, *after, LOOKED_AT)):
            first, last = rows[0], rows[-1]
            unknown = _UNKNOWN_POSITION.format("decisions")
            where = (
                "(decided_at, decision_id) >= (?, ?) AND (decided_at, decision_id) <= (?, ?) AND"
                f" (status = 'REFUSED' OR position_id = '' OR {unknown})"
            )
            self.pruned.decisions += self._delete("decisions", where, (*first, *last))
            after = last
            yield True

    def _equity(self) -> Iterator[bool]:
        """Of each hour that is old enough, the first point stays."""
        before = self._before(self._retention.equity_hourly_after_days)
        key: tuple[str, int] = ("", 0)
        hour = ("", "")  # of the last point that stays
        query = (
            "SELECT account, seq, at FROM equity WHERE (account, seq) > (?, ?) AND at < ?"
            " ORDER BY account, seq LIMIT ?"
        )
        while rows := self._rows(query, (*key, before, LOOKED_AT)):
            key = rows[-1][:2]
            gone = []
            for account, seq, at in rows:
                if (account, at[:_HOUR]) == hour:
                    gone.append((account, seq))
                hour = (account, at[:_HOUR])
            if gone:
                with self._database.transaction() as connection:
                    query_gone = "DELETE FROM equity WHERE account = ? AND seq = ?"
                    self.pruned.equity += connection.executemany(query_gone, gone).rowcount
            yield True

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return self._database.connection.execute(query, values).fetchall()

    def _delete(self, table: str, where: str, values: tuple[object, ...]) -> int:
        with self._database.transaction() as connection:
            query = f"DELETE FROM {table} WHERE {where}"  # noqa: S608 - names of ours
            return connection.execute(query, values).rowcount
