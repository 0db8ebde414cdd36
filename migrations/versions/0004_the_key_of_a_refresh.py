"""the key with which a refresh token was used, so that its answer can be asked for again"""

from migrations.without_waiting import add_column, drop_column

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    add_column("token_denylist", "key_hash bytea")


def downgrade() -> None:
    drop_column("token_denylist", "key_hash")
