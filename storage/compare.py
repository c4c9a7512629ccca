"""Whether the tables that follow from the journal still say what it says.

They are written in the transaction that journals the events, so they can only differ when the file
was damaged or a projection has changed. A start does not look at them, since no position hangs on
them; `journal verify` does. Rows that retention took out are no difference.
"""

import sqlite3
from collections.abc import Iterator

from runtime.ports import Disk
from storage.connection import Database
from storage.errors import ArchiveNeededError, DamagedRecordError, SqliteError
from storage.read_tables import ReadTables
from storage.rebuild import past_rows
from storage.rows import READ_ROWS
from storage.streams import StreamRegistry

_KEPT = {"intents", "positions", "modifications"}  # retention takes nothing out of them
_KEYS = {row.table: row.key for row in READ_ROWS} | {"intents": ("client_order_id",)}
_SCHEMA = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"

Rows = set[tuple[object, ...]]


def row_problems(
    database: Database, registry: StreamRegistry, tables: ReadTables, disk: Disk
) -> list[str]:
    """Return which tables differ from what the journal says, or why that cannot be told."""
    scratch = sqlite3.connect("")  # SQLite keeps it in memory as long as it is small
    try:
        for table in _KEYS:
            scratch.execute(*database.connection.execute(_SCHEMA, (table,)).fetchone())
        with scratch:
            since, intents_from = past_rows(database, registry, tables, disk, scratch)
        return list(_differences(database.connection, scratch, since, intents_from))
    except (ArchiveNeededError, DamagedRecordError, TypeError, *SqliteError) as error:
        return [f"the read tables cannot be compared with the journal: {error}"]
    finally:
        scratch.close()


def _differences(
    found: sqlite3.Connection, scratch: sqlite3.Connection, since: int, intents_from: int
) -> Iterator[str]:
    """Compare table by table; of rows up to record `since` nothing is known."""
    for table, key in _KEYS.items():
        start = intents_from if table == "intents" else since
        # Rows that were written again from a state do not tell the record that they are from.
        columns = _columns(scratch, table, but_for=() if "seq" in key or not since else ("seq",))
        ours = _rows(found, table, columns, start)
        due = _rows(scratch, table, columns, start)
        wrong = len(ours - due)
        missing = len(due - ours) - wrong if table in _KEPT else 0
        if wrong or missing > 0:
            text = f"{wrong} row(s) of {table} are not what the journal says"
            lacks = f", {missing} are missing" if missing > 0 else ""
            yield f"{text}{lacks}: holdfast journal rebuild writes them anew"


def _columns(connection: sqlite3.Connection, table: str, but_for: tuple[str, ...]) -> str:
    names = (row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
    return ", ".join(name for name in names if name not in but_for)


def _rows(connection: sqlite3.Connection, table: str, columns: str, start: int) -> Rows:
    """Return rows, texts as bytes: damaged text need not be UTF-8."""
    connection.text_factory = bytes
    try:
        query = f"SELECT {columns} FROM {table}"  # noqa: S608 - names of ours
        if not start:  # all of them: a damaged number may be below zero
            return set(connection.execute(query))
        return set(connection.execute(f"{query} WHERE seq > ?", (start,)))
    finally:
        connection.text_factory = str
