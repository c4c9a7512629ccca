"""Private endpoints of orders and executions.

What takes effect answers a row per order, `{"ordId", "clOrdId", "sCode", "sMsg", …}`; sCode "0" is
yes.
"""

from collections.abc import Callable, Iterable, Sequence

from exchanges.sandbox.account import LONG_SHORT, Account
from exchanges.sandbox.algos import end_algo
from exchanges.sandbox.pages import page, within
from exchanges.sandbox.params import Params
from exchanges.sandbox.records import CANCELED, FILLED, Fill, Order
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.rows import Row, fill_row, order_row
from exchanges.sandbox.trading import BY_USER, admit, amend, cancel, end, find, place

_BATCH = 20
_SECOND_MS = 1000
Action = Callable[[Account, Params], Order]


def _result(account: Account, params: Params, act: Action) -> Row:
    """Do one thing; print what came of it."""
    row = {
        "clOrdId": params.text("clOrdId"),
        "ordId": params.text("ordId"),
        "reqId": params.text("reqId"),
        "sCode": "0",
        "sMsg": "",
        "subCode": "",
        "tag": params.text("tag"),
        "ts": str(account.now_ms),
    }
    try:
        order = act(account, params)
    except VenueRefusal as refusal:
        return row | {"sCode": refusal.code, "sMsg": refusal.text}
    return row | {"ordId": order.order_id, "clOrdId": order.client_id}


def _placed(account: Account, params: Params) -> Row:
    row = _result(account, params, place)
    del row["reqId"]
    if row["sCode"] == "0":
        row["sMsg"] = "Order placed"
    return row


def place_order(account: Account, params: Params) -> list[Row]:
    """Place one."""
    return [_placed(account, params)]


def _all_of(rows: Sequence[Params]) -> Sequence[Params]:
    if not rows:
        raise VenueRefusal("50000")
    if len(rows) > _BATCH:
        raise VenueRefusal("51000", f"orders.size(must be less than or equal to {_BATCH})")
    return rows


def place_orders(account: Account, rows: Sequence[Params]) -> list[Row]:
    """Place up to 20."""
    return [_placed(account, one) for one in _all_of(rows)]


def cancel_order(account: Account, params: Params) -> list[Row]:
    """Cancel one."""
    return [_result(account, params, cancel)]


def cancel_orders(account: Account, rows: Sequence[Params]) -> list[Row]:
    """Cancel up to 20."""
    return [_result(account, one, cancel) for one in _all_of(rows)]


def amend_order(account: Account, params: Params) -> list[Row]:
    """Amend one."""
    return [_result(account, params, amend)]


def amend_orders(account: Account, rows: Sequence[Params]) -> list[Row]:
    """Amend up to 20."""
    return [_result(account, one, amend) for one in _all_of(rows)]


def get_order(account: Account, params: Params) -> list[Row]:
    """Return one, working or not."""
    order = find(account, params)
    if order is None:
        raise VenueRefusal("51603")
    return [order_row(order)]


def _chosen(newest_first: Iterable[Order], params: Params) -> list[Row]:
    kind, name = params.text("instType"), params.text("instId")
    types, state = params.text("ordType"), params.text("state")
    found = (
        one
        for one in within(newest_first, lambda one: one.created_ms, params)
        if kind in ("", "ANY", one.listing.inst_type)
        and name in ("", one.listing.inst_id)
        and (not types or one.type in types.split(","))
        and state in ("", one.state)
    )
    return [order_row(one) for one in page(found, lambda one: one.order_id, params)]


def orders_pending(account: Account, params: Params) -> list[Row]:
    """Return what rests, newest first."""
    resting = [one for some in account.working.values() for one in some.values()]
    return _chosen(sorted(resting, key=lambda one: int(one.order_id), reverse=True), params)


def orders_history(account: Account, params: Params) -> list[Row]:
    """Return what is over, newest first."""
    params.choice("instType", ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "ANY"))
    newest_first = reversed(account.orders.values())
    return _chosen((one for one in newest_first if one.state in (FILLED, CANCELED)), params)


def fills(account: Account, params: Params) -> list[Row]:
    """Return executions, newest first; paged by bill id."""
    kind, name = params.text("instType"), params.text("instId")
    order_id, sub_type = params.text("ordId"), params.text("subType")

    def wanted(one: Fill) -> bool:
        return (
            kind in ("", "ANY", one.order.listing.inst_type)
            and name in ("", one.order.listing.inst_id)
            and order_id in ("", one.order.order_id)
            and sub_type in ("", one.sub_type)
        )

    found = filter(wanted, within(reversed(account.fills), lambda one: one.at_ms, params))
    return [fill_row(one) for one in page(found, lambda one: one.bill_id, params)]


def close_position(account: Account, params: Params) -> list[Row]:
    """Close a position at market."""
    name, mode = params.need("instId"), params.choice("mgnMode", ("cross", "isolated"))
    side = params.text("posSide", "net")
    position = account.positions.get((name, mode, side))
    account.market.quote(name)
    if position is None or not position.size:
        raise VenueRefusal("51023")
    order = Order(
        order_id=account.market.next_id(),
        client_id=params.text("clOrdId"),
        listing=position.listing,
        side="sell" if position.signed > 0 else "buy",
        type="market",
        size=abs(position.size),
        price=None,
        mode=mode,
        pos_side=side,
        created_ms=account.now_ms,
        updated_ms=account.now_ms,
        reduce_only=account.position_mode != LONG_SHORT,
        leverage=position.leverage,
        tag=params.text("tag"),
    )
    if params.flag("autoCxl"):
        _clear_closing(account, order)
    admit(account, order)
    return [{"clOrdId": params.text("clOrdId"), "instId": name, "posSide": side, "tag": order.tag}]


def _clear_closing(account: Account, closing: Order) -> None:
    """Cancel what waits to close the same position."""
    name = closing.listing.inst_id
    for order in list(account.working.get(name, {}).values()):
        if order.side == closing.side and order.pos_side == closing.pos_side:
            end(account, order, BY_USER)
    for algo in list(account.armed.get(name, {}).values()):
        if algo.side == closing.side and algo.pos_side == closing.pos_side:
            end_algo(account, algo)


def cancel_all_after(account: Account, params: Params) -> list[Row]:
    """Cancel everything unless called again within `timeOut` seconds; 0 calls it off."""
    seconds = params.whole("timeOut", 0)
    if seconds and not 10 <= seconds <= 120:  # noqa: PLR2004
        raise VenueRefusal("51000", "timeOut")
    at_ms = account.now_ms + seconds * _SECOND_MS if seconds else None
    account.cancel_all_at_ms = at_ms
    return [{"tag": params.text("tag"), "triggerTime": str(at_ms or 0), "ts": str(account.now_ms)}]


def account_rate_limit(account: Account, params: Params) -> list[Row]:
    """Return the sub-account's limit."""
    del params
    row = {"accRateLimit": "1000", "fillRatio": "", "mainFillRatio": "", "nextAccRateLimit": ""}
    return [{**row, "ts": str(account.now_ms)}]
