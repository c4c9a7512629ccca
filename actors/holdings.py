"""What the venue holds against what we believe: suspects, confirms, attributes, tells owners.

Owned by the reconciler; nothing of it is journaled. After a restart it looks anew.
"""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from math import inf
from typing import Any

import structlog
from msgspec.structs import replace

from actors import names
from actors.dust import DustWatch
from actors.elsewhere import Elsewhere
from actors.local_truth import dust_of, held_of, live_positions, unsettled
from actors.looking import Looked
from actors.world import World
from domain.adoption import emergency_plan
from domain.errors import Refusal
from domain.ids import PositionId, Symbol, TradeId
from domain.inputs import AdoptPosition, OutsideReported
from domain.instrument import Direction
from domain.money import ONE, ZERO
from domain.order import OrderStatus
from domain.reconciliation import (
    CONFIRM_S,
    JUST_FILLED_S,
    SETTLED_S,
    UNEXPLAINED_NEW_S,
    UNEXPLAINED_S,
    Explanation,
    Finding,
    Key,
    Reduction,
    Seen,
    Side,
    Suspicion,
    booked_of,
    compare,
    confirm,
    explain,
    whole_trade,
)
from domain.venue import OutsideFill, VenuePosition

log = structlog.get_logger("trade.execution")

KEPT = timedelta(minutes=10)  # what others traded explains nothing that is found later than this
BY_MARGIN = "Close at the venue what is not of this daemon. Until then nothing of it is compared."
EXPLAINS_WITHIN_S = 10.0  # of being told: holdings read since agree with ours without it
MOST_TOLD = 50
Tell = Callable[[str, Any], object]


class Holdings:
    """Knows what is suspected, what others traded, and what is in quarantine."""

    def __init__(
        self,
        world: World,
        tell: Tell,
        *,
        adopts: bool,
        stop_ratio: Decimal,
        not_held: frozenset[str] = frozenset(),
    ) -> None:
        self.not_held = not_held  # codes of the venue: an exit asks for more than is held
        self.world = world
        self.tell = tell
        self.adopts = adopts
        self.stop_ratio = stop_ratio
        self.elsewhere = Elsewhere(world)
        self.dust = DustWatch(world, tell)
        self.hedged = False
        self.sides: tuple[Side, ...] = ()  # as last read
        self.unsettled: frozenset[Symbol] = frozenset()
        self.suspicions: dict[Key, Suspicion] = {}
        self.quarantined: dict[Key, Side] = {}
        self.adopt_wanted: set[Symbol] = set()
        self.seen: dict[TradeId, Seen] = {}
        self.done: deque[str] = deque(maxlen=MOST_TOLD)  # about it, since somebody asked
        self.deeds = 0  # since the start
        self.drifts = 0  # since the start

    # --- what others traded ---

    def note_outside(self, fills: Iterable[OutsideFill]) -> bool:
        """Remember executions by others; whether any was new."""
        new = [each for each in fills if each.fill.trade_id not in self.seen]
        if not new:
            return False
        positions = live_positions(self.world)
        booked = booked_of(fill for each in positions for fill in each.outside_fills)
        portfolio = self.world.portfolio()
        closed = {} if portfolio is None else portfolio.closed
        over = {whole_trade(trade_id) for ids in closed.values() for trade_id in ids}
        for each in new:
            trade_id = each.fill.trade_id
            used = each.fill.quantity if trade_id in over else booked.get(trade_id, ZERO)
            now_s = self.world.clock.monotonic()
            self.seen[trade_id] = Seen(each, min(used, each.fill.quantity), now_s)
        self._show_others()
        return True

    def _show_others(self) -> None:
        """Let the proof that an order never was know what others changed, and nobody has booked."""
        self.world.others = tuple(each for each in self.seen.values() if each.left)

    def _forget_old(self, now: datetime) -> None:
        """Drop what explained nothing for long, or is used up and will not be told again."""
        self.seen = {
            trade_id: each
            for trade_id, each in self.seen.items()
            if each.outside.fill.at > now - KEPT
        }

    # --- judging ---

    def judge(self, looked: Looked, *, act: bool) -> None:
        """Compare what was read; act on what it confirms."""
        assert looked.positions is not None
        if looked.hedged is not None:
            self.hedged = looked.hedged
        positions = live_positions(self.world)
        self.sides = compare(
            held_of(positions),
            looked.positions,
            self.world.instruments,
            dust_of(self.world),
            hedged=self.hedged,
        )
        differing = frozenset(side.symbol for side in self.sides if side.differs)
        self.world.differing = differing
        self.world.holdings_at = looked.began
        self.world.lacking = frozenset(side.key for side in self.sides if side.lacks)
        resting = None
        if looked.orders is not None:
            resting = {each.terms.client_order_id: each.filled for each in looked.orders}
        asked = differing | self.dust.symbols()
        self.unsettled = unsettled(self.world, asked, positions, resting, looked.began_s)
        self._note_who_shares(differing)
        booked = self.world.booked  # what was suspected before a change is another matter now
        fresh = {
            key: each
            for key, each in self.suspicions.items()
            if booked.get(key[0], -inf) < each.since_s
        }
        self.suspicions, findings = confirm(
            fresh,
            self.sides,
            self.unsettled,
            began_s=looked.began_s,
            ended_s=looked.ended_s,
        )
        self._release_quarantine()
        self._judge_dust(looked, act=act)
        if act:
            for finding in findings:
                self._act(finding)
        if not self.suspicions:
            self._settle_seen()
            self._forget_old(looked.began)
        self._show_others()

    def _judge_dust(self, looked: Looked, *, act: bool) -> None:
        for each in self.dust.judge(
            looked, self.sides, self.unsettled, hedged=self.hedged, act=act
        ):
            symbol = each.dust.symbol
            self.elsewhere.forget(symbol)
            self._did(f"{each.dust.quantity - each.left} {symbol} left over here written off")

    def _settle_seen(self) -> None:
        """What others traded in a symbol in which nothing is missing has explained itself away."""
        before_s = self.world.clock.monotonic() - EXPLAINS_WITHIN_S
        for trade_id, each in self.seen.items():
            is_old = each.noted_s < before_s
            if is_old and each.left and each.outside.fill.symbol not in self.unsettled:
                self.seen[trade_id] = replace(each, used=each.outside.fill.quantity)

    def explained(self, side: Side) -> Explanation:
        """Return what a difference comes down to, at the price of now."""
        price = self.world.prices.marks().get(side.symbol)
        return explain(side, tuple(self.seen.values()), price, self.world.clock.now())

    def _act(self, finding: Finding) -> None:
        side = finding.side
        if side.in_both_margins:
            self._leave_alone(side, f"{side.symbol} is held in both margin modes", BY_MARGIN)
            return
        explanation = self.explained(side)
        if explanation.reductions and finding.age_s >= CONFIRM_S:
            self._reduce(explanation.reductions)
        elif finding.age_s < self.stands_for_s(side.symbol):
            return
        elif explanation.guesses:
            self._reduce(explanation.guesses)
        elif explanation.surplus:
            self._take_in(side, explanation)

    def stands_for_s(self, symbol: Symbol) -> float:
        """Return how long what nothing explains must have stood: longer after a fill of ours.

        Whoever trades leaves an execution. A venue that shows neither it nor our fill is more
        likely to be behind, unless it refuses an exit too, for want of what is missing.
        """
        if any(each.left and each.outside.fill.symbol == symbol for each in self.seen.values()):
            return UNEXPLAINED_S
        since_s = self.world.clock.monotonic() - self.world.booked.get(symbol, -inf)
        if since_s >= JUST_FILLED_S or self._is_refused(symbol, since_s - SETTLED_S):
            return UNEXPLAINED_S
        return UNEXPLAINED_NEW_S

    def _is_refused(self, symbol: Symbol, within_s: float) -> bool:
        """Whether the venue has refused an exit of a symbol lately, since there is not so much."""
        since = self.world.clock.now() - timedelta(seconds=within_s)
        return any(
            order.status is OrderStatus.REJECTED
            and order.terms.symbol == symbol
            and order.terms.reduce_only
            and order.reason.partition(":")[0] in self.not_held
            and order.updated_at is not None
            and order.updated_at > since
            for order in self.world.states.latest_of("order")
        )

    def _reduce(self, reductions: Iterable[Reduction]) -> None:
        for each in reductions:
            fill = each.fill
            self.drifts += 1
            log.warning(
                "closed_outside",
                position_id=each.position_id,
                symbol=fill.symbol,
                quantity=fill.quantity,
                price=fill.price,
                cause=each.cause.value,
                estimated=each.estimated,
            )
            report = OutsideReported(each.position_id, fill, each.cause, each.estimated)
            if self.tell(names.position(each.position_id), report) is False:
                self._alarm("DRIFT_STUCK", f"position {each.position_id} cannot be told of it")
                continue
            if each.estimated:
                self.elsewhere.forget(fill.symbol)
            else:
                self.elsewhere.booked(fill)
            self._note_change(fill.symbol)
            self._did(f"{fill.quantity} of position {each.position_id} booked as closed")
            seen = self.seen.get(whole_trade(fill.trade_id))
            if seen is not None:
                self.seen[whole_trade(fill.trade_id)] = replace(
                    seen, used=seen.used + fill.quantity
                )

    # --- more than ours ---

    def _take_in(self, side: Side, explanation: Explanation) -> None:
        """Adopt what nobody here opened, or leave it alone and open nothing beside it."""
        before = self.quarantined.get(side.key)
        if before is not None and before.venue == side.venue and not self.may_adopt(side.symbol):
            return
        problem = self._adopt(side, explanation) if self.may_adopt(side.symbol) else ""
        if problem is None:
            return
        found = f"{explanation.surplus_direction.value} {explanation.surplus}"
        what = f"{side.symbol}: the venue holds {found} more than was opened here"
        way_out = (
            f"Close it at the venue, or take it over: holdfast reconcile --adopt {side.symbol}."
        )
        self._leave_alone(side, f"{what}{problem}", way_out)

    def _leave_alone(self, side: Side, what: str, way_out: str) -> None:
        """Open nothing in a symbol of which the venue holds what is not known to be ours."""
        before = self.quarantined.get(side.key)
        self.quarantined[side.key] = side
        self.world.quarantined[side.symbol] = Refusal(
            "SYMBOL_IN_QUARANTINE", f"{what}.", way_out, actual=side.symbol
        )
        if before is None or before.venue != side.venue:
            self.drifts += 1
            log.warning("unknown_position", symbol=side.symbol, quantity=abs(side.gap))
            self._alarm("FOREIGN_POSITION", what)
            self._did(f"{side.symbol} is in quarantine")

    def may_adopt(self, symbol: Symbol) -> bool:
        """Whether what nobody here opened is taken over: by the configuration, or as asked."""
        return self.adopts or symbol in self.adopt_wanted

    def _adopt(self, side: Side, explanation: Explanation) -> str | None:
        """Have a position born of it; return why not."""
        instrument = self.world.instruments.get(side.symbol)
        price = self.world.prices.marks().get(side.symbol)
        if instrument is None:
            return "; it cannot be adopted: the symbol is not configured"
        if price is None:
            return "; it cannot be adopted before the feed tells a price"
        if not instrument.can_be_ordered(explanation.surplus):
            return "; it cannot be adopted: it is less than the smallest order"
        direction = explanation.surplus_direction
        rules = self.world.rules.modifications
        position_id = PositionId(self.world.ids.uuid())
        self.adopt_wanted.discard(side.symbol)
        self.drifts += 1
        self._note_change(side.symbol)
        self.elsewhere.forget(side.symbol)
        log.warning("position_adopted", position_id=position_id, symbol=side.symbol)
        self.tell(
            names.POSITIONS,
            AdoptPosition(
                position_id=position_id,
                account=self.world.account,
                instrument=instrument,
                direction=direction,
                quantity=explanation.surplus,
                price=side.price or price,
                leverage=side.leverage or ONE,
                plan=emergency_plan(
                    instrument,
                    direction,
                    price,
                    side.liquidation_price,
                    min(self.stop_ratio, rules.max_stop_distance_ratio),
                ),
                rationale="found at the venue",
            ),
        )
        self._did(f"{explanation.surplus} {side.symbol} adopted as position {position_id}")
        return None

    def _note_who_shares(self, differing: frozenset[Symbol]) -> None:
        """Tell exits of which symbols others hold some; what moves at this moment stays as it was.

        A read from before an exit filled, judged afterward, would make everybody a sharer. Before
        the first read of a life nothing was known.
        """
        sharing = frozenset(side.symbol for side in self.sides if side.is_shared)
        before = self.world.shared if self.world.holdings_known else sharing
        self.world.shared = (before & differing & self.unsettled) | (sharing - self.unsettled)
        self.world.holdings_known = True

    def _release_quarantine(self) -> None:
        """Open a symbol again once nothing of it is unaccounted for."""
        differing = {side.key for side in self.sides if side.differs}
        for key in [key for key in self.quarantined if key not in differing]:
            del self.quarantined[key]
            log.info("quarantine_over", symbol=key[0])
        for symbol in list(self.world.quarantined):
            if all(symbol != each for each, _ in self.quarantined):
                del self.world.quarantined[symbol]

    def contradicts(self, told: Iterable[VenuePosition]) -> bool:
        """Whether pushed holdings are other than ours."""
        pushed = {each.symbol for each in told}
        held = [each for each in held_of(live_positions(self.world)) if each.symbol in pushed]
        sides = compare(held, told, self.world.instruments, {}, hedged=self.hedged)
        if not self.hedged:
            return any(side.differs for side in sides)
        # A side that is not named did not change; a flat one does not say which side it was.
        named = {(each.symbol, each.quantity > ZERO) for each in told if each.quantity}
        flat = {each.symbol for each in told if not each.quantity}
        return any(
            side.differs
            and (side.symbol in flat or (side.symbol, side.direction is Direction.LONG) in named)
            for side in sides
        )

    def may_confirm(self) -> bool:
        """Whether another look may confirm a difference: nothing that is in flight blurs it."""
        return any(key[0] not in self.unsettled for key in self.suspicions)

    def is_waiting(self) -> bool:
        """Whether a difference is to be read again soon: none that is in quarantine as it is."""
        return any(
            key not in self.quarantined or self.quarantined[key].venue != each.venue
            for key, each in self.suspicions.items()
        )

    def _did(self, what: str) -> None:
        self.done.append(what)
        self.deeds += 1

    def _note_change(self, symbol: Symbol) -> None:
        """Let no read count that may still show what was before."""
        self.world.booked[symbol] = self.world.clock.monotonic()

    def _alarm(self, code: str, text: str) -> None:
        self.world.telemetry.alarm(code, text)
