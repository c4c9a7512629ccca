"""Judges from the venue's own ledger how an account was traded: doubled, oversold, unprotected.

It knows client order ids of Holdfast's form, 31 characters: 24 that all orders of a position share,
a letter and two characters for the leg (E0 the entry, S0 the stop, …), four for the epoch. Ids of
another form are only listed.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from exchanges.sandbox.account import Account
from exchanges.sandbox.numbers import ZERO, text
from exchanges.sandbox.records import Algo, Order
from exchanges.sandbox.rows import algo_row, fill_row, order_row
from exchanges.sandbox.watch import Watch, covered, holdings

Row = dict[str, Any]
_ID_LENGTH, OF_POSITION, _LEG = 31, 24, 27
_ENTRY = "E"


def intent_of(order: Order) -> str:
    """Return the client's id that an order is of; a child's is its algo order's."""
    return order.client_id or order.algo_client_id


def is_ours(client_id: str) -> bool:
    """Whether an id has Holdfast's form."""
    return len(client_id) == _ID_LENGTH and client_id.isascii() and client_id.isalnum()


def ledger(account: Account) -> Row:
    """Return everything: orders by the client's id, algo orders, holdings, stops, money."""
    orders: dict[str, list[Row]] = defaultdict(list)
    for order in account.orders.values():
        row = order_row(order)
        row["fills"] = [fill_row(one) for one in order.fills]
        orders[intent_of(order) or order.order_id].append(row)
    return {
        "now": str(account.now_ms),
        "orders": orders,
        "algos": {one.client_id or one.algo_id: algo_row(one) for one in account.algos.values()},
        "positions": [
            {
                "instId": name,
                "posSide": side,
                "pos": text(size),
                "stopped": text(_stopped(account, name, side, size)),
            }
            for (name, side), size in holdings(account).items()
        ],
        "balances": {
            name: {"cash": text(one.cash), "frozen": text(one.frozen)}
            for name, one in account.assets.items()
        },
        "resent": list(account.resent),
    }


def _stopped(account: Account, name: str, side: str, size: Decimal) -> Decimal:
    return min(abs(size), covered(account, name, side, is_long=size > 0))


def judge(account: Account, watch: Watch) -> Row:
    """Return what is wrong with how the account was traded; `clean` when nothing is.

    `resent`, `orphans` and closed gaps are told without spoiling `clean`.
    """
    now_ms = account.now_ms
    ours = [one for one in account.orders.values() if is_ours(intent_of(one))]
    duplicates = _duplicates(ours)
    oversold = _oversold(ours)
    gaps = [
        {
            "instId": gap.inst_id,
            "posSide": gap.pos_side,
            "since": str(gap.since_ms),
            "until": str(gap.until_ms) if gap.until_ms is not None else None,
            "lasted_ms": gap.lasted_ms(now_ms),
            "bare": text(gap.bare),
        }
        for gap in watch.gaps
    ]
    naked = [gap for gap in gaps if gap["until"] is None]
    return {
        "clean": not (duplicates or oversold or naked),
        "now": str(now_ms),
        "orders": len(account.orders),
        "algos": len(account.algos),
        "fills": len(account.fills),
        "duplicates": duplicates,
        "oversold": oversold,
        "unprotected": naked,
        "gaps": gaps,
        "longest_gap_ms": max((gap.lasted_ms(now_ms) for gap in watch.gaps), default=0),
        "orphans": [algo_row(one) for one in _orphans(account)],
        "resent": list(account.resent),
    }


def _duplicates(orders: Iterable[Order]) -> list[Row]:
    """Return legs of which more was filled than any one of their orders asked for."""
    legs: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        legs[intent_of(order)[:_LEG]].append(order)
    found = []
    for leg, some in legs.items():
        filled = sum((one.filled for one in some), ZERO)
        working = [one for one in some if one.is_working]
        asked = max(one.filled if one.by_quote else one.size for one in some)
        if filled > asked or len(working) > 1:
            ids = [intent_of(one) for one in some]
            found.append({"leg": leg, "orders": ids, "filled": text(filled), "asked": text(asked)})
    return found


def _oversold(orders: Iterable[Order]) -> list[Row]:
    """Return positions of which more was closed than opened."""
    opened: dict[str, Decimal] = defaultdict(Decimal)
    closed: dict[str, Decimal] = defaultdict(Decimal)
    for order in orders:
        position, leg = intent_of(order)[:OF_POSITION], intent_of(order)[OF_POSITION]
        (opened if leg == _ENTRY else closed)[position] += order.filled
    return [
        {"position": position, "opened": text(opened[position]), "closed": text(size)}
        for position, size in closed.items()
        if position in opened and size > opened[position]
    ]


def _orphans(account: Account) -> list[Algo]:
    """Return algo orders that wait though nothing is held on their side."""
    held = holdings(account)
    found = []
    for some in account.armed.values():
        for one in some.values():
            size = held.get((one.listing.inst_id, one.pos_side), ZERO)
            closes = size > 0 if one.side == "sell" else size < 0
            if not closes:
                found.append(one)
    return found
