"""What a person asks of the daemon during a day, and whether every question is answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from actors import names
from actors.messages import (
    Answered,
    PauseTrader,
    ReconcileNow,
    ResumeTrader,
    SetAccountLimits,
    SetTraderLimits,
    TakeSnapshot,
)
from actors.persistence import JOURNAL_DOWN
from daemon.simulation.life import Life
from daemon.simulation.plan import TRADERS, Plan, Step, is_lifted
from daemon.simulation.venue import BASES
from domain.commands import (
    AddToPosition,
    ClosePosition,
    EntryRequest,
    ModificationType,
    ModifyProtection,
    ProtectionPlan,
    SizeBy,
    TargetPlan,
)
from domain.ids import MANUAL, NO_REQUEST, PositionId, RequestId, Symbol, TraderName
from domain.instrument import Direction
from domain.limit_changes import AccountOverrides, TraderOverrides
from domain.money import ZERO
from domain.position import Position, PositionStatus

_D = Decimal
_BY = "somebody"
ANSWERED_WITHIN_S = 60.0
_ANSWER_ON_DISK_S = 2.0  # so long an answer may wait for its commit
_STOPS = ("0.002", "0.004", "0.01", "0.02")
_NOTIONAL = ("200", "600", "1500")


@dataclass(slots=True)
class Question:
    """A command that was asked."""

    text: str
    asked_s: float
    life: Life
    to: str
    answer: "asyncio.Future[Answered]"
    keeper: Any = None  # the actor that keeps the question until it has looked
    message: Any = None
    before: Position | None = None  # whom it is about, as it was
    price: Decimal = ZERO  # of its symbol, then
    is_done: bool = False  # so it was answered

    @property
    def subject(self) -> str:
        """What a later question may be about, too: then that one counts."""
        if isinstance(self.message, SetTraderLimits):
            return f"limits of {self.to}"
        return self.to if self.position_id is None else f"position {self.position_id}"

    @property
    def position_id(self) -> PositionId | None:
        """The position that it is about, if it is about one."""
        return getattr(self.message, "position_id", None)

    @property
    def may_go_unanswered(self) -> bool:
        """Whether it may have been lost with an actor: who asked is told NO_ANSWER.

        While the journal could not be written an answer had to wait, and an actor may have died
        meanwhile; an answer waits for the disk, and may be lost with who gives it; the reconciler
        keeps what it was asked, and may have been killed with it.
        """
        kills = (at - self.asked_s for name, at in self.life.kills if name == self.to)
        if any(0.0 <= after_s <= _ANSWER_ON_DISK_S for after_s in kills):
            return True
        if self.keeper is not None and self.keeper is not self.life.actor(names.RECONCILER):
            return True
        since_s = self.asked_s - ANSWERED_WITHIN_S
        return any(at > since_s and code == JOURNAL_DOWN for at, code, _ in self.life.ears.alarms)


class Commands:
    """Asks on behalf of a person; the step says what, draws say of whom."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._opened = 0
        self.asked: list[Question] = []
        self.last: dict[str, Question] = {}  # by what they are about
        self._done: list[Question] = []
        self.answers = 0
        self.refusals: dict[str, int] = {}

    def act(self, life: Life, step: Step) -> None:
        """Ask for what a step says."""
        match step.do:
            case "open":
                self._open(life, step)
            case "pause" | "resume":
                trader = TraderName(TRADERS[int(step.u * len(TRADERS))])
                kind = PauseTrader if step.do == "pause" else ResumeTrader
                self._ask(life, step, names.trader(trader), lambda rid: kind(trader, rid, _BY))
            case "limits":
                self._limit_trader(life, step)
            case "account_limits":
                self._limit_account(life, step)
            case "withdraw":
                self._withdraw(life, step)
            case "snapshot":
                self._ask(life, step, names.PERSISTENCE, TakeSnapshot)
            case "reconcile":
                self._ask(life, step, names.RECONCILER, ReconcileNow)
            case _:
                position = self._chosen(life, step.u)
                if position is not None:
                    self._change(life, step, position)

    def _open(self, life: Life, step: Step) -> None:
        self._opened += 1
        base = BASES[int(step.u * len(BASES))]
        symbol = Symbol(f"{base}/USDT")
        price = life.venue.price(base)
        is_short = self._plan.kind == "swap" and int(step.u * 1000) % 2 == 1
        direction = Direction.SHORT if is_short else Direction.LONG
        digits = int(step.v * 10_000)
        away = _D(_STOPS[digits % len(_STOPS)])
        instrument = life.world.instruments[symbol]
        targets = [
            TargetPlan(price * (1 + direction.sign * away * times), part)
            for times, part in ((_D("0.6"), _D("0.4")), (_D("1.4"), _D("0.6")))
        ][: digits // 7 % 3]
        plan = ProtectionPlan(
            stop_price=price * (1 - direction.sign * away),
            targets=tuple(targets),
            trail_ratio=_D("0.005") if digits // 11 % 4 == 0 else None,
            breakeven_price=price * (1 + direction.sign * away) if digits // 13 % 4 == 0 else None,
            max_holding_s=60.0 if digits // 17 % 4 == 0 else None,
        )
        below = _D("0.003") if away >= _D("0.01") and digits // 31 % 2 else _D("0.0007")
        limit = price * (1 - direction.sign * below) if digits // 19 % 3 == 0 else None
        request = EntryRequest(
            position_id=PositionId(str(UUID(int=self._opened, version=4))),
            trader=MANUAL,
            symbol=symbol,
            direction=direction,
            size_by=SizeBy.NOTIONAL,
            size=_D(_NOTIONAL[digits // 23 % len(_NOTIONAL)]),
            plan=plan.on_tick(instrument, direction),
            limit_price=None
            if limit is None
            else instrument.on_tick_for(direction.entry_side, limit),
            leverage=self._leverage(life, symbol, digits),
        )
        self._ask(life, step, names.trader(MANUAL), lambda rid: _with(request, rid))

    def _limit_trader(self, life: Life, step: Step) -> None:
        """Set how many positions a trader may have: half of the time fewer than it has."""
        everybody = (*map(TraderName, TRADERS), MANUAL)
        trader = everybody[int(step.u * len(everybody))]
        portfolio = life.world.portfolio()
        holdings = () if portfolio is None else portfolio.holdings.values()
        own = sum(each.trader == trader for each in holdings)
        most = max(1, own - 1) if step.v < 0.5 else 1 + int(step.v * 5)  # noqa: PLR2004
        resets = is_lifted(step)
        wanted = TraderOverrides(max_positions=None if resets else most)
        self._ask(
            life,
            step,
            names.trader(trader),
            lambda rid: SetTraderLimits(trader, wanted, resets, _BY, rid),
        )

    def _limit_account(self, life: Life, step: Step) -> None:
        """Let all together have fewer positions than they have, or as many as before."""
        portfolio = life.world.portfolio()
        held = 0 if portfolio is None else len(portfolio.holdings)
        resets = is_lifted(step)
        wanted = AccountOverrides(max_positions=None if resets else max(1, held - 1))
        self._ask(
            life, step, names.PORTFOLIO, lambda rid: SetAccountLimits(wanted, resets, _BY, rid)
        )

    def _withdraw(self, life: Life, step: Step) -> None:
        positions: list[Position] = life.world.states.latest_of("position")
        found = [each for each in positions if each.status is PositionStatus.ENTRY_PENDING]
        if found:
            pid = found[int(step.u * len(found))].id
            to = names.position(pid)
            self._ask(life, step, to, lambda rid: _with(ClosePosition(pid), rid), pid[-4:])

    def _leverage(self, life: Life, symbol: Symbol, digits: int) -> Decimal:
        """Draw a leverage: the one that all use, most often, for another is refused beside it."""
        if self._plan.kind == "spot":
            return _D(1)
        usual = 3 if symbol == list(life.world.instruments)[-1] else 1
        return _D(1 + digits % 3 if digits // 29 % 8 == 0 else usual)

    def _change(self, life: Life, step: Step, position: Position) -> None:
        sign, pid = position.direction.sign, position.id
        instrument = position.instrument
        price = life.venue.price(instrument.symbol.partition("/")[0])
        message: Any
        to = names.position(pid)
        match step.do:
            case "close":
                message = ClosePosition(pid)
            case "part":
                message = ClosePosition(pid, _D("0.5"))
            case "add":
                size = _D(_NOTIONAL[int(step.v * len(_NOTIONAL))])
                to = names.trader(MANUAL)
                message = AddToPosition(
                    pid,
                    SizeBy.NOTIONAL,
                    size,
                    limit_price=_limit(position, price) if int(step.v * 1000) % 3 == 0 else None,
                    widen=step.v > 0.5,  # noqa: PLR2004
                )
            case _:
                away = _D(_STOPS[int(step.v * len(_STOPS))])
                level = _secured(position, price) or price * (1 - sign * away)
                changed = _modified(step, position, level)
                if changed is None:
                    return
                message = changed
        self._ask(life, step, to, lambda rid: _with(message, rid), pid[-4:])

    def _chosen(self, life: Life, u: float) -> Position | None:
        found: list[Position] = [
            each for each in life.world.states.latest_of("position") if each.remaining
        ]
        return found[int(u * len(found))] if found else None

    def _ask(
        self,
        life: Life,
        step: Step,
        to: str,
        make: Callable[[RequestId], Any],
        about: str = "",
    ) -> None:
        answer = life.ask(to, make)
        if answer is None:
            return
        text = f"{step.do} {about}".strip()
        life.outside.tell(f"asked: {text}")
        keeper = life.actor(to) if to == names.RECONCILER else None
        question = Question(text, life.outside.now_s, life, to, answer, keeper)
        question.message = make(NO_REQUEST)
        if question.position_id is not None:
            question.before = life.world.position(question.position_id)
        question.price = _price(life, question)
        self.asked.append(question)
        self.last[question.subject] = question

    def take_done(self) -> list[Question]:
        """Return what was answered with yes since the last time."""
        done, self._done = self._done, []
        return done

    def overdue(self, now_s: float) -> list[str]:
        """Return questions that nobody answered in time, and forget what is settled."""
        late, waiting = [], []
        for one in self.asked:
            if one.life.is_dead or one.answer.cancelled():
                self._note_last_words(one)
                continue  # who asked sees the connection end
            if one.answer.done():
                self._note(one)
            elif now_s - one.asked_s <= ANSWERED_WITHIN_S:
                waiting.append(one)
            elif not one.may_go_unanswered:
                late.append(one.text)
        self.asked = waiting
        return late

    def _note(self, one: Question) -> None:
        answered = one.answer.result()
        self.answers += 1
        rule = "" if answered.refusal is None else answered.refusal.rule
        self._take(one, answered)
        self.refusals[rule] = self.refusals.get(rule, 0) + 1
        one.life.outside.tell(f"answered: {one.text}: {rule or 'done'}")

    def _note_last_words(self, one: Question) -> None:
        """What was answered just before a crash counts, too."""
        if one.answer.done() and not one.answer.cancelled():
            self._take(one, one.answer.result())

    def _take(self, one: Question, answered: Answered) -> None:
        if answered.refusal is None:
            one.is_done = True
            self._done.append(one)


def _price(life: Life, question: Question) -> Decimal:
    """Return the price of what a question is about; 0: of nothing that has one."""
    symbol = getattr(question.message, "symbol", None)
    if symbol is None and question.before is not None:
        symbol = question.before.instrument.symbol
    return ZERO if symbol is None else life.venue.price(symbol.partition("/")[0])


def _limit(position: Position, price: Decimal) -> Decimal:
    side = position.direction.entry_side
    return position.instrument.on_tick_for(
        side, price * (1 - position.direction.sign * _D("0.002"))
    )


def _secured(position: Position, price: Decimal) -> Decimal | None:
    """Return where a stop keeps a profit that the move to breakeven, still to come, would not."""
    even, sign = position.protection.breakeven, position.direction.sign
    if even is None or even.done or (price - even.stop_price) * sign <= 0:
        return None
    return (price + even.stop_price) / 2


def _modified(step: Step, position: Position, price: Decimal) -> ModifyProtection | None:
    pid, instrument, direction = position.id, position.instrument, position.direction
    targets = position.protection.open_targets()
    match step.do:
        case "move_stop":
            at = instrument.stop_on_tick(direction, price)
            wide = step.u > 0.5  # noqa: PLR2004
            return ModifyProtection(pid, ModificationType.MOVE_SL, price=at, widen=wide)
        case "trail":
            return ModifyProtection(pid, ModificationType.TRAIL_SL, trail_ratio=_D("0.004"))
        case "add_target":
            above = price * (1 + 2 * direction.sign * _D("0.006"))
            at = instrument.target_on_tick(direction, above)
            return ModifyProtection(pid, ModificationType.ADD_TP, price=at, part=_D("0.2"))
        case "cancel_target" if targets:
            return ModifyProtection(pid, ModificationType.CANCEL_TP, exit_id=targets[0].exit_id)
    return None


def _with(message: Any, request_id: RequestId) -> Any:
    return replace(message, request_id=request_id)
