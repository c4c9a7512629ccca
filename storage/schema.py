"""The tables, in portable SQLAlchemy Core. Imported by migrations and their tests, never on the way to armed positions.

Changing a table means changing it here and in a new file under `migrations/versions/`; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite makes a key that counts up its row id, but only of a column whose type is INTEGER.
SEQ = BigInteger().with_variant(Integer, "sqlite")


def _required(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _optional(*names: str) -> list[Column[str]]:
    return [Column(name, Text) for name in names]


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
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("stream", "stream_version", name="journal_stream_version"),
)

intents = Table(
    "intents",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
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
    Column("previous_hash", LargeBinary),
    Column("hash", LargeBinary),
)

positions = Table(
    "positions",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("account", "trader", "user", "symbol", "market_type", "direction", "status"),
    Column("paper", Boolean, nullable=False),
    *_required("leverage", "entry_order_id", "entry_type", "entry_price", "entry_quantity"),
    *_required("remaining", "realized_pnl", "fees"),
    *_optional("initial_stop_price"),
    *_required("protection"),
    *_optional("best_price", "worst_price"),
    Column("modification_count", Integer, nullable=False),
    *_optional("decision_id"),
    *_required("rationale", "intended_at"),
    *_optional("opened_at", "modified_at"),
)

closed_positions = Table(
    "closed_positions",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("account", "trader", "user", "symbol", "market_type", "direction", "status"),
    Column("paper", Boolean, nullable=False),
    *_required("leverage"),
    *_optional("entry_price"),
    *_required("entry_quantity"),
    *_optional("exit_price"),
    *_required("remaining", "realized_pnl", "fees"),
    *_optional("exit_reason", "initial_stop_price", "best_price", "worst_price"),
    Column("modification_count", Integer, nullable=False),
    *_optional("decision_id"),
    *_required("rationale"),
    *_optional("opened_at", "closed_at"),
    Index("closed_positions_seq", "seq"),
)

orders = Table(
    "orders",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("position_id", "symbol", "side", "type", "quantity"),
    *_optional("price", "trigger_price"),
    Column("reduce_only", Boolean, nullable=False),
    *_required("leverage", "time_in_force", "intended_at", "status"),
    *_optional("venue_order_id"),
    *_required("filled", "average_price", "reason"),
    Column("late_fill", Boolean, nullable=False),
    *_optional("sent_at", "updated_at"),
    # Of columns that never change, so that the progress of an order leaves the indexes alone.
    Index("orders_intended_at", "intended_at"),
    Index("orders_position_id", "position_id"),
)

fills = Table(
    "fills",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("trade_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("position_id", "symbol", "side", "quantity", "price", "fee", "fee_asset"),
    Column("maker", Boolean, nullable=False),
    *_required("at"),
    Index("fills_position_id", "position_id"),
)

modifications = Table(
    "modifications",
    metadata,
    Column("position_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_required("type", "requested_by", "reason", "previous", "new"),
    *_required("errors", "warnings", "constraints", "error", "at"),
)

executions = Table(
    "executions",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("position_id", "symbol", "side", "type", "quantity"),
    *_optional("price"),
    *_required("leverage", "status"),
    *_optional("venue_order_id"),
    *_required("error", "at"),
    *_optional("user", "source", "trader", "venue", "market_type", "quote_quantity"),
    *_optional("min_notional", "available_balance", "required_balance", "precheck"),
    *_optional("venue_request", "venue_response"),
    Index("executions_at", "at"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    *_required("trader", "user", "symbol", "action", "confidence", "reasoning", "status"),
    *_optional("position_id", "prompt", "response"),
    *_required("payload", "decided_at"),
    *_optional("expires_at"),
    Index("decisions_decided_at", "decided_at"),
)

equity = Table(
    "equity",
    metadata,
    Column("account", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_required("at", "equity", "balance", "drawdown"),
)
