"""Executions: one row for every attempt, also those refused before an order existed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# What the old rows tell, the last one of each order; `holdfast journal rebuild` gives the rest.
_COPY = """
INSERT INTO executions (
    execution_id, seq, position_id, client_order_id, decision_id, "user", source, trader, venue,
    market_type, symbol, side, type, reduce_only, size_by, size, quantity, price, trigger_price,
    leverage, min_notional, available, required, precheck, request, status, venue_order_id, code,
    message, remedy, response_s, doubts, times, decided_at, at, sent_at, last_at)
SELECT
    client_order_id, seq, position_id, client_order_id, '', '', '', '', '', '', symbol, side, type,
    0, '', '', quantity, price, '', leverage, '', '', '', '', '', status, venue_order_id, '', error,
    '', '', 0, 1, '', at, '', at
FROM executions_before
WHERE seq = (SELECT max(later.seq) FROM executions_before AS later
             WHERE later.client_order_id = executions_before.client_order_id)
"""


def _required(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    op.rename_table("executions", "executions_before")
    op.create_table(
        "executions",
        sa.Column("execution_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_required("position_id", "client_order_id", "decision_id"),
        *_required("user", "source", "trader", "venue", "market_type", "symbol", "side", "type"),
        sa.Column("reduce_only", sa.Integer, nullable=False),
        *_required("size_by", "size", "quantity", "price", "trigger_price", "leverage"),
        *_required("min_notional", "available", "required", "precheck", "request"),
        *_required("status", "venue_order_id", "code", "message", "remedy", "response_s"),
        sa.Column("doubts", sa.Integer, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        *_required("decided_at", "at", "sent_at", "last_at"),
    )
    op.create_index("executions_at", "executions", ["at"])
    failed = sa.text("status IN ('SKIPPED', 'FAILED')")
    op.create_index(
        "executions_failed", "executions", ["at"], sqlite_where=failed, postgresql_where=failed
    )
    op.execute(_COPY)
    op.drop_table("executions_before")


def downgrade() -> None:
    message = "a journal is never taken back to an older schema: restore a backup"
    raise NotImplementedError(message)
