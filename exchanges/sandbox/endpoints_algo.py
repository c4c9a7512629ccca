"""Private endpoints of algo orders."""

from collections.abc import Callable, Iterable, Sequence

from exchanges.sandbox.account import Account
from exchanges.sandbox.algos import TYPES, amend_algo, cancel_algo, find_algo, place_algo
from exchanges.sandbox.pages import page
from exchanges.sandbox.params import Params
from exchanges.sandbox.records import CANCELED, EFFECTIVE, LIVE, ORDER_FAILED, Algo
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.rows import Row, algo_row

_MOST_CANCELS = 10


def _result(account: Account, params: Params, act: Callable[[Account, Params], Algo]) -> Row:
    row = {
        "algoClOrdId": params.text("algoClOrdId"),
        "algoId": params.text("algoId"),
        "sCode": "0",
        "sMsg": "",
    }
    try:
        algo = act(account, params)
    except VenueRefusal as refusal:
        return row | {"sCode": refusal.code, "sMsg": refusal.text}
    return row | {"algoId": algo.algo_id, "algoClOrdId": algo.client_id}


def place(account: Account, params: Params) -> list[Row]:
    """Place one."""
    row = _result(account, params, place_algo)
    return [{**row, "clOrdId": "", "subCode": "", "tag": params.text("tag")}]


def cancel(account: Account, rows: Sequence[Params]) -> list[Row]:
    """Cancel up to 10."""
    if not rows:
        raise VenueRefusal("50000")
    if len(rows) > _MOST_CANCELS:
        raise VenueRefusal("51000", "orders.size")
    return [_result(account, one, cancel_algo) for one in rows]


def amend(account: Account, params: Params) -> list[Row]:
    """Amend one."""
    return [{**_result(account, params, amend_algo), "reqId": params.text("reqId")}]


def get(account: Account, params: Params) -> list[Row]:
    """Return one, waiting or not."""
    algo = find_algo(account, params)
    if algo is None:
        raise VenueRefusal("51603")
    return [algo_row(algo)]


def _types(params: Params) -> list[str]:
    types = params.need("ordType").split(",")
    if not set(types) <= {*TYPES, "iceberg", "twap", "chase"}:
        raise VenueRefusal("51000", "ordType")
    return types


def _chosen(newest_first: Iterable[Algo], params: Params) -> list[Row]:
    types = _types(params)
    kind, name = params.text("instType"), params.text("instId")
    algo_id, client_id = params.text("algoId"), params.text("algoClOrdId")
    found = (
        one
        for one in newest_first
        if one.type in types
        and kind in ("", "ANY", one.listing.inst_type)
        and name in ("", one.listing.inst_id)
        and algo_id in ("", one.algo_id)
        and client_id in ("", one.client_id)
    )
    return [algo_row(one) for one in page(found, lambda one: one.algo_id, params)]


def pending(account: Account, params: Params) -> list[Row]:
    """Return those that wait, newest first."""
    waiting = [one for some in account.armed.values() for one in some.values()]
    return _chosen(sorted(waiting, key=lambda one: int(one.algo_id), reverse=True), params)


def history(account: Account, params: Params) -> list[Row]:
    """Return those that are over, newest first, of one state or by id."""
    state = params.text("state")
    if not state and not params.text("algoId"):
        raise VenueRefusal("50015", "state", "algoId")
    if state and state not in (EFFECTIVE, CANCELED, ORDER_FAILED):
        raise VenueRefusal("51000", "state")
    done = (one for one in reversed(account.algos.values()) if one.state != LIVE)
    return _chosen((one for one in done if state in ("", one.state)), params)
