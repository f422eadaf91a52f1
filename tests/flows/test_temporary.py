"""The temporary Prefect server: ready, known to Prefect's clients, gone with the run, and told where it does not start."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from tasks import blank

pytestmark = pytest.mark.flows

ASKS = """
import os, sys, threading
from pathlib import Path
from flows.settings import settle
settle(Path.cwd(), quiet=True)
from flows.temporary import TemporaryServer
server = TemporaryServer()
url = server.ready()
assert "prefect.server" not in sys.modules
from prefect import get_client

found = []
def ask():  # a thread that no flow has started
    with get_client(sync_client=True) as client:
        found.append((str(client.api_url).rstrip("/"), client.hello().status_code))
one = threading.Thread(target=ask)
one.start()
one.join()
assert found == [(url, 200)], found
assert "PREFECT_API_URL" not in os.environ
assert "prefect.server" not in sys.modules, "the client started no other server"
print(server._process.pid, url)
"""


def test_a_temporary_server_is_ready_known_and_gone_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", ASKS], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pid, url = done.stdout.split()
    assert not Path("/proc", pid).exists()
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", int(url.split(":")[2].removesuffix("/api")))) != 0
    assert (tmp_path / ".refit" / "prefect" / "prefect.db").exists()
    assert blank.fill(tmp_path / "other.db", f"prefect-{version('prefect')}"), "the next project gets a blank one"
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        assert other.execute("SELECT count(*) FROM flow_run").fetchone() == (0,)
