"""Algo orders enter here: asked for by themselves, or brought along by an order that filled."""

from decimal import Decimal

from exchanges.sandbox.account import Account
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.market import Quote
from exchanges.sandbox.numbers import ZERO, floor_to
from exchanges.sandbox.params import Params
from exchanges.sandbox.pushes import push_algo, push_money
from exchanges.sandbox.records import Algo, Attached, Order
from exchanges.sandbox.refusals import VenueRefusal

WATCHES = ("last", "mark", "index")
_MAX_ID = 32


def arm(account: Account, algo: Algo) -> None:
    """Let an algo order wait for its price; on spot the money it will need is set aside."""
    account.algos[algo.algo_id] = algo
    if algo.client_id:
        account.algo_by_client[algo.client_id] = algo
    account.armed.setdefault(algo.listing.inst_id, {})[algo.algo_id] = algo
    asset, amount = bound_by(account, algo)
    if asset:
        account.freeze(algo, asset, amount)
        push_money(account, (asset,))
    push_algo(account, algo)
    account.changed()


def bound_by(account: Account, algo: Algo) -> tuple[str, Decimal]:
    """Return the asset that a spot algo order binds, and how much; swaps bind nothing."""
    if algo.listing.is_swap:
        return "", ZERO
    if algo.side == "sell":
        return algo.listing.base, algo.size
    if algo.target == "quote_ccy":
        return QUOTE, algo.size
    quote = account.market.quotes[algo.listing.inst_id]
    prices = [algo.sl_trigger, algo.tp_trigger, algo.trigger, quote.ask]
    return QUOTE, algo.size * max(price for price in prices if price is not None)


def disarm(account: Account, algo: Algo) -> None:
    """Take it from those that wait."""
    asset = algo.frozen_asset
    account.thaw(algo)
    account.armed.get(algo.listing.inst_id, {}).pop(algo.algo_id, None)
    algo.updated_ms = account.now_ms
    if asset:
        push_money(account, (asset,))


def check_triggers(
    quote: Quote, side: str, stop: tuple[Decimal | None, str], target: tuple[Decimal | None, str]
) -> None:
    """Refuse a stop or target of a `side` order that would fire at once."""
    (sl, sl_watches), (tp, tp_watches) = stop, target
    if sl is not None and side == "sell" and sl >= quote.watched(sl_watches):
        raise VenueRefusal("51280")
    if sl is not None and side == "buy" and sl <= quote.watched(sl_watches):
        raise VenueRefusal("51278")
    if tp is not None and side == "sell" and tp <= quote.watched(tp_watches):
        raise VenueRefusal("51279")
    if tp is not None and side == "buy" and tp >= quote.watched(tp_watches):
        raise VenueRefusal("51277")


def attached_of(account: Account, quote: Quote, order: Order, params: Params) -> list[Attached]:
    """Read `attachAlgoOrds`, or the older fields beside the order's. Raises `VenueRefusal`."""
    rows = params.rows("attachAlgoOrds")
    if not rows and (params.text("slTriggerPx") or params.text("tpTriggerPx")):
        rows = [params]
    found = [_attached(account, quote, order, row) for row in rows]
    names = [one.algo_client_id for one in found if one.algo_client_id]
    if len(set(names)) < len(names) or any(name in account.algo_by_client for name in names):
        raise VenueRefusal("51065")
    return found


def _attached(account: Account, quote: Quote, order: Order, row: Params) -> Attached:
    stop, target = row.positive("slTriggerPx"), row.positive("tpTriggerPx")
    if stop is None and target is None:
        raise VenueRefusal("50015", "tpTriggerPx", "slTriggerPx")
    one = Attached(
        algo_client_id=row.text("attachAlgoClOrdId"),
        algo_id=account.market.next_id(),
        sl_trigger=stop,
        sl_price=order_price(row, "slOrdPx", needed=stop is not None),
        sl_watches=row.choice("slTriggerPxType", WATCHES, "last"),
        tp_trigger=target,
        tp_price=order_price(row, "tpOrdPx", needed=target is not None),
        tp_watches=row.choice("tpTriggerPxType", WATCHES, "last"),
    )
    if one.algo_client_id and not (one.algo_client_id.isalnum() and one.algo_client_id.isascii()):
        raise VenueRefusal("51000", "attachAlgoClOrdId")
    if len(one.algo_client_id) > _MAX_ID:
        raise VenueRefusal("51000", "attachAlgoClOrdId")
    exit_side = "sell" if order.side == "buy" else "buy"
    check_triggers(quote, exit_side, (stop, one.sl_watches), (target, one.tp_watches))
    return one


def order_price(row: Params, name: str, *, needed: bool) -> Decimal | None:
    """Read the price of the order that a trigger places; -1 is at market."""
    price = row.number(name)
    if needed and (price is None or (price <= 0 and price != -1)):
        raise VenueRefusal("51000", name)
    return price


def attach(account: Account, order: Order) -> None:
    """Make algo orders of what a filled order brought along, for what it filled."""
    size = order.filled
    if not order.listing.is_swap and order.side == "buy":
        size = floor_to(order.filled + order.fee, order.listing.lot)  # the fee was paid in base
    for one in order.attached:
        both = one.sl_trigger is not None and one.tp_trigger is not None
        arm(
            account,
            Algo(
                algo_id=one.algo_id,
                client_id=one.algo_client_id,
                listing=order.listing,
                side="sell" if order.side == "buy" else "buy",
                type="oco" if both else "conditional",
                size=size,
                mode=order.mode,
                pos_side=order.pos_side,
                created_ms=account.now_ms,
                updated_ms=account.now_ms,
                reduce_only=order.listing.is_swap and order.pos_side == "net",
                leverage=order.leverage,
                sl_trigger=one.sl_trigger,
                sl_price=one.sl_price,
                sl_watches=one.sl_watches,
                tp_trigger=one.tp_trigger,
                tp_price=one.tp_price,
                tp_watches=one.tp_watches,
                parent_id=order.order_id,
            ),
        )
