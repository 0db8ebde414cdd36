"""one row for each session, in the place of one for each used refresh token

Processes of 1.0 take any row with a session's id for its end: they must have stopped.
"""

from alembic import op

from migrations.without_waiting import (
    add_column,
    drop_column,
    drop_index,
    make_index,
    replace_check,
    set_fillfactor,
)

revision = "0007"
down_revision = "0006"

TABLE = "token_denylist"
COLUMNS = {
    "denied_up_to": "integer",
    "client": "bytea",
    "uses": "bytea",
    "counted": "integer NOT NULL DEFAULT 0",
    "window_ends": "timestamptz",
}
# Sessions that 1.0 has refreshed are listed and ended by their row. 0 denies nothing yet.
TAKE_OVER = """INSERT INTO token_denylist
    (user_id, id, session_id, reason, denied_up_to, denied_at, expires_at)
    SELECT user_id, session_id, session_id, 'active', 0, max(denied_at), max(expires_at)
    FROM token_denylist WHERE reason = 'used' GROUP BY user_id, session_id
    ON CONFLICT (user_id, id) DO NOTHING"""


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        add_column(TABLE, f"{name} {kind}")
    replace_check(TABLE, "reason", "reason IN ('active', 'signed_out', 'reused', 'challenge', 'used')")
    set_fillfactor(TABLE, 70)
    op.execute(TAKE_OVER)
    drop_index("ix_token_denylist_user_id_expires_at")


def downgrade() -> None:
    # 1.0 cannot tell which of the tokens are used: whoever is signed in signs in again.
    op.execute("UPDATE users SET token_version = token_version + 1")
    op.execute(f"DELETE FROM {TABLE} WHERE reason IN ('active', 'challenge')")
    make_index("ix_token_denylist_user_id_expires_at", TABLE, "user_id", "expires_at")
    set_fillfactor(TABLE, None)
    replace_check(TABLE, "reason", "reason IN ('used', 'reused', 'signed_out')")
    for name in COLUMNS:
        drop_column(TABLE, name)
