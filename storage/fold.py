"""Folding journal records into states, as recovery, rebuilding and single look-ups need it."""

import gc
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from domain.errors import InvariantError
from storage.chain import Record, history_of
from storage.errors import ArchivedError, DamagedRecordError
from storage.read_tables import Step
from storage.streams import StreamRegistry, Streams, Versioned

# A change that the tables exclude, a payload that fits no class, a history with a hole: one
# stream's trouble.
_DOES_NOT_FOLD = (
    AssertionError,
    InvariantError,
    msgspec.MsgspecError,
    ArchivedError,
    DamagedRecordError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class Fold:
    """States that move forward with the journal.

    A stream with an event that does not fold, which is a bug, is `broken`, and the rest goes on. It
    keeps the state before, None before the first, and takes the record's version: whoever owns it
    goes on from there, and what follows folds onto that. Nothing may be built on a broken stream's
    state, so no snapshot is taken with one.
    """

    def __init__(
        self, connection: sqlite3.Connection, registry: StreamRegistry, streams: Streams
    ) -> None:
        self.streams = streams
        self.broken: dict[str, str] = {}  # stream: why
        self._connection = connection
        self._registry = registry

    def apply(self, record: Record) -> Step | None:
        """Move one stream forward; None when that is not possible.

        Raises `NewerSchemaError` for a record of a newer version, `JournalUnavailableError`.
        """
        stream = record.stream
        held: Versioned | None = None
        try:
            held = version, state = self._before(record)
            if record.version != version + 1:
                raise InvariantError(f"version {record.version} follows {version}")
            event, after = self._evolved(record, state)
        except _DOES_NOT_FOLD as error:
            why = f"{stream} at record {record.seq} ({record.type}): {error}"
            self.broken.setdefault(stream, why)
            if held is not None:
                self.streams[stream] = (max(record.version, held[0]), held[1])
            return None
        self.streams[stream] = (record.version, after)
        return Step(record.seq, record.version, event, after)

    def _before(self, record: Record) -> Versioned:
        held = self.streams.get(record.stream)
        if held is not None or record.version == 1:
            return held or (0, None)
        # It had retired and was not kept in memory; one more event came all the same.
        return state_of(self._connection, self._registry, record.stream, before=record.version)

    def _evolved(self, record: Record, state: Any) -> tuple[Any, Any]:
        event = self._registry.codec.decode(record.type, record.schema_version, record.payload)
        return event, self._registry.kind_of(record.stream).evolve(state, event)


def state_of(
    connection: sqlite3.Connection,
    registry: StreamRegistry,
    stream: str,
    *,
    before: int | None = None,
) -> Versioned:
    """Fold one stream from its first event, up to its last or to the one before version `before`.

    Return (0, None) for a stream without events. Raises what `evolve` raises, and
    `DamagedRecordError`.
    """
    kind = registry.kind_of(stream)
    version, state = 0, None
    for record in history_of(connection, stream):
        if before is not None and record.version >= before:
            break
        event = registry.codec.decode(record.type, record.schema_version, record.payload)
        version, state = record.version, kind.evolve(state, event)
    return version, state


@contextmanager
def without_collections() -> Iterator[None]:
    """Keep the cycle collector from walking many new states over and over: they hold no cycles.

    What was made is frozen: else the first collection afterward would walk all of it, when
    positions wait to be armed. Frozen objects are still freed with their last reference.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _WORTH_FREEZING:
            gc.freeze()
        if was_enabled:
            gc.enable()


_WORTH_FREEZING = 10_000  # objects
