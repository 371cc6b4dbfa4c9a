"""What lists show of seat use, what people were told when, and which licenses renew themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "verdict",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entitlement", "day", name=op.f("pk_verdict")),
    )
    op.create_index(op.f("ix_verdict_day"), "verdict", ["day"], unique=False)
    op.execute(
        "INSERT INTO verdict (entitlement, day, signal, before, sentence) "
        "SELECT entitlement, since, signal, signal, '' FROM signal"
    )
    op.add_column("signal", sa.Column("sentence", sa.Text(), server_default="", nullable=False))
    for name in ("seats", "recommended_seats"):
        op.add_column("signal", sa.Column(name, sa.Integer(), nullable=True))
    for name in ("used", "used_before"):
        op.add_column("signal", sa.Column(name, sa.Float(precision=53), nullable=True))
    op.add_column("signal", sa.Column("weeks", sa.JSON(), nullable=True))
    op.add_column("grant", sa.Column("renews_days", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_customer_link_zentitle_id"), "customer_link", ["zentitle_id"], unique=False)
    op.create_index(op.f("ix_grant_entitlement"), "grant", ["entitlement"], unique=False)
