"""The desk's reads.

Durable states as views, the journal's story of a position, the health of the actors.
"""

import os
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from actors import names
from actors.approvals import unknown_symbol
from daemon import admin_requests as ask
from daemon import views
from daemon.archive import Archive
from daemon.assembly import Assembly
from daemon.execution_views import execution_view, latency_rows
from daemon.health import health_view
from daemon.limit_views import account_limits_view, trader_limits_view
from daemon.market_view import market_view
from daemon.position_views import NOTHING_SEEN, Seen, conflict_rows, position_row, position_view
from daemon.pulse import Pulse
from daemon.venue_views import venue_view
from daemon.version import installed_version
from daemon.view_text import View
from domain.commands import SizeBy
from domain.errors import Refusal
from domain.feed_state import FeedState
from domain.ids import ClientOrderId, PositionId, Symbol, TraderName, identity_of
from domain.modes import Mode, ModeCause, worst
from domain.money import ZERO
from domain.order import Order
from domain.portfolio import Portfolio
from domain.portfolio_events import (
    AccountIdentified,
    AccountLimitsChanged,
    AccountMoved,
    BalanceCorrected,
    CashMoved,
    DayRolled,
    DustGone,
    EntriesResumed,
    EntriesStopped,
    KillSwitchReset,
    KillSwitchTripped,
    PortfolioOpened,
)
from domain.position import Position
from domain.trader_state import (
    DecisionRefused,
    StrategyHung,
    Trader,
    TraderLimitsChanged,
    TraderPaused,
    TraderResumed,
)
from runtime.watchdog import Lag

Result = dict[str, object]
# What people and limits did to a trader or the account; `why NAME` tells them.
_CHANGES: tuple[type, ...] = (
    TraderPaused,
    StrategyHung,
    TraderResumed,
    TraderLimitsChanged,
    DecisionRefused,
    PortfolioOpened,
    AccountIdentified,
    AccountMoved,
    EntriesStopped,
    EntriesResumed,
    DayRolled,
    KillSwitchTripped,
    KillSwitchReset,
    AccountLimitsChanged,
    CashMoved,
    DustGone,
    BalanceCorrected,
)


class DeskReads:
    """Looks at what is durable; asks the journal only for the past."""

    def __init__(self, assembly: Assembly, archive: Archive, pulse: Pulse | None = None) -> None:
        self.parts = assembly
        self.world = assembly.world
        self.archive = archive
        self.pulse = pulse or Pulse(assembly, lambda: Lag(0, 0.0, 0.0, 0.0))

    async def handle(self, request: Any) -> Result | Refusal:
        """Answer a read."""
        match request:
            case ask.Ping():
                return {"pong": True, "pid": os.getpid()}
            case ask.Status():
                return self.status()
            case ask.Health():
                return self.health()
            case ask.Mode():
                return self.mode()
            case ask.ShowPortfolio():
                return self._portfolio_view()
            case ask.ListTraders():
                return {"traders": self._traders()}
            case ask.ListPositions():
                return await self._positions(request)
            case ask.ShowPosition(position=prefix):
                return await self.position(prefix)
            case ask.ListOrders():
                return await self._orders(request)
            case ask.Latency():
                return {"latency": latency_rows(self.world.latency)}
            case ask.ListExecutions():
                return await self._executions(request)
            case ask.Market(symbol=symbol, depth=depth):
                return await self._market(Symbol(symbol), depth)
            case ask.ListConflicts():
                return {"conflicts": self._conflicts()}
            case ask.Why(subject=prefix):
                return await self._why(prefix)
            case _:
                raise TypeError(f"{type(request).__name__} is not a read")

    # --- states ---

    def open_positions(self) -> list[Position]:
        """Return durable positions that are not closed, newest first."""
        found = [each for each in self.world.states.of_kind("position") if not each.is_closed]
        return sorted(found, key=lambda each: each.intended_at, reverse=True)

    def position_by_id(self, position_id: str) -> Position | None:
        """Return a durable position in memory, closed or not."""
        held = self.world.states.durable.get(f"position/{position_id}")
        return None if held is None else held[1]

    @property
    def portfolio(self) -> Portfolio | None:
        """The account, as far as it is durable."""
        held = self.world.states.durable.get(names.portfolio(self.world.account))
        return None if held is None else held[1]

    def mode_and_causes(self) -> tuple[Mode, tuple[ModeCause, ...]]:
        """Return what may be done now, and why."""
        actor = self.parts.actor(names.PORTFOLIO)
        own = () if actor is None else tuple(actor.causes.values())
        portfolio = self.portfolio
        causes = (*own, *(() if portfolio is None else portfolio.causes))
        return worst(causes), causes

    def mode(self) -> Result:
        """Return the mode with its causes."""
        _, causes = self.mode_and_causes()
        return views.mode_view(causes)

    def seen(self, position: Position) -> Seen:
        """Return prices of the moment, and extremes as far as they are durable."""
        symbol = position.instrument.symbol
        market = self.world.prices.market(symbol)
        state = self._feed_state()
        low = high = best = None
        if position.armed_since is not None:
            pair = state.of(symbol, position.plan.watches).since(position.armed_since)
            low, high = pair if pair is not None else (None, None)
        trail = position.protection.trail
        if trail is not None and trail.since is not None:
            pair = state.of(symbol, trail.watches).since(trail.since)
            if pair is not None:
                long = position.direction.sign > 0
                best = max(trail.anchor, pair[1]) if long else min(trail.anchor, pair[0])
        mark = self.world.prices.mark(symbol)
        return Seen(market.last, market.is_fresh, low, high, best, mark)

    def _feed_state(self) -> FeedState:
        held = self.world.states.durable.get(names.feed(self.world.venue))
        return FeedState() if held is None else held[1]

    def _view(self, position: Position) -> View:
        now = self.world.clock.now()
        seen = NOTHING_SEEN if position.is_closed else self.seen(position)
        failure = self.world.failures.of_position.get(position.id)
        return position_view(position, seen, now, venue=self.world.venue, failure=failure)

    # --- finding ---

    async def find_open(self, prefix: str) -> Position | Refusal:
        """Return the open position an id begins."""
        found = [each for each in self.open_positions() if each.id.startswith(prefix.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            return _ambiguous(prefix, [each.id for each in found])
        closed = await self.archive.ids(prefix.lower())
        if len(closed) == 1:
            return Refusal("ALREADY_CLOSED", f"Position {closed[0]} is closed.")
        return Refusal(
            "UNKNOWN_POSITION",
            f"No open position's id begins with {prefix!r}.",
            "List them: holdfast positions",
        )

    async def find_any(self, prefix: str) -> Position | Refusal:
        """Return the position an id begins, open or closed."""
        ids = await self.archive.ids(prefix.lower())
        if len(ids) > 1:
            return _ambiguous(prefix, ids)
        if not ids:
            return Refusal(
                "UNKNOWN_POSITION",
                f"No position's id begins with {prefix!r}.",
                "List them: holdfast positions, holdfast positions --closed",
            )
        held = self.position_by_id(ids[0])
        return await self.archive.position(ids[0]) if held is None else held

    async def position(self, prefix: str) -> Result | Refusal:
        """Return one position, in full."""
        found = await self.find_any(prefix)
        return found if isinstance(found, Refusal) else {"position": self._view(found)}

    async def was_ever_used(self, position_id: PositionId) -> bool:
        """Whether a position of exactly that id is on the disk, open, closed or archived."""
        return await self.archive.was_ever_used(self.world.account, position_id)

    async def size_asked(self, position: Position) -> tuple[SizeBy, Decimal] | None:
        """Return how large a position was asked for; None when the audit does not tell."""
        order_id = position.entry.client_order_id
        rows = await self.archive.executions(1, execution_id=order_id)
        sizes = [(SizeBy(row.size_by), Decimal(row.size)) for row in rows if row.size_by]
        return sizes[0] if sizes else None

    # --- lists ---

    async def _positions(self, request: ask.ListPositions) -> Result | Refusal:
        answer = await self._listed(request)
        if answer["positions"] or request.trader is None:
            return answer  # a trader that is not configured any more may still have some
        return self.unknown_trader(request.trader) or answer

    def unknown_trader(self, name: str) -> Refusal | None:
        """Refuse the name of nobody."""
        if name in self.parts.settings:
            return None
        known = ", ".join(self.parts.settings)
        return Refusal("UNKNOWN_TRADER", f"There is no trader {name}.", f"Known: {known}.")

    async def _listed(self, request: ask.ListPositions) -> Result:
        now = self.world.clock.now()
        if request.closed:
            return {"positions": await self.archive.closed(request.limit, request.trader, now)}
        found = [
            each
            for each in self.open_positions()
            if request.trader is None or each.trader == request.trader
        ]
        return {
            "positions": [
                position_row(each, self.seen(each), now) for each in found[: request.limit]
            ],
            "total": len(found),
        }

    async def _orders(self, request: ask.ListOrders) -> Result:
        if request.all:
            return {"orders": await self.archive.orders(request.limit)}
        working = [each for each in self._live_orders() if not each.is_terminal]
        return {"orders": [views.order_view(each) for each in working[: request.limit]]}

    async def _executions(self, request: ask.ListExecutions) -> Result:
        rows = await self.archive.executions(
            request.limit,
            failed=request.failed,
            source=None if request.source is None else request.source.value,
            trader=request.trader,
            symbol=request.symbol,
            status=request.status,
            position_id=request.position_id,
        )
        return {"executions": [execution_view(row) for row in rows]}

    def _conflicts(self) -> list[View]:
        return [
            conflict for position in self.open_positions() for conflict in conflict_rows(position)
        ]

    def _live_orders(self) -> list[Order]:
        found: list[Order] = self.world.states.of_kind("order")
        return sorted(found, key=lambda each: each.intended_at, reverse=True)

    def _traders(self) -> list[View]:
        portfolio = self.portfolio
        marks = self.world.prices.marks()
        positions = self.open_positions()
        return [
            views.trader_view(
                settings,
                self._trader(name),
                None if portfolio is None else portfolio.records.get(name),
                open_positions=sum(1 for each in positions if each.trader == name),
                unrealized_pnl=sum(
                    (
                        each.unrealized_pnl(marks[each.instrument.symbol])
                        for each in positions
                        if each.trader == name and each.instrument.symbol in marks
                    ),
                    ZERO,
                ),
                failure=self.world.failures.of_trader.get(name),
            )
            for name, settings in self.parts.settings.items()
        ]

    def _trader(self, name: TraderName) -> Trader | None:
        held = self.world.states.durable.get(names.trader(name))
        return None if held is None else held[1]

    def limits_of_trader(self, name: TraderName) -> View:
        """Return what a trader may do, as far as it is durable."""
        state = self._trader(name)
        change = None if state is None else state.limits_change
        return trader_limits_view(self.parts.settings[name].limits, change)

    def limits_of_account(self) -> View:
        """Return what the account may do, as far as it is durable."""
        portfolio = self.portfolio
        change = None if portfolio is None else portfolio.limits_change
        return account_limits_view(self.world.limits, change)

    # --- wholes ---

    def _portfolio_view(self) -> Result | Refusal:
        portfolio = self.portfolio
        if portfolio is None:
            return Refusal("STARTING", "The account is not open yet.", "Try again in a second.")
        actor = self.parts.actor(names.PORTFOLIO)
        causes: Iterable[ModeCause] = () if actor is None else actor.causes.values()
        marks = self.world.prices.marks()
        return views.portfolio_view(portfolio, marks, self.world.limits, causes)

    def status(self) -> Result | Refusal:
        """Return the whole on one page."""
        account = self._portfolio_view()
        if isinstance(account, Refusal):
            return account
        feed = self.parts.actor(names.FEED)
        started = self.world.started_at
        assert started is not None
        return views.status_view(
            version=installed_version(),
            pid=os.getpid(),
            started_at=started,
            now=self.world.clock.now(),
            venue=venue_view(self.parts),
            market_source=self.parts.config.market.source,
            connected=feed is not None and feed.connected,
            quotes=[self._quote(symbol) for symbol in self.world.instruments],
            account=account,
            positions=self.world.states.of_kind("position"),
            orders=self.world.states.of_kind("order"),
            traders=self._traders(),
            downtime=self._feed_state().downtime,
            failure=self.world.failures.latest,
        )

    def _quote(self, symbol: Symbol) -> views.Quote:
        board = self.world.prices
        price = board.prices[symbol]
        heard = price.received > -1
        return views.Quote(
            symbol=symbol,
            last=price.last or None,
            bid=price.bid or None,
            ask=price.ask or None,
            mark=price.mark or None,
            age_s=round(board.age_s(symbol), 3) if heard else None,
            is_fresh=board.is_fresh(symbol),
            source=price.source,
            why=price.why if price.is_stale and price.last else None,
        )

    def unknown_symbol(self, symbol: Symbol) -> Refusal | None:
        """Refuse a symbol that nobody watches."""
        known = self.world.instruments
        return None if symbol in known else unknown_symbol(symbol, known)

    async def _market(self, symbol: Symbol, depth: int) -> Result | Refusal:
        refusal = self.unknown_symbol(symbol)
        return refusal or {"market": await market_view(self.world, symbol, depth)}

    def health(self) -> Result:
        """Return every part, well or not."""
        return health_view(self.parts, self.pulse, self.mode())

    # --- the past ---

    async def _why(self, prefix: str) -> Result | Refusal:
        name = self._named(prefix)
        if name is not None:
            events = await self.archive.changes(name, _CHANGES)
            return {"stream": name, "events": events}
        order = identity_of(ClientOrderId(prefix))
        found = await self.find_any(prefix if order is None else order.position_id)
        if isinstance(found, Refusal):
            return found
        return {"position_id": found.id, "events": await self.archive.story(found.id)}

    def _named(self, subject: str) -> str | None:
        """Return the stream of the trader or the account that has exactly this name."""
        if subject in self.parts.settings:
            return names.trader(TraderName(subject))
        return names.portfolio(self.world.account) if subject == self.world.account else None


def _ambiguous(prefix: str, ids: list[str]) -> Refusal:
    shown = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")  # noqa: PLR2004
    return Refusal(
        "AMBIGUOUS_ID", f"{prefix!r} begins {len(ids)} ids: {shown}.", "Give more characters."
    )
