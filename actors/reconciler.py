"""The reconciler: compares what the venue says with what we believe, all the time.

It reads and judges; what follows from it is told to the owners: orders to the exchange actor,
holdings to positions, money to the portfolio. Nothing of its own is journaled. A failed read is no
answer: nothing is concluded from it, and when answers stay away nothing new is opened.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from actors import names
from actors.holdings import Holdings
from actors.local_truth import live_positions
from actors.looking import Depth, Looked, Since, look
from actors.messages import (
    Answered,
    Beat,
    CancelOrphan,
    ClearCause,
    Compared,
    OrdersSeen,
    ReconcileNow,
    SetCause,
    Uncompared,
    VenueReported,
)
from actors.money import Money
from actors.reconcile_report import Report, report_of
from actors.world import World
from domain.errors import Refusal
from domain.ids import ClientOrderId, Symbol, account_tag, identity_of
from domain.inputs import EXITS
from domain.instrument import Kind
from domain.modes import Mode, ModeCause
from exchanges.port import (
    BalanceReport,
    CashFlow,
    Exchange,
    OutsideFill,
    PositionReport,
    VenueOrder,
)
from runtime.actor import Actor, handles

log = structlog.get_logger("trade.execution")

PUSHED_EVERY_S = 0.5
UNSETTLED_AGAIN_AFTER_S = 2.0
AGAIN_AFTER_S = 0.35  # a suspicion is read again
MONEY_AGAIN_AFTER_S = 3.0
ANSWER_WITHIN_S = 8.0  # a person waits no longer for suspicions to be confirmed
DRIFT = "DRIFT"
UNREAD = "HOLDINGS_UNREAD"
FIRST_LOOK_WITHIN_S = 10.0  # of the start; the exchange actor says when it is connected
MISSED_LOOKS = 4  # so many in a row without an answer stop entries
_OUTSIDE_MARGIN = timedelta(minutes=2)  # the venue's clock is not ours
_FIRST_OUTSIDE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """How often a venue is looked at, and what becomes of a position that nobody here opened."""

    active: bool = True  # False: only when a person asks
    adopts: bool = False  # else: quarantine
    stop_ratio: Decimal = Decimal("0.05")  # from the price, of an adopted position's stop
    orders_every_s: float = 5.0
    holdings_every_s: float = 10.0
    money_every_s: float = 15.0

    def every_s(self, depth: Depth) -> float:
        """Return the period of looks of a depth, or deeper."""
        return {
            Depth.ORDERS: self.orders_every_s,
            Depth.HOLDINGS: self.holdings_every_s,
            Depth.MONEY: self.money_every_s,
        }[depth]


@dataclass(slots=True)
class _Question:
    asked: ReconcileNow
    since_s: float
    looks: int = field(default=0)
    done: int = field(default=0)  # how much had been done at the last of them


class LookAgain:
    """Message: a suspicion is to be read again."""

    __slots__ = ("depth",)
    lane = EXITS

    def __init__(self, depth: Depth) -> None:
        self.depth = depth


class ReconcilerActor(Actor):
    """Looks at one account."""

    def __init__(self, world: World, port: Exchange, settings: ReconcileSettings) -> None:
        super().__init__()
        self.world = world
        self.port = port
        self.settings = settings
        self.holdings = Holdings(
            world, self._tell, adopts=settings.adopts, stop_ratio=settings.stop_ratio
        )
        self.money = Money(
            world,
            self._tell,
            spot_is_paid=port.abilities.spot_is_paid,
            books=settings.active,
        )
        self.looked_s: dict[Depth, float] = {}  # monotonic, of the last one that was answered
        self.asked_s: dict[Depth, float] = {}
        self.is_looking = False
        self.wanted = Depth.NOTHING
        self.soon: set[Depth] = set()  # looks that are timed
        self.mode_known = False
        self.outside_since: datetime | None = None
        self.orphans: set[ClientOrderId] = set()  # seen once; canceled when seen again
        self.questions: list[_Question] = []
        self.report: Report | None = None  # of the last look at holdings

    def _tell(self, name: str, message: object) -> object:
        return self.tell(name, message)

    # --- when to look ---

    def on_start(self) -> None:
        """Look at everything once the venue is connected, then regularly."""
        if not self.settings.active:
            return
        self.every(1.0, Beat())
        self.tell(names.PORTFOLIO, SetCause(_unread("yet")))
        if self.incarnation > 1:
            self._want(Depth.MONEY)
        else:
            self._look_after(FIRST_LOOK_WITHIN_S, Depth.MONEY)

    @handles(Uncompared)
    def on_uncompared(self, message: Uncompared) -> None:
        """Open nothing until holdings have been compared again."""
        del message
        if self.settings.active:
            self.looked_s.pop(Depth.HOLDINGS, None)
            self.tell(names.PORTFOLIO, SetCause(_unread("since its stream came back")))

    @handles(Compared)
    def on_compared(self, message: Compared) -> None:
        """Look at holdings and money now that orders and fills are known."""
        del message
        if self.settings.active:
            self._want(Depth.MONEY)

    @handles(Beat)
    def on_beat(self, beat: Beat) -> None:
        """Look at what is due; say when answers stay away."""
        del beat
        if not self.asked_s:
            return  # not connected yet
        now_s = self.world.clock.monotonic()
        for depth in (Depth.MONEY, Depth.HOLDINGS, Depth.ORDERS):
            every_s = self.settings.every_s(depth)
            if now_s - self.asked_s.get(depth, now_s - every_s) >= every_s:
                self._want(depth)
                break
        self._note_silence(now_s)

    def _note_silence(self, now_s: float) -> None:
        answered_s = self.looked_s.get(Depth.HOLDINGS)
        if answered_s is None or UNREAD in self.world.causes:
            return
        silent_s = now_s - answered_s
        if silent_s > MISSED_LOOKS * self.settings.holdings_every_s:
            self.tell(names.PORTFOLIO, SetCause(_unread(f"for {silent_s:.0f} s")))

    @handles(LookAgain)
    def on_look_again(self, again: LookAgain) -> None:
        """Read a suspicion again."""
        self.soon.discard(again.depth)
        self._want(again.depth)

    def _want(self, depth: Depth) -> None:
        self.wanted = max(self.wanted, depth)
        if self.is_looking or self.wanted is Depth.NOTHING:
            return
        depth, self.wanted = self.wanted, Depth.NOTHING
        self.is_looking = True
        now = self.world.clock.now()
        now_s = self.world.clock.monotonic()
        for each in Depth:
            if each <= depth:
                self.asked_s[each] = now_s
        since = Since(self._outside_since(now), self.money.flows_since(now - _FIRST_OUTSIDE))
        self.run(self._look(depth, since))

    def _outside_since(self, now: datetime) -> datetime:
        if self.outside_since is not None:
            return self.outside_since - _OUTSIDE_MARGIN
        opened = [each.opened_at for each in live_positions(self.world) if each.opened_at]
        return min((*opened, now - _FIRST_OUTSIDE)) - _OUTSIDE_MARGIN

    async def _look(self, depth: Depth, since: Since) -> None:
        looked = await look(self.port, self.world.clock, depth, since, ask_mode=not self.mode_known)
        self.tell(self.name, looked)

    # --- what was seen ---

    @handles(Looked)
    def on_looked(self, looked: Looked) -> None:
        """Judge what was read, tell the owners, answer who asked."""
        self.is_looking = False
        self.mode_known = self.mode_known or looked.hedged is not None
        if looked.failed:
            log.warning("venue_not_read", failed=looked.failed)
        acts = not any(each.asked.dry_run for each in self.questions)
        if looked.outside is not None:
            self.outside_since = looked.began
            if self.holdings.note_outside(looked.outside) and looked.positions is None:
                self._want(Depth.HOLDINGS)
        if looked.orders is not None:
            self._note_answer(Depth.ORDERS, looked)
            if acts:
                self.tell(names.EXCHANGE, OrdersSeen(looked.orders, looked.began_s))
        if looked.positions is not None:
            self._note_answer(Depth.HOLDINGS, looked)
            if UNREAD in self.world.causes and self.settings.active:
                self.tell(names.PORTFOLIO, ClearCause(UNREAD))
            self.holdings.judge(looked, act=acts)
            agree = not any(side.differs for side in self.holdings.sides)
            self.money.note_holdings(looked.positions, agree=agree)
            if looked.orders is not None and acts:
                self._cancel_orphans(looked.orders)
        if looked.balances is not None:
            self._note_answer(Depth.MONEY, looked)
        self.money.judge(looked, act=acts)
        self._note_drift()
        if looked.depth >= Depth.HOLDINGS:
            done = (*self.holdings.done, *self.money.done)
            self.report = report_of(self.world, self.holdings, self.money, looked, done)
            self._answer(looked)
        self._look_again_soon(looked)
        self._want(Depth.NOTHING)

    def _note_answer(self, depth: Depth, looked: Looked) -> None:
        self.looked_s[depth] = looked.ended_s

    def _look_again_soon(self, looked: Looked) -> None:
        """Read suspicions again, but leave a venue that does not answer its time."""
        if looked.failed or not (self.settings.active or self.questions):
            return
        if self.holdings.is_waiting():
            self._look_after(AGAIN_AFTER_S, Depth.HOLDINGS)
        elif self.holdings.unsettled:
            self._look_after(UNSETTLED_AGAIN_AFTER_S, Depth.HOLDINGS)
        if self.money.since_s is not None:
            self._look_after(MONEY_AGAIN_AFTER_S, Depth.MONEY)

    def _look_after(self, delay_s: float, depth: Depth) -> None:
        if depth not in self.soon:
            self.soon.add(depth)
            self.after(delay_s, LookAgain(depth))

    def _note_drift(self) -> None:
        """Open nothing while a difference is being looked into."""
        if self.holdings.is_waiting():
            symbols = sorted({symbol for symbol, _ in self.holdings.suspicions})
            if DRIFT not in self.world.causes:
                self.tell(names.PORTFOLIO, SetCause(_drift(", ".join(symbols))))
        elif DRIFT in self.world.causes:
            self.tell(names.PORTFOLIO, ClearCause(DRIFT))

    def _cancel_orphans(self, orders: tuple[VenueOrder, ...]) -> None:
        """Cancel what rests there for a position that is over, seen at two looks.

        Unless the venue holds of the symbol what nobody here opened: it may be its stop.
        """
        unaccounted = {side.symbol for side in self.holdings.sides if side.differs}
        found: set[ClientOrderId] = set()
        for each in orders:
            order_id, symbol = each.terms.client_order_id, each.terms.symbol
            if symbol in unaccounted or not self._is_orphan(order_id):
                continue
            if order_id in self.orphans:
                self.tell(names.EXCHANGE, CancelOrphan(symbol, order_id))
            found.add(order_id)
        self.orphans = found

    def _is_orphan(self, order_id: ClientOrderId) -> bool:
        identity = identity_of(order_id)
        if identity is None or identity.account_tag != account_tag(self.world.account):
            return False
        known = names.order_stream(order_id) in self.world.states.latest
        return not known and self.world.position(identity.position_id) is None

    # --- what is pushed ---

    @handles(VenueReported)
    def on_report(self, report: VenueReported) -> None:
        """Look at once when the venue pushes what contradicts us."""
        match report.update:
            case OutsideFill() as outside:
                if self.holdings.note_outside((outside,)):
                    self._want(Depth.HOLDINGS)
            case CashFlow():
                self._want(Depth.MONEY)
            case PositionReport(positions=positions):
                if self.holdings.contradicts(positions):
                    self._look_soon(Depth.HOLDINGS)
            case BalanceReport(balances=balances):
                if self.money.contradicts(balances):
                    self._look_soon(Depth.MONEY)
            case _:
                pass  # the exchange actor's affair

    def _look_soon(self, depth: Depth) -> None:
        """Look now, but not for every push of many: our own fills are pushed as holdings too."""
        now_s = self.world.clock.monotonic()
        wait_s = self.asked_s.get(depth, now_s - PUSHED_EVERY_S) + PUSHED_EVERY_S - now_s
        if wait_s <= 0:
            self._want(depth)
        else:
            self._look_after(wait_s, depth)

    # --- who asks ---

    @handles(ReconcileNow)
    def on_reconcile_now(self, asked: ReconcileNow) -> None:
        """Look at everything for a person; the answer follows the look."""
        problem = None if asked.adopt is None else self._cannot_adopt(asked.adopt)
        if problem is not None:
            self.tell(names.EDGE, Answered(asked.request_id, problem))
            return
        if asked.adopt is not None and not asked.dry_run:
            self.holdings.adopt_wanted.add(asked.adopt)
        self.holdings.done.clear()
        self.money.done.clear()
        self.questions.append(_Question(asked, self.world.clock.monotonic()))
        self._want(Depth.MONEY)

    def _cannot_adopt(self, symbol: Symbol) -> Refusal | None:
        instrument = self.world.instruments.get(symbol)
        if instrument is None:
            known = ", ".join(sorted(self.world.instruments))
            return Refusal(
                "UNKNOWN_SYMBOL",
                f"{symbol} is not configured, so nothing could guard it.",
                f"Add it to market.symbols, or close it at the venue. Configured: {known}.",
                actual=symbol,
            )
        if instrument.kind is Kind.SPOT:
            return Refusal(
                "SPOT_IS_NOT_ADOPTED",
                f"Coins of {symbol} that were not bought here may be anybody's savings.",
                "Sell them at the venue, or buy here what is to be guarded.",
                actual=symbol,
            )
        return None

    def _answer(self, looked: Looked) -> None:
        """Answer whoever asked: at once to a dry run, else when nothing is left to be confirmed."""
        waiting: list[_Question] = []
        for question in self.questions:
            asked = question.asked
            if looked.depth < Depth.MONEY and not question.looks:
                waiting.append(question)
                continue
            question.looks += 1
            if not asked.dry_run and self._is_unfinished(question):
                question.done = self._done_count()
                waiting.append(question)
                continue
            self.tell(names.EDGE, Answered(asked.request_id, self._refusal(asked)))
        self.questions = waiting
        if any(not each.looks or each.done for each in waiting):
            self._want(Depth.MONEY)

    def _is_unfinished(self, question: _Question) -> bool:
        if self.world.clock.monotonic() - question.since_s > ANSWER_WITHIN_S:
            return False
        adopt = question.asked.adopt
        is_there = any(side.symbol == adopt and side.differs for side in self.holdings.sides)
        is_due = is_there and adopt in self.holdings.adopt_wanted
        has_acted = self._done_count() > question.done  # what became of it the next look tells
        return is_due or has_acted or self.holdings.is_waiting()

    def _done_count(self) -> int:
        return len(self.holdings.done) + len(self.money.done)

    def _refusal(self, asked: ReconcileNow) -> Refusal | None:
        if asked.adopt is None or asked.dry_run or asked.adopt not in self.holdings.adopt_wanted:
            return None
        self.holdings.adopt_wanted.discard(asked.adopt)
        return Refusal(
            "NOTHING_TO_ADOPT",
            f"The venue holds no {asked.adopt} that could be taken over.",
            "See what it holds: holdfast reconcile --dry-run.",
            actual=asked.adopt,
        )


def _drift(symbols: str) -> ModeCause:
    return ModeCause(
        code=DRIFT,
        mode=Mode.NO_ENTRY,
        message=f"The venue holds other than we believe of {symbols}.",
        way_out="It ends by itself once it is explained; see holdfast reconcile --dry-run.",
    )


def _unread(since: str) -> ModeCause:
    return ModeCause(
        code=UNREAD,
        mode=Mode.NO_ENTRY,
        message=f"The venue has not told what it holds {since}.",
        way_out="It ends by itself once the venue answers; see holdfast health.",
    )
