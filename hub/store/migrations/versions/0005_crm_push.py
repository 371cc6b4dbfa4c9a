"""What the CRM has of each record, and what became of the newest try."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "crm_push",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("mend", sa.Text(), server_default="", nullable=False),
        sa.Column("about", sa.Text(), server_default="", nullable=False),
        sa.Column("sent_at", sa.Float(precision=53), nullable=True),
        sa.Column("tried_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object", "key", name=op.f("pk_crm_push")),
    )
    op.create_index(op.f("ix_crm_push_connection_outcome"), "crm_push", ["connection", "outcome"], unique=False)
