"""Routes of any service, without this one's."""

import httpx

from app.core.http.draining import Draining
from app.core.http.middleware import Service, install_middleware
from app.core.http.routing import make_router


async def test_head_finds_the_get_behind_another_method() -> None:
    """RFC 9110 9.3.2: Starlette answers a method that fits no route by the first one of the path, here with 405."""
    things = make_router(tag="things")

    @things.post("/things")
    async def add() -> str:
        return "added"

    @things.get("/things")
    async def show() -> str:
        return "shown"

    app = Service()
    app.router.routes.extend(things.routes)
    install_middleware(app, origins=(), https_only=False, draining=Draining(0), observe=None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
        assert (await client.head("/things")).status_code == 200
        assert (await client.request("HEAD", "/nothing")).status_code == 404
