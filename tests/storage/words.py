"""Words to write storage tests with: kinds of stream, orders with a history, a writer."""

import shutil
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import msgspec
from hypothesis import strategies as st

from domain import order as orders
from domain import portfolio_life, position_life, trader_state
from domain.errors import InvariantError
from domain.ids import TradeId, VenueOrderId, client_order_id
from domain.instrument import Side
from domain.money import Fee
from domain.order import (
    Fill,
    Order,
    OrderAccepted,
    OrderBecameUnknown,
    OrderCanceled,
    OrderCancelRequested,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderIntended,
    OrderRejected,
    OrderSent,
    OrderTerms,
    OrderType,
)
from domain.portfolio_events import AnyPortfolioEvent
from domain.portfolio_state import Portfolio
from domain.position import Position
from domain.position_events import AnyPositionEvent
from domain.trader_state import AnyTraderEvent, Trader
from runtime.disk import RealDisk
from storage.connection import NAME, Database
from storage.journal import Entry, Journal
from storage.projections import PROJECTIONS
from storage.read_tables import ReadTables
from storage.store import Store
from storage.streams import StreamKind, StreamRegistry, Streams
from tests.builders import ACCOUNT, BTC, NOW, D, position_id


class Counted(msgspec.Struct, frozen=True):
    """A toy event; its first version called `step` `by`."""

    schema_version: ClassVar[int] = 2
    step: int


class Exploded(msgspec.Struct, frozen=True):
    """A toy event that does not fold."""


class Count(msgspec.Struct, frozen=True):
    """A toy state; retired at 100."""

    total: int = 0


def count(state: Count | None, event: Counted | Exploded) -> Count:
    if isinstance(event, Exploded):
        raise InvariantError("a counter never explodes")
    return Count((state or Count()).total + event.step)


ORDER = StreamKind(
    name="order",
    state_type=Order,
    evolve=orders.evolve,
    events=orders.AnyOrderEvent,
    is_retired=lambda order: order.is_terminal,
    owner=lambda order: f"position/{order.terms.position_id}",
    intents={OrderIntended: lambda event: event.terms.client_order_id},
)
POSITION = StreamKind(
    name="position",
    state_type=Position,
    evolve=position_life.evolve,
    events=AnyPositionEvent,
    is_retired=lambda position: position.is_closed,
)
PORTFOLIO = StreamKind(
    name="portfolio",
    state_type=Portfolio,
    evolve=portfolio_life.evolve,
    events=AnyPortfolioEvent,
    is_retired=lambda _: False,
)
COUNT = StreamKind(
    name="count",
    state_type=Count,
    evolve=count,
    events=(Counted, Exploded),
    is_retired=lambda state: state.total >= 100,
    upcasters={("Counted", 1): lambda fields: {"step": fields["by"]}},
)
TRADER = StreamKind(
    name="trader",
    state_type=Trader,
    evolve=trader_state.evolve,
    events=AnyTraderEvent,
    is_retired=lambda _: False,
)
KINDS = (ORDER, POSITION, PORTFOLIO, TRADER, COUNT)
REGISTRY = StreamRegistry(KINDS)
EVOLVE: dict[str, Callable[[Any, Any], Any]] = {kind.name: kind.evolve for kind in KINDS}
TABLES = ReadTables(PROJECTIONS)
DISK = RealDisk()


def terms_of(number: int, quantity: str = "1") -> OrderTerms:
    owner = position_id(number)
    return OrderTerms(
        client_order_id=client_order_id(ACCOUNT, owner, "entry-0", 0),
        position_id=owner,
        symbol=BTC,
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=D(quantity),
    )


def order_stream(number: int) -> str:
    return f"order/{terms_of(number).client_order_id}"


def intended(number: int = 1, quantity: str = "1") -> OrderIntended:
    return OrderIntended(terms=terms_of(number, quantity), at=NOW)


def sent() -> OrderSent:
    return OrderSent(at=NOW)


def accepted(name: str = "v1") -> OrderAccepted:
    return OrderAccepted(venue_order_id=VenueOrderId(name), at=NOW)


def filled(number: int = 1, quantity: str = "1", trade: str = "t1") -> OrderFilled:
    fill = Fill(
        trade_id=TradeId(trade),
        client_order_id=terms_of(number).client_order_id,
        symbol=BTC,
        side=Side.BUY,
        quantity=D(quantity),
        price=D("100.5"),
        fee=Fee(amount=D("0.05"), asset="USDT"),
        at=NOW,
    )
    return OrderFilled(fill=fill)


def life_of(number: int = 1) -> list[Any]:
    """The events of an order that is filled at once."""
    return [intended(number), sent(), accepted(f"v{number}"), filled(number, trade=f"t{number}")]


class Writer:
    """Appends events to streams as their owners do, and holds the states."""

    def __init__(self, journal: Journal, streams: Streams | None = None) -> None:
        self.journal = journal
        self.streams: Streams = dict(streams or {})
        self.now = NOW

    def entries(self, stream: str, *events: Any) -> list[Entry]:
        """Evolve the stream and return what is to be journaled."""
        made = []
        for event in events:
            version, state = self.streams.get(stream, (0, None))
            state = EVOLVE[stream.partition("/")[0]](state, event)
            self.streams[stream] = (version + 1, state)
            self.now += timedelta(milliseconds=1)
            made.append(Entry(stream, version + 1, event, self.now, state))
        return made

    def append(self, stream: str, *events: Any) -> None:
        self.journal.append(self.entries(stream, *events))

    def count(self, stream: str, *steps: int) -> None:
        self.append(stream, *(Counted(step) for step in steps))


@cache
def _template() -> Path:
    """A migrated, never claimed database: copying it is faster than migrating an empty one."""
    path = Path(mkdtemp(prefix="holdfast-test-")) / NAME
    Database(path, claim=False).close()
    return path


def new_directory(parent: Path) -> Path:
    """A directory with an empty database in it."""
    directory = Path(mkdtemp(dir=parent))
    shutil.copy(_template(), directory / NAME)
    return directory


def open_store(directory: Path) -> Store:
    return Store(directory, REGISTRY, DISK)


def live(streams: Streams) -> Streams:
    return REGISTRY.without_retired(streams)


READ_TABLES_IN_ORDER = (
    "positions",
    "closed_positions",
    "orders",
    "fills",
    "modifications",
    "executions",
    "decisions",
    "equity",
)


def read_tables(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all read tables, in one order."""
    return {
        name: sorted(database.connection.execute(f"SELECT * FROM {name}").fetchall())
        for name in READ_TABLES_IN_ORDER
    }


_MAKERS: tuple[Callable[[int, int], Any], ...] = (
    lambda _, __: sent(),
    lambda _, step: accepted(f"v{step}"),
    lambda number, step: filled(number, "0.25", f"t{number}-{step}"),
    lambda number, step: filled(number, "1", f"t{number}-{step}"),
    lambda number, _: filled(number, "0.25", f"t{number}-repeated"),
    lambda _, __: OrderDenied(rule="MAX_POSITIONS", message="3 of 3", at=NOW),
    lambda _, __: OrderRejected(code="51008", text="insufficient balance", at=NOW),
    lambda _, __: OrderCancelRequested(at=NOW),
    lambda _, __: OrderCanceled(at=NOW),
    lambda _, __: OrderExpired(at=NOW),
    lambda _, __: OrderBecameUnknown(why="no answer", at=NOW),
    lambda _, __: OrderFoundAbsent(evidence="order, fills and position agree", at=NOW),
)

# (order number, which event, whether a commit ends here)
story_steps = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, len(_MAKERS) - 1), st.booleans()), max_size=40
)


def batches_of(steps: Iterable[tuple[int, int, bool]], writer: Writer) -> Iterable[list[Entry]]:
    """Make a story out of the steps that can happen, in commits."""
    batch: list[Entry] = []
    for index, (number, maker, ends) in enumerate(steps):
        stream = order_stream(number)
        event = _MAKERS[maker](number, index) if stream in writer.streams else intended(number)
        try:
            batch += writer.entries(stream, event)
        except InvariantError:
            continue  # the transition table excludes it
        if ends:
            yield batch
            batch = []
    if batch:
        yield batch
