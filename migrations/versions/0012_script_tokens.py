"""tokens for scripts, which are sessions with scopes and an end of their own"""

from migrations.without_waiting import add_column, drop_column

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    add_column("sessions", "kind varchar(16) NOT NULL DEFAULT 'person'")
    add_column("sessions", "scopes text[]")
    add_column("sessions", "expires_at timestamptz")


def downgrade() -> None:
    for name in ("expires_at", "scopes", "kind"):
        drop_column("sessions", name)
