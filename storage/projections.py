"""From events to rows of the read tables, in the transaction that journals the events.

A projection sees what one commit did to one stream. How events are grouped into commits must not show: a row that
tells a state is taken from the last one, a row that tells an event from that event and the state right after it. So
tables rebuilt from the journal equal those written live.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from domain.money import ZERO
from domain.order import (
    Order,
    OrderAccepted,
    OrderAdopted,
    OrderDenied,
    OrderFilled,
    OrderFoundAbsent,
    OrderIntended,
    OrderRejected,
    OrderStatus,
)
from domain.performance import drawdown_of
from domain.portfolio_events import EquityMarked
from domain.position import (
    Modification,
    ModificationRefused,
    Position,
    ProtectionModified,
)
from storage.codec import time_text
from storage.rows import (
    ClosedPositionRow,
    EquityRow,
    ExecutionRow,
    FillRow,
    ModificationRow,
    OrderProgress,
    OrderRow,
    PositionGone,
    PositionRow,
    Row,
    statement,
)


class Step(NamedTuple):
    """One event in the journal and the state right after it."""

    seq: int
    event: Any
    state: Any


class Change(NamedTuple):
    """What one commit did to one stream, "kind/key"."""

    key: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Projection:
    """The rows that streams of one kind give."""

    kind: str
    rows: Callable[[Change], Iterable[Row]]


class ReadTables:
    """All projections of a daemon, and the way of their rows into the tables."""

    def __init__(self, projections: Iterable[Projection]) -> None:
        self._by_kind: dict[str, list[Projection]] = {}
        for projection in projections:
            self._by_kind.setdefault(projection.kind, []).append(projection)

    def rows_of(self, steps: Iterable[tuple[str, Step]]) -> dict[type[Row], list[tuple[Any, ...]]]:
        """Return the values to write, by type of row. Raises `ValueError` for a step without its state."""
        changes: dict[str, list[Step]] = {}
        for stream, step in steps:
            changes.setdefault(stream, []).append(step)
        rows: dict[type[Row], list[tuple[Any, ...]]] = {}
        for stream, stream_steps in changes.items():
            kind, _, key = stream.partition("/")
            for projection in self._by_kind.get(kind, ()):
                if stream_steps[-1].state is None:
                    message = f"{stream}: the state after the event is needed for the read tables"
                    raise ValueError(message)
                for row in projection.rows(Change(key, stream_steps)):
                    rows.setdefault(type(row), []).append(astuple(row))
        return rows


def write_rows(
    connection: sqlite3.Connection, rows: dict[type[Row], list[tuple[Any, ...]]]
) -> None:
    """Write within the transaction under way."""
    for row_type, values in rows.items():
        connection.executemany(statement(row_type), values)


_json = msgspec.json.Encoder(order="deterministic").encode


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


def _as_json(value: Any) -> str:
    return _json(value).decode()


def order_rows(change: Change) -> Iterator[Row]:
    """Yield the order, its fills, and the audit of the attempt."""
    seq, _, order = change.steps[-1]
    if isinstance(change.steps[0].event, OrderIntended | OrderAdopted):
        yield _born_order(order, seq)
    else:
        yield _order_progress(order, seq)
    for step in change.steps:
        if isinstance(step.event, OrderFilled):
            yield _fill(step, order)
            if step.state.late_fill:  # what was taken for absent or over had been placed after all
                yield _execution(step.state, step.seq)
        elif isinstance(step.event, _ANSWERS):
            yield _execution(step.state, step.seq)


def _born_order(order: Order, seq: int) -> OrderRow:
    terms = order.terms
    return OrderRow(
        client_order_id=terms.client_order_id,
        seq=seq,
        position_id=terms.position_id,
        symbol=terms.symbol,
        side=terms.side.value,
        type=terms.type.value,
        quantity=str(terms.quantity),
        price=_text(terms.price),
        trigger_price=_text(terms.trigger_price),
        reduce_only=terms.reduce_only,
        leverage=str(terms.leverage),
        time_in_force=terms.time_in_force.value,
        intended_at=time_text(order.intended_at),
        status=order.status.value,
        venue_order_id=order.venue_order_id,
        filled=str(order.filled),
        average_price=str(order.average_price),
        reason=order.reason,
        late_fill=order.late_fill,
        sent_at=_time(order.sent_at),
        updated_at=_time(order.updated_at),
    )


def _order_progress(order: Order, seq: int) -> OrderProgress:
    return OrderProgress(
        client_order_id=order.terms.client_order_id,
        seq=seq,
        status=order.status.value,
        venue_order_id=order.venue_order_id,
        filled=str(order.filled),
        average_price=str(order.average_price),
        reason=order.reason,
        late_fill=order.late_fill,
        sent_at=_time(order.sent_at),
        updated_at=_time(order.updated_at),
    )


def _fill(step: Step, order: Order) -> FillRow:
    fill = step.event.fill
    return FillRow(
        client_order_id=order.terms.client_order_id,
        trade_id=fill.trade_id,
        seq=step.seq,
        position_id=order.terms.position_id,
        symbol=fill.symbol,
        side=fill.side.value,
        quantity=str(fill.quantity),
        price=str(fill.price),
        fee=str(fill.fee.amount),
        fee_asset=fill.fee.asset,
        maker=fill.maker,
        at=time_text(fill.at),
    )


# The events after which an attempt to place an order stands differently.
_ANSWERS = (
    OrderIntended,
    OrderAdopted,
    OrderDenied,
    OrderAccepted,
    OrderRejected,
    OrderFoundAbsent,
)
_FAILURES = {
    OrderStatus.DENIED: "SKIPPED",
    OrderStatus.REJECTED: "FAILED",
    OrderStatus.ABSENT: "FAILED",
}


def _execution(order: Order, seq: int) -> ExecutionRow:
    terms = order.terms
    failure = _FAILURES.get(order.status)
    placed = "PENDING" if order.venue_order_id is None else "PLACED"
    return ExecutionRow(
        client_order_id=terms.client_order_id,
        seq=seq,
        position_id=terms.position_id,
        symbol=terms.symbol,
        side=terms.side.value,
        type=terms.type.value,
        quantity=str(terms.quantity),
        price=_text(terms.price),
        leverage=str(terms.leverage),
        status=failure or placed,
        venue_order_id=order.venue_order_id,
        error=order.reason if failure else "",
        at=time_text(order.intended_at),
    )


def position_rows(change: Change) -> Iterator[Row]:
    """Yield the position, open or closed, and the changes of its protection."""
    seq, _, position = change.steps[-1]
    if position.is_closed:
        yield PositionGone(position.id)
        yield _closed_position(position, seq)
    else:
        yield _open_position(position, seq)
    for step in change.steps:
        if isinstance(step.event, ProtectionModified | ModificationRefused):
            yield _modification(position.id, step.seq, step.event.modification)


def _open_position(position: Position, seq: int) -> PositionRow:
    return PositionRow(
        position_id=position.id,
        seq=seq,
        account=position.account,
        trader=position.trader,
        user=position.user,
        symbol=position.instrument.symbol,
        market_type=position.instrument.kind.value,
        direction=position.direction.value,
        status=position.status.value,
        paper=position.paper,
        leverage=str(position.leverage),
        entry_order_id=position.entry.client_order_id,
        entry_type=position.entry.type.value,
        entry_price=str(position.entry_price),
        entry_quantity=str(position.entry_quantity),
        remaining=str(position.remaining),
        realized_pnl=str(position.realized_pnl),
        fees=str(position.fees),
        initial_stop_price=_text(position.plan.stop_price),
        protection=_as_json(position.protection),
        best_price=_text(position.best_price),
        worst_price=_text(position.worst_price),
        modification_count=position.modification_count,
        decision_id=position.decision_id,
        rationale=position.rationale,
        intended_at=time_text(position.intended_at),
        opened_at=_time(position.opened_at),
        modified_at=_time(position.modified_at),
    )


def _closed_position(position: Position, seq: int) -> ClosedPositionRow:
    reason = position.exit_reason
    return ClosedPositionRow(
        position_id=position.id,
        seq=seq,
        account=position.account,
        trader=position.trader,
        user=position.user,
        symbol=position.instrument.symbol,
        market_type=position.instrument.kind.value,
        direction=position.direction.value,
        status=position.status.value,
        paper=position.paper,
        leverage=str(position.leverage),
        entry_price=str(position.entry_price) if position.fills else None,
        entry_quantity=str(position.entry_quantity),
        exit_price=_text(_exit_price(position)),
        remaining=str(position.remaining),
        realized_pnl=str(position.realized_pnl),
        fees=str(position.fees),
        exit_reason=None if reason is None else reason.value,
        initial_stop_price=_text(position.plan.stop_price),
        best_price=_text(position.best_price),
        worst_price=_text(position.worst_price),
        modification_count=position.modification_count,
        decision_id=position.decision_id,
        rationale=position.rationale,
        opened_at=_time(position.opened_at),
        closed_at=_time(position.closed_at),
    )


def _exit_price(position: Position) -> Decimal | None:
    exits = [fill for fill in position.fills if fill.side is position.direction.exit_side]
    quantity = sum((fill.quantity for fill in exits), ZERO)
    value = sum((fill.quantity * fill.price for fill in exits), ZERO)
    return value / quantity if quantity else None


def _modification(position_id: str, seq: int, modification: Modification) -> ModificationRow:
    validation = modification.validation
    return ModificationRow(
        position_id=position_id,
        seq=seq,
        type=modification.type.value,
        requested_by=modification.requested_by.value,
        reason=modification.reason,
        previous=_as_json(modification.previous),
        new=_as_json(modification.new),
        errors=_as_json(validation.errors),
        warnings=_as_json(validation.warnings),
        constraints=_as_json(validation.constraints),
        error=modification.error,
        at=time_text(modification.at),
    )


def portfolio_rows(change: Change) -> Iterator[Row]:
    """Yield the points of the equity curve."""
    for seq, event, portfolio in change.steps:
        if isinstance(event, EquityMarked):
            drawdown = drawdown_of(event.equity, portfolio.high_water_mark)
            yield EquityRow(
                account=change.key,
                seq=seq,
                at=time_text(event.at),
                equity=str(event.equity),
                balance=str(event.balance),
                drawdown=str(drawdown),
            )


PROJECTIONS: Sequence[Projection] = (
    Projection("order", order_rows),
    Projection("position", position_rows),
    Projection("portfolio", portfolio_rows),
)
