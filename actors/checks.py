"""Whether prices can be relied on: the feed's second opinion, asked for over REST.

The rules are in `domain.freshness`; this runs them. Once a second every symbol is looked at; those
that are due are asked for, a few at a time, positions first, so that a hundred quiet symbols cost
the venue no more than a few. A symbol that is stale goes on with the prices asked for: guards act
on them, entries do not.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from math import inf

import structlog

from actors.line import ASKED, PriceLine
from actors.world import World
from domain.freshness import (
    Answer,
    Freshness,
    FreshnessRules,
    Heard,
    Trust,
    answered,
    asked,
    is_due,
    is_same,
    look,
    reconnected,
)
from domain.ids import Symbol
from domain.instrument import PriceSource
from domain.money import plain
from exchanges.market import PriceListener
from exchanges.market_reads import BookRead, MarketReads, PriceRead

log = structlog.get_logger("market.data")
FEED_STALE = "FEED_STALE"
AT_ONCE = 6  # questions under way
UNHEARD_S = 15.0  # venues tell a mark every ten seconds at least
OTHERS_EVERY_S = 3.0
BLIND_AFTER_S = 30.0  # so long neither told nor answered: what watches it does not see
RENEW_EVERY_S = 30.0  # a stream that stays wrong is not connected anew faster


class PriceChecks:
    """Knows how far each symbol's price can be relied on. Owned by the feed."""

    def __init__(
        self,
        world: World,
        reads: MarketReads,
        lines: Mapping[Symbol, PriceLine],
        held: Counter[Symbol],
        listener: PriceListener | None,
        hold_back: Callable[[Symbol, str], None],
        max_silence_s: float,
    ) -> None:
        self._world = world
        self._reads = reads
        self._lines = lines
        self._listener = listener
        self._hold_back = hold_back  # a suspected spike waits
        self._rules = FreshnessRules(max_silence_s)
        self._now_s = world.clock.monotonic
        self.connected = False
        self._connected_s = -inf
        self.held = held  # armed positions
        self.known = {symbol: Freshness() for symbol in lines}
        self.answers: Counter[str] = Counter()  # "same", "other", "failed"
        self._renewed_s = -RENEW_EVERY_S
        self._warned: set[Symbol] = set()
        self._others_s: dict[Symbol, float] = {}  # when they were asked for, monotonic
        self._answered_s: dict[tuple[Symbol, PriceSource], float] = {}  # likewise
        self._blind: set[tuple[Symbol, PriceSource]] = set()  # said so
        for line in lines.values():
            self._show(line, Freshness())

    # --- the stream ---

    def on_connected(self) -> None:
        """What was missed is over: the prices told from now on are compared with it."""
        self.connected = True
        self._connected_s = self._now_s()
        for symbol, line in self._lines.items():
            line.asked_ms = 0  # a new stream tells nothing late
            line.book.told = line.book.last
            self.known[symbol] = reconnected(self.known[symbol])

    def on_disconnected(self) -> None:
        """Nothing is told any more."""
        self.connected = False
        for symbol in self._lines:
            self._note(symbol, look(self.known[symbol], self._heard(symbol), self._now_s()))

    # --- the second's beat ---

    def due(self) -> list[Symbol]:
        """Look at every symbol; return those to `ask` now."""
        now_s, rules = self._now_s(), self._rules
        waiting = []
        for symbol, line in self._lines.items():
            known = self.known[symbol]
            if known.trust is Trust.LIVE and now_s - line.book.new < rules.max_silence_s:
                continue  # most symbols, most of the time
            heard = self._heard(symbol)
            fresh = look(known, heard, now_s)
            self._note(symbol, fresh)
            if is_due(fresh, heard, now_s, rules):
                waiting.append((not heard.held, fresh.due_s, symbol))
        under_way = sum(1 for fresh in self.known.values() if fresh.asked_s is not None)
        chosen = [symbol for _, _, symbol in sorted(waiting)[: max(0, AT_ONCE - under_way)]]
        for symbol in chosen:
            self.known[symbol] = asked(self.known[symbol], now_s)
        return chosen

    def unheard(self) -> list[Symbol]:
        """Return symbols whose mark, bid or ask an exit watches and the stream tells no more.

        It may have lost that and go on with trades: their last price is no sign of it. What is
        stale is asked for anyway.
        """
        now_s = self._now_s()
        found = [
            symbol
            for symbol, positions in self.held.items()
            if positions
            and not self._is_stale(symbol)
            and now_s - self._others_s.get(symbol, -inf) >= OTHERS_EVERY_S
            and _has_unheard(self._lines[symbol], now_s)
        ]
        self._others_s |= dict.fromkeys(found, now_s)
        return found

    def renewal(self) -> str:
        """Return why the stream should be connected anew now; empty when it should not."""
        now_s = self._now_s()
        if not self.connected or now_s - self._renewed_s < RENEW_EVERY_S:
            return ""
        for symbol, fresh in self.known.items():
            if fresh.wants_renewal(now_s, self._rules):
                self._renewed_s = now_s
                return f"{symbol}: {fresh.why}"
        return ""

    async def ask(self, symbol: Symbol) -> None:
        """Ask the venue for the last price and act on what it says."""
        asked_ms = self._venue_ms(self._lines[symbol])
        answer = await self._reads.last(symbol)
        before, heard = self.known[symbol], self._heard(symbol)
        if isinstance(answer, PriceRead):
            price, why = answer.price, ""
        else:
            price, why = None, answer.why
        result = Answer(price, why)
        fresh = answered(before, result, heard, self._now_s(), self._rules)
        self._count(result, heard)
        self._note(symbol, fresh)
        line = self._lines[symbol]
        if fresh.trust is Trust.QUIET:
            line.book.checked = self._now_s()
        elif fresh.trust is Trust.STALE and isinstance(answer, PriceRead):
            self._act(line, answer, asked_ms)
            await self.ask_others(symbol)

    def _venue_ms(self, line: PriceLine) -> int:
        """Return the venue's time by its last tick of the symbol, at least; 0: there was none.

        A stamp that was wrong counts until the stream is connected anew, which it is as long as it
        disagrees.
        """
        book = line.book
        if not book.event_ms or book.traded < self._connected_s:
            return 0
        return book.event_ms + max(0, int((self._now_s() - book.received) * 1000))

    def _act(self, line: PriceLine, read: PriceRead, asked_ms: int) -> None:
        """Let a price that was asked for act on whoever waits for it."""
        board = self._world.prices
        event_ms = read.event_ms or board.venue_ms()
        if self._listener is not None:
            self._listener.on_trade(line.symbol, read.price, "", ASKED, event_ms)
        if not line.book.told and self.connected:
            line.book.told = read.price  # from here on the stream is compared with it
        if line.on_asked(read.price, event_ms, board.frames, self._now_s(), asked_ms):
            self._hold_back(line.symbol, read.price)

    async def ask_others(self, symbol: Symbol) -> None:
        """Ask for bid, ask and mark as well where an exit watches them.

        What the stream told since the question is newer than the answer.
        """
        board, line = self._world.prices, self._lines[symbol]
        if not self.held[symbol]:
            return
        if PriceSource.MARK in line.others:
            asked_s = self._now_s()
            mark = await self._reads.mark(symbol)
            self._note_other(line, PriceSource.MARK, is_answered=isinstance(mark, PriceRead))
            if isinstance(mark, PriceRead) and line.book.marked < asked_s:
                event_ms = mark.event_ms or board.venue_ms()
                line.on_asked_other(PriceSource.MARK, mark.price, event_ms, board.frames)
        if PriceSource.BID in line.others or PriceSource.ASK in line.others:
            asked_s = self._now_s()
            book = await self._reads.book(symbol, 1)
            for source in (PriceSource.BID, PriceSource.ASK):
                self._note_other(line, source, is_answered=isinstance(book, BookRead))
            if isinstance(book, BookRead) and line.book.quoted < asked_s:
                event_ms = book.event_ms or board.venue_ms()
                for source, levels in ((PriceSource.BID, book.bids), (PriceSource.ASK, book.asks)):
                    line.on_asked_other(source, plain(levels[0].price), event_ms, board.frames)

    def _note_other(self, line: PriceLine, source: PriceSource, *, is_answered: bool) -> None:
        """Say it, once, where an exit watches what has neither been told nor answered for long."""
        if not _is_watched(line, source):
            return
        symbol, now_s = line.symbol, self._now_s()
        key = symbol, source
        if is_answered:
            self._answered_s[key] = now_s
        known_s = max(_told_s(line, source), self._answered_s.get(key, -inf), self._connected_s)
        if now_s - known_s <= BLIND_AFTER_S:
            self._blind.discard(key)
        elif key not in self._blind:
            self._blind.add(key)
            log.warning("price_unheard", symbol=symbol, source=source.value)
            text = f"{symbol}: nobody tells its {source.value} price, which an exit watches"
            self._world.telemetry.alarm(FEED_STALE, text)

    # --- what is known ---

    def _is_stale(self, symbol: Symbol) -> bool:
        return self.known[symbol].trust is Trust.STALE

    def _heard(self, symbol: Symbol) -> Heard:
        book = self._lines[symbol].book
        return Heard(
            price=book.told,
            new_s=book.new,
            any_s=book.received,
            connected=self.connected,
            held=self.held[symbol] > 0,
        )

    def _count(self, answer: Answer, heard: Heard) -> None:
        if answer.price is None:
            self.answers["failed"] += 1
        elif heard.price and is_same(answer.price, heard.price):
            self.answers["same"] += 1
        else:
            self.answers["other"] += 1

    def _note(self, symbol: Symbol, fresh: Freshness) -> None:
        """Keep what is known, show it, and say so where it changed for the worse or the better."""
        before = self.known[symbol]
        self.known[symbol] = fresh
        line = self._lines[symbol]
        self._show(line, fresh)
        if fresh.trust is before.trust:
            return
        if fresh.trust is Trust.STALE and self.connected and line.book.told:
            self._warned.add(symbol)
            log.warning("price_stale", symbol=symbol, why=fresh.why, positions=self.held[symbol])
            if self.held[symbol]:
                self._world.telemetry.alarm(FEED_STALE, f"{symbol}: {fresh.why}")
        elif before.trust is Trust.STALE and symbol in self._warned:
            self._warned.discard(symbol)
            log.info("price_reliable", symbol=symbol, trust=fresh.trust.value)

    def _show(self, line: PriceLine, fresh: Freshness) -> None:
        line.book.trust = fresh.trust
        line.book.why = fresh.why
        line.book.since = fresh.since_s


def _has_unheard(line: PriceLine, now_s: float) -> bool:
    return any(
        now_s - _told_s(line, source) > UNHEARD_S
        for source in line.others
        if _is_watched(line, source)
    )


def _is_watched(line: PriceLine, source: PriceSource) -> bool:
    """Whether anything waits for a level of it: what once did leaves its index behind."""
    return source in line.others and len(line.others[source][0]) > 0


def _told_s(line: PriceLine, source: PriceSource) -> float:
    """Return when the stream last told of it, monotonic."""
    return line.book.marked if source is PriceSource.MARK else line.book.quoted
