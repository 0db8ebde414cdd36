"""What httpx 0.28 does again for every client and every request, done once: a seventh of the time of all tests."""

import os
import sys
from functools import cache
from ssl import SSLContext

from httpx import _config
from httpx._transports import default


def make_quick() -> None:
    """Let clients share the context that trusts the usual authorities, and do not look for `sniffio` at each request.

    Reading the certificates takes 27 ms, for a client that speaks plain HTTP, too. Nothing here uses trio.
    """
    default.create_ssl_context = _shared  # type: ignore[attr-defined]
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # so that its import fails at once


def _shared(verify: SSLContext | str | bool = True, cert: object = None, trust_env: bool = True) -> SSLContext:
    if verify is True and cert is None:
        named = [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")] if trust_env else []
        return _usual(trust_env, *named)
    return _config.create_ssl_context(verify, cert, trust_env)  # type: ignore[arg-type]


@cache
def _usual(trust_env: bool, *named: str | None) -> SSLContext:
    return _config.create_ssl_context(trust_env=trust_env)
