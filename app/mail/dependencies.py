"""What the routes of mail need: a queue, without which they say that there is no mail."""

from typing import Annotated, ClassVar

from fastapi import Depends, Request

from app.auth.dependencies import BearerRoute, authenticate
from app.core.http.routing import ApiRoute, Guard
from app.mail.errors import MailIsOff
from app.mail.post import Post


async def get_post(request: Request) -> Post:
    """Return the queue. Raises: MailIsOff."""
    post: Post | None = request.app.state.post
    if post is None:
        raise MailIsOff
    return post


class MailRoute(ApiRoute):
    """A route that first of all needs a queue."""

    guards: ClassVar[tuple[Guard, ...]] = (get_post,)


class BearerMailRoute(BearerRoute):
    """The same, for somebody who is signed in."""

    guards: ClassVar[tuple[Guard, ...]] = (authenticate, get_post)


PostDep = Annotated[Post, Depends(get_post)]
