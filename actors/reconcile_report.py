"""What a look at the venue found, side by side, for people to read."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

import msgspec

from actors.holdings import Holdings
from actors.looking import Depth, Looked
from actors.money import TOLERANCE, Money
from actors.world import World
from domain.ids import NO_ORDER, ClientOrderId, Symbol, account_tag, identity_of
from domain.instrument import Direction
from domain.money import ZERO
from domain.order import Order, OrderStatus, OrderType
from domain.reconciliation import Side
from exchanges.port import VenueOrder

_STOPS = frozenset({OrderType.STOP, OrderType.TARGET, OrderType.TRAIL})
NOT_READ = "not read"
_RESTING = frozenset({OrderStatus.OPEN, OrderStatus.PARTIAL})


class SideRow(msgspec.Struct, frozen=True):
    """One symbol, or one side of it in hedge mode."""

    symbol: Symbol
    side: str  # long, short, or net
    ours: Decimal  # base units, signed
    venue: Decimal | None  # None: not read
    orders_ours: int  # that rest, stops and targets not counted
    orders_venue: int | None  # None: not read
    stops_ours: int  # stops, targets and trails that rest at the venue
    stops_venue: int | None
    state: str  # equal, in flight, differs, quarantine, not ours, not read
    action: str  # what is to be done; empty: nothing

    @property
    def differs(self) -> bool:
        """Whether both sides are not the same."""
        return self.state not in {"equal", "not ours", NOT_READ}


class StrangeOrder(msgspec.Struct, frozen=True):
    """An order at the venue that no position of ours has."""

    symbol: Symbol
    side: str
    quantity: Decimal
    client_order_id: ClientOrderId
    whose: str  # a person, another program, or ours and left over


class Report(msgspec.Struct, frozen=True):
    """The account at the venue and here, as of one look."""

    at: datetime
    seconds: float  # that the look took
    rows: tuple[SideRow, ...]
    strange: tuple[StrangeOrder, ...]
    asset: str
    balance_ours: Decimal | None  # cash that the venue should hold; None: not known yet
    balance_venue: Decimal | None
    failed: tuple[str, ...]  # what was not answered
    done: tuple[str, ...]  # since it was asked for
    drifts: int  # since the start

    @property
    def agrees(self) -> bool:
        """Whether everything was read and nothing differs."""
        ours, venue = self.balance_ours, self.balance_venue
        is_short = ours is not None and venue is not None and abs(venue - ours) >= TOLERANCE
        return not (self.failed or is_short or any(row.differs for row in self.rows))


def report_of(
    world: World, holdings: Holdings, money: Money, looked: Looked, done: Iterable[str]
) -> Report:
    """Return what was found."""
    orders: list[Order] = world.states.latest_of("order")
    portfolio = world.portfolio()
    mine = [each for each in orders if each.status in _RESTING]
    theirs = looked.orders or ()
    is_told = looked.balances is not None or looked.depth < Depth.MONEY
    return Report(
        at=looked.began,
        seconds=round(looked.ended_s - looked.began_s, 3),
        rows=tuple(_row(side, holdings, mine, looked) for side in holdings.sides),
        strange=tuple(strange for each in theirs if (strange := _strange(world, each)) is not None),
        asset="" if portfolio is None else portfolio.quote,
        balance_ours=money.ours,
        balance_venue=money.told if is_told else None,
        failed=looked.failed,
        done=tuple(done),
        drifts=holdings.drifts,
    )


def _row(side: Side, holdings: Holdings, mine: list[Order], looked: Looked) -> SideRow:
    theirs, is_read = looked.orders, looked.positions is not None
    ours = [each.terms.type in _STOPS for each in mine if each.terms.symbol == side.symbol]
    venue = [each.terms.type in _STOPS for each in theirs or () if each.terms.symbol == side.symbol]
    state, action = _state(side, holdings)  # of the last holdings that were read
    if not is_read and not side.differs:
        state = NOT_READ  # what was equal then is not known to be so now
    return SideRow(
        symbol=side.symbol,
        side="net" if side.direction is None else side.direction.value,
        ours=side.ours,
        venue=side.venue if is_read else None,
        orders_ours=ours.count(False),
        orders_venue=None if theirs is None else venue.count(False),
        stops_ours=ours.count(True),
        stops_venue=None if theirs is None else venue.count(True),
        state=state,
        action=action,
    )


def _state(side: Side, holdings: Holdings) -> tuple[str, str]:
    if not side.differs:
        if side.gap > ZERO and side.gap > side.dust:
            return "not ours", ""
        return "equal", ""
    if side.symbol in holdings.unsettled:
        return "in flight", "wait until orders and fills under way have settled, then read again"
    action = _action(side, holdings)
    if side.key in holdings.quarantined:
        return "quarantine", action
    return "differs", action


def _action(side: Side, holdings: Holdings) -> str:
    if side.in_both_margins:
        return "leave alone, open nothing beside: it is held in both margin modes"
    explanation, within_s = holdings.explained(side), holdings.stands_for_s(side.symbol)
    said = [
        f"book {each.fill.quantity} of position {each.position_id} as closed at "
        f"{each.fill.price} ({each.cause.value})"
        for each in explanation.reductions
    ]
    said += [
        f"book {each.fill.quantity} of position {each.position_id} as closed at about "
        f"{each.fill.price}, if no fill explains it within {within_s:.0f} s"
        for each in explanation.guesses
    ]
    if explanation.surplus:
        word = _word(explanation.surplus_direction)
        does = "adopt" if holdings.may_adopt(side.symbol) else "leave alone, open nothing beside"
        said.append(f"{does} {word} {explanation.surplus}")
    return "; ".join(said)


def _word(direction: Direction) -> str:
    return direction.value


def _strange(world: World, order: VenueOrder) -> StrangeOrder | None:
    terms = order.terms
    order_id = terms.client_order_id
    identity = identity_of(order_id)
    if order_id == NO_ORDER:
        whose = "a person's"
    elif identity is None or identity.account_tag != account_tag(world.account):
        whose = "another program's"
    elif world.position(identity.position_id) is None:
        whose = "ours, its position is over"
    else:
        return None
    return StrangeOrder(terms.symbol, terms.side.value, terms.quantity, order_id, whose)
