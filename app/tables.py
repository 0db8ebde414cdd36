"""Every table of the service: the migrations and a restore import this module to know all of them."""

from app.auth.models import DeniedToken, User, UserState
from app.core.database.table import SQLModel
from app.core.rate_limits.database import RateLimitCounter
from app.passkeys.models import Passkey
from app.sessions.models import Session
from app.tasks.models import Task, TaskEpoch, TaskTombstone

__all__ = [
    "DeniedToken",
    "Passkey",
    "RateLimitCounter",
    "Session",
    "Task",
    "TaskEpoch",
    "TaskTombstone",
    "User",
    "UserState",
]

metadata = SQLModel.metadata
