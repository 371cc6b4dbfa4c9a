"""Which purchase carries on the license of which; which entitlement was read longest ago; which bodies stay."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "revival",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("entitlement", "old", name=op.f("pk_revival")),
    )
    op.create_index(op.f("ix_revival_old"), "revival", ["old"])
    op.create_index(op.f("ix_revival_new"), "revival", ["new"])
    op.create_index(op.f("ix_entitlement_read_at"), "entitlement", ["read_at"])
    op.add_column("receipt", sa.Column("kept", sa.Boolean(), server_default="0", nullable=False))
    where = sa.text("kept")
    op.create_index("ix_receipt_kept", "receipt", ["id"], sqlite_where=where, postgresql_where=where)
