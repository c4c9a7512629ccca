"""The rows that the streams of this daemon give: see `read_tables` for the rules."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from domain.money import ZERO
from domain.order import (
    Order,
    OrderFilled,
)
from domain.performance import drawdown_of
from domain.portfolio_events import EquityMarked
from domain.position import Modification, Position
from domain.position_events import ModificationRefused, ProtectionModified
from domain.trader_state import DecisionMade, DecisionRefused
from storage.codec import time_text
from storage.execution_rows import declined_rows, execution_rows
from storage.read_tables import Change, Projection, ReadTables, Step
from storage.row_text import as_json, text_of, time_of, word
from storage.rows import (
    ClosedPositionRow,
    DecisionOutcome,
    DecisionProgress,
    DecisionRow,
    EquityRow,
    FillRow,
    ModificationRow,
    OrderProgress,
    OrderRow,
    PositionGone,
    PositionProgress,
    PositionRow,
    Row,
)

__all__ = ["PROJECTIONS", "ReadTables"]


def order_rows(change: Change) -> Iterator[Row]:
    """Yield the order, its fills, and what came of the attempt to place it."""
    last = change.steps[-1]
    order: Order = last.state
    if change.steps[0].version == 1:
        yield _born_order(order, last.seq)
    else:
        yield _order_progress(order, last.seq)
    for step in change.steps:
        event_type = type(step.event)
        if event_type is OrderFilled:
            yield _fill(step, order)
    yield from execution_rows(change)


def _born_order(order: Order, seq: int) -> OrderRow:
    terms = order.terms
    return OrderRow(
        client_order_id=terms.client_order_id,
        seq=seq,
        position_id=terms.position_id,
        symbol=terms.symbol,
        side=word(terms.side),
        type=word(terms.type),
        quantity=str(terms.quantity),
        price=text_of(terms.price),
        trigger_price=text_of(terms.trigger_price),
        reduce_only=1 if terms.reduce_only else 0,
        leverage=str(terms.leverage),
        time_in_force=word(terms.time_in_force),
        intended_at=time_text(order.intended_at),
        status=word(order.status),
        venue_order_id=order.venue_order_id or "",
        filled=str(order.filled),
        average_price=str(order.average_price),
        reason=order.reason,
        late_fill=1 if order.late_fill else 0,
        sent_at=time_of(order.sent_at),
        updated_at=time_of(order.updated_at),
    )


def _order_progress(order: Order, seq: int) -> OrderProgress:
    terms = order.terms
    return OrderProgress(
        position_id=terms.position_id,
        client_order_id=terms.client_order_id,
        seq=seq,
        quantity=str(terms.quantity),
        price=text_of(terms.price),
        trigger_price=text_of(terms.trigger_price),
        status=word(order.status),
        venue_order_id=order.venue_order_id or "",
        filled=str(order.filled),
        average_price=str(order.average_price),
        reason=order.reason,
        late_fill=1 if order.late_fill else 0,
        sent_at=time_of(order.sent_at),
        updated_at=time_of(order.updated_at),
    )


def _fill(step: Step, order: Order) -> FillRow:
    fill = step.event.fill
    return FillRow(
        client_order_id=order.terms.client_order_id,
        trade_id=fill.trade_id,
        seq=step.seq,
        position_id=order.terms.position_id,
        symbol=fill.symbol,
        side=word(fill.side),
        quantity=str(fill.quantity),
        price=str(fill.price),
        fee=str(fill.fee.amount),
        fee_asset=fill.fee.asset,
        maker=1 if fill.maker else 0,
        at=time_text(fill.at),
    )


def position_rows(change: Change) -> Iterator[Row]:
    """Yield the position, open or closed, and the changes of its protection."""
    last = change.steps[-1]
    position: Position = last.state
    if position.is_closed:
        yield PositionGone(position.id)
        yield _closed_position(position, last.seq)
    elif change.steps[0].version == 1:
        yield _born_position(position, last.seq)
    else:
        yield _position_progress(position, last.seq)
    for step in change.steps:
        if isinstance(step.event, ProtectionModified | ModificationRefused):
            yield _modification(position.id, step.seq, step.event.modification)


def _born_position(position: Position, seq: int) -> PositionRow:
    return PositionRow(
        position_id=position.id,
        seq=seq,
        account=position.account,
        trader=position.trader,
        user=position.user,
        symbol=position.instrument.symbol,
        market_type=word(position.instrument.kind),
        direction=word(position.direction),
        status=word(position.status),
        paper=1 if position.paper else 0,
        leverage=str(position.leverage),
        entry_order_id=position.entry.client_order_id,
        entry_type=word(position.entry.type),
        entry_price=str(position.entry_price),
        entry_quantity=str(position.entry_quantity),
        remaining=str(position.remaining),
        realized_pnl=str(position.realized_pnl),
        fees=str(position.fees),
        initial_stop_price=text_of(position.plan.stop_price),
        protection=as_json(position.protection),
        best_price=text_of(position.best_price),
        worst_price=text_of(position.worst_price),
        modification_count=position.modification_count,
        decision_id=position.decision_id or "",
        rationale=position.rationale,
        intended_at=time_text(position.intended_at),
        opened_at=time_of(position.opened_at),
        modified_at=time_of(position.modified_at),
    )


def _position_progress(position: Position, seq: int) -> PositionProgress:
    ledger = position.ledger
    return PositionProgress(
        position_id=position.id,
        seq=seq,
        status=word(position.status),
        entry_price=str(position.entry_price),
        entry_quantity=str(ledger.quantity),
        remaining=str(ledger.remaining),
        realized_pnl=str(ledger.realized_pnl),
        fees=str(ledger.fees),
        protection=as_json(position.protection),
        best_price=text_of(position.best_price),
        worst_price=text_of(position.worst_price),
        modification_count=position.modification_count,
        opened_at=time_of(position.opened_at),
        modified_at=time_of(position.modified_at),
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
        market_type=word(position.instrument.kind),
        direction=word(position.direction),
        status=word(position.status),
        paper=1 if position.paper else 0,
        leverage=str(position.leverage),
        entry_price=str(position.entry_price) if position.fills else "",
        entry_quantity=str(position.entry_quantity),
        exit_price=text_of(_exit_price(position)),
        remaining=str(position.remaining),
        realized_pnl=str(position.realized_pnl),
        fees=str(position.fees),
        exit_reason="" if reason is None else word(reason),
        initial_stop_price=text_of(position.plan.stop_price),
        best_price=text_of(position.best_price),
        worst_price=text_of(position.worst_price),
        modification_count=position.modification_count,
        decision_id=position.decision_id or "",
        rationale=position.rationale,
        opened_at=time_of(position.opened_at),
        closed_at=time_of(position.closed_at),
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
        type=word(modification.type),
        requested_by=word(modification.requested_by),
        reason=modification.reason,
        previous=as_json(modification.previous),
        new=as_json(modification.new),
        errors=as_json(validation.errors),
        warnings=as_json(validation.warnings),
        constraints=as_json(validation.constraints),
        error=modification.error,
        at=time_text(modification.at),
    )


def portfolio_rows(change: Change) -> Iterator[Row]:
    """Yield the points of the equity curve."""
    for step in change.steps:
        event = step.event
        if isinstance(event, EquityMarked):
            drawdown = drawdown_of(event.equity, step.state.high_water_mark)
            yield EquityRow(
                account=change.key,
                seq=step.seq,
                at=time_text(event.at),
                equity=str(event.equity),
                balance=str(event.balance),
                drawdown=str(drawdown),
            )


def trader_rows(change: Change) -> Iterator[Row]:
    """Yield decisions, what became of them, and attempts that were refused.

    A refusal of an older version names the position that was not opened, no decision. Of one
    commit it is told with the decision, because the rows of one type are written together.
    """
    refusals: dict[str, DecisionRefused] = {
        step.event.decision_id or step.event.position_id: step.event
        for step in change.steps
        if isinstance(step.event, DecisionRefused)
    }
    for step in change.steps:
        if isinstance(step.event, DecisionMade):
            yield _decision(change.key, step.seq, step.event, refusals)
    for refused in refusals.values():
        error = f"{refused.rule}: {refused.message}"
        if refused.decision_id is None:
            yield DecisionProgress(change.key, refused.position_id, "REFUSED", error)
        else:
            yield DecisionOutcome(refused.decision_id, "REFUSED", error)
    yield from declined_rows(change)


def _decision(
    trader: str, seq: int, made: DecisionMade, refusals: dict[str, DecisionRefused]
) -> DecisionRow:
    refused = refusals.get(made.decision_id) or refusals.get(made.position_id or "")
    return DecisionRow(
        decision_id=made.decision_id,
        seq=seq,
        trader=trader,
        symbol=made.symbol,
        action=made.action,
        confidence=str(made.confidence),
        reasoning=made.rationale,
        price=str(made.price),
        plan="" if made.plan is None else as_json(made.plan),
        position_id=made.position_id or "",
        status="MADE" if refused is None else "REFUSED",
        error="" if refused is None else f"{refused.rule}: {refused.message}",
        decided_at=time_text(made.at),
    )


PROJECTIONS: Sequence[Projection] = (
    Projection("order", order_rows),
    Projection("position", position_rows),
    Projection("portfolio", portfolio_rows),
    Projection("trader", trader_rows),
)
