"""accounts, tasks, the denylist of tokens, and the counters of the rate limits"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _moment(name: str, *, default: bool = True) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()") if default else None
    )


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(100), nullable=True),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.text("true")),
        sa.Column("token_version", sa.Integer(), nullable=False, server_default=sa.text("0")),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.String(2000), nullable=True),
        sa.Column("status", sa.String(16), nullable=False, server_default=sa.text("'pending'")),
        sa.Column("priority", sa.String(16), nullable=False, server_default=sa.text("'medium'")),
        sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1")),
        _moment("created_at"),
        _moment("updated_at"),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 200", name=op.f("ck_tasks_title_length")),
        sa.CheckConstraint("status IN ('pending', 'in_progress', 'completed')", name=op.f("ck_tasks_status")),
        sa.CheckConstraint("priority IN ('low', 'medium', 'high')", name=op.f("ck_tasks_priority")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_tasks_version")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tasks_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
    )
    newest_first = [sa.text("created_at DESC"), sa.text("id DESC")]
    op.create_index("ix_tasks_user_id_created_at", "tasks", ["user_id", *newest_first])
    op.create_index("ix_tasks_user_id_status_created_at", "tasks", ["user_id", "status", *newest_first])
    op.create_table(
        "token_denylist",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        _moment("denied_at", default=False),
        _moment("expires_at", default=False),
        sa.CheckConstraint("reason IN ('used', 'reused', 'signed_out')", name=op.f("ck_token_denylist_reason")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_token_denylist_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_token_denylist"),
    )
    op.create_index("ix_token_denylist_expires_at", "token_denylist", ["expires_at"])
    op.create_index("ix_token_denylist_user_id", "token_denylist", ["user_id"])
    op.create_table(
        "rate_limit_counters",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        _moment("expires_at", default=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_limit_counters"),
        prefixes=["UNLOGGED"],
    )
    op.create_index("ix_rate_limit_counters_expires_at", "rate_limit_counters", ["expires_at"])


def downgrade() -> None:
    for table in ("rate_limit_counters", "token_denylist", "tasks", "users"):
        op.drop_table(table)
