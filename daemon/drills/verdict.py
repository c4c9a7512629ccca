"""What must hold at the end of every drill, whatever was injected.

The venue's ledger is the judge; the daemon's word counts only where it has to be the same.
"""

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from daemon.admin_requests import ListOrders, Reconcile, ShowPortfolio
from daemon.drills.drill import FailedError
from daemon.drills.stage import MONEY, Stage
from domain.money import ZERO
from exchanges.sandbox.catalog import QUOTE
from exchanges.sandbox.judge import intent_of, is_ours
from exchanges.sandbox.watch import holdings

AGREES_WITHIN_S = 25.0
CLOSED_WITHIN_S = 20.0
_ALL = 10_000
_ROUNDED = Decimal("0.000001")  # USDT; views round to eight places
_DUST = Decimal("0.01")  # USDT: coins below the least order cannot be sold
_TRADES = frozenset({"2", "5"})  # types of bills that are profit, loss and fees of trades
# What the log says when something in the daemon broke, rather than at the venue.
BUGS = frozenset(
    {
        "actor_crashed",
        "actor_given_up",
        "admin_command_failed",
        "admin_connection_failed",
        "arming_failed",
        "failed",
        "position_born_twice",
        "position_quarantined",
        "recovery_problem",
        "upkeep_failed",
    }
)


async def judge(stage: Stage) -> None:
    """Let the daemon settle, close what is open, compare everything; what is wrong is noted."""
    await stage.until_ready()
    await _agree(stage)
    for each in await stage.positions():
        await stage.until_guarded(each["id"])
    _compare_holdings(stage, await stage.positions())
    for each in await stage.positions():
        await stage.close(each["id"])
    await stage.until(lambda: _is_flat(stage), "all is closed", within_s=CLOSED_WITHIN_S)
    await _agree(stage)
    await _compare_money(stage)
    await _compare_orders(stage)


async def _agree(stage: Stage) -> None:
    answer: dict[str, Any] = {}

    async def agrees() -> bool:
        answer.update(await stage.ask(Reconcile(dry_run=True)))
        return bool(answer["agrees"])

    try:
        await stage.until(agrees, "venue and daemon agree", within_s=AGREES_WITHIN_S)
    except FailedError as error:
        differs = [row for row in answer.get("symbols", ()) if row.get("state") != "equal"]
        raise FailedError(f"{error}: {differs} {answer.get('balance')}") from error


async def _is_flat(stage: Stage) -> bool:
    account = stage.account
    rests = any(account.armed.values()) or any(account.working.values())
    return not (holdings(account) or rests or await stage.positions())


def _compare_holdings(stage: Stage, positions: list[dict[str, Any]]) -> None:
    ours: dict[str, Decimal] = defaultdict(Decimal)
    for each in positions:
        sign = 1 if each["side"] == "LONG" else -1
        ours[stage.inst(each["symbol"])] += sign * Decimal(each["remaining_quantity"])
    theirs: dict[str, Decimal] = defaultdict(Decimal)
    quotes = stage.account.market.quotes
    for (name, _), size in holdings(stage.account).items():
        theirs[name] += size * quotes[name].listing.contract_value
    for name in sorted(ours.keys() | theirs.keys()):
        told = f"{name}: the daemon holds {ours[name]}, the venue {theirs[name]}"
        dust = quotes[name].listing.least if stage.is_spot else ZERO
        stage.expect(abs(ours[name] - theirs[name]) <= dust, told)


async def _compare_money(stage: Stage) -> None:
    """Compare cash with cash, and what the venue booked for trades with the daemon's P&L."""
    account: dict[str, Any] = {}

    async def is_same() -> bool:
        account.update(await stage.ask(ShowPortfolio()))
        cash = stage.account.assets[QUOTE].cash
        return abs(Decimal(account["balance"]) - cash) < _ROUNDED

    try:
        await stage.until(is_same, "the money is the same", within_s=CLOSED_WITHIN_S)
    except FailedError:
        cash = stage.account.assets[QUOTE].cash
        stage.wrong.append(f"the daemon has {account['balance']} USDT, the venue {cash}")
    bills = [one for one in stage.account.bills if one.type in _TRADES and one.asset == QUOTE]
    booked = sum((one.change for one in bills), ZERO)
    told = sum((Decimal(each["realized_pnl"]) for each in await stage.positions(closed=True)), ZERO)
    most = _DUST if stage.is_spot else _ROUNDED
    stage.expect(abs(booked - told) < most, f"P&L is {told}, the venue booked {booked}")
    stage.tell(f"P&L {booked.normalize():f} of {MONEY} USDT, the same on both sides")


async def _compare_orders(stage: Stage) -> None:
    """Compare what the daemon says of each order with what the venue did."""
    answer = await stage.ask(ListOrders(all=True, limit=_ALL))
    rows: list[dict[str, Any]] = list(answer["orders"])  # type: ignore[call-overload]
    ours = {row["client_order_id"]: row for row in rows}
    filled: dict[str, Decimal] = defaultdict(Decimal)
    for one in stage.account.orders.values():
        if is_ours(intent_of(one)):
            filled[intent_of(one)] += one.filled * one.listing.contract_value
    for order_id, quantity in filled.items():
        if order_id not in ours:
            stage.wrong.append(f"the daemon does not know order {order_id}")
        elif Decimal(ours[order_id]["filled"]) != quantity:
            row = ours[order_id]
            told = f"{row['status']}, filled {row['filled']}"
            stage.wrong.append(f"order {order_id} is {told}; at the venue {quantity}")
    unknown = [order_id for order_id, row in ours.items() if row["status"] == "unknown"]
    stage.expect(not unknown, f"left unknown: {', '.join(unknown)}")


def duplicates_of(stage: Stage) -> int:
    """Return how many orders were doubled, sent again, or sold what was not held."""
    found = stage.sandbox.judge()
    doubled, sold, again = found["duplicates"], found["oversold"], found["resent"]
    for row in doubled:
        stage.wrong.append(f"doubled: {row['leg']} filled {row['filled']} of {row['asked']}")
    for row in sold:
        stage.wrong.append(f"closed {row['closed']} of {row['opened']}: {row['position']}")
    if again:
        stage.wrong.append(f"sent again with the same id: {', '.join(again)}")
    return len(doubled) + len(sold) + len(again)


def bugs_in(log: Path) -> list[str]:
    """Return what in a daemon's log is no answer to a fault, but an error of the daemon's."""
    if not log.exists():
        return []
    found = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            if line.startswith("Traceback"):
                found.append("the daemon's log has a traceback")
            continue
        if isinstance(entry, dict) and entry.get("event") in BUGS:
            name = entry.get("name") or entry.get("command") or entry.get("problem") or ""
            found.append(f"the daemon's log says {entry['event']} {name}".rstrip())
    return sorted(set(found))
