"""Reverse proxies that serve the page at a sub-path: a small one in this process, and nginx where it is installed."""

from __future__ import annotations

import getpass
import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HOP_BY_HOP = ("host", "connection", "transfer-encoding", "keep-alive")
NGINX = """
daemon off; user {user}; pid {folder}/nginx.pid; error_log stderr warn;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {location}
  }}
}}
"""


@contextmanager
def python_proxy(upstream: str, path: str, *, strips: bool = True) -> Iterator[str]:
    """Serves `upstream`, an address that ends with a slash, at `path`; yields its address. strips: the path is removed on the way."""
    target = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            headers |= {"X-Forwarded-Host": self.headers["Host"], "X-Forwarded-Proto": "http"}
            connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)
            connection.request(self.command, self.path.removeprefix(path) if strips else self.path, body, headers)
            response = connection.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()
            while block := response.read1(1 << 16):  # event streams go on while they are made
                self.wfile.write(block)

        do_GET = do_POST = do_HEAD = forward

        def log_message(self, format: str, *arguments: object) -> None:
            """Prints nothing."""

    class Proxy(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A browser that leaves is no error."""

    proxy = Proxy(("127.0.0.1", 0), Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}{path}/"
    proxy.shutdown()
    proxy.server_close()


def nginx_program() -> str | None:
    """Path of nginx; None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def nginx(location: str, folder: Path) -> Iterator[str]:
    """An nginx with this `location` block; yields its address."""
    program = nginx_program()
    assert program is not None, "nginx is not installed: apt-get install nginx-light"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(user=getpass.getuser(), folder=folder, port=port, location=location))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config), "-e", "stderr"])
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        assert process.poll() is None, "nginx did not start"
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)
