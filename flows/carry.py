"""A stage's inputs and outputs between two project folders that share a DVC remote and nothing else.

DVC does the carrying: what travels by itself are hashes as ``dvc.lock`` writes them, and the objects lie in the remote
as ``dvc push`` would put them there. The sender pushes what a stage declares as its data; the worker lays it out in a
folder of the run's own, beside links to its checkout's code, and pushes what the stage wrote; the sender checks that
out and records it from the files themselves, so its ``dvc.lock`` is that of a local run.

Code does not travel: both sides have their checkout of the same commit, which is made sure of before anything runs.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands import StageFailed
from flows.dag import Dag, Node
from tasks.errors import RefitError, some

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

HOUSE = Path(__file__).resolve().parent.parent
OWN = {"data", "dvc.yaml", "dvc.lock", "params.yaml", ".dvc", ".git"}  # of a run's folder, not of the worker's checkout
Entry = dict[str, Any]  # an output or a dependency as dvc.lock writes it: path, hash, md5, size, nfiles


# The sender ------------------------------------------------------------------------------------------------


def offer(dag: Dag, node: Node) -> dict[str, Any]:
    """Push a stage's data to the DVC remote; returns what a worker needs to know, as JSON.

    Data is what some stage makes and whatever is below ``data/``; any other dependency is code, or a file of the user's
    that the worker must have itself.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    with dag.dvc() as repo, _plainly(node.name, "push its inputs to"):
        stage = node.record
        stage.save_deps()
        deps: list[Entry] = to_single_stage_lockfile(stage).get("deps", [])
        made = [Path(out.fs_path) for other in dag.nodes.values() for out in other.record.outs]
        wdir = Path(stage.wdir)
        data = [dep for dep in deps if _is_data(dag.root, wdir / dep["path"], made)]
        carrier = _carrier(repo, stage, data)
        carrier.commit(relink=False)
        _transfer(carrier, repo.cloud.push)
    files = {"dvc.yaml", "params.yaml"} | {os.path.relpath(d.fs_path, dag.root) for d in _params(stage)}
    if nested := sorted(name for name in files if len(Path(name).parts) > 1):
        raise RefitError(
            f"{node.name}: parameters in {some(nested)} are not carried to a worker; keep them in params.yaml."
        )
    return {
        "stage": node.name,
        "files": {name: _given(dag, name) for name in sorted(files)},
        "deps": deps,
        "data": [dep["path"] for dep in data],
        "made": sorted({path.relative_to(dag.root).parts[0] for path in made}),
        "code": code_of(dag.seal.folder),
    }


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
        _transfer(carrier, repo.cloud.pull)
        carrier.checkout(force=True)


def _is_data(root: Path, path: Path, made: list[Path]) -> bool:
    return path.is_relative_to(root / "data") or any(path.is_relative_to(o) or o.is_relative_to(path) for o in made)


# The worker ------------------------------------------------------------------------------------------------


class Workplace:
    """A folder of one run's own in a worker's checkout: its code by links, the stage's data from the DVC remote.

    Within it the folder is the working directory, from which DVC reads paths. It is removed at the end; DVC's cache is
    the checkout's, so that what one run fetched the next one finds.
    """

    def __init__(self, checkout: Path, order: dict[str, Any]) -> None:
        self.checkout, self.order, self.name = checkout, order, str(order["stage"])
        self.folder = checkout / ".refit" / "pools" / f"{os.getpid()}-{uuid.uuid4().hex}"

    def __enter__(self) -> Workplace:
        self._sweep()
        self.folder.mkdir(parents=True)
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
        for path in self.checkout.iterdir():
            if path.name not in OWN and path.name not in order["made"]:
                (self.folder / path.name).symlink_to(path, target_is_directory=path.is_dir())
        for name, text in order["files"].items():
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        self._repo = _repo(self.checkout, self.folder)
        self.stage: PipelineStage = self._repo.stage.collect(self.name)[0]
        with lock_repo(self._repo), _plainly(self.name, "fetch its inputs from"):
            self._compare(data=False)
            carrier = _carrier(self._repo, self.stage, [d for d in order["deps"] if d["path"] in order["data"]])
            _transfer(carrier, self._repo.cloud.pull)
            carrier.checkout(force=True)
            self._compare(data=True)

    def _same_code(self) -> None:
        if self.order["code"] != code_of(self.checkout):
            raise RefitError(
                f"{self.name}: this worker's code (tasks/) is not the sender's. Bring {self.checkout} to the sender's "
                "commit, or install the same Refit, and restart the worker."
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
                "to the sender's commit (tables outside of data/ are not carried: put the same file there)."
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
            carrier.commit(relink=False)
            _transfer(carrier, self._repo.cloud.push)
        return outs

    def _sweep(self) -> None:
        """Remove folders whose run was killed."""
        import psutil

        for folder in self.folder.parent.glob("*-*"):
            owner = folder.name.partition("-")[0]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)

    def _remove(self) -> None:
        os.chdir(self._came_from)
        shutil.rmtree(self.folder, ignore_errors=True)


def _repo(checkout: Path, folder: Path) -> Repo:
    """A DVC repository in ``folder`` with the checkout's cache and remotes; its settings (and secrets) are not written."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(str(checkout)) as whole:
            settings: dict[str, Any] = {k: dict(whole.config[k]) for k in ("core", "cache", "remote")}
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
    found = sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + sha256(path.read_bytes()).digest())
    return found.hexdigest()


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


def _transfer(carrier: PipelineStage, how: Any) -> None:
    for odb, objects in carrier.get_used_objs().items():
        failed = how(objects, odb=odb).failed
        if failed:
            raise StageFailed(f"the DVC remote: {len(failed)} of {len(objects)} objects could not be carried")


def _params(stage: PipelineStage) -> list[Any]:
    from dvc.dependency import ParamsDependency

    return [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]


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
