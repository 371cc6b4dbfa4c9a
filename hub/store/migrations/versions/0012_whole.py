"""What the portfolio page adds up, kept beside the rows of the board."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("standing", sa.Column("account", sa.Text(), server_default="", nullable=False))
    for name in ("seats", "idle", "more"):
        op.add_column("standing", sa.Column(name, sa.Integer(), server_default="0", nullable=False))
    op.execute("DELETE FROM cursor WHERE name = 'board:walked'")  # the clock makes all rows anew
