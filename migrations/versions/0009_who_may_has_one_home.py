"""who may is told by `user_state` alone; `users` tells which of its owner's passwords is the current one

A transaction of its own: Citus changes no table to which others refer, once rows of those have been written in it.
"""

from alembic import op
from sqlalchemy import text

from migrations.without_waiting import add_column, drop_column

revision = "0009"
down_revision = "0008"

NOT_AS_BY_DEFAULT = "SELECT user_id, is_active, token_version FROM user_state WHERE NOT is_active OR token_version <> 0"
UPDATE = "UPDATE users SET is_active = :is_active, token_version = :token_version WHERE id = :user_id"


def upgrade() -> None:
    add_column("users", "password_version integer NOT NULL DEFAULT 0")
    drop_column("users", "is_active")
    drop_column("users", "token_version")


def downgrade() -> None:
    add_column("users", "is_active boolean NOT NULL DEFAULT true")
    add_column("users", "token_version integer NOT NULL DEFAULT 0")
    if not op.get_context().as_sql:
        # One by one: no statement of Citus reads rows of several nodes and changes what each has a copy of.
        for row in op.get_bind().execute(text(NOT_AS_BY_DEFAULT)).mappings().all():
            op.get_bind().execute(text(UPDATE), dict(row))
    drop_column("users", "password_version")
