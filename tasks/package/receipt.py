"""The receipt: hashes of everything a package was made from, so that it can be checked and made again.

There is no clock, host or path in it, and no git commit either: the same inputs give the same bytes on
another day and after an unrelated commit. The code is named by its files' own hashes; which commit they
came from is recorded where the version is registered.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tasks
from tasks.artifacts import Failed, Receipt
from tasks.code import RECEIPT
from tasks.files import hash_tree, optional_sha256, sha256
from tasks.params import Params

DATA = ("raw/manifest.json", "expectations", "validated", "features", "evaluation")
OF_FAMILIES = ("tuning", "models")  # a folder for each family of params.yaml
SECTIONS = ("seed", "problem", "data", "features", "split", "models", "tuning", "training")
LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "xgboost", "lightgbm", "torch", "optuna")


def receipt(data: Path, params: Params, as_of: str | None) -> Receipt:
    """The receipt of a package made from the folder ``data`` with ``params``, as known at ``as_of``."""
    made = Receipt(
        as_of=as_of,
        seed=params.seed,
        data=data_hashes(data, params.models),
        code=code_hashes(),
        params=params.model_dump(mode="json", include=dict.fromkeys(SECTIONS, True) | {"monitoring": {"window"}}),
        lock=lock_hash(),
        libraries=libraries(),
    )
    failed = failures(data, params.models)
    return made.model_copy(update={"failed": failed}) if failed else made


def failures(data: Path, families: Iterable[str]) -> dict[str, Failed]:
    """Families that the package was made without, since they failed."""
    found = {family: Failed.find(data / "models" / family) for family in sorted(families)}
    return {family: record for family, record in found.items() if record is not None}


def data_hashes(data: Path, families: Iterable[str]) -> dict[str, str]:
    """SHA-256 of every input file under ``data``, by its path there; what is absent is left out.

    Only the folders of ``families`` count: one dropped from ``params.yaml`` leaves its folder behind, nothing is made
    from it, and a rebuild does not have it.
    """
    out: dict[str, str] = {}
    for name in (*DATA, *(f"{part}/{family}" for part in OF_FAMILIES for family in sorted(families))):
        path = data / name
        if path.is_file():
            out[name] = sha256(path)
        elif path.is_dir():
            out |= {f"{name}/{inner}": digest for inner, digest in hash_tree(path).items()}
    # Seconds of a run differ from run to run, and nothing is made from them.
    return {name: digest for name, digest in out.items() if not name.endswith("timing.json")}


def code_hashes() -> dict[str, str]:
    """SHA-256 of the source files of :data:`tasks.code.RECEIPT`."""
    root = Path(tasks.__file__).parent
    files = [p for name in RECEIPT for p in ([root / name] if name.endswith(".py") else (root / name).rglob("*.py"))]
    return {f"tasks/{p.relative_to(root).as_posix()}": sha256(p) for p in sorted(files)}


def lock_hash() -> str | None:
    """SHA-256 of ``requirements.lock`` beside the code; None where it was installed without one."""
    return optional_sha256(Path(tasks.__file__).parent.parent / "requirements.lock")


def libraries() -> dict[str, str | None]:
    """Versions of :data:`LIBRARIES`, on which the bytes of models depend; None for one that is not installed."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
