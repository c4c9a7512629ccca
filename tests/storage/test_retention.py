"""What is over leaves the read tables after its time, and nothing else does."""

from datetime import datetime, timedelta

import pytest

from domain.commands import ModificationType, ModifyProtection
from domain.ids import DecisionId
from domain.portfolio_events import EquityMarked, PortfolioOpened
from domain.trader_state import DecisionMade, DecisionRefused
from storage import queries
from storage.rebuild import rebuild
from storage.retention import LOOKED_AT, POSITIONS, Pruned, Pruning, Retention
from storage.store import Store
from tests.builders import ACCOUNT, BTC, NOW, D, Life, opened, plan, position_id
from tests.storage.words import (
    DISK,
    REGISTRY,
    TABLES,
    Writer,
    life_of,
    order_stream,
    read_tables,
)

STREAM = f"position/{position_id()}"
DAY = timedelta(days=1)


def closed_position(writer: Writer) -> Life:
    """A paper position, moved once, stopped out at NOW; its entry's order with a fill."""
    life = opened("1", "100", plan("90"))
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(95))).arm()
    life.cross("stop", "95").fill_exit("95")
    writer.append(STREAM, *life.events)
    writer.append(order_stream(1), *life_of(1))
    return life


def pruned(store: Store, after: timedelta, retention: Retention | None = None) -> Pruned:
    return Pruning(store.database, retention or Retention(), NOW + after).finish()


def test_a_closed_paper_position_leaves_after_ninety_days_with_its_orders_and_fills(
    store: Store, writer: Writer
) -> None:
    closed_position(writer)
    whole = read_tables(store.database)

    assert pruned(store, 89 * DAY).total == 0
    assert read_tables(store.database) == whole
    assert pruned(store, 91 * DAY) == Pruned(positions=1, orders=1, fills=1, executions=1)

    left = {name: rows for name, rows in read_tables(store.database).items() if rows}
    assert left == {"modifications": whole["modifications"]}
    assert whole["modifications"]


def test_a_closed_position_with_real_money_stays(store: Store, writer: Writer) -> None:
    closed_position(writer)
    store.database.connection.execute("UPDATE closed_positions SET paper = 0")
    before = read_tables(store.database)

    assert pruned(store, 9999 * DAY).total == 0
    assert read_tables(store.database) == before


def test_what_is_open_stays(store: Store, writer: Writer) -> None:
    writer.append(STREAM, *opened("1", "100").events)
    writer.append(order_stream(1), *life_of(1))
    before = read_tables(store.database)

    assert pruned(store, 9999 * DAY).total == 0
    assert read_tables(store.database) == before


def test_null_keeps_everything(store: Store, writer: Writer) -> None:
    closed_position(writer)
    writer.append("trader/trend", decided(1))

    assert pruned(store, 9999 * DAY, Retention(None, None, None, None)).total == 0


def test_the_journal_is_left_alone(store: Store, writer: Writer) -> None:
    closed_position(writer)
    records = list(store.journal.read())

    pruned(store, 91 * DAY)

    assert list(store.journal.read()) == records


def test_rebuilding_brings_rows_back_and_pruning_takes_them_out_again(
    store: Store, writer: Writer
) -> None:
    closed_position(writer)
    pruned(store, 91 * DAY)
    before = read_tables(store.database)

    rebuild(store.database, REGISTRY, TABLES, DISK)
    assert read_tables(store.database) != before
    pruned(store, 91 * DAY)

    assert read_tables(store.database) == before


def decided(number: int, *, position: int | None = None, at: datetime = NOW) -> DecisionMade:
    return DecisionMade(
        decision_id=DecisionId(f"d{number}"),
        position_id=None if position is None else position_id(position),
        symbol=BTC,
        action="HOLD" if position is None else "LONG",
        confidence=D(1),
        rationale="",
        price=D(100),
        plan=None,
        at=at,
    )


def test_decisions_that_nothing_came_of_leave_after_thirty_days(
    store: Store, writer: Writer
) -> None:
    closed_position(writer)
    writer.append("trader/trend", decided(1, position=1), decided(2), decided(3, position=3))
    refusal = DecisionRefused(position_id(3), rule="MAX_POSITIONS", message="", at=NOW)
    writer.append("trader/trend", refusal, decided(4, at=NOW + 20 * DAY))

    assert pruned(store, 31 * DAY) == Pruned(decisions=2)

    kept = [row.decision_id for row in queries.decisions(store.database.connection)]
    assert kept == ["d4", "d1"]  # too young, and executed


def test_a_decision_leaves_with_its_position(store: Store, writer: Writer) -> None:
    closed_position(writer)
    writer.append("trader/trend", decided(1, position=1))

    assert pruned(store, 91 * DAY).decisions == 1


def test_old_points_of_the_equity_curve_are_thinned_to_one_an_hour(
    store: Store, writer: Writer
) -> None:
    stream = f"portfolio/{ACCOUNT}"
    writer.append(stream, PortfolioOpened(account=ACCOUNT, quote="USDT", balance=D(1), at=NOW))
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    minutes = 60 * 24
    writer.append(
        stream,
        *(
            EquityMarked(equity=D(1), balance=D(1), at=hour + timedelta(minutes=minute))
            for minute in range(minutes)
        ),
    )

    assert pruned(store, 6 * DAY).equity == 0
    assert pruned(store, 9 * DAY).equity == minutes - 24
    assert pruned(store, 9 * DAY).equity == 0

    points = queries.equity(store.database.connection, 1000)
    assert [point.at for point in reversed(points)] == sorted(point.at for point in points)
    assert {point.at[14:16] for point in points} == {"00"}
    assert len(points) == 24


def test_no_step_takes_more_than_its_share(store: Store, writer: Writer) -> None:
    count = 2 * POSITIONS + LOOKED_AT
    insert = (
        "INSERT INTO closed_positions SELECT ?, ?, account, trader,"
        " user, symbol, market_type, direction, status, paper, leverage,"
        " entry_price, entry_quantity, exit_price, remaining, realized_pnl, fees, exit_reason,"
        " initial_stop_price, best_price, worst_price, modification_count, decision_id, rationale,"
        " opened_at, closed_at FROM closed_positions LIMIT 1"
    )
    closed_position(writer)
    connection = store.database.connection
    connection.executemany(insert, [(f"p{n}", 1000 + n) for n in range(count)])
    pruning = Pruning(store.database, Retention(), NOW + 91 * DAY)

    before = connection.total_changes
    while pruning.advance():
        changed, before = connection.total_changes - before, connection.total_changes
        assert changed <= 3 * POSITIONS

    assert pruning.pruned.positions == count + 1


def test_what_a_stopped_run_took_out_stays_out(store: Store, writer: Writer) -> None:
    closed_position(writer)
    first = Pruning(store.database, Retention(), NOW + 91 * DAY)
    first.advance()

    rest = pruned(store, 91 * DAY)

    assert first.pruned.positions == 1
    assert rest == Pruned(executions=1)


@pytest.mark.parametrize("left", ["rows", "events"])
def test_an_id_that_was_used_is_known_even_when_its_rows_have_left(
    store: Store, writer: Writer, left: str
) -> None:
    closed_position(writer)
    pruned(store, 91 * DAY)
    connection = store.database.connection
    if left == "events":
        connection.execute("DELETE FROM journal")

    assert queries.was_ever_used(connection, ACCOUNT, position_id(1))
    assert not queries.was_ever_used(connection, ACCOUNT, position_id(2))
