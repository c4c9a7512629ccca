"""The reconciler: compares what the venue says with what we believe, all the time.

It reads and judges; what follows from it is told to the owners: orders to the exchange actor,
holdings to positions, money to the portfolio. Nothing of its own is journaled. A failed read is no
answer: nothing is concluded from it, and when answers stay away nothing new is opened.
"""

from datetime import datetime
from math import inf

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
    HoldingsRead,
    NoneToClose,
    OrdersSeen,
    ReconcileNow,
    SetCause,
    Uncompared,
    VenueReported,
)
from actors.money import Money
from actors.ownership import FOREIGN_ORDERS, is_strange, not_alone
from actors.reconcile_questions import Questions
from actors.reconcile_report import Report, report_of
from actors.reconcile_rules import (
    AGAIN_AFTER_S,
    BOOKED_WITHIN_S,
    DRIFT,
    FIRST_LOOK_WITHIN_S,
    FIRST_OUTSIDE,
    MISSED_LOOKS,
    MONEY_AGAIN_AFTER_S,
    OUTSIDE_MARGIN,
    PUSHED_EVERY_S,
    UNREAD,
    UNSETTLED_AGAIN_AFTER_S,
    ReconcileSettings,
    drift,
    unread,
)
from actors.world import World
from domain.ids import ClientOrderId, account_tag, identity_of
from domain.inputs import EXITS
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
            world,
            self._tell,
            adopts=settings.adopts,
            stop_ratio=settings.stop_ratio,
            not_held=port.abilities.not_held,
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
        self.soon: dict[Depth, float] = {}  # looks that are timed, monotonic
        self.mode_known = False
        self.outside_since: datetime | None = None
        self.orphans: set[ClientOrderId] = set()  # seen once; canceled when seen again
        self.questions = Questions(self.holdings)
        self.acting_s = -inf  # monotonic, when a look that may change something began last
        self.acted_s = -inf  # monotonic, when owners were told to do something last
        self.report: Report | None = None  # of the last look at holdings

    def _tell(self, name: str, message: object) -> object:
        return self.tell(name, message)

    # --- when to look ---

    def on_start(self) -> None:
        """Look at everything once the venue is connected, then regularly."""
        if not self.settings.active:
            return
        self.every(1.0, Beat())
        self.tell(names.PORTFOLIO, SetCause(unread("yet")))
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
            self.tell(names.PORTFOLIO, SetCause(unread("since its stream came back")))

    @handles(Compared)
    def on_compared(self, message: Compared) -> None:
        """Look at holdings and money now that orders and fills are known."""
        del message
        if self.settings.active:
            self._want(Depth.MONEY)

    @handles(NoneToClose)
    def on_none_to_close(self, message: NoneToClose) -> None:
        """Look at holdings now: whose is missing?"""
        del message
        if self.settings.active:
            self._want(Depth.HOLDINGS)

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
            self.tell(names.PORTFOLIO, SetCause(unread(f"for {silent_s:.0f} s")))

    @handles(LookAgain)
    def on_look_again(self, again: LookAgain) -> None:
        """Read a suspicion again."""
        self.soon.pop(again.depth, None)
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
        since = Since(self._outside_since(now), self.money.flows_since(now - FIRST_OUTSIDE))
        self.run(self._look(depth, since))

    def _outside_since(self, now: datetime) -> datetime:
        if self.outside_since is not None:
            return self.outside_since - OUTSIDE_MARGIN
        opened = [each.opened_at for each in live_positions(self.world) if each.opened_at]
        return min((*opened, now - FIRST_OUTSIDE)) - OUTSIDE_MARGIN

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
        before = self.holdings.deeds + self.money.deeds
        acts = self._may_act(looked)
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
            self.holdings.judge(looked, act=acts)
            self.holdings.elsewhere.note(looked)
            held_back = self.holdings.dust.holds_back(looked.began_s)
            agree = not self.world.differing and not held_back
            missing = self.holdings.dust.missing
            self.money.note_holdings(looked.positions, missing, agree=agree)
            if not self.world.is_reconciled:
                self.tell(names.EXCHANGE, self._read(looked))
            if looked.orders is not None and acts:
                self._cancel_orphans(looked.orders)
        if looked.balances is not None:
            self._note_answer(Depth.MONEY, looked)
        self.money.judge(looked, act=acts)
        if self.holdings.deeds + self.money.deeds > before:
            self.acted_s = self.world.clock.monotonic()
        self._note_drift()
        if looked.positions is not None and UNREAD in self.world.causes and self.settings.active:
            self.tell(names.PORTFOLIO, ClearCause(UNREAD))
        if looked.depth >= Depth.HOLDINGS:
            done = (*self.holdings.done, *self.money.done)
            self.report = report_of(self.world, self.holdings, self.money, looked, done)
            self._answer(looked)
        self._look_again_soon(looked)
        self._want(Depth.NOTHING)

    def _read(self, looked: Looked) -> HoldingsRead:
        """Coins that somebody else bought hide what was sold of ours: more is a difference too."""
        differing = {
            each.symbol
            for each in self.holdings.sides
            if each.differs or (each.is_spot and each.gap >= each.lot_size)
        }
        return HoldingsRead(frozenset(differing), looked.began_s)

    def _may_act(self, looked: Looked) -> bool:
        """Whether this look may change anything: not for who only wants to see.

        Unless that is asked again and again: then what is due goes on all the same.
        """
        is_due = looked.began_s - self.acting_s >= self.settings.holdings_every_s
        if self.questions.is_dry and not (self.settings.active and is_due):
            return False
        self.acting_s = looked.began_s
        return True

    def _note_answer(self, depth: Depth, looked: Looked) -> None:
        self.looked_s[depth] = looked.ended_s

    def _look_again_soon(self, looked: Looked) -> None:
        """Read suspicions again, but leave a venue that does not answer its time."""
        if looked.failed or not (self.settings.active or self.questions.waiting):
            return
        is_waiting = self.holdings.is_waiting()
        if is_waiting and self.holdings.may_confirm():
            self._look_after(AGAIN_AFTER_S, Depth.HOLDINGS)
        elif is_waiting or self.holdings.unsettled:
            self._look_after(UNSETTLED_AGAIN_AFTER_S, Depth.HOLDINGS)
        if self.money.since_s is not None:
            self._look_after(MONEY_AGAIN_AFTER_S, Depth.MONEY)

    def _look_after(self, delay_s: float, depth: Depth) -> None:
        """Look later, unless a look as deep comes about then: a venue counts requests."""
        due_s = self.world.clock.monotonic() + delay_s
        if all(each < depth or at > due_s + PUSHED_EVERY_S for each, at in self.soon.items()):
            self.soon[depth] = due_s
            self.after(delay_s, LookAgain(depth))

    def _note_drift(self) -> None:
        """Open nothing while a difference is being looked into."""
        if self.holdings.is_waiting():
            symbols = sorted({symbol for symbol, _ in self.holdings.suspicions})
            if DRIFT not in self.world.causes:
                self.tell(names.PORTFOLIO, SetCause(drift(", ".join(symbols))))
        elif DRIFT in self.world.causes:
            self.tell(names.PORTFOLIO, ClearCause(DRIFT))

    def _cancel_orphans(self, orders: tuple[VenueOrder, ...]) -> None:
        """Cancel what rests there for a position that is over, seen at two looks.

        Unless the venue holds of the symbol what nobody here opened: it may be its stop. What
        rests for a position that never was here is somebody else's, and stops entries.
        """
        found: set[ClientOrderId] = set()
        for each in orders:
            order_id, symbol = each.terms.client_order_id, each.terms.symbol
            if not self._is_orphan(order_id):
                continue
            if self._is_strange(order_id):
                if order_id in self.orphans and FOREIGN_ORDERS not in self.world.causes:
                    self.tell(names.PORTFOLIO, SetCause(not_alone(order_id)))
            elif symbol in self.world.differing:
                continue
            elif order_id in self.orphans:
                self.tell(names.EXCHANGE, CancelOrphan(symbol, order_id))
            found.add(order_id)
        self.orphans = found

    def _is_orphan(self, order_id: ClientOrderId) -> bool:
        identity = identity_of(order_id)
        if identity is None or identity.account_tag != account_tag(self.world.account):
            return False
        known = names.order_stream(order_id) in self.world.states.latest
        return not known and self.world.position(identity.position_id) is None

    def _is_strange(self, order_id: ClientOrderId) -> bool:
        identity = identity_of(order_id)
        never_here = identity is not None and is_strange(self.world, identity.position_id)
        return never_here and not self.holdings.adopts  # who takes over everything was told to

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
                if not self.holdings.is_waiting() and self.money.contradicts(balances):
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
        problem = self.questions.take(asked, self.world)
        if problem is not None:
            self.tell(names.EDGE, Answered(asked.request_id, problem))
            return
        self.holdings.done.clear()
        self.money.done.clear()
        self._want(Depth.MONEY)

    def _answer(self, looked: Looked) -> None:
        now_s = self.world.clock.monotonic()
        is_booked = looked.began_s >= self.acted_s + BOOKED_WITHIN_S
        for request_id, refusal in self.questions.answered(looked, now_s, is_booked=is_booked):
            self.tell(names.EDGE, Answered(request_id, refusal))
        if self.questions.waiting:
            self._look_after(AGAIN_AFTER_S, Depth.MONEY)
