"""leave room in the counters' pages, so that counting rewrites a row where it stands"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE rate_limit_counters SET (fillfactor = 50)")


def downgrade() -> None:
    op.execute("ALTER TABLE rate_limit_counters RESET (fillfactor)")
