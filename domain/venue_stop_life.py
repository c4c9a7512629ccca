"""What becomes of a position when something has happened to its stop at the venue."""

from typing import assert_never

from msgspec.structs import replace

from domain.errors import InvariantError
from domain.ids import ClientOrderId, ExitId
from domain.order import OrderStatus
from domain.position import Position, PositionStatus, to_status
from domain.venue_stop import GUARD, AtVenue, StopState, VenueStop
from domain.venue_stop_events import (
    AnyVenueStopEvent,
    ExitHeldBack,
    ExitReleased,
    VenueStopAttached,
    VenueStopCancelOrdered,
    VenueStopChangeOrdered,
    VenueStopChangeRefused,
    VenueStopConfirmed,
    VenueStopEnded,
    VenueStopFailed,
    VenueStopMissing,
    VenueStopOrdered,
    VenueStopOutdated,
    VenueStopTried,
    VenueStopTriggered,
)

_S = PositionStatus
_GUARDED_SOON = frozenset({_S.OPEN_UNPROTECTED, _S.MODIFYING, _S.ADOPTED})


def evolve_stop(position: Position, event: AnyVenueStopEvent) -> Position:
    """Return the position after `event`. Raises `InvariantError` for a stop it does not have."""
    at_venue = position.at_venue
    match event:
        case VenueStopOrdered(client_order_id=order_id, asked=asked):
            stops = (*at_venue.stops, VenueStop(order_id, asked))
            position = replace(position, epochs=next_epoch(position, GUARD))
            return _unsettled(_with(position, stops=stops))
        case VenueStopAttached(client_order_id=order_id, asked=asked):
            return _unsettled(
                _with(position, stops=(*position.at_venue.stops, VenueStop(order_id, asked)))
            )
        case VenueStopConfirmed(client_order_id=order_id, held=held, settled=settled):
            if _found(position, order_id).asked.target_id is not None and held.target_id is None:
                position = _with(position, alone_at=position.protection.version)
            position = _changed(position, order_id, state=StopState.OPEN, asked=held, held=held)
            return _settled(position) if settled else _unsettled(position)
        case VenueStopChangeOrdered(client_order_id=order_id, asked=asked):
            changes = _found(position, order_id).changes + 1
            state = StopState.AMENDING
            position = _changed(position, order_id, state=state, asked=asked, changes=changes)
            return _unsettled(position)
        case VenueStopChangeRefused(client_order_id=order_id, for_good=for_good):
            stop = _found(position, order_id)
            return _changed(
                position,
                order_id,
                state=StopState.OPEN,
                asked=stop.held or stop.asked,
                may_amend=stop.may_amend and not for_good,
            )
        case VenueStopOutdated():
            return _unsettled(position)
        case VenueStopCancelOrdered(client_order_id=order_id):
            return _let_go(position, order_id)
        case VenueStopTriggered(client_order_id=order_id):
            return _changed(position, order_id, state=StopState.TRIGGERED)
        case VenueStopEnded(client_order_id=order_id, status=status):
            stop = _found(position, order_id)
            if status is OrderStatus.REJECTED and stop.asked.target_id is not None:
                position = _with(position, alone_at=position.protection.version)
            return _ended(position, stop)
        case VenueStopFailed(failures=failures, at=at):
            return _with(position, failures=failures, failed_at=at, pausing=failures > 1)
        case VenueStopTried():
            return _with(position, pausing=False)
        case VenueStopMissing():
            return _missing(position)
        case ExitHeldBack(client_order_id=order_id):
            return _exit_changed(position, order_id, waits=True, beside=False)
        case ExitReleased(client_order_id=order_id, quantity=quantity):
            return _exit_changed(position, order_id, waits=False, quantity=quantity)
    assert_never(event)


def next_epoch(position: Position, leg: ExitId) -> tuple[tuple[ExitId, int], ...]:
    """Return the epochs after one more order of `leg` was made or ended: an id is used once."""
    others = tuple(pair for pair in position.epochs if pair[0] != leg)
    return (*others, (leg, epoch_of(position, leg) + 1))


def epoch_of(position: Position, leg: ExitId) -> int:
    """How many orders of this leg there were before the one that comes next."""
    return next((epoch for known, epoch in position.epochs if known == leg), 0)


def _with(position: Position, **changes: object) -> Position:
    return replace(position, at_venue=replace(position.at_venue, **changes))


def _exit_changed(position: Position, order_id: ClientOrderId, **changes: object) -> Position:
    exits = tuple(
        replace(each, **changes) if each.client_order_id == order_id else each
        for each in position.exits
    )
    return replace(position, exits=exits)


def _found(position: Position, order_id: ClientOrderId) -> VenueStop:
    stop = position.at_venue.find(order_id)
    if stop is None:
        raise InvariantError(f"position {position.id}: {order_id} is no stop of it")
    return stop


def _changed(position: Position, order_id: ClientOrderId, **changes: object) -> Position:
    stop = _found(position, order_id)
    stops = tuple(
        replace(each, **changes) if each is stop else each for each in position.at_venue.stops
    )
    return _with(position, stops=stops)


def _settled(position: Position) -> Position:
    position = _with(position, settled=True, missing=False)
    if position.status in _GUARDED_SOON:
        return to_status(position, _S.OPEN_PROTECTED)
    return position


def _unsettled(position: Position) -> Position:
    """Note that what should rest does not: a change is on its way to where the stop lives."""
    at_venue = position.at_venue
    counts = position.status is _S.OPEN_PROTECTED and not at_venue.missing
    if at_venue.settled or at_venue.round == 0 or counts:
        position = _with(position, settled=False, round=at_venue.round + 1)
        if position.status is _S.OPEN_PROTECTED:
            return to_status(position, _S.MODIFYING)
    return position


def _let_go(position: Position, order_id: ClientOrderId) -> Position:
    position = _changed(position, order_id, state=StopState.CANCELING)
    return position if _holds(position.at_venue) else _unsettled(position)


def _ended(position: Position, stop: VenueStop) -> Position:
    stops = tuple(each for each in position.at_venue.stops if each is not stop)
    position = _with(position, stops=stops)
    if _holds(position.at_venue) or stop.state in {StopState.CANCELING, StopState.TRIGGERED}:
        return position
    position = _unsettled(position)
    if position.status is _S.MODIFYING and stop.held is not None:
        return to_status(position, _S.OPEN_UNPROTECTED)  # it was taken away
    return position


def _missing(position: Position) -> Position:
    position = _with(position, missing=True)
    is_armed = position.acknowledged_version == position.protection.version
    if is_armed and position.status in _GUARDED_SOON:
        return to_status(position, _S.OPEN_PROTECTED)
    return position


def _holds(at_venue: AtVenue) -> bool:
    return any(stop.state is StopState.OPEN for stop in at_venue.stops)
