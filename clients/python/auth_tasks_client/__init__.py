"""A client of the Auth + Tasks API for Python programs and for the command line. Knows the service only by HTTP."""

from auth_tasks_client.api import Address, Passkey, ScriptClient, ScriptToken, Session, TasksClient
from auth_tasks_client.auth import TokenAuth
from auth_tasks_client.changes import Change, Conflict, Task
from auth_tasks_client.errors import ApiError, InsufficientScope, OtherAccount, OtherServer, SignedOut, TokenEnded
from auth_tasks_client.live import Told
from auth_tasks_client.local_copy import LocalCopy, NotSynchronised
from auth_tasks_client.script import ScriptAuth
from auth_tasks_client.store import StoredTokens, TokenStore, default_store
from auth_tasks_client.sync import Synchronised

__all__ = [
    "Address",
    "ApiError",
    "Change",
    "Conflict",
    "InsufficientScope",
    "LocalCopy",
    "NotSynchronised",
    "OtherAccount",
    "OtherServer",
    "Passkey",
    "ScriptAuth",
    "ScriptClient",
    "ScriptToken",
    "Session",
    "SignedOut",
    "StoredTokens",
    "Synchronised",
    "Task",
    "TasksClient",
    "TokenAuth",
    "TokenEnded",
    "TokenStore",
    "Told",
    "default_store",
]
