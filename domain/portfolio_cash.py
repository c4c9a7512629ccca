"""What moves an account's money besides fills: funding, transfers, and what nobody explains.

The venue's balance of the quote asset is compared with `portfolio_state.cash`. First every flow
that the venue tells is booked, once, by its id. What still differs is corrected to the venue's
word. A new account of a real venue opens at zero and takes the first balance told as a transfer;
what the venue says had moved until then is in that balance.
"""

from datetime import datetime
from decimal import Decimal
from operator import itemgetter

from domain.ids import PositionId
from domain.instrument import Direction
from domain.money import ZERO
from domain.pnl import QUANTUM
from domain.portfolio_events import (
    AccountIdentified,
    AccountMoved,
    AnyPortfolioEvent,
    BalanceCorrected,
    CashMoved,
    DustGone,
)
from domain.portfolio_state import Dust, Holding, Marks, Portfolio, cash, equity
from domain.venue import CashFlow, CashKind, VenueAccount

OPENING = "opening"  # flow id of the first balance told


def is_opened(portfolio: Portfolio) -> bool:
    """Whether the first balance told by a real venue has been taken over."""
    return portfolio.flows_from is not None


def identify(
    portfolio: Portfolio, told: VenueAccount, *, now: datetime
) -> tuple[AnyPortfolioEvent, ...]:
    """Return what it means that the venue has told whose account it is; nothing when it is known.

    Another one than before has no past here and begins anew, as at another venue. That nothing is
    open then is seen to before (`exchanges/own_account.py`).
    """
    before = portfolio.venue_account
    if before == told:
        return ()
    identified = AccountIdentified(told, now)
    if before is None:
        return (identified,)
    return (AccountMoved(portfolio.venue, ZERO, now), identified)


def open_cash(
    portfolio: Portfolio, told: Decimal, *, now: datetime, until: datetime | None = None
) -> CashMoved:
    """Return the taking over of the venue's first balance `told`, quote.

    `until`: venue time of the last flow that is in it; None: of all until now.
    """
    return CashMoved(
        flow_id=OPENING,
        kind=CashKind.TRANSFER,
        asset=portfolio.quote,
        amount=told - cash(portfolio),
        symbol=None,
        text="what the account had when it was first seen",
        at=now,
        contains_until=until,
    )


def move_cash(portfolio: Portfolio, flow: CashFlow, marks: Marks) -> tuple[CashMoved, ...]:
    """Return the booking of a flow.

    None when it is booked, older than the account's opening, of nothing, or of another asset than
    the quote, which no balance here counts.
    """
    if flow.asset != portfolio.quote or not flow.amount or flow.flow_id in portfolio.flows:
        return ()
    if portfolio.flows_from is not None and flow.at <= portfolio.flows_from:
        return ()
    is_transfer = flow.kind is CashKind.TRANSFER
    moved = CashMoved(
        flow_id=flow.flow_id,
        kind=flow.kind,
        asset=flow.asset,
        amount=flow.amount,
        symbol=flow.symbol,
        text=flow.text,
        at=flow.at,
        shares=funding_shares(portfolio, flow) if flow.kind is CashKind.FUNDING else (),
        equity=equity(portfolio, marks) if is_transfer else None,
    )
    return (moved,)


def correct_cash(
    portfolio: Portfolio, amount: Decimal, marks: Marks, why: str, *, now: datetime
) -> tuple[AnyPortfolioEvent, ...]:
    """Return what brings our cash to the venue's, by `amount` in quote; nothing when they agree."""
    if not amount:
        return ()
    return (BalanceCorrected(amount=amount, why=why, at=now, equity=equity(portfolio, marks)),)


def write_off(
    portfolio: Portfolio, dust: Dust, left: Decimal, *, now: datetime
) -> tuple[AnyPortfolioEvent, ...]:
    """Return the loss of `dust` but for what is `left`, base units; none when it is other by now.

    At its cost it is neither gain nor loss. What it was sold for is found in the balance next.
    """
    if dust not in portfolio.dust:
        return ()
    gone = dust.quantity - left
    return (DustGone(dust.symbol, dust.direction, dust.is_spot, gone, now),)


def funding_shares(portfolio: Portfolio, flow: CashFlow) -> tuple[tuple[PositionId, Decimal], ...]:
    """Split funding among the positions of its symbol, by what they hold; exact in sum.

    In hedge mode it belongs to the side that the venue names, or that is as large as what it was
    paid for; in net mode to the side that outweighs the other: that is what was paid for.
    """
    held = [
        (position_id, holding)
        for position_id, holding in portfolio.holdings.items()
        if holding.pair.symbol == flow.symbol and holding.ledger.remaining > ZERO
    ]
    held = sorted(_side_of(held, flow), key=itemgetter(0))
    total = sum((holding.ledger.remaining for _, holding in held), ZERO)
    shares, left = [], flow.amount
    for number, (position_id, holding) in enumerate(held, start=1):
        share = (flow.amount * holding.ledger.remaining / total).quantize(QUANTUM)
        share = left if number == len(held) else share
        shares.append((position_id, share))
        left -= share
    return tuple(shares)


def _side_of(
    held: list[tuple[PositionId, Holding]], flow: CashFlow
) -> list[tuple[PositionId, Holding]]:
    direction = flow.direction
    if direction is not None:
        return [each for each in held if each[1].direction is direction]
    long, short = (_size(held, each) for each in (Direction.LONG, Direction.SHORT))
    if flow.size is not None and long and short:
        direction = _direction_of(flow.amount, flow.size, long=long, short=short)
        return [each for each in held if each[1].direction is direction]
    if long == short:
        return held
    heavier = Direction.LONG if long > short else Direction.SHORT
    return [each for each in held if each[1].direction is heavier]


def _size(held: list[tuple[PositionId, Holding]], direction: Direction) -> Decimal:
    return sum((each.ledger.remaining for _, each in held if each.direction is direction), ZERO)


def _direction_of(amount: Decimal, size: Decimal, *, long: Decimal, short: Decimal) -> Direction:
    """Return the side whose size is nearer to what funding was paid for.

    Of two sides of one size the long is taken to have paid: so it is while the rate is above zero,
    as it mostly is.
    """
    off = abs(long - size) - abs(short - size)
    if off:
        return Direction.LONG if off < ZERO else Direction.SHORT
    return Direction.LONG if amount < ZERO else Direction.SHORT
