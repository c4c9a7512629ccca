"""From events to rows of the read tables, in the transaction that journals the events.

A projection sees what one commit did to one stream. How events are grouped into commits must not
show: a row that tells a state is taken from the last one, a row that tells an event from that event
and the state right after it. So tables rebuilt from the journal equal those written live.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import astuple

from storage.rows import Row, statement
from storage.streams import Versioned


class Step(msgspec.Struct, frozen=True, gc=False):
    """One event in the journal and the state right after it."""

    seq: int
    version: int  # of the stream; 1 is its birth
    event: Any
    state: Any


class Change(msgspec.Struct, frozen=True):
    """What one commit did to one stream, "kind/key"."""

    key: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Projection:
    """The rows that streams of one kind give."""

    kind: str
    rows: Callable[[Change], Iterable[Row]]


Rows = dict[type[Row], list[tuple[Any, ...]]]  # the values to write


class ReadTables:
    """All projections of a daemon: what a commit means for the read tables."""

    def __init__(self, projections: Iterable[Projection]) -> None:
        self._by_kind: dict[str, list[Projection]] = {}
        for projection in projections:
            self._by_kind.setdefault(projection.kind, []).append(projection)

    def rows_of(self, steps: Iterable[tuple[str, Step]]) -> Rows:
        """Return the rows that follow from steps of streams.

        Raises `ValueError` for a step that came without the state it needs.
        """
        changes: dict[str, Change] = {}
        for stream, step in steps:
            change = changes.get(stream)
            if change is None:
                changes[stream] = Change(stream[stream.find("/") + 1 :], [step])
            else:
                change.steps.append(step)
        rows: Rows = {}
        for stream, change in changes.items():
            for projection in self._by_kind.get(stream[: stream.find("/")], ()):
                if change.steps[-1].state is None:
                    message = f"{stream}: the read tables need the state after the event"
                    raise ValueError(message)
                for row in projection.rows(change):
                    rows.setdefault(type(row), []).append(astuple(row))
        return rows


def reborn(stream: str, held: Versioned, seq: int) -> tuple[str, Step]:
    """Return a step that gives the rows of a state whose first events are archived.

    Rows that tell an event are still there: they do not change.
    """
    return stream, Step(seq, 1, None, held[1])


def write_rows(connection: sqlite3.Connection, rows: Rows) -> None:
    """Write within the transaction under way."""
    for row_type, values in rows.items():
        connection.executemany(statement(row_type), values)
