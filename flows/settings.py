"""Settings that must be in the environment before Prefect is imported; importing this module applies them."""

from __future__ import annotations

import os
from pathlib import Path

import tasks.stage  # noqa: F401  (applies the common settings)


def settle(root: Path, quiet: bool) -> None:
    """Keep Prefect's files inside the project, unless the user named a server or a home; ``quiet``: no log on screen.

    Without a server, Prefect starts a temporary one for the run.
    """
    if (root / "dvc.yaml").exists() and not (os.environ.get("PREFECT_API_URL") or os.environ.get("PREFECT_HOME")):
        home = root / ".refit" / "prefect"
        home.mkdir(parents=True, exist_ok=True)  # Prefect makes only the last folder of its path
        os.environ["PREFECT_HOME"] = str(home)
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_CLI_PROMPT", "false")
    if quiet:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


settle(Path.cwd(), quiet=False)
