"""Closed positions and stories, read from the journal on its own thread.

A few at a time, so that commits get their turn. What has left the journal is read from its archive
files.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from daemon.background import Background
from daemon.position_views import NOTHING_SEEN, closed_row_view, position_row
from daemon.view_text import View
from daemon.views import order_row_view, story_row
from domain.ids import AccountName, PositionId
from domain.position import Position
from storage import queries
from storage.archive import Archived, archives_of, past_of
from storage.chain import Record, rest_of
from storage.errors import ArchivedError
from storage.rows import ExecutionRow
from storage.store import Store

T = TypeVar("T")
_AT_A_TIME = 20
_LAST = 200  # rows of a trader's or an account's story
_VERSIONS_AT_A_TIME = 5_000


class Archive:
    """The past, as the journal has it."""

    def __init__(self, store: Store, background: Background) -> None:
        self._store = store
        self.background = background

    async def ids(self, prefix: str) -> list[str]:
        """Return the ids, of open and closed positions, that begin with `prefix`."""
        return await self._query(lambda connection: queries.find_positions(connection, prefix))

    async def was_ever_used(self, account: AccountName, position_id: PositionId) -> bool:
        """Whether a position of this id ever existed, even if its rows have left."""
        return await self._query(
            lambda connection: queries.was_ever_used(connection, account, position_id)
        )

    async def closed(self, limit: int, trader: str | None, now: datetime) -> list[View]:
        """Return the positions closed last, newest first, each on one line.

        Of those whose events are archived, as much as their row tells.
        """
        rows = await self._query(
            lambda connection: queries.closed_positions(connection, limit, trader)
        )
        views: list[View] = []
        for start in range(0, len(rows), _AT_A_TIME):
            some = rows[start : start + _AT_A_TIME]
            found = await self._query(partial(self._fold, [each.position_id for each in some]))
            views += [
                closed_row_view(row)
                if position is None
                else position_row(position, NOTHING_SEEN, now)
                for row, position in zip(some, found, strict=True)
            ]
        return views

    async def position(self, position_id: str) -> Position:
        """Return a position as its events tell it. Raises `ArchiveError` if they are not there."""
        (position,) = await self._query(partial(self._fold, [position_id]))
        if position is None:
            position = self._evolved(await self._records([f"position/{position_id}"]))
        assert position is not None  # the read table names it
        return position

    def _fold(self, ids: Sequence[str], connection: sqlite3.Connection) -> list[Position | None]:
        """Return positions from the journal; None for one whose events are archived."""
        return [self._folded(connection, each) for each in ids]

    def _folded(self, connection: sqlite3.Connection, position_id: str) -> Position | None:
        try:
            return self._evolved(queries.events_of(connection, f"position/{position_id}"))
        except ArchivedError:
            return None

    def _evolved(self, records: Iterable[Record]) -> Position | None:
        registry = self._store.registry
        evolve = registry.kind_of("position/").evolve
        position: Position | None = None
        for record in records:
            event = registry.codec.decode(record.type, record.schema_version, record.payload)
            position = evolve(position, event)
        return position

    async def _records(self, streams: Sequence[str]) -> list[Record]:
        """Return all events of some streams in order, out of archive files where need be.

        Those are read on a thread of their own. Raises `ArchiveError`.
        """
        records, archives = await self._query(lambda connection: _rest(connection, streams))
        if archives:
            wanted = frozenset(streams)
            past = await asyncio.to_thread(past_of, self._store.directory, archives, wanted)
            records = list({each.seq: each for each in (*past, *records)}.values())
        return sorted(records, key=lambda each: each.seq)

    async def orders(self, limit: int) -> list[View]:
        """Return the orders intended last, newest first."""
        rows = await self._query(lambda connection: queries.orders(connection, limit))
        return [order_row_view(row) for row in rows]

    async def executions(
        self, limit: int, *, failed: bool = False, with_order: bool = False, **equal: str | None
    ) -> list[ExecutionRow]:
        """Return attempts to place orders, newest first; see `queries.executions`."""
        return await self._query(
            lambda connection: queries.executions(
                connection, limit, failed=failed, with_order=with_order, **equal
            )
        )

    async def story(self, position_id: str) -> list[View]:
        """Return what was journaled of a position and its orders, in order.

        Raises `ArchiveError`.
        """
        streams = await self._query(lambda connection: queries.streams_of(connection, position_id))
        return [self._story_row(record) for record in await self._records(streams)]

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

    async def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        database = self._store.database
        return await self.background.call(lambda: query(database.connection))


def _rest(
    connection: sqlite3.Connection, streams: Sequence[str]
) -> tuple[list[Record], list[Archived]]:
    """Return what the journal has of these streams, and the archives if that is not all."""
    archives = archives_of(connection)
    found: list[Record] = []
    is_whole = True
    for stream in streams:
        records = list(rest_of(connection, stream))
        is_whole = is_whole and bool(records) and records[0].version == 1
        found += records
    return found, [] if is_whole else archives
