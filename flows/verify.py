"""``refit verify``: a version's package against its receipt, and made again from the DVC cache."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flows import inputs, packages, versions
from flows.accepted import ACCEPTED
from flows.dag import Dag
from flows.inputs import FROM_CACHE
from flows.project import KEPT
from tasks.artifacts import AsOf, Failed, Receipt
from tasks.artifacts.folders import CONTEXT
from tasks.bundle.manifest import read_manifest
from tasks.errors import RefitError, some
from tasks.files import hash_tree, read_json, sha256, write_text
from tasks.params import load
from tasks.process import threads, with_threads
from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import THREADS, Registered, Registry


def verify(root: Path, model: str, version: str, rebuild: bool) -> tuple[bool, list[str]]:
    """Whether a version is what its receipt says, and one line about each thing looked at.

    The package must be whole and the one registered. What differs between the receipt and the files here (code,
    parameters, data, lock) is told; it is a failure only for the package itself. With ``rebuild`` the package is
    made again in a temporary folder (:func:`made_again`), and each byte is compared.
    """
    registry = Registry(root)
    past = DecisionHistory(root).decisions(model)
    digest = versions.meant(registry, model, version, past)
    registered = registry.holding(model, digest)
    with tempfile.TemporaryDirectory(prefix="refit-verify-") as name:
        if registered is not None:
            package = registry.fetch(registered, Path(name) / "package")  # refuses a damaged one
        else:
            package = packages.package_folder(root, model, digest, version, registry)
        manifest, receipt = read_manifest(package), Receipt.read(package)
        lines = [f"ok  package     {len(manifest.files)} files, {digest[:16]}"]
        if registered is None:
            lines.append(f"--  registry    {registry.shown} does not have it; the project's own copy was looked at")
        lines += list(against_here(root, receipt))
        if registered is not None:
            lines.append(inputs.summary(inputs.kept(registry, registered)))
        good = True
        if rebuild and registered is None:
            raise RefitError(
                f"version {version}: the registry ({registry.shown}) does not know the run that made it, so it cannot be made "
                "again. Set MLFLOW_TRACKING_URI to the one that does, or verify without --rebuild."
            )
        if rebuild and registered is not None:
            tags = registry.client.get_run(registered.run_id).data.tags
            commit = tags.get("mlflow.source.git.commit")
            with as_many(int(tags.get(THREADS, threads()))):
                again = made_again(root.resolve(), registered, receipt, Path(name) / "again", package / "held_against")
            good, compared = compare(package, again)
            lines += compared
            if not good and commit:
                lines.append(f"    it was made at commit {commit}; check that out and verify again")
    return good, lines


def against_here(root: Path, receipt: Receipt) -> Iterator[str]:
    """Say how the receipt relates to the files of this project."""
    from tasks.package import receipt as made

    params = load(root / "params.yaml")
    there, here = receipt.to_dict(), made.receipt(root / "data", params, receipt.as_of).to_dict()
    for part in ("data", "code", "params", "lock", "libraries", "seed"):
        then, now = there.get(part), here.get(part)
        if then == now:
            yield f"ok  {part:<11} as in the receipt"
        elif isinstance(then, dict) and isinstance(now, dict):
            differ = sorted(k for k in {*then, *now} if then.get(k) != now.get(k))
            yield f"--  {part:<11} differs here since: {some(differ, 4)}"
        else:
            yield f"--  {part:<11} differs here since: {then!r}, now {now!r}"
    for family, record in receipt.failed.items():
        yield f"--  families    made without {family}, which failed in {record.stage}: {record.why}"


def made_again(root: Path, registered: Registered, receipt: Receipt, folder: Path, held: Path) -> Path:
    """Make a version's package again in ``folder``, from the parameters and the lock that its run recorded.

    Raw tables and what tuning found within its seconds come from the DVC cache (``FROM_CACHE``), or from what is stored with
    the version (:mod:`flows.inputs`), and what its tables were held against from the folder ``held``; every other stage up to
    the package truly runs, with the code of this checkout. Nothing of the project is touched.
    """
    registry = Registry(root)
    folder.mkdir()
    for name in ("params.yaml", "dvc.lock"):
        if not registry.has(registered.run_id, name):
            raise RefitError(
                f"version {registered.version}: its run in the registry ({registry.shown}) recorded no {name}, since the version "
                "was registered again there from its package alone. Only the registry of its first run can make it again."
            )
        registry.artifact(registered.run_id, name, folder)
    for name in ("dvc.yaml", ".dvcignore", "requirements.lock"):
        if (root / name).exists():
            shutil.copy(root / name, folder / name)
    for name in ("tasks", *KEPT):
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(folder / ACCEPTED, ignore_errors=True)
    if held.is_dir():  # what its tables were held against, which changes with the champion
        shutil.copytree(held, folder / ACCEPTED)
    (folder / CONTEXT / AsOf.NAME).unlink(missing_ok=True)
    if receipt.as_of is not None:
        AsOf(as_of=receipt.as_of).write(folder / CONTEXT)
    # A repository of its own, whose remote is the project's cache: by a link, since DVC's settings cannot hold every path.
    write_text(
        folder / ".dvc" / "config",
        "[core]\n    no_scm = true\n    analytics = false\n    remote = project\n"
        "['remote \"project\"']\n    url = ../../cache\n",
    )
    (folder.parent / "cache").symlink_to(inputs.cache_of(root), target_is_directory=True)
    inputs.bring(root, registry, registered, folder / "dvc.lock", folder / ".dvc" / "cache")
    with Dag(folder) as dag:
        failed = receipt.failed  # families that it was made without
        lost = {name: failed[name.partition("@")[2]] for name in dag.nodes if name.partition("@")[2] in failed}
        wanted = [name for name in dag.nodes if name in _up_to(dag, "package") and not _lost(name, lost)]
        for name, record in lost.items():
            if _lost(name, lost):
                dag.give_up(name, record)
        dag.pull([name for name in wanted if name.startswith(FROM_CACHE)])
        for name in wanted:
            if not name.startswith(FROM_CACHE):
                print(f"    {name} ...", file=sys.stderr, flush=True)
                dag.run(name, lambda line: None, force=True)
    return folder / "data" / "package"


@contextlib.contextmanager
def as_many(count: int) -> Iterator[None]:
    """With as many threads in each stage as the version was made with.

    Sums of networks and of a few libraries are added up by thread, and their last bits depend on how many there are.
    Where this machine has as many, nothing is set: libraries that count for themselves counted the same then.
    """
    if count == threads():
        yield
        return
    print(f"    with {count} threads, as it was made; here there are {threads()}", file=sys.stderr, flush=True)
    with with_threads(count):
        yield


def _lost(name: str, lost: dict[str, Failed]) -> bool:
    """Whether a stage has nothing to give since its family failed, there or before."""
    return name in lost and (name.startswith("train@") or lost[name].stage == "tune")


def _up_to(dag: Dag, last: str) -> set[str]:
    node = dag.node(last)
    return {last}.union(*(_up_to(dag, need) for need in node.needs))


def compare(package: Path, again: Path) -> tuple[bool, list[str]]:
    """Compare two packages byte by byte."""
    if not (again / "bundle.json").exists():
        raise RefitError(f"{again}: the stage `package` made no package")
    then, now = hash_tree(package), hash_tree(again)
    differ = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if differ:
        lines = [f"!!  rebuild     differs in {some(differ, 6)}"]
        if set(differ) == {"bundle.json", "receipt.json"}:
            lines.append("    the model and its answers are the same; only what the receipt names is not")
        receipts = [read_json(folder / "receipt.json") for folder in (package, again)]
        return False, lines + [f"    in the receipts: {path}" for path in _differences(*receipts)][:8]
    return True, [f"ok  rebuild     {len(then)} files, every byte the same ({sha256(again / 'bundle.json')[:16]})"]


def _differences(then: object, now: object, path: str = "") -> Iterator[str]:
    """Paths at which two JSON trees differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            yield from _differences(then.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif then != now:
        yield path
