"""A service as a process: its command, when it is ready, what is said of one that is not, and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from deploy.launch import ask, free_port, running, serving, stop
from tasks.errors import RefitError
from tasks.files import sha256
from tasks.process import SETTINGS

# A service of the standard library: ready at its third question.
READY = """
import http.server, json, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Answer.asked += self.path == "/readyz"
        self.give(200 if Answer.asked > 2 else 503, json.dumps([self.path, os.environ.get("MY"), os.getcwd(), Answer.asked]))
    def do_POST(self):
        self.give(201, self.headers["Content-Type"] + " " + self.rfile.read(int(self.headers["Content-Length"])).decode())
    def give(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *said): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def python(program: str, port: int) -> list[str]:
    return [sys.executable, "-S", "-c", program, str(port)]


def test_a_service_is_handed_over_when_it_is_ready_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is not asked
    mine = {p.pid for p in psutil.Process().children()}
    with running(lambda port: python(READY, port), env={"MY": "own"}, folder=tmp_path) as address:
        (child,) = {p.pid for p in psutil.Process().children()} - mine
        assert os.getpgid(child) == child
        assert psutil.Process(child).environ().items() >= {**SETTINGS, "MY": "own"}.items()
        status, found = ask(address, "/other")
        assert (status, found) == (200, ["/other", "own", str(tmp_path), 3])
        assert ask(address, "/", b"{}") == (201, "application/json {}")
    assert not psutil.pid_exists(child)
    with pytest.raises(OSError, match="refused"):
        ask(address, "/readyz")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; print('no room'); print('a' * 400); sys.exit(3)", r"ended with code 3 before it was ready\. Its last lines:\n  no room\n  a{300}$"),
        ("import sys; sys.exit(1)", r"ended with code 1 before it was ready\. It wrote nothing\."),
        ("for i in range(20): print(i)", r"ended with code 0 .*Its last lines:\n  8\n  9\n(  1\d\n)+  19$"),
    ],
)  # fmt: skip
def test_a_service_that_ends_is_told_with_what_it_wrote_last(program: str, said: str) -> None:
    with pytest.raises(RefitError, match=f"(?s){said}"), running(lambda port: python(program, port)):
        pytest.fail("it was never ready")


def test_a_service_that_is_never_ready_is_given_up() -> None:
    mine = {p.pid for p in psutil.Process().children()}
    silent = "print('loading', flush=True); import time; time.sleep(600)"
    with (
        pytest.raises(RefitError, match=r"the service was not ready within 0\.4 s\. Its last lines:\n  loading"),
        running(lambda port: python(silent, port), timeout=0.4),
    ):
        pytest.fail("it was never ready")
    assert {p.pid for p in psutil.Process().children()} == mine


def test_what_is_no_http_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]

        def nonsense() -> None:
            there, _ = door.accept()
            there.recv(1000)
            there.sendall(b"hello\r\n\r\n")
            there.close()

        thread = threading.Thread(target=nonsense)
        thread.start()
        with pytest.raises(OSError, match="no HTTP answer"):
            ask(f"http://127.0.0.1:{port}", "/")
        thread.join()


def test_the_command_names_the_package_that_lies_there(tmp_path: Path) -> None:
    def words(identity: str | None) -> list[str]:
        return serving(tmp_path, "7", identity)(1234)

    rest = ["--version", "7", "--port", "1234", "--linger", "0"]
    start = [sys.executable, "-m", "deploy.serve", "--package", str(tmp_path), "--sha256"]
    assert words(None) == [*start, "none", *rest]
    (tmp_path / "bundle.json").write_text("{}")
    assert words(None) == [*start, sha256(tmp_path / "bundle.json"), *rest]
    assert words("ab") == [*start, "ab", *rest]


def test_a_free_port_can_be_had() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert port > 1023


def test_one_that_does_not_listen_to_the_signal_is_killed_and_stopping_twice_is_no_error() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
    with subprocess.Popen(python(deaf, 0), stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        stop(process, 0.05)
        assert process.returncode == -9
        stop(process, 0.05)


def test_one_that_listens_to_the_signal_has_time_to_end_by_itself_and_its_workers_go_with_it() -> None:
    polite = (
        "import signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN);"
        " print(0, flush=True); time.sleep(600)'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "signal.signal(15, lambda *_: (time.sleep(0.2), sys.exit(7)))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(python(polite, 0), stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        worker = psutil.Process(int(process.stdout.readline()))
        stop(process, 60)
        assert process.returncode == 7
        worker.wait(60)
    assert not worker.is_running()
