"""What the routes of passkeys need: that there are passkeys, without which they say so."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from fastapi import Depends, Path, Request

from app.accounts.errors import PasskeysAreOff
from app.auth.dependencies import BearerRoute, authenticate
from app.core.http.routing import ApiRoute, Guard

if TYPE_CHECKING:
    from app.passkeys.service import Passkeys


async def get_passkeys(request: Request) -> "Passkeys":
    """Return what knows passkeys. Raises: PasskeysAreOff."""
    passkeys: Passkeys | None = request.app.state.passkeys
    if passkeys is None:
        raise PasskeysAreOff
    return passkeys


class PasskeyRoute(ApiRoute):
    """A route that first of all needs passkeys."""

    guards: ClassVar[tuple[Guard, ...]] = (get_passkeys,)


class BearerPasskeyRoute(BearerRoute):
    """The same, for somebody who is signed in."""

    guards: ClassVar[tuple[Guard, ...]] = (authenticate, get_passkeys)


PasskeysDep = Annotated["Passkeys", Depends(get_passkeys)]
PasskeyId = Annotated[str, Path(description="The passkey's id.")]
