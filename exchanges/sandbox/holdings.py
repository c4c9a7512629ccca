"""Positions in swaps: what may be closed, and what a fill makes of them."""

from decimal import Decimal

from exchanges.sandbox.account import LONG_SHORT, Account
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.numbers import ZERO, cents
from exchanges.sandbox.records import Algo, Fill, Order, Position

_CLOSING = {("sell", "long"), ("buy", "short")}


def position_of(account: Account, order: Order | Algo) -> Position:
    """Return the position that an order works on, a flat one if need be."""
    listing = order.listing
    key = (listing.inst_id, order.mode, order.pos_side)
    position = account.positions.get(key)
    if position is None:
        position = account.positions[key] = Position(
            position_id=account.market.next_id(),
            listing=listing,
            mode=order.mode,
            pos_side=order.pos_side,
            leverage=account.leverage(*key),
            created_ms=account.now_ms,
            updated_ms=0,
        )
    return position


def is_closing(account: Account, order: Order | Algo) -> bool:
    """Whether it points against its position: in long_short mode that is all it may do."""
    if account.position_mode == LONG_SHORT:
        return (order.side, order.pos_side) in _CLOSING
    return order.reduce_only


def closable(account: Account, order: Order | Algo, besides: Order | None = None) -> Decimal:
    """Return how many contracts of the position the order may close.

    In long_short mode what other closing orders hold is taken off; `besides` is not one of them.
    """
    position = account.positions.get((order.listing.inst_id, order.mode, order.pos_side))
    if position is None or not position.size:
        return ZERO
    if order.pos_side == "net":
        against = (position.size > 0) == (order.side == "sell")
        return abs(position.size) if against else ZERO
    if (order.side, order.pos_side) not in _CLOSING:
        return ZERO
    held = sum(
        (
            one.left
            for one in account.working.get(order.listing.inst_id, {}).values()
            if one is not besides
            and one is not order
            and one.pos_side == order.pos_side
            and one.side == order.side
            and one.mode == order.mode
        ),
        ZERO,
    )
    return max(ZERO, position.size - held)


def take_fill(account: Account, fill: Fill) -> None:
    """Grow, shrink or turn the position that a fill belongs to; book profit and fee."""
    order = fill.order
    position = position_of(account, order)
    if not position.size:
        _reopen(account, position, order)
    change = fill.size if order.side == "buy" else -fill.size
    signed = position.signed
    pledged = _pledge(position, fill, change)
    fill.sub_type = _sub_type(order.category, signed, change)
    if signed == 0 or (signed > 0) == (change > 0):
        value = position.average * abs(signed) + fill.price * fill.size
        position.average = value / (abs(signed) + fill.size)
    else:
        closed = min(abs(signed), fill.size)
        sign = 1 if signed > 0 else -1
        each = (fill.price - position.average) * order.listing.contract_value * sign
        fill.pnl = each * closed
        if fill.size > abs(signed):
            position.average = fill.price
    after = signed + change
    position.size = abs(after) if position.pos_side != "net" else after
    position.realized += fill.pnl
    position.fee += fill.fee
    position.last_trade = fill.trade_id
    position.updated_ms = account.now_ms
    bill = account.book(
        QUOTE,
        fill.pnl + fill.fee - pledged,
        "2" if order.category == "normal" else ("9" if order.category == "adl" else "5"),
        sub_type=fill.sub_type,
        inst_id=order.listing.inst_id,
        inst_type=order.listing.inst_type,
        mode=order.mode,
        order_id=order.order_id,
        client_id=order.client_id,
        trade_id=fill.trade_id,
        size=fill.size,
        price=fill.price,
        fee=fill.fee,
        pnl=fill.pnl,
        exec_type="M" if fill.is_maker else "T",
        position=position,
        pledged=pledged,
    )
    fill.bill_id = bill.bill_id


def _pledge(position: Position, fill: Fill, change: Decimal) -> Decimal:
    """Return what an isolated position takes out of the cash for a fill; below zero it gives back.

    What is closed gives its share back, what is opened takes its worth by the leverage.
    """
    if position.mode != "isolated":
        return ZERO
    held = abs(position.signed)
    closed = min(held, fill.size) if position.signed * change < 0 else ZERO
    back = ZERO
    if closed:  # the last takes what rounding has left
        back = position.pledged if closed == held else cents(position.pledged * closed / held)
    worth = (fill.size - closed) * position.listing.contract_value * fill.price
    return cents(worth / position.leverage) - back


def _reopen(account: Account, position: Position, order: Order) -> None:
    """Begin anew after the position was flat."""
    if position.updated_ms:
        position.position_id = account.market.next_id()
    position.created_ms = account.now_ms
    position.leverage = order.leverage or position.leverage
    position.realized = position.fee = position.funding = ZERO
    position.average = ZERO


def _sub_type(category: str, signed: Decimal, change: Decimal) -> str:
    """Return the venue's number for open and close, long and short, liquidation and ADL."""
    if category == "adl":
        return "125" if signed > 0 else "126"
    if category != "normal":
        return "104" if signed > 0 else "105"
    if signed == 0 or (signed > 0) == (change > 0):
        return "3" if change > 0 else "4"
    return "5" if signed > 0 else "6"
