"""OKX (v5), demo and live, spot and linear swaps: one account as an `Exchange`.

Orders go out through ccxt (`ccxt_wire.py`), rows come in through `translate.py`, and what an answer
means is judged by `okx_answers.py` with the codes of `okx_errors.py`. A second venue is a file like
this one and its own translation.

Entries are refused, unsent, while the venue does not answer (`VENUE_DOWN`), and until position mode
and leverage are certain. Exits, cancels and reads always try.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
import structlog

from domain.ids import ClientOrderId, Symbol
from domain.instrument import Instrument, Kind
from domain.order import Fill, OrderTerms, OrderType
from exchanges import okx_answers as okx
from exchanges import okx_orders
from exchanges.breaker import VenueHealth
from exchanges.ccxt_wire import Reply, Silence, Wire, WireSettings
from exchanges.okx_account_reads import AccountReads, is_guard
from exchanges.okx_account_rows import facts_from_row, instrument_from_row
from exchanges.okx_entry_checks import EntryChecks
from exchanges.okx_errors import code_of
from exchanges.okx_orders import AccountModes
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
from exchanges.rest import LieError
from exchanges.translate import inst_id
from exchanges.verdict import Verdict
from runtime.ports import Clock

log = structlog.get_logger(category="trade.execution")

URL = "https://www.okx.com"
_MEASURE_EVERY_S = 10.0  # also keeps the connection of orders warm
_LOOK_AGAIN_AFTER_S = 1.0  # while the venue is away, or its rules are not known yet
_NO_SUCH_PLACE = frozenset({403, 404, 405, 410})
_ABSENT_ALGO = "1"  # an id that no order can have
_FEW = 8  # instruments that are asked for one by one


class OkxSettings(msgspec.Struct, frozen=True):
    """One login."""

    key: str
    secret: str
    passphrase: str
    is_demo: bool = True
    margin_mode: str = "cross"  # of swaps; or "isolated"
    rest_url: str = URL

    def __repr__(self) -> str:
        """Show no secret."""
        return f"OkxSettings(rest_url={self.rest_url!r}, is_demo={self.is_demo})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show no secret."""
        return [("rest_url", self.rest_url), ("is_demo", self.is_demo)]


class PrivateStream(Protocol):
    """Pushes what happens on the account."""

    async def run(self) -> None:
        """Connect, and connect again, until canceled."""

    async def close(self) -> None:
        """Disconnect."""


StreamOf = Callable[["OkxAccount", Callable[[VenueUpdate], None]], PrivateStream]


class OkxAccount:
    """One account at OKX."""

    def __init__(
        self,
        settings: OkxSettings,
        clock: Clock,
        instruments: Sequence[Instrument],
        stream: StreamOf | None = None,
    ) -> None:
        """Prepare; nothing is imported or sent before `start`.

        Args:
            settings: where, and who.
            clock: the daemon's.
            instruments: what is traded; the venue's own rules replace theirs once they are read.
            stream: makes the private stream; without one nothing is pushed.
        """
        self.settings = settings
        self._clock = clock
        self._wanted = tuple(instruments)
        self._told: tuple[Instrument, ...] = ()
        self._stream_of = stream
        self._stream: PrivateStream | None = None
        self._tasks: list[asyncio.Task[None]] = []
        credentials = {
            "apiKey": settings.key,
            "secret": settings.secret,
            "password": settings.passphrase,
        }
        self.wire = Wire(
            WireSettings(credentials, settings.rest_url, settings.is_demo), clock, okx.OkxJudge()
        )
        self.reads = AccountReads(self.wire, clock, self._wanted)
        self._checks = EntryChecks(self.wire, settings.margin_mode)
        only_swaps = all(each.kind is Kind.SWAP for each in self._wanted)
        # Stops of spot cannot be changed in place: the venue does so for contracts only.
        self.abilities = Abilities(holds_stops=True, amends_stops=only_swaps, holds_trails=True)

    # Life

    async def start(self, on_update: Callable[[VenueUpdate], None]) -> None:
        """Load ccxt, ask for time and rules, begin to push. Returns although the venue is away."""
        if self._tasks:
            return
        self._tasks.append(asyncio.ensure_future(self._keep()))
        await self.wire.start()
        await asyncio.gather(self.wire.measure_clock(), self._load_instruments())
        if self._stream_of is not None:
            self._stream = self._stream_of(self, on_update)
            self._tasks.append(asyncio.ensure_future(self._stream.run()))

    async def close(self) -> None:
        """Disconnect; what was acknowledged stays."""
        if self._stream is not None:
            await self._stream.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.wire.close()

    def health(self) -> VenueHealth:
        """Return how the connection is doing."""
        return self.wire.health()

    @property
    def clock_offset_s(self) -> float:
        """The venue's clock less ours, as measured last; 0 before."""
        return self.wire.clock_offset_s or 0.0

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what can be traded, by the venue's rules; nothing until it has told them.

        An instrument that the venue does not list, or does not trade now, is left out.
        """
        return self._told

    # Orders

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        """Send an order, once; it is on its way when this returns."""
        return asyncio.ensure_future(self._submit(terms))

    def cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Awaitable[Cancellation]:
        """Take an order out, by id. Accepted: the venue has taken the wish."""
        return asyncio.ensure_future(self._cancel(symbol, order_id))

    def amend(self, terms: OrderTerms) -> Awaitable[Cancellation]:
        """Change quantity and trigger of a resting stop or target, or price of a limit order."""
        return asyncio.ensure_future(self._amend(terms))

    async def _submit(self, terms: OrderTerms) -> Submission:
        instrument = self.reads.of_symbol.get(terms.symbol)
        if instrument is None:
            return Refused("UNKNOWN_SYMBOL", f"{terms.symbol} is not traded here")
        is_entry = not terms.reduce_only and terms.type not in okx_orders.RESTING
        if is_entry and self.wire.breaker.is_open:
            return self._down()
        modes = await self._modes(instrument)
        if isinstance(modes, Refused):
            return modes
        body = okx_orders.place(terms, instrument, modes)
        if isinstance(body, Refused):
            return body
        if is_entry:
            refused = await self._checks.leverage(terms, instrument)
            if refused is not None:
                return refused
        if terms.type in okx_orders.RESTING:
            answer = await self.wire.ask(okx.PLACE_ALGO, body, urgent=True)
            ours = ("algoClOrdId", terms.client_order_id)
            outcome = okx.placed(answer, "algoId", ours=ours)
            if isinstance(outcome, Accepted):
                self.reads.note_algo(terms.client_order_id, outcome.venue_order_id)
        else:
            answer = await self.wire.ask(okx.PLACE, body, urgent=not is_entry)
            outcome = okx.placed(answer, "ordId", ours=("clOrdId", terms.client_order_id))
        if isinstance(outcome, Refused) and outcome.code == "51000":
            self._checks.forget()  # the position mode may have been changed
        return outcome

    async def _cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Cancellation:
        instrument = self.reads.of_symbol.get(symbol)
        if instrument is None:
            return Refused("UNKNOWN_SYMBOL", f"{symbol} is not traded here")
        if not is_guard(order_id) and order_id not in self.reads.algo_ids:
            body = {"instId": inst_id(instrument), "clOrdId": order_id}
            answer = await self.wire.ask(okx.CANCEL, body, urgent=True)
            return okx.placed(answer, "ordId", ours=("clOrdId", order_id))
        venue_id = self.reads.algo_ids.get(order_id)
        if venue_id is None:
            found = await self.reads.algo(instrument, order_id)
            if isinstance(found, NotFound):
                return okx.refusal("51400", "no such stop")
            if isinstance(found, Unknown):
                return found
            venue_id = found.venue_order_id
        answer = await self._cancel_algo(instrument, venue_id)
        return okx.placed(answer, "algoId", ours=("algoId", venue_id))

    async def _amend(self, terms: OrderTerms) -> Cancellation:
        instrument = self.reads.of_symbol.get(terms.symbol)
        if instrument is None:
            return Refused("UNKNOWN_SYMBOL", f"{terms.symbol} is not traded here")
        body = okx_orders.amend(terms, instrument)
        if isinstance(body, Refused):
            return body
        if terms.type is OrderType.LIMIT:
            answer = await self.wire.ask(okx.AMEND, body, urgent=True)
            return okx.placed(answer, "ordId", ours=("clOrdId", terms.client_order_id))
        answer = await self.wire.ask(okx.AMEND_ALGO, body, urgent=True)
        return okx.placed(answer, "algoId", ours=("algoClOrdId", terms.client_order_id))

    async def _cancel_algo(self, instrument: Instrument, venue_id: str) -> Reply | Silence:
        body = [{"algoId": venue_id, "instId": inst_id(instrument)}]
        return await self.wire.ask(okx.CANCEL_ALGO, body, urgent=True)

    async def _modes(self, instrument: Instrument) -> AccountModes | Refused:
        mode = self._checks.mode
        if mode is None and instrument.kind is Kind.SWAP:
            asked = await self._checks.positions_mode()
            if isinstance(asked, Refused):
                return asked
            mode = asked
        return AccountModes(self.settings.margin_mode, mode or PositionMode.NET)

    def _down(self) -> Refused:
        breaker = self.wire.breaker
        since = f" since {breaker.since:%H:%M:%S} UTC" if breaker.since is not None else ""
        return Refused(
            "VENUE_DOWN",
            f"OKX does not answer{since}: {breaker.why}",
            "Nothing was sent. Entries go on by themselves once the venue answers.",
        )

    # Reads

    def order(
        self, symbol: Symbol, order_id: ClientOrderId
    ) -> Awaitable[VenueOrder | NotFound | Unknown]:
        """Look an order up by our id, in the book and among what waits to be triggered."""
        return self.reads.order(symbol, order_id)

    def open_orders(self) -> Awaitable[tuple[VenueOrder, ...] | Unknown]:
        """Return all that rest at the venue."""
        return self.reads.open_orders()

    def fills(self, since: datetime | None) -> Awaitable[tuple[Fill, ...] | Unknown]:
        """Return executions, oldest first; without `since` those of three months."""
        return self.reads.fills(since)

    def outside_fills(self, since: datetime) -> Awaitable[tuple[OutsideFill, ...] | Unknown]:
        """Return executions of orders without an id, oldest first."""
        return self.reads.outside_fills(since)

    def cash_flows(self, since: datetime) -> Awaitable[tuple[CashFlow, ...] | Unknown]:
        """Return what moved money besides fills, oldest first."""
        return self.reads.cash_flows(since)

    def balances(self) -> Awaitable[tuple[Balance, ...] | Unknown]:
        """Return the money in each asset."""
        return self.reads.balances()

    def positions(self) -> Awaitable[tuple[VenuePosition, ...] | Unknown]:
        """Return holdings that are not zero."""
        return self.reads.positions()

    async def account(self) -> AccountFacts | Refused | Unknown:
        """Return what this login is; refused with the venue's code when it is not let in.

        The canary takes out a stop that cannot exist: only an endpoint that works says so.
        """
        answer = await self.wire.ask(okx.CONFIG)
        refused = _login_refusal(answer)
        if refused is not None:
            return refused
        stops_work = await self._stops_work()
        if isinstance(stops_work, Unknown):
            return stops_work
        facts = okx.read(
            answer, lambda rows: facts_from_row(okx.only_row(rows), stops_work=stops_work)
        )
        if isinstance(facts, AccountFacts):
            if self._checks.mode is not facts.position_mode:
                self._checks.forget()
            self._checks.mode = facts.position_mode
        return facts

    async def _stops_work(self) -> bool | Unknown:
        if not self._wanted:
            return True
        answer = await self._cancel_algo(self._wanted[0], _ABSENT_ALGO)
        outcome = okx.placed(answer, "algoId")
        if isinstance(outcome, Refused):
            return code_of(outcome.code).verdict in {Verdict.GONE, Verdict.REFUSED}
        if isinstance(answer, Silence) and answer.status not in _NO_SUCH_PLACE:
            return Unknown(f"stops: {answer.why}")
        return False

    # What goes on by itself

    async def _keep(self) -> None:
        """Measure the clock, find out when the venue is back, and read its rules until known."""
        await self.wire.start()
        while True:
            is_well = self._told and not self.wire.breaker.is_open
            await asyncio.sleep(_MEASURE_EVERY_S if is_well else _LOOK_AGAIN_AFTER_S)
            if await self.wire.measure_clock() and not self._told:
                await self._load_instruments()

    async def _load_instruments(self) -> None:
        """Read the rules of what is traded; keep what was known where that fails."""
        found: dict[str, Instrument] = {}
        for kind in {each.kind for each in self._wanted}:
            wanted = {inst_id(each): each for each in self._wanted if each.kind is kind}
            asked: list[dict[str, str]] = [{"instType": kind.value.upper()}]
            if len(wanted) <= _FEW:
                asked = [asked[0] | {"instId": name} for name in wanted]
            asking = [self.wire.ask(okx.INSTRUMENTS, each) for each in asked]
            for answer in await asyncio.gather(*asking):
                rows = okx.read(answer, lambda rows: rows)
                if isinstance(rows, Unknown):
                    continue
                found |= _rules_in(rows, wanted)
        if found:
            self._told = tuple(
                found[inst_id(each)] for each in self._wanted if inst_id(each) in found
            )
            self.reads.know([found.get(inst_id(each), each) for each in self._wanted])


def _rules_in(rows: Sequence[Any], wanted: dict[str, Instrument]) -> dict[str, Instrument]:
    """Return the instruments whose rows can be believed; one bad row spoils no other."""
    found = {}
    for row in rows:
        known = wanted.get(str(row.get("instId")))
        if known is None:
            continue
        try:
            instrument = instrument_from_row(row, known)
        except LieError as lie:
            log.warning("instrument_unusable", symbol=known.symbol, why=str(lie))
            continue
        if instrument is not None:
            found[inst_id(known)] = instrument
    return found


def _login_refusal(answer: Reply | Silence) -> Refused | None:
    """Return why the venue does not let us in; None when it does, or said nothing usable."""
    if isinstance(answer, Silence) or answer.verdict not in {Verdict.LOGIN, Verdict.SKEWED}:
        return None
    return okx.refusal(str(answer.payload.get("code")), answer.payload.get("msg"))
