"""A daemon in a box: the whole tree of actors in virtual time, on real files.

The market says what the test says.

`Box` is one life of the daemon. `kill` ends it as SIGKILL would: what the worker has not written is
gone, nothing is told to anybody, the files stay. The next `Box` on the same directory goes on.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from actors import names
from actors.messages import Answered
from actors.reconcile_rules import ReconcileSettings
from daemon import assembly
from daemon.assembly import Assembly, Ports, assemble, open_store
from daemon.config import load
from daemon.config_file import ConfigFile
from domain.commands import (
    ClosePosition,
    EntryRequest,
    ModificationType,
    ModifyProtection,
    ProtectionPlan,
    SizeBy,
    TargetPlan,
)
from domain.ids import MANUAL, PositionId, RequestId, Symbol, TraderName
from domain.instrument import Direction
from domain.order import Order
from domain.portfolio import Portfolio
from domain.position import Position
from exchanges.market import MarketSink
from exchanges.market_reads import MarketReads
from exchanges.paper.venue import PaperVenue
from runtime.chance import SeededChance, SeededIds
from runtime.clocks import VirtualClock
from runtime.disk import RealDisk
from runtime.ports import Clock
from runtime.virtual import VirtualLoop
from storage.store import Store
from strategies.base import Strategy
from tests.actors.faulty_venue import FaultyVenue

D = Decimal
BTC = Symbol("BTC/USDT")
ETH = Symbol("ETH/USDT")
START = datetime(2026, 1, 2, tzinfo=UTC)
COMMIT_S = 0.001
SOON_S = 0.5  # virtual; everything that does not wait for a timer has happened by then
CONFIG = """
market: {source: recorded, symbols: [BTC/USDT, ETH/USDT]}
paper: {slippage: 0, latency_ms: 0, taker_fee: 0.0005, balance: 100000}
limits:
  {max_positions: 1000, balance_buffer_ratio: 0, daily_drawdown_ratio: 1, total_drawdown_ratio: 1}
"""


class Quotes:
    """A market that says what the test tells it to say."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sink: MarketSink | None = None
        self.said = 0
        self.runs = 0
        self.fails = False

    async def run(self, sink: MarketSink) -> None:
        if self.fails:
            raise OSError("the market cannot be reached")
        self.sink = sink
        self.runs += 1
        sink.on_connected()
        await asyncio.Event().wait()

    def say(self, *prices: str, symbol: Symbol = BTC, event_ms: int | None = None) -> None:
        assert self.sink is not None
        for price in prices:
            self.said += 1
            at = self.now_ms() if event_ms is None else event_ms
            self.sink.on_frame()
            self.sink.on_trade(symbol, price, "1", f"t{self.said}", at)

    def now_ms(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def quote(self, bid: str, ask: str, symbol: Symbol = BTC) -> None:
        assert self.sink is not None
        self.said += 1
        self.sink.on_frame()
        self.sink.on_quote(symbol, bid, ask, f"q{self.said}", self.now_ms())

    def mark(self, price: str, symbol: Symbol = BTC) -> None:
        assert self.sink is not None
        self.said += 1
        self.sink.on_frame()
        self.sink.on_mark(symbol, price, self.now_ms())


class Disk:
    """A worker whose calls take time: half of it until they are done, half until it is known.

    `kill` takes the machine away. `hold` keeps calls from being done until `go_on`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, latency_s: float = COMMIT_S) -> None:
        self._loop = loop
        self.latency_s = latency_s
        self._calls: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._busy = False
        self.is_dead = False
        self.is_held = False
        self.on_done: Callable[[], None] = _nothing  # it is written, and nobody knows yet
        self.on_told: Callable[[], None] = _nothing
        self.calls = 0

    def call(self, function: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._calls.append((function, then))
        self.calls += 1
        self._next()

    def give_way(self) -> None: ...

    def kill(self) -> None:
        self.is_dead = True

    def hold(self) -> None:
        self.is_held = True

    def go_on(self) -> None:
        self.is_held = False
        self._next()

    def close(self) -> None:
        """Do what was asked; nobody is told."""
        for function, _ in self._calls:
            with suppress(Exception):  # whoever asked is gone
                function()
        self._calls.clear()
        self.is_dead = True

    def _next(self) -> None:
        if self._calls and not self._busy and not self.is_held:
            self._busy = True
            self._loop.call_later(self.latency_s / 2, self._do)

    def _do(self) -> None:
        if self.is_dead:
            return
        if self.is_held:
            self._busy = False
            return
        function, then = self._calls.popleft()
        try:
            result = function()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  whoever asked decides
            result = error
        self.on_done()
        self._loop.call_later(self.latency_s / 2, self._tell, then, result)

    def _tell(self, then: Callable[[Any], None], result: Any) -> None:
        if self.is_dead:
            return
        self._busy = False
        then(result)
        self.on_told()
        self._next()


def _nothing() -> None:
    """The usual."""


class WallClock(VirtualClock):
    """A wall clock that somebody may set; durations do not notice.

    While the computer sleeps, both go on, and the loop's time stands still.
    """

    stepped = timedelta()
    slept_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept_s

    def now(self) -> datetime:
        return super().now() + self.stepped

    def step(self, **by: float) -> None:
        self.stepped += timedelta(**by)

    def sleep(self, **length: float) -> None:
        self.step(**length)
        self.slept_s += timedelta(**length).total_seconds()


class Ears:
    """Telemetry that remembers."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, str]] = []
        self.evaluations: list[str] = []
        self.commits: list[int] = []  # rows of each

    def order_sent(self, venue: str, order_type: str, status: str, seconds: float) -> None: ...

    def order_ended(self, venue: str, status: str) -> None: ...

    def committed(self, rows: int, seconds: float) -> None:
        self.commits.append(rows)

    def evaluated(self, result: str) -> None:
        self.evaluations.append(result)

    def alarm(self, code: str, message: str) -> None:
        self.alarms.append((code, message))

    def codes(self) -> list[str]:
        return [code for code, _ in self.alarms]


class Box:
    """One life of a daemon."""

    def __init__(
        self,
        directory: Path,
        config: str = CONFIG,
        *,
        strategies: Mapping[TraderName, Strategy] | None = None,
        start: datetime = START,
        seed: int = 1,
        commit_s: float = COMMIT_S,
        reads: MarketReads | None = None,
        reconcile: ReconcileSettings | None = None,
        venue: Callable[[PaperVenue, VirtualLoop], FaultyVenue] = FaultyVenue,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.directory = directory
        file = directory / "config.yaml"
        file.write_text(config)
        loaded = load(ConfigFile(file)).config
        self.store: Store = open_store(loaded.data_dir, RealDisk())
        self.clock = WallClock(loop, start)
        self.market = Quotes(self.clock)
        self.disk = Disk(loop, commit_s)
        self.paper_disk = Disk(loop, commit_s)
        self.ears = Ears()
        ports = Ports(
            loop=loop,
            clock=self.clock,
            chance=SeededChance(seed),
            paper_chance=SeededChance(seed),
            ids=SeededIds(SeededChance(f"{seed} {start}")),
            disk=RealDisk(),
            journal_worker=self.disk,
            paper_worker=self.paper_disk,
            stream=lambda _world: self.market,
            reads=lambda _world: reads,
            reconcile=reconcile,
        )
        self.parts: Assembly = assemble(loaded, strategies or {}, ports, self.store, self.ears)
        self.paper: PaperVenue = self.parts.venue
        self.venue = venue(self.paper, loop)
        # The same tree, with a venue in between that can go wrong.
        self.parts.root = assembly._tree(
            lambda: self.parts.config,
            self.parts.world,
            self.store,
            ports,
            self.venue,
            self.market,
            self.parts.settings,
            strategies or {},
        )
        self.is_dead = False
        self._asked = 0

    # --- its life ---

    async def start(self, *prices: str) -> "Box":
        """Start, let it reconcile, and let the market say `prices`."""
        self.parts.start()
        await self.soon()
        self.say(*prices)
        return self

    async def soon(self, seconds: float = SOON_S) -> None:
        await asyncio.sleep(seconds)

    def kill(self) -> None:
        """End as SIGKILL would: only what is in the files is left."""
        if not self.is_dead:
            self.is_dead = True
            self.disk.kill()
            self.paper_disk.kill()
            self.parts.system.dispatcher.queue.clear()
            self.store.close()
            self.paper._ledger.close()

    async def stop(self) -> None:
        """Drain."""
        if not self.is_dead:
            self.is_dead = True
            try:
                assert await self.parts.close(20)
            finally:
                self.disk.close()
                self.store.close()

    @property
    def now(self) -> datetime:
        return self.clock.now()

    # --- the market ---

    def say(self, *prices: str, symbol: Symbol = BTC) -> None:
        self.market.say(*prices, symbol=symbol)

    # --- telling and asking ---

    def tell(self, name: str, message: Any) -> None:
        """Tell an actor, and let everybody act, within the instant."""
        assert self.parts.system.tell(name, message) is True
        self.parts.system.dispatcher.drain()

    async def ask(self, name: str, make: Callable[[RequestId], Any]) -> Answered:
        """Tell an actor what `make` makes of a request id; return the answer."""
        self._asked += 1
        request_id = RequestId(f"r{self._asked}")
        answer = self.actor(names.EDGE).expect(request_id)
        assert self.parts.system.tell(name, make(request_id)) is True
        return await asyncio.wait_for(answer, 20)

    def killed(self, name: str) -> None:
        """Make an actor crash before its next message, and see to the consequences."""
        assert self.parts.system.kill(name)
        self.parts.system.dispatcher.drain()

    async def restarted(self, name: str) -> None:
        """Kill an actor and wait until it lives again."""
        before = self.parts.system.directory.get(name).incarnation
        self.killed(name)
        for _ in range(200):
            await asyncio.sleep(0.05)
            ref = self.parts.system.directory.get(name)
            if ref is not None and ref.actor is not None and ref.incarnation > before:
                await self.soon()
                return
        raise AssertionError(f"{name} does not live again")

    # --- trading ---

    def request(
        self,
        quantity: str = "0.01",
        plan: ProtectionPlan | None = None,
        *,
        number: int = 1,
        direction: Direction = Direction.LONG,
        limit: str | None = None,
        symbol: Symbol = BTC,
        **others: Any,
    ) -> EntryRequest:
        return EntryRequest(
            position_id=pid(number),
            trader=MANUAL,
            symbol=symbol,
            direction=direction,
            size_by=SizeBy.QUANTITY,
            size=D(quantity),
            plan=plan or stop_at("59000"),
            limit_price=None if limit is None else D(limit),
            **others,
        )

    async def open(self, quantity: str = "0.01", plan: Any = None, **others: Any) -> Position:
        """Open a position as a person would; return it once everything has settled."""
        symbol = others.get("symbol", BTC)
        self.say(self.parts.world.prices.prices[symbol].last, symbol=symbol)  # still fresh
        request = self.request(quantity, plan, **others)
        answered = await self.ask(
            names.trader(MANUAL),
            lambda request_id: replace(request, request_id=request_id),
        )
        assert answered.refusal is None, answered
        await self.soon()
        return self.position(others.get("number", 1))

    async def close(self, number: int = 1, part: str = "1") -> Answered:
        return await self.ask(
            names.position(pid(number)),
            lambda request_id: ClosePosition(pid(number), D(part), request_id=request_id),
        )

    async def modify(self, kind: ModificationType, number: int = 1, **fields: Any) -> Answered:
        return await self.ask(
            names.position(pid(number)),
            lambda request_id: ModifyProtection(pid(number), kind, request_id=request_id, **fields),
        )

    # --- looking ---

    def actor(self, name: str) -> Any:
        return self.parts.actor(name)

    @property
    def feed(self) -> Any:
        return self.actor(names.FEED)

    @property
    def exchange(self) -> Any:
        return self.actor(names.EXCHANGE)

    def latest(self, stream: str) -> Any:
        return self.parts.world.states.latest.get(stream, (0, None))[1]

    def position(self, number: int = 1) -> Position:
        """Return a position as it is, or as the journal tells it once it is forgotten."""
        return self.position_of(pid(number))

    def position_of(self, position_id: PositionId) -> Position:
        found = self.latest(names.position(position_id))
        return found if found is not None else self.journaled(names.position(position_id))

    @property
    def portfolio(self) -> Portfolio:
        found: Portfolio = self.latest(names.portfolio(self.parts.world.account))
        return found

    def order(self, order_id: str) -> Order:
        found = self.latest(names.order_stream(order_id))
        return found if found is not None else self.journaled(names.order_stream(order_id))

    def entry(self, number: int = 1) -> Order:
        return self.order(self.position(number).entry.client_order_id)

    def journal(self, stream: str = "") -> list[Any]:
        """Return the events of a stream, or of all."""
        decode = self.store.registry.codec.decode
        return [
            decode(record.type, record.schema_version, record.payload)
            for record in self.store.journal.read()
            if not stream or record.stream == stream
        ]

    def journaled(self, stream: str) -> Any:
        state = None
        for event in self.journal(stream):
            state = self.store.registry.kind_of(stream).evolve(state, event)
        return state

    def levels(self, number: int = 1) -> dict[str, float]:
        """Return what the feed watches for a position."""
        return {
            each.exit_id: each.level
            for line in self.feed.lines.values()
            for index in (line.index, *(index for index, _ in line.others.values()))
            for each in index.armed()
            if each.key == pid(number)
        }

    def letters(self, reason: str | None = None) -> list[tuple[str, Any, str]]:
        return [
            (letter.name, letter.message, letter.reason)
            for letter in self.parts.system.dead_letters.last()
            if reason is None or letter.reason == reason
        ]


def pid(number: int = 1) -> PositionId:
    return PositionId(f"00000000-0000-4000-8000-{number:012d}")


def stop_at(price: str | None, *targets: tuple[str, str], **others: Any) -> ProtectionPlan:
    return ProtectionPlan(
        stop_price=None if price is None else D(price),
        targets=tuple(TargetPlan(D(at), D(part)) for at, part in targets),
        **others,
    )


def later(box: Box, seconds: float = 1.0) -> datetime:
    """Return the wall time at which the next life begins."""
    return box.now + timedelta(seconds=seconds)
