"""The paper venue: real prices, no real money, and the manners of a real venue.

It stands behind the exchange port like any other, and listens to the market stream before the feed
does, so that an order sent because of a price meets exactly that price (with latency, the one that
holds when the order arrives).

    request -> (latency) -> matching in memory -> ledger commit -> answer and pushed updates

Nothing is answered, pushed or read before the ledger holds everything that it rests on. While one
commit runs, later changes gather and go into the next (group commit). If a commit fails, memory
goes back to what the file holds, and whoever waited gets `Unknown`: it may be in the file or not,
ask again.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from domain.ids import ClientOrderId, Symbol
from domain.instrument import Instrument
from domain.order import Fill, OrderStatus, OrderTerms
from exchanges.paper.commits import GroupCommit
from exchanges.paper.draws import Draws
from exchanges.paper.ledger import LedgerError, PaperLedger
from exchanges.paper.matching import RECENT_IDS, Matching
from exchanges.paper.records import Cash, PaperOrder, Records
from exchanges.paper.rules import PaperRules
from exchanges.paper.wire import Wire
from exchanges.port import (
    Abilities,
    Accepted,
    AccountFacts,
    Balance,
    Cancellation,
    CashFlow,
    NotFound,
    OutsideFill,
    PositionMode,
    Refused,
    Submission,
    Unknown,
    VenueOrder,
    VenuePosition,
    VenueUpdate,
)
from runtime.ports import Chance, Clock, Worker

T = TypeVar("T")
V = TypeVar("V")
_log = structlog.get_logger("system")

# What a cancel is told about an order that is no longer open; a rejected one is REJECTED.
_TOO_LATE = {OrderStatus.FILLED: "FILLED", OrderStatus.CANCELED: "ALREADY_CANCELED"}
_LEDGER_TROUBLE = (sqlite3.Error, OSError, LedgerError)


class _Life(Enum):
    NEW = "the paper venue has not been started"
    UP = ""
    DOWN = "the paper venue cannot use its ledger"
    CLOSED = "the paper venue is closed"


class PaperVenue:
    """One account at a simulated venue: an `Exchange`, and a listener to the market stream."""

    abilities = Abilities(spot_is_paid=False)

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        worker: Worker,
        loop: asyncio.AbstractEventLoop,
        *,
        ledger_path: Path,
        instruments: tuple[Instrument, ...],
        rules: PaperRules,
        held_by: tuple[Instrument, ...] = (),
    ) -> None:
        """Prepare; nothing is opened before `start`.

        `held_by`: the rules by which positions that are still held were opened.
        Raises `ValueError` when an instrument is not quoted in the account's asset.
        """
        foreign = [item.symbol for item in instruments if item.quote != rules.quote_asset]
        if foreign:
            raise ValueError(f"{foreign} are not quoted in {rules.quote_asset}")
        self._clock = clock
        self._worker = worker
        self._loop = loop
        self._rules = rules
        self._draws = Draws(rules, chance)
        self._wire = Wire(loop, self._draws, self._unavailable)
        self._instruments = instruments
        self._matching = Matching(instruments, rules, self._draws, held_by)
        self._books = self._matching.books
        self._ledger = PaperLedger(
            ledger_path, Cash(amount=rules.starting_balance), rules.quote_asset, RECENT_IDS
        )
        self._on_update: Callable[[VenueUpdate], None] | None = None
        self._life = _Life.NEW
        self._opening: asyncio.Task[None] | None = None
        self._reloading = False
        self._trouble = ""  # logged already
        self._commits = GroupCommit(worker, self._ledger, push=self._push, on_failure=self._failed)

    # The market stream

    def on_trade(
        self,
        symbol: Symbol,
        price: str,
        quantity: str,  # noqa: ARG002 - the port of all listeners
        trade_id: str,  # noqa: ARG002
        event_ms: int,  # noqa: ARG002
    ) -> None:
        """Take the last price; costs next to nothing unless it reaches an order."""
        book = self._books.get(symbol)
        if book is None:
            return
        book.last = price
        book.is_quoted = False
        if book.quiet or book.low_edge < float(price) < book.high_edge:
            return
        if self._life is _Life.UP:
            self._matching.trade(book, self._clock.now())
            self._settle()

    def on_quote(
        self,
        symbol: Symbol,
        bid: str,
        ask: str,
        update_id: str,  # noqa: ARG002 - the port of all listeners
        event_ms: int,  # noqa: ARG002
    ) -> None:
        """Take best bid and ask, which may cross a resting limit order."""
        book = self._books.get(symbol)
        if book is None:
            return
        book.bid, book.ask, book.is_quoted = bid, ask, True
        if book.quiet:
            return
        if float(ask) > book.highest_bid and float(bid) < book.lowest_ask:
            return
        if self._life is _Life.UP:
            self._matching.quote(book, bid, ask, self._clock.now())
            self._settle()

    def on_mark(self, symbol: Symbol, price: str, event_ms: int) -> None:
        """Ignore the mark price: triggers here watch the last price, and nothing is liquidated."""

    # The exchange port

    async def start(self, on_update: Callable[[VenueUpdate], None]) -> None:
        """Open the ledger and take up what rests in it; once started, only replace the listener.

        Whoever starts it while it opens waits for that: the one who asked first may be gone, and
        the file can be opened once. Raises `LedgerError` when it is locked, newer, foreign or
        damaged; then it may be tried again.
        """
        self._on_update = on_update
        if self._life is _Life.NEW:
            if self._opening is None:
                self._opening = self._loop.create_task(self._open())
            await asyncio.shield(self._opening)

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what can be traded."""
        return self._instruments

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        """Send an order. Without latency it has met the market when this returns."""
        answer: asyncio.Future[Submission] = self._loop.create_future()
        self._wire.send(partial(self._place, terms, answer))
        return answer

    def cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Awaitable[Cancellation]:
        """Send a cancel. Refused: FILLED, ALREADY_CANCELED, REJECTED or NOT_FOUND."""
        answer: asyncio.Future[Cancellation] = self._loop.create_future()
        self._wire.send(partial(self._take_out, symbol, order_id, answer))
        return answer

    def order(
        self, symbol: Symbol, order_id: ClientOrderId
    ) -> Awaitable[VenueOrder | NotFound | Unknown]:
        """Look an order up; one still on its way to the venue is not found."""
        answer: asyncio.Future[VenueOrder | NotFound | Unknown] = self._loop.create_future()

        def shown(order: PaperOrder | None) -> VenueOrder | NotFound:
            if order is None or order.terms.symbol != symbol:
                return NotFound()
            return order.as_venue_order()

        known = self._matching.open.get(order_id)
        if known is None:
            self._read(answer, partial(self._ledger.order, order_id), shown)
        else:
            self._tell(answer, shown(known))
        return answer

    def open_orders(self) -> Awaitable[tuple[VenueOrder, ...] | Unknown]:
        """Return all that rest or are executing, oldest first."""
        orders = sorted(self._matching.open.values(), key=lambda order: order.number)
        return self._told(tuple(order.as_venue_order() for order in orders))

    def fills(self, since: datetime | None) -> Awaitable[tuple[Fill, ...] | Unknown]:
        """Return executions from `since` on (all, without), oldest first."""
        answer: asyncio.Future[tuple[Fill, ...] | Unknown] = self._loop.create_future()
        self._read(answer, partial(self._ledger.fills, since), lambda fills: fills)
        return answer

    def balances(self) -> Awaitable[tuple[Balance, ...] | Unknown]:
        """Return the quote balance: cash, and what of it is neither margin nor frozen."""
        account = self._matching.account
        balance = Balance(
            asset=self._rules.quote_asset, total=account.cash.amount, available=account.available
        )
        return self._told((balance,))

    def positions(self) -> Awaitable[tuple[VenuePosition, ...] | Unknown]:
        """Return holdings that are not zero, a long and a short of one swap each by itself."""
        holdings = self._matching.account.holdings.values()
        held = [holding.as_position() for holding in holdings if holding.quantity]
        return self._told(tuple(sorted(held, key=lambda each: (each.symbol, each.quantity))))

    def amend(self, terms: OrderTerms) -> Awaitable[Cancellation]:
        """Refuse: no stop rests here."""
        text = f"{terms.client_order_id}: the paper venue holds no stops"
        return self._told(Refused("UNSUPPORTED", text))

    def account(self) -> Awaitable[AccountFacts | Refused | Unknown]:
        """Return what may be done here: everything but taking money out."""
        facts = AccountFacts("paper", PositionMode.HEDGE, may_trade=True, may_withdraw=False)
        return self._told(facts)

    def outside_fills(self, since: datetime) -> Awaitable[tuple[OutsideFill, ...] | Unknown]:
        """Return none: nobody else trades here."""
        del since
        return self._told(())

    def cash_flows(self, since: datetime) -> Awaitable[tuple[CashFlow, ...] | Unknown]:
        """Return none: nobody pays in or out, and funding is not simulated."""
        del since
        return self._told(())

    async def on_ledger(
        self, work: Callable[[Callable[[], sqlite3.Connection], Callable[[], None]], T]
    ) -> T:
        """Let `work` use the ledger's connection on its thread. Raises what it raises.

        It is told how to get the connection, and how to let others have a turn.
        """
        return await self._on_worker(partial(work, self._ledger.connection, self._worker.give_way))

    async def close(self) -> None:
        """Commit what is in memory and close the file. Requests still on their way never arrive."""
        if self._life is _Life.CLOSED:
            return
        self._life = _Life.CLOSED
        self._wire.cut(Unknown(_Life.CLOSED.value))
        committed: asyncio.Future[None] = self._loop.create_future()
        self._commits.after(lambda _failed: committed.set_result(None))
        await committed
        await self._on_worker(self._ledger.close)

    # What arrives

    def _place(
        self, terms: OrderTerms, answer: asyncio.Future[Submission], failed: Unknown | None
    ) -> None:
        if failed is not None:
            _set(answer, failed)
            return
        result = self._matching.place(terms, self._clock.now())
        self._gather()
        self._tell(answer, result)

    def _take_out(
        self,
        symbol: Symbol,
        order_id: ClientOrderId,
        answer: asyncio.Future[Cancellation],
        failed: Unknown | None,
    ) -> None:
        def too_late(order: PaperOrder | None) -> Accepted | Refused:
            if order is None or order.terms.symbol != symbol:
                return Refused("NOT_FOUND", f"no order {order_id} of {symbol}")
            code = _TOO_LATE.get(order.status, "REJECTED")
            return Refused(code, f"order {order_id} is {order.status.value}")

        if failed is not None:
            _set(answer, failed)
            return
        done: Accepted | Refused | None = self._matching.cancel(symbol, order_id, self._clock.now())
        if done is None:
            self._read(answer, partial(self._ledger.order, order_id), too_late)
        else:
            self._gather()
            self._tell(answer, done)

    def _resume(self, order_id: ClientOrderId) -> None:
        if self._life is _Life.UP:
            self._matching.resume(order_id, self._clock.now())
            self._settle()

    # The ledger

    async def _open(self) -> None:
        try:
            records = await self._on_worker(self._ledger.open)
        finally:
            self._opening = None
        for problem in self._ledger.problems:
            _log.error("paper_ledger_damaged", problem=problem)
        if self._life is _Life.NEW:  # else it was closed meanwhile
            self._matching.load(records)
            self._life = _Life.UP

    def _settle(self) -> None:
        self._gather()
        self._commits.commit()

    def _gather(self) -> None:
        """Take what matching changed into the next commit."""
        self._commits.add(self._matching.take_changes())
        for order_id in self._matching.take_to_continue():
            self._loop.call_later(self._draws.latency_s(), self._resume, order_id)

    def _failed(self, error: BaseException, answered_unknown: int) -> None:
        """Go down, and back to what the file holds."""
        self._say_once(error, answered_unknown)
        if self._life is _Life.UP:
            self._life = _Life.DOWN
            self._reload()
        if not isinstance(error, _LEDGER_TROUBLE):
            raise error

    def _say_once(self, error: BaseException, answered_unknown: int) -> None:
        """Log a trouble when it begins; until a commit succeeds it is the same one."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            _log.error("paper_ledger_failed", error=str(error), answered_unknown=answered_unknown)

    def _push(self, update: VenueUpdate) -> None:
        self._trouble = ""
        if self._on_update is not None:
            self._on_update(update)

    def _reload(self) -> None:
        if not self._reloading:
            self._reloading = True
            self._worker.call(self._ledger.reopen, self._reloaded)

    def _reloaded(self, result: Records | BaseException) -> None:
        self._reloading = False
        if isinstance(result, BaseException):
            self._say_once(result, 0)
        elif self._life is _Life.DOWN:
            self._matching.load(result)
            self._life = _Life.UP

    def _unavailable(self) -> Unknown | None:
        """Return why nothing can be asked now; a ledger that failed is tried again."""
        if self._life is _Life.DOWN:
            self._reload()
        return None if self._life is _Life.UP else Unknown(self._life.value)

    # Answers

    def _tell(self, answer: asyncio.Future[T | Unknown], value: T) -> None:
        """Answer with what memory says now, once the file says so too."""
        unavailable = self._unavailable()
        if unavailable is not None:
            _set(answer, unavailable)
            return
        self._commits.after(lambda failed: _set(answer, value if failed is None else failed))

    def _told(self, value: T) -> Awaitable[T | Unknown]:
        answer: asyncio.Future[T | Unknown] = self._loop.create_future()
        self._tell(answer, value)
        return answer

    def _read(
        self,
        answer: asyncio.Future[V | Unknown],
        read: Callable[[], T],
        shown: Callable[[T], V],
    ) -> None:
        """Answer from the file, once everything that is in memory now is in it."""

        def read_done(result: T | BaseException) -> None:
            if isinstance(result, BaseException):
                _set(answer, Unknown(f"the paper ledger could not be read: {result}"))
            else:
                _set(answer, shown(result))

        def committed(failed: Unknown | None) -> None:
            if failed is not None:
                _set(answer, failed)
                return
            try:
                self._worker.call(read, read_done)
            except RuntimeError as error:  # it is closed, or too much waits already
                _set(answer, Unknown(f"the paper ledger could not be read: {error}"))

        unavailable = self._unavailable()
        if unavailable is None:
            self._commits.after(committed)
        else:
            _set(answer, unavailable)

    async def _on_worker(self, function: Callable[[], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()

        def then(result: T | BaseException) -> None:
            if done.cancelled():
                return
            if isinstance(result, BaseException):
                done.set_exception(result)
            else:
                done.set_result(result)

        self._worker.call(function, then)
        return await done


def _set(answer: asyncio.Future[T], value: T) -> None:
    if not answer.done():  # whoever asked may have given up
        answer.set_result(value)
