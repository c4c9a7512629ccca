"""What a storm of lost answers left behind: the journal against the venue's own books."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from storage.store import Store


def judged(
    store: Store,
    *,
    sent: Iterable[str],
    arrived: Mapping[str, int],
    filled_orders: int,
    unknown_left: int,
    positions_left: int,
    venue_positions: int,
) -> dict[str, Any]:
    """Compare. `sent` are the ids of all requests, `arrived` how often the venue has each."""
    rows = store.database.connection.execute(
        "SELECT execution_id, status, venue_order_id, doubts FROM executions"
    ).fetchall()
    statuses = Counter(status for _, status, _, _ in rows)
    doubled = sum(count - 1 for count in (*Counter(sent).values(), *arrived.values()))
    return {
        "arrived": len(arrived),
        "duplicates": doubled,
        "false_rejects": sum(
            1 for order, status, _, _ in rows if status == "FAILED" and order in arrived
        ),
        "false_placed": sum(
            1 for order, status, _, _ in rows if status == "PLACED" and order not in arrived
        ),
        "placed_without_id": sum(
            1 for _, status, venue_id, _ in rows if status == "PLACED" and not venue_id
        ),
        "unknown_left": unknown_left,
        "executions": dict(statuses),
        "executions_missing": len(set(arrived) - {row[0] for row in rows}),
        "filled_orders": filled_orders,
        "were_unknown": sum(1 for row in rows if row[3]),
        "positions_left": positions_left,
        "venue_positions": venue_positions,
        "closed_positions": store.database.connection.execute(
            "SELECT count(*) FROM closed_positions"
        ).fetchone()[0],
    }


def is_good(result: Mapping[str, Any]) -> bool:
    """Whether nothing was doubled, wrongly given up or left open."""
    bad = (
        "duplicates", "false_rejects", "false_placed", "placed_without_id", "unknown_left",
        "executions_missing", "positions_left", "venue_positions",
    )  # fmt: skip
    more = ("legs_doubled", "oversold")  # what only some venues judge
    spoiled = any(result[name] for name in bad) or any(result.get(name) for name in more)
    return not spoiled and set(result["executions"]) <= {"PLACED", "FAILED", "SKIPPED"}
