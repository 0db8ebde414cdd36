"""`aliases`: the names that public frontends call, beside the usual ones; nothing of it is documented."""

from http import HTTPStatus

from app.accounts.router import sign_up
from app.contracts.contract import NO_PATHS, Contract
from app.contracts.login import login_router
from app.core.http.error_responses import Problem
from app.core.http.problems import unchanged
from app.core.http.routing import make_router
from app.sessions.router import sign_out
from app.tasks.dependencies import TaskRoute
from app.tasks.router import toggle_task

accounts = make_router(prefix="/api/auth", tag="auth")
accounts.add_api_route("/register", sign_up, methods=["POST"], status_code=HTTPStatus.CREATED, include_in_schema=False)
accounts.add_api_route("/logout", sign_out, methods=["POST"], include_in_schema=False)
login = login_router("auth", Problem, unchanged, documented=False)
tasks = make_router(prefix="/api/tasks", tag="tasks", route_class=TaskRoute)
tasks.add_api_route("/{task_id}/complete", toggle_task, methods=["PATCH"], include_in_schema=False)

contract = Contract(
    "aliases",
    [*tasks.routes, *accounts.routes, *login.routes],
    NO_PATHS,
    unchanged,
    access_token_names=("token",),
)
