"""A venue that can go wrong: the real paper venue behind a line that loses, delays and repeats.

Whatever is not scripted passes through. A script is a list: each request takes its first entry.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from domain.ids import ClientOrderId, Symbol, VenueOrderId
from domain.instrument import Instrument
from domain.order import Fill, OrderStatus, OrderTerms, OrderType
from exchanges.paper.venue import PaperVenue
from exchanges.port import (
    Abilities,
    Accepted,
    AccountFacts,
    Cancellation,
    CashFlow,
    NotFound,
    OutsideFill,
    Refused,
    Submission,
    Unknown,
    VenueOrder,
    VenuePosition,
    VenueUpdate,
)

Answer = Awaitable[Any]
Fault = Callable[[Callable[[], Answer]], Answer]  # given the way to the venue


class FaultyVenue:
    """An `Exchange` and a listener to the market, as the paper venue is."""

    abilities = Abilities(spot_is_paid=False)

    def __init__(self, inner: PaperVenue, loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self.loop = loop
        self.submits: list[Fault] = []
        self.cancels: list[Fault] = []
        self.amends: list[Fault] = []
        self.sent: list[OrderTerms] = []  # whatever was asked for, arrived or not
        self.canceled: list[ClientOrderId] = []
        self.amended: list[OrderTerms] = []
        self.asked: list[ClientOrderId] = []  # orders looked up
        self.reads_fail = False
        self.reads_hang = False
        self.mute: set[ClientOrderId] = set()  # nothing usable is said about them
        self.fills_since: list[datetime | None] = []  # what was asked for
        self.forgotten: set[ClientOrderId] = set()  # neither found nor in the fills
        self.foreign: list[VenueOrder] = []  # what else rests there
        self.pushes: Callable[[VenueUpdate], Iterable[VenueUpdate]] = lambda update: (update,)
        self.held_back: list[VenueUpdate] = []
        self.brought: dict[ClientOrderId, OrderTerms] = {}  # entries whose stop is to come
        self.bought: dict[ClientOrderId, Decimal] = {}
        self.attaches = True  # the stop of an entry once that is filled; else when a test says so
        self._listener: Callable[[VenueUpdate], None] | None = None

    # --- the market ---

    def on_trade(self, *args: Any) -> None:
        self.inner.on_trade(*args)

    def on_quote(self, *args: Any) -> None:
        self.inner.on_quote(*args)

    def on_mark(self, *args: Any) -> None:
        self.inner.on_mark(*args)

    # --- requests ---

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        self.sent.append(terms)
        if terms.attached is not None:
            self.brought[terms.client_order_id] = terms
        return self._through(self.submits, lambda: self.inner.submit(terms))

    def cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Awaitable[Cancellation]:
        self.canceled.append(order_id)
        return self._through(self.cancels, lambda: self.inner.cancel(symbol, order_id))

    def _through(self, script: list[Fault], request: Callable[[], Answer]) -> Answer:
        return script.pop(0)(request) if script else request()

    # --- reads ---

    async def order(
        self, symbol: Symbol, order_id: ClientOrderId
    ) -> VenueOrder | NotFound | Unknown:
        self.asked.append(order_id)
        await self._hang()
        if self.reads_fail or order_id in self.mute:
            return Unknown("the read failed")
        if order_id in self.forgotten:
            return NotFound()
        return await self.inner.order(symbol, order_id)

    async def open_orders(self) -> tuple[VenueOrder, ...] | Unknown:
        await self._hang()
        if self.reads_fail:
            return Unknown("the read failed")
        found = await self.inner.open_orders()
        if isinstance(found, Unknown):
            return found
        return (*found, *self.foreign)

    async def fills(self, since: datetime | None) -> tuple[Fill, ...] | Unknown:
        self.fills_since.append(since)
        await self._hang()
        if self.reads_fail:
            return Unknown("the read failed")
        found = await self.inner.fills(since)
        if isinstance(found, Unknown):
            return found
        return tuple(fill for fill in found if fill.client_order_id not in self.forgotten)

    async def balances(self) -> Any:
        return await self.inner.balances()

    async def positions(self) -> tuple[VenuePosition, ...] | Unknown:
        await self._hang()
        return Unknown("the read failed") if self.reads_fail else await self.inner.positions()

    def amend(self, terms: OrderTerms) -> Awaitable[Cancellation]:
        self.amended.append(terms)
        return self._through(self.amends, lambda: self._amend(terms))

    def _amend(self, terms: OrderTerms) -> Awaitable[Cancellation]:
        """Change a stop where it rests, which the paper venue itself does not."""
        if not self.change(terms):
            return _answer(Refused("NOT_FOUND", f"no stop {terms.client_order_id}"))
        return _answer(Accepted(VenueOrderId("amended")))

    def change(self, terms: OrderTerms) -> bool:
        """Give a resting stop other terms, as we or a person on the site would; it is pushed."""
        matching = self.inner._matching
        order = matching.open.get(terms.client_order_id)
        if order is None or order.status is not OrderStatus.OPEN:
            return False
        book = matching.books[terms.symbol]
        book.remove(order)
        now = self.inner._clock.now()
        changed = replace(order, terms=replace(terms, client_order_id=order.id))
        book.add(matching._become(changed, order.status, now))
        self.inner._settle()
        return True

    def take_out(self, symbol: Symbol, order_id: ClientOrderId) -> None:
        """Cancel an order as a person on the site would."""
        self.inner._matching.cancel(symbol, order_id, self.inner._clock.now())
        self.inner._settle()

    def resting(self) -> list[OrderTerms]:
        """Return the stops that rest at the venue."""
        orders = self.inner._matching.open.values()
        return [each.terms for each in orders if each.terms.type is OrderType.STOP]

    def account(self) -> Awaitable[AccountFacts | Refused | Unknown]:
        return self.inner.account()

    def outside_fills(self, since: datetime) -> Awaitable[tuple[OutsideFill, ...] | Unknown]:
        return self.inner.outside_fills(since)

    def cash_flows(self, since: datetime) -> Awaitable[tuple[CashFlow, ...] | Unknown]:
        return self.inner.cash_flows(since)

    async def _hang(self) -> None:
        if self.reads_hang:
            await asyncio.Event().wait()

    # --- what it tells by itself ---

    async def start(self, on_update: Callable[[VenueUpdate], None]) -> None:
        self._listener = on_update
        await self.inner.start(self._push)

    def _push(self, update: VenueUpdate) -> None:
        for each in self.pushes(update):
            self.push(each)
        if isinstance(update, Fill):
            order_id = update.client_order_id
            self.bought[order_id] = self.bought.get(order_id, Decimal(0)) + update.quantity
            if self.attaches:
                self.loop.call_soon(self.attach, order_id)

    def attach(self, entry_id: ClientOrderId) -> None:
        """Place the stop that an entry brought along, if that has filled."""
        entry = self.brought.get(entry_id)
        if entry is None or self.bought.get(entry_id, 0) < entry.quantity:
            return
        stop = self.brought.pop(entry_id).attached
        assert stop is not None
        self.inner.submit(
            OrderTerms(
                client_order_id=stop.client_order_id,
                position_id=entry.position_id,
                symbol=entry.symbol,
                side=entry.side.opposite,
                type=OrderType.STOP,
                quantity=entry.quantity,
                trigger_price=stop.trigger_price,
                reduce_only=True,
                watches=stop.watches,
            )
        )

    def push(self, update: VenueUpdate) -> None:
        """Tell the daemon something now."""
        assert self._listener is not None
        self._listener(update)

    def hold_back(self, kind: type) -> None:
        """Keep updates of a kind until `let_go`."""

        def hold(update: VenueUpdate) -> Iterable[VenueUpdate]:
            if not isinstance(update, kind):
                return (update,)
            self.held_back.append(update)
            return ()

        self.pushes = hold

    def let_go(self) -> None:
        self.pushes = lambda update: (update,)
        held, self.held_back = self.held_back, []
        for update in held:
            self.push(update)

    def instruments(self) -> tuple[Instrument, ...]:
        return self.inner.instruments()

    async def close(self) -> None:
        await self.inner.close()


# --- faults ---


def passed(request: Callable[[], Answer]) -> Answer:
    """Nothing happens to it."""
    return request()


def answer_lost(request: Callable[[], Answer]) -> Answer:
    """It arrives and is done; the answer never comes."""
    request()
    return asyncio.get_running_loop().create_future()


def reset(request: Callable[[], Answer]) -> Answer:
    """It arrives and is done; the line breaks before the answer."""
    request()
    return _answer(Unknown("connection reset"))


def never_arrives(_request: Callable[[], Answer]) -> Answer:
    """Nothing arrives, no answer comes."""
    return asyncio.get_running_loop().create_future()


def broken_line(_request: Callable[[], Answer]) -> Answer:
    """Nothing arrives, and that much is known: the line broke."""
    return _answer(Unknown("no route to host"))


def arrives_after(seconds: float) -> Fault:
    """The line breaks at once; the request arrives all the same, much later."""

    def late(request: Callable[[], Answer]) -> Answer:
        asyncio.get_running_loop().call_later(seconds, request)
        return _answer(Unknown("connection reset"))

    return late


def answered_after(seconds: float) -> Fault:
    """It is done at once, the answer takes its time."""

    def slow(request: Callable[[], Answer]) -> Answer:
        answer = request()

        async def wait() -> Any:
            await asyncio.sleep(seconds)
            return await answer

        return wait()

    return slow


def refused(code: str, text: str = "as happens") -> Fault:
    """It arrives and is refused."""
    return lambda _request: _answer(Refused(code, text))


def _answer(value: Any) -> Answer:
    answer = asyncio.get_running_loop().create_future()
    answer.set_result(value)
    return answer
