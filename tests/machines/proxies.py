"""HAProxy and Caddy as their manuals begin: each checks `/health/ready`, and nothing else is set."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machines.balancer import NGINX, nginx_before
from tests.support.server import Server, free_port

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
CADDY = shutil.which("caddy")
PROGRAMS = {"nginx": NGINX, "haproxy": HAPROXY, "caddy": CADDY}

HAPROXY_CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend public
    bind 127.0.0.1:{port}
    default_backend service
backend service
    option httpchk GET /health/ready
{servers}
"""
CADDY_CONFIGURATION = """
{{
    admin off
}}
http://127.0.0.1:{port} {{
    reverse_proxy {servers} {{
        health_uri /health/ready
        health_interval 2s
    }}
}}
"""


@contextmanager
def proxy_before(name: str, folder: Path, urls: list[str]) -> Iterator[str]:
    """Run the proxy before servers, and yield its address."""
    if name == "nginx":
        with nginx_before(folder, urls) as url:
            yield url
        return
    port, places = free_port(), [url.removeprefix("http://") for url in urls]
    file, log = folder / f"{name}.conf", folder / f"{name}.log"
    if name == "haproxy":
        servers = "\n".join(f"    server s{number} {place} check" for number, place in enumerate(places))
        file.write_text(HAPROXY_CONFIGURATION.format(port=port, servers=servers))
        command = [str(HAPROXY), "-f", str(file)]
    else:
        file.write_text(CADDY_CONFIGURATION.format(port=port, servers=" ".join(places)))
        command = [str(CADDY), "run", "--config", str(file), "--adapter", "caddyfile"]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said, env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            Server(process, url, log).wait_until()
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
