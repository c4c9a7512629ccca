"""The tables, in portable SQLAlchemy Core.

Imported by migrations and their tests, never on the way to armed positions.

Changing a table means changing it here and in a new file under `migrations/versions/`; a test
compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite makes a key that counts up its row id, but only of a column whose type is INTEGER.
SEQ = BigInteger().with_variant(Integer, "sqlite")


def _required(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("stream", Text, nullable=False),
    Column("stream_version", BigInteger, nullable=False),
    Column("writer_epoch", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("time", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("stream", "stream_version", name="journal_stream_version"),
)

intents = Table(
    "intents",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Records from the first damaged one on, as they were found; nothing about them is certain.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", SEQ, primary_key=True),
    Column("why", Text, nullable=False),
    Column("moved_in_epoch", BigInteger, nullable=False),
    Column("seq", BigInteger),
    Column("stream", Text),
    Column("stream_version", BigInteger),
    Column("writer_epoch", BigInteger),
    Column("type", Text),
    Column("schema_version", Integer),
    Column("time", Text),
    Column("payload", Text),
    Column("previous_hash", Text),
    Column("hash", Text),
)

# Prefixes of the journal that stand in files; the last one is the anchor that the rest begins at.
archives = Table(
    "archives",
    metadata,
    Column("last_seq", SEQ, primary_key=True, autoincrement=False),
    Column("first_seq", BigInteger, nullable=False),
    *_required("previous_hash", "last_hash", "file"),
    Column("bytes", BigInteger, nullable=False),
    *_required("sha256"),
)

positions = Table(
    "positions",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("account", "trader", "user", "symbol", "market_type", "direction", "status"),
    Column("paper", Integer, nullable=False),
    *_required("leverage", "entry_order_id", "entry_type", "entry_price", "entry_quantity"),
    *_required("remaining", "realized_pnl", "fees"),
    *_required("initial_stop_price"),
    *_required("protection"),
    *_required("best_price", "worst_price"),
    Column("modification_count", Integer, nullable=False),
    *_required("decision_id"),
    *_required("rationale", "intended_at"),
    *_required("opened_at", "modified_at"),
)

closed_positions = Table(
    "closed_positions",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("account", "trader", "user", "symbol", "market_type", "direction", "status"),
    Column("paper", Integer, nullable=False),
    *_required("leverage"),
    *_required("entry_price"),
    *_required("entry_quantity"),
    *_required("exit_price"),
    *_required("remaining", "realized_pnl", "fees"),
    *_required("exit_reason", "initial_stop_price", "best_price", "worst_price"),
    Column("modification_count", Integer, nullable=False),
    *_required("decision_id"),
    *_required("rationale"),
    *_required("opened_at", "closed_at"),
    Index("closed_positions_seq", "seq"),
)

orders = Table(
    "orders",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("client_order_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("symbol", "side", "type", "quantity"),
    *_required("price", "trigger_price"),
    Column("reduce_only", Integer, nullable=False),
    *_required("leverage", "time_in_force", "intended_at", "status"),
    *_required("venue_order_id"),
    *_required("filled", "average_price", "reason"),
    Column("late_fill", Integer, nullable=False),
    *_required("sent_at", "updated_at"),
    # A column that never changes, so that the progress of an order leaves the index alone.
    Index("orders_intended_at", "intended_at"),
)

fills = Table(
    "fills",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("trade_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("client_order_id", "symbol", "side", "quantity", "price", "fee", "fee_asset"),
    Column("maker", Integer, nullable=False),
    *_required("at"),
)

modifications = Table(
    "modifications",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_required("type", "requested_by", "reason", "previous", "new"),
    *_required("errors", "warnings", "constraints", "error", "at"),
)

# The latest failures are looked for at each start; most attempts succeed.
_FAILED = text("status IN ('SKIPPED', 'FAILED')")

executions = Table(
    "executions",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("position_id", "client_order_id", "decision_id"),
    *_required("user", "source", "trader", "venue", "market_type", "symbol", "side", "type"),
    Column("reduce_only", Integer, nullable=False),
    *_required("size_by", "size", "quantity", "price", "trigger_price", "leverage"),
    *_required("min_notional", "available", "required", "precheck", "request"),
    *_required("status", "venue_order_id", "code", "message", "remedy", "response_s"),
    Column("doubts", Integer, nullable=False),
    Column("times", Integer, nullable=False),
    *_required("decided_at", "at", "sent_at", "last_at"),
    Index("executions_at", "at"),
    Index("executions_failed", "at", sqlite_where=_FAILED, postgresql_where=_FAILED),
)

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("trader", "symbol", "action", "confidence", "reasoning", "price", "plan"),
    *_required("position_id", "status", "error", "decided_at"),
    Index("decisions_decided_at", "decided_at"),
    Index("decisions_position_id", "position_id"),
)

equity = Table(
    "equity",
    metadata,
    Column("account", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_required("at", "equity", "balance", "drawdown"),
)
