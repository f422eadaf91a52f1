"""The train stage with `training.compression`: what it writes, what stays the same bytes, and the report's table."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks.artifacts import Selection, Summary
from tasks.bundle import Bundle
from tasks.errors import RefitError
from tasks.files import hash_tree, read_json, read_table
from tasks.params import parse
from tests.samples import best
from tests.tasks.package.projects import package, plain, project
from tests.tasks.report.runs import stage


def compressing(root: Path) -> Path:
    """A project whose only family is the network, tuned (by hand) and to be compressed."""
    project(root, "binary", ("mlp",))
    file = root / "params.yaml"
    tree = YAML().load(file)
    tree["training"] = {"compression": {"prune": 0.4, "quantise": True, "tolerance": 0.2}}
    YAML().dump(tree, file)
    own = {"epochs": 3, "layers": 2, "width": 512}
    best("mlp", own).write(root / "data/tuning/mlp")
    Selection(kept=Summary.read(root / "data/features").names).write(root / "data/tuning/mlp")
    return root


@pytest.mark.slow
def test_forms_are_told_and_the_smallest_is_packaged(tmp_path: Path):
    root = compressing(tmp_path)
    stage(root, "train", "mlp")
    folder = root / "data/models/mlp"
    candidate, timing = read_json(folder / "candidate.json"), read_json(folder / "timing.json")
    names = ["full", "folded", "pruned", "int8"]
    forms, (not_made,) = candidate["compression"][:-1], candidate["compression"][-1:]
    assert (not_made["variant"], not_made["used"]) == ("pruned+int8", False)
    assert not_made["why"].startswith("no hidden layer is large enough")
    assert sorted(f["variant"] for f in forms) == sorted(names)
    keys = {"variant", "size_kb", "memory_kb", "multiply_adds", "metric", "used", "why"}
    assert [set(f) for f in forms] == [keys] * 4
    assert set(timing["row_ms"]) == set(names)
    sizes = [f["memory_kb"] for f in forms]
    assert sizes == sorted(sizes, reverse=True)
    used = next(f for f in forms if f["used"])
    assert used["metric"] == candidate["valid"][candidate["metric"]]
    stored = sum((folder / "model" / f"network.{end}").stat().st_size for end in ("json", "safetensors"))
    assert stored == round(used["size_kb"] * 1000)

    bundle = Bundle.load(package(root))
    bundle.start()
    _, tables = plain("binary")
    judged = read_table(folder / "predictions.parquet")
    for i in range(0, len(judged), 10):
        row = tables["rows"].iloc[judged["__row__"][i]].drop("target").to_dict()
        served = bundle.predict_row({name: None if value != value else value for name, value in row.items()})
        assert list(served.scores) == judged[["score_0", "score_1"]].iloc[i].tolist()

    before = hash_tree(folder)
    stage(root, "train", "mlp")
    after = hash_tree(folder)
    assert {k for k in after if after[k] != before[k]} <= {"timing.json"}

    stage(root, "report")
    html = (root / "data/reports/report.html").read_text()
    assert "pruned+int8" in html
    assert "One row, ms" in html
    # Seconds of another day, or none at all, leave the rest of the page as it is.
    (folder / "timing.json").unlink()
    stage(root, "report")
    assert "pruned+int8" in (root / "data/reports/report.html").read_text()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"compression": {"tolerance": 0.1}}}, "name what to do: prune: 0.5, or quantise: true"),
        ({"training": {"compression": {"prune": 1.0}}}, "training.compression.prune"),
        ({"training": {"compression": {"prunes": 0.5}}}, "Did you mean 'prune'"),
        (
            {"models": {"ridge": {}}, "training": {"compression": {"prune": 0.5}}},
            r"'ridge' cannot be compressed; add 'mlp' to models",
        ),
        (
            {"models": {"mlp": {}, "auto": {}}, "training": {"compression": {"prune": 0.5}}},
            r"'auto' cannot be compressed \(auto serves the models that tuning has judged\); .*families: \[mlp\]",
        ),
        *[
            ({"models": {"mlp": {}, other: {}}, "training": {"compression": {"prune": 0.5}}}, f"'{other}' cannot be")
            for other in ("realmlp", "tabm", "random_forest")
        ],
        (
            {"training": {"compression": {"prune": 0.5, "families": ["ridge"]}}},
            "training.compression.families: 'ridge'",
        ),
    ],
)
def test_mistakes_are_named(sections: dict, message: str):
    tree, _ = plain("regression")
    with pytest.raises(RefitError, match=message):
        parse(tree | {"models": {"mlp": {}}} | sections)


def test_families_that_are_not_named_are_left_as_they_are():
    tree, _ = plain("regression")
    models = {"mlp": {}, "auto": {}, "ridge": {}}
    given = parse(tree | {"models": models, "training": {"compression": {"prune": 0.5, "families": ["mlp"]}}})
    assert given.training.compression.families == ("mlp",)
