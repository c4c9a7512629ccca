"""The schema in code, the migrations and the rows agree; migrating is all or nothing."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from storage import migrate
from storage.connection import NAME, Database
from storage.rows import READ_ROWS, Row
from storage.schema import metadata
from tests.storage.words import open_store

ROOT = Path(__file__).parents[2]


def test_head_in_code_is_the_head_of_the_migrations() -> None:
    script = ScriptDirectory.from_config(migrate.alembic_config())

    assert script.get_heads() == [migrate.HEAD]


def test_migrating_an_empty_database_gives_the_schema() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate.migrate(connection)
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as bound:
        context = MigrationContext.configure(bound, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_tables_that_migrations_create_are_those_of_the_schema() -> None:
    """Also what Alembic does not compare: primary keys, types as SQLite stores them."""
    migrated = sqlite3.connect(":memory:", isolation_level=None)
    migrate.migrate(migrated)
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.connect() as bound:
        for name in metadata.tables:
            query = f"PRAGMA table_info({name})"
            created = [tuple(row) for row in bound.exec_driver_sql(query)]
            assert migrated.execute(query).fetchall() == created, name
    engine.dispose()
    migrated.close()


@pytest.mark.parametrize("row", READ_ROWS, ids=lambda row: row.__name__)
def test_a_row_has_the_columns_of_its_table(row: type[Row]) -> None:
    table = metadata.tables[row.table]

    assert row.__struct_fields__ == tuple(table.columns.keys())
    assert row.key == tuple(column.name for column in table.primary_key)


def test_a_current_database_is_opened_without_importing_sqlalchemy(directory: Path) -> None:
    open_store(directory).close()
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.storage.words import open_store\n"
        f"open_store(Path({str(directory)!r})).close()\n"
        "print([name for name in ('sqlalchemy', 'alembic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_a_migration_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(connection: sqlite3.Connection) -> None:
        original(connection)
        raise KeyboardInterrupt

    original = migrate._upgrade
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_upgrade", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Database(tmp_path / NAME)

    left = sqlite3.connect(tmp_path / NAME)
    assert left.execute("SELECT name FROM sqlite_master").fetchall() == []
    left.close()
    Database(tmp_path / NAME).close()


def test_old_rows_of_executions_are_carried_over(tmp_path: Path) -> None:
    """A database of before: the last outcome of each order stays, the rest is rebuilt on demand."""
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    migrate.migrate(connection)
    connection.execute("DROP TABLE executions")
    connection.execute(
        "CREATE TABLE executions (seq INTEGER PRIMARY KEY, client_order_id TEXT NOT NULL,"
        " position_id TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, type TEXT NOT NULL,"
        " quantity TEXT NOT NULL, price TEXT NOT NULL, leverage TEXT NOT NULL,"
        " status TEXT NOT NULL, venue_order_id TEXT NOT NULL, error TEXT NOT NULL,"
        " at TEXT NOT NULL)"
    )
    for seq, status, venue_id, error in ((3, "FAILED", "", "lost"), (9, "PLACED", "v1", "")):
        values = (seq, "c1", "p1", "BTC/USDT", "buy", "market", "1", "", "1", status, venue_id)
        connection.execute(
            f"INSERT INTO executions VALUES ({', '.join('?' * 13)})",
            (*values, error, "2026-01-02T03:04:05.000000Z"),
        )
    connection.execute("UPDATE alembic_version SET version_num = '0002'")

    migrate.migrate(connection)

    rows = connection.execute(
        "SELECT execution_id, seq, position_id, status, venue_order_id, times FROM executions"
    ).fetchall()
    assert rows == [("c1", 9, "p1", "PLACED", "v1", 1)]
    connection.close()
