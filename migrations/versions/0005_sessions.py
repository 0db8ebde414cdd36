"""the list of sessions that people see, and end

Which sessions are active, only the denylist and the users' versions say: this table is read when somebody asks for it.
"""

from migrations.without_waiting import add_foreign_key, distribute_with_tasks, drop_table, make_table

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    make_table(
        "sessions",
        "id uuid NOT NULL",
        "user_id uuid NOT NULL",
        "device varchar(100)",
        "token_version integer NOT NULL",
        "created_at timestamptz NOT NULL DEFAULT now()",
        "CONSTRAINT pk_sessions PRIMARY KEY (user_id, id)",
    )
    distribute_with_tasks("sessions")
    add_foreign_key("sessions", "user_id", "users (id) ON DELETE CASCADE", name="fk_sessions_user_id_users")


def downgrade() -> None:
    drop_table("sessions")
