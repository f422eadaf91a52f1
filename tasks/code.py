"""Which code of Refit each stage runs, as a small file that DVC can hash: ``data/code/<stage>.json``.

In a checkout the stages of ``dvc.yaml`` depend on the folders of ``tasks`` themselves. A project made by ``refit init`` runs
the installed Refit, whose place is no business of ``dvc.lock``; its stages depend on these files instead. They name the
modules and packages of ``tasks`` that a stage imports, directly or through others, with a hash of each, and the defaults of
the parameters that it names. They hold no version, path or clock: an upgrade that leaves a stage's code as it was
leaves its file as it was. ``refit run`` writes them at its start, ``python -m tasks.code`` does so by hand.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from tasks.artifacts.folders import CODE
from tasks.errors import RefitError, some
from tasks.files import read_json, write_json

# Reading parameters and files, and words for mistakes: what they give to a stage is in its parameters and inputs.
SHARED = {
    "code", "crosscheck", "errors", "explain", "extras", "files", "hidden", "idle", "implied", "listed", "memory", "params", "process",
    "stage", "stored",
}  # fmt: skip
# The receipt of a package names the code of every stage up to it.
RECEIPT = (
    "params", "implied.py", "condition.py", "files.py", "identity.py", "giveaways.py", "states.py", "goals.py", "ingest",
    "validate", "profile", "features", "engine", "encoding", "tune", "train", "fitting", "families", "models", "artifacts", "kinds",
    "ensembles", "metrics", "paired", "evaluate", "package", "bundle", "ordinary", "values",
)  # fmt: skip
_IMPORT = re.compile(r"^\s*(?:from tasks\.(\w+)|import tasks\.(\w+)|from tasks import ([\w, ]+))", re.MULTILINE)


class _Modules:
    """The modules and packages of one folder ``tasks``, each read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.imported, self.sha256 = cache(self._imported), cache(self._sha256)

    def _imported(self, name: str) -> set[str]:
        """What a module or package imports of ``tasks``."""
        folder, names = self._folder, set[str]()
        for path in _files(folder / name) if (folder / name).is_dir() else [folder / f"{name}.py"]:
            if path.suffix == ".py":
                for one, other, several in _IMPORT.findall(path.read_text(encoding="utf-8")):
                    names |= {one, other, *re.findall(r"(\w+)(?: as \w+)?", several)} - {""}
        return {n for n in names if (folder / n).is_dir() or (folder / f"{n}.py").is_file()}

    def _sha256(self, name: str) -> str:
        """The hash of a package or, with its ending, of a module."""
        path, sha = self._folder / name, hashlib.sha256()
        for file in _files(path) if path.is_dir() else [path]:
            sha.update(file.relative_to(self._folder).as_posix().encode() + b"\0")
            sha.update(hashlib.sha256(file.read_bytes()).digest())
        return sha.hexdigest()

    def used(self, stage: str) -> list[str]:
        """Modules (``name.py``) and packages that a stage's code imports, itself included, sorted."""
        names_used, todo = {stage}, [stage]
        while todo:
            for name in self.imported(todo.pop()) - SHARED - names_used:
                names_used.add(name)
                todo.append(name)
        names = {name if (self._folder / name).is_dir() else f"{name}.py" for name in names_used}
        return sorted(names | set(RECEIPT) if stage == "package" else names)

    def digest(self, stage: str, sections: Iterable[str]) -> dict[str, dict[str, str]]:
        """What a stage's file says: SHA-256 of each module and package it uses, and of the defaults of each section it names."""
        code = {f"tasks/{name}": self.sha256(name) for name in self.used(stage)}
        return {"code": code, "defaults": {name: _defaults(name) for name in sorted(set(sections))}}


def _files(folder: Path) -> list[Path]:
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return sorted(p for p in files if not p.name.startswith(".") and not p.name.endswith(("~", ".pyc")))


def used(folder: Path, stage: str) -> list[str]:
    """Modules (``name.py``) and packages of ``tasks`` in ``folder`` that a stage's code imports, itself included, sorted."""
    return _Modules(folder).used(stage)


def digest(folder: Path, stage: str, sections: Iterable[str]) -> dict[str, dict[str, str]]:
    """What a stage's file says: SHA-256 of each module and package it uses, and of the defaults of each section it names."""
    return _Modules(folder).digest(stage, sections)


def _defaults(section: str) -> str:
    from tasks.params import Params

    field = Params.model_fields.get(section)
    lines = [] if field is None else [repr(field.default), *_of_models(field.annotation, set())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _of_models(kind: object, seen: set[type[BaseModel]]) -> Iterator[str]:
    """A line for each default of the models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        for name, field in kind.model_fields.items():
            made = field.get_default(call_default_factory=True, validated_data={}) if not field.is_required() else ...
            shown = json.dumps(made.model_dump(mode="json")) if isinstance(made, BaseModel) else repr(made)
            yield f"{kind.__name__}.{name}={shown}"
            yield from _of_models(field.annotation, seen)
    for part in get_args(kind):
        yield from _of_models(part, seen)


def _bodies(dag: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    stages = (YAML(typ="safe").load(dag) or {}).get("stages") or {}
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def asked(dag: str) -> dict[str, list[str]]:
    """Stages of a ``dvc.yaml`` (its text) that depend on their file in ``data/code``, with the sections of parameters that they name."""
    return {
        name: [p.split(".")[0] for p in body.get("params", []) if isinstance(p, str)]
        for name, body in _bodies(dag).items()
        if (CODE / f"{name}.json").as_posix() in (body.get("deps") or [])
    }


def unnamed(dag: str) -> list[str]:
    """Stages of a ``dvc.yaml`` that run a package of ``tasks`` and depend neither on its folder nor on its file in ``data/code``."""
    return [
        name
        for name, body in _bodies(dag).items()
        if f" -m tasks.{name}" in str(body.get("cmd"))
        and not {f"tasks/{name}", (CODE / f"{name}.json").as_posix()} & set(body.get("deps") or [])
    ]


def write(root: Path, stages: dict[str, list[str]], folder: Path) -> None:
    """Write the files of ``stages`` for the code in ``folder`` (a folder ``tasks``); what is right already is left alone."""
    modules = _Modules(folder)
    for stage, sections in stages.items():
        if not (folder / stage).is_dir():
            raise RefitError(
                f"dvc.yaml: stage {stage!r} depends on data/code/{stage}.json, but Refit has no such stage."
            )
        path, value = root / CODE / f"{stage}.json", modules.digest(stage, sections)
        if not path.exists() or _read(path) != value:
            write_json(path, value)


def differences(root: Path, stages: dict[str, list[str]], folder: Path) -> dict[str, list[str]]:
    """What :func:`write` would change: by stage, the modules, packages and defaults that are others than its file says."""
    changed = {}
    for stage, sections in stages.items():
        if not (folder / stage).is_dir():
            continue  # of which `write` tells
        path, now = root / CODE / f"{stage}.json", digest(folder, stage, sections)
        kept = (_read(path) if path.exists() else None) or {}
        if kept != now:
            changed[stage] = _others(now, kept)
    return changed


def _others(now: dict[str, dict[str, str]], kept: dict[str, dict[str, str]]) -> list[str]:
    return sorted(
        name
        for part in now
        for name in {*now[part], *kept.get(part, {})}
        if now[part].get(name) != kept.get(part, {}).get(name)
    )


def _read(path: Path) -> dict[str, dict[str, str]] | None:
    try:
        return read_json(path)
    except RefitError:  # cut, or in conflict
        return None


def check(stage: str) -> None:
    """See, where this stage has a file in ``data/code``, that it is about the code that runs; ``dvc repro`` would record it so.

    Raises :class:`RefitError` where Refit has changed since the file was written.
    """
    path = CODE / f"{stage}.json"
    if not path.exists():
        return
    kept = _read(path) or {}
    now = digest(Path(__file__).parent, stage, kept.get("defaults", ()))
    if kept != now:
        raise RefitError(
            f"{path}: Refit's code is another than this file says ({some(_others(now, kept), 4)}). Begin again with `refit run`, or "
            "write the files of data/code with `python -m tasks.code`."
        )


def main() -> None:
    """``python -m tasks.code``: write the files of ``data/code`` anew. Raises :class:`RefitError` outside a project."""
    dag = Path("dvc.yaml")
    if not dag.is_file():
        raise RefitError("dvc.yaml: no such file. Change to the project's folder.")
    write(Path(), asked(dag.read_text(encoding="utf-8")), Path(__file__).parent)


if __name__ == "__main__":
    try:
        main()
    except RefitError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
