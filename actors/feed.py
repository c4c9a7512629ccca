"""The feed actor: owns the prices of one venue stream and the trigger index derived from them.

Ticks do not pass through its mailbox: the stream calls it for every frame, in arrival order, from
the socket's callback. When a tick wakes somebody, the dispatcher runs at once (`drain`), so that an
exit leaves before the next frame is read. Everything else (arming, subscriptions, the second's
beat) comes as messages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import structlog

from actors import names
from actors.arming import Arming
from actors.checks import PriceChecks
from actors.feed_memory import FeedMemory
from actors.journaled import Journaled
from actors.line import PriceLine
from actors.messages import (
    Beat,
    CandleClosed,
    ClearCause,
    FeedRestarted,
    Marks,
    NotArmed,
    SetCause,
    SettingsChanged,
    SubscribeCandles,
    WasStopped,
)
from actors.stamps import Stamps
from actors.standstill import STALE_FOR_S, STOPPED_S, WAS_STOPPED, Awake, cause
from actors.world import World
from domain.candles import Candle, Timeframe
from domain.downtime import began_at
from domain.effects import Arm, Disarm, RejectCrossing
from domain.feed_state import AnyFeedEvent, DowntimeChecked, DowntimeFound, FeedState, evolve
from domain.ids import PositionId, Symbol
from domain.inputs import Armed, Crossed
from domain.instrument import PriceSource
from domain.modes import Mode, ModeCause
from domain.plausibility import PriceGuard
from domain.position_draft import HOLDS
from domain.triggers import Hit
from exchanges.market import MarketStream, PriceListener
from runtime.actor import handles

log = structlog.get_logger("market.data")
FEED_DOWN = "FEED_DOWN"
BEAT_S = 1.0
CANDLE_GRACE_MS = 1000  # how long a quiet candle waits for a trade that is on its way
FORGET_EVERY_S = 600.0
BAD_FRAMES_TOLD_EVERY_S = 60.0


class _ReleaseHeld:
    """Message: a suspected spike has waited long enough."""

    __slots__ = ("symbol",)
    lane = 1

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol


class FeedActor(Journaled):
    """Owns last, bid, ask, mark, candles and triggers of one stream."""

    def __init__(
        self,
        world: World,
        stream: MarketStream,
        *,
        listener: PriceListener | None = None,
        spike_ratio: float = 0.03,
        spike_hold_s: float = 0.3,
        max_silence_s: float = 3.0,
    ) -> None:
        super().__init__(world)
        self.source = stream
        self.listener = listener  # the paper venue sees each price before the positions do
        self.stream = self.open_stream(names.feed(world.venue))
        self.bad_frames = 0
        self.last_bad_frame = ""  # what was wrong with it
        self.told_bad_s = -BAD_FRAMES_TOLD_EVERY_S
        self.stamps = Stamps(world.clock, world.prices)
        self.connected = False
        self.now_s = self.beat_s = world.clock.monotonic()
        self.armed_since: dict[PositionId, datetime] = {}  # until the position is over
        self.subscribers: dict[tuple[Symbol, Timeframe], list[str]] = {}
        self.woke = False
        self.spike_hold_s = spike_hold_s
        self.forgot_s = self.now_s
        self.memory = FeedMemory(
            world.clock,
            world.prices.heard_venue_ms,
            lambda: self._state,
            self._record,
            self.armed_since,
        )
        self.lines = {
            symbol: PriceLine(
                symbol,
                world.prices.prices[symbol],
                PriceGuard(spike_ratio, spike_hold_s),
                self._on_hits,
                self._on_candles,
                self.memory.stamp,
            )
            for symbol in world.instruments
        }
        self.memory.lines = self.lines
        self.arming = Arming(self.lines, self.memory, self.armed_since)
        self.checks: PriceChecks | None = None  # where the venue can be asked
        if world.reads is not None:
            self.checks = PriceChecks(
                world,
                world.reads,
                self.lines,
                self.arming.held,
                listener,
                self._hold_back,
                max_silence_s,
            )
        self.reader: asyncio.Task[Any] | None = None

    @property
    def _state(self) -> FeedState:
        return self.stream.state or FeedState()

    def on_start(self) -> None:
        """Begin to read; entries wait until the stream is up."""
        if self.incarnation == 1:
            self._note_downtime()
        self.every(BEAT_S, Beat())
        self.tell(names.PORTFOLIO, ClearCause(WAS_STOPPED))  # of a life before
        self.tell(names.PORTFOLIO, SetCause(_down("The market data stream is connecting.")))
        self.reader = self.run(self._read())
        if self.incarnation > 1:
            self.tell_positions(FeedRestarted())

    def on_stop(self) -> None:
        """Leave to the next life what was seen since the last beat, and until when."""
        self.memory.report(last=True)

    async def _read(self) -> None:
        end = self.world.on_stream_end
        if end is None:
            await self.source.run(self)  # never returns; an error crashes and restarts the feed
            return
        try:
            await self.source.run(self)
        except Exception as error:  # noqa: BLE001 - a recording cannot be read again from there
            end.set_exception(error)
        else:
            end.set_result(None)

    # --- the stream's calls (MarketSink) ---

    def on_frame(self) -> None:
        """Count a frame and note when it came."""
        self.world.prices.frames += 1
        self.now_s = now_s = self.world.clock.monotonic()
        if now_s - self.beat_s > STOPPED_S:
            self._was_stopped(now_s)

    def on_trade(
        self, symbol: Symbol, price: str, quantity: str, trade_id: str, event_ms: int
    ) -> None:
        """Let a trade price act."""
        if event_ms > self.stamps.believed_ms:
            event_ms = self._believed_ms(symbol, event_ms)
        line = self.lines[symbol]
        if event_ms < line.asked_ms and line.is_late(event_ms, self.now_s):
            line.on_late_trade(price, quantity, event_ms)
            return
        if self.listener is not None:
            self.listener.on_trade(symbol, price, quantity, trade_id, event_ms)
        if line.on_trade(price, quantity, trade_id, event_ms, self.world.prices.frames, self.now_s):
            self._hold_back(symbol, price)
        if self.woke:
            self._let_act()

    def _believed_ms(self, symbol: Symbol, event_ms: int) -> int:
        """Return a stamp; 0 instead of one that lies in the future.

        The price acts all the same: a stop must not wait until clocks are right.
        """
        ahead_s = self.stamps.ahead_s(event_ms)
        if not ahead_s:
            return event_ms
        self.on_bad_frame(f"{symbol}: a stamp {ahead_s:.0f} s in the future; its price acts")
        return 0

    def _hold_back(self, symbol: Symbol, price: str) -> None:
        self.after(self.spike_hold_s, _ReleaseHeld(symbol))
        log.warning("spike_held", symbol=symbol, price=price)

    def on_quote(self, symbol: Symbol, bid: str, ask: str, update_id: str, event_ms: int) -> None:
        """Let bid and ask act."""
        if event_ms > self.stamps.believed_ms:
            event_ms = self._believed_ms(symbol, event_ms)
        line = self.lines[symbol]
        if event_ms < line.asked_ms and line.is_late(event_ms, self.now_s):
            return
        if self.listener is not None:
            self.listener.on_quote(symbol, bid, ask, update_id, event_ms)
        line.on_quote(bid, ask, update_id, event_ms, self.world.prices.frames, self.now_s)
        if self.woke:
            self._let_act()

    def on_mark(self, symbol: Symbol, price: str, event_ms: int) -> None:
        """Let the mark price act."""
        if event_ms > self.stamps.believed_ms:
            event_ms = self._believed_ms(symbol, event_ms)
        line = self.lines[symbol]
        if event_ms < line.asked_ms and line.is_late(event_ms, self.now_s):
            return
        if self.listener is not None:
            self.listener.on_mark(symbol, price, event_ms)
        line.on_mark(price, event_ms, self.world.prices.frames, self.now_s)
        if self.woke:
            self._let_act()

    def on_connected(self) -> None:
        """Entries may go on; what was missed leaves a hole in the candles."""
        self.connected = True
        log.info("connected", venue=self.world.venue, symbols=len(self.lines))
        until = self.world.prices.venue_ms()
        for line in self.lines.values():
            line.candles.unseen_until(until)
        if self.checks is not None:
            self.checks.on_connected()
        self.tell(names.PORTFOLIO, ClearCause(FEED_DOWN))

    def on_disconnected(self, why: str) -> None:
        """Open nothing until it is back."""
        self.connected = False
        if self.checks is not None:
            self.checks.on_disconnected()
        log.warning("disconnected", venue=self.world.venue, why=why)
        if self.armed_since:
            watched = len(self.armed_since)
            instead = "nobody watches" if self.checks is None else "only prices asked for guard"
            self.world.telemetry.alarm(FEED_DOWN, f"{instead} {watched} positions: {why}")
        self.tell(names.PORTFOLIO, SetCause(_down(f"The market data stream is down: {why}.")))

    def on_bad_frame(self, why: str) -> None:
        """Count a frame nobody can use; log one a minute at most, with the count."""
        self.bad_frames += 1
        self.last_bad_frame = why
        if self.now_s - self.told_bad_s >= BAD_FRAMES_TOLD_EVERY_S:
            self.told_bad_s = self.now_s
            log.warning("bad_frame", why=why, count=self.bad_frames)

    def _let_act(self) -> None:
        """Run whoever was woken before the next frame is read."""
        self.woke = False
        self.system.dispatcher.drain()

    def _on_hits(
        self,
        line: PriceLine,
        source: PriceSource,
        hits: Sequence[Hit],
        text: str,
        tick_id: str,
        event_ms: int,
        frame: int,
    ) -> None:
        price = Decimal(text)
        at = datetime.fromtimestamp(event_ms / 1000, UTC) if event_ms else self.world.clock.now()
        for hit in hits:
            low, high = self.memory.extremes(line, source, self.armed_since.get(hit.key))
            crossed = Crossed(
                position_id=hit.key,
                exit_id=hit.exit_id,
                version=hit.version,
                price=price,
                source=source,
                frame=frame,
                tick_id=tick_id,
                at=at,
                best=None if hit.best is None else Decimal(hit.best),
                low=low,
                high=high,
            )
            self.tell(names.position(hit.key), crossed)
        self.woke = True

    def _on_candles(self, closed: Sequence[Candle]) -> None:
        for candle in closed:
            for name in self.subscribers.get((candle.symbol, candle.timeframe), ()):
                self.tell(name, CandleClosed(candle))
                self.woke = True

    @handles(_ReleaseHeld)
    def on_release_held(self, message: _ReleaseHeld) -> None:
        """A suspected spike was not contradicted in time."""
        self.lines[message.symbol].release_held(self.world.clock.monotonic())

    # --- arming ---

    @handles(Arm)
    def on_arm(self, arm: Arm) -> None:
        """Watch these levels instead of any before; a price already beyond one reports it.

        What cannot be watched concerns its position alone: that is told, the others stay guarded.
        """
        # What is armed at once was watched when the present price came: only the next one counts.
        counts = not arm.at_once and self.world.prices.is_fresh(arm.symbol)
        try:
            since = self.arming.arm(arm)
            beyond = tuple(self.arming.beyond(arm)) if counts else ()
        except Exception as error:  # noqa: BLE001 - a bug, in the levels of one position
            self._cannot_arm(arm, error)
            return
        self.tell(names.position(arm.position_id), Armed(arm.position_id, arm.version, since))
        line, frame = self.lines[arm.symbol], self.world.prices.frames
        for source, hits, text in beyond:
            self._on_hits(line, source, hits, text, "armed", line.book.event_ms, frame)
        self.woke = False  # this is a handler: the dispatcher runs anyway

    def _cannot_arm(self, arm: Arm, error: Exception) -> None:
        """Confirm nothing and watch none of them; what follows is the position's to decide."""
        self.arming.give_up(arm)
        log.error("arming_failed", position_id=arm.position_id, symbol=arm.symbol, exc_info=error)
        text = f"the levels of position {arm.position_id} cannot be watched: {error!r}"
        self.world.telemetry.alarm("NOT_ARMED", text)
        self.tell(names.position(arm.position_id), NotArmed(arm.position_id, arm.version))

    @handles(Disarm)
    def on_disarm(self, disarm: Disarm) -> None:
        """Stop watching."""
        self.arming.disarm(disarm)

    @handles(RejectCrossing)
    def on_reject(self, reject: RejectCrossing) -> None:
        """The owner says it was none: watch on."""
        for index in self.lines[reject.symbol].indices():
            index.not_crossed(reject.position_id, reject.exit_id, reject.version)

    # --- what the next life must know ---

    def _note_downtime(self) -> None:
        """Journal, before anything else of this life, since when nobody has watched.

        One that was never checked, because that life ended first, goes on.
        """
        held = [each for each in self.world.states.latest_of("position") if each.status in HOLDS]
        began = began_at(self._state.stamp, held)
        if began is not None and self._state.unchecked_since is None:
            self._record(DowntimeFound(began, self._state.ahead_ms))

    @handles(DowntimeChecked)
    def on_downtime_checked(self, checked: DowntimeChecked) -> None:
        """Keep what became of a downtime."""
        self._record(checked)

    def _record(self, event: AnyFeedEvent) -> None:
        self.journal(self.stream, (event,), evolve)

    # --- the second's beat ---

    def _was_stopped(self, now_s: float) -> None:
        """Let nothing be opened on what has waited in the sockets."""
        seconds, self.beat_s = now_s - self.beat_s, now_s
        self.world.telemetry.alarm(WAS_STOPPED, f"the process stood still for {seconds:.0f} s")
        self.tell(names.PORTFOLIO, SetCause(cause(seconds)))
        self.tell(names.EXCHANGE, WasStopped(seconds))
        self.after(STALE_FOR_S, Awake())

    @handles(Awake)
    def on_awake(self, awake: Awake) -> None:
        """Entries may go on, unless something else stands against them."""
        del awake
        self.tell(names.PORTFOLIO, ClearCause(WAS_STOPPED))

    @handles(Beat)
    def on_beat(self, beat: Beat) -> None:
        """Journal extremes, close quiet candles, value accounts."""
        del beat
        self.system.wake()
        self.stamps.look_again()
        now_s = self.world.clock.monotonic()
        if now_s - self.beat_s > STOPPED_S:
            self._was_stopped(now_s)
        self.memory.report()
        if self.connected:
            until = self.world.prices.venue_ms() - CANDLE_GRACE_MS
            for line in self.lines.values():
                closed = line.candles.close_until(until)
                if closed:
                    self._on_candles(closed)
            self.woke = False
        self._check_prices()
        marks = self.world.prices.marks()
        if marks or self.armed_since:
            self.tell(names.PORTFOLIO, Marks(marks))
        self.beat_s = now_s
        if now_s - self.forgot_s > FORGET_EVERY_S:
            self.forgot_s = now_s
            self.memory.forget()

    @handles(SettingsChanged)
    def on_settings(self, changed: SettingsChanged) -> None:
        """Judge spikes by another ratio from now on."""
        for line in self.lines.values():
            line.guard.judge_by(changed.settings)

    def _check_prices(self) -> None:
        """Ask the venue about prices that the stream says nothing new of."""
        checks = self.checks
        if checks is None:
            return
        for symbol in checks.due():
            self.run(self._ask(checks.ask, symbol))
        for symbol in checks.unheard():
            self.run(self._ask(checks.ask_others, symbol))
        why = checks.renewal()
        if why:
            log.warning("stream_renewal", why=why)
            assert self.reader is not None  # since the start
            self.reader.cancel()
            self.on_disconnected(why)
            self.reader = self.run(self._read())

    async def _ask(self, question: Callable[[Symbol], Awaitable[None]], symbol: Symbol) -> None:
        await question(symbol)
        if self.woke:
            self._let_act()

    @handles(SubscribeCandles)
    def on_subscribe(self, subscribe: SubscribeCandles) -> None:
        """Build these candles and tell them to the subscriber."""
        timeframe = Timeframe.parse(subscribe.timeframe)
        for symbol in subscribe.symbols:
            self.lines[symbol].candles.add(timeframe)
            receivers = self.subscribers.setdefault((symbol, timeframe), [])
            if subscribe.subscriber not in receivers:
                receivers.append(subscribe.subscriber)

    def release(self, effect: Any) -> None:
        """A feed's events have no effects."""
        raise TypeError(f"a feed has no effect {type(effect).__name__}")


def _down(message: str) -> ModeCause:
    return ModeCause(
        code=FEED_DOWN,
        mode=Mode.NO_ENTRY,
        message=message,
        way_out="It ends by itself when the stream is back; `holdfast status` shows its age.",
    )
