"""Which package lies in a Bento: `deploy.build` writes it here, into the Bento's own copy. Outside one there is none."""

from __future__ import annotations

from pathlib import Path

PACKAGE: str | None = None  # SHA-256 of package/bundle.json
VERSION: str | None = None  # what answers call it
INSIDE = Path(__file__).resolve().parent.parent / "package"  # beside this code
