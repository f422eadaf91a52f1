"""``python -m tasks.report``: one self-contained page about the run, from whatever the stages left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks import params, stage
from tasks.files import failure_of, read_json, read_table, replacing_dir, sha256, write_text
from tasks.report.about_data import periods
from tasks.report.page import build

DATA = Path("data")
FILES = {
    "validated": "validated/summary.json",
    "features": "features/summary.json",
    "plan": "features/plan.json",
    "leaks": "leaks/leaks.json",
    "choice": "evaluation/choice.json",
    "metrics": "evaluation/metrics.json",
    "curves": "evaluation/curves.json",
    "confusion": "evaluation/confusion.json",
    "slices": "evaluation/slices.json",
    "rows": "evaluation/rows.json",
    "explain": "evaluation/explain.json",
    "learning": "evaluation/learning.json",
    "verdict": "verdict/verdict.json",
    "drift": "drift/drift.json",
    "receipt": "package/receipt.json",
    "bundle": "package/bundle.json",
    "left_out": "evaluation/left_out.json",
}


def optional(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def collect() -> dict[str, Any]:
    """Everything the page is made of; what is not there is None."""
    settings = params.load()
    problem = settings.problem
    found: dict[str, Any] = {name: optional(DATA / path) for name, path in FILES.items()}
    found["problem"] = {
        "name": problem.name,
        "kind": problem.kind,
        "target": problem.target.name,
        "metric": problem.metric,
    }
    found["alpha"] = settings.promotion.alpha
    found["tuning"], found["models"], found["failed"] = {}, {}, {}
    for family in settings.models:
        if (failed := failure_of(DATA / "models" / family)) is not None:
            found["failed"][family] = failed
        best, trials = (optional(DATA / "tuning" / family / name) for name in ("best.json", "trials.json"))
        if best or trials:
            found["tuning"][family] = {"best": best or {}, "trials": trials or []}
        candidate = optional(DATA / "models" / family / "candidate.json")
        if candidate:
            timing = optional(DATA / "models" / family / "timing.json") or {}
            found["models"][family] = candidate | {
                "row_ms": timing.get("row_ms", {}),
                "latency_ms": timing.get("latency_ms"),
            }
    table = DATA / "features" / "features.parquet"
    if table.is_file():
        rows = read_table(table, ["__time__", "__split__", "__target__"])
        found["periods"] = periods(rows["__time__"], rows["__split__"], rows["__target__"])
    bundle = DATA / "package" / "bundle.json"
    found["identity"] = sha256(bundle) if bundle.is_file() else None
    dag = params.at_start("dvc.yaml")
    if dag.is_file():
        from ruamel.yaml import YAML

        found["dag"] = YAML(typ="safe").load(dag.read_text(encoding="utf-8"))
    return found


def main() -> None:
    html = build(collect(), stage.log)
    with replacing_dir(DATA / "reports") as folder:
        write_text(folder / "report.html", html)
    stage.log(f"data/reports/report.html: {len(html.encode()) / 1000:.0f} kB")


if __name__ == "__main__":
    stage.run(main)
