"""Algo orders: stops, targets, one-cancels-other, triggers and trailing stops.

They wait without binding margin (on spot they bind the money), fire when the price they watch
reaches their level, and then place an ordinary order, the child. A child that the venue refuses
leaves the algo order in state `order_failed`, with the refusal's code: the protection is gone.
"""

from decimal import Decimal

from exchanges.sandbox.account import Account
from exchanges.sandbox.attached import (
    WATCHES,
    arm,
    bound_by,
    check_triggers,
    disarm,
    order_price,
)
from exchanges.sandbox.holdings import closable
from exchanges.sandbox.market import Quote
from exchanges.sandbox.numbers import ONE, ZERO, is_multiple
from exchanges.sandbox.params import Params
from exchanges.sandbox.pushes import push_algo
from exchanges.sandbox.records import CANCELED, EFFECTIVE, ORDER_FAILED, Algo, Order
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.terms import client_id_of, mode_of, open_quote, pos_side_of, reduces
from exchanges.sandbox.trading import admit

TYPES = ("conditional", "oco", "trigger", "move_order_stop")
_AMENDABLE = ("conditional", "oco", "trigger")
_BY_TRIGGER, _BY_STOP, _BY_TRAIL = "6", "7", "25"  # where a child comes from
_LEAST_RATIO, _MOST_RATIO = Decimal("0.001"), ONE


def place_algo(account: Account, params: Params) -> Algo:
    """Take an algo order in. Raises `VenueRefusal`; then nothing changed."""
    quote = open_quote(account, params)
    listing = quote.listing
    kind = params.choice("ordType", TYPES)
    mode = mode_of(listing, params)
    side = params.choice("side", ("buy", "sell"))
    pos_side = pos_side_of(account, listing, params)
    algo = Algo(
        algo_id=account.market.next_id(),
        client_id=client_id_of(params, "algoClOrdId"),
        listing=listing,
        side=side,
        type=kind,
        size=params.positive("sz") or ZERO,
        mode=mode,
        pos_side=pos_side,
        created_ms=account.now_ms,
        updated_ms=account.now_ms,
        reduce_only=reduces(account, listing, params),
        whole_position=params.text("closeFraction") == "1" and listing.is_swap,
        cancel_with_position=params.flag("cxlOnClosePos"),
        leverage=account.leverage(listing.inst_id, mode, pos_side) if listing.is_swap else None,
        tag=params.text("tag"),
        target=params.text("tgtCcy") if not listing.is_swap else "",
    )
    if algo.client_id and algo.client_id in account.algo_by_client:
        account.resent.append(algo.client_id)
        raise VenueRefusal("51065")
    _read_levels(algo, quote, params)
    _check_size(algo)
    _funds(account, algo)
    arm(account, algo)
    return algo


def _funds(account: Account, algo: Algo) -> tuple[str, Decimal]:
    """Return what it binds. Raises `VenueRefusal` when that is not there."""
    asset, amount = bound_by(account, algo)
    if asset and amount - algo.frozen > account.available(asset):
        raise VenueRefusal("51008", asset)
    return asset, amount


def _read_levels(algo: Algo, quote: Quote, params: Params) -> None:
    if algo.type == "trigger":
        algo.trigger = params.positive("triggerPx")
        algo.trigger_price = order_price(params, "orderPx", needed=True)
        algo.trigger_watches = params.choice("triggerPxType", WATCHES, "last")
        if algo.trigger is None:
            raise VenueRefusal("50014", "triggerPx")
        algo.trigger_rising = algo.trigger > quote.watched(algo.trigger_watches)
        return
    if algo.type == "move_order_stop":
        _read_trail(algo, quote, params)
        return
    algo.sl_trigger, algo.tp_trigger = (
        params.positive("slTriggerPx"),
        params.positive("tpTriggerPx"),
    )
    has_stop, has_target = algo.sl_trigger is not None, algo.tp_trigger is not None
    if not (has_stop or has_target) or (algo.type == "oco" and not (has_stop and has_target)):
        raise VenueRefusal("50015", "tpTriggerPx", "slTriggerPx")
    if algo.type == "conditional" and has_stop and has_target:
        raise VenueRefusal("51000", "ordType")
    algo.sl_price = order_price(params, "slOrdPx", needed=has_stop)
    algo.tp_price = order_price(params, "tpOrdPx", needed=has_target)
    algo.sl_watches = params.choice("slTriggerPxType", WATCHES, "last")
    algo.tp_watches = params.choice("tpTriggerPxType", WATCHES, "last")
    _check_levels(algo, quote)


def _read_trail(algo: Algo, quote: Quote, params: Params) -> None:
    algo.callback_ratio = params.positive("callbackRatio")
    algo.callback_spread = params.positive("callbackSpread")
    algo.active = params.positive("activePx")
    if (algo.callback_ratio is None) == (algo.callback_spread is None):
        raise VenueRefusal("50015", "callbackRatio", "callbackSpread")
    ratio = algo.callback_ratio
    if ratio is not None and not _LEAST_RATIO <= ratio <= _MOST_RATIO:
        raise VenueRefusal("51000", "callbackRatio")
    algo.is_active = algo.active is None
    algo.extreme = quote.last if algo.is_active else None


def _check_levels(algo: Algo, quote: Quote) -> None:
    for level in (algo.sl_trigger, algo.tp_trigger):
        if level is not None and not is_multiple(level, algo.listing.tick):
            raise VenueRefusal("51000", "triggerPx")
    check_triggers(
        quote,
        algo.side,
        (algo.sl_trigger, algo.sl_watches),
        (algo.tp_trigger, algo.tp_watches),
    )


def _check_size(algo: Algo) -> None:
    if algo.whole_position:
        return
    if not algo.size:
        raise VenueRefusal("51000", "sz")
    if algo.size < algo.listing.least:
        raise VenueRefusal("51020")
    if algo.target != "quote_ccy" and not is_multiple(algo.size, algo.listing.lot):
        raise VenueRefusal("51121")
    if algo.listing.is_swap and algo.size > algo.listing.max_market:
        raise VenueRefusal("51202")


def find_algo(account: Account, params: Params) -> Algo | None:
    """Return the algo order that `algoId` or `algoClOrdId` names. Raises `VenueRefusal`."""
    algo_id, client_id = params.text("algoId"), params.text("algoClOrdId")
    if not algo_id and not client_id:
        raise VenueRefusal("50015", "algoId", "algoClOrdId")
    return account.algos.get(algo_id) if algo_id else account.algo_by_client.get(client_id)


def cancel_algo(account: Account, params: Params) -> Algo:
    """Cancel one. Raises `VenueRefusal`: 51400 for one that is out, fired or never was."""
    algo = find_algo(account, params)
    if algo is None or not algo.is_working or algo.listing.inst_id != params.need("instId"):
        raise VenueRefusal("51400")
    end_algo(account, algo)
    return algo


def end_algo(account: Account, algo: Algo) -> None:
    """Take one that waits out."""
    algo.state = CANCELED
    disarm(account, algo)
    push_algo(account, algo)
    account.changed()


def amend_algo(account: Account, params: Params) -> Algo:
    """Change size or levels of one that waits. Raises `VenueRefusal`; then nothing changed."""
    algo = find_algo(account, params)
    if algo is None or not algo.is_working or algo.listing.inst_id != params.need("instId"):
        raise VenueRefusal("51503")
    if algo.type not in _AMENDABLE:
        raise VenueRefusal("51506")
    changes = {
        "size": params.positive("newSz"),
        "sl_trigger": params.positive("newSlTriggerPx"),
        "sl_price": params.number("newSlOrdPx"),
        "tp_trigger": params.positive("newTpTriggerPx"),
        "tp_price": params.number("newTpOrdPx"),
        "trigger": params.positive("newTriggerPx"),
        "trigger_price": params.number("newOrdPx"),
    }
    wanted = {name: value for name, value in changes.items() if value is not None}
    if not wanted:
        raise VenueRefusal("50015", "newSz", "newSlTriggerPx")
    before = {name: getattr(algo, name) for name in wanted}
    quote = account.market.quotes[algo.listing.inst_id]
    try:
        _set(algo, wanted)
        _check_size(algo)
        _check_levels(algo, quote)
        asset, amount = _funds(account, algo)
    except VenueRefusal:
        _set(algo, before)
        raise
    if asset:
        account.freeze(algo, asset, amount)
    algo.updated_ms = account.now_ms
    push_algo(account, algo)
    account.changed()
    return algo


def _set(algo: Algo, values: dict[str, Decimal]) -> None:
    for name, value in values.items():
        setattr(algo, name, value)


def watch(account: Account, quote: Quote) -> None:
    """Fire what the market reached."""
    waiting = account.armed.get(quote.listing.inst_id)
    if not waiting:
        return
    for algo in list(waiting.values()):
        if not algo.is_working:
            continue
        side = _fired(algo, quote)
        if side:
            fire(account, algo, side)


def _fired(algo: Algo, quote: Quote) -> str:
    """Return "sl" or "tp" when that level was reached; "" otherwise. The stop goes first."""
    is_sell = algo.side == "sell"
    if algo.type == "move_order_stop":
        return _trail_fired(algo, quote)
    if algo.trigger is not None:
        price = quote.watched(algo.trigger_watches)
        reached = price >= algo.trigger if algo.trigger_rising else price <= algo.trigger
        return "trigger" if reached else ""
    if algo.sl_trigger is not None:
        price = quote.watched(algo.sl_watches)
        if price <= algo.sl_trigger if is_sell else price >= algo.sl_trigger:
            return "sl"
    if algo.tp_trigger is not None:
        price = quote.watched(algo.tp_watches)
        if price >= algo.tp_trigger if is_sell else price <= algo.tp_trigger:
            return "tp"
    return ""


def _trail_fired(algo: Algo, quote: Quote) -> str:
    is_sell, last = algo.side == "sell", quote.last
    if not algo.is_active and algo.active is not None:
        algo.is_active = last >= algo.active if is_sell else last <= algo.active
    if not algo.is_active:
        return ""
    best = algo.extreme if algo.extreme is not None else last
    algo.extreme = max(best, last) if is_sell else min(best, last)
    level = algo.move_trigger
    if level is None:
        return ""
    return "sl" if (last <= level if is_sell else last >= level) else ""


def fire(account: Account, algo: Algo, side: str) -> None:
    """Place the child of an algo order whose level was reached."""
    disarm(account, algo)
    algo.triggered_ms = account.now_ms
    algo.actual_side = "" if side == "trigger" else side
    price = {"sl": algo.sl_price, "tp": algo.tp_price}.get(side, algo.trigger_price)
    child = _child(account, algo, side, price)
    try:
        _check_child(account, child)
        algo.state, algo.order_id = EFFECTIVE, child.order_id
        algo.actual_size, algo.actual_price = child.size, price if child.price else None
        push_algo(account, algo)
        admit(account, child)
    except VenueRefusal as refusal:
        algo.state, algo.fail_code, algo.order_id = ORDER_FAILED, refusal.code, ""
        algo.actual_size = ZERO
        algo.updated_ms = account.now_ms
        push_algo(account, algo)
    account.changed()


def _check_child(account: Account, child: Order) -> None:
    """Raise the refusal that was asked for, or that nothing is left to close."""
    if account.reject_children:
        raise VenueRefusal(account.reject_children.pop(0), child.listing.base)
    if not child.size:
        raise VenueRefusal("51169")


def _child(account: Account, algo: Algo, side: str, price: Decimal | None) -> Order:
    at_market = price is None or price == -1
    source = {"trigger": _BY_TRIGGER}.get(side, _BY_STOP)
    is_spot = not algo.listing.is_swap
    return Order(
        order_id=account.market.next_id(),
        client_id="",
        listing=algo.listing,
        side=algo.side,
        type="market" if at_market else "limit",
        size=closable(account, algo) if algo.whole_position else algo.size,
        price=None if at_market else price,
        mode=algo.mode,
        pos_side=algo.pos_side,
        created_ms=account.now_ms,
        updated_ms=account.now_ms,
        target=(algo.target or "base_ccy") if at_market and is_spot else "",
        reduce_only=algo.pos_side == "net" and (algo.reduce_only or algo.whole_position),
        leverage=algo.leverage,
        tag=algo.tag,
        algo_id=algo.algo_id,
        algo_client_id=algo.client_id,
        source=_BY_TRAIL if algo.type == "move_order_stop" else source,
    )


def end_with_positions(account: Account) -> None:
    """Take out the algo orders that go with a position that is gone."""
    for waiting in account.armed.values():
        for algo in list(waiting.values()):
            goes = algo.cancel_with_position or algo.whole_position
            if goes and algo.listing.is_swap and not _holds(account, algo):
                end_algo(account, algo)


def _holds(account: Account, algo: Algo) -> bool:
    position = account.positions.get((algo.listing.inst_id, algo.mode, algo.pos_side))
    return position is not None and position.size != 0
