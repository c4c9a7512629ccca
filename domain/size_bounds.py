"""The smallest and the largest quantity that an entry may have, each rule with its own bound.

A refusal for size says what would pass under all rules at once, not only under the one it broke:
otherwise whoever follows the advice is refused again. So every rule is computed as a bound first.
Every cap is linear in the quantity (so much quote for each unit, so much room), and every floor
holds for all larger quantities.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from domain.commands import EntryRequest
from domain.errors import Refusal
from domain.instrument import Direction, Instrument, Kind
from domain.money import ONE, ZERO, ceil_to
from domain.risk import AccountLimits, TraderLimits, loss_distance, percent, shown


class EntryFigures(msgspec.Struct, frozen=True):
    """The numbers that size is checked against; all but quantities in quote."""

    request: EntryRequest
    instrument: Instrument
    price: Decimal  # the expected fill
    worst_price: Decimal  # the highest possible fill, without slippage
    equity: Decimal
    free: Decimal  # available, less the buffer
    buffer: Decimal
    exposure: Decimal
    daily_loss: Decimal
    held_notional: Decimal = ZERO  # of the position already, at cost, when it is added to
    held_risk: Decimal = ZERO
    held_quantity: Decimal = ZERO  # base units


class Bound(msgspec.Struct, frozen=True):
    """One rule for the size: a least or a greatest quantity, and what to say when it is broken."""

    rule: str
    quantity: Decimal  # base units, whole lots
    message: str
    actual: Decimal
    limit: Decimal


def size_problem(
    figures: EntryFigures,
    wanted: Decimal,
    trader_limits: TraderLimits,
    account_limits: AccountLimits,
) -> Refusal | None:
    """Return why `wanted` base units, rounded down to lots, cannot be; None when they can."""
    quantity = figures.instrument.whole_lots(wanted)
    floors = tuple(_floors(figures, wanted, quantity, account_limits.fee_ratio))
    caps = tuple(
        _bound_of(cap, quantity, figures.instrument)
        for cap in _caps(figures, trader_limits, account_limits)
    )
    smallest = max(floor.quantity for floor in floors)
    largest = min(cap.quantity for cap in caps)
    broken = next((floor for floor in floors if quantity < floor.quantity), None)
    advice = f"Increase size to {_size(smallest, figures)} or more."
    if broken is None:
        broken = next((cap for cap in caps if quantity > cap.quantity), None)
        advice = f"Reduce size to {_size(largest, figures)} or less."
    if broken is None:
        return None
    if smallest > largest:
        advice = (
            f"No size passes now: the smallest is {_size(smallest, figures)}, "
            f"the largest {_size(largest, figures)}. Add funds, or close positions."
        )
    return Refusal(
        rule=broken.rule,
        message=broken.message,
        remedy=advice,
        actual=shown(broken.actual),
        limit=shown(broken.limit),
    )


def amount_for(figures: EntryFigures, account_limits: AccountLimits) -> Decimal:
    """Return the quote to set aside for each base unit: margin, fee and slippage."""
    worst = figures.worst_price
    if figures.request.limit_price is None:
        worst *= ONE + account_limits.slippage_ratio
    return worst * (ONE / figures.request.leverage + account_limits.fee_ratio)


def _size(quantity: Decimal, figures: EntryFigures) -> str:
    instrument = figures.instrument
    notional = shown(quantity * figures.worst_price)
    return f"{shown(quantity)} {instrument.base} ({notional} {instrument.quote})"


def _floors(
    figures: EntryFigures, wanted: Decimal, quantity: Decimal, fee_ratio: Decimal
) -> Iterator[Bound]:
    instrument = figures.instrument
    symbol, lot = instrument.symbol, instrument.lot_size
    yield Bound(
        rule="QUANTITY_BELOW_LOT",
        quantity=lot,
        message=f"Quantity {shown(wanted)} below lot {shown(lot)} for {symbol}.",
        actual=wanted,
        limit=lot,
    )
    yield Bound(
        rule="BELOW_MIN_QUANTITY",
        quantity=ceil_to(instrument.min_quantity, lot),
        message=f"Quantity {shown(quantity)} below min quantity {shown(instrument.min_quantity)} "
        f"for {symbol}.",
        actual=quantity,
        limit=instrument.min_quantity,
    )
    notional = quantity * figures.price
    yield Bound(
        rule="BELOW_MIN_NOTIONAL",
        quantity=ceil_to(instrument.min_notional / figures.price, lot),
        message=f"Notional {shown(notional)} below min notional {shown(instrument.min_notional)} "
        f"for {symbol}.",
        actual=notional,
        limit=instrument.min_notional,
    )
    if not figures.held_notional:  # an addition leaves together with what is held
        yield from _slice_floors(figures, quantity, fee_ratio)


def _slice_floors(figures: EntryFigures, quantity: Decimal, fee_ratio: Decimal) -> Iterator[Bound]:
    """Every part that an exit may have to sell must be sellable by itself, or it becomes dust.

    The last part to leave may be sold by the stop, where it can be worth less than at entry.
    """
    plan, instrument = figures.request.plan, figures.instrument
    for number, target in enumerate(plan.targets, start=1):
        yield _slice_floor(
            f"Target {number}", target.part, target.price, quantity, instrument, fee_ratio
        )
    rest = ONE - sum((target.part for target in plan.targets), ZERO)
    farthest = max(plan.targets, key=lambda target: abs(target.price - figures.price), default=None)
    part = rest if rest or farthest is None else farthest.part
    price = min(figures.price, plan.stop_price or figures.price)
    yield _slice_floor("The last exit", part, price, quantity, instrument, fee_ratio)


def _slice_floor(
    what: str,
    part: Decimal,
    price: Decimal,
    quantity: Decimal,
    instrument: Instrument,
    fee_ratio: Decimal,
) -> Bound:
    lot = instrument.lot_size
    # On spot the fee of a buy comes out of what was bought: that much less can be sold.
    held = part * (ONE - fee_ratio) if instrument.kind is Kind.SPOT else part
    sellable = ceil_to(max(instrument.min_quantity, instrument.min_notional / price, lot), lot)
    sold = instrument.whole_lots(quantity * held)
    return Bound(
        rule="TARGET_TOO_SMALL" if what.startswith("Target") else "EXIT_TOO_SMALL",
        quantity=ceil_to(sellable / held, lot),
        message=f"{what} sells {shown(sold)} {instrument.base} at {shown(price)}, below the "
        f"smallest order {shown(sellable)} for {instrument.symbol}.",
        actual=sold,
        limit=sellable,
    )


class _Cap(msgspec.Struct, frozen=True):
    """So much of `limit` is used, and each unit would use more."""

    rule: str
    what: str
    per_unit: Decimal
    limit: Decimal
    why: str
    used: Decimal = ZERO
    unit: str = ""  # "": quote


def _caps(
    figures: EntryFigures, trader_limits: TraderLimits, account_limits: AccountLimits
) -> Iterator[_Cap]:
    request, price, equity = figures.request, figures.worst_price, max(ZERO, figures.equity)
    distance = loss_distance(request.plan, price)
    if distance:
        yield _Cap(
            rule="MAX_RISK_TRADER",
            what="Risk",
            per_unit=distance,
            used=figures.held_risk,
            limit=equity * trader_limits.max_risk_ratio,
            why=f"{percent(trader_limits.max_risk_ratio)} of equity, trader {request.trader}",
        )
    yield from _market_caps(figures)
    yield _Cap(
        rule="MAX_POSITION_SHARE",
        what="Notional",
        per_unit=price,
        used=figures.held_notional,
        limit=equity * trader_limits.max_position_ratio,
        why=f"{percent(trader_limits.max_position_ratio)} of equity, trader {request.trader}",
    )
    yield _Cap(
        rule="MAX_EXPOSURE",
        what="Exposure",
        per_unit=price,
        used=figures.exposure,
        limit=equity * account_limits.max_leverage,
        why=f"{shown(account_limits.max_leverage)} times equity",
    )
    if account_limits.daily_loss_cap is not None and distance:
        yield _Cap(
            rule="DAILY_LOSS_CAP",
            what="Loss of the day with this risk",
            per_unit=distance,
            used=figures.daily_loss,
            limit=account_limits.daily_loss_cap,
            why="daily cap",
        )
    yield _Cap(
        rule="INSUFFICIENT_BALANCE",
        what="Needed balance",
        per_unit=amount_for(figures, account_limits),
        limit=figures.free,
        why=f"available, less a buffer of {shown(figures.buffer)}",
    )


def _market_caps(figures: EntryFigures) -> Iterator[_Cap]:
    """What is held must be able to leave with one order at market."""
    instrument, price = figures.instrument, figures.worst_price
    why = "the most that the venue takes of one order at market, by which it has to leave"
    if instrument.max_market is not None:
        yield _Cap(
            rule="MAX_MARKET_ORDER",
            what="Quantity",
            per_unit=ONE,
            used=figures.held_quantity,
            limit=instrument.max_market,
            why=why,
            unit=instrument.base,
        )
    if instrument.max_market_value is not None:
        yield _Cap(
            rule="MAX_MARKET_ORDER",
            what="Notional",
            per_unit=price,
            used=figures.held_quantity * price,
            limit=instrument.max_market_value,
            why=why,
        )


def _bound_of(cap: _Cap, quantity: Decimal, instrument: Instrument) -> Bound:
    room = max(ZERO, cap.limit - cap.used)
    actual = cap.used + quantity * cap.per_unit
    return Bound(
        rule=cap.rule,
        quantity=instrument.whole_lots(room / cap.per_unit),
        message=f"{cap.what} {shown(actual)} above {shown(cap.limit)} "
        f"{cap.unit or instrument.quote} ({cap.why}) for {instrument.symbol}.",
        actual=actual,
        limit=cap.limit,
    )


def expected_price(direction: Direction, price: Decimal, limit_price: Decimal | None) -> Decimal:
    """Return where an entry fills, at best knowledge: a limit beyond the market fills at market."""
    if limit_price is None:
        return price
    return min(price, limit_price) if direction is Direction.LONG else max(price, limit_price)


def worst_price(direction: Direction, price: Decimal, limit_price: Decimal | None) -> Decimal:
    """Return the highest price an entry may fill at: it bounds what is paid and what is held."""
    if limit_price is None:
        return price
    return limit_price if direction is Direction.LONG else max(price, limit_price)
