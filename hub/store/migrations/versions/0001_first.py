"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:  # noqa: PLR0915  (a list of tables)
    op.create_table(
        "approval",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("acts", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("decided_at", sa.Float(precision=53), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_approval")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("erased_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sa.UniqueConstraint("position", name=op.f("uq_audit_position")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_audit_unplaced",
        "audit",
        ["id"],
        unique=False,
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_table(
        "catalog_version",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("stored_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_catalog_version")),
    )
    op.create_table(
        "change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("look", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("entitlement", sa.Text(), nullable=True),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("call", sa.JSON(), nullable=True),
        sa.Column("why", sa.JSON(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("catalog_version", sa.Text(), nullable=False),
        sa.Column("observation", sa.Text(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("erased_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
        sa.UniqueConstraint("position", name=op.f("uq_change_position")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_change_unplaced",
        "change",
        ["id"],
        unique=False,
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_index(op.f("ix_change_entitlement_id"), "change", ["entitlement", "id"], unique=False)
    op.create_index(op.f("ix_change_subject_id"), "change", ["subject", "id"], unique=False)
    op.create_table(
        "cursor",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cursor")),
    )
    op.create_table(
        "customer_link",
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("account_ref", sa.Text(), nullable=False),
        sa.Column("zentitle_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_customer_link")),
    )
    op.create_index(op.f("ix_customer_link_account_ref"), "customer_link", ["account_ref"], unique=False)
    op.create_table(
        "entitlement",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("order_ref", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("offering", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("expires", sa.Float(precision=53), nullable=True),
        sa.Column("maintenance_ends", sa.Float(precision=53), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("catalog_version", sa.Text(), nullable=False),
        sa.Column("observation", sa.Text(), nullable=True),
        sa.Column("read_at", sa.Float(precision=53), nullable=False),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entitlement")),
    )
    op.create_index(op.f("ix_entitlement_changed_at"), "entitlement", ["changed_at"], unique=False)
    op.create_index(op.f("ix_entitlement_customer_id"), "entitlement", ["customer_id"], unique=False)
    op.create_index(op.f("ix_entitlement_expires"), "entitlement", ["expires"], unique=False)
    op.create_index(op.f("ix_entitlement_group_id"), "entitlement", ["group_id"], unique=False)
    op.create_index(op.f("ix_entitlement_maintenance_ends"), "entitlement", ["maintenance_ends"], unique=False)
    op.create_index(op.f("ix_entitlement_order_ref"), "entitlement", ["order_ref"], unique=False)
    op.create_index(op.f("ix_entitlement_subject"), "entitlement", ["subject"], unique=False)
    op.create_table(
        "grant",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("entitlement", sa.Text(), nullable=True),
        sa.Column("offering", sa.Text(), nullable=False),
        sa.Column("paid_until", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("subject", "line", name=op.f("pk_grant")),
    )
    op.create_table(
        "guard_spend",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guard_spend")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_guard_spend_connection_at"), "guard_spend", ["connection", "at"], unique=False)
    op.create_table(
        "intent",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="1", nullable=False),
        sa.Column("activation_code", sa.Text(), nullable=True),
        sa.Column("ids", sa.JSON(), nullable=True),
        sa.Column("closed_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_intent")),
    )
    op.create_index(op.f("ix_intent_activation_code"), "intent", ["activation_code"], unique=False)
    op.create_index(op.f("ix_intent_subject"), "intent", ["subject"], unique=False)
    op.create_table(
        "lease",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("expires", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_lease")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("occurred_at", sa.Float(precision=53), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("entitlement", sa.Text(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("event_id", name=op.f("uq_message_event_id")),
        sa.UniqueConstraint("position", name=op.f("uq_message_position")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_message_entitlement_id"), "message", ["entitlement", "id"], unique=False)
    op.create_index(
        "ix_message_unplaced",
        "message",
        ["id"],
        unique=False,
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_table(
        "observation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("seen", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_observation")),
        sa.UniqueConstraint("subject", "hash", name=op.f("uq_observation_subject_hash")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "rate",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Float(precision=53), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("hold_until", sa.Float(precision=53), server_default="0", nullable=False),
        sa.Column("broken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("probe_until", sa.Float(precision=53), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("connection", name=op.f("pk_rate")),
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.Column("occurred_at", sa.Float(precision=53), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("duplicates", sa.Integer(), server_default="0", nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("sequenced", sa.Boolean(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipt")),
        sa.UniqueConstraint("connection", "external_id", name=op.f("uq_receipt_connection_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_receipt_connection_id"), "receipt", ["connection", "id"], unique=False)
    op.create_index(
        "ix_receipt_odd",
        "receipt",
        ["outcome", "id"],
        unique=False,
        sqlite_where=sa.text("outcome <> 'accepted'"),
        postgresql_where=sa.text("outcome <> 'accepted'"),
    )
    op.create_index(op.f("ix_receipt_received_at_outcome"), "receipt", ["received_at", "outcome"], unique=False)
    op.create_index(op.f("ix_receipt_subject_id"), "receipt", ["subject", "id"], unique=False)
    op.create_index(op.f("ix_receipt_type_id"), "receipt", ["type", "id"], unique=False)
    op.create_index(
        "ix_receipt_unsequenced",
        "receipt",
        ["id"],
        unique=False,
        sqlite_where=sa.text("outcome = 'accepted' AND NOT sequenced"),
        postgresql_where=sa.text("outcome = 'accepted' AND NOT sequenced"),
    )
    op.create_table(
        "review",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("closed_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("key", name=op.f("uq_review_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_review_open_id"), "review", ["open", "id"], unique=False)
    op.create_index(op.f("ix_review_subject"), "review", ["subject"], unique=False)
    op.create_table(
        "sequence",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sequence")),
    )
    op.create_table(
        "stored_object",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("previous", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("connection", "object_id", name=op.f("pk_stored_object")),
    )
    op.create_index(op.f("ix_stored_object_subject"), "stored_object", ["subject"], unique=False)
    op.create_table(
        "subject",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("next_look", sa.Float(precision=53), nullable=True),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("marks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", sa.Float(precision=53), nullable=True),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("second_look", sa.Float(precision=53), nullable=True),
        sa.Column("verify_at", sa.Float(precision=53), nullable=True),
        sa.Column("waiting_since", sa.Float(precision=53), nullable=True),
        sa.Column("waiting_on", sa.Text(), nullable=True),
        sa.Column("looked_at", sa.Float(precision=53), nullable=True),
        sa.Column("held_because", sa.Text(), nullable=True),
        sa.Column("order_ref", sa.Text(), nullable=True),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("customer_name", sa.Text(), nullable=True),
        sa.Column("about", sa.JSON(), nullable=True),
        sa.Column("flagged", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("trace", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_subject")),
    )
    op.create_index(op.f("ix_subject_changed_at"), "subject", ["changed_at"], unique=False)
    op.create_index(op.f("ix_subject_customer"), "subject", ["customer"], unique=False)
    op.create_index(op.f("ix_subject_order_ref"), "subject", ["order_ref"], unique=False)
    op.create_index(
        op.f("ix_subject_state_priority_next_look"), "subject", ["state", "priority", "next_look"], unique=False
    )
    op.create_index(op.f("ix_subject_waiting_on"), "subject", ["waiting_on"], unique=False)
    op.create_table(
        "token",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("expires", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("connection", name=op.f("pk_token")),
    )
    op.create_table(
        "user",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_user")),
    )
    op.create_table(
        "session",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("used_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["user"],
            ["user.name"],
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_user"), "session", ["user"], unique=False)
