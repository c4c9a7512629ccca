"""OKX (v5), demo and live, spot and linear swaps: one account as an `Exchange`.

Orders go out through ccxt (`ccxt_wire.py`), rows come in through `translate.py`, and what an answer
means is judged by `okx_answers.py` with the codes of `okx_errors.py`. A second venue is a file like
this one and its own translation.

Entries are refused, unsent, while the venue does not answer (`VENUE_DOWN`), and until position mode
and leverage are certain. Exits, cancels and reads always try.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
import structlog

from domain.ids import ClientOrderId, Symbol
from domain.instrument import Instrument, Kind
from domain.order import Fill, OrderTerms, OrderType
from exchanges import okx_answers as okx
from exchanges import okx_orders
from exchanges.breaker import Breaker, VenueHealth
from exchanges.ccxt_wire import Judge, Reply, Silence, Wire, WireSettings
from exchanges.okx_account_reads import AccountReads, is_guard
from exchanges.okx_account_rows import facts_from_row, owner_from_row
from exchanges.okx_entry_checks import EntryChecks
from exchanges.okx_errors import code_of
from exchanges.okx_lasting import LastingRead
from exchanges.okx_orders import AccountModes
from exchanges.okx_rules import Rules
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
    VenueAccount,
    VenueOrder,
    VenuePosition,
    VenueUpdate,
)
from exchanges.translate import inst_id
from exchanges.verdict import Verdict
from runtime.ports import Clock

log = structlog.get_logger("trade.execution")

URL = "https://www.okx.com"
_CAME_LATE = "51149"
_MEASURE_EVERY_S = 10.0  # also keeps the connection of orders warm
_LOOK_AGAIN_AFTER_S = 1.0  # while the venue is away, or its rules are not known yet
_NOT_HELD = frozenset({"51023", "51169"})
_NO_BALANCE = "51008"
_OFF_GRID = frozenset({"LOT_SIZE", "51020", "51121"})
_ABSENT_ALGO = "1"  # an id that no order can have
_MEASUREMENTS_A_RULE = 60  # rules are read again after so many


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
WireOf = Callable[[WireSettings, Clock, Judge], Wire]


class OkxAccount:
    """One account at OKX."""

    def __init__(
        self,
        settings: OkxSettings,
        clock: Clock,
        instruments: Sequence[Instrument],
        stream: StreamOf | None = None,
        wire: WireOf = Wire,
        held: Sequence[Instrument] = (),
    ) -> None:
        """Prepare; nothing is imported or sent before `start`.

        Args:
            settings: where, and who.
            clock: the daemon's.
            instruments: what is traded; the venue's own rules replace theirs once they are read.
            stream: makes the private stream; without one nothing is pushed.
            wire: makes what carries requests.
            held: what is open here, by the venue's rules of when it was opened: those count where
                it lists an instrument no more.
        """
        self.settings = settings
        self._clock = clock
        self._wanted = tuple(instruments)
        self._stream_of = stream
        self._stream: PrivateStream | None = None
        self._on_update: Callable[[VenueUpdate], None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._doubts_grid = False
        credentials = {
            "apiKey": settings.key,
            "secret": settings.secret,
            "password": settings.passphrase,
        }
        self.wire = wire(
            WireSettings(credentials, settings.rest_url, settings.is_demo), clock, okx.OkxJudge()
        )
        self.rules = Rules(self.wire, self._wanted, held)
        self.reads = AccountReads(self.wire, clock, self.rules)
        self._flows = LastingRead(clock, self._read_flows, lambda flow: (flow.at, flow.flow_id))
        self._outside = LastingRead(clock, self.reads.outside_fills, _key_of_outside)
        self._checks = EntryChecks(self.wire, settings.margin_mode)
        only_swaps = all(each.kind is Kind.SWAP for each in self._wanted)
        # Stops of spot cannot be changed in place: the venue does so for contracts only.
        self.abilities = Abilities(
            holds_stops=True,
            amends_stops=only_swaps,
            holds_trails=True,
            attaches_stops=True,
            not_held=_NOT_HELD | {_NO_BALANCE},
            off_grid=_OFF_GRID,
        )

    # Life

    async def start(self, on_update: Callable[[VenueUpdate], None]) -> None:
        """Load ccxt, ask for time and rules, begin to push. Returns although the venue is away."""
        if self._tasks:
            return
        self._on_update = on_update
        self._run(self._keep())
        await self.wire.start()
        reading = (self.rules.load(), self._checks.positions_mode())
        await asyncio.gather(self.wire.measure_clock(), *reading)
        self._begin_pushing()

    async def close(self) -> None:
        """Disconnect; what was acknowledged stays."""
        if self._stream is not None:
            await self._stream.close()
        await self._flows.close()
        await self._outside.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.wire.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(_say_if_broken)
        self._tasks = [each for each in self._tasks if not each.done()] + [task]

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
        return self.rules.tradable

    def listed(self) -> tuple[Instrument, ...] | None:
        """Return what the venue lists of what is traded here; None until it has told."""
        return self.rules.tradable if self.rules.are_known else None

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
        outcome = await self._send(terms)
        if isinstance(outcome, Refused) and outcome.code in _OFF_GRID:
            self._doubts_grid = True  # the next who asks for the account reads the rules, too
        return outcome

    async def _send(self, terms: OrderTerms) -> Submission:
        instrument = await self._instrument(terms.symbol)
        if isinstance(instrument, Refused):
            return instrument
        is_entry = not terms.reduce_only and terms.type not in okx_orders.RESTING
        if is_entry and self.wire.breaker.is_open:
            return self._down(self.wire.breaker)
        modes = await self._modes(instrument, is_exit=terms.reduce_only)
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
                self.reads.algo_ids.set(terms.client_order_id, outcome.venue_order_id)
        else:
            answer = await self.wire.ask(okx.PLACE, body, urgent=not is_entry)
            outcome = okx.placed(answer, "ordId", ours=("clOrdId", terms.client_order_id))
        if isinstance(outcome, Unknown) and outcome.why.startswith(_CAME_LATE):
            self._run(self._measure_clock())  # perhaps by our clock only
        if isinstance(outcome, Refused) and outcome.code == "51000":
            self._checks.forget()  # the position mode may have been changed
        if isinstance(outcome, Refused) and outcome.code in _NOT_HELD and terms.reduce_only:
            self._run(self._read_margins())  # it may be held in the other margin mode
        return outcome

    async def _measure_clock(self) -> None:
        await self.wire.measure_clock()

    async def _read_margins(self) -> None:
        await self.reads.positions()

    async def _cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Cancellation:
        instrument = await self._instrument(symbol)
        if isinstance(instrument, Refused):
            return instrument
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
        instrument = await self._instrument(terms.symbol)
        if isinstance(instrument, Refused):
            return instrument
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

    async def _instrument(self, symbol: Symbol) -> Instrument | Refused:
        """Return the venue's own rules of a symbol, which say what a size means."""
        instrument = self.rules.of(symbol)
        if instrument is None and not self.rules.are_known:
            await self.rules.load()
            instrument = self.rules.of(symbol)
        if instrument is not None:
            return instrument
        if self.rules.are_known:
            return Refused("UNKNOWN_SYMBOL", f"{symbol} is not listed at OKX", "Remove it.")
        text = f"OKX has not told the rules of {symbol}: {self.wire.breaker.why}"
        return Refused("RULES_UNKNOWN", text, "Nothing was sent. It is asked again.")

    async def _modes(self, instrument: Instrument, *, is_exit: bool) -> AccountModes | Refused:
        mode = self._checks.mode
        if mode is None and instrument.kind is Kind.SWAP:
            asked = await self._checks.positions_mode()
            if isinstance(asked, Refused):
                return asked
            mode = asked
        margin = self.settings.margin_mode
        held = self.reads.margins.get(inst_id(instrument), frozenset())
        if is_exit and held and margin not in held:
            margin = min(held)  # found there, or from before the configuration was changed
        return AccountModes(margin, mode or PositionMode.NET)

    def _down(self, breaker: Breaker) -> Refused:
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
        """Return executions of orders without an id, oldest first.

        Ours are listed among them: a long list is read on, whoever waits for it.
        """
        return self._outside.since(since)

    def cash_flows(self, since: datetime) -> Awaitable[tuple[CashFlow, ...] | Unknown]:
        """Return what moved money besides fills, oldest first.

        The venue lists every fill among it: a long list is read on, whoever waits for it.
        """
        return self._flows.since(since)

    async def _read_flows(self, since: datetime) -> tuple[CashFlow, ...] | Unknown:
        mode = await self._checks.positions_mode()
        if isinstance(mode, Refused):
            return Unknown(mode.text)
        return await self.reads.cash_flows(since, hedged=mode is PositionMode.HEDGE)

    def balances(self) -> Awaitable[tuple[Balance, ...] | Unknown]:
        """Return the money in each asset."""
        return self.reads.balances()

    def positions(self) -> Awaitable[tuple[VenuePosition, ...] | Unknown]:
        """Return holdings that are not zero."""
        return self.reads.positions()

    async def whose(self) -> VenueAccount | Refused | Unknown:
        """Return whose account the login is of; asks for nothing else, and changes nothing."""
        is_demo = self.settings.is_demo
        if self._checks.owner:
            return VenueAccount(self._checks.owner, is_demo)
        answer = await self.wire.ask(okx.CONFIG, urgent=True)  # exits wait for it
        refused = _login_refusal(answer)
        if refused is not None:
            return refused
        return okx.read(answer, lambda rows: owner_from_row(okx.only_row(rows), is_demo=is_demo))

    async def account(self) -> AccountFacts | Refused | Unknown:
        """Return what this login is; refused with the venue's code when it is not let in.

        The canary takes out a stop that cannot exist: only an endpoint that works says so.
        """
        answer = await self.wire.ask(okx.CONFIG)
        refused = _login_refusal(answer)
        if refused is not None:
            return refused
        if self._doubts_grid:
            self._doubts_grid = False
            await self.rules.load()
        stops_work = await self._stops_work()
        if isinstance(stops_work, Unknown):
            return stops_work
        facts = okx.read(
            answer, lambda rows: facts_from_row(okx.only_row(rows), stops_work=stops_work)
        )
        if isinstance(facts, AccountFacts):
            self._checks.forget()  # somebody may have changed leverage too
            self._checks.mode = facts.position_mode
        return facts

    async def _stops_work(self) -> bool | Unknown:
        if not self._wanted:
            return True
        answer = await self._cancel_algo(self._wanted[0], _ABSENT_ALGO)
        if isinstance(answer, Silence):
            return False if okx.has_no_such_place(answer) else Unknown(f"stops: {answer.why}")
        outcome = okx.placed(answer, "algoId")
        if isinstance(outcome, Unknown):
            return Unknown(f"stops: {outcome.why}")
        verdict = code_of(outcome.code).verdict if isinstance(outcome, Refused) else Verdict.FINE
        if verdict in {Verdict.LIMITED, Verdict.SKEWED}:
            return Unknown(f"stops: {outcome}")
        return verdict in {Verdict.GONE, Verdict.REFUSED}

    # What goes on by itself

    async def _keep(self) -> None:
        """Measure the clock, find out when the venue is back, and keep its rules up to date."""
        await self.wire.start()
        is_well, rules_in = True, 0
        while True:
            is_well = is_well and self.rules.are_known and not self.wire.breaker.is_open
            await asyncio.sleep(_MEASURE_EVERY_S if is_well else _LOOK_AGAIN_AFTER_S)
            is_well = await self.wire.measure_clock()
            if not is_well:
                continue
            rules_in -= 1
            if rules_in <= 0 or self.rules.untold:  # it may have been said by mistake
                await self.rules.load()
                rules_in = _MEASUREMENTS_A_RULE
                self._begin_pushing()
            if self.wire.order_breaker.is_open:
                await self._stops_work()  # changes nothing, and is answered by who takes orders
            if self.wire.read_breaker.is_open:
                await self.wire.ask(okx.CONFIG)

    def _begin_pushing(self) -> None:
        """Start the stream once the venue's rules are known: its rows count contracts."""
        is_early = self._on_update is None or not self.rules.are_known
        if self._stream_of is None or self._stream is not None or is_early:
            return
        assert self._on_update is not None  # or it would be early
        self._stream = self._stream_of(self, self._on_update)
        self._run(self._stream.run())


def _key_of_outside(each: OutsideFill) -> tuple[datetime, str, str]:
    return each.fill.at, each.fill.trade_id, each.fill.side.value


def _say_if_broken(task: asyncio.Task[None]) -> None:
    """Hand a bug to the loop's own handler at once; else nobody would hear of it."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        message = "the account's connection has a bug"
        task.get_loop().call_exception_handler({"message": message, "exception": error})


def _login_refusal(answer: Reply | Silence) -> Refused | None:
    """Return why the venue does not let us in; None when it does, or said nothing usable."""
    if isinstance(answer, Silence) or answer.verdict not in {Verdict.LOGIN, Verdict.SKEWED}:
        return None
    return okx.refusal(str(answer.payload.get("code")), answer.payload.get("msg"))
