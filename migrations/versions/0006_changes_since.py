"""what has changed since: for clients that were offline

A process of the release before, which does not write `changed`, works on with this schema. What it writes is not
reported to a client that asks what has changed since a moment before.
"""

from migrations.without_waiting import (
    add_column,
    add_foreign_key,
    distribute_with_tasks,
    drop_column,
    drop_table,
    make_table,
)

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    make_table(
        "task_epoch",
        "id integer NOT NULL",
        "epoch uuid NOT NULL",
        "CONSTRAINT pk_task_epoch PRIMARY KEY (id)",
        "CONSTRAINT ck_task_epoch_one_row CHECK (id = 1)",
    )
    distribute_with_tasks("task_epoch")
    make_table(
        "task_tombstones",
        "id uuid NOT NULL",
        "user_id uuid NOT NULL",
        "version integer NOT NULL",
        "changed xid8 NOT NULL",
        "deleted_at timestamptz NOT NULL",
        "CONSTRAINT pk_task_tombstones PRIMARY KEY (user_id, id)",
    )
    distribute_with_tasks("task_tombstones")
    add_foreign_key(
        "task_tombstones", "user_id", "users (id) ON DELETE CASCADE", name="fk_task_tombstones_user_id_users"
    )
    # Last: Citus divides no table once a change has gone to all parts of another.
    add_column("tasks", "changed xid8 NOT NULL DEFAULT '0'")


def downgrade() -> None:
    drop_table("task_tombstones")
    drop_table("task_epoch")
    drop_column("tasks", "changed")
