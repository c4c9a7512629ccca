"""Rows as the venue prints them, of the private side: positions, balances, bills.

Field lists after www.okx.com/docs-v5/en (trading account; private channels).
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache

from exchanges.sandbox.account import Account
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.numbers import ZERO, text
from exchanges.sandbox.records import Bill, Fill, Position
from exchanges.sandbox.rows import Row, optional


def position_row(account: Account, position: Position) -> Row:
    """Print a position, as REST and `positions` do."""
    listing, size = position.listing, position.size
    quote = account.market.quotes[listing.inst_id]
    mark = quote.mark
    profit = position.profit(mark)
    margin = position.margin(mark)
    notional = position.notional(mark)
    is_flat = size == 0
    is_cross = position.mode == "cross"
    need = notional * listing.maintenance
    held = account.cross_equity() if is_cross else margin + profit
    return {
        "adl": "1",
        "availPos": text(abs(size)) if position.pos_side != "net" else "",
        "avgPx": "" if is_flat else text(position.average),
        "baseBal": "",
        "baseBorrowed": "",
        "baseInterest": "",
        "bePx": "" if is_flat else text(position.average),
        "bizRefId": "",
        "bizRefType": "",
        "cTime": str(position.created_ms),
        "ccy": QUOTE,
        "clSpotInUseAmt": "",
        "closeOrderAlgo": [],
        "fee": text(position.fee),
        "fundingFee": text(position.funding),
        "idxPx": text(quote.index),
        "imr": text(margin) if is_cross and not is_flat else "",
        "instId": listing.inst_id,
        "instType": listing.inst_type,
        "interest": "",
        "last": text(quote.last),
        "lever": text(position.leverage),
        "liab": "",
        "liabCcy": "",
        "liqPenalty": "0",
        "liqPx": "" if is_flat else _liquidation(account, position),
        "margin": "" if is_cross or is_flat else text(margin),
        "markPx": text(mark),
        "maxSpotInUseAmt": "",
        "mgnMode": position.mode,
        "mgnRatio": "" if is_flat or not need else text(held / need),
        "mmr": "" if is_flat else text(need),
        "notionalUsd": "" if is_flat else text(notional),
        "optVal": "",
        "pendingCloseOrdLiabVal": "",
        "pnl": text(position.realized),
        "pos": text(size),
        "posCcy": "",
        "posId": position.position_id,
        "posSide": position.pos_side,
        "realizedPnl": text(position.realized + position.fee + position.funding),
        "settledPnl": "",
        "spotInUseAmt": "",
        "spotInUseCcy": "",
        "tradeId": position.last_trade,
        "uTime": str(position.updated_ms),
        "upl": "" if is_flat else text(profit),
        "uplLastPx": "" if is_flat else text(position.profit(quote.last)),
        "uplRatio": "" if is_flat or not margin else text(profit / margin),
        "usdPx": "",
    }


def _liquidation(account: Account, position: Position) -> str:
    """Return the mark price at which the venue would close it; "" where there is none."""
    listing, signed = position.listing, position.signed
    contracts = abs(signed) * listing.contract_value
    mark = account.mark_of(position)
    if position.mode == "isolated":
        held = position.margin(mark) + position.profit(mark)
    else:
        others = sum(
            (
                one.notional(account.mark_of(one)) * one.listing.maintenance
                for one in account.open_positions()
                if one.mode == "cross" and one is not position
            ),
            ZERO,
        )
        held = account.cross_equity() - others
    # held + (p - mark) * signed * value = p * contracts * maintenance, solved for p
    sign = 1 if signed > 0 else -1
    price = (mark * sign * contracts - held) / (contracts * (sign - listing.maintenance))
    return text(price.quantize(listing.tick)) if price > 0 else ""


def balance_row(account: Account, names: Iterable[str] = ()) -> Row:
    """Print the account's money; only some kinds of it when `names` are given."""
    wanted = tuple(names) or tuple(account.assets)
    total = sum((_worth(account, name) for name in account.assets), ZERO)
    need = sum(
        (
            one.notional(account.mark_of(one)) * one.listing.maintenance
            for one in account.open_positions()
            if one.mode == "cross"
        ),
        ZERO,
    )
    return {
        "adjEq": "",
        "availEq": "",
        "borrowFroz": "",
        "details": [_asset_row(account, name) for name in wanted],
        "imr": "",
        "isoEq": text(account.isolated_equity()),
        "mgnRatio": "",
        "mmr": text(need) if need else "",
        "notionalUsd": "",
        "ordFroz": "",
        "totalEq": text(total),
        "uTime": str(account.now_ms),
        "upl": text(account.profit()),
    }


def _worth(account: Account, name: str) -> Decimal:
    if name == QUOTE:
        return account.equity(name)
    quote = account.market.quotes.get(f"{name}-{QUOTE}")
    return account.asset(name).cash * (quote.last if quote else ZERO)


def _asset_row(account: Account, name: str) -> Row:
    """Print money of one kind. `cashBal` is without the margin of isolated positions.

    That is in `isoEq`, together with what they are ahead (`isoUpl`); what cross ones bind is
    frozen, and stays cash.
    """
    asset = account.asset(name)
    is_quote = name == QUOTE
    margin = account.margin("cross") if is_quote else ZERO
    profit = account.profit() if is_quote else ZERO
    free, worth = account.available(name), text(_worth(account, name))
    return {
        "availBal": text(min(free, max(ZERO, asset.cash - asset.frozen - margin))),
        "availEq": text(free),
        "borrowFroz": "",
        "cashBal": text(asset.cash),
        "ccy": name,
        "crossLiab": "",
        "disEq": worth,
        "eq": text(account.equity(name)),
        "eqUsd": worth,
        "fixedBal": "0",
        "frozenBal": text(asset.frozen + margin),
        "imr": text(margin) if is_quote else "0",
        "interest": "",
        "isoEq": text(account.isolated_equity()) if is_quote else "0",
        "isoLiab": "",
        "isoUpl": text(account.profit("isolated")) if is_quote else "0",
        "liab": "",
        "maxLoan": "",
        "mgnRatio": "",
        "mmr": "0",
        "notionalLever": "0",
        "ordFrozen": text(asset.frozen),
        "spotInUseAmt": "",
        "stgyEq": "0",
        "twap": "0",
        "uTime": str(asset.updated_ms),
        "upl": text(profit),
        "uplLiab": "",
    }


def balance_and_position_row(
    account: Account,
    event: str,
    names: Iterable[str],
    positions: Iterable[Position],
    fill: Fill | None,
) -> Row:
    """Print what an event changed: `snapshot`, `filled`, `liquidation`, `funding_fee` …."""
    return {
        "balData": [
            {
                "cashBal": text(account.asset(name).cash),
                "ccy": name,
                "uTime": str(account.asset(name).updated_ms),
            }
            for name in names
        ],
        "eventType": event,
        "pTime": str(account.now_ms),
        "posData": [
            {
                "avgPx": text(one.average) if one.size else "",
                "baseBal": "",
                "ccy": QUOTE,
                "instId": one.listing.inst_id,
                "instType": one.listing.inst_type,
                "mgnMode": one.mode,
                "nonSettleAvgPx": "",
                "pos": text(one.size),
                "posCcy": "",
                "posId": one.position_id,
                "posSide": one.pos_side,
                "quoteBal": "",
                "settledPnl": "",
                "tradeId": one.last_trade,
                "uTime": str(one.updated_ms),
            }
            for one in positions
        ],
        "trades": [{"instId": fill.order.listing.inst_id, "tradeId": fill.trade_id}]
        if fill
        else [],
    }


def bill_row(bill: Bill) -> Row:
    """Print a movement of money as `account/bills` does."""
    return dict(_printed(bill))


@lru_cache(4_096)  # the latest are asked for again and again
def _printed(bill: Bill) -> Row:
    return {
        "bal": text(bill.balance),
        "balChg": text(bill.change),
        "billId": bill.bill_id,
        "ccy": bill.asset,
        "clOrdId": bill.client_id,
        "earnAmt": "",
        "earnApr": "",
        "execType": bill.exec_type,
        "fee": text(bill.fee),
        "fillFwdPx": "",
        "fillIdxPx": "",
        "fillMarkPx": "",
        "fillMarkVol": "",
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillTime": str(bill.at_ms),
        "from": "",
        "instId": bill.inst_id,
        "instType": bill.inst_type,
        "interest": "0",
        "mgnMode": bill.mode,
        "notes": "",
        "ordId": bill.order_id,
        "pnl": text(bill.pnl),
        "posBal": text(bill.position_balance),
        "posBalChg": text(bill.position_change),
        "px": optional(bill.price),
        "subType": bill.sub_type,
        "sz": text(bill.size),
        "tag": "",
        "to": "",
        "tradeId": bill.trade_id,
        "ts": str(bill.at_ms),
        "type": bill.type,
    }
