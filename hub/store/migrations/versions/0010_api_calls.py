"""Calls of the API with an Idempotency-Key, REST hooks, and an index by which old deliveries are found."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_call",
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("until", sa.Float(precision=53), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("prefix", "key", name=op.f("pk_api_call")),
    )
    op.create_index(op.f("ix_api_call_at"), "api_call", ["at"], unique=False)
    op.add_column("endpoint", sa.Column("hook", sa.Boolean(), server_default="0", nullable=False))
