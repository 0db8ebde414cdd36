"""${message}"""

# It only adds, so that processes of the release before go on, and nobody waits for it: without_waiting.py has the
# steps.
from migrations.without_waiting import add_column, drop_column

revision = "${up_revision}"
down_revision = "${down_revision}"


def upgrade() -> None:
    ${upgrades if upgrades else 'add_column("tasks", "name type")'}


def downgrade() -> None:
    ${downgrades if downgrades else 'drop_column("tasks", "name")'}
