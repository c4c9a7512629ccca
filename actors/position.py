"""The position actor: owns one position, its protection, its orders and their versions."""

from typing import Any

import structlog
from msgspec.structs import replace

from actors import names
from actors.journaled import Journaled
from actors.messages import (
    Answered,
    ExchangeRestarted,
    FeedRestarted,
    ForgetOrders,
    NotArmed,
    OfflineTold,
    PositionOver,
    Retire,
    Settled,
)
from actors.world import World
from domain.commands import (
    ClosePosition,
    ModificationType,
    ModifyProtection,
    WithdrawEntries,
)
from domain.effects import (
    Alarm,
    AmendOrder,
    AnnounceClosed,
    AnnounceOpened,
    Answer,
    Arm,
    AskOrders,
    BookOutside,
    CancelOrder,
    Disarm,
    FreeReservation,
    RejectCrossing,
    SubmitOrder,
    WakeAfter,
)
from domain.ids import ClientOrderId, PositionId
from domain.inputs import (
    AdoptPosition,
    Armed,
    BeginAddition,
    BeginEntry,
    Crossed,
    ExitLocked,
    FillReported,
    FundingTold,
    GridTold,
    GuardLost,
    Offline,
    OrderEnded,
    OrderReported,
    OutsideReported,
    ResolveConflict,
    Wake,
)
from domain.order import RESTING, OrderStatus, OrderTerms, is_entry
from domain.position import Modification, Position, PositionStatus
from domain.position_decide import PositionInput, decide, resume
from domain.position_events import (
    DowntimeJudged,
    PositionFilled,
    PositionSettled,
    ProtectionLost,
    ProtectionModified,
)
from domain.position_life import evolve
from domain.venue_stop import StopState
from domain.venue_stop_reports import left_before_the_crash
from runtime.actor import handles

ASK_AGAIN_AFTER_S = 0.2
log = structlog.get_logger("trade.execution")


class PositionActor(Journaled):
    """Owns one position."""

    def __init__(self, world: World, position_id: PositionId) -> None:
        super().__init__(world)
        self.position_id = position_id
        self.stream = self.open_stream(names.position(position_id))
        self.armed_version = 0  # protection version that the feed was told last
        self.guarded = False  # the feed has confirmed the levels since the last (re)start

    @property
    def position(self) -> Position | None:
        """What is known; None before the entry is intended."""
        state: Position | None = self.stream.state
        return state

    def on_start(self) -> None:
        """Put guards and open questions in place again after a restart."""
        position = self.position
        if position is None:
            return
        is_first = self.incarnation == 1
        now, rules = self.world.clock.now(), self.world.rules
        if position.status is PositionStatus.QUARANTINED and position.remaining:
            lives = ProtectionLost("it lives again after its quarantine", now)
            self.journal(self.stream, (lives,), evolve)
            position = self.position or position
        if is_first:
            self.journal(self.stream, left_before_the_crash(position, now), evolve)
            position = self.position or position
        for effect in resume(position, now, rules):
            if is_first and isinstance(effect, WakeAfter) and effect.purpose == "unprotected":
                continue  # the supervisor asks all at once after a start
            self.release(effect)
        if position.is_settled:
            self.on_settled(Settled(self.position_id))
        elif position.is_closed:
            self.tell(names.PORTFOLIO, PositionOver(self.position_id, len(position.fills)))
        if not is_first:
            self._tell_again(position)

    def _tell_again(self, position: Position) -> None:
        """Tell what the life before may not have told any more: it waited for the disk."""
        symbol = position.instrument.symbol
        if position.is_closed:
            self.release(Disarm(position.id, symbol, over=True))
        elif position.fills:
            self.release(AnnounceOpened(position.id, position.trader, symbol, position.direction))

    @handles(
        BeginEntry,
        BeginAddition,
        AdoptPosition,
        OutsideReported,
        FundingTold,
        GridTold,
        FillReported,
        OrderEnded,
        OrderReported,
        ExitLocked,
        Armed,
        Crossed,
        GuardLost,
        Offline,
        Wake,
        ClosePosition,
        WithdrawEntries,
        ModifyProtection,
        ResolveConflict,
    )
    def on_message(self, message: PositionInput) -> None:
        """Decide, evolve, journal."""
        if isinstance(message, Armed):
            self.guarded = True
            if self.position is None or self.position.acknowledged_version == message.version:
                return  # armed again after a restart: nothing new
        if isinstance(message, Wake) and message.purpose == "unprotected" and self.guarded:
            return
        if isinstance(message, Wake) and message.purpose == "grace" and self._is_too_early():
            self.after(ASK_AGAIN_AFTER_S, message)
            return
        market = self.world.prices.market(self._symbol(message))
        decision = decide(self.position, message, self.world.clock.now(), self.world.rules, market)
        for event in decision.events:
            if isinstance(event, PositionFilled):
                log.info(
                    "position_filled",
                    position_id=self.position_id,
                    exit_id=event.exit_id,
                    symbol=event.fill.symbol,
                    side=event.fill.side.value,
                    quantity=event.fill.quantity,
                    price=event.fill.price,
                    client_order_id=event.fill.client_order_id,
                )
            elif isinstance(event, ProtectionModified):
                self._log_change(event.modification)
        self.journal(self.stream, decision.events, evolve, decision.effects)
        if isinstance(message, Offline):
            judged = [each for each in decision.events if isinstance(each, DowntimeJudged)]
            crossed = tuple(exit_id for each in judged for exit_id in each.crossed)
            self.tell(names.CATCH_UP, OfflineTold(self.position_id, crossed))

    def _is_too_early(self) -> bool:
        """Whether the venue has not told yet, after a start, what its stops have done meanwhile.

        Nothing is sent before that.
        """
        return not self.world.is_reconciled

    def _log_change(self, change: Modification) -> None:
        assert self.position is not None  # what does not exist cannot be changed
        said = log.bind(
            position_id=self.position_id,
            symbol=self.position.instrument.symbol,
            requested_by=change.requested_by.value,
            reason=change.reason,
        )
        before, after = change.previous.stop, change.new.stop
        if change.type is ModificationType.MOVE_SL and after is not None:
            said.info("stop_moved", stop=after.price, was=None if before is None else before.price)
        else:
            said.info("protection_changed", type=change.type.value)

    @handles(FeedRestarted)
    def on_feed_restarted(self, restarted: FeedRestarted) -> None:
        """Arm again: what the feed watched died with it."""
        del restarted
        if self.position is not None:
            self.guarded = False
            self.release(WakeAfter(self.world.rules.unprotected_after_s, "unprotected"))
            self.on_message(GuardLost("the feed restarted"))

    @handles(NotArmed)
    def on_not_armed(self, told: NotArmed) -> None:
        """Nobody watches the levels: what becomes of any guard that is not confirmed in time.

        It is asked for once more. If that fails too, the position is closed, unless its stop rests
        at the venue.
        """
        del told
        was_guarded, self.guarded = self.guarded, False  # else that time is running already
        position = self.position
        if was_guarded and position is not None and position.protection.guards_loss:
            self.release(WakeAfter(self.world.rules.unprotected_after_s, "unprotected"))

    @handles(ExchangeRestarted)
    def on_exchange_restarted(self, restarted: ExchangeRestarted) -> None:
        """Ask for orders under way: a request that waited in the exchange's memory is gone."""
        del restarted
        if self.position is None:
            return
        waiting = {  # for the disk: these it could not have heard of
            effect.terms.client_order_id
            for _, effect in self.stream.held
            if isinstance(effect, SubmitOrder)
        }
        now, rules = self.world.clock.now(), self.world.rules
        for effect in resume(self.position, now, rules):
            if isinstance(effect, AskOrders):
                ids = tuple(each for each in effect.client_order_ids if each not in waiting)
                self.release(replace(effect, client_order_ids=ids))
            elif (
                isinstance(effect, CancelOrder) and effect.client_order_id not in waiting
            ) or isinstance(effect, AmendOrder):
                self.release(effect)

    def _symbol(self, message: PositionInput) -> Any:
        if self.position is not None:
            return self.position.instrument.symbol
        if isinstance(message, BeginEntry | AdoptPosition):
            return message.instrument.symbol
        return ""

    def leads_on(self, effect: Any) -> bool:
        """The order of an entry leaves when its intent is durable, which the exchange journals."""
        return isinstance(effect, SubmitOrder) and is_entry(effect.terms)

    def may_leave_at_once(self, effect: Any) -> bool:
        """Armed exits do not wait for the disk.

        Nor do looks at clocks, alarms and index answers.
        """
        if isinstance(effect, SubmitOrder):
            return effect.armed and self._is_durable(effect.terms.client_order_id)
        if isinstance(effect, Arm):
            return effect.at_once
        if isinstance(effect, CancelOrder | AmendOrder):
            return effect.at_once
        return isinstance(effect, WakeAfter | Alarm | RejectCrossing)

    def _is_durable(self, order_id: ClientOrderId) -> bool:
        """Whether recovery would ask for this exit's order, were it sent now."""
        _, durable = self.world.states.durable.get(self.stream.name, (0, None))
        return durable is not None and any(
            each.client_order_id == order_id for each in durable.armed
        )

    def _is_unwanted(self, terms: OrderTerms) -> bool:
        """Whether a stop for the venue was canceled while its order waited for the disk."""
        if terms.type not in RESTING or self.position is None:
            return False
        stop = self.position.at_venue.find(terms.client_order_id)
        return stop is None or stop.state is not StopState.PLACING

    def release(self, effect: Any) -> None:
        """Tell whom it concerns."""
        match effect:
            case SubmitOrder(terms=terms) if self._is_unwanted(terms):
                order_id = terms.client_order_id
                ended = OrderEnded(self.position_id, order_id, OrderStatus.DENIED, "not wanted")
                self.tell(self.name, ended)
            case SubmitOrder() | CancelOrder() | AmendOrder() | AskOrders():
                self.tell(names.EXCHANGE, effect)
            case FreeReservation(client_order_id=order_id, why=why):
                ended = OrderEnded(effect.position_id, order_id, OrderStatus.DENIED, why)
                self.tell(names.PORTFOLIO, ended)
            case BookOutside(position_id=position_id, fill=fill):
                self.tell(names.PORTFOLIO, FillReported(position_id, fill))
            case Arm(version=version):
                if version >= self.armed_version:  # else a later one did not have to wait
                    self.armed_version = version
                    self.tell(names.FEED, effect)
            case Disarm() | RejectCrossing():
                self.tell(names.FEED, effect)
            case WakeAfter(delay_s=delay, purpose=purpose, exit_id=exit_id, version=version):
                self.after(delay, Wake(purpose, exit_id, version, effect.crossed))
            case Answer(request_id=request_id, refusal=refusal, position_id=position_id):
                self.tell(names.EDGE, Answered(request_id, refusal, position_id))
            case AnnounceOpened(trader=trader):
                self.tell(names.trader(trader), effect)
            case AnnounceClosed(trader=trader):
                self._announce_closed(effect)
            case Settled():
                self.tell(names.EXCHANGE, ForgetOrders(self.position_id))
                self.tell(names.PERSISTENCE, Retire((self.stream.name,)))
                self.stop()
            case Alarm(code=code, message=text):
                log.warning("alarm", code=code, message=text, position_id=self.position_id)
                self.world.telemetry.alarm(code, text)
            case _:
                raise TypeError(f"a position has no effect {type(effect).__name__}")

    def _announce_closed(self, effect: AnnounceClosed) -> None:
        log.info(
            "position_closed",
            position_id=self.position_id,
            trader=effect.trader,
            symbol=effect.symbol,
            reason=effect.reason.value,
            realized_pnl=effect.realized_pnl,
        )
        self.tell(names.trader(effect.trader), effect)
        assert self.position is not None
        self.tell(names.PORTFOLIO, PositionOver(self.position_id, len(self.position.fills)))

    @handles(Settled)
    def on_settled(self, settled: Settled) -> None:
        """Everything is booked: the life of this position is over."""
        position = self.position
        if position is None or not position.is_closed:
            return
        # Settled already: the life before died between the journal and the rest.
        events = () if position.is_settled else (PositionSettled(self.world.clock.now()),)
        self.journal(self.stream, events, evolve, (settled,))
