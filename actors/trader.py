"""The trader actor: owns a strategy's memory and its wish to trade.

The portfolio decides what becomes of it.
"""

from datetime import datetime
from decimal import Decimal
from math import inf
from typing import Any

import structlog

from actors import names, wishes
from actors.approvals import addition_asked
from actors.attempts import judged
from actors.declines import COUNT_EVERY_S, Declines
from actors.journaled import Journaled
from actors.messages import (
    Answered,
    Beat,
    CandleClosed,
    EntryRefused,
    PauseTrader,
    RequestAddition,
    RequestApproval,
    ResumeTrader,
    SettingsChanged,
    SetTraderLimits,
    SubscribeCandles,
)
from actors.wishes import DECISION_EXPIRES_S
from actors.world import World
from domain.candles import Candle, Timeframe
from domain.commands import AddToPosition, ClosePosition, EntryRequest, ModifyProtection, Source
from domain.effects import AnnounceClosed, AnnounceOpened
from domain.errors import Refusal
from domain.ids import NO_REQUEST, DecisionId, PositionId, Symbol, TraderName
from domain.limit_changes import applied, too_many_said
from domain.money import ONE, ZERO
from domain.portfolio import equity
from domain.position import Position
from domain.protection import ExitReason
from domain.risk import TraderLimits
from domain.trader_state import (
    AnyTraderEvent,
    CooldownBegan,
    DecisionMade,
    DecisionRefused,
    StrategyAdvanced,
    StrategyHung,
    Trader,
    TraderConfigured,
    TraderPaused,
    TraderResumed,
    TraderSettings,
    change_limits,
    evolve,
    series_key,
)
from runtime.actor import Restarted, handles
from runtime.time_limit import OvertimeError
from strategies.base import Action, Decision, Strategy, View, checked

log = structlog.get_logger("trade.intent")
ENTRY_WITHIN_S = 30.0  # an entry nobody heard of for this long is no longer waited for
OLD_CANDLE_MS = 5_000  # so old, and as old as it is long, a candle opens nothing
PRICE_AGAIN_S = 0.2  # between looks for the first price of a symbol


class TraderActor(Journaled):
    """Owns one configured trader; without a strategy it serves a person."""

    def __init__(self, world: World, settings: TraderSettings, strategy: Strategy | None) -> None:
        super().__init__(world)
        self.settings = settings
        self.strategy = strategy
        self.stream = self.open_stream(names.trader(settings.name))
        self.memory: dict[Symbol, Any] = {}
        self.held: dict[Symbol, PositionId] = {}
        # What it asked for, and when (monotonic), until there is a position or a refusal.
        self.entering: dict[Symbol, tuple[PositionId, float]] = {}
        self.cooling: dict[Symbol, float] = {}  # since when, monotonic
        self.declines = Declines(world)

    @property
    def trader(self) -> Trader:
        """What is known of this trader."""
        return self.stream.state or Trader()

    @property
    def limits(self) -> TraderLimits:
        """What it may do: as configured, but for what a person has set."""
        return applied(self.settings.limits, self.trader.overrides)

    def on_start(self) -> None:
        """Remember; find own positions; ask for candles."""
        if self.strategy is None:
            return
        if self.trader.hung is None and self.world.time_limit.is_noted(self.settings.name):
            self._hung(killed=True)
        self._remember()
        for position in self.world.states.latest_of("position"):
            if position.trader == self.settings.name and not position.is_closed:
                self.held[position.instrument.symbol] = position.id
        self._cool_on()
        self._close_on()
        self.watch(names.FEED)
        self._subscribe()

    def _remember(self) -> None:
        """Give the strategy back what it made of each symbol, unless it is not asked any more."""
        strategy = self.strategy
        if strategy is None or self.trader.hung is not None:
            return
        saved = self.trader.saved
        try:
            self.memory = self.world.time_limit.call(
                self.settings.name,
                lambda: {symbol: strategy.restored(each) for symbol, each in saved.items()},
            )
        except OvertimeError as error:
            self._hung(error)

    def _hung(self, error: OvertimeError | None = None, *, killed: bool = False) -> None:
        """Ask the strategy no more: nobody was on guard while it ran. A person resumes it."""
        name = self.settings.name
        self.world.telemetry.evaluated("failed")
        log.error("strategy_hung", trader=name, killed=killed, exc_info=error)
        text = f"{name} is paused: its strategy did not come back; holdfast resume {name}"
        self.world.telemetry.alarm("STRATEGY_HUNG", text)
        self._record(StrategyHung(killed, self.world.clock.now()))

    def _close_on(self) -> None:
        """Tell a close again that was decided just before a crash: perhaps nobody was told.

        One of long ago that nobody was told is dropped, and a person hears of it.
        Where it was told, the position is closing, and takes it for the same. One of an older
        version may have been of a part, which the position would take for another one.
        """
        now = self.world.clock.now()
        for symbol, made in self.trader.closes.items():
            held = self._held(symbol)
            if made.part != ONE or held is None or held.id != made.position_id:
                continue
            close = wishes.closing(held.id, made.decision_id, made.at)
            if abs((now - made.at).total_seconds()) < DECISION_EXPIRES_S:
                self.on_close_again(close)
            elif not _was_told(held):
                self._drop(close)

    @handles(ClosePosition)
    def on_close_again(self, close: ClosePosition) -> None:
        """Tell a close that was decided before a crash, once there is a price to close at."""
        position = self.world.position(close.position_id)
        if position is None:
            return
        is_priced = self.world.prices.last(position.instrument.symbol) is not None
        if is_priced or _is_over(close, self.world.clock.now()):
            self.journal(self.stream, (), evolve, then=(close,))
        else:
            self.after(PRICE_AGAIN_S, close)

    def _cool_on(self) -> None:
        """Go on with cooldowns; what closed just before a crash may not have been journaled here.

        A wall clock that was set back meanwhile makes one longer, by no more than it lasts.
        """
        for position in self.world.states.latest_of("position"):
            if position.trader != self.settings.name or position.closed_at is None:
                continue
            if position.exit_reason is ExitReason.NEVER_FILLED:
                continue
            known = self.trader.cooling_since.get(position.instrument.symbol)
            if known is None or known < position.closed_at:
                self._begin_cooldown(position.instrument.symbol, position.closed_at)
        now, now_s = self.world.clock.now(), self.world.clock.monotonic()
        for symbol, since in self.trader.cooling_since.items():
            self.cooling[symbol] = now_s - max(0.0, (now - since).total_seconds())

    def _begin_cooldown(self, symbol: Symbol, at: datetime) -> None:
        if self.strategy is not None and self.settings.cooldown_s:
            self._record(CooldownBegan(symbol, at))

    def _subscribe(self) -> None:
        settings = self.settings
        more = () if self.strategy is None else self.strategy.timeframes
        for timeframe in dict.fromkeys((settings.timeframe, *more)):
            self.tell(names.FEED, SubscribeCandles(self.name, settings.symbols, timeframe))

    @handles(Restarted)
    def on_restarted(self, restarted: Restarted) -> None:
        """A restarted feed has forgotten its subscribers."""
        del restarted
        self._subscribe()

    # --- strategy ---

    @handles(CandleClosed)
    def on_candle(self, message: CandleClosed) -> None:
        """Let the strategy see a candle, remember what it made of it, act on what it wants."""
        candle = message.candle
        symbol = candle.symbol
        strategy = self.strategy
        series = str(candle.timeframe)
        if series == self.settings.timeframe:
            series = ""
        if strategy is None or self.trader.hung is not None or self._has_seen(candle, series):
            return
        view = self._view(symbol)
        if view is None:
            return
        try:
            state, saved, decision = self.world.time_limit.call(
                self.settings.name, lambda: self._evaluated(strategy, candle, view)
            )
        except OvertimeError as error:
            self._hung(error)
            return
        self.memory[symbol] = state
        now = self.world.clock.now()
        advanced = StrategyAdvanced(symbol, candle.close_ms, saved, now, series)
        wish = None if decision is None else self._wish(decision, view, candle)
        self.world.telemetry.evaluated("decision" if wish else "nothing")
        if wish is None:
            self._record(advanced)
            return
        made, then = wish
        log.info(
            "decision",
            decision_id=made.decision_id,
            trader=self.settings.name,
            symbol=symbol,
            action=made.action,
            rationale=made.rationale,
        )
        self._record(advanced, made, then=then)

    def _has_seen(self, candle: Candle, series: str) -> bool:
        """Whether the strategy knows this candle, or one after it.

        One of the future it cannot know: a wrong stamp of the venue had made that.
        """
        seen_ms = self.trader.seen_until_ms.get(series_key(candle.symbol, series), 0)
        if candle.close_ms > seen_ms:
            return False
        return seen_ms <= self.world.prices.latest_ms()

    def _evaluated(
        self, strategy: Strategy, candle: Candle, view: View
    ) -> tuple[Any, bytes, Decision | None]:
        """Ask the strategy; return its state, the same as bytes, and what it wants.

        One that fails is counted, and crashes this actor as any bug does. So does one whose state
        or decision the journal could not give back, and one that would end the process.
        """
        try:
            step = strategy.on_candle(self._remembered(strategy, candle), candle, view)
            saved = strategy.save(step.state)
            strategy.decoded(saved)
            return step.state, saved, None if step.decision is None else checked(step.decision)
        except SystemExit as error:
            self.world.telemetry.evaluated("failed")
            message = f"the strategy of trader {self.settings.name} called sys.exit()"
            raise RuntimeError(message) from error
        except Exception:
            self.world.telemetry.evaluated("failed")
            raise

    def _remembered(self, strategy: Strategy, candle: Candle) -> Any:
        """Return what the strategy remembers.

        Nothing where as many candles are missing as it looks back on: then all that it remembers is
        of another market, and the way from there to here would look like a move of this one.
        """
        symbol = candle.symbol
        if symbol not in self.memory:
            return strategy.initial()
        lengths = map(Timeframe.parse, (self.settings.timeframe, *strategy.timeframes))
        looks_back_ms = strategy.warm_up * max(lengths).ms
        keys = (series_key(symbol, series) for series in ("", *strategy.timeframes))
        missing_ms = candle.open_ms - max(self.trader.seen_until_ms.get(key, 0) for key in keys)
        if not 0 < looks_back_ms <= missing_ms:
            return self.memory[symbol]
        log.info(
            "strategy_begins_anew",
            trader=self.settings.name,
            symbol=symbol,
            missing_s=missing_ms / 1000,
        )
        return strategy.initial()

    def _view(self, symbol: Symbol) -> View | None:
        last = self.world.prices.last(symbol)
        if last is None:
            return None
        portfolio = self.world.portfolio()
        worth = ZERO if portfolio is None else equity(portfolio, self.world.prices.marks())
        is_asked = self._is_asked(symbol)
        held = self._held(symbol)
        is_pending = held is not None and not held.fills
        price = self.world.prices.prices[symbol]
        return View(
            symbol=symbol,
            now=self.world.clock.now(),
            last=last,
            equity=worth,
            bid=Decimal(price.bid) if price.bid else None,
            ask=Decimal(price.ask) if price.ask else None,
            held=None if held is None or is_pending else wishes.seen(held, last),
            is_entering=is_asked or is_pending,
        )

    def _is_asked(self, symbol: Symbol) -> bool:
        """Whether an entry is under way that has no position yet; the one of a position is held."""
        position_id, since_s = self.entering.get(symbol, (None, 0.0))
        if position_id is None:
            return False
        if self.world.position(position_id) is None:
            return self.world.clock.monotonic() - since_s < ENTRY_WITHIN_S
        self.held[symbol] = position_id
        del self.entering[symbol]
        return False

    def _held(self, symbol: Symbol) -> Position | None:
        position_id = self.held.get(symbol)
        if position_id is None:
            return None
        position = self.world.position(position_id)
        return None if position is None or position.is_closed else position

    def _wish(
        self, decision: Decision, view: View, candle: Candle
    ) -> tuple[DecisionMade, tuple[Any, ...]] | None:
        """Return what to keep of a decision and what to ask for.

        None when there is nothing to keep.
        """
        held = self._held(view.symbol)
        decision = wishes.on_grid(decision, self.world.instruments[view.symbol], held)
        decision_id = DecisionId(self.world.ids.uuid())
        position_id = view.held.position_id if view.held is not None else None
        if decision.action is Action.CLOSE and held is not None:
            position_id = held.id  # an entry of it that rests, too: it is canceled
        message: Any = None
        if decision.action in {Action.LONG, Action.SHORT}:
            position_id = PositionId(self.world.ids.uuid())
            request = wishes.entry(self.settings, decision, view, position_id, decision_id)
            refusal = self._why_not_now(candle) or self._why_not(view)
            if refusal is not None:
                self._decline(self._refused(request, refusal))
                return None
            message = RequestApproval(request, self.limits)
            self.entering[view.symbol] = position_id, self.world.clock.monotonic()
        elif decision.action is Action.ADD:
            if position_id is None:
                return None
            command = wishes.addition(self.settings, decision, view, position_id, decision_id)
            refusal = self._why_not_now(candle)
            if refusal is not None:
                asked = addition_asked(self.world, command)
                self._decline(self._refused(asked, refusal, is_addition=True))
                return None
            message = RequestAddition(command, self.limits)
        elif position_id is not None:
            message = wishes.change(decision, view, position_id, held, decision_id)
        made = DecisionMade(
            decision_id=decision_id,
            position_id=position_id,
            symbol=view.symbol,
            action=decision.action.value,
            confidence=decision.confidence,
            rationale=decision.rationale,
            price=view.last,
            plan=decision.plan,
            at=view.now,
            part=wishes.part_of(decision),
        )
        return made, (() if message is None else (message,))

    def _why_not_now(self, candle: Candle) -> Refusal | None:
        """Refuse whatever opens or enlarges.

        A stream that comes back closes the candles of its absence all at once: what was to be
        bought at one of those was to be bought then, not now.
        """
        if self.trader.paused:
            return _paused(self.settings.name)
        age_ms = self.world.prices.venue_ms() - candle.close_ms
        if age_ms <= max(candle.timeframe.ms, OLD_CANDLE_MS):
            return None
        return Refusal(
            "OLD_CANDLE",
            f"The candle of {candle.symbol} that it goes by closed {age_ms / 1000:.0f} s ago.",
            "The strategy may want it again at the next candle.",
        )

    def _why_not(self, view: View) -> Refusal | None:
        """Refuse an entry that the trader itself does not want now."""
        name, symbol = self.settings.name, view.symbol
        if not view.is_free:
            return Refusal(
                "ALREADY_IN_POSITION",
                f"Trader {name} has a position in {symbol}, or an entry under way.",
                "It may add to it, or wait until it is closed.",
            )
        passed_s = self.world.clock.monotonic() - self.cooling.get(symbol, -inf)
        left_s = self.settings.cooldown_s - passed_s
        if left_s > 0:
            return Refusal(
                "COOLDOWN",
                f"Trader {name} waits {left_s:.0f} s more after its last position in {symbol}.",
                "Ends by itself; cooldown in the configuration says how long it lasts.",
            )
        return None

    # --- what became of it ---

    @handles(EntryRefused)
    def on_refused(self, refused: EntryRefused) -> None:
        """Keep why an entry was not made."""
        request, refusal = refused.request, refused.refusal
        self._forget_wish(request.symbol, request.position_id)
        if self.strategy is not None and request.source is not Source.TERMINAL:
            self._note_refusal(request.position_id, request.decision_id, refusal)
        self._decline(refused)

    def _note_refusal(
        self, position_id: PositionId, decision_id: DecisionId | None, refusal: Refusal
    ) -> None:
        now = self.world.clock.now()
        self._record(DecisionRefused(position_id, refusal.rule, refusal.message, now, decision_id))

    def _forget_wish(self, symbol: Symbol, position_id: PositionId) -> None:
        """It has become a position or nothing; another one may have come after it."""
        if self.entering.get(symbol, (None,))[0] == position_id:
            del self.entering[symbol]

    def _decline(self, refused: EntryRefused) -> None:
        """Keep a refusal for the audit; one that repeats another is counted."""
        waits = self.declines.is_waiting
        declined = self.declines.of(self.trader, self.settings, refused)
        if declined:
            self._record(*declined)
        elif not waits:
            self.after(COUNT_EVERY_S, Beat())

    @handles(Beat)
    def on_beat(self, beat: Beat) -> None:
        """Journal how often refusals came again."""
        del beat
        self._record(*self.declines.counted())

    @handles(AnnounceOpened)
    def on_opened(self, opened: AnnounceOpened) -> None:
        """One of its positions has its first fill."""
        self.held[opened.symbol] = opened.position_id
        self._forget_wish(opened.symbol, opened.position_id)

    @handles(AnnounceClosed)
    def on_closed(self, closed: AnnounceClosed) -> None:
        """One of its positions is over."""
        self._forget_wish(closed.symbol, closed.position_id)
        if self.held.get(closed.symbol) == closed.position_id:
            del self.held[closed.symbol]
        self.cooling[closed.symbol] = self.world.clock.monotonic()
        if closed.reason is not ExitReason.NEVER_FILLED:  # then no longer than this life
            self._begin_cooldown(closed.symbol, self.world.clock.now())

    # --- people ---

    @handles(EntryRequest)
    def on_manual_entry(self, request: EntryRequest) -> None:
        """Ask the portfolio on a person's behalf."""
        if not self._is_paused(request):
            self.tell(names.PORTFOLIO, RequestApproval(request, self.limits))

    @handles(AddToPosition)
    def on_addition(self, command: AddToPosition) -> None:
        """Ask the portfolio to enlarge one of this trader's positions, on a person's behalf."""
        if not self._is_paused(addition_asked(self.world, command), is_addition=True):
            self.tell(names.PORTFOLIO, RequestAddition(command, self.limits))

    def _is_paused(self, request: EntryRequest, *, is_addition: bool = False) -> bool:
        """Whether this trader opens nothing now; then whoever asks is told."""
        if self.trader.paused:
            refusal = _paused(self.settings.name)
            if request.request_id != NO_REQUEST:
                self.tell(names.EDGE, Answered(request.request_id, refusal))
            self._decline(self._refused(request, refusal, is_addition=is_addition))
        return self.trader.paused

    def _refused(
        self, request: EntryRequest, refusal: Refusal, *, is_addition: bool = False
    ) -> EntryRefused:
        attempt = judged(self.world, request, refusal, self.world.clock.now())
        return EntryRefused(request, refusal, attempt, is_addition)

    @handles(SetTraderLimits)
    def on_set_limits(self, command: SetTraderLimits) -> None:
        """Override configured limits; nothing that is open is closed by it."""
        events = change_limits(
            self.trader,
            self.settings.limits,
            command.wanted,
            reset=command.reset,
            by=command.by,
            now=self.world.clock.now(),
        )
        if isinstance(events, Refusal):
            self.tell(names.EDGE, Answered(command.request_id, events))
            return
        note = "they were so already"
        if events:
            log.info("limits_changed", whose=self.settings.name, by=command.by)
            note = self._consequence(events[0].new.max_positions)
        self._record(*events, then=(Answered(command.request_id, note=note),))

    def _consequence(self, most: int) -> str:
        """Say what a new limit stops at once; empty when nothing."""
        portfolio = self.world.portfolio()
        holdings = () if portfolio is None else portfolio.holdings.values()
        return too_many_said(sum(each.trader == self.settings.name for each in holdings), most)

    @handles(PauseTrader)
    def on_pause(self, command: PauseTrader) -> None:
        """Open nothing new; what is open stays guarded."""
        if self.trader.paused:
            note = "it was paused already"
            self.tell(names.EDGE, Answered(command.request_id, note=note))
            return
        self._record(
            TraderPaused(command.by, self.world.clock.now()), then=(Answered(command.request_id),)
        )

    @handles(ResumeTrader)
    def on_resume(self, command: ResumeTrader) -> None:
        """May open again."""
        if not self.trader.paused:
            note = "it was not paused"
            self.tell(names.EDGE, Answered(command.request_id, note=note))
            return
        was_hung = self.trader.hung is not None
        self._record(
            TraderResumed(command.by, self.world.clock.now()), then=(Answered(command.request_id),)
        )
        if was_hung:
            self.world.time_limit.forget(self.settings.name)
            self._remember()

    @handles(SettingsChanged)
    def on_settings(self, changed: SettingsChanged) -> None:
        """Trade by other sizes and limits from now on; the journal tells since when."""
        self.settings = changed.settings
        self._record(TraderConfigured(changed.settings, self.world.clock.now()))

    def _drop(self, close: ClosePosition) -> None:
        """Make a close no more; what it was to close runs on to its guards, and a person hears."""
        position_id, name = close.position_id, self.settings.name
        log.warning(
            "close_expired", position_id=position_id, decision_id=close.decision_id, trader=name
        )
        self._note_refusal(position_id, close.decision_id, _EXPIRED)
        position = self.world.position(position_id)
        if position is not None and not position.is_closed:
            text = f"{name}'s close was dropped; by hand: holdfast close {position_id}"
            self.world.telemetry.alarm("CLOSE_EXPIRED", text)

    # --- journal ---

    def _record(self, *events: AnyTraderEvent, then: tuple[Any, ...] = ()) -> None:
        self.journal(self.stream, events, evolve, then)

    def release(self, effect: Any) -> None:
        """A decision is durable: ask for it."""
        match effect:
            case RequestApproval() | RequestAddition():
                self.tell(names.PORTFOLIO, effect)
            case ClosePosition() if _is_over(effect, self.world.clock.now()):
                self._drop(effect)
            case ClosePosition() | ModifyProtection():
                self.tell(names.position(effect.position_id), effect)
            case Answered():
                self.tell(names.EDGE, effect)
            case _:
                raise TypeError(f"a trader has no effect {type(effect).__name__}")


_EXPIRED = Refusal(
    "EXPIRED",
    f"The close could not be made within {DECISION_EXPIRES_S:.0f} s.",
    "The strategy may ask again at its next candle.",
)


def _is_over(close: ClosePosition, now: datetime) -> bool:
    """Whether a close was decided too long ago, on another market."""
    return close.expires_at is not None and now >= close.expires_at


def _was_told(position: Position) -> bool:
    """Whether a position knows that its trader does not want it any more."""
    wants_out = any(
        each.whole and each.reason is ExitReason.DECISION_CLOSE for each in position.exits
    )
    return wants_out or position.withdrawn is not None


def _paused(name: TraderName) -> Refusal:
    return Refusal(
        "TRADER_PAUSED", f"Trader {name} is paused.", f"Resume it: holdfast resume {name}"
    )
