"""who may, in a row beside the user's others; and which of the owner's passwords is the current one

Processes of the release before read both from `users`: as for 0007, they must have stopped.
"""

from alembic import op

from migrations.without_waiting import (
    add_column,
    add_foreign_key,
    distribute_with_tasks,
    drop_column,
    drop_table,
    make_table,
)

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    make_table(
        "user_state",
        "user_id uuid NOT NULL",
        "is_active boolean NOT NULL DEFAULT true",
        "token_version integer NOT NULL DEFAULT 0",
        "password_version integer NOT NULL DEFAULT 0",
        "leaving boolean NOT NULL DEFAULT false",
        "CONSTRAINT pk_user_state PRIMARY KEY (user_id)",
    )
    distribute_with_tasks("user_state")
    op.execute(
        "INSERT INTO user_state (user_id, is_active, token_version) SELECT id, is_active, token_version FROM users"
    )
    add_foreign_key("user_state", "user_id", "users (id) ON DELETE CASCADE", name="fk_user_state_user_id_users")
    add_column("users", "password_version integer NOT NULL DEFAULT 0")
    drop_column("users", "is_active")
    drop_column("users", "token_version")


def downgrade() -> None:
    add_column("users", "is_active boolean NOT NULL DEFAULT true")
    add_column("users", "token_version integer NOT NULL DEFAULT 0")
    op.execute(
        "UPDATE users SET is_active = user_state.is_active, token_version = user_state.token_version "
        "FROM user_state WHERE user_state.user_id = users.id"
    )
    drop_column("users", "password_version")
    drop_table("user_state")
