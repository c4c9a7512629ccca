"""Orders: placed, checked, matched, filled, amended, canceled.

The made-up market fills what crosses its bid and ask, all of it at one price unless the liquidity
of the instrument was limited (`Quote.liquidity`). What rests is filled at its own price, as maker.
"""

from decimal import Decimal
from typing import Any

from exchanges.sandbox.account import LONG_SHORT, Account
from exchanges.sandbox.attached import attach
from exchanges.sandbox.catalog import QUOTE, Listing
from exchanges.sandbox.holdings import closable, is_closing, position_of, take_fill
from exchanges.sandbox.market import Quote
from exchanges.sandbox.numbers import ZERO, cents, floor_to
from exchanges.sandbox.params import Params
from exchanges.sandbox.pushes import push_money, push_order, push_state
from exchanges.sandbox.records import CANCELED, FILLED, PARTLY, Fill, Order
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.terms import check_price, check_size, read_order

BY_USER, BY_IOC, BY_FOK, BY_POST_ONLY, BY_TIMER, BY_POSITION = "1", "14", "13", "31", "20", "17"


def place(account: Account, params: Params) -> Order:
    """Take an order in and match it. Raises `VenueRefusal`; then nothing changed."""
    order = read_order(account, params)
    admit(account, order)
    return order


def admit(account: Account, order: Order) -> None:
    """Check position and funds, enter the order, match it. Raises `VenueRefusal`."""
    _check_closing(account, order)
    asset, amount = needed(account, order)
    if amount > account.available(asset):
        raise VenueRefusal("51008", asset)
    account.orders[order.order_id] = order
    if order.client_id:
        account.order_by_client[order.client_id] = order
    account.working.setdefault(order.listing.inst_id, {})[order.order_id] = order
    account.freeze(order, asset, amount)
    push_order(account, order)
    push_money(account, (asset,))
    quote = account.market.quotes[order.listing.inst_id]
    if order.type == "post_only" and _crosses(quote, order):
        end(account, order, BY_POST_ONLY)
    elif order.type == "fok" and not _fills_whole(quote, order):
        end(account, order, BY_FOK)
    else:
        match(account, order, as_maker=False)
    account.changed()


def _check_closing(account: Account, order: Order) -> None:
    if not order.listing.is_swap or not (order.reduce_only or is_closing(account, order)):
        return
    may = closable(account, order)
    if not may:
        raise VenueRefusal("51169")
    if account.position_mode == LONG_SHORT and is_closing(account, order) and order.size > may:
        raise VenueRefusal("51112")


def needed(account: Account, order: Order) -> tuple[str, Decimal]:
    """Return the asset and how much of it what is left of an order binds."""
    listing, left = order.listing, order.left
    quote = account.market.quotes[listing.inst_id]
    price = order.price or (quote.ask if order.side == "buy" else quote.bid)
    if not listing.is_swap:
        if order.side == "sell":
            return listing.base, cents(left / price) if order.by_quote else left
        return QUOTE, left if order.by_quote else left * price
    if order.reduce_only or (account.position_mode == LONG_SHORT and is_closing(account, order)):
        return QUOTE, ZERO
    opens = max(ZERO, left - closable(account, order))
    notional = opens * listing.contract_value * price
    leverage = order.leverage or account.leverage(listing.inst_id, order.mode, order.pos_side)
    return QUOTE, cents(notional / leverage + notional * listing.taker_fee)


def _crosses(quote: Quote, order: Order) -> bool:
    """Whether it would take from the book."""
    if order.price is None:
        return True
    return order.price >= quote.ask if order.side == "buy" else order.price <= quote.bid


def _is_reached(quote: Quote, order: Order) -> bool:
    """Whether the market came to the price of an order that rests."""
    if order.price is None:
        return True
    if order.side == "buy":
        return order.price >= min(quote.ask, quote.last)
    return order.price <= max(quote.bid, quote.last)


def _fills_whole(quote: Quote, order: Order) -> bool:
    has = quote.liquidity is None or quote.liquidity >= order.left
    return has and _crosses(quote, order)


def match(account: Account, order: Order, *, as_maker: bool) -> None:
    """Fill what the market gives; end what may not rest."""
    quote = account.market.quotes[order.listing.inst_id]
    reached = _is_reached(quote, order) if as_maker else _crosses(quote, order)
    if reached:
        touch = quote.ask if order.side == "buy" else quote.bid
        price = order.price if as_maker and order.price is not None else touch
        size = _size_now(account, quote, order, price)
        if size:
            fill(account, order, size, price, is_maker=as_maker)
    if not order.is_working:
        return
    is_reducing = order.reduce_only and not closable(account, order)
    if is_reducing:
        end(account, order, BY_POSITION)
    elif order.at_market or order.type in ("ioc", "fok"):
        end(account, order, BY_IOC)


def _size_now(account: Account, quote: Quote, order: Order, price: Decimal) -> Decimal:
    left = order.left
    if order.by_quote:
        left = floor_to(left / price, order.listing.lot)
    if order.reduce_only or (account.position_mode == LONG_SHORT and is_closing(account, order)):
        left = min(left, closable(account, order, besides=order))
    if quote.liquidity is not None:
        left = min(left, quote.liquidity)
        quote.liquidity -= left
    return left


def fill(
    account: Account,
    order: Order,
    size: Decimal,
    price: Decimal,
    *,
    is_maker: bool,
    event: str = "filled",
) -> Fill:
    """Execute `size` of an order at `price`: money, position, fees, bills, pushes."""
    listing = order.listing
    quote = account.market.quotes[listing.inst_id]
    rate = listing.maker_fee if is_maker else listing.taker_fee
    spot_buy = not listing.is_swap and order.side == "buy"
    base = size if spot_buy else size * listing.contract_value * price
    execution = Fill(
        trade_id=f"{'' if order.category == 'normal' else '-'}{quote.next_trade_id()}",
        order=order,
        price=price,
        size=size,
        fee=-base * rate,
        fee_asset=listing.base if spot_buy else QUOTE,
        is_maker=is_maker,
        at_ms=account.now_ms,
    )
    order.filled += size
    order.value += size * price
    order.fee += execution.fee
    order.fee_asset = execution.fee_asset
    order.updated_ms = account.now_ms
    order.fills.append(execution)
    account.fills.append(execution)
    done = order.left <= 0 or (order.by_quote and order.left < price * listing.lot)
    order.state = FILLED if done else PARTLY
    account.thaw(order)
    if listing.is_swap:
        take_fill(account, execution)
        positions = [position_of(account, order)]
    else:
        _take_spot(account, execution)
        positions = []
    order.pnl += execution.pnl
    if done:
        _leave(account, order)
    else:
        account.freeze(order, *needed(account, order))
    push_order(account, order, execution)
    push_state(account, event, _assets(listing), positions, execution)
    if done:
        attach(account, order)
    account.changed()
    return execution


def _assets(listing: Listing) -> tuple[str, ...]:
    return (QUOTE,) if listing.is_swap else (listing.base, QUOTE)


def _take_spot(account: Account, one: Fill) -> None:
    order, listing = one.order, one.order.listing
    is_buy = order.side == "buy"
    value = one.size * one.price
    one.sub_type = "1" if is_buy else "2"
    got, gave = (listing.base, QUOTE) if is_buy else (QUOTE, listing.base)
    received, given = (one.size, value) if is_buy else (value, one.size)
    facts: dict[str, Any] = {
        "sub_type": one.sub_type,
        "inst_id": listing.inst_id,
        "inst_type": listing.inst_type,
        "mode": "cash",
        "order_id": order.order_id,
        "client_id": order.client_id,
        "trade_id": one.trade_id,
        "size": one.size,
        "price": one.price,
        "exec_type": "M" if one.is_maker else "T",
    }
    account.book(gave, -given, "2", **facts)
    one.bill_id = account.book(got, received + one.fee, "2", fee=one.fee, **facts).bill_id


def _leave(account: Account, order: Order) -> None:
    account.thaw(order)
    account.working.get(order.listing.inst_id, {}).pop(order.order_id, None)


def end(account: Account, order: Order, source: str) -> None:
    """Cancel what is left of a working order; `source` is the venue's number for who did it."""
    order.state, order.cancel_source = CANCELED, source
    order.updated_ms = account.now_ms
    asset = order.frozen_asset
    _leave(account, order)
    push_order(account, order)
    if asset:
        push_money(account, (asset,))
    if order.filled:
        attach(account, order)
    account.changed()


def find(account: Account, params: Params, id_name: str = "ordId") -> Order | None:
    """Return the order that `ordId` or `clOrdId` names; the first wins. Raises `VenueRefusal`."""
    account.market.quote(params.need("instId"))
    order_id, client_id = params.text(id_name), params.text("clOrdId")
    if not order_id and not client_id:
        raise VenueRefusal("50015", "ordId", "clOrdId")
    order = account.orders.get(order_id) if order_id else account.order_by_client.get(client_id)
    if order is None or order.listing.inst_id != params.text("instId"):
        return None
    return order


def cancel(account: Account, params: Params) -> Order:
    """Cancel an order. Raises `VenueRefusal`: 51400 for one that is out or never was."""
    order = find(account, params)
    if order is None or not order.is_working:
        raise VenueRefusal("51400")
    end(account, order, BY_USER)
    return order


def amend(account: Account, params: Params) -> Order:
    """Change size or price of a resting order. Raises `VenueRefusal`; then nothing changed."""
    order = find(account, params)
    if order is None or not order.is_working:
        raise VenueRefusal("51503")
    size, price = params.positive("newSz"), params.positive("newPx")
    if size is None and price is None:
        raise VenueRefusal("50015", "newSz", "newPx")
    before = (order.size, order.price)
    try:
        order.size, order.price = size or order.size, price or order.price
        asset, amount = _check_amended(account, order)
    except VenueRefusal:
        order.size, order.price = before
        if params.flag("cxlOnFail"):
            end(account, order, BY_USER)
        raise
    order.updated_ms = account.now_ms
    account.freeze(order, asset, amount)
    request_id = params.text("reqId")
    if order.size == order.filled:
        order.state = FILLED
        _leave(account, order)
    push_order(account, order, request_id=request_id, amended="0")
    push_money(account, (asset,))
    if order.is_working:
        match(account, order, as_maker=False)
    account.changed()
    return order


def _check_amended(account: Account, order: Order) -> tuple[str, Decimal]:
    """Return what it binds now. Raises `VenueRefusal`."""
    if order.size < order.filled:
        raise VenueRefusal("51503")
    check_size(order)
    check_price(account.market.quotes[order.listing.inst_id], order)
    asset, amount = needed(account, order)
    if amount - order.frozen > account.available(asset):
        raise VenueRefusal("51008", asset)
    return asset, amount


def work(account: Account, quote: Quote) -> None:
    """Fill what rests and was reached."""
    resting = account.working.get(quote.listing.inst_id)
    if resting:
        for order in [one for one in resting.values() if _is_reached(quote, one)]:
            if order.is_working:
                match(account, order, as_maker=True)
