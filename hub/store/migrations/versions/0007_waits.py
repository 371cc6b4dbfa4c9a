"""Every key that a parked sale waits for; what the last look saw; customers found by how their names begin."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FOLDED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "unmapped",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "key", name=op.f("pk_unmapped")),
    )
    op.create_index(op.f("ix_unmapped_key"), "unmapped", ["key"])
    op.execute(
        "INSERT INTO unmapped (subject, key) SELECT ref, waiting_on FROM subject "
        "WHERE state = 'parked' AND cause = 'unmapped' AND waiting_on IS NOT NULL"
    )
    op.add_column("subject", sa.Column("saw", sa.Text(), nullable=True))
    op.add_column("subject", sa.Column("customer_folded", FOLDED, nullable=True))
    newest = "(SELECT hash FROM observation WHERE observation.subject = subject.ref ORDER BY id DESC LIMIT 1)"
    op.execute(f"UPDATE subject SET customer_folded = lower(customer_name), saw = {newest}")
    op.create_index(op.f("ix_subject_customer_folded"), "subject", ["customer_folded"])
