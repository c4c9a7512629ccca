"""The spine: journal, intents, quarantine, read tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _required(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    _create_journal()
    _create_positions()
    _create_orders()
    _create_decisions_and_equity()


def downgrade() -> None:
    message = "a journal is never taken back to an older schema: restore a backup"
    raise NotImplementedError(message)


def _create_journal() -> None:
    meta = op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    names = ("writer_epoch", "last_seq")
    op.bulk_insert(meta, [{"name": name, "value": 0} for name in names])
    op.create_table(
        "journal",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("stream_version", sa.BigInteger, nullable=False),
        sa.Column("writer_epoch", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.UniqueConstraint("stream", "stream_version", name="journal_stream_version"),
    )
    op.create_table(
        "intents",
        sa.Column("client_order_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quarantine",
        sa.Column("id", SEQ, primary_key=True),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("moved_in_epoch", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger),
        sa.Column("stream", sa.Text),
        sa.Column("stream_version", sa.BigInteger),
        sa.Column("writer_epoch", sa.BigInteger),
        sa.Column("type", sa.Text),
        sa.Column("schema_version", sa.Integer),
        sa.Column("time", sa.Text),
        sa.Column("payload", sa.Text),
        sa.Column("previous_hash", sa.Text),
        sa.Column("hash", sa.Text),
    )


def _create_positions() -> None:
    op.create_table(
        "positions",
        sa.Column("position_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_required("account", "trader", "user", "symbol", "market_type", "direction", "status"),
        sa.Column("paper", sa.Integer, nullable=False),
        *_required("leverage", "entry_order_id", "entry_type", "entry_price", "entry_quantity"),
        *_required("remaining", "realized_pnl", "fees"),
        *_required("initial_stop_price"),
        *_required("protection"),
        *_required("best_price", "worst_price"),
        sa.Column("modification_count", sa.Integer, nullable=False),
        *_required("decision_id"),
        *_required("rationale", "intended_at"),
        *_required("opened_at", "modified_at"),
    )
    op.create_table(
        "closed_positions",
        sa.Column("position_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_required("account", "trader", "user", "symbol", "market_type", "direction", "status"),
        sa.Column("paper", sa.Integer, nullable=False),
        *_required("leverage"),
        *_required("entry_price"),
        *_required("entry_quantity"),
        *_required("exit_price"),
        *_required("remaining", "realized_pnl", "fees"),
        *_required("exit_reason", "initial_stop_price", "best_price", "worst_price"),
        sa.Column("modification_count", sa.Integer, nullable=False),
        *_required("decision_id"),
        *_required("rationale"),
        *_required("opened_at", "closed_at"),
    )
    op.create_index("closed_positions_seq", "closed_positions", ["seq"])
    op.create_table(
        "modifications",
        sa.Column("position_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *_required("type", "requested_by", "reason", "previous", "new"),
        *_required("errors", "warnings", "constraints", "error", "at"),
    )


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("position_id", sa.Text, primary_key=True),
        sa.Column("client_order_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_required("symbol", "side", "type", "quantity"),
        *_required("price", "trigger_price"),
        sa.Column("reduce_only", sa.Integer, nullable=False),
        *_required("leverage", "time_in_force", "intended_at", "status"),
        *_required("venue_order_id"),
        *_required("filled", "average_price", "reason"),
        sa.Column("late_fill", sa.Integer, nullable=False),
        *_required("sent_at", "updated_at"),
    )
    op.create_index("orders_intended_at", "orders", ["intended_at"])
    op.create_table(
        "fills",
        sa.Column("position_id", sa.Text, primary_key=True),
        sa.Column("trade_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_required("client_order_id", "symbol", "side", "quantity", "price", "fee", "fee_asset"),
        sa.Column("maker", sa.Integer, nullable=False),
        *_required("at"),
    )
    op.create_table(
        "executions",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=False),
        *_required("client_order_id", "position_id", "symbol", "side", "type", "quantity"),
        *_required("price"),
        *_required("leverage", "status"),
        *_required("venue_order_id"),
        *_required("error", "at"),
    )


def _create_decisions_and_equity() -> None:
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_required("trader", "symbol", "action", "confidence", "reasoning", "price", "plan"),
        *_required("position_id", "status", "error", "decided_at"),
    )
    op.create_index("decisions_decided_at", "decisions", ["decided_at"])
    op.create_index("decisions_position_id", "decisions", ["position_id"])
    op.create_table(
        "equity",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *_required("at", "equity", "balance", "drawdown"),
    )
