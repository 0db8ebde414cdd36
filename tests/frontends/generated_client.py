"""A program with the client that openapi-python-client generates; mypy --strict checks it."""

import sys

from auth_tasks_api_client import AuthenticatedClient, Client
from auth_tasks_api_client.api.auth import refresh_tokens, sign_up
from auth_tasks_api_client.api.tasks import create_task, list_tasks
from auth_tasks_api_client.models import (
    ListTasksSort,
    Problem,
    RefreshBody,
    SignedInRead,
    SignUpBody,
    TaskCreate,
    TaskCreatePriority,
    TaskRead,
    TaskReadStatus,
    TokenRead,
)

url, email, password = sys.argv[1:]
anybody = Client(base_url=url)

signed_up = sign_up.sync(client=anybody, body=SignUpBody(email=email, password=password))
assert isinstance(signed_up, SignedInRead)
client = AuthenticatedClient(base_url=url, token=signed_up.access_token)

made = create_task.sync(client=client, body=TaskCreate(title="Water the plants", priority=TaskCreatePriority.HIGH))
assert isinstance(made, TaskRead)
assert made.status is TaskReadStatus.PENDING
assert made.created_at.tzinfo is not None

refreshed = refresh_tokens.sync(client=anybody, body=RefreshBody(refresh_token=signed_up.refresh_token or None))
assert isinstance(refreshed, TokenRead)
client = AuthenticatedClient(base_url=url, token=refreshed.access_token)

listed = list_tasks.sync(client=client, completed=False, sort=ListTasksSort.TITLE, limit=10)
assert isinstance(listed, list)
assert [task.id for task in listed] == [made.id]
refused = create_task.sync(client=client, body=TaskCreate(title=" "))
assert isinstance(refused, Problem)
assert refused.errors
assert refused.errors[0].field == "title"
print("done")
