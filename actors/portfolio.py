"""The portfolio actor: owns an account's balance, reservations, limits and mode."""

from datetime import datetime, timedelta
from typing import Any

import structlog

from actors import names
from actors.journaled import Journaled
from actors.messages import (
    Answered,
    AskAgain,
    ClearCause,
    EntryRefused,
    Marks,
    PositionOver,
    RequestApproval,
    ResetKillSwitch,
    ResumeEntries,
    SetCause,
    SettingsChanged,
    Settled,
    StopEntries,
)
from actors.world import World
from domain import portfolio as core
from domain.commands import ClosePosition, RequestedBy
from domain.errors import Refusal
from domain.ids import MANUAL, NO_REQUEST, ClientOrderId, client_order_id
from domain.inputs import BeginEntry, FillReported, OrderEnded
from domain.modes import KILL_SWITCH, Mode, operator_stop, worst
from domain.money import ONE
from domain.portfolio import Portfolio
from domain.portfolio_events import (
    AnyPortfolioEvent,
    EntryReserved,
    KillSwitchTripped,
    LimitsConfigured,
    PortfolioOpened,
)
from domain.position import CLOSED_STATUSES, Position, PositionStatus
from domain.protection import ExitReason
from exchanges.port import Balance
from runtime.actor import handles

BOOK_AGAIN_AFTER_S = 0.2
# What the kill switch need not close again: it is closing, or nobody may touch it but a person.
_ON_ITS_WAY = CLOSED_STATUSES | {PositionStatus.CLOSING, PositionStatus.QUARANTINED}
log = structlog.get_logger("trade.intent")


class PortfolioActor(Journaled):
    """Owns one account."""

    def __init__(self, world: World, opening: Balance) -> None:
        super().__init__(world)
        self.stream = self.open_stream(names.portfolio(world.account))
        self.opening = opening
        self.causes = world.causes  # of this run; journaled ones are in the state

    @property
    def portfolio(self) -> Portfolio:
        """The account as of its last event."""
        state: Portfolio = self.stream.state
        return state

    @property
    def mode(self) -> Mode:
        """What may be done now."""
        return worst((*self.causes.values(), *self.portfolio.causes))

    def on_start(self) -> None:
        """Open a new account, or go on; the exchange tells what a crash kept from being booked."""
        if self.stream.state is None:
            self._record(
                PortfolioOpened(
                    account=self.world.account,
                    quote=self.opening.asset,
                    balance=self.opening.total,
                    at=self.world.clock.now(),
                )
            )
        self._recover()
        if self.incarnation > 1:  # at the start of the process they say it themselves
            for position in self.world.states.latest_of("position"):
                if position.is_closed:
                    self.tell(self.name, PositionOver(position.id, len(position.fills)))

    def _recover(self) -> None:
        """Free what was reserved for an entry whose intent did not survive."""
        live = self.world.states.latest
        for order_id, reservation in self.portfolio.reservations.items():
            position = live.get(names.position(reservation.position_id), (0, None))[1]
            if position is None or not _entry_works(position, order_id):
                ended = core.end_order(
                    self.portfolio, order_id, "no intent survived", now=self.world.clock.now()
                )
                self._record(*ended)

    # --- entries ---

    @handles(RequestApproval)
    def on_request(self, approval: RequestApproval) -> None:
        """Size, check and reserve; the position is born once that is durable."""
        request = approval.request
        instrument = self.world.instruments[request.symbol]
        market = self.world.prices.market(request.symbol)
        now = self.world.clock.now()
        decided: EntryReserved | Refusal
        if self._position(request.position_id) is not None:
            decided = Refusal(
                "POSITION_EXISTS",
                f"Position {request.position_id} has been opened already.",
                "Leave the id out to open another.",
            )
        elif request.symbol in self.world.watched_only:
            decided = Refusal(
                "WATCHED_ONLY",
                f"{request.symbol} is watched, not traded.",
                "To trade it, move it from market.watch to market.symbols in the configuration.",
            )
        elif market.last is None:
            decided = Refusal(
                "NO_PRICE",
                f"No price for {request.symbol} yet.",
                "Wait for the feed: `holdfast status` shows its age.",
            )
        elif not market.is_fresh:
            decided = Refusal(
                "STALE_PRICE",
                self.world.prices.why_not_fresh(request.symbol),
                "Wait until the feed is back: `holdfast status` shows its age.",
            )
        else:
            decided = core.approve_entry(
                self.portfolio,
                request,
                instrument,
                price=market.last,
                client_order_id=client_order_id(
                    self.world.account, request.position_id, "entry-0", 0
                ),
                trader_limits=approval.limits,
                account_limits=self.world.limits,
                extra_causes=tuple(self.causes.values()),
                marks=self.world.prices.marks(),
                now=now,
            )
        if isinstance(decided, Refusal):
            self._refuse(approval, decided)
            return
        log.info(
            "entry_reserved",
            position_id=request.position_id,
            decision_id=request.decision_id,
            trader=request.trader,
            symbol=request.symbol,
            direction=request.direction.value,
            quantity=decided.quantity,
        )
        begin = BeginEntry(
            position_id=request.position_id,
            account=self.world.account,
            trader=request.trader,
            instrument=instrument,
            direction=request.direction,
            client_order_id=decided.client_order_id,
            quantity=decided.quantity,
            limit_price=request.limit_price,
            leverage=decided.leverage,
            plan=request.plan,
            expires_at=self._expiry(approval),
            decision_id=request.decision_id,
            rationale=request.rationale,
            request_id=request.request_id,
        )
        self._record(decided, then=(begin,))

    def _expiry(self, approval: RequestApproval) -> datetime:
        at = self.world.clock.now() + timedelta(seconds=self.world.entry_expires_s)
        wished = approval.request.expires_at
        return at if wished is None else min(at, wished)

    def _refuse(self, approval: RequestApproval, refusal: Refusal) -> None:
        request = approval.request
        if request.request_id != NO_REQUEST:
            self.tell(names.EDGE, Answered(request.request_id, refusal))  # logged where it is told
        else:
            log.info(
                "entry_refused",
                decision_id=request.decision_id,
                trader=request.trader,
                symbol=request.symbol,
                rule=refusal.rule,
                reason=refusal.message,
            )
        refused = EntryRefused(request.position_id, request.symbol, refusal)
        self.tell(names.trader(request.trader), refused)

    # --- facts ---

    @handles(FillReported)
    def on_fill(self, report: FillReported) -> None:
        """Book a fill once."""
        fill = report.fill
        position = self._position(report.position_id)
        instrument = self.world.instruments[fill.symbol]
        holding = self.portfolio.holdings.get(report.position_id)
        if holding is not None:
            direction = holding.direction
        elif position is not None:
            direction = position.direction
        else:
            return  # over and forgotten
        self._record(
            *core.book_fill(
                self.portfolio,
                report.position_id,
                fill,
                is_entry=fill.side is direction.entry_side,
                instrument=instrument,
                direction=direction,
                trader=MANUAL if position is None else position.trader,
                leverage=ONE if position is None else position.leverage,
            )
        )

    @handles(OrderEnded)
    def on_order_ended(self, ended: OrderEnded) -> None:
        """Free what an order will not use any more."""
        now = self.world.clock.now()
        self._record(
            *core.end_order(self.portfolio, ended.client_order_id, ended.status.value, now=now)
        )

    @handles(PositionOver)
    def on_position_over(self, over: PositionOver) -> None:
        """Close the holding once all its fills are booked.

        Then nobody needs the position any more.
        """
        holding = self.portfolio.holdings.get(over.position_id)
        if holding is not None and len(holding.trade_ids) < over.fills:
            self.tell(names.EXCHANGE, AskAgain((over.position_id,)))
            self.after(BOOK_AGAIN_AFTER_S, over)
            return
        now = self.world.clock.now()
        events = core.close_holding(self.portfolio, over.position_id, now=now)
        self._record(*events, then=(Settled(over.position_id),))

    @handles(Marks)
    def on_marks(self, marks: Marks) -> None:
        """Value the account; drawdown stops entries, or everything."""
        now = self.world.clock.now()
        events = core.mark(self.portfolio, marks.prices, self.world.limits, now)
        self._record(*events)
        for event in events:
            if isinstance(event, KillSwitchTripped):
                log.error("kill_switch", drawdown=event.drawdown)
                self.world.telemetry.alarm("KILL_SWITCH", f"drawdown {event.drawdown:.4f}")
        if any(cause.code == KILL_SWITCH for cause in self.portfolio.causes):
            self._close_everything()

    def _close_everything(self) -> None:
        """Close what is held: at every mark, for a crash or a refusal may have kept some of it."""
        for position_id in self.portfolio.holdings:
            position = self._position(position_id)
            if position is None or position.status in _ON_ITS_WAY:
                continue
            close = ClosePosition(
                position_id,
                reason=ExitReason.KILL_SWITCH,
                requested_by=RequestedBy.RULE_ENGINE,
            )
            self.tell(names.position(position_id), close)

    def _position(self, position_id: Any) -> Position | None:
        position: Position | None = self.world.states.latest.get(
            names.position(position_id), (0, None)
        )[1]
        return position

    # --- modes ---

    @handles(SetCause)
    def on_set_cause(self, message: SetCause) -> None:
        """A reason for a safer mode appeared."""
        before = self.mode
        self.causes[message.cause.code] = message.cause
        self._note_mode(before)

    @handles(ClearCause)
    def on_clear_cause(self, message: ClearCause) -> None:
        """A reason is gone."""
        before = self.mode
        self.causes.pop(message.code, None)
        self._note_mode(before)

    @handles(SettingsChanged)
    def on_settings(self, changed: SettingsChanged) -> None:
        """Decide by other limits from now on; the journal tells since when."""
        self.world.limits = changed.settings
        self._record(LimitsConfigured(changed.settings, self.world.clock.now()))

    def _note_mode(self, before: Mode) -> None:
        if self.mode is not before:
            causes = [cause.code for cause in (*self.causes.values(), *self.portfolio.causes)]
            log.info("mode", mode=self.mode.name, was=before.name, causes=causes)

    @handles(StopEntries)
    def on_stop_entries(self, command: StopEntries) -> None:
        """Open nothing until an operator resumes; survives a restart."""
        now = self.world.clock.now()
        events = core.stop_entries(self.portfolio, operator_stop(command.by), now=now)
        self._answer(command.request_id, events)

    @handles(ResumeEntries)
    def on_resume_entries(self, command: ResumeEntries) -> None:
        """Take the operator's stop back; other causes stay."""
        now = self.world.clock.now()
        self._answer(
            command.request_id, core.resume_entries(self.portfolio, by=command.by, now=now)
        )

    @handles(ResetKillSwitch)
    def on_reset_kill_switch(self, command: ResetKillSwitch) -> None:
        """Go on after the kill switch, by a person's word."""
        now = self.world.clock.now()
        marks = self.world.prices.marks()
        self._answer(
            command.request_id,
            core.reset_kill_switch(self.portfolio, marks, by=command.by, now=now),
        )

    def _answer(self, request_id: Any, events: tuple[AnyPortfolioEvent, ...] | Refusal) -> None:
        if isinstance(events, Refusal):
            self.tell(names.EDGE, Answered(request_id, events))
        else:
            self._record(*events, then=(Answered(request_id),))

    # --- journal ---

    def _record(self, *events: AnyPortfolioEvent, then: tuple[Any, ...] = ()) -> None:
        if events or then:
            self.journal(self.stream, events, core.evolve, then)

    def release(self, effect: Any) -> None:
        """Pass on what is durable."""
        match effect:
            case BeginEntry():
                self.tell(names.POSITIONS, effect)
            case Settled(position_id=position_id):
                self.tell(names.position(position_id), effect)
            case Answered():
                self.tell(names.EDGE, effect)
            case _:
                raise TypeError(f"a portfolio has no effect {type(effect).__name__}")


def _entry_works(position: Position, order_id: ClientOrderId) -> bool:
    return position.entry.client_order_id == order_id and not position.is_closed
