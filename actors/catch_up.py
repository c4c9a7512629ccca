"""The catch-up actor: after a start, finds out what happened while nobody watched.

    wait until the venue has told of orders and fills, so that an exit knows what is left to sell
    → wait until a price of the symbol is there, so that it has a market to go to
    → ask the venue for candles from the last sign of life until now
    → each position judges them and fires what they prove to be crossed
    → one line in the log, one event in the feed's stream, and entries are allowed

The levels have been armed all the time: a live price beyond one fires whatever candles say. Where
the venue cannot be asked, that is all there is, and the log says so. It lives until it is done.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from actors import names
from actors.messages import ClearCause, OfflineTold, SetCause
from actors.world import PriceBoard, World
from domain.candles import Candle, Timeframe
from domain.downtime import needed, pieces
from domain.extremes import Extremes
from domain.feed_state import Downtime, DowntimeChecked
from domain.ids import PositionId, Symbol
from domain.inputs import Offline
from domain.instrument import Direction, PriceSource
from domain.modes import Mode, ModeCause
from domain.position import Position
from domain.position_draft import HOLDS
from domain.protection import BREAKEVEN, STOP, TRAIL
from exchanges.market_reads import MarketReads
from exchanges.port import Unknown
from runtime.actor import Actor, handles

log = structlog.get_logger("market.data")
CATCHING_UP = "CATCHING_UP"
DOWNTIME_UNCHECKED = "DOWNTIME_UNCHECKED"
AT_ONCE = 4  # symbols; the venue gets no more questions at a time
PRICE_WITHIN_S = 10.0
TOLD_WITHIN_S = 5.0
TRY_AGAIN_AFTER_S = (1.0, 3.0)
_LOOK_EVERY_S = 0.1
MINUTE = Timeframe(60_000)
_CATCHING_UP = ModeCause(
    code=CATCHING_UP,
    mode=Mode.NO_ENTRY,
    message="The venue is asked what happened while the daemon was down.",
    way_out="It ends by itself within seconds, after weeks within minutes.",
)
_CLOCK_SET_BACK = "the clock was set back since, so nobody knows how long it was"
_NOBODY_TO_ASK = "nobody can be asked: market.url is set, market.rest_url is not"
_NO_PROOF = "no candles tell of the price that an exit watches"


class CatchUpActor(Actor):
    """Checks the downtime before this start, once."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.awaited: dict[PositionId, Symbol] = {}
        self.crossed: Counter[str] = Counter()
        self.unchecked: dict[Symbol, str] = {}
        self.failed: dict[Symbol, str] = {}  # of these: though there is a history to ask for
        self.places = asyncio.Semaphore(AT_ONCE)

    def on_start(self) -> None:
        """Hold entries back and begin; nothing to do means nothing to say."""
        alive_at, reads = self._alive_at(), self.world.reads
        positions = self._positions()
        if alive_at is None or not positions:
            self.tell(names.PORTFOLIO, ClearCause(CATCHING_UP))  # an incarnation may have set it
            self.stop()
            return
        if reads is None:
            for symbol in positions:
                self._fail(symbol, _NOBODY_TO_ASK)
            now, now_s = self.world.clock.now(), self.world.clock.monotonic()
            self._finish(alive_at, now, now_s, positions)
            return
        if any(reads.timeframes(source) for source in PriceSource):
            self.tell(names.PORTFOLIO, SetCause(_CATCHING_UP))
        self.run(self._catch_up(alive_at, reads, positions))

    def _alive_at(self) -> datetime | None:
        """Return the last sign of the life before, as the feed has found it."""
        _, state = self.world.states.latest.get(names.feed(self.world.venue), (0, None))
        return None if state is None else state.unchecked_since

    def _ahead(self, now_ahead_ms: int) -> timedelta:
        """Return how far the venue's clock was ahead of the stamps of the life before.

        Ours may have been set since. A life that did not note it: as far as it is now.
        """
        _, state = self.world.states.latest[names.feed(self.world.venue)]
        noted_ms = state.unchecked_ahead_ms
        return timedelta(milliseconds=now_ahead_ms if noted_ms is None else noted_ms)

    def _positions(self) -> dict[Symbol, list[Position]]:
        found: dict[Symbol, list[Position]] = {}
        for position in self.world.states.latest_of("position"):
            if position.status in HOLDS:
                found.setdefault(position.instrument.symbol, []).append(position)
        return found

    async def _catch_up(
        self,
        alive_at: datetime,
        reads: MarketReads,
        positions: Mapping[Symbol, Sequence[Position]],
    ) -> None:
        started_at, started_s = self.world.clock.now(), self.world.clock.monotonic()
        while not self.world.is_reconciled:  # noqa: ASYNC110 - no order could leave anyway
            await asyncio.sleep(_LOOK_EVERY_S)
        await asyncio.gather(
            *(self._check(symbol, held, alive_at, reads) for symbol, held in positions.items())
        )
        deadline_s = self.world.clock.monotonic() + TOLD_WITHIN_S
        while self.awaited and self.world.clock.monotonic() < deadline_s:  # noqa: ASYNC110 - briefly
            await asyncio.sleep(_LOOK_EVERY_S)
        for symbol in self.awaited.values():
            self._fail(symbol, "a position did not answer")
        self._finish(alive_at, started_at, started_s, positions)

    def _finish(
        self,
        alive_at: datetime,
        started_at: datetime,
        started_s: float,
        positions: Mapping[Symbol, Sequence[Position]],
    ) -> None:
        """Put together what was found."""
        self._conclude(
            Downtime(
                began=self._began(alive_at, started_at, started_s),
                until=started_at,
                positions=sum(len(held) for held in positions.values()),
                stops=self.crossed[STOP],
                trails=self.crossed[TRAIL],
                breakevens=self.crossed[BREAKEVEN],
                targets=self.crossed.total()
                - sum(self.crossed[each] for each in (STOP, TRAIL, BREAKEVEN)),
                unchecked=self.unchecked,
            )
        )

    def _began(self, alive_at: datetime, started_at: datetime, started_s: float) -> datetime:
        """Return the last sign of life by the clock as it is now, if the venue's tells."""
        _, state = self.world.states.latest[names.feed(self.world.venue)]
        heard_ms = self.world.prices.heard_venue_ms()
        if heard_ms is None or state.unchecked_ahead_ms is None:
            return min(alive_at, started_at)
        since_s = self.world.clock.monotonic() - started_s
        alive_ms = int(alive_at.timestamp() * 1000) + state.unchecked_ahead_ms
        passed_s = (heard_ms - alive_ms) / 1000 - since_s
        return started_at - timedelta(seconds=max(0.0, passed_s))

    async def _check(
        self, symbol: Symbol, held: Sequence[Position], alive_at: datetime, reads: MarketReads
    ) -> None:
        """Ask for one symbol and tell its positions."""
        prices = self.world.prices
        sources = frozenset().union(*(needed(position) for position in held))
        if None in sources:
            self.unchecked[symbol] = _NO_PROOF
        asked = [source for source in sources if source is not None]
        if not any(reads.timeframes(source) for source in asked):
            await self._ask_why(symbol, asked, reads)
            return
        deadline_s = self.world.clock.monotonic() + PRICE_WITHIN_S
        while (  # noqa: ASYNC110 - many prices, one look; briefly
            not _tells_time(prices, symbol) and self.world.clock.monotonic() < deadline_s
        ):
            await asyncio.sleep(_LOOK_EVERY_S)
        now = self.world.clock.now()
        now_ms = prices.venue_ms()
        ahead = self._ahead(now_ms - int(now.timestamp() * 1000))
        begin_ms = int((alive_at + ahead).timestamp() * 1000)
        if begin_ms > now_ms:
            self._fail(symbol, _CLOCK_SET_BACK)
            return
        candles: dict[PriceSource, Sequence[Candle]] = {}
        for source in asked:
            async with self.places:
                found = await self._candles(reads, symbol, source, begin_ms, now_ms + 1)
            if isinstance(found, Unknown):
                self._fail(symbol, found.why)
            else:
                candles[source] = found
        if not candles:
            return
        for position in held:
            best = self._best_before(position, alive_at)
            offline = Offline(position.id, alive_at, now, ahead, candles, prices.frames, best)
            if self.tell(names.position(position.id), offline) is not False:  # else it is over
                self.awaited[position.id] = symbol

    def _best_before(self, position: Position, alive_at: datetime) -> Decimal | None:
        """Return the best price for a trail that the feed had journaled by then."""
        trail = position.protection.trail
        _, state = self.world.states.latest.get(names.feed(self.world.venue), (0, None))
        if trail is None or trail.since is None or state is None:
            return None
        seen: Extremes = state.of(position.instrument.symbol, trail.watches)
        low, high = seen.between(trail.since, alive_at)
        return high if position.direction is Direction.LONG else low

    async def _candles(
        self, reads: MarketReads, symbol: Symbol, source: PriceSource, begin_ms: int, end_ms: int
    ) -> Sequence[Candle] | Unknown:
        lengths = reads.timeframes(source)
        if not lengths:
            return Unknown(f"there are no candles of the {source.value} price")
        found: list[Candle] = []
        for timeframe, begin, end in pieces(begin_ms, end_ms, lengths):
            piece = await reads.candles(symbol, timeframe, begin, end, source)
            for wait_s in TRY_AGAIN_AFTER_S:
                if not isinstance(piece, Unknown):
                    break
                await asyncio.sleep(wait_s)
                piece = await reads.candles(symbol, timeframe, begin, end, source)
            if isinstance(piece, Unknown):
                return piece
            found += piece
        return found

    async def _ask_why(
        self, symbol: Symbol, sources: Sequence[PriceSource], reads: MarketReads
    ) -> None:
        """Let a venue without a history say so."""
        for source in sources:
            found = await reads.candles(symbol, MINUTE, 0, 1, source)
            if isinstance(found, Unknown):
                self.unchecked[symbol] = found.why

    def _fail(self, symbol: Symbol, why: str) -> None:
        self.unchecked[symbol] = self.failed[symbol] = why

    @handles(OfflineTold)
    def on_told(self, told: OfflineTold) -> None:
        """A position has judged."""
        if self.awaited.pop(told.position_id, None) is not None:
            self.crossed.update(told.crossed)

    def _conclude(self, downtime: Downtime) -> None:
        """Say once what came of it, keep it, and let entries go on."""
        log.info(
            "downtime_checked",
            offline_s=round(downtime.offline_s, 3),
            positions=downtime.positions,
            stops=downtime.stops,
            trails=downtime.trails,
            targets=downtime.targets,
            breakevens=downtime.breakevens,
            unchecked=downtime.unchecked,
        )
        if self.failed:
            reasons = ", ".join(sorted(set(self.failed.values())))
            self.world.telemetry.alarm(DOWNTIME_UNCHECKED, reasons)
        self.tell(names.FEED, DowntimeChecked(downtime))
        self.tell(names.PORTFOLIO, ClearCause(CATCHING_UP))
        self.stop()


def _tells_time(prices: PriceBoard, symbol: Symbol) -> bool:
    """Whether there is a price, and the venue's time or nobody to tell it: it was asked for."""
    price = prices.prices[symbol]
    return bool(price.last) and (prices.is_heard() or bool(price.asked_for))
