"""The paper venue's file: all or nothing, one owner, nothing newer."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.ids import ClientOrderId
from domain.instrument import Direction
from exchanges.paper import LedgerError, LedgerLockedError, LedgerVersionError
from exchanges.paper.ledger import PaperLedger
from exchanges.paper.records import Cash, Changes

D = Decimal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "paper.db"


@pytest.fixture
def ledgers(path):
    """Opens ledgers on one file and closes them at the end."""
    opened = []

    def build(**changes):
        arguments = {"cash": Cash(amount=D(10_000)), "asset": "USDT", "recent_ids": 100, **changes}
        ledger = PaperLedger(path, **arguments)
        opened.append(ledger)
        return ledger

    yield build
    for ledger in opened:
        ledger.close()


def traded(make_desk):
    """Everything that changed in a short trading day."""
    desk = make_desk(taker_fee=D("0.0005"))
    desk.send("buy", "1", id="bought")
    desk.send("sell", "1", stop="95", reduce_only=True, id="stop")
    desk.send("buy", "0.5", limit="99", id="canceled")
    desk.cancel("canceled")
    desk.send("buy", "0.5", limit="98", leverage=3, id="resting")
    changes = Changes()
    for each in desk.changes:
        changes.absorb(each)
    return desk, changes


def test_a_new_ledger_holds_the_starting_balance_and_nothing_else(ledgers):
    records = ledgers().open()

    assert records.cash == Cash(amount=D(10_000))
    assert records.holdings == records.open_orders == records.recent_ids == ()


def test_its_log_has_its_room_before_the_disk_is_full(ledgers, path, make_desk):
    ledger = ledgers()
    ledger.open()
    log = path.with_name("paper.db-wal")
    taken = log.stat().st_blocks

    ledger.write(traded(make_desk)[1])

    assert taken * 512 >= 8 * 1024 * 1024
    assert log.stat().st_blocks == taken


def test_what_was_written_is_there_after_reopening(ledgers, make_desk):
    desk, changes = traded(make_desk)
    ledger = ledgers()
    ledger.open()

    ledger.write(changes)
    ledger.close()
    records = ledgers().open()

    live = desk.records()
    assert (records.cash, records.holdings) == (live.cash, live.holdings)
    assert records.open_orders == live.open_orders
    assert records.recent_ids == ("bought", "stop", "canceled", "resting")


def test_the_two_sides_of_a_symbol_are_two_rows_and_each_is_changed_by_itself(ledgers, make_desk):
    desk = make_desk()
    desk.send("buy", "2", leverage=2)
    desk.send("sell", "3", leverage=3)
    ledger = ledgers()
    ledger.open()
    for changes in desk.changes:
        ledger.write(changes)
    long, short = ledger.reopen().holdings

    desk.send("buy", "1", reduce_only=True)
    ledger.write(desk.changes[-1])
    later = ledger.reopen().holdings

    assert (long.direction, long.quantity) == (Direction.LONG, 2)
    assert (short.direction, short.quantity) == (Direction.SHORT, 3)
    assert later == (long, desk.account.holdings[short.key])
    assert later[1].quantity == 2


def test_orders_and_fills_are_found_after_reopening(ledgers, make_desk):
    desk, changes = traded(make_desk)
    ledger = ledgers()
    ledger.open()
    ledger.write(changes)
    ledger.reopen()

    assert list(ledger.fills(None)) == desk.fills
    assert ledger.order(ClientOrderId("bought")) == changes.orders["bought"]
    assert ledger.order(ClientOrderId("canceled")) == changes.orders["canceled"]
    assert ledger.order(ClientOrderId("never")) is None


def test_fills_since_a_moment_include_that_moment(ledgers, make_desk):
    desk, changes = traded(make_desk)
    ledger = ledgers()
    ledger.open()
    ledger.write(changes)
    (fill,) = desk.fills

    assert ledger.fills(fill.at) == (fill,)
    assert ledger.fills(fill.at + timedelta(microseconds=1)) == ()
    assert ledger.fills(datetime(2000, 1, 1, tzinfo=UTC)) == (fill,)


def test_only_the_latest_ids_are_loaded(ledgers, make_desk):
    _, changes = traded(make_desk)
    ledger = ledgers(recent_ids=2)
    ledger.open()
    ledger.write(changes)

    assert ledger.reopen().recent_ids == ("canceled", "resting")


def test_an_old_id_under_a_new_number_rolls_everything_back(ledgers, make_desk):
    _, changes = traded(make_desk)
    ledger = ledgers()
    ledger.open()
    ledger.write(changes)
    before = ledger.reopen()
    desk, again = traded(make_desk)
    desk.matching.load(before)
    desk.matching._known.clear()
    desk.matching.open.clear()
    desk.send("buy", "1", id="fresh")
    desk.send("buy", "1", id="bought")

    again = desk.changes[-2]
    again.absorb(desk.changes[-1])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.write(again)

    assert ledger.reopen() == before
    assert ledger.order(ClientOrderId("fresh")) is None


def test_the_starting_balance_counts_only_for_a_new_ledger(ledgers):
    first = ledgers(cash=Cash(amount=D(5)))
    first.open()
    first.close()

    assert ledgers(cash=Cash(amount=D(500))).open().cash.amount == 5


def test_a_second_owner_is_kept_out_until_the_first_has_closed(ledgers):
    first, second = ledgers(), ledgers()
    first.open()

    with pytest.raises(LedgerLockedError, match="another process"):
        second.open()
    first.close()

    assert second.open().cash.amount == 10_000


def test_a_newer_schema_is_refused(ledgers, path):
    first = ledgers()
    first.open()
    first.close()
    with_version(path, 3)

    with pytest.raises(LedgerVersionError, match="schema 3"):
        ledgers().open()


def with_version(path, version):
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_another_programs_database_is_refused_and_left_as_it_is(ledgers, path):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = path.read_bytes()

    with pytest.raises(LedgerError, match="no paper ledger"):
        ledgers().open()

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 500, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_damaged_file_is_refused_with_its_name(ledgers, path, content):
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(LedgerError, match=r"paper\.db"):
        ledgers().open()


def test_a_damaged_amount_is_refused(ledgers, path):
    first = ledgers()
    first.open()
    first.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE account SET cash = 'much'")
    connection.commit()
    connection.close()

    with pytest.raises(LedgerError, match="cannot be used"):
        ledgers().open()


def test_a_ledger_in_another_asset_is_refused(ledgers):
    first = ledgers()
    first.open()
    first.close()

    with pytest.raises(LedgerError, match="USDT, not EUR"):
        ledgers(asset="EUR").open()


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    ledger = PaperLedger(tmp_path / "file" / "paper.db", Cash(amount=D(1)), "USDT", 1)

    with pytest.raises(LedgerError, match="cannot be used"):
        ledger.open()


def test_an_emptied_file_is_no_new_account_once_it_was_open(ledgers, path):
    ledger = ledgers()
    ledger.open()
    path.rename(path.with_suffix(".away"))
    path.touch()

    with pytest.raises(LedgerError, match="emptied"):
        ledger.reopen()


def test_a_refused_ledger_is_not_kept_locked(ledgers):
    first = ledgers()
    first.open()
    first.close()
    with pytest.raises(LedgerError):
        ledgers(asset="EUR").open()

    assert ledgers().open().cash.amount == 10_000


def test_commits_are_synchronous_in_a_write_ahead_log(ledgers):
    ledger = ledgers()
    ledger.open()

    assert ledger._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_closed_ledger_says_so(ledgers, make_desk):
    ledger = ledgers()
    ledger.open()
    ledger.close()

    with pytest.raises(sqlite3.ProgrammingError, match="not open"):
        ledger.write(traded(make_desk)[1])


def in_schema_1(path):
    """Take the seals out, as a program of schema 1 would have left the file."""
    with closing(sqlite3.connect(path)) as connection:
        for table in ("account", "positions", "orders", "fills"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN seal")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()


def test_a_ledger_of_schema_1_gets_seals_and_keeps_its_rows(ledgers, path, make_desk):
    ledger = ledgers()
    ledger.open()
    ledger.write(traded(make_desk)[1])
    ledger.close()
    before = ledgers()
    records, fills = before.open(), before.fills(None)
    before.close()
    in_schema_1(path)

    after = ledgers()

    assert after.open() == records
    assert after.fills(None) == fills


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE account SET fees = '0'",
        "UPDATE positions SET quantity = '2'",
        "UPDATE orders SET frozen = '1' WHERE client_order_id = 'resting'",
        "UPDATE orders SET reason = x'' WHERE client_order_id = 'resting'",
        "DELETE FROM orders WHERE client_order_id = 'canceled'",
        "DELETE FROM fills",
    ],
)
def test_a_row_that_was_changed_or_is_missing_is_refused(ledgers, path, make_desk, damage):
    ledger = ledgers()
    ledger.open()
    ledger.write(traded(make_desk)[1])
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(damage)
        connection.commit()

    with pytest.raises(LedgerError, match=r"damaged|counts"):
        ledgers().open()


def test_a_fill_that_was_changed_is_refused_when_it_is_asked_for(ledgers, path, make_desk):
    ledger = ledgers()
    ledger.open()
    ledger.write(traded(make_desk)[1])
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE fills SET price = '1'")
        connection.commit()
    opened = ledgers()
    opened.open()

    with pytest.raises(LedgerError, match="a row of fills is damaged"):
        opened.fills(None)


def test_commits_that_sqlite_drops_from_a_damaged_log_are_told(ledgers, path, make_desk):
    ledger = ledgers()
    ledger.open()
    ledger.write(traded(make_desk)[1])
    data, log = path.read_bytes(), bytearray(path.with_name("paper.db-wal").read_bytes())
    ledger.close()
    path.write_bytes(data)
    log[len(log.rstrip(b"\0")) - 100] ^= 1
    path.with_name("paper.db-wal").write_bytes(log)

    damaged = ledgers()
    damaged.open()

    (problem,) = damaged.problems
    assert problem.startswith("SQLite dropped 1 transaction(s) of the log of the paper ledger")


def open_files():
    return sorted(str(each.readlink()) for each in Path("/proc/self/fd").glob("*") if each.exists())


def test_directories_above_it_are_made(tmp_path):
    ledger = PaperLedger(tmp_path / "a" / "b" / "paper.db", Cash(amount=D(1)), "USDT", 10)
    assert ledger.open().cash.amount == 1
    ledger.close()


def test_a_lock_that_cannot_be_taken_is_named(ledgers, path):
    path.with_name("paper.db.lock").mkdir(parents=True)

    with pytest.raises(LedgerError, match="cannot be used"):
        ledgers().open()


def test_only_its_owner_may_read_the_lock(ledgers, path):
    ledgers().open()

    assert path.with_name("paper.db.lock").stat().st_mode & 0o777 == 0o600


def test_whatever_is_refused_leaves_no_file_open(ledgers, path):
    before = open_files()
    ledgers().open()
    while_open = open_files()
    with pytest.raises(LedgerLockedError):
        ledgers().open()
    assert open_files() == while_open
    path.with_name("other").mkdir()
    path.with_name("other").joinpath("paper.db").write_bytes(b"no database " * 100)
    wrong = PaperLedger(path.with_name("other") / "paper.db", Cash(amount=D(1)), "USDT", 10)
    with pytest.raises(LedgerError) as told:
        wrong.open()
    assert told.value.__cause__ is not None
    told.value.__traceback__ = told.value.__cause__.__traceback__ = None
    assert open_files() == while_open
    assert len(before) < len(while_open)


def test_a_ledger_that_closed_in_peace_has_no_problems(ledgers, make_desk):
    ledger = ledgers()
    ledger.open()
    ledger.write(traded(make_desk)[1])
    assert ledger.problems == ()
    ledger.close()

    again = ledgers()
    again.open()

    assert again.problems == ()


def test_a_kill_before_the_first_order_is_no_damage(ledgers, path):
    """The log has its room then and nothing in it."""
    made = ledgers()
    made.open()
    made.close()
    killed = ledgers()
    killed.open()
    data, log = path.read_bytes(), path.with_name("paper.db-wal").read_bytes()
    killed.close()
    path.write_bytes(data)
    path.with_name("paper.db-wal").write_bytes(log)

    again = ledgers()
    again.open()

    assert log
    assert not log.strip(b"\0")
    assert again.problems == ()


def test_before_it_connects_anew_what_was_written_is_made_durable(ledgers, path, monkeypatch):
    made = []
    monkeypatch.setattr("exchanges.paper.ledger.make_durable", made.append)
    ledger = ledgers()
    ledger.open()
    old = ledger.connection()

    ledger.reopen()

    assert made == [path]
    assert ledger.connection() is not old
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        old.execute("SELECT 1")


def test_a_disk_that_makes_nothing_durable_is_said(ledgers, monkeypatch):
    ledger = ledgers()
    ledger.open()

    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("exchanges.paper.ledger.make_durable", fail)
    with pytest.raises(LedgerError, match="Input/output"):
        ledger.reopen()


def test_a_disk_without_a_write_ahead_log_is_refused(ledgers, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(
        "exchanges.paper.ledger.sqlite3.connect",
        lambda *_, **__: connect(":memory:", isolation_level=None),
    )
    with pytest.raises(LedgerError, match="its disk offers memory"):
        ledgers().open()


def test_rows_that_its_tables_do_not_allow_are_damage(ledgers, path):
    ledger = ledgers()
    ledger.open()
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', ' NOT NULL CHECK (0)') "
            "WHERE name = 'account'"
        )
        connection.commit()

    with pytest.raises(LedgerError, match="is damaged: CHECK constraint failed in account"):
        ledgers().open()


def test_after_a_commit_that_failed_nothing_is_left_begun(ledgers, make_desk):
    ledger = ledgers()
    ledger.open()
    changes = traded(make_desk)[1]
    ledger.write(changes)

    with pytest.raises(sqlite3.IntegrityError):
        ledger.write(Changes(executions=changes.executions))

    assert not ledger.connection().in_transaction
