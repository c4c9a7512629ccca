"""Private endpoints of the account: configuration, money, positions, leverage, bills."""

from exchanges.sandbox.account import LONG_SHORT, Account
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.margin import set_leverage as change_leverage
from exchanges.sandbox.margin import set_position_mode as change_position_mode
from exchanges.sandbox.money_rows import balance_row, bill_row, position_row
from exchanges.sandbox.numbers import text
from exchanges.sandbox.pages import page, within
from exchanges.sandbox.params import Params
from exchanges.sandbox.refusals import VenueRefusal
from exchanges.sandbox.rows import Row


def config(account: Account, params: Params) -> list[Row]:
    """Return what the login is and may."""
    del params
    return [
        {
            "acctLv": "2",
            "acctStpMode": "cancel_maker",
            "autoLoan": False,
            "ctIsoMode": "automatic",
            "enableSpotBorrow": False,
            "greeksType": "PA",
            "ip": "",
            "kycLv": "3",
            "label": "sandbox",
            "level": "Lv1",
            "levelTmp": "",
            "liquidationGear": "-1",
            "mainUid": account.uid,
            "mgnIsoMode": "automatic",
            "opAuth": "0",
            "perm": account.permissions,
            "posMode": account.position_mode,
            "roleType": "0",
            "spotOffsetType": "",
            "spotRoleType": "0",
            "spotTraderInsts": [],
            "traderInsts": [],
            "type": "0",
            "uid": account.uid,
        }
    ]


def balance(account: Account, params: Params) -> list[Row]:
    """Return the money."""
    names = [name for name in params.text("ccy").split(",") if name]
    known = [name for name in names if name in account.assets]
    if names and not known:
        return [{**balance_row(account), "details": []}]
    return [balance_row(account, known)]


def asset_balances(account: Account, params: Params) -> list[Row]:
    """Return the funding account, which is empty."""
    del account, params
    return []


def currencies(account: Account, params: Params) -> list[Row]:
    """Return the kinds of money."""
    del params
    bases = {one.listing.base for one in account.market.quotes.values()}
    return [
        {
            "canDep": False,
            "canInternal": False,
            "canWd": False,
            "ccy": name,
            "chain": f"{name}-Sandbox",
            "ctAddr": "",
            "depQuotaFixed": "",
            "fee": "0",
            "logoLink": "",
            "mainNet": True,
            "maxFee": "0",
            "maxWd": "0",
            "minDep": "0",
            "minFee": "0",
            "minWd": "0",
            "name": name,
            "needTag": False,
            "wdTickSz": "8",
        }
        for name in (*sorted(bases), QUOTE)
    ]


def positions(account: Account, params: Params) -> list[Row]:
    """Return what is held in swaps."""
    kind, name = params.text("instType", "ANY"), params.text("instId")
    if kind not in ("ANY", "SWAP", "MARGIN", "FUTURES", "OPTION"):
        raise VenueRefusal("51000", "instType")
    if kind not in ("ANY", "SWAP"):
        return []
    wanted = set(name.split(",")) if name else None
    return [
        position_row(account, one)
        for one in account.open_positions()
        if wanted is None or one.listing.inst_id in wanted
    ]


def leverage_info(account: Account, params: Params) -> list[Row]:
    """Return the leverage that is set."""
    names, mode = params.need("instId"), params.choice("mgnMode", ("cross", "isolated"))
    hedged = account.position_mode == LONG_SHORT
    sides = ("long", "short") if hedged else ("net",)
    found = []
    for name in names.split(","):
        account.market.quote(name)
        found += [_leverage_row(account, name, mode, side) for side in sides]
    return found


def _leverage_row(account: Account, name: str, mode: str, side: str) -> Row:
    value = account.leverage(name, mode, side)
    return {"ccy": "", "instId": name, "lever": text(value), "mgnMode": mode, "posSide": side}


def set_leverage(account: Account, params: Params) -> list[Row]:
    """Set it."""
    name, mode = params.need("instId"), params.choice("mgnMode", ("cross", "isolated"))
    side = params.text("posSide", "net")
    if mode == "isolated" and account.position_mode == LONG_SHORT and side == "net":
        raise VenueRefusal("51000", "posSide")
    value = params.positive("lever")
    if value is None:
        raise VenueRefusal("50014", "lever")
    change_leverage(account, name, mode, side, value)
    return [{"instId": name, "lever": text(value), "mgnMode": mode, "posSide": side}]


def set_position_mode(account: Account, params: Params) -> list[Row]:
    """Choose net_mode or long_short_mode."""
    mode = params.need("posMode")
    change_position_mode(account, mode)
    return [{"posMode": mode}]


def bills(account: Account, params: Params) -> list[Row]:
    """Return what moved money, newest first."""
    kind, asset, sub_type = params.text("type"), params.text("ccy"), params.text("subType")
    chosen = (
        one
        for one in within(reversed(account.bills), lambda one: one.at_ms, params)
        if kind in ("", one.type) and asset in ("", one.asset) and sub_type in ("", one.sub_type)
    )
    return [bill_row(one) for one in page(chosen, lambda one: one.bill_id, params)]


def trade_fee(account: Account, params: Params) -> list[Row]:
    """Return the rates; negative is paid."""
    kind = params.choice("instType", ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"))
    found = account.market.of_type("SWAP" if kind == "SWAP" else "SPOT")
    maker = text(-found[0].listing.maker_fee) if found else "0"
    taker = text(-found[0].listing.taker_fee) if found else "0"
    is_swap = kind == "SWAP"
    return [
        {
            "category": "1",
            "delivery": "",
            "exercise": "",
            "feeGroup": [{"groupId": "1", "maker": maker, "taker": taker}],
            "fiat": [],
            "instType": kind,
            "level": "Lv1",
            "maker": "" if is_swap else maker,
            "makerU": maker if is_swap else "",
            "makerUSDC": "",
            "ruleType": "normal",
            "taker": "" if is_swap else taker,
            "takerU": taker if is_swap else "",
            "takerUSDC": "",
            "ts": str(account.now_ms),
        }
    ]


def max_size(account: Account, params: Params) -> list[Row]:
    """Return the largest order that the money allows."""
    name = params.need("instId")
    quote = account.market.quote(name)
    listing = quote.listing
    money = account.available(QUOTE)
    if listing.is_swap:
        leverage = account.leverage(name, params.text("tdMode", "cross"))
        most = money * leverage / (quote.last * listing.contract_value)
        buy = sell = text(most // listing.lot * listing.lot)
    else:
        buy, sell = text(money), text(account.available(listing.base))
    return [{"ccy": "", "instId": name, "maxBuy": buy, "maxSell": sell}]
