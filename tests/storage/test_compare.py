"""Whether `verify` sees that a table no longer says what the journal says."""

from pathlib import Path

import pytest

from storage.admin import rebuild_directory, verify
from storage.store import Store
from tests.storage.test_damage import ten_records
from tests.storage.words import DISK, REGISTRY, TABLES, Writer, live, open_store


def sound(directory: Path) -> bool:
    return verify(directory, REGISTRY, DISK, tables=TABLES).is_sound


@pytest.mark.parametrize(
    ("damage", "table"),
    [
        ("UPDATE orders SET quantity = '2' WHERE rowid = 1", "orders"),
        ("UPDATE fills SET price = '1'", "fills"),
        ("UPDATE fills SET seq = 5", "fills"),
        ("UPDATE fills SET seq = -95", "fills"),
        ("UPDATE intents SET client_order_id = 'other' WHERE seq = 2", "intents"),
        ("DELETE FROM intents WHERE seq = 2", "intents"),
    ],
)
def test_a_changed_row_is_noticed_and_rebuilding_mends_it(
    directory: Path, damage: str, table: str
) -> None:
    ten_records(directory)
    assert sound(directory)
    with open_store(directory) as store:
        store.database.connection.execute(damage)

    report = verify(directory, REGISTRY, DISK, tables=TABLES)

    (problem,) = report.problems
    assert f"row(s) of {table} are not what the journal says" in problem
    assert "holdfast journal rebuild" in problem
    rebuild_directory(directory, REGISTRY, TABLES, DISK)
    assert sound(directory)


def test_rows_that_retention_took_out_are_no_difference(directory: Path) -> None:
    ten_records(directory)
    with open_store(directory) as store:
        store.database.connection.execute("DELETE FROM fills")

    assert sound(directory)


def test_without_the_tables_they_are_not_looked_at(directory: Path) -> None:
    ten_records(directory)
    with open_store(directory) as store:
        store.database.connection.execute("UPDATE fills SET price = '1'")

    assert verify(directory, REGISTRY, DISK).is_sound


def test_a_table_that_cannot_be_read_is_said(directory: Path) -> None:
    ten_records(directory)
    with open_store(directory) as store:
        store.database.connection.execute("DROP TABLE fills")

    report = verify(directory, REGISTRY, DISK, tables=TABLES)

    (problem,) = report.problems
    assert problem.startswith("the read tables cannot be compared with the journal")


def test_nothing_that_the_store_writes_differs(store: Store, directory: Path) -> None:
    writer = Writer(store.journal)
    writer.count("count/a", 1, 2, 3)
    store.write_snapshot(live(writer.streams))
    writer.count("count/a", 100)
    store.close()

    assert sound(directory)
