"""The venue check: asks the venue what our login is and may do, and what can be traded.

At the start, after the private stream has logged in, and every few minutes. What is wrong is a
cause of NO_ENTRY with a name of its own, and ends by itself once the venue says so. Nothing here
stands in the way of guards and exits: a venue that is away is asked again, and again.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

import structlog
from msgspec.structs import replace

from actors import names
from actors.doubt import within
from actors.messages import CheckVenue, ClearCause, SetCause, VenueChecked
from actors.venue_causes import (
    ANSWERED,
    CLOCK_SKEW,
    VENUE_UNCHECKED,
    Held,
    causes_of,
    is_skewed,
    unchecked,
)
from actors.world import World
from domain.errors import Refusal
from domain.ids import Symbol
from domain.inputs import EXITS, GridTold
from domain.instrument import Instrument, Kind
from domain.modes import ModeCause
from domain.portfolio_cash import is_opened
from domain.portfolio_state import Portfolio
from domain.position import Position
from exchanges.own_account import OTHER_ACCOUNT
from exchanges.port import AccountFacts, DistantExchange, PositionMode, Unknown
from runtime.actor import Actor, handles
from runtime.timers import Timer

log = structlog.get_logger("trade.execution")
CHECK_EVERY_S = 180.0
TRY_AGAIN_AFTER_S = (1.0, 2.0, 5.0, 10.0, 30.0)
UNTOLD_AGAIN_AFTER_S = 0.05
CLOCK_EVERY_S = 2.0  # how often the measured clock is looked at: it may be set at any moment
NO_CAPS: Mapping[Symbol, Decimal] = {}
CONNECTED_WITHIN_S = 10.0  # the exchange actor says when; else it is asked all the same
PATIENCE = 2  # answers that may be lost in a row before a venue that was fine counts as down


class LookAgain:
    """Message: are rules and balance known by now?"""

    __slots__ = ()
    lane = EXITS


class LookAtClock:
    """Message: are the clocks as far apart as they were?"""

    __slots__ = ()
    lane = EXITS


class VenueCheckActor(Actor):
    """Watches one login at one venue."""

    def __init__(
        self,
        world: World,
        port: DistantExchange,
        clock_offset_s: Callable[[], float | None] = lambda: None,
        max_leverage: Mapping[Symbol, Decimal] = NO_CAPS,
    ) -> None:
        """`max_leverage`: what the configuration allows at most, whatever the venue does."""
        super().__init__()
        self.world = world
        self.port = port
        self.clock_offset_s = clock_offset_s
        self.max_leverage = max_leverage
        self.causes: dict[str, ModeCause] = {}  # that this actor has set
        self.mode: PositionMode | None = None  # when the positions that are held were opened
        self.failures = 0  # in a row
        self.is_asking = False
        self.again = False  # asked for while an answer was on its way
        self.timer: Timer | None = None

    def on_start(self) -> None:
        """Hold entries back until the venue has answered; it is asked once it is connected."""
        self._set((unchecked(),))
        for code in ANSWERED:  # an incarnation may have set it, and the answer decides anew
            self.tell(names.PORTFOLIO, ClearCause(code))
        self.every(CLOCK_EVERY_S, LookAtClock())
        if self.incarnation > 1:
            self._ask()
        else:
            self.timer = self.after(CONNECTED_WITHIN_S, CheckVenue())

    @handles(CheckVenue)
    def on_check(self, check: CheckVenue) -> None:
        """Ask now; one question at a time is enough."""
        del check
        self._ask()

    def _ask(self) -> None:
        if self.is_asking:
            self.again = True
            return
        self.is_asking = True
        if self.timer is not None:
            self.timer.cancel()
        self.run(self._look())

    async def _look(self) -> None:
        answer = await within(self.port.account())
        offset_s = self.clock_offset_s()
        self.tell(self.name, VenueChecked(answer, self.port.listed(), offset_s))

    @handles(VenueChecked)
    def on_checked(self, checked: VenueChecked) -> None:
        """Judge the answer; tell the portfolio what stands against entries, and what does not."""
        self.is_asking = False
        answer, link = checked.answer, self.world.link
        link.clock_offset_s = checked.clock_offset_s
        self.failures = self.failures + 1 if not isinstance(answer, AccountFacts) else 0
        was_fine = link.facts is not None and not self.causes
        if not (isinstance(answer, Unknown) and was_fine and self.failures < PATIENCE):
            held = self._held()
            found = causes_of(
                answer, mode_before=self.mode, held=held, clock_offset_s=checked.clock_offset_s
            )
            if isinstance(answer, AccountFacts):
                link.facts, link.checked_at = answer, self.world.clock.now()
                if not held or self.mode is None:
                    self.mode = answer.position_mode
                self._take_instruments(checked.instruments)
                found = (*found, *self._unopened())
            self._set(found)
        self.timer = self.after(self._pause_s(), CheckVenue())
        if self.again:
            self.again = False
            self._ask()

    def _unopened(self) -> tuple[ModeCause, ...]:
        """Return why nothing can be sized yet: rules or balance are still to be told."""
        portfolio = self.world.portfolio()
        if self.port.listed() is None:
            missing = "the rules of what is traded"
        elif portfolio is None or not is_opened(portfolio):
            missing = "the account's balance and what moved it"
        elif self._is_new(portfolio):
            missing = "what it has to tell of another account"
        else:
            return ()
        self.after(UNTOLD_AGAIN_AFTER_S, LookAgain())
        return (unchecked(f"The venue has not told {missing} yet."),)

    def _is_new(self, portfolio: Portfolio) -> bool:
        """Whether the account is another one than what is known here is of; it is being noted."""
        facts, known = self.world.link.facts, portfolio.venue_account
        return facts is not None and known is not None and known.account_id != facts.account_id

    @handles(LookAgain)
    def on_look_again(self, look: LookAgain) -> None:
        """End the wait as soon as everything is there."""
        del look
        self._take_instruments(self.port.listed())
        if VENUE_UNCHECKED in self.causes and self.world.link.facts is not None:
            others = (each for each in self.causes.values() if each.code != VENUE_UNCHECKED)
            self._set((*others, *self._unopened()))

    @handles(LookAtClock)
    def on_look_at_clock(self, look: LookAtClock) -> None:
        """Check at once when a clock was set, here or there, or was set right."""
        del look
        if is_skewed(self.clock_offset_s()) != (CLOCK_SKEW in self.causes):
            self._ask()

    def _pause_s(self) -> float:
        if not self.failures and not self.causes.keys() - {VENUE_UNCHECKED}:
            return CHECK_EVERY_S
        return TRY_AGAIN_AFTER_S[min(max(self.failures - 1, 0), len(TRY_AGAIN_AFTER_S) - 1)]

    def _held(self) -> tuple[Held, ...]:
        positions: list[Position] = self.world.states.latest_of("position")
        return tuple(
            Held(each.instrument.symbol, each.direction, each.remaining)
            for each in positions
            if each.remaining and each.instrument.kind is Kind.SWAP
        )

    def _set(self, causes: tuple[ModeCause, ...]) -> None:
        """Set what is new or reads differently, clear what is over."""
        now = {cause.code: cause for cause in causes}
        for code in sorted(self.causes.keys() - now.keys()):
            self.tell(names.PORTFOLIO, ClearCause(code))
            log.info("venue_cause_over", code=code, venue=self.world.venue)
        for code, cause in now.items():
            if self.causes.get(code) == cause:
                continue
            self.tell(names.PORTFOLIO, SetCause(cause))
            if code not in self.causes:
                log.warning("venue_cause", code=code, why=cause.message, venue=self.world.venue)
                if code == OTHER_ACCOUNT:
                    self.world.telemetry.alarm(code, cause.message)
        self.causes = now

    # --- what can be traded ---

    def _take_instruments(self, told: tuple[Instrument, ...] | None) -> None:
        """Take the venue's rules over; positions are told of what changes their orders."""
        if told is None:
            return
        listed = {each.symbol: each for each in told}
        for symbol, ours in self.world.instruments.items():
            theirs = listed.get(symbol)
            if theirs is None or theirs.kind is not ours.kind:
                self._bar(symbol)
                continue
            if self.world.barred.pop(symbol, None) is not None:
                log.info("symbol_listed", symbol=symbol, venue=self.world.venue)
            cap = self.max_leverage.get(symbol, theirs.max_leverage)
            rules = replace(theirs, max_leverage=min(theirs.max_leverage, cap))
            if rules != ours:
                self.world.instruments[symbol] = rules
                log.info("rules_changed", symbol=symbol, venue=self.world.venue)
        self._tell_positions(listed)

    def _tell_positions(self, listed: Mapping[Symbol, Instrument]) -> None:
        """Tell those whose orders have to be of other sizes by now."""
        positions: list[Position] = self.world.states.latest_of("position")
        for each in positions:
            ours, theirs = each.instrument, listed.get(each.instrument.symbol)
            if each.is_closed or theirs is None or theirs.kind is not ours.kind:
                continue
            if _grid_of(theirs) != _grid_of(ours):
                self.tell(names.position(each.id), GridTold(each.id, *_grid_of(theirs)))

    def _bar(self, symbol: Symbol) -> None:
        if symbol in self.world.barred:
            return
        log.error("symbol_not_listed", symbol=symbol, venue=self.world.venue)
        kind = self.world.instruments[symbol].kind.value
        self.world.barred[symbol] = Refusal(
            "UNKNOWN_SYMBOL",
            f"{self.world.venue} does not list {symbol} as {kind}, or it is suspended.",
            "Take it out of market.symbols, or wait until it is listed.",
        )


def _grid_of(rules: Instrument) -> tuple[Decimal, Decimal, Decimal | None, Decimal | None]:
    """Return which sizes of orders the venue takes."""
    return rules.lot_size, rules.min_quantity, rules.max_market, rules.max_market_value
