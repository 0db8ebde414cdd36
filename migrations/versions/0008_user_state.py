"""who may, in a row beside the user's others

Processes of the release before read it from `users`: as for 0007, they must have stopped.
"""

from alembic import op

from migrations.without_waiting import add_foreign_key, distribute_with_tasks, drop_table, make_table

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
    add_foreign_key("user_state", "user_id", "users (id) ON DELETE CASCADE", name="fk_user_state_user_id_users")
    op.execute(
        "INSERT INTO user_state (user_id, is_active, token_version) SELECT id, is_active, token_version FROM users"
    )


def downgrade() -> None:
    drop_table("user_state")
