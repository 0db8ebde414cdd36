"""Several server processes on ports of their own, and nginx before them that sends each request to any."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.server import Server, free_port, serving

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx to test with: apt-get install nginx")

# The service judges bodies and paths itself; what was sent to a server that died is not sent again.
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream service {{
        random;
        {servers}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port};
        location {below}/ {{
            proxy_pass http://service{stripped};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


class Balanced(NamedTuple):
    """The balancer's address, and the servers behind it."""

    url: str
    servers: list[Server]


@contextmanager
def balanced(folder: Path, count: int, **settings: str) -> Iterator[Balanced]:
    """Run so many processes of the service behind nginx."""
    with ExitStack() as stack:
        given = {"TRUSTED_PROXIES": "127.0.0.1", "LOG_LEVEL": "WARNING", **settings}
        servers = [stack.enter_context(serving(folder, wait=False, **given)) for _ in range(count)]
        for server in servers:
            server.wait_until()
        yield Balanced(stack.enter_context(nginx_before(folder, [server.url for server in servers])), servers)


@contextmanager
def nginx_before(folder: Path, urls: list[str], *, below: str = "") -> Iterator[str]:
    """Run nginx before servers, and yield its address; `below` is a path that it strips."""
    assert NGINX
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            port=port,
            below=below,
            stripped="/" if below else "",  # nginx takes the place of `below` by what stands here
            user="user root;" if os.geteuid() == 0 else "",
            servers="\n        ".join(f"server {url.removeprefix('http://')};" for url in urls),
        )
    )
    with subprocess.Popen([NGINX, "-c", str(configuration), "-e", f"{folder}/error.log"]) as process:
        url = f"http://127.0.0.1:{port}{below}"
        try:
            Server(process, url, folder / "error.log").wait_until()
            yield url
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)
