"""Serves the page of `web` as any server of static files does, with two rules more: `python serve.py PORT [FOLDER]`.

- /reset, /verify and /email, to which links of mails lead, are the page itself;
- /.well-known/change-password, where password managers look, leads to the page's form for a new password.
"""

import sys
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGES = {"/reset", "/verify", "/email"}
CHANGE_PASSWORD = "/.well-known/change-password"


class PageHandler(SimpleHTTPRequestHandler):
    """The files of a folder, never older than they are, in no frame of another page."""

    def send_head(self) -> Any:
        path = self.path.partition("?")[0]
        if path in PAGES:
            self.path = "/"
        if path != CHANGE_PASSWORD:
            return super().send_head()
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", "/#password")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *args: Any) -> None: ...


if __name__ == "__main__":
    folder = sys.argv[2] if len(sys.argv) > 2 else str(Path(__file__).parent / "web")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), partial(PageHandler, directory=folder))
    except OSError as error:
        sys.exit(f"Port {sys.argv[1]} cannot be used: {error.strerror}.")
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()
