"""What an account decides: which entries may be, what a fill or a price means, when to stop.

Every function here is pure: it returns events (or a refusal) and changes nothing. The owner evolves
its state by the events, journals them, and acts once they are durable.

An entry is judged by what does not depend on its size first (request, mode, instrument, leverage,
plan, number of positions) and by its size last, under all rules at once. So the size that a refusal
suggests meets no other rule when it is asked for.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import ROUND_UP, Decimal

from domain import modes
from domain.commands import EntryRequest
from domain.entry_checks import EntryCase, figures_of, problem_of
from domain.errors import Refusal
from domain.ids import ClientOrderId, PositionId, TraderName
from domain.instrument import Direction, Instrument
from domain.modes import Mode, ModeCause
from domain.money import ONE, ZERO
from domain.order import Fill
from domain.performance import TradeRecord, drawdown_of
from domain.pnl import QUANTUM
from domain.portfolio_events import (
    AccountMoved,
    AnyPortfolioEvent,
    DayRolled,
    EntriesResumed,
    EntriesStopped,
    EntryReserved,
    EquityMarked,
    FillBooked,
    HoldingAdopted,
    HoldingClosed,
    KillSwitchReset,
    KillSwitchTripped,
    PortfolioEvent,
    PortfolioOpened,
    ReservationReleased,
)
from domain.portfolio_life import comes_again, evolve
from domain.portfolio_state import (
    Holding,
    Marks,
    Portfolio,
    Reservation,
    SymbolBook,
    available,
    daily_drawdown,
    daily_loss,
    drawdown,
    equity,
    exposure,
    lost_today,
    unpriced,
    unrealized_pnl,
    unvalued,
)
from domain.risk import AccountLimits, TraderLimits, loss_distance, percent, shown
from domain.size_bounds import amount_for, size_problem
from domain.sizing import wanted_quantity

__all__ = [
    "AccountMoved",
    "AnyPortfolioEvent",
    "DayRolled",
    "EntriesResumed",
    "EntriesStopped",
    "EntryReserved",
    "EquityMarked",
    "FillBooked",
    "Holding",
    "HoldingAdopted",
    "HoldingClosed",
    "KillSwitchReset",
    "KillSwitchTripped",
    "Marks",
    "Portfolio",
    "PortfolioEvent",
    "PortfolioOpened",
    "Reservation",
    "ReservationReleased",
    "SymbolBook",
    "TradeRecord",
    "approve_entry",
    "available",
    "book_fill",
    "close_holding",
    "daily_drawdown",
    "daily_loss",
    "drawdown",
    "end_order",
    "equity",
    "evolve",
    "exposure",
    "mark",
    "mode_of",
    "reset_kill_switch",
    "resume_entries",
    "stop_entries",
    "unpriced",
    "unrealized_pnl",
    "unvalued",
]

UNKNOWN_TRADER = TraderName("unknown")  # of a position nobody asked for
MARK_EVERY = timedelta(seconds=60)
# A new peak of equity is journaled when it is this much above the last: drawdown is exact to that.
PEAK_STEP = Decimal("0.001")


def approve_entry(  # noqa: PLR0913 - everything an entry is judged by
    portfolio: Portfolio,
    request: EntryRequest,
    instrument: Instrument,
    *,
    price: Decimal,
    client_order_id: ClientOrderId,
    trader_limits: TraderLimits,
    account_limits: AccountLimits,
    extra_causes: Iterable[ModeCause],
    marks: Marks,
    now: datetime,
    held_risk: Decimal = ZERO,
    is_net: bool = False,
    one_leverage: bool = False,
) -> EntryReserved | Refusal:
    """Size an entry and reserve for it, or say why not and what would pass.

    `price` is the market's in quote; `extra_causes` are those not journaled (a stale feed). The
    share of a position is its notional / equity, whatever the leverage. Automatic entries need a
    stop or a trail; a person may enter without. An entry with the id of a position held adds to it:
    `held_risk` is what that loses, in quote, at the stop in `request.plan`. `is_net`: at the venue
    long and short of one swap are one position. `one_leverage`: all positions of a swap have the
    same there.
    """
    case = EntryCase(
        portfolio=portfolio,
        request=request,
        instrument=instrument,
        price=price,
        client_order_id=client_order_id,
        trader_limits=trader_limits,
        account_limits=account_limits,
        causes=tuple(extra_causes),
        marks=marks,
        now=now,
        held_risk=held_risk,
        is_net=is_net,
        one_leverage=one_leverage,
    )
    problem = problem_of(case)
    return _sized(case) if problem is None else problem


def _sized(case: EntryCase) -> EntryReserved | Refusal:
    request, figures = case.request, figures_of(case)
    wanted = wanted_quantity(
        request,
        price=figures.worst_price,
        equity=figures.equity,
        record=case.portfolio.records.get(request.trader),
    )
    if isinstance(wanted, Refusal):
        return wanted
    problem = size_problem(figures, wanted, case.trader_limits, case.account_limits)
    if problem is not None:
        return problem
    quantity = case.instrument.whole_lots(wanted)
    amount = quantity * amount_for(figures, case.account_limits)
    distance = loss_distance(request.plan, figures.worst_price)
    return EntryReserved(
        position_id=request.position_id,
        client_order_id=case.client_order_id,
        trader=request.trader,
        instrument=case.instrument,
        direction=request.direction,
        quantity=quantity,
        price=figures.worst_price,
        amount=amount.quantize(QUANTUM, ROUND_UP),
        leverage=request.leverage,
        risk=None if distance is None else quantity * distance,
        at=case.now,
    )


def book_fill(
    portfolio: Portfolio,
    position_id: PositionId,
    fill: Fill,
    *,
    is_entry: bool,
    instrument: Instrument,
    direction: Direction,
    trader: TraderName = UNKNOWN_TRADER,
    leverage: Decimal = ONE,
) -> tuple[AnyPortfolioEvent, ...]:
    """Return the events of a fill; none for one booked before.

    An entry that fills after its end is counted all the same: the money moved. An exit of a
    position that is not held closes nothing here and is left to reconciliation.
    """
    holding = portfolio.holdings.get(position_id)
    known = portfolio.closed.get(position_id, frozenset()) if holding is None else holding.trade_ids
    if fill.trade_id in known or (holding is None and not is_entry):
        return ()
    booked = FillBooked(position_id=position_id, fill=fill, is_entry=is_entry, at=fill.at)
    if holding is not None:
        return (booked,)
    adopted = HoldingAdopted(
        position_id=position_id,
        trader=trader,
        instrument=instrument,
        direction=direction,
        leverage=leverage,
        at=fill.at,
    )
    return (adopted, booked)


def comes_too_early(holding: Holding, exit_fill: Fill) -> bool:
    """Whether an exit closes more than is booked, while an entry is still to be told of.

    Booked now, what it earned would be lost.
    """
    is_new = exit_fill.trade_id not in holding.trade_ids
    return is_new and holding.pending > 0 and exit_fill.quantity > holding.ledger.remaining


def end_order(
    portfolio: Portfolio, client_order_id: ClientOrderId, why: str, *, now: datetime
) -> tuple[AnyPortfolioEvent, ...]:
    """Return the release of what a terminal order did not use; none when nothing is reserved.

    A position that never filled leaves with its last order.
    """
    if client_order_id not in portfolio.reservations:
        return ()
    return (ReservationReleased(client_order_id=client_order_id, why=why, at=now),)


def close_holding(
    portfolio: Portfolio, position_id: PositionId, *, now: datetime, keeps_dust: bool = True
) -> tuple[AnyPortfolioEvent, ...]:
    """Return the events of a position's end; none when it is not held.

    What remains of it stays in the account as dust; `keeps_dust=False` when it left by another way
    (closed outside, liquidated), then it is written off at cost.
    """
    holding = portfolio.holdings.get(position_id)
    if holding is None:
        return ()
    released = tuple(
        ReservationReleased(client_order_id=order_id, why="position closed", at=now)
        for order_id, reservation in portfolio.reservations.items()
        if reservation.position_id == position_id
    )
    if not holding.ledger.quantity:
        return released
    closed = HoldingClosed(
        position_id=position_id,
        realized_pnl=holding.ledger.realized_pnl,
        dust=holding.ledger.remaining if keeps_dust else ZERO,
        at=now,
    )
    return (*released, closed)


def mark(
    portfolio: Portfolio,
    marks: Marks,
    limits: AccountLimits,
    now: datetime,
    *,
    day: date | None = None,
    despite_holes: bool = False,
) -> tuple[AnyPortfolioEvent, ...]:
    """Return what the prices mean for the account: a new day, limits reached, the equity curve.

    A day starts with the last mark of the one before. `day` is what counts as today where the clock
    may be wrong; one that lies before the account's takes that back, and lifts no limit. Nor does
    the day that was taken back when it comes again within the hour: a day begins once.

    Equity is journaled every minute, at a new peak and when anything else happens. While a held
    symbol has no price (see `unpriced`) nothing is judged, as after a start. `despite_holes`: that
    has lasted too long, and limits go by what is priced, the rest at the last price known. It makes
    no peak. Where none is known nothing is judged: its gain may be in the peak.
    """
    missing = unpriced(portfolio, marks)
    if missing and not (despite_holes and len(missing) < len(portfolio.books)):
        return ()
    if unvalued(portfolio, marks):
        return ()
    value = equity(portfolio, marks)
    events: list[AnyPortfolioEvent] = []
    day = now.date() if day is None else day
    if day != portfolio.day:
        rolled = DayRolled(day=day, equity=_start_of(portfolio, day, value, now), at=now)
        portfolio = evolve(portfolio, rolled)
        events.append(rolled)
    events.extend(_limits_reached(portfolio, value, limits, now))
    # Before the last one: the clock was set back, and an hour without a mark would be a hole.
    is_due = not timedelta() <= now - portfolio.marked_at < MARK_EVERY
    is_peak = value > portfolio.high_water_mark * (ONE + PEAK_STEP)
    if not missing and (events or is_due or is_peak):
        held = tuple((symbol, marks[symbol]) for symbol in portfolio.books)
        events.append(EquityMarked(equity=value, balance=portfolio.balance, at=now, marks=held))
    return tuple(events)


def _start_of(portfolio: Portfolio, day: date, value: Decimal, now: datetime) -> Decimal:
    """Return what `day` counts from when equity is `value` now."""
    if day < portfolio.day or comes_again(portfolio, day, now):
        return portfolio.day_start_equity
    return value if portfolio.last_equity is None else portfolio.last_equity


def _limits_reached(
    portfolio: Portfolio, value: Decimal, limits: AccountLimits, now: datetime
) -> Iterable[AnyPortfolioEvent]:
    codes = {cause.code for cause in portfolio.causes}
    start = portfolio.day_start_equity
    day = drawdown_of(value, start)
    if day >= limits.daily_drawdown_ratio and modes.DAILY_DRAWDOWN not in codes:
        message = (
            f"Equity {shown(value)} is {percent(round(day, 4))} below {shown(start)} of 00:00 UTC, "
            f"the limit is {percent(limits.daily_drawdown_ratio)}."
        )
        yield _stopped_for_the_day(modes.DAILY_DRAWDOWN, message, now)
    cap = limits.daily_loss_cap
    lost = lost_today(portfolio, value)
    if cap is not None and lost >= cap and modes.DAILY_LOSS not in codes:
        message = f"Loss of the day {shown(lost)} {portfolio.quote} reached {shown(cap)}."
        yield _stopped_for_the_day(modes.DAILY_LOSS, message, now)
    total = drawdown_of(value, portfolio.high_water_mark)
    if total >= limits.total_drawdown_ratio and modes.KILL_SWITCH not in codes:
        yield KillSwitchTripped(
            drawdown=total, limit=limits.total_drawdown_ratio, equity=value, at=now
        )


def _stopped_for_the_day(code: str, message: str, now: datetime) -> EntriesStopped:
    cause = ModeCause(
        code=code,
        mode=Mode.NO_ENTRY,
        message=message,
        way_out="Ends by itself at 00:01 UTC: a new day counts once it has stood for a minute.",
    )
    return EntriesStopped(cause=cause, at=now)


def mode_of(portfolio: Portfolio, extra_causes: Iterable[ModeCause] = ()) -> Mode:
    """Return the mode of the account, given the causes that are not journaled."""
    return modes.worst((*portfolio.causes, *extra_causes))


def stop_entries(
    portfolio: Portfolio, cause: ModeCause, *, now: datetime
) -> tuple[AnyPortfolioEvent, ...]:
    """Return the events of a journaled cause (see `modes.operator_stop`); none when it stands."""
    if any(known.code == cause.code for known in portfolio.causes):
        return ()
    return (EntriesStopped(cause=cause, at=now),)


def resume_entries(
    portfolio: Portfolio, *, by: str, now: datetime, code: str = modes.OPERATOR_STOP
) -> tuple[AnyPortfolioEvent, ...] | Refusal:
    """Return the events of lifting one cause; none when it does not stand.

    What a limit stopped cannot be talked away: it ends with the day or a reset of the kill switch.
    """
    cause = next((known for known in portfolio.causes if known.code == code), None)
    if cause is None:
        return ()
    if code in {modes.DAILY_DRAWDOWN, modes.DAILY_LOSS, modes.KILL_SWITCH}:
        return Refusal(rule="LIMIT_REACHED", message=cause.message, remedy=cause.way_out)
    return (EntriesResumed(code=code, by=by, at=now),)


def reset_kill_switch(
    portfolio: Portfolio, marks: Marks, *, by: str, now: datetime, despite_holes: bool = False
) -> tuple[AnyPortfolioEvent, ...] | Refusal:
    """Return the events of a person's reset; none when the switch is not tripped.

    Drawdown counts from today's equity on, else the switch would trip again at once. So that must
    be known: every symbol held needs a price, or counts at the last one known, else at its cost
    (`despite_holes`, see `mark`).
    """
    if all(cause.code != modes.KILL_SWITCH for cause in portfolio.causes):
        return ()
    missing = unpriced(portfolio, marks)
    if missing and not despite_holes:
        return Refusal(
            rule="NO_PRICE",
            message=f"Without a price of {', '.join(missing)} equity is not known, and drawdown is "
            "to count from it.",
            remedy="Wait for the feed: `holdfast status` shows its age.",
        )
    return (KillSwitchReset(by=by, equity=equity(portfolio, marks), at=now),)
