"""Orders, accounts, traders and the whole as people and programs see them.

Pure functions from domain structs to JSON values; how values are written: `view_text.py`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from actors.failures import Failure
from daemon.execution_views import failure_view
from daemon.limit_views import account_limits_view, trader_limits_view
from daemon.position_views import is_unprotected
from daemon.view_text import View, computed, exact, jsonable, pct, time_text
from domain import portfolio_state as figures
from domain.feed_state import Downtime
from domain.ids import Symbol
from domain.limit_changes import applied
from domain.modes import ModeCause, worst
from domain.money import ZERO, plain
from domain.order import Order, OrderStatus
from domain.performance import TradeRecord
from domain.portfolio_state import Portfolio
from domain.position import Position
from domain.risk import AccountLimits
from domain.trader_state import Trader, TraderSettings
from storage.rows import OrderRow


def order_view(order: Order) -> View:
    """Return an order."""
    terms = order.terms
    return {
        "client_order_id": terms.client_order_id,
        "venue_order_id": order.venue_order_id,
        "position_id": terms.position_id,
        "symbol": terms.symbol,
        "side": terms.side.value,
        "type": terms.type.value,
        "status": order.status.value,
        "quantity": plain(terms.quantity),
        "filled": plain(order.filled),
        "average_price": computed(order.average_price) if order.filled else None,
        "price": exact(terms.price),
        "trigger_price": exact(terms.trigger_price),
        "reduce_only": terms.reduce_only,
        "leverage": plain(terms.leverage),
        "fees": [{"amount": plain(fee.amount), "asset": fee.asset} for fee in order.fees],
        "reason": order.reason,
        "late_fill": order.late_fill,
        "intended_at": time_text(order.intended_at),
        "sent_at": time_text(order.sent_at),
        "updated_at": time_text(order.updated_at),
    }


def order_row_view(row: OrderRow) -> View:
    """Return an order of the read table in the shape of `order_view`, as far as it is there."""
    fields = msgspec.structs.asdict(row)
    fields.pop("seq")
    return {name: value if value != "" else None for name, value in fields.items()} | {
        "filled": plain(Decimal(row.filled)),
        "average_price": computed(Decimal(row.average_price)) if Decimal(row.filled) else None,
        "reduce_only": bool(row.reduce_only),
        "late_fill": bool(row.late_fill),
        "reason": row.reason,
    }


def portfolio_view(
    portfolio: Portfolio,
    marks: Mapping[Symbol, Decimal],
    limits: AccountLimits,
    causes: Iterable[ModeCause] = (),
) -> View:
    """Return an account: its money, how far it is from its limits, what is reserved.

    `limits` are the configured ones; `causes` are those besides the portfolio's own (a stale feed).
    """
    equity = figures.equity(portfolio, marks)
    exposure = figures.exposure(portfolio, marks)
    return {
        "account": portfolio.account,
        "quote": portfolio.quote,
        "balance": plain(portfolio.balance),
        "equity": computed(equity),
        "unrealized_pnl": computed(figures.unrealized_pnl(portfolio, marks)),
        "available": computed(figures.available(portfolio, marks)),
        "margin": computed(portfolio.margin),
        "reserved": computed(portfolio.reserved),
        "exposure": computed(exposure),
        "leverage": computed(exposure / equity) if equity > ZERO else None,
        "high_water_mark": computed(portfolio.high_water_mark),
        "drawdown_pct": pct(figures.drawdown(portfolio, marks)),
        "day_start_equity": computed(portfolio.day_start_equity),
        "daily_drawdown_pct": pct(figures.daily_drawdown(portfolio, marks)),
        "positions": len(portfolio.holdings),
        "reservations": [
            {
                "client_order_id": order_id,
                "position_id": one.position_id,
                "amount": computed(one.open_amount),
            }
            for order_id, one in portfolio.reservations.items()
        ],
        **account_limits_view(limits, portfolio.limits_change),
        **mode_view((*portfolio.causes, *causes)),
    }


def mode_view(causes: Iterable[ModeCause]) -> View:
    """Return the mode that `causes` ask for together, and each of them."""
    stated = list(causes)
    return {
        "mode": worst(stated).name,
        "causes": [
            {
                "code": cause.code,
                "mode": cause.mode.name,
                "message": cause.message,
                "way_out": cause.way_out,
            }
            for cause in stated
        ],
    }


def trader_view(
    settings: TraderSettings,
    state: Trader | None,
    record: TradeRecord | None,
    *,
    open_positions: int,
    unrealized_pnl: Decimal = ZERO,
    failure: Failure | None = None,
) -> View:
    """Return a trader: what it is to do, what it did, what came of it."""
    state, record = state or Trader(), record or TradeRecord()
    last, refused = state.last_decision, state.last_refusal
    limits = trader_limits_view(settings.limits, state.limits_change)
    return {
        "name": settings.name,
        "strategy": settings.strategy or None,
        "symbols": list(settings.symbols),
        "timeframe": settings.timeframe if settings.strategy else None,
        "size": {"by": settings.size_by.value, "value": plain(settings.size)},
        "leverage": plain(settings.leverage),
        "paused": state.paused,
        "hung": None if state.hung is None else time_text(state.hung.at),
        "open_positions": open_positions,
        "max_positions": applied(settings.limits, state.overrides).max_positions,
        **limits,
        "unrealized_pnl": computed(unrealized_pnl),
        "realized_pnl": plain(record.total_pnl),
        "closed_positions": record.count,
        "win_rate_pct": None if record.win_rate is None else pct(record.win_rate),
        "evaluations": state.evaluations,
        "decisions": state.decisions,
        "last_decision": None
        if last is None
        else {
            "at": time_text(last.at),
            "symbol": last.symbol,
            "action": last.action,
            "confidence": plain(last.confidence),
            "rationale": last.rationale,
            "position_id": last.position_id,
        },
        "last_refusal": None
        if refused is None
        else {"at": time_text(refused.at), "rule": refused.rule, "message": refused.message},
        "latest_execution_error": failure_view(failure),
    }


class Quote(msgspec.Struct, frozen=True):
    """The prices of one symbol, as the venue's text, and how old they are."""

    symbol: Symbol
    last: str | None
    bid: str | None
    ask: str | None
    mark: str | None
    age_s: float | None  # since anything was received; None: nothing yet
    is_fresh: bool
    source: str = "stream"  # or quiet (the venue confirms it), fallback (asked for), stale
    why: str | None = None  # of a stale one


def downtime_view(downtime: Downtime | None) -> View | None:
    """Return what became of the last downtime."""
    if downtime is None:
        return None
    return {
        "began": time_text(downtime.began),
        "until": time_text(downtime.until),
        "offline_s": round(downtime.offline_s, 3),
        "positions": downtime.positions,
        "stops": downtime.stops,
        "trails": downtime.trails,
        "targets": downtime.targets,
        "breakevens": downtime.breakevens,
        "unchecked": dict(downtime.unchecked),
    }


def status_view(  # noqa: PLR0913 - the whole on one page
    *,
    version: str,
    pid: int,
    started_at: datetime,
    now: datetime,
    venue: View,
    market_source: str,
    connected: bool,
    quotes: Iterable[Quote],
    account: View,
    positions: Iterable[Position],
    orders: Iterable[Order],
    traders: Iterable[View],
    downtime: Downtime | None = None,
    failure: Failure | None = None,
) -> View:
    """Return the whole on one page; `account`, `traders` and `venue` are their views."""
    held = [one for one in positions if not one.is_closed]
    unguarded = [one for one in held if is_unprotected(one)]
    working = [one for one in orders if not one.is_terminal]
    return {
        "version": version,
        "pid": pid,
        "uptime_s": round((now - started_at).total_seconds(), 3),
        "mode": account["mode"],
        "causes": account["causes"],
        **venue,
        "market_source": market_source,
        "feed_connected": connected,
        "prices": [msgspec.structs.asdict(quote) for quote in quotes],
        "equity": account["equity"],
        "quote": account["quote"],
        "unrealized_pnl": account["unrealized_pnl"],
        "drawdown_pct": account["drawdown_pct"],
        "positions_open": len(held),
        "positions_unprotected": len(unguarded),
        "orders_working": len(working),
        "orders_unknown": sum(one.status is OrderStatus.UNKNOWN for one in working),
        "traders": [
            {name: one[name] for name in ("name", "paused", "hung", "open_positions")}
            for one in traders
        ],
        "downtime": downtime_view(downtime),
        "latest_execution_error": failure_view(failure),
    }


def story_row(seq: int, at: datetime, stream: str, event: msgspec.Struct) -> View:
    """Return one journaled event for `why`."""
    return {
        "seq": seq,
        "time": time_text(at),
        "stream": stream,
        "event": type(event).__name__,
        "fields": jsonable(event),
    }
