"""a transaction's id by the node that has the user's rows, also in an INSERT that another node was asked to do"""

from alembic import op

from migrations.without_waiting import distribute_function

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION this_transaction(uuid) RETURNS xid8 STABLE LANGUAGE plpgsql "
        "AS 'BEGIN RETURN pg_current_xact_id(); END'"
    )
    distribute_function("this_transaction(uuid)")


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS this_transaction(uuid)")
