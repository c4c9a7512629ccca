"""Closed positions and stories, read from the journal on its own thread.

A few at a time, so that commits get their turn.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from daemon.background import Background
from daemon.view_text import View
from daemon.views import order_row_view, story_row
from domain.position import Position
from storage import queries
from storage.chain import Record
from storage.store import Store

T = TypeVar("T")
_AT_A_TIME = 20
_LAST = 200  # rows of a trader's or an account's story
_VERSIONS_AT_A_TIME = 5_000


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
        records = await self._query(lambda connection: queries.story_of(connection, position_id))
        return [self._story_row(record) for record in records]

    async def changes(self, stream: str, kinds: Sequence[type]) -> list[View]:
        """Return the last events of these kinds in one stream, oldest first."""
        names = [kind.__name__ for kind in kinds]
        found: list[Record] = []
        end = await self._query(lambda connection: queries.length_of(connection, stream))
        while end > 0 and len(found) < _LAST:
            first = max(0, end - _VERSIONS_AT_A_TIME)
            part = partial(queries.events_between, stream=stream, first=first, end=end, types=names)
            found = await self._query(part) + found
            end = first
        return [self._story_row(record) for record in found[-_LAST:]]

    def _story_row(self, record: Record) -> View:
        codec = self._store.registry.codec
        return story_row(
            record.seq,
            datetime.fromisoformat(record.time),
            record.stream,
            codec.decode(record.type, record.schema_version, record.payload),
        )

    async def verified(self) -> int:
        """Check the whole chain; return how many records it has. Raises `DamagedRecordError`."""
        return await self._background.call(lambda: sum(1 for _ in self._store.journal.read()))

    async def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        database = self._store.database
        return await self._background.call(lambda: query(database.connection))
