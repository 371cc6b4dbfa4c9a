"""What the CRM says a renewal is worth, and whose it is."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "worth",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), server_default="", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("read_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("entitlement", name=op.f("pk_worth")),
    )
