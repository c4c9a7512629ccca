"""Whether an account takes an entry, apart from its size.

Checks run in the order of `CHECKS`, each assuming what the ones before it made sure of.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from domain.commands import EntryRequest
from domain.errors import Refusal
from domain.ids import ClientOrderId
from domain.instrument import Direction, Instrument, Kind
from domain.modes import ModeCause
from domain.money import ONE, ZERO, ceil_to, floor_to, plain
from domain.portfolio_state import (
    Holding,
    Marks,
    Portfolio,
    available,
    daily_loss,
    equity,
    exposure,
)
from domain.risk import (
    AccountLimits,
    TraderLimits,
    invalid_price,
    is_usable,
    loss_distance,
    percent,
    plan_problems,
    shown,
)
from domain.size_bounds import EntryFigures, expected_price, worst_price


class EntryCase(msgspec.Struct, frozen=True):
    """An entry asked for, and everything it is judged by."""

    portfolio: Portfolio
    request: EntryRequest
    instrument: Instrument
    price: Decimal  # quote, of the market
    client_order_id: ClientOrderId
    trader_limits: TraderLimits
    account_limits: AccountLimits
    causes: tuple[ModeCause, ...]
    marks: Marks
    now: datetime
    held_risk: Decimal = ZERO  # quote lost of what is held at its stop, when it is added to
    is_net: bool = False  # long and short of one swap are one position at the venue
    one_leverage: bool = False  # the venue has one for all positions of a swap

    @property
    def holding(self) -> Holding | None:
        """The position, when the entry adds to one."""
        return self.portfolio.holdings.get(self.request.position_id)

    @property
    def expected_price(self) -> Decimal:
        """Quote, of the fill."""
        return expected_price(self.request.direction, self.price, self.request.limit_price)


def problem_of(case: EntryCase) -> Refusal | None:
    """Return the first reason against the entry that no other size would change."""
    return next((problem for check in CHECKS if (problem := check(case)) is not None), None)


def figures_of(case: EntryCase) -> EntryFigures:
    """Return the numbers that its size is checked against."""
    portfolio, marks, request = case.portfolio, case.marks, case.request
    buffer = case.account_limits.balance_buffer_ratio * portfolio.balance
    holding = case.holding
    pending = [
        reservation
        for reservation in portfolio.reservations.values()
        if reservation.position_id == request.position_id
    ]
    notional = sum((each.open_notional for each in pending), ZERO)
    quantity = sum((each.quantity - each.filled for each in pending), ZERO)
    return EntryFigures(
        request=request,
        instrument=case.instrument,
        price=case.expected_price,
        worst_price=worst_price(request.direction, case.price, request.limit_price),
        equity=equity(portfolio, marks),
        free=available(portfolio, marks) - buffer,
        buffer=buffer,
        exposure=exposure(portfolio, marks),
        daily_loss=daily_loss(portfolio, marks),
        held_notional=ZERO if holding is None else holding.ledger.cost + notional,
        held_risk=case.held_risk,
        held_quantity=ZERO if holding is None else holding.ledger.remaining + quantity,
    )


def _request_problem(case: EntryCase) -> Refusal | None:
    request = case.request
    if request.expires_at is not None and case.now >= request.expires_at:
        return Refusal(
            rule="EXPIRED",
            message=f"The request for {request.symbol} expired at {request.expires_at:%H:%M:%S}.",
            remedy="Ask again.",
            actual=case.now.isoformat(),
            limit=request.expires_at.isoformat(),
        )
    if case.client_order_id in case.portfolio.reservations:
        return Refusal(
            rule="DUPLICATE_ORDER",
            message=f"Order {case.client_order_id} is under way already.",
            remedy="Wait for it to end.",
        )
    if request.position_id in case.portfolio.closed:
        return Refusal(
            rule="POSITION_CLOSED",
            message=f"Position {request.position_id} is closed.",
            remedy="Open a new one.",
        )
    return None


def _price_problem(case: EntryCase) -> Refusal | None:
    if not is_usable(case.price):
        return invalid_price("Market price", case.price, case.instrument)
    limit_price = case.request.limit_price
    if limit_price is None:
        return None
    if not is_usable(limit_price):
        return invalid_price("Limit price", limit_price, case.instrument)
    if case.instrument.is_on_tick(limit_price):
        return None
    tick = case.instrument.tick_size
    below, above = floor_to(limit_price, tick), ceil_to(limit_price, tick)
    nearest = below if below > ZERO and limit_price - below <= above - limit_price else above
    return Refusal(
        rule="OFF_TICK",
        message=f"Limit price {shown(limit_price)} is not a multiple of tick {shown(tick)} "
        f"for {case.instrument.symbol}.",
        remedy=f"The nearest allowed price is {plain(nearest)}.",
        actual=plain(limit_price),
        limit=plain(nearest),
    )


def _mode_problem(case: EntryCase) -> Refusal | None:
    causes = (*case.portfolio.causes, *case.causes)
    cause = max(causes, key=lambda each: each.mode, default=None)
    if cause is None or cause.mode.allows_entries:
        return None
    return Refusal(
        rule="NO_ENTRY_MODE",
        message=f"No entries in mode {cause.mode.name}: {cause.message}",
        remedy=cause.way_out,
        actual=cause.mode.name,
        limit="NORMAL",
    )


def _instrument_problem(case: EntryCase) -> Refusal | None:
    request, instrument = case.request, case.instrument
    if request.symbol != instrument.symbol or instrument.quote != case.portfolio.quote:
        return Refusal(
            rule="WRONG_INSTRUMENT",
            message=f"{instrument.symbol} in {instrument.quote} does not serve a request for "
            f"{request.symbol} on an account in {case.portfolio.quote}.",
            remedy=f"Choose a symbol quoted in {case.portfolio.quote}.",
            actual=instrument.quote,
            limit=case.portfolio.quote,
        )
    if request.direction is Direction.SHORT and instrument.kind is Kind.SPOT:
        return Refusal(
            rule="SHORT_ON_SPOT",
            message=f"{request.symbol} is spot: what is not owned cannot be sold.",
            remedy="Short a swap instead.",
        )
    return _addition_problem(case) or _opposite_problem(case) or _other_leverage_problem(case)


def _addition_problem(case: EntryCase) -> Refusal | None:
    request, holding = case.request, case.holding
    if holding is None:
        return None
    asked = (request.trader, request.symbol, request.direction, request.leverage)
    held = (holding.trader, holding.pair.symbol, holding.direction, holding.leverage)
    if asked == held:
        return None
    return Refusal(
        rule="ADDITION_DIFFERS",
        message=f"Position {request.position_id} is a {holding.direction.value} of "
        f"{holding.pair.symbol} by {holding.trader} at leverage {plain(holding.leverage)}.",
        remedy="Add to it with the same, or open another position.",
    )


def _opposite_problem(case: EntryCase) -> Refusal | None:
    """In net mode an entry the other way would reduce what another position holds."""
    request = case.request
    if not case.is_net or case.instrument.kind is Kind.SPOT:
        return None
    for position_id, held in case.portfolio.holdings.items():
        if held.pair.symbol == request.symbol and held.direction is not request.direction:
            return Refusal(
                rule="OPPOSITE_POSITION",
                message=f"Position {position_id} by {held.trader} is {held.direction.value} in "
                f"{request.symbol}: the venue keeps one net position, which a "
                f"{request.direction.value} entry would reduce.",
                remedy="Close it first, or set the account at the venue to long/short mode.",
                actual=request.direction.value,
                limit=held.direction.value,
            )
    return None


def _other_leverage_problem(case: EntryCase) -> Refusal | None:
    """Where a swap has one leverage, an entry with another changes that of what is held."""
    request = case.request
    if not case.one_leverage or case.instrument.kind is Kind.SPOT:
        return None
    for position_id, held in case.portfolio.holdings.items():
        if held.pair.symbol == request.symbol and held.leverage != request.leverage:
            return Refusal(
                rule="OTHER_LEVERAGE",
                message=f"Position {position_id} by {held.trader} holds {request.symbol} at "
                f"leverage {plain(held.leverage)}: the venue has one leverage for all of it.",
                remedy=f"Use leverage {plain(held.leverage)}, or close that position first.",
                actual=str(request.leverage),
                limit=plain(held.leverage),
            )
    return None


def _leverage_problem(case: EntryCase) -> Refusal | None:
    leverage, instrument = case.request.leverage, case.instrument
    venue = ONE if instrument.kind is Kind.SPOT else instrument.max_leverage
    largest = min(case.account_limits.max_leverage, venue)
    if leverage.is_finite() and ONE <= leverage <= largest:
        return None
    rule = "MAX_LEVERAGE" if leverage.is_finite() and leverage > largest else "INVALID_LEVERAGE"
    return Refusal(
        rule=rule,
        message=f"Leverage {leverage} is not between 1 and {plain(largest)} "
        f"for {instrument.symbol}.",
        remedy=f"Use leverage {plain(largest)} or less, at least 1.",
        actual=str(leverage),
        limit=plain(largest),
    )


def _plan_problem(case: EntryCase) -> Refusal | None:
    request, price = case.request, case.expected_price
    fee_ratio = case.account_limits.fee_ratio
    plan = request.plan
    if case.holding is not None:  # its trail was judged when it was set, by the price it had then
        plan = replace(plan, trail_ratio=None, trail_distance=None)
    problems = plan_problems(plan, request.direction, price, case.instrument, fee_ratio)
    if problems:
        return problems[0]
    distance = loss_distance(request.plan, price)
    if distance is None:
        return None if request.requested_by.is_manual else _no_stop(request)
    ratio, largest = distance / price, case.account_limits.max_stop_distance_ratio
    if ratio > largest:
        return Refusal(
            rule="STOP_TOO_FAR",
            message=f"The stop of {request.symbol} is {percent(round(ratio, 4))} away from "
            f"{shown(price)}, more than {percent(largest)}.",
            remedy=f"Set it within {shown(price * largest)} of {shown(price)}.",
            actual=shown(ratio),
            limit=plain(largest),
        )
    if request.leverage > ONE and ratio * request.leverage >= ONE:
        return Refusal(
            rule="STOP_BEYOND_LIQUIDATION",
            message=f"At leverage {plain(request.leverage)} the margin of {request.symbol} is gone "
            f"before the stop, {percent(round(ratio, 4))} away.",
            remedy=f"Set the stop closer than {percent(round(ONE / request.leverage, 4))}, "
            "or lower the leverage.",
            actual=shown(ratio),
            limit=shown(ONE / request.leverage),
        )
    return None


def _no_stop(request: EntryRequest) -> Refusal:
    return Refusal(
        rule="NO_STOP",
        message=f"An automatic entry in {request.symbol} needs a stop or a trail.",
        remedy="Add one; only a person may enter without.",
    )


def _count_problem(case: EntryCase) -> Refusal | None:
    trader, limits = case.request.trader, case.trader_limits
    if case.request.confidence.is_nan() or case.request.confidence < limits.min_confidence:
        return Refusal(
            rule="LOW_CONFIDENCE",
            message=f"Confidence {case.request.confidence} below {limits.min_confidence} "
            f"of trader {trader}.",
            remedy="Wait for a clearer signal.",
            actual=str(case.request.confidence),
            limit=plain(limits.min_confidence),
        )
    holdings = case.portfolio.holdings
    new = 1 if case.holding is None else 0  # an addition is to one that is counted
    own = sum(holding.trader == trader for holding in holdings.values())
    if own + new > limits.max_positions:
        return _too_many("MAX_POSITIONS_TRADER", f"Trader {trader}", own, limits.max_positions)
    most = case.account_limits.max_positions
    if len(holdings) + new > most:
        account = f"Account {case.portfolio.account}"
        return _too_many("MAX_POSITIONS_ACCOUNT", account, len(holdings), most)
    return None


def _too_many(rule: str, who: str, count: int, most: int) -> Refusal:
    return Refusal(
        rule=rule,
        message=f"{who} holds {count} of at most {most} positions.",
        remedy="Close one, or raise the limit.",
        actual=str(count),
        limit=str(most),
    )


def _daily_loss_problem(case: EntryCase) -> Refusal | None:
    cap = case.account_limits.daily_loss_cap
    loss = daily_loss(case.portfolio, case.marks)
    if cap is None or loss < cap:
        return None
    return Refusal(
        rule="DAILY_LOSS_CAP",
        message=f"Loss of the day {shown(loss)} {case.portfolio.quote} reached {shown(cap)}.",
        remedy="Wait until 00:01 UTC.",
        actual=shown(loss),
        limit=shown(cap),
    )


CHECKS: tuple[Callable[[EntryCase], Refusal | None], ...] = (
    _request_problem,
    _mode_problem,
    _price_problem,
    _instrument_problem,
    _leverage_problem,
    _plan_problem,
    _count_problem,
    _daily_loss_problem,
)
