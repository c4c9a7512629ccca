"""What every actor may look at.

Clock, ids, rules, the latest states, prices, and where telemetry goes.

Each of these has one writer. A stream's owner writes its latest state, the persistence actor the
durable ones, the feed the prices; everybody else reads immutable values.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import inf
from typing import Any, Protocol

from actors import names
from actors.failures import FailureBook
from actors.latency import LatencyBook
from actors.venue_link import VenueLink
from domain.errors import Refusal
from domain.extremes import Extremes
from domain.freshness import Trust
from domain.ids import AccountName, PositionId, Symbol
from domain.instrument import Direction, Instrument, PriceSource
from domain.modes import ModeCause
from domain.modifications import NO_MARKET, Market
from domain.portfolio_state import Portfolio
from domain.position import Position
from domain.position_draft import PositionRules
from domain.reconciliation import Seen
from domain.risk import AccountLimits
from exchanges.market_reads import MarketReads
from runtime.ports import Clock, Ids
from runtime.time_limit import NoLimit, TimeLimit

AHEAD_MS = 60_000  # a stamp further ahead of both clocks, the venue's and ours, is wrong
MARK_BEHIND_S = 30.0  # venues tell a mark every ten seconds at least; then it is left behind
LEAP_RATIO = 0.01  # quotes further from those before may be wrong …
LEAP_STANDS_S = 0.3  # … until one this much later says so too, as a suspected spike of a trade
QUIET_IS_GOOD_S = 30.0  # a quiet price that was not confirmed for so long is none to rely on


@dataclass(slots=True)
class Price:
    """The prices of one symbol as last received; written by the feed alone."""

    last: str = ""  # the venue's text; empty: none yet
    bid: str = ""
    ask: str = ""
    mark: str = ""
    received: float = -1e9  # monotonic seconds of the last tick
    event_ms: int = 0  # venue time of the last tick that had one
    stamped: float = -1e9  # monotonic seconds of that
    told: str = ""  # the last price that the stream told; `last` may have been asked for
    new: float = -inf  # monotonic seconds of the last one that differed from the one before
    trust: Trust | None = None  # None: nobody checks it against the venue
    why: str = ""  # of a price that is stale
    since: float = -inf  # monotonic seconds since when it is
    checked: float = -1e9  # monotonic seconds of the last answer that agreed
    asked_for: str = ""  # the last price that the venue named when asked
    asked: float = -inf  # monotonic seconds of that
    traded: float = -inf  # monotonic seconds of the last trade, quote, mark
    quoted: float = -inf
    marked: float = -inf
    leapt: float = -inf  # monotonic seconds of the last quotes that were far from those before
    ask_from: float = inf  # quotes below or above these are
    bid_to: float = -inf

    def on_quote(self, bid: str, ask: str, now_s: float) -> None:
        """Take the best quotes."""
        if float(ask) < self.ask_from or float(bid) > self.bid_to:
            self.leapt = now_s if self.bid else -inf  # the first ones have none before them
            self.ask_from = float(ask) * (1 - LEAP_RATIO)
            self.bid_to = float(bid) * (1 + LEAP_RATIO)
        self.bid = bid
        self.ask = ask
        self.received = self.quoted = now_s

    @property
    def is_stale(self) -> bool:
        """Whether nobody may rely on it: found stale, and the stream told no new price since."""
        return self.trust is Trust.STALE and self.new <= self.since

    @property
    def value(self) -> str:
        """What one base unit is worth; empty: not known."""
        if self.source == "fallback":
            return self.last
        is_behind = bool(self.last) and self.traded - self.marked > MARK_BEHIND_S
        return self.mark if self.mark and not is_behind else self._within_quotes

    @property
    def _within_quotes(self) -> str:
        """The last price; the ask or the bid where that has been told since and contradicts it.

        One trade far above the market would make a peak that nobody could have sold at, and the way
        back from it a drawdown: the kill switch would close everything. So would one wrong quote:
        those that leap count once others that come later say so, too.
        """
        if not (self.last and self.bid and self.ask) or self.quoted <= self.traded:
            return self.last
        if self.quoted - self.leapt < LEAP_STANDS_S:
            return self.last
        last, bid, ask = float(self.last), float(self.bid), float(self.ask)
        if not 0 < bid <= ask or bid <= last <= ask:
            return self.last
        return self.ask if last > ask else self.bid

    @property
    def source(self) -> str:
        """Where the last price comes from: stream, fallback (asked for), quiet or stale."""
        if self.is_stale:
            return "fallback" if self.last and self.last == self.asked_for else "stale"
        return "quiet" if self.trust is Trust.QUIET else "stream"


class PriceBoard:
    """Latest prices by symbol."""

    def __init__(self, clock: Clock, symbols: tuple[Symbol, ...], stale_after_s: float) -> None:
        self._clock = clock
        self.stale_after_s = stale_after_s
        self.frames = 0  # received since the start
        self.prices: dict[Symbol, Price] = {symbol: Price() for symbol in symbols}

    def last(self, symbol: Symbol) -> Decimal | None:
        """Return the last trade price; None before the first."""
        price = self.prices.get(symbol)
        return Decimal(price.last) if price is not None and price.last else None

    def age_s(self, symbol: Symbol) -> float:
        """Return seconds since anything was received for the symbol."""
        return self._clock.monotonic() - self.prices[symbol].received

    def is_fresh(self, symbol: Symbol) -> bool:
        """Whether a decision may rely on the price: it is young, or the venue has confirmed it."""
        price = self.prices.get(symbol)
        if price is None or not price.last or price.is_stale:
            return False
        if price.trust is Trust.QUIET:
            return self._clock.monotonic() - price.checked < QUIET_IS_GOOD_S
        return self.age_s(symbol) < self.stale_after_s

    def venue_ms(self) -> int:
        """Estimate the venue's clock: ours, shifted by how far its last event was ahead of us."""
        now_ms = int(self._clock.now().timestamp() * 1000)
        mono = self._clock.monotonic()
        offsets = [
            price.event_ms - (now_ms - int((mono - price.stamped) * 1000))
            for price in self.prices.values()
            if price.event_ms
        ]
        return now_ms + max(offsets, default=0)

    def heard_venue_ms(self) -> int | None:
        """Estimate the venue's clock; None before it has told its time."""
        return self.venue_ms() if self.is_heard() else None

    def is_heard(self) -> bool:
        """Whether the venue has told its time."""
        return any(price.event_ms for price in self.prices.values())

    def latest_ms(self) -> int:
        """Return what no stamp of the venue can be above, by its clock and by ours."""
        return max(self.venue_ms(), int(self._clock.now().timestamp() * 1000)) + AHEAD_MS

    def why_not_fresh(self, symbol: Symbol) -> str:
        """Say why a decision may not rely on the price."""
        price = self.prices[symbol]
        if price.is_stale and price.why:
            return f"{price.why[0].upper()}{price.why[1:]}."
        return f"The last price of {symbol} is {self.age_s(symbol):.1f} s old."

    def market(self, symbol: Symbol) -> Market:
        """Return the price for a decision, and whether it is fresh."""
        last = self.last(symbol)
        return NO_MARKET if last is None else Market(last, self.is_fresh(symbol), self.frames)

    def mark(self, symbol: Symbol) -> Decimal | None:
        """Return the value of one base unit, as `marks` does; None before there is a price."""
        value = self.prices[symbol].value if symbol in self.prices else ""
        return Decimal(value) if value else None

    def marks(self) -> Mapping[Symbol, Decimal]:
        """Return the value of one base unit of every symbol that has a price.

        The mark, else the last, within the quotes that came after it. A mark that came with a
        stream that is stale is older than a last price that was asked for, and one that nobody
        tells any more is older than the last trade: a loss must not hide behind it.
        """
        return {
            symbol: Decimal(price.value) for symbol, price in self.prices.items() if price.value
        }


class StateBook:
    """The latest and the durable state of every stream.

    `latest` includes events that are still on their way to the disk: an actor restarted within the
    process goes on from there. What people see comes from `durable`.
    """

    def __init__(self) -> None:
        self.latest: dict[str, tuple[int, Any]] = {}
        self.durable: dict[str, tuple[int, Any]] = {}

    def of_kind(self, kind: str) -> list[Any]:
        """Return the durable states of one kind of stream."""
        prefix = kind + "/"
        return [state for name, (_, state) in self.durable.items() if name.startswith(prefix)]

    def latest_of(self, kind: str) -> list[Any]:
        """Return the latest states of one kind of stream."""
        prefix = kind + "/"
        return [state for name, (_, state) in self.latest.items() if name.startswith(prefix)]


class Telemetry(Protocol):
    """Where actors report what metrics count. Must be cheap and must not fail."""

    def order_sent(self, venue: str, order_type: str, status: str, seconds: float) -> None:
        """Count an order's outcome and the time from decision to answer."""

    def order_ended(self, venue: str, status: str) -> None:
        """Count an order's end."""

    def committed(self, rows: int, seconds: float) -> None:
        """Record a group commit."""

    def evaluated(self, result: str) -> None:
        """Count a strategy's evaluation."""

    def alarm(self, code: str, message: str) -> None:
        """Count an alarm."""


@dataclass(slots=True)
class World:
    """Handed to every actor at birth."""

    clock: Clock
    ids: Ids
    account: AccountName
    venue: str
    instruments: dict[Symbol, Instrument]  # rules of new entries; the venue check renews them
    prices: PriceBoard
    telemetry: Telemetry
    rules: PositionRules
    limits: AccountLimits
    states: StateBook = field(default_factory=StateBook)
    latency: LatencyBook = field(default_factory=LatencyBook)
    failures: FailureBook = field(default_factory=FailureBook)
    causes: dict[str, ModeCause] = field(default_factory=dict)  # of this run; the portfolio's
    extremes: dict[tuple[Symbol, PriceSource], Extremes] = field(default_factory=dict)  # durable
    time_limit: TimeLimit = field(default_factory=NoLimit)  # of a strategy's call
    entry_expires_s: float = 5.0
    is_reconciled: bool = False  # the venue has told what it knows; the exchange actor's
    started_at: datetime | None = None
    reads: MarketReads | None = None  # None: the venue cannot be asked
    watched_only: frozenset[Symbol] = frozenset()  # no entries in these
    booked: dict[Symbol, float] = field(default_factory=dict)  # last fill booked, monotonic seconds
    elsewhere: dict[Symbol, Decimal] = field(default_factory=dict)  # held besides ours, signed
    others: tuple[Seen, ...] = ()  # by reconciliation: what others traded, not booked
    quarantined: dict[Symbol, Refusal] = field(default_factory=dict)  # by reconciliation: why
    differing: frozenset[Symbol] = frozenset()  # by reconciliation: as last read, not ours alone
    lacking: frozenset[tuple[Symbol, Direction | None]] = frozenset()  # likewise: holds less; net
    holdings_at: datetime | None = None  # by reconciliation: when that read began; None: not yet
    shared: frozenset[Symbol] = frozenset()  # by reconciliation: others hold of it, too
    holdings_known: bool = True  # what the venue holds was read in this life
    barred: dict[Symbol, Refusal] = field(default_factory=dict)  # by the venue: no entries, and why
    unreadable: frozenset[str] = frozenset()  # streams that do not fold, positions left alone
    opening: Decimal | None = None  # quote: what the paper venue holds, for a new account
    is_distant: bool = False  # the account is at a real venue, over a line that may break
    link: VenueLink = field(default_factory=VenueLink)  # to a real venue
    on_stream_end: asyncio.Future[None] | None = None  # a recording has one, good or bad

    def portfolio(self) -> Portfolio | None:
        """Return the account as it is now; None before it is open."""
        portfolio: Portfolio | None = self.states.latest.get(
            names.portfolio(self.account), (0, None)
        )[1]
        return portfolio

    def position(self, position_id: PositionId) -> Position | None:
        """Return a position as it is now; None when there is none in memory."""
        position: Position | None = self.states.latest.get(names.position(position_id), (0, None))[
            1
        ]
        return position
