"""What becomes of a position when something has happened to it.

`evolve`, the only way its state changes.
"""

from decimal import Decimal

from msgspec.structs import replace

from domain import pnl
from domain.errors import InvariantError
from domain.ids import MANUAL, ClientOrderId
from domain.instrument import Direction, Instrument
from domain.money import ZERO
from domain.order import Fill, OrderStatus, OrderType
from domain.position import Conflict, Entry, ExitOrder, Position, PositionStatus
from domain.position import to_status as _to
from domain.position_events import (
    AdditionIntended,
    AnyPositionEvent,
    ConflictResolved,
    DowntimeJudged,
    EntryEnded,
    EntryWithdrawn,
    ExitEnded,
    ExitFired,
    GridChanged,
    ModificationRefused,
    PositionAdopted,
    PositionClosed,
    PositionFilled,
    PositionFunded,
    PositionIntended,
    PositionQuarantined,
    PositionReducedOutside,
    PositionSettled,
    ProtectionAcknowledged,
    ProtectionLost,
    ProtectionModified,
    ProtectionSet,
    SuggestionHeld,
)
from domain.protection import ExitReason
from domain.venue_stop import GUARD, StopState
from domain.venue_stop_events import AnyVenueStopEvent
from domain.venue_stop_life import evolve_stop, next_epoch

_S = PositionStatus
KEPT_MODIFICATIONS = 10  # in memory; the read table has all


def evolve(position: Position | None, event: AnyPositionEvent) -> Position:
    """Return the position after `event`. Raises `InvariantError` where the tables exclude it."""
    if isinstance(event, PositionIntended | PositionAdopted):
        if position is not None:
            raise InvariantError(f"position {position.id} intended twice")
        return _born(event) if isinstance(event, PositionIntended) else _adopted(event)
    if position is None:
        raise InvariantError(f"{type(event).__name__} before the position was intended")
    match event:
        case PositionFilled(fill=fill, exit_id=None):
            return _entry_filled(position, fill)
        case PositionFilled(fill=fill):
            return _exit_filled(position, fill)
        case EntryEnded(client_order_id=order_id, status=status):
            return _entry_ended(position, order_id, status)
        case EntryWithdrawn(reason=reason):
            return replace(position, withdrawn=reason)
        case ProtectionSet():
            return _protection_set(position, event)
        case ProtectionAcknowledged():
            return _acknowledged(position, event)
        case ProtectionLost():
            return _to(position, _S.OPEN_UNPROTECTED, acknowledged_version=0)
        case ExitFired():
            return _exit_fired(position, event)
        case ExitEnded(client_order_id=order_id):
            return _exit_ended(position, order_id)
        case PositionSettled():
            return replace(position, is_settled=True)
        case PositionQuarantined():
            return _to(position, _S.QUARANTINED)
        case PositionClosed(status=status, reason=reason, at=at):
            return _to(position, status, closed_at=at, exit_reason=reason, armed=())
        case _:
            return _changed(position, event)


def _changed(
    position: Position,
    event: AdditionIntended
    | ProtectionModified
    | ModificationRefused
    | SuggestionHeld
    | ConflictResolved
    | DowntimeJudged
    | PositionReducedOutside
    | PositionFunded
    | GridChanged
    | AnyVenueStopEvent,
) -> Position:
    match event:
        case PositionReducedOutside():
            return _reduced_outside(position, event)
        case PositionFunded(total=total):
            return replace(position, ledger=replace(position.ledger, funding=total))
        case GridChanged():
            return replace(position, instrument=_with_grid(position.instrument, event))
        case AdditionIntended(entry=entry):
            return replace(position, additions=(*position.additions, entry))
        case ProtectionModified(modification=done):
            automatic = not done.requested_by.is_manual
            return replace(
                position,
                modifications=(*position.modifications, done)[-KEPT_MODIFICATIONS:],
                modification_count=position.modification_count + 1,
                manual_lock=position.manual_lock or not automatic,
                last_automatic_at=done.at if automatic else position.last_automatic_at,
                modified_at=done.at,
            )
        case ModificationRefused(modification=refused):
            kept = (*position.modifications, refused)[-KEPT_MODIFICATIONS:]
            return replace(position, modifications=kept)
        case SuggestionHeld(conflict=conflict):
            return _held(position, conflict)
        case DowntimeJudged():
            return _downtime_judged(position, event)
        case ConflictResolved(conflict_id=conflict_id):
            left = tuple(each for each in position.conflicts if each.conflict_id != conflict_id)
            return replace(position, conflicts=left)
        case _:
            return evolve_stop(position, event)


def _held(position: Position, conflict: Conflict) -> Position:
    """Keep a suggestion for a person, in place of an older one of the same kind.

    It counts as an automatic change, which must be rare: a person needs time to decide.
    """
    kind = conflict.modification.type
    others = tuple(each for each in position.conflicts if each.modification.type is not kind)
    return replace(
        position,
        conflicts=(*others, conflict),
        conflict_count=position.conflict_count + 1,
        last_automatic_at=conflict.modification.at,
    )


def _born(event: PositionIntended) -> Position:
    return Position(
        id=event.position_id,
        account=event.account,
        trader=event.trader,
        instrument=event.instrument,
        direction=event.direction,
        status=_S.ENTRY_PENDING,
        entry=event.entry,
        plan=event.plan,
        intended_at=event.at,
        leverage=event.leverage,
        paper=event.paper,
        user=event.user,
        decision_id=event.decision_id,
        rationale=event.rationale,
        epochs=() if event.entry.attached is None else ((GUARD, 1),),
    )


def _adopted(event: PositionAdopted) -> Position:
    position = Position(
        id=event.position_id,
        account=event.account,
        trader=MANUAL,
        instrument=event.instrument,
        direction=event.direction,
        status=_S.ADOPTED,
        entry=event.entry,
        plan=event.plan,
        intended_at=event.at,
        leverage=event.leverage,
        paper=event.paper,
        rationale=event.rationale,
    )
    return _entry_filled(position, event.fill)


def _reduced_outside(position: Position, event: PositionReducedOutside) -> Position:
    fill = event.fill
    best, worst = _extremes_with(position, fill.price, fill.price)
    return replace(
        position,
        fills=(*position.fills, fill),
        ledger=pnl.reduced(position.ledger, fill, position.instrument, position.direction),
        outside=event.cause,
        best_price=best,
        worst_price=worst,
    )


def _entry_ended(position: Position, order_id: ClientOrderId, status: OrderStatus) -> Position:
    if position.entry_of(order_id) is None:
        raise InvariantError(f"position {position.id}: {order_id} is no entry of it")
    first, *additions = (
        replace(each, status=status) if each.client_order_id == order_id else each
        for each in position.entries
    )
    return replace(position, entry=first, additions=tuple(additions))


def _entry_filled(position: Position, fill: Fill) -> Position:
    ledger = pnl.opened(position.ledger, fill, position.instrument)
    first = not position.fills
    status = position.status
    if status in {_S.ENTRY_PENDING, _S.QUARANTINED}:  # quarantined before it filled: it lives again
        status = _S.OPEN_UNPROTECTED
    if position.status is _S.CLOSED:
        raise InvariantError(f"position {position.id}: entry filled after it was closed")
    return _to(
        position,
        status,
        fills=(*position.fills, fill),
        ledger=ledger,
        opened_at=fill.at if first else position.opened_at,
        best_price=fill.price if first else position.best_price,
        worst_price=fill.price if first else position.worst_price,
    )


def _exit_filled(position: Position, fill: Fill) -> Position:
    exits = tuple(_after_fill(order, fill) for order in position.exits)
    best, worst = _extremes_with(position, fill.price, fill.price)
    epochs = position.epochs
    for before, after in zip(position.exits, exits, strict=True):
        if after.done and not before.done and not after.at_venue:
            epochs = next_epoch(position, after.exit_id)  # should it fire again: another order
    return replace(
        position,
        fills=(*position.fills, fill),
        ledger=pnl.reduced(position.ledger, fill, position.instrument, position.direction),
        exits=exits,
        epochs=epochs,
        failed_exits=0,
        best_price=best,
        worst_price=worst,
    )


def _after_fill(order: ExitOrder, fill: Fill) -> ExitOrder:
    if order.client_order_id != fill.client_order_id:
        return order
    filled = order.filled + fill.quantity
    return replace(order, filled=filled, done=order.done or filled >= order.quantity)


def _protection_set(position: Position, event: ProtectionSet) -> Position:
    status = position.status
    if status is _S.OPEN_PROTECTED:
        status = _S.MODIFYING
    return _to(position, status, protection=event.protection, armed=event.armed)


def _acknowledged(position: Position, event: ProtectionAcknowledged) -> Position:
    protection = position.protection
    if protection.trail is not None and protection.trail.since is None:
        protection = replace(protection, trail=replace(protection.trail, since=event.since))
    status = position.status
    if not event.protects:
        pass  # until the venue has its stop
    elif status in {_S.OPEN_UNPROTECTED, _S.MODIFYING, _S.ADOPTED} and protection.guards_loss:
        status = _S.OPEN_PROTECTED
    elif status is _S.MODIFYING:
        status = _S.OPEN_UNPROTECTED
    return _to(
        position,
        status,
        protection=protection,
        acknowledged_version=event.version,
        armed_since=position.armed_since or event.since,
    )


def _downtime_judged(position: Position, event: DowntimeJudged) -> Position:
    protection = position.protection
    if protection.trail is not None and event.best is not None:
        protection = replace(protection, trail=replace(protection.trail, anchor=event.best))
    best, worst = _extremes_with(position, event.low, event.high)
    return replace(
        position,
        protection=protection,
        best_price=best,
        worst_price=worst,
        judged_until=event.until,
    )


def _with_grid(instrument: Instrument, grid: GridChanged) -> Instrument:
    return replace(
        instrument,
        lot_size=grid.lot_size,
        min_quantity=grid.min_quantity,
        max_market=grid.max_market,
        max_market_value=grid.max_market_value,
    )


def _exit_fired(position: Position, event: ExitFired) -> Position:
    best, worst = _extremes_with(position, event.best_price, event.worst_price)
    targets = tuple(
        replace(target, fired=True) if target.exit_id == event.exit.stands_for else target
        for target in position.protection.targets
    )
    return _to(
        position,
        _S.CLOSING if event.exit.whole else position.status,
        exits=(*position.exits, event.exit),
        protection=replace(position.protection, targets=targets),
        best_price=best,
        worst_price=worst,
    )


def _exit_ended(position: Position, order_id: ClientOrderId) -> Position:
    ended = next((each for each in position.exits if each.client_order_id == order_id), None)
    if ended is None:
        raise InvariantError(f"position {position.id}: exit {order_id} ended but never fired")
    exits = tuple(
        replace(each, done=True) if each is ended else each
        for each in position.exits
        if each is not ended or not each.waits  # one that never left is none
    )
    targets = tuple(
        replace(target, fired=False) if target.exit_id == ended.stands_for else target
        for target in position.protection.targets
    )
    position = replace(
        position,
        exits=exits,
        epochs=position.epochs if ended.at_venue else next_epoch(position, ended.exit_id),
        protection=replace(position.protection, targets=targets),
        failed_exits=position.failed_exits + (not ended.waits),  # what never left did not fail
    )
    if position.status is not _S.CLOSING or any(_closes(each) for each in exits):
        return position
    status = _S.OPEN_PROTECTED if _is_guarded_there(position) else _S.OPEN_UNPROTECTED
    return _to(position, status, acknowledged_version=0)  # the exit let the feed forget the levels


def _is_guarded_there(position: Position) -> bool:
    """Whether a stop rested on at the venue, for all that is held, beside an exit that failed."""
    at_venue = position.at_venue
    return at_venue.settled and any(
        stop.state is StopState.OPEN and stop.may_sell >= position.remaining
        for stop in at_venue.stops
    )


def _closes(order: ExitOrder) -> bool:
    """Whether an exit still closes the position.

    It is under way; or it did all it could, and what another one had claimed then must follow. A
    target that was the last one did not mean that: what is left waits for its own target again.
    """
    if not order.whole:
        return False
    did_all = order.filled >= order.quantity and order.reason is not ExitReason.TAKE_PROFIT
    return did_all or not order.done


def _extremes_with(
    position: Position, one: Decimal | None, other: Decimal | None
) -> tuple[Decimal | None, Decimal | None]:
    seen = [
        price
        for price in (position.best_price, position.worst_price, one, other)
        if price is not None
    ]
    if not seen:
        return None, None
    low, high = min(seen), max(seen)
    return (high, low) if position.direction is Direction.LONG else (low, high)


def is_known_fill(position: Position, fill: Fill) -> bool:
    """Whether that execution was booked; venues repeat themselves."""
    return any(known.trade_id == fill.trade_id for known in position.fills)


def entry_filled(position: Position, entry: Entry) -> Decimal:
    """Return how much of an entry's order is known to be filled, base units."""
    order_id = entry.client_order_id
    return sum((each.quantity for each in position.fills if each.client_order_id == order_id), ZERO)


def working_entries(position: Position) -> tuple[Entry, ...]:
    """Return the entries, the first or an addition, whose orders may still fill."""
    return tuple(each for each in position.entries if each.status is OrderStatus.INTENT)


def resting_entries(position: Position) -> tuple[Entry, ...]:
    """Return those that wait at a limit: they may fill at any time, hours from now."""
    return tuple(each for each in working_entries(position) if each.type is OrderType.LIMIT)


def entry_is_working(position: Position) -> bool:
    """Whether any entry order may still fill."""
    return any(each.status is OrderStatus.INTENT for each in position.entries)
