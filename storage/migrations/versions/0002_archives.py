"""Archives: which prefixes of the journal stand in files; the last one is its anchor."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "archives",
        sa.Column("last_seq", SEQ, primary_key=True, autoincrement=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("last_hash", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
    )


def downgrade() -> None:
    message = "a journal is never taken back to an older schema: restore a backup"
    raise NotImplementedError(message)
