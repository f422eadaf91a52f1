"""A stage's inputs and outputs between two project folders that share a DVC remote and nothing else.

DVC does the carrying: what travels by itself are hashes as ``dvc.lock`` writes them, and the objects lie in the remote
as ``dvc push`` would put them there. The sender pushes what a stage declares as its dependencies, the tables' sources
among them; the worker lays it out in a folder of the run's own, beside links to its checkout's code, and pushes what the
stage wrote; the sender checks that out and records it from the files themselves, so its ``dvc.lock`` is that of a local run.

Python code does not travel: both sides have their checkout of the same commit and the same libraries, which is made sure of
before anything runs. What lies outside of the project's folder does not travel either (:func:`outside`).
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from flows.commands import StageFailed, end_orphans
from flows.dag import Dag
from flows.node import Node
from tasks.errors import RefitError, some, with_causes
from tasks.ingest.files import watched
from tasks.package.receipt import libraries

if TYPE_CHECKING:
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo
    from dvc.stage import PipelineStage
    from dvc_data.hashfile.transfer import TransferResult

HOUSE = Path(__file__).resolve().parent.parent
OWN = {"data", "dvc.yaml", "dvc.lock", "params.yaml", ".dvc", ".git"}  # of a run's folder, not of the worker's checkout


class Entry(TypedDict, total=False):
    """An output or a dependency as ``dvc.lock`` writes it."""

    path: str
    hash: str
    md5: str
    size: int
    nfiles: int


class Order(TypedDict, total=False):
    """What a worker is told of a stage, as JSON; without the DVC remote only its name, commands, threads and ``start``."""

    stage: str
    threads: int  # in each process, as the sender has them
    commands: list[list[str]]
    start: str  # the folder of what the run began with
    files: dict[str, str]  # texts at the project's top, as the run began with them
    deps: list[Entry]
    data: list[str]  # paths of dependencies that lie in the remote
    laid: list[str]  # paths that are the stage's own in its folder
    code: str
    libraries: dict[str, str | None]
    shared: bool  # whether several workers share the search


# The sender ------------------------------------------------------------------------------------------------


def offer(dag: Dag, node: Node) -> Order:
    """Push a stage's data to the DVC remote; returns what a worker needs to know, as JSON.

    Data is every dependency but Python code. Sources go to the remote from where they lie, not through this project's cache.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    sources = {
        os.path.normpath(dag.root / path) for paths in watched(dag.seal.params(), dag.root).values() for path in paths
    }
    with dag.dvc() as repo, _plainly(node.name, "push its inputs to"):
        stage = node.record
        stage.save_deps()
        deps: list[Entry] = to_single_stage_lockfile(stage).get("deps", [])
        made = [Path(out.fs_path) for other in dag.nodes.values() for out in other.record.outs]
        at = {dep["path"]: Path(os.path.normpath(Path(stage.wdir, dep["path"]))) for dep in deps}
        data = [d for d in deps if str(at[d["path"]]) in sources or _is_data(dag.root, at[d["path"]], made)]
        _send(repo, node.name, _carrier(repo, stage, data))
    files = {"dvc.yaml", "params.yaml"} | {os.path.relpath(d.fs_path, dag.root) for d in _params(stage)}
    if nested := sorted(name for name in files if len(Path(name).parts) > 1):
        raise RefitError(
            f"{node.name}: parameters in {some(nested)} are not carried to a worker; keep them in params.yaml."
        )
    laid = [*made, *(at[dep["path"]] for dep in data)]
    return {
        "stage": node.name,
        "files": {name: _given(dag, name) for name in sorted(files)},
        "deps": deps,
        "data": [dep["path"] for dep in data],
        "laid": sorted({path.relative_to(dag.root).as_posix() for path in laid}),
        "code": code_of(dag.seal.folder),
        "libraries": versions(),
    }


def outside(dag: Dag, node: Node) -> list[str]:
    """Dependencies of a stage that no other machine can lay out, since they are not below the project's folder."""
    paths = [str(dep.def_path) for dep in node.record.deps if not _is_params(dep)]
    return [path for path in paths if os.path.isabs(path) or not _below(dag.root, Path(node.record.wdir, path))]


def _below(root: Path, path: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(root)


def _given(dag: Dag, name: str) -> str:
    """The text of a file at the project's top, as the run began with it."""
    return (dag.seal.path_of(dag.root / name) or dag.root / name).read_text(encoding="utf-8")


def accept(dag: Dag, node: Node, outs: list[Entry]) -> None:
    """Fetch from the DVC remote what a worker made of a stage, into this project's folder."""
    declared = {out.def_path for out in node.record.outs}
    if {out["path"] for out in outs} != declared:
        raise StageFailed(f"{node.name}: the worker made {some(o['path'] for o in outs)}, not {some(declared)}.")
    with dag.dvc() as repo, _plainly(node.name, "fetch its outputs from"):
        carrier = _carrier(repo, node.record, outs)
        _fetch(repo, carrier)
        wrong = [str(out.def_path) for out in carrier.outs if not out.exists or out.get_hash() != out.hash_info]
        if wrong:
            raise StageFailed(f"{node.name}: {some(wrong)} came from the DVC remote with other content than was sent.")


def _is_data(root: Path, path: Path, made: list[Path]) -> bool:
    """Whether a dependency travels: all but Python code, and folders with some, that no stage makes."""
    if path.is_relative_to(root / "data") or any(path.is_relative_to(o) or o.is_relative_to(path) for o in made):
        return True
    return path.suffix != ".py" and next(path.rglob("*.py"), None) is None


# The worker ------------------------------------------------------------------------------------------------


class Workplace:
    """A folder of one run's own in a worker's checkout: its code by links, the stage's data from the DVC remote.

    Within it the folder is the working directory, from which DVC reads paths. It is removed at the end; DVC's cache is
    the checkout's, so that what one run fetched the next one finds. So is ``.refit``, where searches are kept that a killed
    run left. A lock beside the folder tells the living from the killed.
    """

    def __init__(self, checkout: Path, order: Order) -> None:
        self.checkout, self.order, self.name = checkout, order, str(order["stage"])
        self.folder = checkout / ".refit" / "pools" / f"{os.getpid()}-{uuid.uuid4().hex}"

    def __enter__(self) -> Workplace:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._lock = open(self.folder.with_suffix(".lock"), "a")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder.mkdir()
        self._came_from = Path.cwd()
        os.chdir(self.folder)
        try:
            self._lay_out()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._repo.close()
        self._remove()

    def _lay_out(self) -> None:
        """Code, parameters and data as the sender has them; :class:`RefitError` where this checkout's code is not the sender's."""
        from dvc.repo import lock_repo

        order = self.order
        self._same_code()
        self._link(self.checkout, self.folder, [Path(name) for name in (*OWN, *order["laid"])])
        for name, text in order["files"].items():
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        self._repo = _repo(self.checkout, self.folder)
        self.stage: PipelineStage = self._repo.stage.collect(self.name)[0]
        with lock_repo(self._repo), _plainly(self.name, "fetch its inputs from"):
            self._compare(data=False)
            data = [dep for dep in order["deps"] if dep["path"] in order["data"]]
            _fetch(self._repo, _carrier(self._repo, self.stage, data))
            self._compare(data=True)

    def _link(self, checkout: Path, folder: Path, own: list[Path]) -> None:
        """Link what a folder of the checkout holds, but for the run's ``own`` paths (relative), whose parents become folders."""
        for path in checkout.iterdir():
            inner = [one.relative_to(path.name) for one in own if one.parts[0] == path.name]
            if not inner:
                (folder / path.name).symlink_to(path, target_is_directory=path.is_dir())
            elif Path() not in inner and path.is_dir():
                (folder / path.name).mkdir()
                self._link(path, folder / path.name, inner)

    def _same_code(self) -> None:
        if self.order["code"] != code_of(self.checkout):
            raise RefitError(
                f"{self.name}: this worker's code (tasks/) is not the sender's. Bring {self.checkout} to the sender's "
                "commit, or install the same Refit, and restart the worker."
            )
        here = versions()
        theirs = self.order["libraries"]
        if other := [
            f"{n} {here.get(n)} here, {theirs.get(n)} there"
            for n in sorted({*here, *theirs})
            if here.get(n) != theirs.get(n)
        ]:
            raise RefitError(
                f"{self.name}: this worker's libraries are not the sender's, of which the package's receipt tells: {'; '.join(other)}. "
                "Install the same (requirements.lock), and restart the worker."
            )

    def _compare(self, data: bool) -> None:
        """Hash dependencies as DVC does; every one must be what the sender has."""
        hashes = {dep["path"]: dep.get("md5") for dep in self.order["deps"]}
        wrong = []
        for dep in self.stage.deps:
            path = dep.def_path
            if path in hashes and (path in self.order["data"]) is data:
                if dep.exists:
                    dep.save()
                if not dep.exists or dep.hash_info.value != hashes[path]:
                    wrong.append(path)
        if wrong and data:
            raise StageFailed(f"{self.name}: {some(wrong)} came from the DVC remote with other content; fetch again.")
        if wrong:
            raise RefitError(
                f"{self.name}: {some(wrong)} in this worker's checkout {self.checkout} is not what the sender has. Bring it "
                "to the sender's commit (Python code is not carried)."
            )

    def deliver(self) -> list[Entry]:
        """Push what the stage wrote to the DVC remote; returns its outputs as ``dvc.lock`` would name them."""
        from dvc.repo import lock_repo
        from dvc.stage.serialize import to_single_stage_lockfile

        left_out = [str(o.def_path) for o in self.stage.outs if not o.exists]
        if left_out:
            raise StageFailed(f"{self.name}: the command ended well but did not write {some(left_out)}.")
        with lock_repo(self._repo), _plainly(self.name, "push its outputs to"):
            self._compare(data=True)  # a stage that writes into its inputs would leave a wrong record
            self._compare(data=False)  # nor may the checkout be brought to another commit while the stage runs
            self._same_code()
            self.stage.save_outs()
            outs: list[Entry] = to_single_stage_lockfile(self.stage)["outs"]
            carrier = _carrier(self._repo, self.stage, outs)
            carrier.commit(relink=False)  # for later stages here
            _send(self._repo, self.name, carrier)
        return outs

    def _sweep(self) -> None:
        """Remove folders whose run was killed, and end what such a run left at work."""
        for folder in [path for path in self.folder.parent.iterdir() if path.is_dir()]:
            with open(folder.with_suffix(".lock"), "a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                end_orphans(folder)
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_suffix(".lock").unlink(missing_ok=True)

    def _remove(self) -> None:
        os.chdir(self._came_from)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(".lock").unlink(missing_ok=True)
        self._lock.close()


def _repo(checkout: Path, folder: Path) -> Repo:
    """A DVC repository in ``folder`` with the checkout's cache and remotes; its settings (and secrets) are not written."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(str(checkout)) as whole:
            settings: dict[str, dict[str, object]] = {k: dict(whole.config[k]) for k in ("core", "cache", "remote")}
            cache = str(Path(whole.cache.local.path).parent.parent)
    except NotDvcRepoError:
        raise RefitError(
            f"REFIT_CHECKOUT: {checkout} is not a DVC repository. Name a checkout of the project."
        ) from None
    (folder / ".dvc").mkdir()
    settings["cache"]["dir"] = cache
    settings["core"] |= {"no_scm": True, "site_cache_dir": str(folder / ".dvc" / "site")}
    return Repo(str(folder), config=settings)


# Both ------------------------------------------------------------------------------------------------------


def code_of(root: Path) -> str:
    """SHA-256 of the Python code of ``tasks`` that stages of a project run: the project's own, or the installed one.

    Stages declare the packages that they are about; this also covers the modules that all of them share.
    """
    folder = root / "tasks" if (root / "tasks").is_dir() else HOUSE / "tasks"
    digest = sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _carrier(repo: Repo, stage: PipelineStage, entries: list[Entry]) -> PipelineStage:
    """A stage that is in no ``dvc.yaml`` and whose outputs are these entries, as DVC's own run cache makes one."""
    from dvc.stage import PipelineStage, create_stage
    from dvc.stage.loader import StageLoader

    made: PipelineStage = create_stage(
        PipelineStage, repo=repo, path=os.path.join(repo.root_dir, "dvc.yaml"), wdir=stage.wdir, cmd="carry",
        outs=[entry["path"] for entry in entries],
    )  # fmt: skip
    StageLoader.fill_from_lock(made, {"outs": entries})
    return made


def _send(repo: Repo, name: str, carrier: PipelineStage) -> None:
    """Put the carrier's outputs into the DVC remote from where they lie; what it has already is not sent again."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer

    remote = repo.cloud.get_remote_odb(command="push")
    for out in carrier.outs:
        staged, _, built = build(out.cache, out.fs_path, out.fs, out.hash_name, ignore=out.dvcignore)
        if built.hash_info != out.hash_info:
            raise StageFailed(f"{name}: {out.def_path} was edited while it was sent to the DVC remote.")
        _all_well(transfer(staged, remote, {built.hash_info}, shallow=False))


def _fetch(repo: Repo, carrier: PipelineStage) -> None:
    """Lay the carrier's outputs out from the DVC remote; an object whose content is not what its name says is not taken."""
    remote = repo.cloud.get_remote_odb(command="pull")
    remote.verify = True
    for objects in carrier.get_used_objs().values():
        _all_well(repo.cloud.pull(objects, odb=remote))
    carrier.checkout(force=True)


def unreachable(root: Path, seconds: float = 20.0) -> str | None:
    """Why the DVC remote of a project cannot be used, in a line; None where it answers within so many seconds."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    why: list[str | None] = [f"does not answer within {seconds:.0f} s"]

    def ask() -> None:
        try:
            if (remote.fs.protocol or "").startswith("http"):  # DVC takes a server that is away for an empty one
                urlopen(Request(remote.fs.unstrip_protocol(remote.path), method="HEAD"), timeout=seconds).close()
            else:
                remote.fs.exists(remote.path)
            why[0] = None
        except HTTPError:
            why[0] = None  # it answers
        except Exception as error:  # each kind of remote has errors of its own
            why[0] = f"does not answer ({with_causes(error)})"

    with Repo(str(root)) as repo:
        try:
            remote = repo.cloud.get_remote_odb(command="push")
        except (DvcException, ImportError) as error:  # of a driver that is not installed
            return with_causes(error)
        asking = threading.Thread(target=ask, daemon=True)  # some wait for minutes
        asking.start()
        asking.join(seconds)
        return why[0]


def _all_well(result: TransferResult) -> None:
    if result.failed:
        raise StageFailed(f"the DVC remote: {len(result.failed)} objects could not be carried")


def versions() -> dict[str, str | None]:
    """What the package's receipt says of libraries, and Python's version; without what tells builds for CPU and GPU apart."""
    installed = {name: version and version.partition("+")[0] for name, version in libraries().items()}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **installed}


def _params(stage: PipelineStage) -> list[ParamsDependency]:
    return [dep for dep in stage.deps if _is_params(dep)]


def _is_params(dep: object) -> bool:
    from dvc.dependency import ParamsDependency

    return isinstance(dep, ParamsDependency)


@contextmanager
def _plainly(name: str, what: str) -> Iterator[None]:
    from dvc.config import RemoteConfigError
    from dvc.exceptions import DvcException

    try:
        yield
    except RemoteConfigError:
        raise RefitError(
            "orchestration.exchange: remote: there is no DVC remote here to share with the workers. Set one: "
            "dvc remote add -d NAME URL."
        ) from None
    except (DvcException, OSError) as error:
        raise StageFailed(f"{name}: cannot {what} the DVC remote: {str(error)[:400]}") from error
