"""What people look up follows from the journal, however it was written."""

import json
from datetime import timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from domain.commands import ModificationType, ModifyProtection, RequestedBy
from domain.ids import DecisionId
from domain.inputs import OrderEnded
from domain.instrument import Direction
from domain.order import (
    OrderAdopted,
    OrderAmended,
    OrderBecameUnknown,
    OrderDenied,
    OrderFoundAbsent,
    OrderRejected,
    OrderStatus,
)
from domain.portfolio_events import EquityMarked, PortfolioOpened
from domain.trader_state import DecisionMade, DecisionRefused
from storage import queries
from storage.rebuild import rebuild
from storage.store import Store
from tests.builders import ACCOUNT, BTC, NOW, D, Life, opened, plan, position_id
from tests.storage.words import (
    DISK,
    REGISTRY,
    TABLES,
    Writer,
    accepted,
    batches_of,
    filled,
    intended,
    life_of,
    new_directory,
    open_store,
    order_stream,
    read_tables,
    sent,
    story_steps,
    terms_of,
)

STREAM = f"position/{position_id()}"


def closed_long() -> Life:
    """Bought 1 at 100, half sold at 110 by a target, the rest stopped out at 95; fees 0.1 each."""
    life = opened("1", "100", plan("95", [("110", "0.5")]))
    life.cross("target-1", "110", best="112").fill_exit("110", fee="0.1")
    return life.cross("stop", "95").fill_exit("94.5", fee="0.1")


@given(story_steps)
@settings(max_examples=40, deadline=None)
def test_rebuilt_tables_equal_those_written_live(steps: list[tuple[int, int, bool]]) -> None:
    with TemporaryDirectory() as parent, open_store(new_directory(Path(parent))) as store:
        writer = Writer(store.journal)
        for batch in batches_of(steps, writer):
            store.journal.append(batch)
        live = read_tables(store.database)

        rebuilt = rebuild(store.database, REGISTRY, TABLES, DISK)

        assert read_tables(store.database) == live
        assert rebuilt.records == store.journal.tail.seq
        assert rebuilt.problems == ()


def test_rebuilding_covers_positions_modifications_and_equity(store: Store, writer: Writer) -> None:
    for event in closed_long().events:
        writer.append(STREAM, event)
    writer.append(f"portfolio/{ACCOUNT}", *equity_story())
    live = read_tables(store.database)
    assert live["closed_positions"]
    assert live["equity"]

    rebuild(store.database, REGISTRY, TABLES, DISK)

    assert read_tables(store.database) == live


def test_an_order_is_listed_with_what_became_of_it(store: Store, writer: Writer) -> None:
    writer.append(order_stream(1), *life_of(1)[:2])
    writer.append(order_stream(1), accepted("v1"), filled(1, "0.25"))

    (order,) = queries.orders(store.database.connection)

    assert order.client_order_id == terms_of(1).client_order_id
    assert (order.status, order.filled, order.average_price) == ("partial", "0.25", "100.5")
    assert (order.type, order.side, order.quantity, order.price) == ("market", "buy", "1", "")
    assert order.intended_at == "2026-01-02T03:04:05.000000Z"
    assert order.venue_order_id == "v1"
    assert order.seq == 4


@pytest.mark.parametrize("at_once", [True, False])
def test_an_order_that_was_changed_is_listed_as_it_is_and_its_attempt_as_it_was(
    store: Store, writer: Writer, at_once: bool
) -> None:
    terms = replace(terms_of(1), quantity=D("0.4"), price=D(99))
    story = [*life_of(1)[:2], accepted("v1"), OrderAmended(terms, NOW)]
    if at_once:
        writer.append(order_stream(1), *story)
    else:
        for event in story:
            writer.append(order_stream(1), event)
    live = read_tables(store.database)

    (order,) = queries.orders(store.database.connection)
    assert (order.quantity, order.price) == ("0.4", "99")
    (attempt,) = queries.executions(store.database.connection)
    assert attempt.quantity == "1"
    rebuild(store.database, REGISTRY, TABLES, DISK)
    assert read_tables(store.database) == live


def test_orders_are_listed_newest_first_and_by_status(store: Store, writer: Writer) -> None:
    for number in (1, 2, 3):
        writer.append(order_stream(number), intended(number))
    writer.append(order_stream(1), sent(), accepted("v1"))
    connection = store.database.connection

    assert [row.seq for row in queries.orders(connection)] == [5, 3, 2]
    assert len(queries.orders(connection, limit=2)) == 2
    assert [row.status for row in queries.orders(connection, status="open")] == ["open"]
    assert queries.orders(connection, status="filled") == []


def test_a_fill_reported_twice_is_one_row(store: Store, writer: Writer) -> None:
    writer.append(order_stream(1), *life_of(1)[:3])
    writer.append(order_stream(1), filled(1, "0.25", "t1"))
    writer.append(order_stream(1), filled(1, "0.25", "t1"), filled(1, "0.5", "t2"))

    fills = queries.fills(store.database.connection, position_id(1))

    assert [(fill.trade_id, fill.quantity, fill.fee, fill.fee_asset) for fill in fills] == [
        ("t1", "0.25", "0.05", "USDT"),
        ("t2", "0.5", "0.05", "USDT"),
    ]


def test_every_attempt_leaves_its_outcome(store: Store, writer: Writer) -> None:
    denied = OrderDenied(rule="BELOW_MIN_NOTIONAL", message="Notional 3 below 10.", at=NOW)
    writer.append(order_stream(1), intended(1), denied)
    rejected = OrderRejected(code="51008", text="insufficient balance", at=NOW)
    writer.append(order_stream(2), intended(2), sent(), rejected)
    lost = OrderBecameUnknown(why="timeout", at=NOW)
    absent = OrderFoundAbsent(evidence="order, fills and position agree", at=NOW)
    writer.append(order_stream(3), intended(3), sent(), lost, absent)
    writer.append(order_stream(4), *life_of(4))
    writer.append(order_stream(5), OrderAdopted(terms=terms_of(5), at=NOW), accepted("v5"))
    writer.append(
        order_stream(6), intended(6), sent()
    )  # no answer yet: neither success nor failure

    found = queries.executions(store.database.connection)

    told = {row.execution_id: row for row in found}
    assert [
        (row.status, row.venue_order_id, row.code, row.message)
        for row in (told[terms_of(number).client_order_id] for number in range(1, 7))
    ] == [
        ("SKIPPED", "", "BELOW_MIN_NOTIONAL", "Notional 3 below 10."),
        ("FAILED", "", "51008", "insufficient balance"),
        ("FAILED", "", "ABSENT", "order, fills and position agree"),
        ("PLACED", "v4", "", ""),
        ("PLACED", "v5", "", ""),
        ("PENDING", "", "", ""),
    ]
    assert len(queries.executions(store.database.connection, status="FAILED")) == 2


def test_an_open_position_is_listed_until_it_closes(store: Store, writer: Writer) -> None:
    life = opened("1", "100", plan("95", [("110", "0.5")]))
    writer.append(STREAM, *life.events)
    connection = store.database.connection

    (position,) = queries.open_positions(connection)
    assert (position.symbol, position.direction, position.trader) == ("BTC/USDT", "long", "manual")
    assert (position.entry_price, position.remaining) == ("100", "1")
    assert position.initial_stop_price == "95"
    assert json.loads(position.protection)["stop"]["price"] == "95"
    assert position.paper == 1
    assert queries.closed_positions(connection) == []

    known = len(life.events)
    life.cross("stop", "94").fill_exit("94")
    writer.append(STREAM, *life.events[known:])

    assert queries.open_positions(connection) == []
    assert [row.position_id for row in queries.closed_positions(connection)] == [position_id()]


def test_a_closed_position_tells_what_it_earned_and_why_it_ended(
    store: Store, writer: Writer
) -> None:
    life = closed_long()
    writer.append(STREAM, *life.events)

    (position,) = queries.closed_positions(store.database.connection, trader="manual")

    assert (position.exit_reason, position.status) == ("STOP_LOSS", "closed")
    assert D(position.exit_price) == D("102.25")
    assert D(position.realized_pnl) == D("10") / 2 - D("5.5") / 2 - D("0.2")
    assert D(position.fees) == D("0.2")
    assert D(position.remaining) == 0
    assert position.opened_at == "2026-01-02T03:04:05.000000Z"
    assert position.closed_at
    assert queries.closed_positions(store.database.connection, trader="other") == []


def test_a_position_that_never_filled_has_no_prices(store: Store, writer: Writer) -> None:
    life = Life().begin()

    life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.CANCELED, ""))
    assert life.p.is_closed
    writer.append(STREAM, *life.events)

    (position,) = queries.closed_positions(store.database.connection)

    assert (position.entry_price, position.exit_price, position.opened_at) == ("", "", "")
    assert position.exit_reason == "NEVER_FILLED"


def test_changes_of_protection_are_kept_with_their_validation(store: Store, writer: Writer) -> None:
    life = opened("1", "100", plan("95"))

    def move(price: str) -> ModifyProtection:
        return ModifyProtection(
            position_id=life.p.id,
            type=ModificationType.MOVE_SL,
            price=D(price),
            requested_by=RequestedBy.USER_MANUAL,
            reason="by hand",
        )

    life.tell(move("97")).arm()
    life.tell(move("120"))
    writer.append(STREAM, *life.events)

    done, refused = queries.modifications(store.database.connection, position_id())

    assert (done.type, done.requested_by, done.reason) == ("MOVE_SL", "USER_MANUAL", "by hand")
    assert json.loads(done.previous)["stop"]["price"] == "95"
    assert json.loads(done.new)["stop"]["price"] == "97"
    assert done.error == ""
    assert refused.error
    assert json.loads(refused.errors)
    assert refused.previous == refused.new


def equity_story() -> list[object]:
    return [
        PortfolioOpened(account=ACCOUNT, quote="USDT", balance=D(10_000), at=NOW),
        EquityMarked(equity=D(12_000), balance=D(10_000), at=NOW + timedelta(minutes=1)),
        EquityMarked(equity=D(9_000), balance=D(10_000), at=NOW + timedelta(minutes=2)),
    ]


def test_the_equity_curve_has_its_drawdown(store: Store, writer: Writer) -> None:
    writer.append(f"portfolio/{ACCOUNT}", *equity_story())

    points = queries.equity(store.database.connection, account=ACCOUNT)

    assert [(point.equity, D(point.drawdown)) for point in points] == [
        ("9000", D("0.25")),
        ("12000", D(0)),
    ]


def decided(number: int) -> DecisionMade:
    return DecisionMade(
        decision_id=DecisionId(f"d{number}"),
        position_id=position_id(number),
        symbol=BTC,
        action="LONG",
        confidence=D("0.8"),
        rationale="EMA 12 crossed above EMA 26",
        price=D("100"),
        plan=plan("95"),
        at=NOW + timedelta(seconds=number),
    )


def refused(number: int, decision_id: DecisionId | None = None) -> DecisionRefused:
    return DecisionRefused(
        position_id=position_id(number),
        rule="MAX_POSITIONS",
        message="3 of 3",
        at=NOW,
        decision_id=decision_id,
    )


@pytest.mark.parametrize("commits", [[5], [1, 1, 1, 1, 1], [2, 3], [3, 2], [1, 4]])
def test_decisions_are_kept_with_what_became_of_them(
    store: Store, writer: Writer, commits: list[int]
) -> None:
    events = iter([decided(1), decided(2), refused(1), decided(3), refused(3)])
    for count in commits:
        writer.append("trader/trend", *islice(events, count))

    found = queries.decisions(store.database.connection, trader="trend")

    assert [(row.decision_id, row.status, row.error) for row in found] == [
        ("d3", "REFUSED", "MAX_POSITIONS: 3 of 3"),
        ("d2", "MADE", ""),
        ("d1", "REFUSED", "MAX_POSITIONS: 3 of 3"),
    ]
    assert json.loads(found[0].plan)["stop_price"] == "95"
    live = read_tables(store.database)
    rebuild(store.database, REGISTRY, TABLES, DISK)
    assert read_tables(store.database) == live


@pytest.mark.parametrize("commits", [[3], [1, 1, 1], [1, 2], [2, 1]])
def test_a_refused_addition_or_close_leaves_the_decision_that_opened_as_it_was(
    store: Store, writer: Writer, commits: list[int]
) -> None:
    opened = decided(1)
    addition = replace(decided(2), position_id=opened.position_id, action="ADD")
    events = iter([opened, addition, refused(1, addition.decision_id)])
    for count in commits:
        writer.append("trader/trend", *islice(events, count))

    found = queries.decisions(store.database.connection, trader="trend")

    assert [(row.action, row.status) for row in found] == [("ADD", "REFUSED"), ("LONG", "MADE")]
    live = read_tables(store.database)
    rebuild(store.database, REGISTRY, TABLES, DISK)
    assert read_tables(store.database) == live


def test_why_tells_the_story_of_a_position_and_its_orders(store: Store, writer: Writer) -> None:
    life = Life().begin()
    writer.append(STREAM, *life.events)
    writer.append(order_stream(1), *life_of(1))
    writer.append(order_stream(2), *life_of(2))
    known = len(life.events)
    life.fill("1", "100")
    writer.append(STREAM, *life.events[known:])

    story = queries.story_of(store.database.connection, position_id(1))

    assert [record.type for record in story[:5]] == [
        "PositionIntended",
        "OrderIntended",
        "OrderSent",
        "OrderAccepted",
        "OrderFilled",
    ]
    assert story[-1].stream == STREAM
    assert queries.position_of(terms_of(1).client_order_id) == position_id(1)
    assert queries.position_of("somebody else's") is None
    assert len(queries.events_of(store.database.connection, order_stream(2))) == 4


def test_positions_are_found_by_a_prefix_of_their_id(store: Store, writer: Writer) -> None:
    writer.append(STREAM, *closed_long().events)
    connection = store.database.connection

    assert queries.find_positions(connection, position_id()[:8]) == [position_id()]
    assert queries.find_positions(connection, "ffff") == []
    assert queries.find_positions(connection, "%") == []


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_out_of_range_is_refused(store: Store, limit: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 10000"):
        queries.orders(store.database.connection, limit=limit)


def test_what_a_user_types_is_never_sql(store: Store, writer: Writer) -> None:
    writer.append(order_stream(1), intended(1))
    evil = "open' OR '1'='1"

    assert queries.orders(store.database.connection, status=evil) == []
    assert queries.fills(store.database.connection, evil) == []
    assert queries.find_positions(store.database.connection, evil) == []


def test_a_short_is_listed_as_one(store: Store, writer: Writer) -> None:
    life = opened("1", "100", plan("105"), Direction.SHORT)
    writer.append(STREAM, *life.events)

    (position,) = queries.open_positions(store.database.connection, trader="manual")

    assert position.direction == "short"
    assert position.market_type == "swap"
