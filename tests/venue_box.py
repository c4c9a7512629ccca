"""A daemon's whole tree of actors in this process, in real time, at a server that speaks OKX.

What is between them and that server is the daemon's own: `OkxAccount`, ccxt, the private stream.
Prices are told here, as the caller says, so that no market stream is needed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from actors import names
from actors.messages import RequestApproval
from actors.reconcile_rules import ReconcileSettings
from daemon.assembly import MANUAL_LIMITS, Assembly, Ports, assemble, open_store
from daemon.config import load
from daemon.config_file import ConfigFile
from domain.commands import ClosePosition, EntryRequest, ProtectionPlan, SizeBy
from domain.ids import MANUAL, PositionId, Symbol
from domain.instrument import Direction
from domain.order import OrderTerms
from domain.position import Position
from exchanges.budget import Budget
from exchanges.okx_account import OkxAccount, OkxSettings
from exchanges.okx_private import stream_of
from exchanges.port import Refused, Submission, Unknown
from exchanges.real_net import RealNet
from exchanges.sandbox import DEMO_KEY
from runtime.chance import SeededChance, SystemIds
from runtime.clocks import SystemClock
from runtime.disk import RealDisk
from runtime.threads import ThreadWorker
from storage.store import Store
from tests.actors.box import Ears, Quotes

NO_LIMITS = 10_000  # times the venue's published rates
CONFIG = """
account: {{name: main, quote: USDT, venue: sandbox}}
venues:
  sandbox:
    exchange: okx
    environment: demo
    urls: {{rest: "{rest}", ws: "{ws}"}}
market: {{source: okx, kind: {kind}, symbols: [{symbols}], stale_after_s: 60}}
limits:
  {{max_positions: 100000, balance_buffer_ratio: 0, daily_drawdown_ratio: 1,
    total_drawdown_ratio: 1}}
metrics: {{enabled: false}}
"""


class Noting(OkxAccount):
    """The account, noting which orders were sent and when."""

    def note(self) -> None:
        self.sent: list[str] = []
        self.refused: Counter[str] = Counter()  # by code
        self.unsure: Counter[str] = Counter()  # by reason
        self.left_s: dict[str, float] = {}  # monotonic, when `submit` was called

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        self.sent.append(terms.client_order_id)
        self.left_s[terms.client_order_id] = time.monotonic()
        return asyncio.ensure_future(self._noted(terms))

    async def _noted(self, terms: OrderTerms) -> Submission:
        outcome = await self._submit(terms)
        if isinstance(outcome, Refused):
            self.refused[outcome.code] += 1
        elif isinstance(outcome, Unknown):
            self.unsure[outcome.why[:40]] += 1
        return outcome


class Committing(Ears):
    """Telemetry that remembers how long commits took."""

    def __init__(self) -> None:
        super().__init__()
        self.commits_s: list[float] = []

    def committed(self, rows: int, seconds: float) -> None:
        super().committed(rows, seconds)
        self.commits_s.append(seconds)


class VenueBox:
    """One life of a daemon at a venue."""

    def __init__(
        self,
        directory: Path,
        urls: tuple[str, str],
        prices: Mapping[str, str],
        *,
        kind: str = "swap",
        has_stream: bool = True,
        budget_scale: float = NO_LIMITS,
        reconcile: ReconcileSettings | None = None,
    ) -> None:
        """Wire it: `urls` of REST and websockets, `prices` of the symbols that are traded."""
        file = directory / "config.yaml"
        rest, ws = urls
        file.write_text(CONFIG.format(rest=rest, ws=ws, kind=kind, symbols=", ".join(prices)))
        config = load(ConfigFile(file)).config
        self.prices = dict(prices)
        self.clock = SystemClock()
        self.market = Quotes(self.clock)
        self.ears = Committing()
        self.store: Store = open_store(config.data_dir, RealDisk())
        loop = asyncio.get_running_loop()
        self.worker = ThreadWorker(loop)
        chance = SeededChance(1)

        def account(world: Any) -> Noting:
            login = OkxSettings(DEMO_KEY.key, DEMO_KEY.secret, DEMO_KEY.passphrase, rest_url=rest)
            stream = stream_of((RealNet(), self.clock, chance), ws) if has_stream else None
            made = Noting(login, self.clock, tuple(world.instruments.values()), stream)
            made.note()
            made.wire.budget = Budget(scale=budget_scale)
            self.venue = made
            return made

        ports = Ports(
            loop=loop,
            clock=self.clock,
            chance=chance,
            paper_chance=chance,
            ids=SystemIds(),
            disk=RealDisk(),
            journal_worker=self.worker,
            paper_worker=self.worker,
            stream=lambda _world: self.market,
            reconcile=reconcile,
            account=account,
        )
        self.venue: Noting  # made next
        self.parts: Assembly = assemble(config, {}, ports, self.store, self.ears)
        self.telling: asyncio.Task[None] | None = None
        self._asked_at: dict[PositionId, datetime] = {}

    async def start(self) -> None:
        """Start, and wait until nothing stands against entries."""
        self.parts.start()
        await self.until(lambda: self.market.sink is not None, "the market is there")
        self.telling = asyncio.ensure_future(self._tell_prices())
        await self.until(self.is_ready, "entries are allowed", within_s=30)

    async def stop(self) -> None:
        """Drain."""
        assert self.telling is not None
        self.telling.cancel()
        try:
            await self.parts.close(20)
        finally:
            self.worker.close()
            self.store.close()

    async def until(
        self,
        holds: Callable[[], object],
        what: str,
        *,
        within_s: float = 10.0,
        poll_s: float = 0.002,
    ) -> float:
        """Wait until something holds; return how many seconds it took."""
        began_s = time.monotonic()
        while not holds():
            took_s = time.monotonic() - began_s
            if took_s > within_s:
                causes = sorted(self.parts.world.causes)
                raise AssertionError(f"not within {within_s:.0f} s: {what}; {causes}")
            await asyncio.sleep(poll_s)
        return time.monotonic() - began_s

    def is_ready(self) -> bool:
        """Whether nothing stands against entries."""
        portfolio = self.parts.world.portfolio()
        return portfolio is not None and not self.parts.world.causes

    async def _tell_prices(self) -> None:
        while True:
            self.tell_prices()
            await asyncio.sleep(0.2)

    def tell_prices(self) -> None:
        """Tell the prices of all symbols now."""
        for symbol, price in self.prices.items():
            self.market.say(price, symbol=Symbol(symbol))

    # --- trading ---

    def open(
        self,
        number: int,
        symbol: str,
        quantity: str,
        direction: Direction = Direction.LONG,
        plan: ProtectionPlan | None = None,
    ) -> PositionId:
        """Ask the portfolio for an entry, as a trader would; return the position's id."""
        position_id = PositionId(str(UUID(int=number, version=4)))
        request = EntryRequest(
            position_id=position_id,
            trader=MANUAL,
            symbol=Symbol(symbol),
            direction=direction,
            size_by=SizeBy.QUANTITY,
            size=Decimal(quantity),
            plan=plan or ProtectionPlan(),
        )
        self._asked_at[position_id] = self.clock.now()
        self.parts.system.tell(names.PORTFOLIO, RequestApproval(request, MANUAL_LIMITS))
        return position_id

    def close(self, position_id: PositionId) -> None:
        """Ask a position to close at market."""
        self.parts.system.tell(names.position(position_id), ClosePosition(position_id))

    # --- looking ---

    @property
    def commits_s(self) -> list[float]:
        """How long each commit of the journal took."""
        return self.ears.commits_s

    def began(self, position_id: PositionId) -> datetime:
        """Return when a position was asked for."""
        return self._asked_at[position_id]

    def live(self) -> list[Position]:
        """Return the positions that are not over."""
        found: Iterable[Position] = self.parts.world.states.latest_of("position")
        return [each for each in found if not each.is_closed]

    def unknown(self) -> int:
        """Count orders in doubt."""
        orders = self.parts.world.states.latest_of("order")
        return sum(order.status.value == "unknown" for order in orders)
