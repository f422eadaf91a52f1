"""How long each stage took when it ran last: ``.refit/lasted.json``, which no stage reads."""

from __future__ import annotations

import threading
from pathlib import Path

from tasks.files import optional_json, write_json

FILE = ".refit/lasted.json"
_LOCK = threading.Lock()  # stages end side by side


def lasted(root: Path) -> dict[str, float]:
    """Seconds by stage; a stage that never ran here is not there."""
    kept = optional_json(root / FILE)
    return {k: float(v) for k, v in kept.items() if isinstance(v, int | float)} if isinstance(kept, dict) else {}


def keep(root: Path, stage: str, seconds: float) -> None:
    """Remember how long a stage took."""
    with _LOCK:
        write_json(root / FILE, {**lasted(root), stage: round(seconds, 2)})
