"""What can be known before a run starts is checked before it starts: before any stage, any server and any heavy import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError

if TYPE_CHECKING:
    from tasks.params import Params


def beforehand(root: Path, as_of: str | None) -> Params:
    if not (root / "dvc.yaml").exists():
        raise RefitError(f"{root}: no dvc.yaml here. Change to the project's folder, or run `refit init`.")
    from tasks.params import load

    params = load(root / "params.yaml")
    if as_of is not None:
        from flows.effects import moment

        moment(as_of)
    return params
