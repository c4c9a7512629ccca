"""The rows of the execution audit: one for every attempt to place an order."""

from collections.abc import Iterator
from decimal import Decimal

from msgspec.structs import astuple

from domain.attempts import Attempt
from domain.commands import EntryRequest, SizeBy
from domain.executions import ExecutionStatus, status_of, why_of
from domain.order import (
    Order,
    OrderAccepted,
    OrderAdopted,
    OrderBecameUnknown,
    OrderDenied,
    OrderFoundAbsent,
    OrderIntended,
    OrderRejected,
    OrderTerms,
    OrderType,
)
from domain.trader_state import Decline, DeclinedAgain, EntryDeclined, Trader
from storage.codec import time_text
from storage.read_tables import Change
from storage.row_text import as_json, text_of, time_of, word
from storage.rows import DeclinedRow, ExecutionProgress, ExecutionRow, RebornExecution, Row

# The events after which more is known of an attempt.
_NEWS = frozenset(
    {
        OrderIntended,
        OrderAdopted,
        OrderDenied,
        OrderAccepted,
        OrderRejected,
        OrderBecameUnknown,
        OrderFoundAbsent,
        type(None),  # a state without its events
    }
)


def execution_rows(change: Change) -> Iterator[Row]:
    """Yield the attempt that an order is, once something new is known of it."""
    news = [step for step in change.steps if type(step.event) in _NEWS]
    if not news:
        return
    last = news[-1]
    if last.event is None:
        yield RebornExecution(*astuple(_attempted(last.state, last.seq, last.state.terms)))
    elif change.steps[0].version == 1:
        yield _attempted(last.state, last.seq, change.steps[0].state.terms)
    else:
        yield _progress(last.state, last.seq)


def _attempted(order: Order, seq: int, terms: OrderTerms) -> ExecutionRow:
    """Return the row of an attempt; `terms`: what was asked for at first, a stop may have moved."""
    attempt, status = order.attempt, status_of(order)
    code, message = why_of(order)
    return ExecutionRow(
        execution_id=terms.client_order_id,
        seq=seq,
        position_id=terms.position_id,
        client_order_id=terms.client_order_id,
        decision_id="" if attempt is None else attempt.decision_id or "",
        user="" if attempt is None else attempt.user,
        source="" if attempt is None else word(attempt.source),
        trader="" if attempt is None else attempt.trader,
        venue="" if attempt is None else attempt.venue,
        market_type=_kind(attempt),
        symbol=terms.symbol,
        side=word(terms.side),
        type=word(terms.type),
        reduce_only=1 if terms.reduce_only else 0,
        size_by=_size_by(attempt),
        size="" if attempt is None else text_of(attempt.size),
        quantity=str(terms.quantity),
        price=text_of(terms.price),
        trigger_price=text_of(terms.trigger_price),
        leverage=str(terms.leverage),
        min_notional="" if attempt is None else text_of(attempt.min_notional),
        available="" if attempt is None else text_of(attempt.available),
        required="" if attempt is None else text_of(attempt.required),
        precheck="" if attempt is None else attempt.precheck,
        request=as_json(terms),
        status=status,
        venue_order_id=order.venue_order_id or "",
        code=code,
        message=message,
        remedy=order.remedy,
        response_s=_seconds(order),
        doubts=order.doubts,
        times=1,
        decided_at="" if attempt is None else time_of(attempt.decided_at),
        at=time_text(order.intended_at),
        sent_at=time_of(order.sent_at),
        last_at=time_of(order.updated_at),
    )


def _progress(order: Order, seq: int) -> ExecutionProgress:
    status = status_of(order)
    code, message = why_of(order)
    return ExecutionProgress(
        execution_id=order.terms.client_order_id,
        seq=seq,
        status=status,
        venue_order_id=order.venue_order_id or "",
        code=code,
        message=message,
        remedy=order.remedy,
        response_s=_seconds(order),
        doubts=order.doubts,
        sent_at=time_of(order.sent_at),
        last_at=time_of(order.updated_at),
    )


def _seconds(order: Order) -> str:
    return "" if order.answered_s is None else f"{order.answered_s:.6f}"


def _kind(attempt: Attempt | None) -> str:
    return "" if attempt is None or attempt.market_type is None else word(attempt.market_type)


def _size_by(attempt: Attempt | None) -> str:
    return "" if attempt is None or attempt.size_by is None else word(attempt.size_by)


def declined_rows(change: Change) -> Iterator[Row]:
    """Yield the attempts of a trader that were refused before an order existed."""
    told: dict[int, tuple[Decline, int]] = {}
    for step in change.steps:
        if isinstance(step.event, EntryDeclined | DeclinedAgain):
            decline = _numbered(step.state, step.event.number)
            if decline is not None:  # else another one has taken its place, and it stays as it is
                told[step.event.number] = decline, step.seq
        elif step.event is None:
            for decline in step.state.declines.values():
                yield RebornExecution(*astuple(_declined(change.key, step.seq, decline)))
    for decline, seq in told.values():
        yield _declined(change.key, seq, decline)


def _numbered(trader: Trader, number: int) -> Decline | None:
    declines = trader.declines.values()
    return next((each for each in declines if each.event.number == number), None)


def _declined(trader: str, seq: int, decline: Decline) -> DeclinedRow:
    event = decline.event
    request, attempt = event.request, event.attempt
    limit = request.limit_price
    return DeclinedRow(
        execution_id=f"{trader}.{event.number}",
        seq=seq,
        position_id=request.position_id,
        client_order_id="",
        decision_id=request.decision_id or "",
        user=attempt.user,
        source=word(attempt.source),
        trader=trader,
        venue=attempt.venue,
        market_type=_kind(attempt),
        symbol=request.symbol,
        side=word(request.direction.entry_side),
        type=word(OrderType.MARKET if limit is None else OrderType.LIMIT),
        reduce_only=0,
        size_by=_size_by(attempt),
        size=text_of(attempt.size),
        quantity=text_of(_quantity(request)),
        price=text_of(limit),
        trigger_price="",
        leverage=str(request.leverage),
        min_notional=text_of(attempt.min_notional),
        available=text_of(attempt.available),
        required=text_of(attempt.required),
        precheck=attempt.precheck,
        request=as_json(request),
        status=ExecutionStatus.SKIPPED,
        venue_order_id="",
        code=event.rule,
        message=event.message,
        remedy=event.remedy,
        response_s="",
        doubts=0,
        times=decline.times,
        decided_at=time_of(attempt.decided_at),
        at=time_text(event.at),
        sent_at="",
        last_at=time_text(decline.last_at),
    )


def _quantity(request: EntryRequest) -> Decimal | None:
    return request.size if request.size_by is SizeBy.QUANTITY else None
