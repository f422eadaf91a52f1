"""Parameters: moments, families, budgets, approval and work pools that a run could not keep to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.preflight.subject import SMALL, Subject, files, size
from tasks.errors import RefitError, some
from tasks.extras import install
from tasks.idle import own_ways

if TYPE_CHECKING:
    from tasks.params import Params

# auto: seconds until its first fit can begin, and bytes of a table that a second surely does not exceed
START, SPEED = 1.5, 1e8
FUTURE = timedelta(days=1)  # `--as-of` of today means its end, and clocks differ


def moment(subject: Subject) -> Iterator[str]:
    """``as_of`` is a moment, and has passed."""
    from flows.context import moment as read

    own = subject.params.data.as_of if subject.params else None
    try:
        at, name = (own, "data.as_of") if subject.as_of is None else (read(subject.as_of), "--as-of")
    except RefitError as error:
        yield f"--as-of: {error}"
        return
    if at is not None and at > datetime.now(UTC) + FUTURE:
        yield f"{name}: {at:%Y-%m-%d} lies in the future, and what will be known then nobody can know. Name a day that has passed."


def families(subject: Subject) -> Iterator[str]:
    """Families serve the problem, their spaces are within bounds, and what they need is installed."""
    if subject.params is None:
        return
    from importlib.util import find_spec

    from tasks.models import check_models
    from tasks.tune.portfolio import ALSO_NEEDS

    check_models(subject.params)
    for name in subject.params.models:
        needs = ALSO_NEEDS.get(name)
        if needs and find_spec(needs) is None:
            yield f"models.{name}: needs {needs}, which is not installed. {install('networks')}, or take it out of models."
    if subject.params.features.engine == "spark" and not subject.params.orchestration.pools:
        if find_spec("pyspark") is None:
            yield f"features.engine: spark needs PySpark, which is not installed. {install('spark')}, or use local."
        elif shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
            yield "features.engine: spark needs Java 17, and there is no `java` here. Install it, set JAVA_HOME, or use local."


def budgets(subject: Subject) -> Iterator[str]:
    """``auto`` has time for a first fit: less than this has never been enough, more may still be too little."""
    if subject.params is None or "auto" not in subject.params.models:
        return
    tuning, own = subject.params.tuning, subject.params.models["auto"]
    name = "tuning.seconds" if own.seconds is None else "models.auto.seconds"
    much = size(files(subject).get(subject.params.problem.table, [])) if tuning.rows is None else 0
    least, given = START + much / SPEED, own.seconds or tuning.seconds
    if given < least:
        table = f" on a table of {much / 2**20:,.0f} MiB" if much >= SMALL else ""
        yield f"{name}: {given:g} s are surely too few for a first fit of auto{table} ({least:.1f} s and more). Raise it."


def remarks(params: Params) -> Iterator[str]:
    """What is told and does not stop a run."""
    from tasks.families import find_family

    only = [name for name in params.models if find_family(name).HARDWARE == "cpu"]
    if params.training.device == "cuda" and only:
        yield f"training.device is cuda, and {some(only, 5)} can compute on the CPU only: they do"
    if params.training.device == "cuda" and "gpu" not in params.orchestration.pools and not shutil.which("nvidia-smi"):
        yield "training.device is cuda, and there is no GPU here (no nvidia-smi): training runs on the CPU"
    if params.promotion.approval and not os.environ.get("PREFECT_API_URL"):
        yield "promotion.approval: no Prefect server to ask a person on (PREFECT_API_URL); what wins waits for `refit promote`"
    yield from own_ways(params)


def approval(subject: Subject) -> Iterator[str]:
    """How long a person is waited for is a number, where one is asked."""
    from flows.promotion import approval_seconds

    if subject.params is not None and subject.params.promotion.approval:
        approval_seconds()
    yield from ()


def elsewhere(root: Path) -> str | None:
    """What to do where the DVC remote that `refit init` made is another folder's: the project was copied, moved or cloned."""
    text = "".join(p.read_text(encoding="utf-8") for p in (root / ".dvc" / "config",) if p.is_file())
    for name, url in re.findall(r"""\['remote "([^"]+)"'\]\s+url = (/.*/\.dvc-remote)\s""", text + "\n"):
        if Path(url).parent.resolve() != root.resolve():
            return f"DVC's remote {name!r} is {url}, of another folder. dvc remote modify {name} url ../.dvc-remote"
    return None


def pools(subject: Subject) -> Iterator[str]:
    """Work pools have a server, and ``exchange: remote`` a remote."""
    if subject.params is None or not subject.params.orchestration.pools:
        return
    if not os.environ.get("PREFECT_API_URL"):
        yield "orchestration.pools: work pools need a Prefect server; set PREFECT_API_URL, or remove pools."
    if subject.params.orchestration.exchange == "remote":
        from dvc.repo import Repo

        from flows import exchange

        with Repo(str(subject.root)) as repo:
            name = repo.config["core"].get("remote")
            url = str(repo.config["remote"].get(name, {}).get("url", "")) if name else ""
        if (other := elsewhere(subject.root)) is not None:
            yield other
        if not name:
            yield "orchestration.exchange: remote needs a DVC remote; dvc remote add -d NAME URL, or use folder."
        elif "://" not in url:
            place = Path(url) if os.path.isabs(url) else subject.root / ".dvc" / url
            if not place.is_dir() and not place.parent.is_dir():
                yield f"DVC's remote {name!r}: {place} is not there. Mount or make it, or name another: dvc remote modify {name} url URL."
            elif not os.access(place if place.is_dir() else place.parent, os.W_OK | os.X_OK):
                yield f"DVC's remote {name!r}: {place} cannot be written to, and inputs are pushed there. Mend its rights."
        elif (why := exchange.unreachable(subject.root)) is not None:
            yield f"DVC's remote {name!r} ({url.split('@')[-1]}): {why}. Mend it, or name another: dvc remote modify {name} url URL."
