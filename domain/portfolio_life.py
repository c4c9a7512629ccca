"""What becomes of an account when something has happened: `evolve`, the only way it changes."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import assert_never

from msgspec.structs import replace

from domain import pnl
from domain.errors import InvariantError
from domain.ids import ClientOrderId, PositionId
from domain.instrument import Kind
from domain.modes import DAILY_DRAWDOWN, DAILY_LOSS, KILL_SWITCH, Mode, ModeCause
from domain.money import ZERO
from domain.performance import TradeRecord
from domain.pnl import QUANTUM, Ledger
from domain.portfolio_events import (
    AccountIdentified,
    AccountLimitsChanged,
    AccountMoved,
    AnyPortfolioEvent,
    BalanceCorrected,
    CashMoved,
    DayRolled,
    DustGone,
    EntriesResumed,
    EntriesStopped,
    EntryReserved,
    EquityMarked,
    FillBooked,
    FlowsRead,
    HoldingAdopted,
    HoldingClosed,
    KillSwitchReset,
    KillSwitchTripped,
    LimitsConfigured,
    PortfolioOpened,
    ReservationReleased,
)
from domain.portfolio_state import Dust, Holding, Portfolio, Reservation, SymbolBook
from domain.risk import percent
from domain.venue import CashKind

# Closed positions whose fills are still recognized when a venue or a recovery tells them again.
REMEMBERED_CLOSED = 500
REMEMBERED_FLOWS = 1000
COMES_AGAIN_WITHIN = timedelta(hours=1)  # of being taken back, it is the same day
_DAY_CAUSES = frozenset({DAILY_DRAWDOWN, DAILY_LOSS})


def evolve(portfolio: Portfolio | None, event: AnyPortfolioEvent) -> Portfolio:
    """Return the account after `event`. Raises `InvariantError` where nothing can be made of it."""
    if isinstance(event, PortfolioOpened):
        return _opened(portfolio, event)
    if portfolio is None:
        raise InvariantError(f"{type(event).__name__} before the portfolio was opened")
    match event:
        case AccountMoved() | AccountIdentified():
            return _elsewhere(portfolio, event)
        case EntryReserved():
            return _reserved(portfolio, event)
        case ReservationReleased(client_order_id=order_id):
            return _released(portfolio, order_id)
        case HoldingAdopted():
            return _adopted(portfolio, event)
        case FillBooked():
            return _booked(portfolio, event)
        case HoldingClosed():
            return _closed(portfolio, event)
        case DustGone():
            return _without_dust(portfolio, event)
        case EquityMarked():
            return _marked(portfolio, event)
        case DayRolled():
            return _rolled(portfolio, event)
        case LimitsConfigured():
            return portfolio
        case AccountLimitsChanged():
            return replace(portfolio, limits_change=event)
        case CashMoved() | FlowsRead() | BalanceCorrected():
            return _money_moved(portfolio, event)
        case _:
            return _caused(portfolio, event)


def _money_moved(
    portfolio: Portfolio, event: CashMoved | FlowsRead | BalanceCorrected
) -> Portfolio:
    match event:
        case CashMoved():
            return _cash_moved(portfolio, event)
        case FlowsRead(until=until):
            return replace(portfolio, flows_read=until)
        case _:
            return _shifted(portfolio, event.amount, event.equity)


def _caused(
    portfolio: Portfolio,
    event: EntriesStopped | EntriesResumed | KillSwitchTripped | KillSwitchReset,
) -> Portfolio:
    match event:
        case EntriesStopped(cause=cause):
            return replace(portfolio, causes=(*_without(portfolio, cause.code), cause))
        case EntriesResumed(code=code):
            return replace(portfolio, causes=_without(portfolio, code))
        case KillSwitchTripped():
            causes = (*_without(portfolio, KILL_SWITCH), _kill_cause(event))
            return replace(portfolio, causes=causes)
        case KillSwitchReset(equity=value):
            causes = _without(portfolio, KILL_SWITCH)
            return replace(portfolio, causes=causes, high_water_mark=value)
        case _:
            assert_never(event)


def _marked(portfolio: Portfolio, event: EquityMarked) -> Portfolio:
    is_of_day = event.at.date() <= portfolio.day
    return replace(
        portfolio,
        high_water_mark=max(portfolio.high_water_mark, event.equity),
        marked_at=event.at,
        last_equity=event.equity if is_of_day else portfolio.last_equity,
        last_marks=dict(event.marks),
    )


def _rolled(portfolio: Portfolio, event: DayRolled) -> Portfolio:
    if event.day < portfolio.day:
        return replace(
            portfolio, day=event.day, day_taken_back=portfolio.day, taken_back_at=event.at
        )
    if comes_again(portfolio, event.day, event.at):
        return replace(portfolio, day=event.day)
    return replace(
        portfolio,
        day=event.day,
        day_taken_back=None,
        taken_back_at=None,
        day_start_equity=event.equity,
        day_offset=ZERO,
        last_equity=None,
        causes=tuple(cause for cause in portfolio.causes if cause.code not in _DAY_CAUSES),
    )


def comes_again(portfolio: Portfolio, day: date, at: datetime) -> bool:
    """Whether `day` has begun before: the clock was set back over midnight, by an hour at most.

    One taken back longer ago was never there: the clock was wrong, and now the day begins.
    """
    since = portfolio.taken_back_at
    return day == portfolio.day_taken_back and (since is None or at - since <= COMES_AGAIN_WITHIN)


def _opened(portfolio: Portfolio | None, event: PortfolioOpened) -> Portfolio:
    if portfolio is not None:
        raise InvariantError(f"portfolio {portfolio.account} opened twice")
    return Portfolio(
        account=event.account,
        quote=event.quote,
        balance=event.balance,
        high_water_mark=event.balance,
        day=event.at.date(),
        day_start_equity=event.balance,
        marked_at=event.at,
        venue=event.venue,
    )


def _elsewhere(portfolio: Portfolio, event: AccountMoved | AccountIdentified) -> Portfolio:
    if isinstance(event, AccountIdentified):
        return replace(portfolio, venue_account=event.venue_account)
    return _moved(portfolio, event)


def _moved(portfolio: Portfolio, event: AccountMoved) -> Portfolio:
    if portfolio.holdings or portfolio.reservations:
        raise InvariantError(f"portfolio {portfolio.account} moved with open positions")
    return Portfolio(
        account=portfolio.account,
        quote=portfolio.quote,
        balance=event.balance,
        high_water_mark=event.balance,
        day=portfolio.day,
        day_taken_back=portfolio.day_taken_back,
        taken_back_at=portfolio.taken_back_at,
        day_start_equity=event.balance,
        marked_at=event.at,
        causes=portfolio.causes,
        records=portfolio.records,
        closed=portfolio.closed,
        limits_change=portfolio.limits_change,
        venue=event.venue,
    )


def _without(portfolio: Portfolio, code: str) -> tuple[ModeCause, ...]:
    return tuple(cause for cause in portfolio.causes if cause.code != code)


def _kill_cause(event: KillSwitchTripped) -> ModeCause:
    return ModeCause(
        code=KILL_SWITCH,
        mode=Mode.NO_ENTRY,
        message=f"Drawdown {percent(round(event.drawdown, 4))} reached the kill switch at "
        f"{percent(event.limit)}.",
        way_out="Find out why, then reset it: holdfast reset-kill-switch.",
    )


def _holding(portfolio: Portfolio, position_id: PositionId) -> Holding:
    holding = portfolio.holdings.get(position_id)
    if holding is None:
        raise InvariantError(f"portfolio {portfolio.account} holds no position {position_id}")
    return holding


def _reserved(portfolio: Portfolio, event: EntryReserved) -> Portfolio:
    if event.client_order_id in portfolio.reservations:
        raise InvariantError(f"order {event.client_order_id} reserved twice")
    reservation = Reservation(
        position_id=event.position_id,
        quantity=event.quantity,
        price=event.price,
        amount=event.amount,
        attempt=event.attempt,
    )
    holding = portfolio.holdings.get(event.position_id) or Holding(
        trader=event.trader,
        pair=event.instrument.pair,
        direction=event.direction,
        leverage=event.leverage,
    )
    holding = replace(holding, pending=holding.pending + 1)
    return replace(
        _with_reservation(portfolio, event.client_order_id, reservation),
        holdings=portfolio.holdings.put(event.position_id, holding),
    )


def _with_reservation(
    portfolio: Portfolio, order_id: ClientOrderId, reservation: Reservation | None
) -> Portfolio:
    """Put this reservation in the place of what was there; None takes it out."""
    before = portfolio.reservations.get(order_id)
    reservations = dict(portfolio.reservations)
    reserved, notional = portfolio.reserved, portfolio.reserved_notional
    if before is not None:
        del reservations[order_id]
        reserved -= before.open_amount
        notional -= before.open_notional
    if reservation is not None:
        reservations[order_id] = reservation
        reserved += reservation.open_amount
        notional += reservation.open_notional
    return replace(
        portfolio, reservations=reservations, reserved=reserved, reserved_notional=notional
    )


def _released(portfolio: Portfolio, order_id: ClientOrderId) -> Portfolio:
    reservation = portfolio.reservations.get(order_id)
    if reservation is None:
        raise InvariantError(f"nothing is reserved for order {order_id}")
    holding = _holding(portfolio, reservation.position_id)
    holding = replace(holding, pending=holding.pending - 1)
    if holding.pending or holding.ledger.quantity:
        holdings = portfolio.holdings.put(reservation.position_id, holding)
    else:
        holdings = portfolio.holdings.drop(reservation.position_id)  # never came to be
    return replace(_with_reservation(portfolio, order_id, None), holdings=holdings)


def _adopted(portfolio: Portfolio, event: HoldingAdopted) -> Portfolio:
    if event.position_id in portfolio.holdings:
        raise InvariantError(f"position {event.position_id} adopted though held")
    holding = Holding(
        trader=event.trader,
        pair=event.instrument.pair,
        direction=event.direction,
        leverage=event.leverage,
        trade_ids=portfolio.closed.get(event.position_id, frozenset()),
    )
    return replace(portfolio, holdings=portfolio.holdings.put(event.position_id, holding))


def _booked(portfolio: Portfolio, event: FillBooked) -> Portfolio:
    fill = event.fill
    holding = _holding(portfolio, event.position_id)
    if event.is_entry:
        ledger = pnl.opened(holding.ledger, fill, holding.pair)
    else:
        ledger = pnl.reduced(holding.ledger, fill, holding.pair, holding.direction)
    after = replace(holding, ledger=ledger, trade_ids=holding.trade_ids | {fill.trade_id})
    if event.is_entry and fill.client_order_id in portfolio.reservations:
        portfolio, after = _used(portfolio, after, fill.client_order_id, fill.quantity)
    portfolio = replace(portfolio, last_marks={fill.symbol: fill.price, **portfolio.last_marks})
    return replace(
        _with_books(portfolio, holding, after),
        balance=portfolio.balance + ledger.realized_pnl - holding.ledger.realized_pnl,
        margin=portfolio.margin + after.margin - holding.margin,
        holdings=portfolio.holdings.put(event.position_id, after),
    )


def _used(
    portfolio: Portfolio, holding: Holding, order_id: ClientOrderId, quantity: Decimal
) -> tuple[Portfolio, Holding]:
    """Turn so much of a reservation into margin; it ends with its last unit."""
    reservation = portfolio.reservations[order_id]
    filled = reservation.filled + quantity
    if filled < reservation.quantity:
        return _with_reservation(portfolio, order_id, replace(reservation, filled=filled)), holding
    holding = replace(holding, pending=holding.pending - 1)
    return _with_reservation(portfolio, order_id, None), holding


def _with_books(portfolio: Portfolio, before: Holding, after: Holding) -> Portfolio:
    quantity = after.ledger.remaining - before.ledger.remaining
    cost = after.ledger.cost - before.ledger.cost
    symbol = after.pair.symbol
    book = portfolio.books.get(symbol) or SymbolBook(is_spot=after.pair.kind is Kind.SPOT)
    book = book.plus(quantity, cost, after.direction)
    books = {**portfolio.books, symbol: book}
    if book.gross_quantity:
        return replace(portfolio, books=books)
    del books[symbol]
    known = {each: mark for each, mark in portfolio.last_marks.items() if each != symbol}
    return replace(portfolio, books=books, last_marks=known)


def _closed(portfolio: Portfolio, event: HoldingClosed) -> Portfolio:
    holding = _holding(portfolio, event.position_id)
    record = portfolio.records.get(holding.trader, TradeRecord()).after(event.realized_pnl)
    closed = {**portfolio.closed, event.position_id: holding.trade_ids}
    for oldest in list(closed)[:-REMEMBERED_CLOSED]:
        del closed[oldest]
    over = replace(
        portfolio,
        holdings=portfolio.holdings.drop(event.position_id),
        records={**portfolio.records, holding.trader: record},
        closed=closed,
    )
    over = _with_books(over, holding, replace(holding, ledger=Ledger()))
    if event.dust:
        return _with_dust(over, holding)
    return replace(over, margin=over.margin - holding.margin)


def _with_dust(portfolio: Portfolio, holding: Holding) -> Portfolio:
    """Keep what remains: it is still owned, only no position is."""
    none = Dust(
        symbol=holding.pair.symbol,
        direction=holding.direction,
        is_spot=holding.pair.kind is Kind.SPOT,
        quantity=ZERO,
        cost=ZERO,
        margin=ZERO,
    )
    before = next((each for each in portfolio.dust if each.key == none.key), none)
    ledger = holding.ledger
    dust = before.plus(ledger.remaining, ledger.cost, holding.margin)
    others = tuple(each for each in portfolio.dust if each.key != none.key)
    return replace(portfolio, dust=(*others, dust))


def _without_dust(portfolio: Portfolio, event: DustGone) -> Portfolio:
    key = event.symbol, event.direction, event.is_spot
    known = next((each for each in portfolio.dust if each.key == key), None)
    if known is None or known.quantity < event.quantity:
        raise InvariantError(f"{event.quantity} {event.symbol} is no dust of {portfolio.account}")
    part = event.quantity / known.quantity
    margin = (known.margin * part).quantize(QUANTUM)
    left = known.plus(-event.quantity, -(known.cost * part).quantize(QUANTUM), -margin)
    others = tuple(each for each in portfolio.dust if each.key != key)
    return replace(
        portfolio,
        dust=(*others, left) if left.quantity else others,
        margin=portfolio.margin - margin,
    )


def _cash_moved(portfolio: Portfolio, event: CashMoved) -> Portfolio:
    if event.flow_id in portfolio.flows:
        raise InvariantError(f"flow {event.flow_id} booked twice")
    if event.asset == portfolio.quote:
        if event.kind is CashKind.TRANSFER:
            portfolio = _shifted(portfolio, event.amount, event.equity)
        else:
            portfolio = replace(portfolio, balance=portfolio.balance + event.amount)
    for position_id, share in event.shares:
        holding = _holding(portfolio, position_id)
        ledger = replace(holding.ledger, funding=holding.ledger.funding + share)
        holdings = portfolio.holdings.put(position_id, replace(holding, ledger=ledger))
        portfolio = replace(portfolio, holdings=holdings)
    flows = {**portfolio.flows, event.flow_id: event.at}
    since = portfolio.flows_from or event.contains_until or event.at
    for oldest in list(flows)[:-REMEMBERED_FLOWS]:
        since = max(since, flows.pop(oldest))
    return replace(portfolio, flows=flows, flows_from=since)


def _shifted(portfolio: Portfolio, amount: Decimal, before: Decimal | None) -> Portfolio:
    """Move the balance without a gain or a loss: drawdowns stay what fraction they are.

    A loss in quote stays what it is too, which is why the day start keeps an offset. Of nothing
    there is no fraction: where all has left, the marks begin anew at what there is; where nothing
    was, they move as the balance does.
    """

    def moved(mark: Decimal) -> Decimal:
        if before is None or before <= ZERO:
            return mark + amount
        if before + amount <= ZERO:
            return before + amount
        return (mark * (before + amount) / before).quantize(QUANTUM)

    start, last = moved(portfolio.day_start_equity), portfolio.last_equity
    return replace(
        portfolio,
        balance=portfolio.balance + amount,
        high_water_mark=moved(portfolio.high_water_mark),
        day_start_equity=start,
        last_equity=None if last is None else moved(last),
        day_offset=portfolio.day_offset + start - (portfolio.day_start_equity + amount),
    )
