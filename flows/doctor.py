"""``refit doctor``: what is missing or wrong on this machine, and how to mend each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from flows import preflight
from flows.preflight.parameters import elsewhere
from flows.preflight.servers import silence
from flows.project import KEPT
from tasks.errors import RefitError, first_line, some

HOUSE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Diagnosis:
    """One thing looked at. ``needed``: without it ``refit run`` does not work."""

    what: str
    good: bool
    says: str
    mend: str = ""
    needed: bool = True

    def line(self) -> str:
        """``ok``, ``--`` (may be missing) or ``!!`` (must be mended), what it is, and the remedy."""
        mark = "ok" if self.good else "!!" if self.needed else "--"
        return f"{mark}  {self.what:<11} {self.says}" + (
            f"\n    mend: {self.mend}" if not self.good and self.mend else ""
        )


def examine(root: Path) -> list[Diagnosis]:
    """Look at everything; nothing is changed."""
    diagnoses = [
        python(),
        packages(),
        git(),
        params(root),
        schema(root),
        dvc(root),
        code(root),
        expectations(root),
        registry(root),
        prefect(),
    ]
    return _with_troubles(root, [*diagnoses, port(root), disk(root), java(), browser(), gpu(root)])


def _with_troubles(root: Path, diagnoses: list[Diagnosis]) -> list[Diagnosis]:
    """What `refit run` would refuse, in the place of what else was found out about the same thing."""
    troubles = (
        [Diagnosis(trouble.about, False, trouble.says) for trouble in preflight.examine(root)[1]]
        if _project(root)
        else []
    )
    about = {finding.what for finding in troubles}
    return [*(finding for finding in diagnoses if finding.what not in about), *troubles]


def _project(root: Path) -> bool:
    return (root / "dvc.yaml").exists()


def python() -> Diagnosis:
    """Python 3.11 to 3.13."""
    here = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Diagnosis("Python", good, here, "use Python 3.11, 3.12 or 3.13")


def packages(lock: Path = HOUSE / "requirements.lock") -> Diagnosis:
    """Installed versions against the pinned ones."""
    from packaging.requirements import Requirement

    if not lock.exists():
        return Diagnosis("packages", True, "installed without a lock file", needed=False)
    lines = (line.split(" #")[0].strip().rstrip("\\") for line in lock.read_text(encoding="utf-8").splitlines())
    wanted_here = [Requirement(line) for line in lines if "==" in line and line[0].isalnum()]
    wanted_here = [r for r in wanted_here if r.marker is None or r.marker.evaluate()]
    pins = [(r.name, next(iter(r.specifier)).version) for r in wanted_here]
    wrong = []
    for name, wanted in pins:
        try:
            have = version(name)
        except PackageNotFoundError:
            have = None
        if have is None or have.split("+")[0] != wanted.split("+")[0]:
            wrong.append(f"{name} {have or 'missing'}, pinned {wanted}")
    says = f"{len(pins)} as pinned" if not wrong else f"{len(wrong)} of {len(pins)} differ: {some(wrong, 4)}"
    return Diagnosis(
        "packages", not wrong, says, "pip install -r requirements.lock", needed=any("missing" in w for w in wrong)
    )


def git() -> Diagnosis:
    """git, which names the commit of a run."""
    path = shutil.which("git")
    return Diagnosis(
        "git", path is not None, path or "not found", "install git; runs then record their commit", needed=False
    )


def params(root: Path) -> Diagnosis:
    """``params.yaml`` is there and right."""
    from tasks.params import load

    try:
        loaded = load(root / "params.yaml")
    except RefitError as error:
        return Diagnosis("params.yaml", False, first_line(error), "mend that line, or run refit init")
    return Diagnosis(
        "params.yaml", True, f"{loaded.problem.name}, {loaded.problem.kind}, {len(loaded.models)} families"
    )


def schema(root: Path) -> Diagnosis:
    """The file by which editors check ``params.yaml`` is that of this Refit."""
    from flows import keys

    path, mend = root / keys.FILE, f"refit schema > {keys.FILE}"
    if not path.exists():
        return Diagnosis("editor", True, f"no {keys.FILE} ({mend})", needed=False)
    if path.read_text(encoding="utf-8", errors="replace") != keys.text():
        return Diagnosis("editor", False, f"{keys.FILE} is another Refit's", mend, needed=False)
    return Diagnosis("editor", True, f"{keys.FILE} has every key", needed=False)


def dvc(root: Path) -> Diagnosis:
    """A DVC repository with a DAG, and a remote."""
    if not (root / ".dvc").is_dir():
        return Diagnosis("DVC", False, "this folder is no DVC repository", "dvc init (without git: dvc init --no-scm)")
    if not (root / "dvc.yaml").exists():
        return Diagnosis("DVC", False, "no dvc.yaml here", "change to the project's folder, or run refit init")
    text = "".join(p.read_text() for p in (root / ".dvc" / "config", root / ".dvc" / "config.local") if p.exists())
    if "remote" not in text:
        return Diagnosis("DVC", False, "no remote to push data to", "dvc remote add -d NAME URL", needed=False)
    other = elsewhere(root)
    if other is not None:
        says, mend = other.rsplit(". ", 1)
        return Diagnosis("DVC", False, says, mend, needed=False)
    return Diagnosis("DVC", True, "repository and remote")


def code(root: Path) -> Diagnosis:
    """Stages depend on Refit's code, so that an upgrade runs again what it changed."""
    from ruamel.yaml.error import YAMLError

    from tasks.artifacts.folders import CODE
    from tasks.code import unnamed

    try:
        lacking = unnamed((root / "dvc.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError, AttributeError):
        return Diagnosis("code", True, "unknown until dvc.yaml can be read", needed=False)
    says = f"stages that name no code, so an upgrade of Refit does not run them again: {some(lacking)}"
    mend = f"in dvc.yaml, add {CODE}/STAGE.json to the deps of each, as refit init writes it"
    return Diagnosis("code", not lacking, says if lacking else "named by every stage", mend, needed=False)


def expectations(root: Path) -> Diagnosis:
    """Folders that stages read and no stage makes."""
    lacking = [f for f in KEPT if not (root / f).is_dir()]
    mend = f"mkdir -p {' '.join(lacking)}"
    return Diagnosis("folders", not lacking, f"missing: {some(lacking)}" if lacking else "all there", mend)


def registry(root: Path) -> Diagnosis:
    """The history of decisions, and where MLflow keeps runs."""
    from flows import champions, packages
    from tasks.params import load
    from tasks.registry.history import DecisionHistory, current_champion
    from tasks.registry.tracking import tracking_uri

    uri, history = tracking_uri(root), DecisionHistory(root)
    shown, kept = (text.split("@")[-1].replace(str(root.resolve()), ".") for text in (uri, history.shown))
    try:
        champion = current_champion(champions.decisions(root, load(root / "params.yaml").problem.name, None))
    except RefitError as error:
        return Diagnosis("registry", False, str(error), "see the message")
    if uri.startswith("http"):
        try:
            with urlopen(uri.rstrip("/") + "/health", timeout=5):
                pass
        except (URLError, OSError, ValueError) as error:
            return Diagnosis(
                "registry", False, f"{shown} does not answer ({error})", "start it, or mend MLFLOW_TRACKING_URI"
            )
    elif champion and not champions.reachable(root):
        if packages.local_copy(root, champion.package_sha256) is None:
            return Diagnosis(
                "registry", False, f"{shown} is gone", "restore .refit/mlflow.db, or set MLFLOW_TRACKING_URI"
            )
        shown += " is gone (the next run registers the champion there again)"
    standing = f"champion: version {champion.champion}" if champion else "no champion yet"
    return Diagnosis("registry", True, f"{shown}; history {kept}; {standing}")


def prefect() -> Diagnosis:
    """Prefect's server, where one is named."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Diagnosis("Prefect", True, "no server named; a temporary one is started for each run (about 10 s)")
    why = silence(url)
    if why is None:
        return Diagnosis("Prefect", True, url)
    return Diagnosis(
        "Prefect", False, f"{url} does not answer ({why})", "prefect server start, or unset PREFECT_API_URL"
    )


def port(root: Path) -> Diagnosis:
    """The port that ``refit serve`` listens on."""
    from tasks.params import load

    try:
        serving = load(root / "params.yaml").serving
    except RefitError:
        return Diagnosis("port", True, "unknown until params.yaml is right", needed=False)
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((serving.host, serving.port))
        except OSError as error:
            says = f"{serving.host}:{serving.port}: {error.strerror}"
            return Diagnosis("port", False, says, "refit serve --port N, or change serving.port", needed=False)
    return Diagnosis("port", True, f"{serving.host}:{serving.port} is free", needed=False)


def disk(root: Path) -> Diagnosis:
    """Room for data, cache and packages."""
    free = shutil.disk_usage(root).free / 2**30
    return Diagnosis(
        "disk", free >= 1, f"{free:.1f} GiB free", "make room: DVC's cache and MLflow's runs grow; see dvc gc"
    )


def java() -> Diagnosis:
    """Java, which the Spark engine needs."""
    path = shutil.which("java")
    return Diagnosis("Java", path is not None, path or "not found", "install Java 17 for engine: spark", needed=False)


def browser() -> Diagnosis:
    """Chromium, in which tests open the report."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return Diagnosis(
        "Chromium", path is not None, path or "not found", "install it to test the report's page", needed=False
    )


def gpu(root: Path) -> Diagnosis:
    """A GPU, asked of the driver, and whether params.yaml asks for one."""
    from tasks.params import load

    tool = shutil.which("nvidia-smi")
    if tool is None:
        try:
            asked = load(root / "params.yaml").training.device == "cuda"
        except RefitError:
            asked = False
        says = "none; training runs on the CPU" + (", though training.device says cuda" if asked else "")
        return Diagnosis("GPU", not asked, says, "set training.device: auto, or use a pool with a GPU", needed=False)
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return Diagnosis(
            "GPU", False, "nvidia-smi fails", "mend the driver; until then training runs on the CPU", needed=False
        )
    return Diagnosis("GPU", True, done.stdout.split("\n")[0].split(" (UUID")[0], needed=False)
