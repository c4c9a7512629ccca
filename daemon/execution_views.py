"""Attempts to place orders as people and programs see them."""

from datetime import datetime

import msgspec

from actors.failures import Failure
from actors.latency import LatencyBook
from daemon.view_text import View, time_text
from domain.attempts import PASSED
from domain.ids import PositionId, Symbol, TraderName
from storage import queries
from storage.rows import ExecutionRow
from storage.store import Store

_NUMBERS = ("response_s",)
LAST = 200  # failures looked at when the daemon starts


def execution_view(row: ExecutionRow) -> View:
    """Return one attempt; what it does not have is null."""
    fields: View = {
        name: value if value != "" else None
        for name, value in msgspec.structs.asdict(row).items()
        if name != "seq"
    }
    for name in _NUMBERS:
        text = getattr(row, name)
        fields[name] = float(text) if text else None
    return fields | {
        "reduce_only": bool(row.reduce_only),
        "request": msgspec.json.decode(row.request) if row.request else None,
        "response": _response(row),
    }


def _response(row: ExecutionRow) -> View | None:
    """Return the venue's answer as it came; null: none came, or it was not asked."""
    if row.response_s and row.status == "FAILED":
        return {"code": row.code, "text": row.message}
    return {"venue_order_id": row.venue_order_id} if row.venue_order_id else None


def failure_view(failure: Failure | None) -> View | None:
    """Return the last failure of something; null: there was none."""
    if failure is None:
        return None
    fields = msgspec.structs.asdict(failure)
    return fields | {"remedy": failure.remedy or None, "at": time_text(failure.at)}


def latency_rows(book: LatencyBook) -> list[View]:
    """Return the steps of orders: percentiles in milliseconds over the last 2,000 of each."""
    return [
        {
            "venue": venue,
            "type": order_type,
            "step": step.value,
            "count": series.count,
            "mean_ms": _ms(series.total_s / series.count),
            "p50_ms": _ms(series.quantile(0.5)),
            "p95_ms": _ms(series.quantile(0.95)),
            "p99_ms": _ms(series.quantile(0.99)),
            "max_ms": _ms(max(series.last)),
        }
        for (venue, order_type, step), series in book
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def is_made_since(store: Store, failure: Failure) -> bool:
    """Whether its trader has entered the same way since, so that nobody need be invited to."""
    rows = queries.executions(
        store.database.connection,
        1,
        trader=failure.trader,
        symbol=failure.symbol,
        side=failure.side,
        reduce_only="0",
        precheck=PASSED,
    )
    return any(datetime.fromisoformat(row.at) > failure.at for row in rows)


def last_failures(store: Store) -> list[Failure]:
    """Return the last attempts that came to nothing, oldest first, as the audit has them."""
    rows = queries.executions(store.database.connection, LAST, failed=True)
    return [
        Failure(
            execution_id=row.execution_id,
            status=row.status,
            source=row.source,
            trader=TraderName(row.trader),
            position_id=PositionId(row.position_id),
            symbol=Symbol(row.symbol),
            side=row.side,
            code=row.code,
            message=row.message,
            remedy=row.remedy,
            at=datetime.fromisoformat(row.last_at),
        )
        for row in reversed(rows)
    ]
