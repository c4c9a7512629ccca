"""Leverage, liquidation and funding of positions in swaps."""

from decimal import Decimal

from exchanges.sandbox.account import LONG_SHORT, NET, Account
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.market import Quote
from exchanges.sandbox.numbers import ZERO, cents
from exchanges.sandbox.pushes import push_order, push_state
from exchanges.sandbox.records import Order, Position
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.trading import fill

FUNDING_EVERY_MS = 8 * 3_600_000


def close_at(account: Account, position: Position, price: Decimal, *, category: str) -> Order:
    """Let the venue close a position: `full_liquidation`, `adl`. Its order has no client id."""
    signed = position.signed
    order = Order(
        order_id=account.market.next_id(),
        client_id="",
        listing=position.listing,
        side="sell" if signed > 0 else "buy",
        type="market",
        size=abs(signed),
        price=None,
        mode=position.mode,
        pos_side=position.pos_side,
        created_ms=account.now_ms,
        updated_ms=account.now_ms,
        leverage=position.leverage,
        category=category,
    )
    account.orders[order.order_id] = order
    push_order(account, order)
    event = "adl" if category == "adl" else "liquidation"
    fill(account, order, order.size, price, is_maker=False, event=event)
    asset = account.asset(QUOTE)
    if category == "full_liquidation" and asset.cash < 0:  # the insurance fund bears the rest
        account.book(QUOTE, -asset.cash, "5", sub_type="110")
        push_state(account, "liquidation", (QUOTE,), ())
    return order


def liquidate(account: Account, quote: Quote) -> None:
    """Close what its margin no longer carries: isolated ones alone, cross ones all together."""
    held = account.open_positions()
    for one in held:
        if one.mode != "isolated":
            continue
        mark = account.mark_of(one)
        need = one.notional(mark) * one.listing.maintenance
        if one.listing is quote.listing and one.margin(mark) + one.profit(mark) <= need:
            close_at(account, one, mark, category="full_liquidation")
    crossed = [one for one in held if one.mode == "cross"]
    if not crossed:
        return
    need = sum(
        (one.notional(account.mark_of(one)) * one.listing.maintenance for one in crossed), ZERO
    )
    if account.cross_equity() <= need:
        for one in crossed:
            close_at(account, one, account.mark_of(one), category="full_liquidation")


def pay_funding(account: Account, inst_id: str, rate: Decimal | None = None) -> Decimal:
    """Book funding of all positions in a swap, at `rate` of notional; return what came in.

    A long pays a positive rate, a short gets it. What an isolated position pays leaves its margin,
    not the cash.
    """
    quote = account.market.quote(inst_id)
    used = quote.funding_rate if rate is None else rate
    total = ZERO
    for one in account.open_positions(inst_id):
        sign = -1 if one.signed > 0 else 1
        change = one.notional(quote.mark) * used * sign
        one.funding += change
        one.updated_ms = account.now_ms
        total += change
        pledged = change if one.mode == "isolated" and change < 0 else ZERO
        account.book(
            QUOTE,
            change - pledged,
            "8",
            position=one,
            pledged=pledged,
            sub_type="173" if change < 0 else "174",
            inst_id=inst_id,
            inst_type=one.listing.inst_type,
            mode=one.mode,
            size=abs(one.size),
            price=quote.mark,
            pnl=change,
        )
        push_state(account, "funding_fee", (QUOTE,), (one,))
    return total


def set_leverage(account: Account, inst_id: str, mode: str, pos_side: str, value: Decimal) -> None:
    """Set it for coming and present positions. Raises `VenueRefusal`."""
    quote = account.market.quote(inst_id)
    if not quote.listing.is_swap:
        raise VenueRefusal("51010")
    if value > quote.listing.max_leverage or value < 1:
        raise VenueRefusal("59102")
    side = pos_side if mode == "isolated" else "net"
    touched = [
        one
        for one in account.open_positions(inst_id)
        if one.mode == mode and (mode == "cross" or one.pos_side == side)
    ]
    more = sum((one.notional(quote.mark) / value - one.margin(quote.mark) for one in touched), ZERO)
    if more > account.available(QUOTE):
        raise VenueRefusal("59107" if mode == "isolated" else "51008", QUOTE)
    account.leverages[inst_id, mode, side] = value
    for one in touched:
        before, one.leverage = one.leverage, value
        one.updated_ms = account.now_ms
        if mode == "isolated":
            notional = one.notional(one.average)
            _move_margin(account, one, cents(notional / value) - cents(notional / before))
    if touched:
        push_state(account, "set_leverage", (QUOTE,), touched)


def _move_margin(account: Account, position: Position, change: Decimal) -> None:
    """Give an isolated position more of the cash, or take some back."""
    account.book(
        QUOTE,
        -change,
        "6",
        sub_type="160" if change > 0 else "161",
        inst_id=position.listing.inst_id,
        inst_type=position.listing.inst_type,
        mode=position.mode,
        size=abs(change),
        position=position,
        pledged=change,
    )


def set_position_mode(account: Account, mode: str) -> None:
    """Choose net or long_short. Raises `VenueRefusal` while there are orders or positions."""
    if mode not in (NET, LONG_SHORT):
        raise VenueRefusal("51000", "posMode")
    if mode == account.position_mode:
        return
    orders = any(o.listing.is_swap for some in account.working.values() for o in some.values())
    algos = any(a.listing.is_swap for some in account.armed.values() for a in some.values())
    if orders or algos or account.open_positions():
        raise VenueRefusal("59000")
    account.position_mode = mode
