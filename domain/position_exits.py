"""How an exit fires: how much of the position, under which id, for which reason."""

from collections.abc import Container, Sequence
from decimal import Decimal

from domain.effects import Arm, CancelOrder, Disarm, SubmitOrder, WakeAfter
from domain.ids import ClientOrderId, ExitId, client_order_id, identity_of
from domain.inputs import Crossed
from domain.instrument import Instrument, Kind
from domain.money import ONE, ZERO, ceil_to
from domain.order import OrderTerms, OrderType
from domain.position import ArmedExit, Entry, ExitOrder, Position, PositionStatus, Trigger
from domain.position_draft import HOLDS, Draft, PositionRules
from domain.position_events import EntryWithdrawn, ExitFired
from domain.position_life import working_entries
from domain.protection import CLOSE, STOP, TIME, TRAIL, ExitReason, Protection, levels_of
from domain.venue_stop_life import epoch_of

MOST_PARTS = 20  # orders that leave together; the venue takes so many at once
_EXIT_LEGS = frozenset({"stop", "trail", "time", "target", "close"})


def fire_all(
    decision: Draft,
    exit_id: ExitId,
    reason: ExitReason,
    trigger: Trigger | None = None,
    crossed: Crossed | None = None,
    *,
    armed: bool = False,
) -> None:
    """Close everything that no exit under way has claimed.

    Where that is too little to be sold yet, what an entry still fills is closed with it.
    """
    position = decision.position
    decision.then(*cancel_entries(position))
    quantity = position.instrument.whole_lots(position.free_quantity)
    if quantity > ZERO:
        for part in parts_of(position.instrument, quantity, decision.market.last):
            fire(decision, exit_id, reason, part, trigger, crossed, whole=True, armed=armed)
    elif position.status in HOLDS and position.withdrawn is None and working_entries(position):
        decision.record(EntryWithdrawn(reason, decision.now))


def cancel_entries(position: Position) -> tuple[CancelOrder, ...]:
    """Return what takes out every entry order that may still fill."""
    return cancels_of(position, working_entries(position))


def cancels_of(position: Position, entries: Sequence[Entry]) -> tuple[CancelOrder, ...]:
    """Return what takes out these entry orders."""
    symbol = position.instrument.symbol
    return tuple(CancelOrder(each.client_order_id, symbol) for each in entries)


def fire_target(
    decision: Draft, exit_id: ExitId, trigger: Trigger | None, crossed: Crossed | None
) -> None:
    """Close the part that a target stands for."""
    position = decision.position
    quantity = target_quantity(position, exit_id)
    if quantity <= ZERO:
        return
    whole = quantity >= position.instrument.whole_lots(position.free_quantity)
    if whole:
        decision.then(*cancel_entries(position))
    for part in parts_of(position.instrument, quantity, decision.market.last):
        fire(
            decision,
            exit_id,
            ExitReason.TAKE_PROFIT,
            part,
            trigger,
            crossed,
            whole=whole,
            armed=True,
        )


def parts_of(
    instrument: Instrument, quantity: Decimal, price: Decimal | None
) -> tuple[Decimal, ...]:
    """Divide a quantity, whole lots, into orders at market that the venue takes.

    They are about equal, so that none is too small.
    """
    most = instrument.most_at_market(price)
    if not most or quantity <= most:
        return (quantity,)
    count = int(ceil_to(quantity / most, ONE))
    if count > MOST_PARTS:  # the last is refused, and divided when it is tried again
        rest = quantity - most * (MOST_PARTS - 1)
        return (*(most for _ in range(MOST_PARTS - 1)), rest)
    each, more = divmod(int(quantity / instrument.lot_size), count)  # lots
    return tuple(instrument.lot_size * (each + (number < more)) for number in range(count))


def target_quantity(position: Position, exit_id: ExitId) -> Decimal:
    """Return what a target closes: its part of the entry, or all that is left when it is the last.

    Additions count as entry. A rest that could not be sold on its own is taken along.
    """
    target = position.protection.target(exit_id)
    assert target is not None
    instrument = position.instrument
    orders = [each for each in position.exits if each.stands_for == exit_id]
    done = sum((each.filled + each.outstanding for each in orders), ZERO)  # or on its way
    due = instrument.whole_lots(target.part * position.entry_quantity - done)
    quantity = max(due, instrument.lot_size, ceil_to(instrument.min_quantity, instrument.lot_size))
    free = instrument.whole_lots(position.free_quantity)
    rest = free - quantity
    parts = sum((each.part for each in position.protection.targets), ZERO)
    others_open = [each for each in position.protection.open_targets() if each.exit_id != exit_id]
    last = not others_open and parts >= ONE
    dust = rest * target.price < instrument.min_notional or rest < instrument.min_quantity
    if last or dust:
        return free
    return ZERO if done > ZERO >= due else min(quantity, free)


def fire(
    decision: Draft,
    exit_id: ExitId,
    reason: ExitReason,
    quantity: Decimal,
    trigger: Trigger | None,
    crossed: Crossed | None,
    *,
    whole: bool,
    armed: bool,
) -> None:
    """Send an exit order; only an id that was durable before may leave at once.

    On spot it waits until the stop at the venue has let go of its units. On a swap both only
    reduce: the exit leaves, and the stop rests on until it is over.
    """
    position = decision.position
    beside = leaves_beside(position)
    rule, exit_id = exit_id, _not_under_way(position, exit_id)
    order = ExitOrder(
        exit_id=exit_id,
        client_order_id=order_id_of(position, exit_id),
        reason=reason,
        quantity=quantity,
        whole=whole,
        trigger=trigger,
        frame=decision.market.frame if trigger is None else trigger.frame,
        price=decision.market.last if trigger is None else trigger.price,
        waits=bool(position.at_venue.live) and not beside,
        beside=beside,
        rule=None if rule == exit_id else rule,
    )
    # Only an id that was durable before may leave at once.
    known = ArmedExit(exit_id, order.client_order_id) in position.armed
    best, worst = None, None
    if crossed is not None:
        best, worst = crossed.high, crossed.low
    decision.record(ExitFired(order, decision.now, best, worst))
    symbol = position.instrument.symbol
    if not order.waits:
        decision.then(
            SubmitOrder(exit_terms(position, order), armed=armed and known, decided_at=decision.now)
        )
    decision.then(Disarm(position.id, symbol, None if whole else rule))


def leaves_beside(position: Position) -> bool:
    """Whether an exit leaves while a stop rests at the venue: on a swap, where both only reduce."""
    return bool(position.at_venue.live) and position.instrument.kind is not Kind.SPOT


def _not_under_way(position: Position, exit_id: ExitId) -> ExitId:
    """Return an exit whose order id is not in use: of several parts each has its own order."""
    used = {order.client_order_id for order in position.exits}
    for each in (exit_id, CLOSE):
        if order_id_of(position, each) not in used:
            return each
    return ExitId(f"close-{len(position.exits) + 1}")


def exit_timer(rules: PositionRules, position: Position, order: ExitOrder) -> tuple[WakeAfter, ...]:
    """Return the limit of an exit's wait for the stop at the venue; none where it has none.

    The exit of a swap only reduces, so that a stop that fires beside it cannot turn the position.
    On spot both would sell, the second what belongs to somebody else.
    """
    if position.instrument.kind is Kind.SPOT:
        return ()
    return (WakeAfter(rules.exit_waits_s, "release_exit", order.exit_id),)


def exit_terms(position: Position, order: ExitOrder) -> OrderTerms:
    """Return the order that an exit sends."""
    return OrderTerms(
        client_order_id=order.client_order_id,
        position_id=position.id,
        symbol=position.instrument.symbol,
        side=position.direction.exit_side,
        type=OrderType.MARKET,
        quantity=order.quantity,
        reduce_only=True,
        leverage=position.leverage,
    )


def arming(position: Position, without: Container[ExitId] = ()) -> Arm:
    """Return what lets the feed watch the present levels, but for some."""
    levels = levels_of(position.protection, position.direction)
    return Arm(
        position_id=position.id,
        symbol=position.instrument.symbol,
        version=position.protection.version,
        levels=tuple(level for level in levels if level.exit_id not in without),
        since=position.armed_since,
    )


def armed_exits(position: Position, protection: Protection) -> tuple[ArmedExit, ...]:
    """Return the order id of every exit that `protection` may fire."""
    ids = []
    even = protection.breakeven
    if protection.stop is not None or (even is not None and not even.done):
        ids.append(STOP)  # breakeven may set one, and it must not wait for the disk then
    ids.extend(target.exit_id for target in protection.open_targets())
    if protection.trail is not None:
        ids.append(TRAIL)
    if protection.time_exit is not None:
        ids.append(TIME)
    ids.append(CLOSE)
    return tuple(ArmedExit(exit_id, order_id_of(position, exit_id)) for exit_id in ids)


def order_id_of(position: Position, exit_id: ExitId) -> ClientOrderId:
    """Return the id that the order of an exit has now."""
    leg = exit_id if "-" in exit_id else f"{exit_id}-0"
    return client_order_id(position.account, position.id, leg, epoch_of(position, exit_id))


def exit_named_by(position: Position, order_id: ClientOrderId) -> ExitId | None:
    """Return the exit that an id of ours stands for, though its rule may be gone by now.

    Its order left just before a crash, and a person took the rule away before anybody told of it.
    """
    identity = identity_of(order_id)
    if identity is None or identity.position_id != position.id:
        return None
    name, _, number = identity.leg.partition("-")
    if name not in _EXIT_LEGS:
        return None
    return ExitId(name if number == "0" else identity.leg)


def reason_of(exit_id: ExitId) -> ExitReason:
    """Return what the firing of an exit means."""
    match exit_id:
        case "stop":
            return ExitReason.STOP_LOSS
        case "trail":
            return ExitReason.TRAILING_STOP
        case "time":
            return ExitReason.TIME_EXIT
        case _ if exit_id.startswith("target-"):
            return ExitReason.TAKE_PROFIT
        case _:
            return ExitReason.MANUAL_CLOSE


def failed_targets(position: Position) -> frozenset[ExitId]:
    """Return the targets whose last order ended short.

    Watched at once after a failure, two that are crossed would fire at each other's, without a
    pause. Whichever is tried first watches all of them again.
    """
    targets = {target.exit_id for target in position.protection.open_targets()}
    return frozenset(targets.intersection(each.stands_for for each in _ended_short(position)))


def failed_exits(position: Position) -> tuple[ExitId, ...]:
    """Return the exits whose last order ended short, but for targets: those are armed again."""
    is_closing = position.status is PositionStatus.CLOSING
    failed = dict.fromkeys(tried_again_as(position, each) for each in _ended_short(position))
    if not is_closing:
        return tuple(each for each in failed if position.protection.target(each) is None)
    if failed:
        return tuple(failed)
    left = position.instrument.whole_lots(position.free_quantity)
    return (CLOSE,) if left > ZERO else ()  # of what an exit under way had claimed


def tried_again_as(position: Position, order: ExitOrder) -> ExitId:
    """Return what is tried again when an order failed: for a part of a target, the target."""
    rule = order.stands_for
    return order.exit_id if position.protection.target(rule) is None else rule


def _ended_short(position: Position) -> list[ExitOrder]:
    """Return the last order of each exit, where it is over and did not fill."""
    last = {order.exit_id: order for order in position.exits if not order.at_venue}
    return [order for order in last.values() if order.done and order.filled < order.quantity]


def closing_reason(decision: Draft) -> ExitReason:
    """Return why the position closes: the last exit that was meant to end it, else the last one.

    Not a stop at the venue that fired when another exit had sold all. Without any exit, too little
    was ever held to be guarded.
    """
    position = decision.position
    exits = [
        order for order in position.exits if order.filled or not (order.at_venue and order.done)
    ]
    whole = [order for order in exits if order.whole]
    if exits:
        return (whole or exits)[-1].reason
    return position.withdrawn or ExitReason.UNPROTECTED
