"""Whether a change of protection is allowed, and what it leads to.

Every rule is told with current and required value.

Automatic changes may only tighten, rarely, and with confidence. A person may also widen a stop, but
says so (`widen`) and stays within the risk limit. Both must have seen the version they change.
"""

from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from domain.commands import ModificationType, ModifyProtection
from domain.ids import ExitId
from domain.money import ONE, ZERO, plain
from domain.position import Check, Position, PositionStatus, Validation
from domain.protection import Protection, Stop, Target, Trail, is_tighter
from domain.risk import least_trail, percent, shown

_S = PositionStatus
_MODIFIABLE = frozenset({_S.OPEN_UNPROTECTED, _S.OPEN_PROTECTED, _S.MODIFYING, _S.ADOPTED})
_T = ModificationType


class ModificationRules(msgspec.Struct, frozen=True):
    """Limits on changes of protection."""

    automatic_every_s: float = 300.0
    min_confidence: Decimal = Decimal("0.7")
    max_stop_distance_ratio: Decimal = Decimal("0.5")  # of the entry price
    fee_ratio: Decimal = Decimal("0.0005")  # one side


class Market(msgspec.Struct, frozen=True):
    """Prices a decision may rely on, as the feed last saw them."""

    last: Decimal | None = None
    is_fresh: bool = False
    frame: int = 0  # how many frames the feed had received


NO_MARKET = Market()


def validate(
    position: Position,
    command: ModifyProtection,
    now: datetime,
    rules: ModificationRules,
    market: Market,
) -> Validation:
    """Return every error, warning and constraint; nothing is changed."""
    checks = [*_common(position, command, now, market)]
    if not command.requested_by.is_manual:
        checks += _automatic(position, command, now, rules)
    match command.type:
        case _T.MOVE_SL:
            checks += _move_stop(position, command, rules, market)
        case _T.TRAIL_SL:
            checks += _trail(position, command, rules, market)
        case _T.ADD_TP | _T.MODIFY_TP:
            checks += _target(position, command, rules, market)
        case _T.CANCEL_TP:
            checks += _known_target(position, command)
    warnings = () if market.is_fresh else ("STALE_PRICE",)
    return Validation(
        errors=tuple(check.name for check in checks), warnings=warnings, constraints=tuple(checks)
    )


def draft(position: Position, command: ModifyProtection, market: Market) -> Protection:
    """Return the protection that a valid command leads to; the caller gives it the next version."""
    old = position.protection
    match command.type:
        case _T.MOVE_SL:
            assert command.price is not None
            watches = old.stop.watches if old.stop is not None else position.plan.guard_source
            return replace(old, stop=Stop(command.price, watches))
        case _T.TRAIL_SL:
            return replace(old, trail=_new_trail(position, command, market))
        case _T.ADD_TP:
            assert command.price is not None
            assert command.part is not None
            target = Target(
                _next_target_id(position), command.price, command.part, position.plan.target_source
            )
            return replace(old, targets=(*old.targets, target))
        case _T.MODIFY_TP:
            return replace(old, targets=tuple(_changed(target, command) for target in old.targets))
        case _T.CANCEL_TP:
            left = tuple(each for each in old.targets if each.exit_id != command.exit_id)
            return replace(old, targets=left)


def _new_trail(position: Position, command: ModifyProtection, market: Market) -> Trail:
    """Return the new trail; one that replaces another keeps the best price that was seen."""
    old = position.protection.trail
    price = market.last if market.last is not None else position.entry_price
    if old is None:
        return Trail(
            price, command.trail_ratio, command.trail_distance, position.plan.guard_source, None
        )
    return replace(old, ratio=command.trail_ratio, distance=command.trail_distance)


def _changed(target: Target, command: ModifyProtection) -> Target:
    if target.exit_id != command.exit_id:
        return target
    return replace(
        target,
        price=target.price if command.price is None else command.price,
        part=target.part if command.part is None else command.part,
    )


def _next_target_id(position: Position) -> ExitId:
    """Number on from the highest ever used: an order id of an old target must not come back."""
    used = [target.exit_id for target in position.protection.targets]
    used += [order.exit_id for order in position.exits]
    for change in position.modifications:
        used += [target.exit_id for target in change.new.targets]
        used += [target.exit_id for target in change.previous.targets]
    numbers = [int(name.partition("-")[2]) for name in used if name.startswith("target-")]
    return ExitId(f"target-{max([0, *numbers, position.modification_count]) + 1}")


def _common(
    position: Position, command: ModifyProtection, now: datetime, market: Market
) -> list[Check]:
    checks = []
    if position.status not in _MODIFIABLE:
        checks.append(Check("NOT_OPEN", position.status.value.replace("_", " "), "open"))
    if command.expires_at is not None and now > command.expires_at:
        checks.append(Check("EXPIRED", now.isoformat(), f"before {command.expires_at.isoformat()}"))
    version = position.protection.version
    if command.based_on is not None and command.based_on != version:
        checks.append(Check("STALE_VERSION", f"version {version}", f"version {command.based_on}"))
    if command.price is not None and command.price <= ZERO:
        checks.append(Check("INVALID_PRICE", plain(command.price), "greater than 0"))
    if not market.is_fresh and not command.requested_by.is_manual:
        checks.append(Check("STALE_PRICE", "no fresh price", "a price to judge by"))
    return checks


def _automatic(
    position: Position, command: ModifyProtection, now: datetime, rules: ModificationRules
) -> list[Check]:
    checks = []
    if command.confidence < rules.min_confidence:
        checks.append(
            Check("LOW_CONFIDENCE", plain(command.confidence), f">= {plain(rules.min_confidence)}")
        )
    if position.last_automatic_at is not None:
        passed = (now - position.last_automatic_at).total_seconds()
        if 0 <= passed < rules.automatic_every_s:  # below 0: the clock was set back since
            checks.append(
                Check("TOO_SOON", f"{passed:.0f} s ago", f">= {rules.automatic_every_s:.0f} s")
            )
    return checks


def _move_stop(
    position: Position, command: ModifyProtection, rules: ModificationRules, market: Market
) -> list[Check]:
    price, direction = command.price, position.direction
    if price is None:
        return [Check("MISSING_PRICE", "no price", "the new stop price")]
    checks = []
    side = "below" if direction.sign > 0 else "above"
    if market.last is not None and not is_tighter(direction, new=market.last, old=price):
        checks.append(
            Check("STOP_ON_WRONG_SIDE", plain(price), f"{side} the price {plain(market.last)}")
        )
    old = position.protection.stop
    looser = old is not None and is_tighter(direction, new=old.price, old=price)
    if looser and old is not None and not (command.requested_by.is_manual and command.widen):
        checks.append(Check("WOULD_WIDEN", plain(price), f"tighter than {plain(old.price)}"))
    distance = (position.entry_price - price) * direction.sign
    limit = position.entry_price * rules.max_stop_distance_ratio
    if distance > limit and (looser or old is None):  # nearer than now is better, however far
        checks.append(
            Check("RISK_TOO_LARGE", f"{plain(distance)} from entry", f"<= {plain(limit)}")
        )
    return checks


def _trail(
    position: Position, command: ModifyProtection, rules: ModificationRules, market: Market
) -> list[Check]:
    ratio, distance = command.trail_ratio, command.trail_distance
    if (ratio is None) == (distance is None):
        return [Check("INVALID_TRAIL", "none or both", "a percentage or a distance")]
    if ratio is not None and not ZERO < ratio < ONE:
        return [Check("INVALID_TRAIL", f"{plain(ratio * 100)} %", "between 0 and 100 %")]
    if distance is not None and not ZERO < distance < position.entry_price:
        return [Check("INVALID_TRAIL", plain(distance), "between 0 and the entry price")]
    old = position.protection.trail
    if old is None:
        price = position.entry_price if market.last is None else market.last
        return _too_close(command, price, rules)
    new = _new_trail(position, command, market)
    best = old.anchor if market.last is None else market.last
    before, after = (each.level(position.direction, best) for each in (old, new))
    if is_tighter(position.direction, new=after, old=before):
        # By a price that went far since, a distance that was good to begin with may be too small.
        return _too_close(command, min(position.entry_price, best), rules)
    is_wider = is_tighter(position.direction, new=before, old=after)
    if is_wider and not (command.requested_by.is_manual and command.widen):
        return [Check("WOULD_WIDEN", "a wider trail", "a tighter one")]
    return []


def _too_close(command: ModifyProtection, price: Decimal, rules: ModificationRules) -> list[Check]:
    ratio, distance = command.trail_ratio, command.trail_distance
    least = least_trail(rules.fee_ratio)
    if ratio is not None and ratio < least:
        return [Check("TRAIL_TOO_CLOSE", percent(ratio), f"{percent(least)} or more")]
    least *= price
    if distance is not None and distance < least:
        return [Check("TRAIL_TOO_CLOSE", shown(distance), f"{shown(least)} or more")]
    return []


def _known_target(position: Position, command: ModifyProtection) -> list[Check]:
    open_ids = [target.exit_id for target in position.protection.open_targets()]
    if command.exit_id in open_ids:
        return []
    needed = f"one of {', '.join(open_ids)}" if open_ids else "one that is open; there is none"
    return [Check("UNKNOWN_TARGET", str(command.exit_id), needed)]


def _target(
    position: Position, command: ModifyProtection, rules: ModificationRules, market: Market
) -> list[Check]:
    checks = []
    adding = command.type is _T.ADD_TP
    if not adding:
        checks += _known_target(position, command)
        if command.price is None and command.part is None:
            checks.append(Check("MISSING_PRICE", "neither price nor part", "one of them"))
    elif command.price is None or command.part is None:
        return [*checks, Check("MISSING_PRICE", "price or part missing", "both")]
    if command.part is not None:
        checks += _parts(position, command)
    if command.price is None:
        return checks
    sign = position.direction.sign
    side = "above" if sign > 0 else "below"
    if market.last is not None and (command.price - market.last) * sign <= ZERO:
        checks.append(
            Check("TARGET_ON_WRONG_SIDE", plain(command.price), f"{side} {plain(market.last)}")
        )
    least = position.entry_price * (ONE + sign * 2 * rules.fee_ratio)
    if (command.price - least) * sign < ZERO:
        checks.append(Check("TARGET_BELOW_FEES", plain(command.price), f"{side} {plain(least)}"))
    return checks


def _parts(position: Position, command: ModifyProtection) -> list[Check]:
    assert command.part is not None
    if not ZERO < command.part <= ONE:
        return [Check("INVALID_PART", plain(command.part * 100) + " %", "above 0, up to 100 %")]
    others = sum(
        (each.part for each in position.protection.targets if each.exit_id != command.exit_id),
        ZERO,
    )
    if others + command.part > ONE:
        return [
            Check(
                "PARTS_OVER_100",
                f"{plain((others + command.part) * 100)} % in all",
                f"at most {plain((ONE - others) * 100)} % for this one",
            )
        ]
    return []
