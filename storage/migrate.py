"""Bringing a database to the schema of this version.

The usual case, nothing to do, is decided with one SELECT: importing SQLAlchemy and Alembic costs
0.6 s, which a restart with open positions does not have. Otherwise all migrations run in one
transaction on the one connection.
"""

import sqlite3
from pathlib import Path
from typing import Any

from storage.errors import NewerSchemaError

HEAD = "0003"  # a test compares it with Alembic's head
MIGRATIONS = Path(__file__).parent / "migrations"


def revision_of(connection: sqlite3.Connection) -> str | None:
    """Return the Alembic revision of a database; None for an empty one."""
    known = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).fetchone()
    if known is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database behind `connection` to `HEAD`; all of it or, after a crash, nothing.

    Raises `NewerSchemaError` when a newer Holdfast has migrated it already.
    """
    found = revision_of(connection)
    if found == HEAD:
        return
    _refuse_newer(found)
    connection.execute("BEGIN IMMEDIATE")
    try:
        _upgrade(connection)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def alembic_config(connection: Any = None) -> Any:
    """Return Alembic's configuration, without a file; `connection` is SQLAlchemy's."""
    from alembic.config import Config  # noqa: PLC0415 - costs 0.6 s, needed once a version

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _refuse_newer(found: str | None) -> None:
    if found is None:
        return
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    known = {
        script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    }
    if found not in known:
        raise NewerSchemaError("the database", f"schema {found}", f"schema {HEAD}")


class _Borrowed:
    """A connection that SQLAlchemy may use but not commit or close: the transaction is ours."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Leave it to `migrate`."""

    def rollback(self) -> None:
        """Leave it to `migrate`."""

    def close(self) -> None:
        """Leave it open."""


def _upgrade(connection: sqlite3.Connection) -> None:
    from alembic import command  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    engine = create_engine("sqlite://", creator=lambda: _Borrowed(connection), poolclass=StaticPool)
    try:
        with engine.connect() as borrowed:
            command.upgrade(alembic_config(borrowed), "head")
    except DBAPIError as error:  # what the disk did, as everywhere else
        raise (error.orig or error) from error
    finally:
        engine.dispose()
