"""passkeys, and of which version those are that a reset has not ended"""

from migrations.without_waiting import (
    add_column,
    add_foreign_key,
    distribute_with_tasks,
    drop_column,
    drop_table,
    make_table,
)

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    make_table(
        "passkeys",
        "user_id uuid NOT NULL",
        "id bytea NOT NULL",
        "public_key bytea NOT NULL",
        "sign_count bigint NOT NULL",
        "name varchar(100)",
        "synced boolean NOT NULL",
        "passkey_version integer NOT NULL",
        "created_at timestamptz NOT NULL DEFAULT now()",
        "last_used_at timestamptz",
        "CONSTRAINT pk_passkeys PRIMARY KEY (user_id, id)",
    )
    distribute_with_tasks("passkeys")
    add_foreign_key("passkeys", "user_id", "users (id) ON DELETE CASCADE", name="fk_passkeys_user_id_users")
    add_column("user_state", "passkey_version integer NOT NULL DEFAULT 0")


def downgrade() -> None:
    drop_column("user_state", "passkey_version")
    drop_table("passkeys")
