"""The portfolio actor: owns an account's balance, reservations, limits and mode."""

from typing import Any

import structlog

from actors import names
from actors.approvals import Approvals, addition_asked
from actors.attempts import judged
from actors.calendar import Calendar
from actors.cashier import Cashier
from actors.feed import FEED_DOWN
from actors.messages import (
    Answered,
    AskAgain,
    ClearCause,
    EntryRefused,
    Marks,
    PositionOver,
    RequestAddition,
    RequestApproval,
    ResetKillSwitch,
    ResumeEntries,
    SetAccountLimits,
    SetCause,
    SettingsChanged,
    Settled,
    StopEntries,
)
from actors.unpriced import UNPRICED, Unpriced
from actors.unpriced import cause as unpriced_cause
from actors.world import World
from domain import portfolio as core
from domain.commands import ClosePosition, EntryRequest, RequestedBy, WithdrawEntries
from domain.effects import CancelOrder
from domain.errors import Refusal
from domain.ids import MANUAL, NO_REQUEST, ClientOrderId, PositionId, TradeId
from domain.inputs import BeginAddition, BeginEntry, FillReported, FundingTold, OrderEnded
from domain.modes import DRAINING, KILL_SWITCH, Mode, operator_stop, worst
from domain.money import ONE
from domain.order import OrderStatus
from domain.portfolio import Portfolio
from domain.portfolio_events import (
    AccountMoved,
    AnyPortfolioEvent,
    EntryReserved,
    KillSwitchTripped,
    LimitsConfigured,
    PortfolioOpened,
)
from domain.portfolio_limits import change_limits, consequences
from domain.portfolio_state import limits_of
from domain.position import CLOSED_STATUSES, Position, PositionStatus
from domain.position_life import resting_entries
from domain.protection import ExitReason
from exchanges.port import Balance
from runtime.actor import handles

BOOK_AGAIN_AFTER_S = 0.2
EARLY_FOR_S = 150.0  # an exit told before its entry waits so long: no entry is longer in doubt
# What the kill switch need not close again: it is closing, or nobody may touch it but a person.
_ON_ITS_WAY = CLOSED_STATUSES | {PositionStatus.CLOSING, PositionStatus.QUARANTINED}
log = structlog.get_logger("trade.intent")


class PortfolioActor(Cashier):
    """Owns one account."""

    def __init__(self, world: World, opening: Balance) -> None:
        super().__init__(world)
        self.stream = self.open_stream(names.portfolio(world.account))
        self.opening = opening
        self.causes = world.causes  # of this run; journaled ones are in the state
        self.unpriced = Unpriced()
        self.calendar = Calendar()
        self.early_s: dict[TradeId, float] = {}  # exits told before their entry: monotonic, since

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
                    venue=self.world.venue,
                )
            )
        elif self.portfolio.venue != self.world.venue:  # flat, or the start would have refused it
            now = self.world.clock.now()
            log.warning("account_moved", was=self.portfolio.venue, venue=self.world.venue)
            self._record(AccountMoved(self.world.venue, self.opening.total, now))
        self._recover()
        self._complete()
        if self.incarnation > 1:  # at the start of the process they say it themselves
            for position in self.world.states.latest_of("position"):
                if position.is_closed:
                    self.tell(self.name, PositionOver(position.id, len(position.fills)))

    def _recover(self) -> None:
        """Free what was reserved for an entry whose intent did not survive."""
        for order_id, reservation in self.portfolio.reservations.items():
            position = self.world.position(reservation.position_id)
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
        decided = self._approvals().entry(approval)
        if isinstance(decided, Refusal):
            self._refuse(request, decided)
            return
        self._reserve(*decided)

    @handles(RequestAddition)
    def on_addition(self, asked: RequestAddition) -> None:
        """Size, check and reserve an addition; its position is told once that is durable."""
        command = asked.command
        decided = self._approvals().addition(asked)
        if isinstance(decided, Refusal):
            self._refuse(addition_asked(self.world, command), decided, is_addition=True)
            return
        self._reserve(*decided)

    def _approvals(self) -> Approvals:
        return Approvals(self.world, self.portfolio, self.causes.values())

    def _reserve(self, reserved: EntryReserved, begin: BeginEntry | BeginAddition) -> None:
        log.info(
            "entry_reserved" if isinstance(begin, BeginEntry) else "addition_reserved",
            position_id=reserved.position_id,
            decision_id=begin.decision_id,
            trader=reserved.trader,
            symbol=reserved.symbol,
            direction=reserved.direction.value,
            quantity=reserved.quantity,
        )
        side = reserved.direction.entry_side.value
        self.world.failures.entered(reserved.trader, reserved.symbol, side)
        self._record(reserved, then=(begin,))

    def _refuse(
        self, request: EntryRequest, refusal: Refusal, *, is_addition: bool = False
    ) -> None:
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
        attempt = judged(self.world, request, refusal, self.world.clock.now())
        refused = EntryRefused(request, refusal, attempt, is_addition)
        self.tell(names.trader(request.trader), refused)

    # --- facts ---

    @handles(FillReported)
    def on_fill(self, report: FillReported) -> None:
        """Book a fill once."""
        fill = report.fill
        position = self.world.position(report.position_id)
        instrument = self.world.instruments[fill.symbol]
        holding = self.portfolio.holdings.get(report.position_id)
        if holding is not None:
            direction = holding.direction
        elif position is not None:
            direction = position.direction
        else:
            return  # over and forgotten
        is_entry = fill.side is direction.entry_side
        is_early = holding is not None and not is_entry and core.comes_too_early(holding, fill)
        if is_early and self._may_wait(fill.trade_id):
            self.after(BOOK_AGAIN_AFTER_S, report)
            return
        self.early_s.pop(fill.trade_id, None)
        self._record(
            *core.book_fill(
                self.portfolio,
                report.position_id,
                fill,
                is_entry=is_entry,
                instrument=instrument,
                direction=direction,
                trader=MANUAL if position is None else position.trader,
                leverage=ONE if position is None else position.leverage,
            )
        )
        if position is not None and self._is_held_again(position.id):
            self.on_position_over(PositionOver(position.id, len(position.fills)))

    def _is_held_again(self, position_id: PositionId) -> bool:
        """Whether an entry filled when its position was over and nothing of it was held."""
        portfolio = self.portfolio
        return position_id in portfolio.holdings and position_id in portfolio.closed

    def _may_wait(self, trade_id: TradeId) -> bool:
        """Whether an exit may still wait for the entry that it closes."""
        now_s = self.world.clock.monotonic()
        return now_s - self.early_s.setdefault(trade_id, now_s) < EARLY_FOR_S

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

        Then nobody needs the position any more. What came of fills that it does not know is left
        over, and said: no position guards it. The reconciler writes it off where the venue does
        not hold it; of a swap that the venue holds it finds more than of our positions.
        """
        holding = self.portfolio.holdings.get(over.position_id)
        if holding is not None and len(holding.trade_ids) < over.fills:
            _, position = self.world.states.durable.get(names.position(over.position_id), (0, None))
            if position is not None:
                self._book_outside(position)
            self.tell(names.EXCHANGE, AskAgain((over.position_id,)))
            self.after(BOOK_AGAIN_AFTER_S, over)
            return
        if holding is not None and len(holding.trade_ids) > over.fills:
            left = f"{holding.ledger.remaining} {holding.pair.symbol} is left over"
            text = f"over with {over.fills} fills, {len(holding.trade_ids)} are booked: {left}"
            log.warning("alarm", code="LATE_FILL", message=text, position_id=over.position_id)
            self.world.telemetry.alarm("LATE_FILL", f"position {over.position_id}: {text}")
        now = self.world.clock.now()
        events = core.close_holding(self.portfolio, over.position_id, now=now)
        self._record(*events, then=(Settled(over.position_id),))

    @handles(Marks)
    def on_marks(self, marks: Marks) -> None:
        """Value the account; drawdown stops entries, or everything."""
        now, now_s = self.world.clock.now(), self.world.clock.monotonic()
        self._note_unpriced(marks)
        events = core.mark(
            self.portfolio,
            marks.prices,
            limits_of(self.portfolio, self.world.limits),
            now,
            day=self.calendar.day(now.date(), self.portfolio.day, now_s),
            despite_holes=UNPRICED in self.causes,
        )
        self._record(*events)
        for event in events:
            if isinstance(event, KillSwitchTripped):
                log.error("kill_switch", drawdown=event.drawdown)
                self.world.telemetry.alarm("KILL_SWITCH", f"drawdown {event.drawdown:.4f}")
        if any(cause.code == KILL_SWITCH for cause in self.portfolio.causes):
            self._close_everything()
        else:
            self._withdraw_entries()

    def _note_unpriced(self, marks: Marks) -> None:
        """Say when something held has had no price for long, and when all have one again."""
        symbols = core.unpriced(self.portfolio, marks.prices)
        is_up = FEED_DOWN not in self.causes
        lasts = self.unpriced.lasts(self.world.clock.monotonic(), symbols, is_up=is_up)
        if not symbols:
            self.unpriced.note(symbols)
            if UNPRICED in self.causes:
                self.on_clear_cause(ClearCause(UNPRICED))
        elif lasts or UNPRICED in self.causes:
            cause = unpriced_cause(symbols, core.unvalued(self.portfolio, marks.prices))
            if self.unpriced.note(symbols):
                self.world.telemetry.alarm(UNPRICED, cause.message)
            self.on_set_cause(SetCause(cause))

    def _close_everything(self) -> None:
        """Close what is held: at every mark, for a crash or a refusal may have kept some of it."""
        for position_id in self.portfolio.holdings:
            position = self.world.position(position_id)
            if position is None or position.status in _ON_ITS_WAY:
                continue
            close = ClosePosition(
                position_id,
                reason=ExitReason.KILL_SWITCH,
                requested_by=RequestedBy.RULE_ENGINE,
            )
            self.tell(names.position(position_id), close)

    def _withdraw_entries(self) -> None:
        """Cancel entries that rest while nothing is to be opened, additions too.

        That is while a journaled cause stands, or we leave a venue that lives on. Transient causes
        cancel nothing. At every mark, as above.
        """
        leaving = DRAINING in self.causes and self.world.is_distant
        if not self.portfolio.causes and not leaving:
            return
        waiting = (each.position_id for each in self.portfolio.reservations.values())
        for position_id in dict.fromkeys(waiting):
            position = self.world.position(position_id)
            if position is not None and resting_entries(position):
                self._withdraw(position)

    def _withdraw(self, position: Position) -> None:
        if self.tell(names.position(position.id), WithdrawEntries(position.id)) is not False:
            return
        for entry in resting_entries(position):  # it is quarantined: nobody is there to do it
            cancel = CancelOrder(entry.client_order_id, position.instrument.symbol)
            self.tell(names.EXCHANGE, cancel)

    # --- modes ---

    @handles(SetCause)
    def on_set_cause(self, message: SetCause) -> None:
        """A reason for a safer mode appeared."""
        before = self.mode
        self.causes[message.cause.code] = message.cause
        self._note_mode(before)
        if message.cause.code == DRAINING:
            self._withdraw_entries()

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
        self._withdraw_entries()

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
        events = core.reset_kill_switch(
            self.portfolio, marks, by=command.by, now=now, despite_holes=UNPRICED in self.causes
        )
        if events and not isinstance(events, Refusal):
            log.warning("kill_switch_reset", by=command.by)
        note = "" if events else "it had not fired"
        self._answer(command.request_id, events, note)

    @handles(SetAccountLimits)
    def on_set_limits(self, command: SetAccountLimits) -> None:
        """Override configured limits; nothing that is open is closed by it."""
        now = self.world.clock.now()
        marks = self.world.prices.marks()
        events = change_limits(
            self.portfolio,
            self.world.limits,
            command.wanted,
            marks,
            reset=command.reset,
            by=command.by,
            now=now,
            despite_holes=UNPRICED in self.causes,
        )
        note = "they were so already"
        if not isinstance(events, Refusal) and events:
            note = consequences(self.portfolio, events[0].new, marks)
            log.info("limits_changed", whose=self.world.account, by=command.by)
        self._answer(command.request_id, events, note)

    def _answer(
        self, request_id: Any, events: tuple[AnyPortfolioEvent, ...] | Refusal, note: str = ""
    ) -> None:
        if isinstance(events, Refusal):
            self.tell(names.EDGE, Answered(request_id, events))
        else:
            self._record(*events, then=(Answered(request_id, note=note),))

    def _begin_addition(self, begin: BeginAddition) -> None:
        if self.tell(names.position(begin.position_id), begin) is not False:
            return
        # Over and forgotten while the disk wrote.
        why = f"Position {begin.position_id} is closed."
        order_id = begin.client_order_id
        self.on_order_ended(OrderEnded(begin.position_id, order_id, OrderStatus.DENIED, why))
        if begin.request_id != NO_REQUEST:
            refusal = Refusal("POSITION_CLOSED", why, "Open a new one.")
            self.tell(names.EDGE, Answered(begin.request_id, refusal))

    # --- journal ---

    def _record(self, *events: AnyPortfolioEvent, then: tuple[Any, ...] = ()) -> None:
        if events or then:
            self.journal(self.stream, events, core.evolve, then)

    def leads_on(self, effect: Any) -> bool:
        """An entry goes on: its order leaves when its intent is durable."""
        return isinstance(effect, BeginEntry | BeginAddition)

    def release(self, effect: Any) -> None:
        """Pass on what is durable."""
        match effect:
            case BeginEntry():
                self.tell(names.POSITIONS, effect)
            case BeginAddition():
                self._begin_addition(effect)
            case Settled(position_id=position_id):
                self.tell(names.position(position_id), effect)
            case Answered():
                self.tell(names.EDGE, effect)
            case FundingTold(position_id=position_id):
                self.tell(names.position(position_id), effect)
            case _:
                raise TypeError(f"a portfolio has no effect {type(effect).__name__}")


def _entry_works(position: Position, order_id: ClientOrderId) -> bool:
    return position.entry_of(order_id) is not None and not position.is_closed
