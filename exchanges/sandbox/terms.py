"""The terms of an order: read from a request, and checked against the instrument's rules."""

import re

from exchanges.sandbox.account import LONG_SHORT, Account
from exchanges.sandbox.attached import attached_of
from exchanges.sandbox.catalog import QUOTE, Listing
from exchanges.sandbox.market import Quote
from exchanges.sandbox.numbers import ZERO, is_multiple, text
from exchanges.sandbox.params import Params
from exchanges.sandbox.records import Order
from exchanges.sandbox.refusals import VenueRefusal

_AT_MARKET = ("market", "optimal_limit_ioc")
_TYPES = (*_AT_MARKET, "limit", "post_only", "ioc", "fok")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")


def read_order(account: Account, params: Params) -> Order:
    """Read and check the terms of an order, funds aside. Raises `VenueRefusal`."""
    quote = open_quote(account, params)
    listing = quote.listing
    side = params.choice("side", ("buy", "sell"))
    kind = params.choice("ordType", _TYPES)
    mode = mode_of(listing, params)
    pos_side = pos_side_of(account, listing, params)
    order = Order(
        order_id=account.market.next_id(),
        client_id=client_id_of(params, "clOrdId"),
        listing=listing,
        side=side,
        type=kind,
        size=params.positive("sz") or ZERO,
        price=None if kind in _AT_MARKET else params.positive("px"),
        mode=mode,
        pos_side=pos_side,
        created_ms=account.now_ms,
        updated_ms=account.now_ms,
        target=_target(listing, side, kind, params),
        reduce_only=reduces(account, listing, params),
        leverage=account.leverage(listing.inst_id, mode, pos_side) if listing.is_swap else None,
        tag=params.text("tag"),
    )
    if order.client_id and order.client_id in account.order_by_client:
        account.resent.append(order.client_id)
        raise VenueRefusal("51016")
    if not order.size:
        raise VenueRefusal("51000", "sz")
    check_size(order)
    if order.at_market:
        _check_value(quote, order)
    else:
        check_price(quote, order)
    order.attached = attached_of(account, quote, order, params)
    return order


def open_quote(account: Account, params: Params) -> Quote:
    """Return the instrument that `instId` names, unless it is suspended."""
    quote = account.market.quote(params.need("instId"))
    if quote.is_suspended:
        raise VenueRefusal("51022")
    return quote


def mode_of(listing: Listing, params: Params) -> str:
    """Read `tdMode`: spot is cash, swaps are cross or isolated."""
    mode = params.choice("tdMode", ("cash", "cross", "isolated"))
    if not listing.is_swap and mode != "cash":
        raise VenueRefusal("51010")
    if listing.is_swap and mode == "cash":
        raise VenueRefusal("51000", "tdMode")
    return mode


def reduces(account: Account, listing: Listing, params: Params) -> bool:
    """Read `reduceOnly`, which counts for swaps in net mode only; elsewhere it is passed over."""
    asked = params.flag("reduceOnly")
    return asked and listing.is_swap and account.position_mode != LONG_SHORT


def pos_side_of(account: Account, listing: Listing, params: Params) -> str:
    """Read `posSide`, which only long_short mode takes."""
    if not listing.is_swap:
        return "net"
    if account.position_mode == LONG_SHORT:
        side = params.text("posSide")
        if side not in ("long", "short"):
            raise VenueRefusal("51000", "posSide")
        return side
    if params.text("posSide", "net") != "net":
        raise VenueRefusal("51000", "posSide")
    return "net"


def client_id_of(params: Params, name: str) -> str:
    """Read an id of the client's: 1-32 letters and digits."""
    given = params.text(name)
    if given and not _ID.fullmatch(given):
        raise VenueRefusal("51000", name)
    return given


def _target(listing: Listing, side: str, kind: str, params: Params) -> str:
    if listing.is_swap or kind != "market":
        return ""
    default = "quote_ccy" if side == "buy" else "base_ccy"
    return params.choice("tgtCcy", ("base_ccy", "quote_ccy"), default)


def check_size(order: Order) -> None:
    """Refuse what is no whole number of lots, too small or too large."""
    listing, size = order.listing, order.size
    if order.by_quote:
        if size < 1:
            raise VenueRefusal("51020")
        if size > listing.max_market:
            raise VenueRefusal("51201", f"{text(listing.max_market)} {QUOTE}")
        return
    if size < listing.least:
        raise VenueRefusal("51020")
    if not is_multiple(size, listing.lot):
        raise VenueRefusal("51121")
    if order.at_market and listing.is_swap and size > listing.max_market:
        raise VenueRefusal("51202")
    if size > listing.max_limit:
        raise VenueRefusal("51203")


def _check_value(quote: Quote, order: Order) -> None:
    """Refuse an order of spot at market, counted in coins, that is worth too much."""
    listing = order.listing
    if not listing.is_swap and not order.by_quote and order.size * quote.last > listing.max_market:
        raise VenueRefusal("51202")


def check_price(quote: Quote, order: Order) -> None:
    """Refuse a limit that is off the grid, or too far from the market."""
    price, listing = order.price, order.listing
    if price is None:
        raise VenueRefusal("51000", "px")
    if not is_multiple(price, listing.tick):
        raise VenueRefusal("51000", "px")
    high, low = quote.limits()
    too_high, too_low = order.side == "buy" and price > high, order.side == "sell" and price < low
    if listing.is_swap and (too_high or too_low):
        raise VenueRefusal("51006", text(high), text(low))
    if too_high:
        raise VenueRefusal("51137", text(high))
    if too_low:
        raise VenueRefusal("51138", text(low))
