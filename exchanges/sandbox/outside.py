"""What others do to an account: a person on the site, the venue's risk engine, a cashier."""

from decimal import Decimal
from typing import Any

from exchanges.sandbox.account import Account
from exchanges.sandbox.algos import amend_algo, end_algo
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.margin import close_at, pay_funding
from exchanges.sandbox.numbers import floor_to, text
from exchanges.sandbox.params import Params
from exchanges.sandbox.pushes import push_state
from exchanges.sandbox.records import Algo, Order
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.trading import BY_USER, end, place


def order(account: Account, fields: dict[str, Any]) -> Order:
    """Place an order without a client's id; the fields of `trade/order`. Raises `VenueRefusal`."""
    kept = {name: value for name, value in fields.items() if name != "clOrdId"}
    mode = "cash" if not str(kept.get("instId", "")).endswith("-SWAP") else "cross"
    return place(account, Params({"tdMode": mode, "ordType": "market", **kept}))


def close(
    account: Account, inst_id: str, *, share: Decimal = Decimal(1), mode: str = ""
) -> list[Order]:
    """Close a share of what is held in an instrument, at market; of one margin `mode` or of all.

    On spot, stops that bind what is to be sold are canceled first, as the site does. Raises
    `VenueRefusal` when nothing is held.
    """
    listing = account.market.quote(inst_id).listing
    if not listing.is_swap:
        cancel_stops(account, inst_id)
        size = floor_to(account.available(listing.base) * share, listing.lot)
        if not size:
            raise VenueRefusal("51008", listing.base)
        fields = {"instId": inst_id, "side": "sell", "sz": text(size), "tgtCcy": "base_ccy"}
        return [order(account, fields)]
    held = [one for one in account.open_positions(inst_id) if mode in ("", one.mode)]
    if not held:
        raise VenueRefusal("51023")
    closing = []
    for one in held:
        size = max(listing.lot, floor_to(abs(one.size) * share, listing.lot))
        fields = {
            "instId": inst_id,
            "side": "sell" if one.signed > 0 else "buy",
            "sz": text(size),
            "tdMode": one.mode,
            "posSide": one.pos_side,
            "reduceOnly": "true" if one.pos_side == "net" else "false",
        }
        closing.append(order(account, fields))
    return closing


def cancel_stops(account: Account, inst_id: str, algo_id: str = "") -> list[Algo]:
    """Cancel waiting algo orders of an instrument, or one of them."""
    chosen = [
        one
        for one in list(account.armed.get(inst_id, {}).values())
        if algo_id in ("", one.algo_id, one.client_id)
    ]
    for one in chosen:
        end_algo(account, one)
    return chosen


def cancel_orders(account: Account, inst_id: str) -> list[Order]:
    """Cancel what rests in an instrument."""
    chosen = list(account.working.get(inst_id, {}).values())
    for one in chosen:
        end(account, one, BY_USER)
    return chosen


def move_stop(account: Account, inst_id: str, trigger: Decimal) -> list[Algo]:
    """Move every waiting stop of an instrument. Raises `VenueRefusal`."""
    return [
        amend_algo(
            account,
            Params({"instId": inst_id, "algoId": one.algo_id, "newSlTriggerPx": text(trigger)}),
        )
        for one in list(account.armed.get(inst_id, {}).values())
        if one.sl_trigger is not None
    ]


def liquidate(account: Account, inst_id: str, category: str = "full_liquidation") -> list[Order]:
    """Let the venue close what is held in a swap at its mark; `adl` is a category too."""
    held = account.open_positions(inst_id)
    if not held:
        raise VenueRefusal("51023")
    return [close_at(account, one, account.mark_of(one), category=category) for one in held]


def transfer(account: Account, asset: str, amount: Decimal) -> None:
    """Move money in (above zero) or out."""
    account.book(asset, amount, "1", sub_type="11" if amount > 0 else "12")
    if asset != QUOTE:  # so that what was brought in is no holding without a stop
        account.deposited[asset] = account.deposited.get(asset, Decimal(0)) + amount
    push_state(account, "transferred", (asset,), ())
    account.changed()


def fund(account: Account, inst_id: str, rate: Decimal | None = None) -> Decimal:
    """Pay funding now; return what came in."""
    total = pay_funding(account, inst_id, rate)
    account.changed()
    return total
