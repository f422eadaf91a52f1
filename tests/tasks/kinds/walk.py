"""Every stage of a project in one process: a first model, one on more rows that is compared with it, then the service.

Run as a program in the project's folder, by a copy of Refit on its path. Prints what it found as JSON.
"""

from __future__ import annotations

import contextlib
import json
import runpy
import shutil
import sys
from pathlib import Path

DATA = Path("data")


def run(stage: str, *more: str) -> None:
    sys.argv = [stage, *more]
    with contextlib.redirect_stdout(sys.stderr):
        runpy.run_module(f"tasks.{stage}", run_name="__main__")


def refused() -> dict[str, str]:
    """What is said of each file of ``refused/``."""
    from tasks.errors import RefitError
    from tasks.params import load

    out = {}
    for path in Path("refused").glob("*.yaml"):
        try:
            load(path)
        except RefitError as error:
            out[path.stem] = str(error)
    return out


def main() -> None:
    from tasks.files import read_json, sha256, write_json

    table, *families = sys.argv[1:]
    wrong = refused()
    for stage in ("ingest", "validate", "features", "leaks"):
        run(stage)
    for family in families:
        run("tune", family)
        run("train", family)
    for stage in ("evaluate", "package", "compare", "report"):
        run(stage)
    explained, page = read_json(DATA / "evaluation" / "explain.json"), DATA / "reports" / "report.html"
    out = {"refused": wrong, "first": read_json(DATA / "verdict" / "verdict.json"), "space": explained["space"]}
    out |= {"choice": read_json(DATA / "evaluation" / "choice.json"), "page": page.read_text()}
    left_out = DATA / "evaluation" / "left_out.json"
    out |= {
        "left_out": read_json(left_out) if left_out.exists() else {},
        "leaks": read_json(DATA / "leaks" / "leaks.json"),
    }
    shutil.copytree(DATA / "package", DATA / "champion" / "package")
    identity = sha256(DATA / "package" / "bundle.json")
    write_json(
        DATA / "champion" / "champion.json", {"version": "1", "name": "toy", "package_sha256": identity, "since": 1}
    )
    shutil.copy("more.csv", f"{table}.csv")
    shutil.copy("more.yaml", "params.yaml")
    for stage in ("ingest", "validate", "features"):
        run(stage)
    run("tune", families[-1])
    run("train", families[-1])
    for stage in ("evaluate", "package", "drift", "compare"):
        run(stage)
    out["second"] = read_json(DATA / "verdict" / "verdict.json")
    if Path("clustered.yaml").exists():
        shutil.copy("clustered.yaml", "params.yaml")
        run("compare")
        out["clustered"] = read_json(DATA / "verdict" / "verdict.json")

    from deploy.app import Served
    from tasks.bundle import Bundle
    from tasks.engine.prove import from_files

    bundle = Bundle.to_serve(DATA / "package")
    served = Served(bundle, "2")
    golden = read_json(DATA / "package" / "golden.json")["rows"]
    out |= {
        "proved": from_files(DATA, moments=1).checked,
        "drift": read_json(DATA / "drift" / "drift.json")["prediction"],
        "answer": served.predict(json.dumps(golden[0]["input"]).encode()),
        "scores": golden[0]["scores"],
        "schema": served.openapi["components"]["schemas"]["Answer"]["properties"],
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
