"""A position as people and programs see it (how values are written: `view_text.py`).

A position does not know prices; what the feed saw comes beside it, as `Seen`.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from actors.failures import Failure
from daemon.execution_views import failure_view
from daemon.view_text import View, computed, exact, jsonable, pct, time_text
from domain.instrument import Direction
from domain.money import ZERO, plain
from domain.order import Fill
from domain.position import CLOSED_STATUSES, ExitOrder, Modification, Position, PositionStatus
from domain.position_changes import is_outdated
from domain.protection import Protection, Target, Trail
from domain.venue_stop import StopState, VenueStop
from storage.rows import ClosedPositionRow

VENUE = "venue"  # an order rests there; the daemon watches as well
CLIENT_GUARD = "client guard"  # the daemon watches the price itself
NOWHERE = "nowhere"
_RESTS = frozenset({StopState.OPEN, StopState.AMENDING})


class Seen(msgspec.Struct, frozen=True):
    """What the feed knows that a position does not: prices of the moment and since its entry."""

    price: Decimal | None = None  # quote; None before the first tick
    is_fresh: bool = False
    low: Decimal | None = None  # since the entry
    high: Decimal | None = None
    trail_best: Decimal | None = None  # since the trail was armed
    mark: Decimal | None = None  # what a unit counts in the account, where that is not the price

    @property
    def worth(self) -> Decimal | None:
        """Quote that a unit counts: as in the account, or positions would not add up to it."""
        return self.price if self.mark is None else self.mark


NOTHING_SEEN = Seen()


def position_row(position: Position, seen: Seen, now: datetime) -> View:
    """Return a position on one line of a list."""
    protection = position.protection
    price = None if position.is_closed else seen.price
    worth = None if position.is_closed else seen.worth
    return {
        "id": position.id,
        "trader": position.trader,
        "symbol": position.instrument.symbol,
        "side": position.direction.value.upper(),
        "status": position.status.value,
        "entry_price": computed(position.entry_price) if position.fills else None,
        "entry_requested": plain(position.entry.quantity),
        "entry_limit": exact(position.entry.limit_price),
        "entry_quantity": plain(position.entry_quantity),
        "remaining_quantity": plain(position.remaining),
        "current_price": exact(price),
        "price_is_fresh": seen.is_fresh,
        "unrealized_pnl": None if worth is None else computed(position.unrealized_pnl(worth)),
        "unrealized_pnl_pct": _gain_pct(position, worth),
        "realized_pnl": plain(position.realized_pnl),
        "initial_stop": exact(position.plan.stop_price),
        "stop": exact(protection.stop.price) if protection.stop else None,
        "stop_lives": where_stop_lives(position),
        "trail_level": _exact_level(position, seen),
        "targets": [plain(target.price) for target in protection.open_targets()],
        "opened_at": time_text(position.opened_at),
        "closed_at": time_text(position.closed_at),
        "holding_s": _holding_s(position, now),
        "exit_reason": None if position.exit_reason is None else position.exit_reason.value,
        "protection_version": protection.version,
    }


def watched_row(position: Position, seen: Seen, now: datetime) -> View:
    """Return a row of the live view: how far the price is from what would close the position."""
    price = None if position.is_closed else seen.price
    levels = _loss_levels(position, seen)
    goals = [target.price for target in position.protection.open_targets()]
    return position_row(position, seen, now) | {
        "stop_distance_pct": _nearest_pct(price, levels),
        "next_target": exact(_nearest(price, goals)),
        "target_distance_pct": _nearest_pct(price, goals),
        "is_unprotected": is_unprotected(position),
    }


def closed_row_view(row: ClosedPositionRow) -> View:
    """Return a closed position as its row tells it, in the shape of `position_row`.

    For one whose events are archived; what the row does not have is null.
    """
    opened_at, closed_at = (
        datetime.fromisoformat(text) if text else None for text in (row.opened_at, row.closed_at)
    )
    held = None if opened_at is None or closed_at is None else closed_at - opened_at
    return {
        "id": row.position_id,
        "trader": row.trader,
        "symbol": row.symbol,
        "side": row.direction.upper(),
        "status": row.status,
        "entry_price": computed(Decimal(row.entry_price)) if row.entry_price else None,
        "entry_requested": None,
        "entry_limit": None,
        "entry_quantity": plain(Decimal(row.entry_quantity)),
        "remaining_quantity": plain(Decimal(row.remaining)),
        "current_price": None,
        "price_is_fresh": False,
        "unrealized_pnl": None,
        "unrealized_pnl_pct": None,
        "realized_pnl": plain(Decimal(row.realized_pnl)),
        "initial_stop": exact(Decimal(row.initial_stop_price)) if row.initial_stop_price else None,
        "stop": None,
        "stop_lives": NOWHERE,
        "trail_level": None,
        "targets": [],
        "opened_at": time_text(opened_at),
        "closed_at": time_text(closed_at),
        "holding_s": None if held is None else round(held.total_seconds(), 3),
        "exit_reason": row.exit_reason or None,
        "protection_version": None,
    }


def position_view(
    position: Position,
    seen: Seen,
    now: datetime,
    *,
    venue: str,
    failure: Failure | None = None,
) -> View:
    """Return everything about a position; `failure` is its last attempt that came to nothing."""
    best, worst = _extremes(position, seen)
    price = None if position.is_closed else seen.price
    entry = position.entry
    return position_row(position, seen, now) | {
        "user": position.user,
        "account": position.account,
        "venue": venue,
        "kind": position.instrument.kind.value,
        "paper": position.paper,
        "leverage": plain(position.leverage),
        "entry_order": entry.client_order_id,
        "entry_type": entry.type.value,
        "entry_status": entry.status.value,
        "additions": [
            {
                "number": number,
                "order": each.client_order_id,
                "type": each.type.value,
                "status": each.status.value,
                "requested": plain(each.quantity),
                "limit": exact(each.limit_price),
            }
            for number, each in enumerate(position.additions, start=1)
        ],
        "intended_at": time_text(position.intended_at),
        "modified_at": time_text(position.modified_at),
        "fees": plain(position.fees),
        "funding": plain(position.ledger.funding),
        "protection": _protection_view(position, seen, price),
        "stop_at": stop_at(position),
        "acknowledged_version": position.acknowledged_version,
        "best_price": exact(best),
        "worst_price": exact(worst),
        "max_unrealized_pnl": _pnl_of_entry(position, best),
        "min_unrealized_pnl": _pnl_of_entry(position, worst),
        "exits": [_exit_view(order) for order in position.exits],
        "fills": [_fill_view(fill) for fill in position.fills],
        "modification_count": position.modification_count,
        "modifications": [_modification_view(one) for one in position.modifications],
        "conflicts": conflict_views(position),
        "manual_lock": position.manual_lock,
        "decision_id": position.decision_id,
        "rationale": position.rationale,
        "latest_execution_error": failure_view(failure),
    }


def conflict_views(position: Position) -> list[View]:
    """Return what strategies wanted after a person's change.

    One that is outdated can only be refused.
    """
    return [
        {
            "id": one.conflict_id,
            "outdated": is_outdated(position, one),
            **_modification_view(one.modification),
        }
        for one in position.conflicts
    ]


def conflict_rows(position: Position) -> list[View]:
    """Return the same for a list of all positions."""
    whose = {
        "position": position.id,
        "trader": position.trader,
        "symbol": position.instrument.symbol,
        "side": position.direction.value.upper(),
    }
    return [whose | conflict for conflict in conflict_views(position)]


def where_stop_lives(position: Position) -> str:
    """Return what guards against loss: an order at the venue, the daemon itself, or nothing."""
    if position.status in CLOSED_STATUSES or not position.protection.guards_loss:
        return NOWHERE
    if _resting(position) is not None:
        return VENUE
    if position.status is PositionStatus.QUARANTINED or not position.acknowledged_version:
        return NOWHERE
    return CLIENT_GUARD


def _resting(position: Position) -> VenueStop | None:
    """Return the stop that the venue holds, as far as is known."""
    stops = (each for each in reversed(position.at_venue.stops) if each.state in _RESTS)
    return next(stops, None)


def stop_at(position: Position) -> View:
    """Return where the stop lives, and the order that holds it at the venue."""
    lives, stop = where_stop_lives(position), _resting(position)
    if stop is None or stop.held is None or lives != VENUE:
        return {"at": lives.partition(" ")[0], "order": None}
    held = stop.held
    return {
        "at": lives,
        "order": stop.client_order_id,
        "price": exact(held.trigger_price),
        "target": None if held.target_price is None else plain(held.target_price),
        "trail_pct": None if held.trail_ratio is None else pct(held.trail_ratio),
        "quantity": plain(held.quantity),
        "state": stop.state.value,
        "as_it_should": position.at_venue.settled,
    }


def is_unprotected(position: Position) -> bool:
    """Whether it holds something that nothing guards."""
    return bool(position.remaining) and where_stop_lives(position) == NOWHERE


def trail_level(position: Position, trail: Trail, best: Decimal | None) -> Decimal:
    """Return the price at which a trail fires, given the best price the feed saw since."""
    return trail.level(position.direction, trail.anchor if best is None else best)


def _loss_levels(position: Position, seen: Seen) -> list[Decimal]:
    stop, trail = position.protection.stop, position.protection.trail
    levels = [] if stop is None else [stop.price]
    return levels if trail is None else [*levels, trail_level(position, trail, seen.trail_best)]


def _nearest(price: Decimal | None, levels: list[Decimal]) -> Decimal | None:
    if not levels:
        return None
    return levels[0] if price is None else min(levels, key=lambda level: abs(level - price))


def _nearest_pct(price: Decimal | None, levels: list[Decimal]) -> str | None:
    level = _nearest(price, levels)
    return None if level is None or not price else pct((level - price) / price)


def _protection_view(position: Position, seen: Seen, price: Decimal | None) -> View:
    protection = position.protection
    stop, trail, even = protection.stop, protection.trail, protection.breakeven
    level = None if trail is None else trail_level(position, trail, seen.trail_best)
    return {
        "version": protection.version,
        "stop": None
        if stop is None
        else {
            "price": plain(stop.price),
            "watches": stop.watches.value,
            "lives": where_stop_lives(position),
            **_distance(price, stop.price),
        },
        "trail": None
        if trail is None or level is None
        else {
            "ratio": exact(trail.ratio),
            "distance": exact(trail.distance),
            "best": plain(trail.anchor if seen.trail_best is None else seen.trail_best),
            "level": plain(level),
            "watches": trail.watches.value,
            **{f"level_{name}": item for name, item in _distance(price, level).items()},
        },
        "breakeven": None
        if even is None
        else {
            "trigger_price": plain(even.trigger_price),
            "stop_price": computed(even.stop_price),
            "done": even.done,
        },
        "time_exit": time_text(protection.time_exit),
        "targets": [_target_view(position, target, price) for target in protection.targets],
    }


def _target_view(position: Position, target: Target, price: Decimal | None) -> View:
    orders = [order for order in position.exits if order.stands_for == target.exit_id]
    earlier = sum((order.filled + order.outstanding for order in orders[:-1]), ZERO)  # its parts
    ids = {order.client_order_id for order in orders}
    fills = [fill for fill in position.fills if fill.client_order_id in ids]
    return {
        "id": target.exit_id,
        "price": plain(target.price),
        "part_pct": pct(target.part),
        "watches": target.watches.value,
        "fired": target.fired,
        "order": orders[-1].client_order_id if orders else None,
        "quantity": plain(earlier + orders[-1].quantity) if orders else None,
        "filled": plain(sum((fill.quantity for fill in fills), ZERO)),
        "filled_at": time_text(fills[-1].at) if fills else None,
        **_distance(None if target.fired else price, target.price),
    }


def _distance(price: Decimal | None, level: Decimal) -> dict[str, str | None]:
    """Return how far the price has to go, up positive."""
    if price is None or not price:
        return {"distance": None, "distance_pct": None}
    return {"distance": plain(level - price), "distance_pct": pct((level - price) / price)}


def _exit_view(order: ExitOrder) -> View:
    trigger = order.trigger
    return {
        "exit_id": order.exit_id,
        "client_order_id": order.client_order_id,
        "reason": order.reason.value,
        "quantity": plain(order.quantity),
        "filled": plain(order.filled),
        "done": order.done,
        "trigger": None if trigger is None else jsonable(trigger),
    }


def _fill_view(fill: Fill) -> View:
    return {
        "id": fill.trade_id,
        "order": fill.client_order_id,
        "side": fill.side.value,
        "price": plain(fill.price),
        "quantity": plain(fill.quantity),
        "fee": plain(fill.fee.amount),
        "fee_asset": fill.fee.asset,
        "maker": fill.maker,
        "time": time_text(fill.at),
    }


def _modification_view(change: Modification) -> View:
    return {
        "type": change.type.value,
        "requested_by": change.requested_by.value,
        "reason": change.reason,
        "at": time_text(change.at),
        "success": not change.error,
        "error": change.error,
        "previous": _rules_view(change.previous),
        "new": _rules_view(change.new),
        "validation": jsonable(change.validation),
    }


def _rules_view(protection: Protection) -> View:
    trail = protection.trail
    return {
        "version": protection.version,
        "stop": exact(protection.stop.price) if protection.stop else None,
        "trail": None
        if trail is None
        else {"ratio": exact(trail.ratio), "distance": exact(trail.distance)},
        "targets": [
            {"id": one.exit_id, "price": plain(one.price), "part_pct": pct(one.part)}
            for one in protection.targets
        ],
    }


def _extremes(position: Position, seen: Seen) -> tuple[Decimal | None, Decimal | None]:
    """Return best and worst price since the entry, from the position and from the feed."""
    if not position.fills:
        return None, None
    known = [
        price
        for price in (position.best_price, position.worst_price, seen.low, seen.high)
        if price is not None
    ]
    if not position.is_closed and seen.price is not None:
        known.append(seen.price)
    if not known:
        return None, None
    low, high = min(known), max(known)
    return (high, low) if position.direction is Direction.LONG else (low, high)


def _pnl_of_entry(position: Position, price: Decimal | None) -> str | None:
    """Return what the whole entry would have earned at `price`, quote, before fees."""
    if price is None:
        return None
    gain = (price - position.entry_price) * position.direction.sign
    return computed(gain * position.entry_quantity)


def _gain_pct(position: Position, price: Decimal | None) -> str | None:
    if price is None or not position.fills:
        return None
    return pct((price - position.entry_price) * position.direction.sign / position.entry_price)


def _exact_level(position: Position, seen: Seen) -> str | None:
    trail = position.protection.trail
    return None if trail is None else plain(trail_level(position, trail, seen.trail_best))


def _holding_s(position: Position, now: datetime) -> float | None:
    if position.opened_at is None:
        return None
    return round(((position.closed_at or now) - position.opened_at).total_seconds(), 3)
