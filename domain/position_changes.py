"""What people and strategies change: closing by command, modifications, held suggestions."""

from decimal import Decimal

from msgspec.structs import replace

from domain.commands import ClosePosition, ModifyProtection, RequestedBy
from domain.errors import Refusal
from domain.ids import ExitId
from domain.inputs import ResolveConflict
from domain.modifications import Market, draft, validate
from domain.money import ONE, ZERO, ceil_to
from domain.position import Conflict, Modification, Position, PositionStatus, Validation
from domain.position_draft import Draft
from domain.position_events import (
    ConflictResolved,
    EntryWithdrawn,
    ModificationRefused,
    ProtectionModified,
    ProtectionSet,
    SuggestionHeld,
)
from domain.position_exits import (
    armed_exits,
    cancel_entries,
    cancels_of,
    fire,
    fire_all,
    parts_of,
)
from domain.position_guards import guards
from domain.position_life import resting_entries
from domain.protection import CLOSE, ExitReason


def close(decision: Draft, close: ClosePosition) -> None:
    """Fire an exit of all, or of a part, by command; an entry that has not filled is canceled."""
    position = decision.position
    refusal = _close_refusal(position, close)
    if refusal is not None:
        decision.answer(close.request_id, refusal)
        return
    if position.status is PositionStatus.ENTRY_PENDING:
        if position.withdrawn is None:  # durable before the answer: a crash must not forget it
            decision.record(EntryWithdrawn(close.reason, decision.now))
        decision.then(*cancel_entries(position))
        decision.answer(close.request_id)
        return
    if close.part == ONE:
        fire_all(decision, CLOSE, close.reason, armed=True)
    else:
        instrument = position.instrument
        quantity = instrument.whole_lots(position.free_quantity * close.part)
        if quantity < max(instrument.lot_size, instrument.min_quantity):
            decision.answer(close.request_id, _part_too_small(position, close.part))
            return
        whole = position.free_quantity - quantity < instrument.lot_size
        for part in parts_of(instrument, quantity, decision.market.last):
            exit_id = ExitId(f"close-{len(decision.position.exits) + 1}")
            fire(decision, exit_id, close.reason, part, None, None, whole=whole, armed=False)
    decision.answer(close.request_id)


def withdraw(decision: Draft) -> None:
    """Cancel the entries that rest. What is held stays, and so does what they add until then.

    Where nothing is held yet, what an entry fills all the same is closed.
    """
    position = decision.position
    resting = resting_entries(position)
    is_pending = position.status is PositionStatus.ENTRY_PENDING
    if resting and is_pending and position.withdrawn is None:
        decision.record(EntryWithdrawn(ExitReason.ENTRIES_STOPPED, decision.now))
    decision.then(*cancels_of(position, resting))


def _close_refusal(position: Position, close: ClosePosition) -> Refusal | None:
    if position.is_closed:
        return Refusal("ALREADY_CLOSED", f"Position {position.id} is closed.")
    if not ZERO < close.part <= ONE:
        return Refusal(
            "INVALID_PART",
            f"Part {close.part} is not between 0 and 1.",
            "Give a part such as 50% or 0.5.",
        )
    if position.status is PositionStatus.CLOSING:
        return Refusal(
            "ALREADY_CLOSING",
            f"An exit of position {position.id} is under way.",
            "Wait for its fill: `holdfast position ID` shows it.",
        )
    is_pending = position.status is PositionStatus.ENTRY_PENDING
    if is_pending and close.part != ONE:
        return Refusal(
            "NOTHING_FILLED",
            f"The entry of position {position.id} has filled nothing that a part could be of.",
            f"Cancel it as a whole: holdfast close {position.id}.",
        )
    if not is_pending and position.free_quantity <= ZERO:
        return Refusal("ALREADY_CLOSING", "Exits under way have claimed all that remains.")
    return None


def _part_too_small(position: Position, part: Decimal) -> Refusal:
    instrument = position.instrument
    least = max(instrument.lot_size, instrument.min_quantity)
    return Refusal(
        "QUANTITY_BELOW_LOT",
        f"{part} of {position.free_quantity} {instrument.base} is below {least}.",
        f"Close at least {ceil_to(least / position.free_quantity * 100, Decimal('0.1'))} %.",
        actual=str(position.free_quantity * part),
        limit=str(least),
    )


def modify(decision: Draft, command: ModifyProtection, market: Market) -> None:
    """Check a change of protection, then do it, refuse it, or hold it for a person."""
    position = decision.position
    rules = decision.rules.modifications
    validation = validate(position, command, decision.now, rules, market)
    modification = modification_of(decision, command, validation)
    if not validation.passed:
        if not position.is_closed:
            decision.record(ModificationRefused(modification))
        decision.answer(command.request_id, refusal_of(validation))
        return
    if position.manual_lock and not command.requested_by.is_manual:
        _hold(decision, command, modification)
        return
    apply_change(decision, modification)
    decision.answer(command.request_id)


def modification_of(
    decision: Draft, command: ModifyProtection, validation: Validation
) -> Modification:
    """Return what is kept of a change that was asked for, done or refused."""
    before = decision.position.protection
    is_done = validation.passed
    return Modification(
        type=command.type,
        requested_by=command.requested_by,
        reason=command.reason,
        previous=before,
        new=draft(decision.position, command, decision.market) if is_done else before,
        validation=validation,
        at=decision.now,
        error="; ".join(validation.errors),
    )


def _hold(decision: Draft, command: ModifyProtection, modification: Modification) -> None:
    """Keep a suggestion until a person decides; one that is held already is not held again."""
    position = decision.position
    wanted = replace(modification.new, version=0)
    held = next(
        (
            each.conflict_id
            for each in position.conflicts
            if each.modification.type is modification.type
            and not is_outdated(position, each)
            and replace(each.modification.new, version=0) == wanted
        ),
        None,
    )
    if held is None:
        held = f"c{position.conflict_count + 1}"
        decision.record(SuggestionHeld(Conflict(held, modification, command)))
    decision.answer(
        command.request_id,
        Refusal(
            "MANUAL_LOCK",
            "A person changed this position; the suggestion is kept for a decision.",
            f"Accept or refuse it: conflict {held}, see holdfast conflicts.",
        ),
    )


def is_outdated(position: Position, conflict: Conflict) -> bool:
    """Whether the protection has changed since a suggestion was made; then it means nothing."""
    return conflict.modification.previous.version != position.protection.version


def apply_change(decision: Draft, modification: Modification) -> None:
    """Set the protection that a change leads to, and have it guarded."""
    new = replace(modification.new, version=decision.position.protection.version + 1)
    modification = replace(modification, new=new)
    decision.record(ProtectionSet(new, armed_exits(decision.position, new), decision.now))
    decision.record(ProtectionModified(modification))
    decision.then(*guards(decision.position, decision.rules))


_SAYS = {
    "NOT_OPEN": "The position is: {}; it must be {}.",
    "EXPIRED": "The request came at {}, it was good {}.",
    "STALE_VERSION": "The protection is at {}, the change was based on {}.",
    "INVALID_PRICE": "A price of {} is none; it must be {}.",
    "STALE_PRICE": "There is {}; an automatic change needs {}.",
    "LOW_CONFIDENCE": "Confidence is {}; required: {}.",
    "TOO_SOON": "The last automatic change was {}; required: {}.",
    "STOP_ON_WRONG_SIDE": "A stop at {} would fire at once; it must be {}.",
    "WOULD_WIDEN": "Moving it to {} risks more than now; it must be {}.",
    "RISK_TOO_LARGE": "The stop would be {}; allowed: {}.",
    "TRAIL_TOO_CLOSE": "A trail of {} would fire at once; it must be {}, what both fees take.",
    "UNKNOWN_TARGET": "There is no open target {}; needed: {}.",
    "TARGET_ON_WRONG_SIDE": "A target at {} would fire at once; it must be {}.",
    "TARGET_BELOW_FEES": "A target at {} would not earn the fees; it must be {}.",
    "PARTS_OVER_100": "The targets would close {}; allowed: {}.",
}
_REMEDIES = {
    "NOT_OPEN": "See what became of it: holdfast position ID.",
    "EXPIRED": "Ask again.",
    "STALE_VERSION": "Look at it, then ask again with the present version: holdfast position ID.",
    "INVALID_PRICE": "Give a price greater than zero.",
    "STALE_PRICE": "Wait until the feed is back: holdfast status shows its age.",
    "LOW_CONFIDENCE": "Let a person change it.",
    "TOO_SOON": "Wait, or let a person change it.",
    "MISSING_PRICE": "Give what is missing.",
    "STOP_ON_WRONG_SIDE": "To leave at once: holdfast close ID.",
    "WOULD_WIDEN": "A person may widen it: --widen.",
    "RISK_TOO_LARGE": "Set the stop nearer to the entry.",
    "TRAIL_TOO_CLOSE": "A distance is in quote: 2 % is written 2%. To leave: holdfast close ID.",
    "UNKNOWN_TARGET": "See its targets: holdfast position ID.",
    "TARGET_ON_WRONG_SIDE": "To take the profit at once: holdfast close ID.",
    "TARGET_BELOW_FEES": "Set it further away.",
    "PARTS_OVER_100": "Give a smaller part, or cancel a target first.",
}


def refusal_of(validation: Validation) -> Refusal:
    """Return the first rule that a change breaks, as whoever asked is told."""
    check = validation.constraints[0]
    says = _SAYS.get(check.name, "It is {}; required: {}.")
    return Refusal(
        check.name,
        says.format(check.current, check.required),
        _REMEDIES.get(check.name, ""),
        actual=check.current,
        limit=check.required,
    )


def resolve(decision: Draft, command: ResolveConflict, market: Market) -> None:
    """Do or drop a held suggestion. Time has passed: it is checked again before it is done."""
    position = decision.position
    conflict = next(
        (each for each in position.conflicts if each.conflict_id == command.conflict_id), None
    )
    if conflict is None:
        known = ", ".join(each.conflict_id for each in position.conflicts) or "none"
        message = f"Position {position.id} has no conflict {command.conflict_id}."
        remedy = f"It has: {known}. List all: holdfast conflicts."
        decision.answer(command.request_id, Refusal("UNKNOWN_CONFLICT", message, remedy))
        return
    change = _accepted(decision, conflict, market) if command.accept else None
    if isinstance(change, Refusal):
        decision.answer(command.request_id, change)
        return
    decision.record(ConflictResolved(conflict.conflict_id, command.accept, decision.now))
    if change is not None:
        apply_change(decision, change)
    decision.answer(command.request_id)


def _accepted(decision: Draft, conflict: Conflict, market: Market) -> Modification | Refusal:
    """Return the change as if the person who accepts it had asked for it now, or why not.

    It is drafted anew: targets may have fired since.
    """
    position, wish = decision.position, conflict.wish
    if wish is None or is_outdated(position, conflict):
        return Refusal(
            "STALE_VERSION",
            "The protection changed since the suggestion was made.",
            "Refuse it; make the change yourself if it is still wanted.",
        )
    if not market.is_fresh:
        return Refusal("STALE_PRICE", "There is no fresh price.", _REMEDIES["STALE_PRICE"])
    command = replace(wish, requested_by=RequestedBy.USER_MANUAL, widen=False, expires_at=None)
    rules = decision.rules.modifications
    validation = validate(position, command, decision.now, rules, market)
    if not validation.passed:
        return refusal_of(validation)
    return replace(
        conflict.modification,
        previous=position.protection,
        new=draft(position, command, market),
        at=decision.now,
    )
