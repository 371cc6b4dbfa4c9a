"""What the CRM says a renewal is worth and whose it is, and the rows by which the board sorts and counts."""

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
    folded = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "standing",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("offering", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("named", folded, nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("gravity", sa.Integer(), nullable=False),
        sa.Column("renewal", sa.Text(), nullable=False),
        sa.Column("leaves", sa.Text(), nullable=True),
        sa.Column("told_on", sa.Text(), nullable=True),
        sa.Column("told_before", sa.Text(), nullable=True),
        sa.Column("share", sa.Float(precision=53), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.Float(precision=53), nullable=False),
        sa.Column("currency", sa.Text(), server_default="", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("stamp", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("entitlement", name=op.f("pk_standing")),
    )
    op.create_index(op.f("ix_signal_changed_at"), "signal", ["changed_at"], unique=False)
    op.create_index(op.f("ix_signal_as_of"), "signal", ["as_of"], unique=False)
    op.create_index(op.f("ix_worth_read_at"), "worth", ["read_at"], unique=False)
    counted = ["renewal", "signal", "told_on", "told_before", "currency", "amount_minor", "owner", "leaves"]
    op.create_index(op.f("ix_standing_counted"), "standing", counted, unique=False)
    order = {
        "renews": ["renewal", "named", "offering", "entitlement"],
        "named": ["named", "offering", "entitlement"],
        "amount": ["amount", "entitlement"],
        "share": ["share", "entitlement"],
    }
    for name, columns in order.items():
        op.create_index(op.f(f"ix_standing_{name}"), "standing", columns, unique=False)
