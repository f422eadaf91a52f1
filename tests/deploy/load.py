"""Clients that ask a service without pause, and count what it took and did not answer."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Count:
    """``answered``: by status; ``dropped``: requests that were sent whole on an open connection and got no answer."""

    answered: dict[int, int] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, status: int) -> None:
        with self.lock:
            self.answered[status] = self.answered.get(status, 0) + 1


class Clients:
    """Threads that ask until they are stopped or the service takes no more connections.

    ``requests``: ``(path, body)``, one thread for each. Each keeps its connection as long as the service lets it.
    """

    def __init__(self, address: str, requests: list[tuple[str, bytes]], pause: float = 0.0) -> None:
        self.address = address.removeprefix("http://")
        self.pause = pause
        self.count = Count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=request, daemon=True) for request in requests]

    def start(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self, seconds: float = 60) -> Count:
        """Let every client end by itself (the service is gone), and give the count."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.01))
        self._stop.set()
        return self.count

    def _ask(self, path: str, body: bytes) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            if connection is None:
                connection = http.client.HTTPConnection(self.address, timeout=30)
                try:
                    connection.connect()
                except OSError:
                    with self.count.lock:
                        self.count.refused += 1
                    return
            try:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                with self.count.lock:
                    self.count.dropped.append(f"{path}: {error!r}")
                connection.close()
                connection = None
                continue
            self.count.take(answer.status)
            if answer.getheader("connection") == "close":
                connection.close()
                connection = None
            if self.pause:
                time.sleep(self.pause)
        if connection is not None:
            connection.close()
