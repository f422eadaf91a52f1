"""A web address on this machine that keeps what is posted to it."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Webhook(HTTPServer):
    """Keeps what is posted, and answers with ``code``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.code = 200
        self.got: list[dict[str, object]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/services/T0/B0/secret"


class Post(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.code == 200:
            self.server.got.append(body)
        self.send_response(self.server.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(server: socketserver.TCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
