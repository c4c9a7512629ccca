"""How an account judges what is asked of it: an entry, or an addition to a position.

Everything it looks at is in the world; the portfolio actor journals what comes of it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from actors.attempts import judged
from actors.messages import RequestAddition, RequestApproval
from actors.world import World
from domain import portfolio as core
from domain.commands import AddToPosition, EntryRequest, ProtectionPlan
from domain.errors import Refusal
from domain.ids import MANUAL, PositionId, Symbol, client_order_id
from domain.inputs import BeginAddition, BeginEntry
from domain.instrument import Direction
from domain.modes import ModeCause
from domain.money import ZERO
from domain.portfolio_events import EntryReserved
from domain.portfolio_state import Portfolio, limits_of
from domain.position import Position
from domain.position_additions import addition_problem, plan_with, risk_of_held
from exchanges.port import PositionMode


class Approvals:
    """Judges for one account; `causes` are those of this run."""

    def __init__(self, world: World, portfolio: Portfolio, causes: Iterable[ModeCause]) -> None:
        self.world = world
        self.portfolio = portfolio
        self.causes = tuple(causes)

    def entry(self, approval: RequestApproval) -> tuple[EntryReserved, BeginEntry] | Refusal:
        """Return the reservation for an entry and the birth of its position, or why not."""
        request = approval.request
        if self.world.position(request.position_id) is not None:
            return Refusal(
                "POSITION_EXISTS",
                f"Position {request.position_id} has been opened already.",
                "Leave the id out to open another.",
            )
        reserved = self.judge(approval, leg="entry-0")
        if isinstance(reserved, Refusal):
            return reserved
        begin = BeginEntry(
            position_id=request.position_id,
            account=self.world.account,
            trader=request.trader,
            instrument=reserved.instrument,
            direction=request.direction,
            client_order_id=reserved.client_order_id,
            quantity=reserved.quantity,
            limit_price=request.limit_price,
            leverage=reserved.leverage,
            plan=request.plan,
            expires_at=self._expiry(request.expires_at),
            decision_id=request.decision_id,
            rationale=request.rationale,
            request_id=request.request_id,
            user=request.user,
        )
        return reserved, begin

    def addition(self, asked: RequestAddition) -> tuple[EntryReserved, BeginAddition] | Refusal:
        """Return the reservation for an addition and what its position is to be told, or why not.

        It is judged as an entry under the rules that guard the position now (or the stop that comes
        with it), its risk together with that of what is held.
        """
        command = asked.command
        position = self.world.position(command.position_id)
        if position is None or command.position_id not in self.portfolio.holdings:
            return _over(command.position_id)
        problem = addition_problem(position, command.number) or _locked(position, command)
        if problem is not None:
            return problem
        request = request_of(position, command)
        symbol = position.instrument.symbol
        last = self.world.prices.market(symbol).last
        risk = ZERO if last is None else risk_of_held(position, request.plan, last)
        leg = f"entry-{len(position.additions) + 1}"
        reserved = self.judge(RequestApproval(request, asked.limits), leg=leg, held_risk=risk)
        if isinstance(reserved, Refusal):
            return reserved
        begin = BeginAddition(
            position_id=position.id,
            client_order_id=reserved.client_order_id,
            quantity=reserved.quantity,
            limit_price=command.limit_price,
            expires_at=self._expiry(command.expires_at),
            stop_price=command.stop_price,
            widen=command.widen,
            requested_by=command.requested_by,
            decision_id=command.decision_id,
            rationale=command.rationale,
            request_id=command.request_id,
        )
        return reserved, begin

    def judge(
        self, approval: RequestApproval, *, leg: str, held_risk: Decimal = ZERO
    ) -> EntryReserved | Refusal:
        """Return the reservation with the attempt that it is for, or why there is none."""
        decided = self._judged(approval, leg=leg, held_risk=held_risk)
        if isinstance(decided, Refusal):
            return decided
        return replace(decided, attempt=judged(self.world, approval.request, decided, decided.at))

    def _judged(
        self, approval: RequestApproval, *, leg: str, held_risk: Decimal
    ) -> EntryReserved | Refusal:
        world, request = self.world, approval.request
        if request.symbol not in world.instruments:
            return unknown_symbol(request.symbol, world.instruments)
        market = world.prices.market(request.symbol)
        if request.symbol in world.watched_only:
            return Refusal(
                "WATCHED_ONLY",
                f"{request.symbol} is watched, not traded.",
                "To trade it, move it from market.watch to market.symbols in the configuration.",
            )
        quarantined = world.quarantined.get(request.symbol)
        if quarantined is not None:
            return quarantined
        barred = world.barred.get(request.symbol)
        if barred is not None:
            return barred
        if market.last is None:
            return Refusal(
                "NO_PRICE",
                f"No price for {request.symbol} yet.",
                "Wait for the feed: `holdfast status` shows its age.",
            )
        if not market.is_fresh:
            return Refusal(
                "STALE_PRICE",
                world.prices.why_not_fresh(request.symbol),
                "Wait until the feed is back: `holdfast status` shows its age.",
            )
        facts = world.link.facts
        return core.approve_entry(
            self.portfolio,
            request,
            world.instruments[request.symbol],
            price=market.last,
            client_order_id=client_order_id(world.account, request.position_id, leg, 0),
            trader_limits=approval.limits,
            account_limits=limits_of(self.portfolio, world.limits),
            extra_causes=self.causes,
            marks=world.prices.marks(),
            now=world.clock.now(),
            held_risk=held_risk,
            is_net=facts is not None and facts.position_mode is PositionMode.NET,
            one_leverage=facts is not None,
        )

    def _expiry(self, wished: datetime | None) -> datetime:
        at = self.world.clock.now() + timedelta(seconds=self.world.entry_expires_s)
        return at if wished is None else min(at, wished)


def unknown_symbol(symbol: Symbol, known: Iterable[Symbol]) -> Refusal:
    """Refuse a symbol that nobody watches."""
    return Refusal(
        "UNKNOWN_SYMBOL",
        f"{symbol} is not watched.",
        f"Watched: {', '.join(known)}. Add it to market.symbols in the configuration.",
    )


def _over(position_id: PositionId) -> Refusal:
    return Refusal("POSITION_CLOSED", f"Position {position_id} is closed.", "Open a new one.")


def _locked(position: Position, command: AddToPosition) -> Refusal | None:
    """Refuse a strategy's addition to what a person has changed."""
    if command.requested_by.is_manual or not position.manual_lock:
        return None
    return Refusal(
        "MANUAL_LOCK",
        f"A person changed position {position.id}: what a strategy wants of it waits for one.",
        "Add to it by hand: holdfast add.",
    )


def addition_asked(world: World, command: AddToPosition) -> EntryRequest:
    """Return an addition that was refused as the entry that it is, also to a position unknown."""
    position = world.position(command.position_id)
    if position is not None:
        return request_of(position, command)
    return EntryRequest(
        position_id=command.position_id,
        trader=MANUAL,
        symbol=Symbol(""),
        direction=Direction.LONG,
        size_by=command.size_by,
        size=command.size,
        plan=ProtectionPlan(),
        limit_price=command.limit_price,
        requested_by=command.requested_by,
        decision_id=command.decision_id,
        request_id=command.request_id,
        source=command.source,
        user=command.user,
    )


def request_of(position: Position, command: AddToPosition) -> EntryRequest:
    """Return an addition as the entry that it is."""
    return EntryRequest(
        position_id=position.id,
        trader=position.trader,
        symbol=position.instrument.symbol,
        direction=position.direction,
        size_by=command.size_by,
        size=command.size,
        plan=plan_with(position, command.stop_price),
        limit_price=command.limit_price,
        leverage=position.leverage,
        confidence=command.confidence,
        volatility=command.volatility,
        requested_by=command.requested_by,
        decision_id=command.decision_id,
        rationale=command.rationale,
        request_id=command.request_id,
        expires_at=command.expires_at,
        source=command.source,
        user=command.user,
    )
