"""The errors of streams."""

from app.core.errors import ServiceUnavailable


class TooManyStreams(ServiceUnavailable):
    """The process, or the session, has as many streams as it may have."""

    code = "TOO_MANY_STREAMS"
    message = "There are as many streams as there may be. Please try again in a moment."

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=5)
