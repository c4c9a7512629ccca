"""Closed positions and stories, read from the journal on its own thread.

A few at a time, so that commits get their turn.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

from daemon.background import Background
from daemon.view_text import View
from daemon.views import order_row_view, story_row
from domain.position import Position
from storage import queries
from storage.chain import Tail
from storage.store import Store

T = TypeVar("T")
_AT_A_TIME = 20
_RECORDS_AT_A_TIME = 2_000  # a call that is too long starves commits, and then the watchdog


class Archive:
    """The past, as the journal has it."""

    def __init__(self, store: Store, background: Background) -> None:
        self._store = store
        self._background = background

    async def ids(self, prefix: str) -> list[str]:
        """Return the ids, of open and closed positions, that begin with `prefix`."""
        return await self._query(lambda connection: queries.find_positions(connection, prefix))

    async def closed(self, limit: int, trader: str | None) -> list[Position]:
        """Return the positions closed last, newest first."""
        rows = await self._query(
            lambda connection: queries.closed_positions(connection, limit, trader)
        )
        return await self.positions([row.position_id for row in rows])

    async def positions(self, ids: Sequence[str]) -> list[Position]:
        """Return positions as their events tell them."""
        found: list[Position] = []
        for start in range(0, len(ids), _AT_A_TIME):
            found += await self._query(partial(self._fold, ids[start : start + _AT_A_TIME]))
        return found

    def _fold(self, ids: Sequence[str], connection: sqlite3.Connection) -> list[Position]:
        return [self._folded(connection, each) for each in ids]

    def _folded(self, connection: sqlite3.Connection, position_id: str) -> Position:
        registry = self._store.registry
        stream = f"position/{position_id}"
        evolve = registry.kind_of(stream).evolve
        position: Position | None = None
        for record in queries.events_of(connection, stream):
            event = registry.codec.decode(record.type, record.schema_version, record.payload)
            position = evolve(position, event)
        assert position is not None  # the read table names it
        return position

    async def orders(self, limit: int) -> list[View]:
        """Return the orders intended last, newest first."""
        rows = await self._query(lambda connection: queries.orders(connection, limit))
        return [order_row_view(row) for row in rows]

    async def story(self, position_id: str) -> list[View]:
        """Return what was journaled of a position and its orders, in order."""
        codec = self._store.registry.codec
        records = await self._query(lambda connection: queries.story_of(connection, position_id))
        return [
            story_row(
                record.seq,
                datetime.fromisoformat(record.time),
                record.stream,
                codec.decode(record.type, record.schema_version, record.payload),
            )
            for record in records
        ]

    async def verified(self) -> int:
        """Check the whole chain; return how many records it has. Raises `DamagedRecordError`."""
        checked, last = 0, Tail()
        while True:
            tails = await self._background.call(partial(self._tails_after, last))
            if not tails:
                return checked
            checked, last = checked + len(tails), tails[-1]

    def _tails_after(self, last: Tail) -> list[Tail]:
        """Check the next records; return the place after each."""
        records = islice(self._store.journal.read(last), _RECORDS_AT_A_TIME)
        return [Tail(each.seq, each.hash) for each in records]

    async def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        database = self._store.database
        return await self._background.call(lambda: query(database.connection))
