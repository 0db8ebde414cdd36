"""A client of the Auth + Tasks API for Python programs and for the command line. Knows the service only by HTTP."""

from auth_tasks_client.api import Refused, Task, TasksClient
from auth_tasks_client.auth import SignedOut, TokenAuth
from auth_tasks_client.store import StoredTokens, TokenStore

__all__ = ["Refused", "SignedOut", "StoredTokens", "Task", "TasksClient", "TokenAuth", "TokenStore"]
