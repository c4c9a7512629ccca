"""What a position does about what happened to it at the venue and was not its doing.

It is born of a find, it shrinks or ends by somebody else's hand, funding pays or takes, the venue
takes orders of other sizes.
"""

from msgspec.structs import replace

from domain.effects import Alarm, AnnounceOpened, BookOutside, CancelOrder
from domain.ids import NO_ORDER, TradeId, client_order_id
from domain.inputs import AdoptPosition, FundingTold, GridTold, OutsideReported
from domain.money import ZERO, Fee
from domain.order import Fill, OrderStatus, OrderType
from domain.pnl import QUANTUM
from domain.position import Entry, Position, PositionStatus
from domain.position_draft import Draft
from domain.position_events import PositionAdopted, PositionFunded, PositionReducedOutside
from domain.position_grid import take_grid
from domain.position_guards import guards, protect
from domain.position_life import is_known_fill
from domain.protection import ExitReason
from domain.venue import Outside

ToldOfOutside = AdoptPosition | OutsideReported | FundingTold | GridTold


def note_outside(decision: Draft, message: ToldOfOutside) -> bool:
    """Decide about one of these; whether a part of the position went."""
    if isinstance(message, OutsideReported):
        return reduce_outside(decision, message)
    if isinstance(message, AdoptPosition):
        adopt(decision, message)
    elif isinstance(message, GridTold):
        take_grid(decision, message)
    else:
        book_funding(decision, message)
    return False


def adopt(decision: Draft, found: AdoptPosition) -> None:
    """Be born of what the venue holds; the emergency stop is set as the plan of an entry is."""
    order_id = client_order_id(found.account, found.position_id, "adopted-0", 0)
    fill = Fill(
        trade_id=TradeId(f"adopted-{found.position_id}"),
        client_order_id=NO_ORDER,
        symbol=found.instrument.symbol,
        side=found.direction.entry_side,
        quantity=found.quantity,
        price=found.price,
        fee=Fee(ZERO, found.instrument.quote),
        at=decision.now,
    )
    entry = Entry(order_id, OrderType.MARKET, found.quantity, status=OrderStatus.FILLED)
    decision.record(
        PositionAdopted(
            position_id=found.position_id,
            account=found.account,
            instrument=found.instrument,
            direction=found.direction,
            entry=entry,
            fill=fill,
            plan=found.plan,
            leverage=found.leverage,
            at=decision.now,
            paper=decision.rules.paper,
            rationale=found.rationale,
        )
    )
    position = decision.position
    protect(decision)
    decision.then(
        BookOutside(position.id, fill),
        Alarm("ADOPTED", f"{found.quantity} {found.instrument.symbol} was found", position.id),
        AnnounceOpened(
            position.id, position.trader, position.instrument.symbol, position.direction
        ),
    )


def reduce_outside(decision: Draft, report: OutsideReported) -> bool:
    """Book what somebody else closed, at most what is held; whether there was anything to book."""
    position = decision.position
    if position.is_closed or position.remaining <= ZERO or is_known_fill(position, report.fill):
        return False
    fill = _at_most(report.fill, position)
    decision.record(PositionReducedOutside(fill, report.cause, report.estimated, decision.now))
    what = f"{fill.quantity} closed at {fill.price} by {_WHO[report.cause]}"
    if report.estimated:
        what += ", the price is a guess: the venue told of no fill"
    decision.then(
        BookOutside(position.id, fill),
        Alarm(_ALARMS.get(report.cause, "CLOSED_OUTSIDE"), what, position.id),
    )
    position = decision.position
    if outside_end(position) is None:
        decision.then(*guards(position, decision.rules))  # for what is left
    else:
        symbol = position.instrument.symbol
        working = (each for each in position.exits if not each.done)
        decision.then(*(CancelOrder(each.client_order_id, symbol) for each in working))
    return True


def _at_most(fill: Fill, position: Position) -> Fill:
    if fill.quantity <= position.remaining:
        return fill
    share = (fill.fee.amount * position.remaining / fill.quantity).quantize(QUANTUM)
    return replace(fill, quantity=position.remaining, fee=replace(fill.fee, amount=share))


def outside_end(position: Position) -> tuple[PositionStatus, ExitReason] | None:
    """Return how a position ends whose last units somebody else closed; None for all others.

    Less than the smallest order cannot be sold and is left over as dust.
    """
    if position.outside is None or position.fills[-1].client_order_id != NO_ORDER:
        return None
    if position.instrument.can_be_ordered(position.remaining):
        return None
    if position.outside is Outside.LIQUIDATION:
        return PositionStatus.LIQUIDATED, ExitReason.LIQUIDATED
    return PositionStatus.CLOSED_EXTERNAL, ExitReason.EXTERNAL


def book_funding(decision: Draft, told: FundingTold) -> None:
    """Take over what the portfolio has booked for this position; told again, nothing is new.

    It may come just after the last fill: the portfolio closes the holding a moment later.
    """
    position = decision.position
    if position.is_settled or position.ledger.funding == told.total:
        return
    decision.record(PositionFunded(told.total, told.at))


_WHO = {
    Outside.PERSON: "somebody else",
    Outside.LIQUIDATION: "liquidation",
    Outside.ADL: "the venue, against a liquidated account",
    Outside.NETTING: "netting: the venue keeps one position for long and short",
}
_ALARMS = {Outside.LIQUIDATION: "LIQUIDATED"}
