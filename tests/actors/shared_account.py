"""A venue whose account others use too: the paper venue, and on top of it what a person did there.

Reads may be as old as `lag_s`, pushes may be off, and each read can be made to fail.
"""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from msgspec.structs import replace

from domain.ids import NO_ORDER, Symbol, TradeId
from domain.instrument import Direction, Side
from domain.money import ZERO, Fee
from domain.order import Fill
from exchanges.port import (
    AccountFacts,
    Balance,
    BalanceReport,
    CashFlow,
    CashKind,
    Outside,
    OutsideFill,
    PositionMode,
    PositionReport,
    Unknown,
    VenueOrder,
    VenuePosition,
)
from tests.actors.box import BTC, START, D
from tests.actors.faulty_venue import FaultyVenue


class SharedAccount(FaultyVenue):
    """What the paper venue says, shifted by what others did."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.mode = PositionMode.NET
        self.shifts: Counter[Symbol] = Counter()  # base units, signed: by others
        self.cash = ZERO  # quote: by others, and by what moves by itself
        self.outside: list[OutsideFill] = []
        self.flows: list[CashFlow] = []
        self.flows_asked: list[datetime] = []  # since when, at each read
        self.tells = True  # whether the private stream pushes
        self.tells_fills = True  # whether it, or a read, tells of others' fills
        self.lag_s = 0.0  # how old a read of holdings may be
        self.failing: set[str] = set()  # reads that fail
        self.lies_empty = False
        self.reads = Counter[str]()
        self.average_price = D(60_000)
        self._numbers = count(1)
        self._history: list[tuple[float, tuple[VenuePosition, ...]]] = []

    # --- what others do ---

    def trades(
        self,
        quantity: str,
        price: str = "60000",
        *,
        cause: Outside = Outside.PERSON,
        symbol: Symbol = BTC,
        direction: Direction | None = None,
        pnl: str = "0",
    ) -> None:
        """Somebody buys so much, or sells it, where it is below zero."""
        signed = D(quantity)
        self.shifts[symbol] += signed  # type: ignore[assignment]
        self.cash += D(pnl)
        fill = Fill(
            trade_id=TradeId(f"outside-{next(self._numbers)}"),
            client_order_id=NO_ORDER,
            symbol=symbol,
            side=Side.BUY if signed > 0 else Side.SELL,
            quantity=abs(signed),
            price=D(price),
            fee=Fee(ZERO, "USDT"),
            at=self.now(),
        )
        if not self.tells_fills:
            return
        outside = OutsideFill(fill, cause, direction)
        self.outside.append(outside)
        if self.tells:
            self.push(outside)

    def moves(self, amount: str, kind: CashKind, symbol: Symbol | None = None) -> CashFlow:
        """Money comes, or goes, without a fill."""
        self.cash += D(amount)
        flow = CashFlow(f"f{next(self._numbers)}", kind, "USDT", D(amount), self.now(), symbol)
        self.flows.append(flow)
        return flow

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time())

    async def push_positions(self) -> None:
        self.push(PositionReport(await self._positions()))

    async def push_balance(self) -> None:
        self.push(BalanceReport(await self._balances()))

    # --- what it says ---

    async def account(self) -> Any:
        return AccountFacts("main", self.mode, may_trade=True, may_withdraw=False)

    async def positions(self) -> tuple[VenuePosition, ...] | Unknown:
        self.reads["positions"] += 1
        await self._hang()
        if self.reads_fail or "positions" in self.failing:
            return Unknown("the read failed")
        now = await self._positions()
        self._history.append((self.loop.time(), now))
        return self._as_of(self.loop.time() - self.lag_s)

    def remember(self) -> Any:
        """Note what is held now, for reads that are late; to be called as often as matters."""
        return asyncio.ensure_future(self._note())

    async def _note(self) -> None:
        self._history.append((self.loop.time(), await self._positions()))

    def _as_of(self, at_s: float) -> tuple[VenuePosition, ...]:
        then: tuple[VenuePosition, ...] = ()
        for moment, positions in self._history:
            if moment <= at_s:
                then = positions
        return then

    async def _positions(self) -> tuple[VenuePosition, ...]:
        found = await self.inner.positions()
        assert not isinstance(found, Unknown)
        if self.mode is PositionMode.HEDGE:
            return found
        net: dict[Symbol, Decimal] = dict(self.shifts)  # type: ignore[arg-type]
        prices = {each.symbol: each.average_price for each in found}
        for each in found:
            net[each.symbol] = net.get(each.symbol, ZERO) + each.quantity
        return tuple(
            VenuePosition(symbol, quantity, prices.get(symbol, self.average_price))
            for symbol, quantity in sorted(net.items())
            if quantity
        )

    async def balances(self) -> Any:
        self.reads["balances"] += 1
        if self.reads_fail or "balances" in self.failing:
            return Unknown("the read failed")
        return await self._balances()

    async def _balances(self) -> tuple[Balance, ...]:
        found = await self.inner.balances()
        assert not isinstance(found, Unknown)
        return tuple(replace(each, total=each.total + self.cash) for each in found)

    async def outside_fills(self, since: datetime) -> Any:
        if self.reads_fail or "outside" in self.failing:
            return Unknown("the read failed")
        return tuple(each for each in self.outside if each.fill.at >= since)

    async def cash_flows(self, since: datetime) -> Any:
        self.flows_asked.append(since)
        if self.reads_fail or "flows" in self.failing:
            return Unknown("the read failed")
        return tuple(each for each in self.flows if each.at >= since)

    async def open_orders(self) -> tuple[VenueOrder, ...] | Unknown:
        self.reads["open_orders"] += 1
        if "orders" in self.failing:
            return Unknown("the read failed")
        return await super().open_orders()

    async def fills(self, since: datetime | None) -> tuple[Fill, ...] | Unknown:
        if "fills" in self.failing:
            return Unknown("the read failed")
        return await super().fills(since)
