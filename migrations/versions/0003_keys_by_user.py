"""primary keys that begin with the user, so that a user's rows can be stored on one node

Each table is changed in steps that hold nobody up, and each step may be run again after an interruption.
"""

from migrations.without_waiting import drop_index, make_index, replace_primary_key

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table in ("tasks", "token_denylist"):
        replace_primary_key(table, "user_id", "id")
    make_index("ix_token_denylist_user_id_expires_at", "token_denylist", "user_id", "expires_at")
    drop_index("ix_token_denylist_user_id")
    drop_index("ix_token_denylist_expires_at")


def downgrade() -> None:
    # First the step that fails on tables divided among nodes, before anything has changed.
    for table in ("token_denylist", "tasks"):
        replace_primary_key(table, "id")
    make_index("ix_token_denylist_user_id", "token_denylist", "user_id")
    make_index("ix_token_denylist_expires_at", "token_denylist", "expires_at")
    drop_index("ix_token_denylist_user_id_expires_at")
