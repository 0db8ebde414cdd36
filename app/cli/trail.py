"""What an operator has done, as lines of the trail."""

import logging
import sys
from uuid import UUID

from app.auth.events import write_event
from app.core.clock import system_clock
from app.core.logging import AUDIT, JsonFormatter


def record(event: str, *, user_id: UUID | None = None) -> None:
    """Write an event to standard error, for the files in which the service's own lines are; not to a terminal."""
    if sys.stderr.isatty():
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    trail = logging.getLogger(AUDIT)
    trail.handlers[:], trail.propagate = [handler], False
    trail.setLevel(logging.INFO)
    write_event(event, system_clock(), user_id=user_id, actor="operator")
