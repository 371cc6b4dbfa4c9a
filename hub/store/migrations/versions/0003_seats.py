"""Seat use: events, days, feeds, proof of life, signals and summaries."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
TIME = sa.Float(precision=53)


def upgrade() -> None:
    op.create_table(
        "seat_event",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("move", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("seat", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("lease_expiry", TIME, nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entitlement", "event_id", name=op.f("pk_seat_event")),
    )
    op.create_index(op.f("ix_seat_event_entitlement_at"), "seat_event", ["entitlement", "at"])
    op.create_index(op.f("ix_seat_event_at"), "seat_event", ["at"])
    op.create_table(
        "seat_day",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("peak", sa.Integer(), nullable=True),
        sa.Column("by_sessions", sa.Integer(), nullable=True),
        sa.Column("by_vendor", sa.Integer(), nullable=True),
        sa.Column("seats", sa.Integer(), nullable=True),
        sa.Column("cap", sa.Integer(), nullable=True),
        sa.Column("denials", sa.Integer(), nullable=True),
        sa.Column("users", sa.Integer(), nullable=True),
        sa.Column("seat_hours", TIME, nullable=True),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("entitlement", "day", name=op.f("pk_seat_day")),
    )
    op.create_index(op.f("ix_seat_day_day"), "seat_day", ["day"])
    op.create_table(
        "seat_feed",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("touched_from", TIME, nullable=True),
        sa.Column("touches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("closed_upto", sa.Text(), nullable=True),
        sa.Column("covered_from", TIME, nullable=True),
        sa.Column("covered_upto", TIME, nullable=True),
        sa.Column("log_wanted", sa.Text(), nullable=True),
        sa.Column("log_rank", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_due", TIME, server_default="0", nullable=False),
        sa.Column("log_tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_until", TIME, nullable=True),
        sa.Column("log_page", sa.Integer(), server_default="1", nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("difference", sa.Integer(), nullable=True),
        sa.Column("too_late", sa.Integer(), server_default="0", nullable=False),
        sa.Column("forgotten", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("judge_due", TIME, nullable=True),
        sa.PrimaryKeyConstraint("entitlement", name=op.f("pk_seat_feed")),
    )
    op.create_index(
        op.f("ix_seat_feed_log_wanted_log_rank_log_due"), "seat_feed", ["log_wanted", "log_rank", "log_due"]
    )
    op.create_index(op.f("ix_seat_feed_touched_from"), "seat_feed", ["touched_from"])
    op.create_index(op.f("ix_seat_feed_closed_upto"), "seat_feed", ["closed_upto"])
    op.create_index(op.f("ix_seat_feed_judge_due"), "seat_feed", ["judge_due"])
    op.create_table(
        "watched",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("connection", "at", name=op.f("pk_watched")),
    )
    op.create_table(
        "signal",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("waiting", sa.Text(), nullable=True),
        sa.Column("waiting_since", sa.Text(), nullable=True),
        sa.Column("times", sa.Integer(), server_default="0", nullable=False),
        sa.Column("judgement", sa.JSON(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("entitlement", name=op.f("pk_signal")),
    )
    op.create_index(op.f("ix_signal_signal"), "signal", ["signal"])
    op.create_table(
        "summary",
        sa.Column("entitlement", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("entitlement", "month", name=op.f("pk_summary")),
    )
