"""What becomes of records from the first damaged one on.

What follows a record that cannot be trusted cannot be trusted either: it may be the answer to
something that did not happen. Such records leave the journal for the table `quarantine`, as they
were found, and the journal goes on from the last good one. The venue knows what is missing, and the
daemon asks it at every start.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress

from storage.chain import COLUMNS, anchor_of, history_of, set_mark
from storage.connection import Database
from storage.errors import ArchivedError, DamagedRecordError
from storage.fold import Fold
from storage.read_tables import ReadTables, Step, reborn, write_rows
from storage.rows import READ_ROWS
from storage.streams import StreamRegistry, Streams

_MOVE = (
    f"INSERT INTO quarantine (why, moved_in_epoch, {COLUMNS})"  # noqa: S608 - constants
    f" SELECT ?, ?, {COLUMNS} FROM journal WHERE seq >= ?"
)


def move_aside(
    database: Database,
    registry: StreamRegistry,
    tables: ReadTables,
    damage: DamagedRecordError,
    streams: Streams,
) -> int:
    """Take the damaged record and all after it out of the journal; return how many.

    The read tables follow; `streams` are the states as of the last good record, for streams whose
    first events are archived. Raises `JournalUnavailableError`.
    """
    with database.transaction() as connection:
        why = f"record {damage.seq}: {damage.why}"
        moved = connection.execute(_MOVE, (why, database.epoch, damage.seq)).rowcount
        touched = _touched_streams(connection, damage.seq)
        connection.execute("DELETE FROM journal WHERE seq >= ?", (damage.seq,))
        connection.execute("DELETE FROM intents WHERE seq >= ?", (damage.seq,))
        for row in READ_ROWS:
            connection.execute(f"DELETE FROM {row.table} WHERE seq >= ?", (damage.seq,))  # noqa: S608
        set_mark(connection, damage.seq - 1)
        _write_again(connection, registry, tables, touched, streams)
        return moved


def _touched_streams(connection: sqlite3.Connection, seq: int) -> set[str]:
    """Return the streams whose rows change; the name in a damaged record may be damaged too."""
    found = connection.execute("SELECT DISTINCT stream FROM journal WHERE seq >= ?", (seq,))
    connection.text_factory = _readable
    try:
        streams = {str(name) for (name,) in found.fetchall()}
        for row in READ_ROWS:
            kind, column = row.origin
            keys = f"SELECT DISTINCT {column} FROM {row.table} WHERE seq >= ?"  # noqa: S608
            streams.update(
                f"{kind}/{key}" for (key,) in connection.execute(keys, (seq,)).fetchall()
            )
    finally:
        connection.text_factory = str
    return streams


def _readable(text: bytes) -> str:
    return text.decode(errors="replace")


def _write_again(
    connection: sqlite3.Connection,
    registry: StreamRegistry,
    tables: ReadTables,
    names: Iterable[str],
    streams: Streams,
) -> None:
    """Write the rows that the good part of these streams gives."""
    for stream in sorted(names):
        fold = Fold(connection, registry, {})
        steps: list[tuple[str, Step]] = []
        with suppress(DamagedRecordError, ArchivedError):  # older damage; `verify` tells of it
            for record in history_of(connection, stream):
                step = fold.apply(record)
                if step is not None:
                    steps.append((stream, step))
        if not steps and stream in streams:
            steps = [reborn(stream, streams[stream], anchor_of(connection).seq)]
        write_rows(connection, tables.rows_of(steps))
