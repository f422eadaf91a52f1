"""Other ways to serve a package, as rivals of `refit serve`: one process each, one parse and one prediction a request."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from deploy.launch import Command
from tests.bench._flights import ROOT

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Service:
    """How a service is started, and what it wants to be asked."""

    name: str
    command: Command
    wrapped: bool = False  # BentoML has arguments by name

    def single(self, row: dict[str, Any]) -> Any:
        return {"row": row} if self.wrapped else row

    def batch(self, rows: list[dict[str, Any]]) -> Any:
        return {"rows": rows} if self.wrapped else rows


def _bentoml(port: int) -> list[str]:
    where = ["--working-dir", str(ROOT), "--host", HOST, "--port", str(port)]
    return [sys.executable, "-m", "bentoml", "serve", "tests.bench._plain_bentoml:Plain", *where]


def _fastapi(port: int) -> list[str]:
    quick = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    where = ["--app-dir", str(ROOT), "--host", HOST, "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", "tests.bench._plain_fastapi:app", *quick, *where]


BENTOML = Service("bentoml", _bentoml, wrapped=True)
FASTAPI = Service("fastapi", _fastapi)
