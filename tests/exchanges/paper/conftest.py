"""Builders for the paper venue's tests: two instruments, orders, a desk that needs no loop."""

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest

from domain.ids import ClientOrderId, PositionId, Symbol
from domain.instrument import Direction, Instrument, Kind, Side
from domain.order import Fill, OrderTerms, OrderType
from exchanges.paper import PaperRules, PaperVenue
from exchanges.paper.draws import Draws
from exchanges.paper.matching import Matching
from exchanges.paper.records import Records
from exchanges.port import VenueOrder
from runtime.chance import SeededChance
from runtime.clocks import VirtualClock
from runtime.threads import InlineWorker
from runtime.virtual import VirtualLoop

BTC = Instrument(
    symbol=Symbol("BTC/USDT:USDT"),
    venue_symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    kind=Kind.SWAP,
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    min_notional=Decimal(5),
    max_leverage=Decimal(20),
)
ETH = Instrument(
    symbol=Symbol("ETH/USDT"),
    venue_symbol="ETHUSDT",
    base="ETH",
    quote="USDT",
    kind=Kind.SPOT,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.01"),
    min_quantity=Decimal("0.02"),
    min_notional=Decimal(10),
)
IDEAL = {
    "slippage_low": Decimal(0),
    "slippage_high": Decimal(0),
    "latency_low_s": 0.0,
    "latency_high_s": 0.0,
    "maker_fee": Decimal(0),
    "taker_fee": Decimal(0),
}


def ideal_rules(**changes):
    """Rules of a venue without slippage, latency, fees and accidents, but for `changes`."""
    return PaperRules(**{**IDEAL, **changes})


def build_terms(side, quantity, ids=None, **changes):
    """An order's terms in words: `buy`, `0.5`, `limit="99"`, `stop="95"`, `target="105"`."""
    kind, levels = OrderType.MARKET, {}
    for word, type_, level in (
        ("limit", OrderType.LIMIT, "price"),
        ("stop", OrderType.STOP, "trigger_price"),
        ("target", OrderType.TARGET, "trigger_price"),
    ):
        if word in changes:
            kind, levels = type_, {level: Decimal(changes.pop(word))}
    order_id = changes.pop("id", None) or f"order{next(ids if ids is not None else _ids)}"
    return OrderTerms(
        client_order_id=ClientOrderId(order_id),
        position_id=PositionId("p"),
        symbol=changes.pop("symbol", BTC.symbol),
        side=Side(side),
        type=kind,
        quantity=Decimal(quantity),
        leverage=Decimal(changes.pop("leverage", 1)),
        **levels,
        **changes,
    )


_ids = count(1)


class Desk:
    """Matching with a clock that ticks once a call, and everything it ever changed."""

    def __init__(self, instruments=(BTC, ETH), held_by=(), **rules):
        self.rules = ideal_rules(**rules)
        self.draws = Draws(self.rules, SeededChance(7))
        self.matching = Matching(instruments, self.rules, self.draws, held_by)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.updates = []
        self.changes = []

    def _tick(self):
        self.now += timedelta(milliseconds=1)
        return self.now

    def _gather(self):
        changes = self.matching.take_changes()
        self.updates += changes.updates
        self.changes.append(changes)

    def price(self, price, symbol=BTC.symbol):
        """A trade happens."""
        book = self.matching.books[symbol]
        book.last = str(price)
        if not (book.quiet or book.low_edge < float(price) < book.high_edge):
            self.matching.trade(book, self._tick())
        self._gather()

    def quote(self, bid, ask, symbol=BTC.symbol):
        self.matching.quote(self.matching.books[symbol], bid, ask, self._tick())
        self._gather()

    def send(self, side, quantity, **terms):
        """Place an order; returns the answer."""
        return self.place(build_terms(side, quantity, **terms))

    def place(self, terms):
        answer = self.matching.place(terms, self._tick())
        self._gather()
        return answer

    def cancel(self, order_id, symbol=BTC.symbol):
        answer = self.matching.cancel(symbol, order_id, self._tick())
        self._gather()
        return answer

    def resume(self):
        """Let the next parts of market orders execute."""
        for order_id in self.matching.take_to_continue():
            self.matching.resume(order_id, self._tick())
        self._gather()

    @property
    def fills(self):
        return [update for update in self.updates if isinstance(update, Fill)]

    @property
    def statuses(self):
        return [update.status.value for update in self.updates if isinstance(update, VenueOrder)]

    @property
    def account(self):
        return self.matching.account

    def held(self, direction, symbol=BTC.symbol):
        """Base units on one side of a symbol."""
        return self.account.holding(symbol, Direction(direction)).quantity

    def positions(self):
        """What the port would show, in the order in which it was opened."""
        holdings = self.account.holdings.values()
        return [holding.as_position() for holding in holdings if holding.quantity]

    def records(self):
        """What a ledger that stored every change would hold."""
        return Records(
            cash=self.account.cash,
            holdings=tuple(self.account.holdings.values()),
            open_orders=tuple(sorted(self.matching.open.values(), key=lambda order: order.number)),
        )


@pytest.fixture
def desk():
    """A desk at an ideal venue; BTC last traded at 100, ETH at 50."""
    return make_desk()


def make_desk(**rules):
    desk = Desk(**rules)
    desk.price("100")
    desk.price("50", ETH.symbol)
    return desk


@pytest.fixture(name="make_desk", scope="session")
def make_desk_fixture():
    """Builds desks by other rules."""
    return make_desk


@pytest.fixture(name="ideal_rules", scope="session")
def ideal_rules_fixture():
    return ideal_rules


@pytest.fixture(scope="session")
def terms():
    """Builds order terms."""
    return build_terms


@pytest.fixture(scope="session")
def btc():
    return BTC


@pytest.fixture(scope="session")
def eth():
    return ETH


class StepWorker(InlineWorker):
    """An inline worker that can be held up, so that a test decides what the disk has done."""

    def __init__(self, loop, latency_s=0.0):
        super().__init__(loop, latency_s)
        self.held = False
        self.jobs = deque()
        self.writes = 0

    def call(self, function, then):
        self.writes += getattr(function, "func", function).__name__ == "write"
        if self.held:
            self.jobs.append((function, then))
        else:
            super().call(function, then)

    def release(self):
        """Do everything that waits, and hold up nothing any more."""
        self.held = False
        while self.jobs:
            super().call(*self.jobs.popleft())

    def work(self):
        """Do the oldest call, but tell nobody: the process is about to die."""
        function, _ = self.jobs.popleft()
        function()


class House:
    """A paper venue on a virtual loop and a real file; `killed` and opened again at will."""

    def __init__(self, loop, path, disk_latency_s=0.0, **rules):
        self.loop = loop
        self.disk_latency_s = disk_latency_s
        self.path = path
        self.rules = ideal_rules(**rules)
        self.updates = []
        self.seed = 7
        self.build()

    def build(self, instruments=(BTC, ETH)):
        self.worker = StepWorker(self.loop, self.disk_latency_s)
        self.venue = PaperVenue(
            VirtualClock(self.loop, datetime(2026, 1, 1, tzinfo=UTC)),
            SeededChance(self.seed),
            self.worker,
            self.loop,
            ledger_path=self.path,
            instruments=instruments,
            rules=self.rules,
        )

    def start(self):
        self.wait(self.venue.start(self.updates.append))
        self.price("100")
        self.price("50", ETH.symbol)
        return self

    def price(self, price, symbol=BTC.symbol):
        self.venue.on_trade(symbol, price, "1", "t", 0)

    def submit(self, side, quantity, **words):
        return self.venue.submit(build_terms(side, quantity, **words))

    def send(self, side, quantity, **words):
        return self.wait(self.submit(side, quantity, **words))

    def cancel(self, order_id, symbol=BTC.symbol):
        return self.wait(self.venue.cancel(symbol, order_id))

    def order(self, order_id, symbol=BTC.symbol):
        return self.wait(self.venue.order(symbol, order_id))

    def fills(self):
        return self.wait(self.venue.fills(None))

    def cash(self):
        (balance,) = self.wait(self.venue.balances())
        return balance.total

    def held(self):
        return [(each.symbol, each.quantity) for each in self.wait(self.venue.positions())]

    def wait(self, awaitable):
        """Run the loop until it is done; virtual time passes as it must."""

        async def done():
            return await awaitable

        return self.loop.run_until_complete(done())

    def turn(self, seconds=0.0):
        """Let the loop run so long."""
        self.wait(asyncio.sleep(seconds))

    def kill(self):
        """The process dies: what is not in the file is gone, and so are lock and connection."""
        self.worker.jobs.clear()
        self.venue._ledger.close()
        self.venue = None

    def restart(self):
        """A new process on the same file."""
        if self.venue is not None:
            self.kill()
        self.updates = []
        self.build()
        return self.start()


@pytest.fixture
def loop():
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def open_house(loop, tmp_path):
    """Opens venues by other rules, each on a file of its own."""
    houses = []

    def build(**rules):
        house = House(loop, tmp_path / f"paper-{len(houses)}.db", **rules)
        houses.append(house)
        return house.start()

    yield build
    for house in houses:
        if house.venue is not None:
            house.worker.release()
            house.wait(house.venue.close())


@pytest.fixture
def house(open_house):
    """An ideal venue, open; BTC last traded at 100, ETH at 50."""
    return open_house()
