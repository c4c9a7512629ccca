"""One look at an account at its venue: what it says of orders, holdings and money.

A read that failed is None and named in `failed`; nothing is concluded from it.
"""

import asyncio
from datetime import datetime
from enum import IntEnum
from typing import ClassVar, TypeVar

import msgspec

from actors.doubt import within
from domain.inputs import EXITS
from domain.venue import Balance, CashFlow, OutsideFill, VenuePosition
from exchanges.port import AccountFacts, Exchange, PositionMode, Unknown, VenueOrder
from runtime.ports import Clock

T = TypeVar("T")


class Depth(IntEnum):
    """How much is looked at; each has what is before it."""

    NOTHING = 0
    ORDERS = 1  # and what others traded
    HOLDINGS = 2
    MONEY = 3


class Looked(msgspec.Struct, frozen=True):
    """What the venue said, in the order in which it was asked."""

    lane: ClassVar[int] = EXITS
    depth: Depth
    began: datetime
    began_s: float  # monotonic
    ended_s: float
    orders: tuple[VenueOrder, ...] | None = None
    outside: tuple[OutsideFill, ...] | None = None
    positions: tuple[VenuePosition, ...] | None = None
    flows: tuple[CashFlow, ...] | None = None
    balances: tuple[Balance, ...] | None = None
    hedged: bool | None = None
    failed: tuple[str, ...] = ()  # what was not answered, and why


class Since(msgspec.Struct, frozen=True):
    """From when on the venue is to tell what happened."""

    outside: datetime
    flows: datetime


async def look(
    port: Exchange, clock: Clock, depth: Depth, since: Since, *, ask_mode: bool
) -> Looked:
    """Ask the venue.

    What others traded is asked before the holdings: a trade between both is found at the next look,
    when the holdings that it changed have become a suspicion.
    """
    failed: list[str] = []
    began, began_s = clock.now(), clock.monotonic()

    def answered(what: str, answer: T | Unknown) -> T | None:
        if isinstance(answer, Unknown):
            failed.append(f"{what}: {answer.why}")
            return None
        return answer

    hedged = None
    if ask_mode:
        facts = await within(port.account())
        if isinstance(facts, AccountFacts):
            hedged = facts.position_mode is PositionMode.HEDGE
        else:
            failed.append("account: it is not known whether long and short are one position")
    asked = (within(port.open_orders()), within(port.outside_fills(since.outside)))
    told_orders, told_outside = await asyncio.gather(*asked)
    orders = answered("open orders", told_orders)
    outside = answered("others' trades", told_outside)
    positions = flows = balances = None
    if depth >= Depth.HOLDINGS:
        positions = answered("positions", await within(port.positions()))
    if depth >= Depth.MONEY:
        flows = answered("flows of money", await within(port.cash_flows(since.flows)))
        balances = answered("balances", await within(port.balances()))
    return Looked(
        depth=depth,
        began=began,
        began_s=began_s,
        ended_s=clock.monotonic(),
        orders=orders,
        outside=outside,
        positions=positions,
        flows=flows,
        balances=balances,
        hedged=hedged,
        failed=tuple(failed),
    )
