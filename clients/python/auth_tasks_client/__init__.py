"""A client of the Auth + Tasks API for Python programs and for the command line. Knows the service only by HTTP."""

from auth_tasks_client.api import Session, Task, TasksClient
from auth_tasks_client.auth import TokenAuth
from auth_tasks_client.errors import ApiError, SignedOut
from auth_tasks_client.store import StoredTokens, TokenStore, default_store

__all__ = [
    "ApiError",
    "Session",
    "SignedOut",
    "StoredTokens",
    "Task",
    "TasksClient",
    "TokenAuth",
    "TokenStore",
    "default_store",
]
