"""Authlib's OAuth 2 client, as a script or another service would use it."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from tests.support.people import PASSWORD, new_email
from tests.support.server import serving


def test_it_signs_in_refreshes_and_signs_out_by_itself(database_url: str, tmp_path: Path) -> None:
    """A program with Authlib signs in once and stays so, by a refresh for every expired token, until it revokes one."""
    with serving(tmp_path, DATABASE_URL=database_url, ACCESS_TOKEN_EXPIRE_MINUTES="0.5") as server:
        email, endpoint = new_email(), f"{server.url}/api/auth/token"
        httpx.post(f"{server.url}/api/auth/signup", json={"email": email, "password": PASSWORD})
        kept: list[dict[str, Any]] = []
        # Authlib 1.9 renews an access token 60 seconds before its end, here at every call.
        keep = kept.append
        with OAuth2Session(token_endpoint=endpoint, update_token=lambda token, **given: keep(token)) as client:
            client.fetch_token(username=email, password=PASSWORD)
            for number in range(3):
                made = client.post(f"{server.url}/api/tasks", json={"title": f"Task {number}"})
                assert made.status_code == 201, made.text
            assert len(client.get(f"{server.url}/api/tasks").json()) == 3
        assert len({token["refresh_token"] for token in kept}) == 4

        with OAuth2Session(token_endpoint=endpoint) as client:
            token = client.fetch_token(username=email, password=PASSWORD)
            for kind in ("refresh_token", "access_token"):
                revoked = client.revoke_token(f"{server.url}/api/auth/revoke", token[kind], kind)
                assert revoked.status_code == 200, revoked.text
            bearer = {"Authorization": f"Bearer {token['access_token']}"}
            assert httpx.get(f"{server.url}/api/tasks", headers=bearer).status_code == 401

        with pytest.raises(OAuthError, match="invalid_grant"):
            OAuth2Session(token_endpoint=endpoint).fetch_token(username=email, password="wrong")
