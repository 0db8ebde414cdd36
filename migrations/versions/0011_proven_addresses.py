"""when an e-mail address was proven by a link"""

from migrations.without_waiting import add_column, drop_column

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    add_column("users", "email_verified_at timestamptz")


def downgrade() -> None:
    drop_column("users", "email_verified_at")
