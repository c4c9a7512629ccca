"""The limits of a trader and of an account, and whether a plan makes sense at all.

Ratios are fractions, 0-1: 0.02 is 2 %. A check returns refusals and changes nothing. The limits
that depend on size are in `size_bounds.py`, because they must also say the largest that would pass.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from domain.commands import ProtectionPlan, TargetPlan
from domain.errors import Refusal
from domain.instrument import Direction, Instrument, Kind, PriceSource
from domain.money import HUNDRED, ONE, ZERO, plain
from domain.pnl import breakeven_price

# Beyond any price or size of a real market; keeps every product within 28 digits.
MAX_NUMBER = Decimal("1e12")
MAX_TARGETS = 20
MAX_HOLDING_S = 10 * 365 * 86_400.0  # a calendar ends, and a date beyond it is none


class TraderLimits(msgspec.Struct, frozen=True):
    """What one trader may do. Raises `ValueError` when a limit makes no sense."""

    max_positions: int = 3
    max_risk_ratio: Decimal = Decimal("0.02")  # of equity, lost when the stop is hit
    min_confidence: Decimal = ZERO  # 0-1
    max_position_ratio: Decimal = Decimal("0.2")  # notional of one position / equity of the account

    def __post_init__(self) -> None:
        _require_ratios(
            max_risk_ratio=self.max_risk_ratio,
            min_confidence=self.min_confidence,
        )
        if self.max_positions < 0:
            raise ValueError("max_positions cannot be negative")
        if not self.max_position_ratio.is_finite() or self.max_position_ratio < ZERO:
            raise ValueError("max_position_ratio must be 0 or more; 0.2 is 20 %, 2 is twice equity")


class AccountLimits(msgspec.Struct, frozen=True):
    """What one account may do. Raises `ValueError` when a limit makes no sense."""

    max_positions: int = 10
    max_leverage: Decimal = Decimal(10)  # of one entry, and exposure / equity of the account
    daily_loss_cap: Decimal | None = None  # quote
    daily_drawdown_ratio: Decimal = Decimal("0.05")  # of the equity at 00:00 UTC: stops entries
    total_drawdown_ratio: Decimal = Decimal("0.20")  # of the high-water mark: closes everything
    balance_buffer_ratio: Decimal = Decimal("0.10")  # of the balance, never reserved
    max_stop_distance_ratio: Decimal = Decimal("0.5")  # distance / entry price
    fee_ratio: Decimal = Decimal("0.001")  # taker, for reservations and targets
    slippage_ratio: Decimal = Decimal("0.001")  # reserved on top for a market entry

    def __post_init__(self) -> None:
        _require_ratios(
            daily_drawdown_ratio=self.daily_drawdown_ratio,
            total_drawdown_ratio=self.total_drawdown_ratio,
            balance_buffer_ratio=self.balance_buffer_ratio,
            max_stop_distance_ratio=self.max_stop_distance_ratio,
            fee_ratio=self.fee_ratio,
            slippage_ratio=self.slippage_ratio,
        )
        if self.fee_ratio == ONE:
            raise ValueError("fee_ratio must be below 1")
        if ZERO in {self.daily_drawdown_ratio, self.total_drawdown_ratio}:
            raise ValueError("a drawdown ratio must be above 0; 1 switches the limit off")
        if self.max_positions < 0:
            raise ValueError("max_positions cannot be negative")
        if not self.max_leverage.is_finite() or self.max_leverage < ONE:
            raise ValueError("max_leverage must be at least 1")
        if self.daily_loss_cap is not None and not is_usable(self.daily_loss_cap):
            raise ValueError("daily_loss_cap must be greater than 0, or left out")


def _require_ratios(**ratios: Decimal) -> None:
    for name, ratio in ratios.items():
        if not (ratio.is_finite() and ZERO <= ratio <= ONE):
            raise ValueError(f"{name} is a fraction from 0 to 1, not {ratio}: 0.02 means 2 %")


def shown(value: Decimal) -> str:
    """Print an amount as a person reads it: no exponent, at most eight decimals."""
    text = f"{value:.8f}".rstrip("0").rstrip(".")
    return text if value == ZERO or text not in {"0", "-0"} else plain(value)


def percent(ratio: Decimal) -> str:
    """Print a fraction as percent: 0.02 is "2 %"."""
    return f"{plain(ratio * HUNDRED)} %"


def is_usable(number: Decimal) -> bool:
    """Whether a price or size is finite, greater than zero and of this world."""
    return number.is_finite() and ZERO < number <= MAX_NUMBER


def loss_distance(plan: ProtectionPlan, price: Decimal) -> Decimal | None:
    """Return how far from `price` the loss is bounded, in quote per base unit; None when it is not.

    The stop counts when there is one, although a closer trail may fire first: risk is what
    may be lost, not what is likely.
    """
    if plan.stop_price is not None:
        return abs(price - plan.stop_price)
    if plan.trail_ratio is not None:
        return price * plan.trail_ratio
    return plan.trail_distance


def plan_problems(
    plan: ProtectionPlan,
    direction: Direction,
    price: Decimal,
    instrument: Instrument,
    fee_ratio: Decimal,
) -> tuple[Refusal, ...]:
    """Return what is wrong with a plan for an entry at `price`; empty when it makes sense.

    `fee_ratio` is the taker fee: a target must earn more than it costs to get in and out, and a
    trail follow from no nearer than that. A stop or target at the entry price itself would fire at
    once and is on the wrong side.
    """
    problems: list[Refusal] = []
    problems.extend(_watch_problems(plan, instrument))
    problems.extend(_stop_problems(plan, direction, price, instrument))
    problems.extend(_targets_problems(plan, direction, price, instrument, fee_ratio))
    problems.extend(_trail_problems(plan, price, instrument, fee_ratio))
    problems.extend(_breakeven_problems(plan, direction, price, instrument, fee_ratio))
    if plan.max_holding_s is not None and not 0 < plan.max_holding_s <= MAX_HOLDING_S:
        problems.append(
            Refusal(
                rule="INVALID_HOLDING_TIME",
                message=f"Holding time {plan.max_holding_s} s is not a time to hold.",
                remedy="Give seconds greater than 0 and up to ten years, or none.",
                actual=str(plan.max_holding_s),
                limit=str(MAX_HOLDING_S),
            )
        )
    return tuple(problems)


def invalid_price(what: str, price: Decimal, instrument: Instrument) -> Refusal:
    """Return the refusal of a number that is no price."""
    return Refusal(
        rule="INVALID_PRICE",
        message=f"{what} {price} is no price for {instrument.symbol}.",
        remedy="Give a number greater than 0.",
        actual=str(price),
        limit="0",
    )


def _side(direction: Direction, *, favorable: bool) -> str:
    return "above" if (direction is Direction.LONG) == favorable else "below"


def _watch_problems(plan: ProtectionPlan, instrument: Instrument) -> Iterator[Refusal]:
    """Nobody tells a mark of spot: what watches it never fires."""
    if instrument.kind is Kind.SPOT and PriceSource.MARK in {plan.guard_source, plan.target_source}:
        yield Refusal(
            rule="NO_MARK",
            message=f"{instrument.symbol} is spot and has no mark price: what watches it never "
            "fires.",
            remedy="Let stop and targets watch last, bid or ask.",
            actual=PriceSource.MARK.value,
            limit=PriceSource.LAST.value,
        )


def _stop_problems(
    plan: ProtectionPlan, direction: Direction, price: Decimal, instrument: Instrument
) -> Iterator[Refusal]:
    stop = plan.stop_price
    if stop is None:
        return
    if not is_usable(stop):
        yield invalid_price("Stop", stop, instrument)
    elif (price - stop) * direction.sign <= ZERO:
        side = _side(direction, favorable=False)
        yield Refusal(
            rule="STOP_ON_WRONG_SIDE",
            message=f"Stop {shown(stop)} is not {side} {shown(price)} for a {direction.value} "
            f"of {instrument.symbol}.",
            remedy=f"Set the stop {side} {shown(price)}.",
            actual=plain(stop),
            limit=plain(price),
        )


def _targets_problems(
    plan: ProtectionPlan,
    direction: Direction,
    price: Decimal,
    instrument: Instrument,
    fee_ratio: Decimal,
) -> Iterator[Refusal]:
    if len(plan.targets) > MAX_TARGETS:
        yield Refusal(
            rule="TOO_MANY_TARGETS",
            message=f"{len(plan.targets)} targets are more than {MAX_TARGETS}.",
            remedy=f"Give at most {MAX_TARGETS}.",
            actual=str(len(plan.targets)),
            limit=str(MAX_TARGETS),
        )
        return
    parts = [target.part for target in plan.targets]
    wrong = next((part for part in parts if not (part.is_finite() and ZERO < part <= ONE)), None)
    if wrong is not None:
        yield Refusal(
            rule="INVALID_PART",
            message=f"A target cannot close the part {wrong} of a position.",
            remedy="Give each target a part above 0 and at most 1; 0.5 is half.",
            actual=str(wrong),
            limit="1",
        )
    elif sum(parts, ZERO) > ONE:
        total = sum(parts, ZERO)
        yield Refusal(
            rule="PARTS_OVER_100",
            message=f"The targets close {percent(total)} of the position.",
            remedy=f"Lower the parts by {percent(total - ONE)} to at most 100 %.",
            actual=plain(total),
            limit="1",
        )
    for target in plan.targets:
        yield from _target_problems(target, direction, price, instrument, fee_ratio)


def _target_problems(
    target: TargetPlan,
    direction: Direction,
    price: Decimal,
    instrument: Instrument,
    fee_ratio: Decimal,
) -> Iterator[Refusal]:
    if not is_usable(target.price):
        yield invalid_price("Target", target.price, instrument)
        return
    side = _side(direction, favorable=True)
    even = breakeven_price(direction, price, fee_ratio)
    if (target.price - price) * direction.sign <= ZERO:
        yield Refusal(
            rule="TARGET_ON_WRONG_SIDE",
            message=f"Target {shown(target.price)} is not {side} {shown(price)} for a "
            f"{direction.value} of {instrument.symbol}.",
            remedy=f"Set the target {side} {shown(even)}.",
            actual=plain(target.price),
            limit=plain(price),
        )
    elif (target.price - even) * direction.sign <= ZERO:
        yield Refusal(
            rule="TARGET_BELOW_FEES",
            message=f"Target {shown(target.price)} earns less than the fees of "
            f"{percent(fee_ratio)} each way for {instrument.symbol}.",
            remedy=f"Set the target {side} {shown(even)}.",
            actual=plain(target.price),
            limit=shown(even),
        )


def _trail_problems(
    plan: ProtectionPlan, price: Decimal, instrument: Instrument, fee_ratio: Decimal
) -> Iterator[Refusal]:
    ratio, distance = plan.trail_ratio, plan.trail_distance
    if ratio is not None and distance is not None:
        yield Refusal(
            rule="TRAIL_AMBIGUOUS",
            message="A trail follows by a ratio or by a distance, not by both.",
            remedy="Give one of the two.",
        )
    if ratio is not None and not (ratio.is_finite() and ZERO < ratio < ONE):
        yield Refusal(
            rule="INVALID_TRAIL",
            message=f"A trail cannot follow by the ratio {ratio}.",
            remedy="Give a ratio between 0 and 1; 0.02 is 2 %.",
            actual=str(ratio),
            limit="1",
        )
    elif ratio is not None and ratio < least_trail(fee_ratio):
        yield _trail_too_close(percent(ratio), percent(least_trail(fee_ratio)), instrument)
    if distance is not None and not (is_usable(distance) and distance < price):
        yield Refusal(
            rule="INVALID_TRAIL",
            message=f"A trail cannot follow {instrument.symbol} at {shown(price)} "
            f"by the distance {distance}.",
            remedy=f"Give a distance above 0 and below {shown(price)}.",
            actual=str(distance),
            limit=plain(price),
        )
    elif distance is not None and distance < price * least_trail(fee_ratio):
        least = shown(price * least_trail(fee_ratio))
        yield _trail_too_close(shown(distance), least, instrument)


def least_trail(fee_ratio: Decimal) -> Decimal:
    """Return from how near a trail may follow, as a fraction of the price: what both fees take.

    Nearer, the way from ask to bid or the next trade fires it at once, and it loses every time.
    """
    return 2 * fee_ratio


def _trail_too_close(width: str, least: str, instrument: Instrument) -> Refusal:
    return Refusal(
        rule="TRAIL_TOO_CLOSE",
        message=f"A trail of {width} follows {instrument.symbol} more closely than both fees take, "
        f"{least}: it fires at once.",
        remedy=f"Give {least} or more. A distance is in quote: 2 % is written 2%.",
        actual=width,
        limit=least,
    )


def _breakeven_problems(
    plan: ProtectionPlan,
    direction: Direction,
    price: Decimal,
    instrument: Instrument,
    fee_ratio: Decimal,
) -> Iterator[Refusal]:
    trigger = plan.breakeven_price
    if trigger is None:
        return
    if not is_usable(trigger):
        yield invalid_price("Breakeven", trigger, instrument)
        return
    even = breakeven_price(direction, price, fee_ratio)
    if (trigger - even) * direction.sign <= ZERO:
        side = _side(direction, favorable=True)
        yield Refusal(
            rule="BREAKEVEN_TOO_CLOSE",
            message=f"Breakeven at {shown(trigger)} would move the stop of a {direction.value} of "
            f"{instrument.symbol} to {shown(even)}, where it fires at once.",
            remedy=f"Set it {side} {shown(even)}.",
            actual=plain(trigger),
            limit=shown(even),
        )
