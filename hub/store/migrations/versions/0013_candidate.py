"""Purchases that a license may be of, for a person to decide, and those that a person ruled out."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "candidate",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("purchase", sa.Text(), nullable=False),
        sa.Column("offering", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("license", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("drifts", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("found_at", sa.Float(precision=53), nullable=False),
        sa.Column("ruled_out_at", sa.Float(precision=53), nullable=True),
        sa.Column("ruled_out_by", sa.Text(), server_default="", nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("entitlement", "purchase", name=op.f("pk_candidate")),
    )
    op.create_index(op.f("ix_candidate_purchase_offering"), "candidate", ["purchase", "offering"], unique=False)
