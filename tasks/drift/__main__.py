"""``python -m tasks.drift``: the newest window against the package's training reference."""

from __future__ import annotations

from tasks import params, stage
from tasks.bundle import Bundle
from tasks.drift.table import answers, compare_tables, confirm, summarise
from tasks.drift.window import newest, thin
from tasks.files import read_json, read_table, replacing_dir, write_json, write_text


def main() -> None:
    settings = params.load()
    summary = read_json("data/features/summary.json")
    window, about = newest(read_table("data/features/features.parquet"), settings.monitoring.window)
    bundle = Bundle.load("data/package")
    whole = read_table("data/package/reference.parquet")
    kinds = {f["name"]: f["kind"] for f in summary["features"] if f["name"] in whole}

    both = []
    for rows in (whole, window):
        taken = thin(rows, settings.seed).reset_index(drop=True)
        # Both sides are scored anew by the same package, so that nothing but the rows differs.
        taken["prediction"] = answers(bundle.predict(taken), bundle.kind, bundle.classes)
        both.append(taken)
    reference, current = both
    stage.log(f"{len(current)} of the {about['rows']} rows ({about['rule']}) against {len(reference)} training rows")

    entries = compare_tables(reference, current, kinds)
    kind = "categorical" if bundle.kind == "multiclass" else "numeric"
    [prediction] = compare_tables(reference, current, {"prediction": kind})
    columns, prediction, html = confirm(entries, prediction, reference, current)
    if bundle.kind == "binary" and bundle.threshold is not None:
        prediction["positive_rate"] = [float((side["prediction"] >= bundle.threshold).mean()) for side in both]
    if kind == "numeric":
        prediction["mean"] = [float(side["prediction"].mean()) for side in both]

    told = summarise(columns, prediction, settings.monitoring.drift_share)
    result = told | {
        "columns": columns,
        "prediction": prediction,
        "window": about | {"sampled": len(current)},
        "reference": {"rows": len(whole), "sampled": len(reference), "package": bundle.identity},
    }
    with replacing_dir("data/drift") as folder:
        write_json(folder / "drift.json", result)
        write_text(folder / "drift.html", html)
    stage.log(str(told["sentence"]))


if __name__ == "__main__":
    stage.run(main)
