"""The routes of accounts in the order in which somebody meets them, from signing up to leaving."""

from fastapi.routing import APIRoute

from app.accounts import own_account_router as account_router
from app.accounts import router

ORDER = (
    *("sign_up", "sign_in", "issue_token", "refresh_tokens"),
    *("show_me", "change_me", "change_password", "reset_password"),
    *("list_sessions", "end_session", "sign_out", "delete_me"),
)


def in_order() -> list[APIRoute]:
    """Return every route below /api/auth, as the documentation shows them."""
    routers = (router.public, router.oauth, account_router.router, account_router.public)
    routes = {route.name: route for each in routers for route in each.routes if isinstance(route, APIRoute)}
    return [routes.pop(name) for name in ORDER] + list(routes.values())
