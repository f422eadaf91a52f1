"""The train stage with `training.imbalance`: kept only where validation rows gain, which are real ones, and told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import Candidate, Member, Selection
from tasks.files import read_table, write_table
from tasks.fitting.rows import Dataset, read_rows
from tasks.fitting.setup import Setup
from tasks.models import fit_family, load_model
from tasks.params import parse
from tasks.report.about_models import candidates
from tasks.report.blocks import Table
from tasks.report.found import FamilyFiles
from tasks.train.balance import of_members, value_of
from tests.samples import best, candidate, choice, summary
from tests.tasks.families.test_imbalance import mixed_table
from tests.tasks.package.projects import plain
from tests.tasks.report.runs import stage

PARAMS = """
seed: 1
problem: {{name: t, kind: {kind}, table: t, target: target, metric: {metric}}}
data: {{tables: {{t: {{source: t.csv, columns: {{target: numeric, x: numeric}}}}}}}}
models: {{{family}: {{}}}}
training: {{imbalance: {how}}}
"""


def project(root: Path, table: str, family: str, how: str, metric: str) -> Path:
    """Features of a mixed table, and tuning done by hand."""
    X, y, kinds = mixed_table(table)
    classes = [f"c{k}" for k in range(int(y.max()) + 1)]
    empty = pd.Series(pd.NaT, index=X.index, dtype="datetime64[us, UTC]")
    split = np.random.default_rng(2).choice(["train", "valid", "test"], len(X), p=[0.6, 0.2, 0.2])
    front = {"__row__": np.arange(len(X)), "__time__": empty, "__known__": empty, "__split__": split, "__target__": y}
    write_table(root / "data/features/features.parquet", pd.concat([pd.DataFrame(front), X], axis=1))
    kind = "binary" if len(classes) == 2 else "multiclass"
    features = [{"name": c, "kind": k} for c, k in kinds.items()]
    summary(kind=kind, target="target", classes=classes, features=features).write(root / "data/features")
    best(family, {}).write(root / f"data/tuning/{family}")
    Selection(kept=list(kinds)).write(root / f"data/tuning/{family}")
    (root / "params.yaml").write_text(PARAMS.format(kind=kind, family=family, how=how, metric=metric))
    return root


def refitted(rows: Dataset, family: str, how: str) -> np.ndarray:
    """Scores of valid and test rows by a fit that the stage had no part in."""
    model = fit_family(family, {}, rows.fold, Setup(rows.kind, classes=len(rows.classes), columns=rows.kinds, imbalance=how, calibration="auto", seed=1))  # fmt: skip
    return model.predict(rows.of("valid", "test")[0])


@pytest.mark.parametrize(
    ("table", "family", "how", "metric", "used"),
    [
        ("fair", "tree", "adasyn", "roc_auc", True),
        ("fair", "logistic", "smote", "roc_auc", False),
        ("anes96", "tree", "smote_tomek", "f1_macro", True),
        ("anes96", "logistic", "under_sample", "log_loss", False),
    ],
)
def test_it_is_kept_only_where_real_validation_rows_gain(
    table: str, family: str, how: str, metric: str, used: bool, tmp_path: Path
):
    root = project(tmp_path, table, family, how, metric)
    stage(root, "train", family)
    made = Candidate.read(root / f"data/models/{family}")
    told = made.imbalance
    assert told is not None
    rows = read_rows(root / "data/features")
    gains = (told.with_it > told.without) != (metric == "log_loss")
    assert (told.asked, told.used) == (how, how if gains else "none")
    assert gains == used
    counts = np.bincount(rows.of("train")[1].astype(int))
    assert list(told.before.values()) == counts.tolist()
    size = counts.min() if how == "under_sample" else counts.max()
    assert all(abs(n - size) <= (size // 8 if how == "smote_tomek" else 0) for n in told.after.values())
    # The model is the one told of, and its scores are those of the rows that were there.
    found = read_table(root / f"data/models/{family}/predictions.parquet")
    expected = refitted(rows, family, how if gains else "none")
    assert found["__row__"].tolist() == rows.row[np.isin(rows.split, ("valid", "test"))].tolist()
    np.testing.assert_allclose(found.filter(like="score_").to_numpy(), expected, atol=1e-12)
    model = load_model(root / f"data/models/{family}/model")
    np.testing.assert_allclose(model.predict(rows.of("valid", "test")[0]), expected, atol=1e-12)

    section = candidates(choice(family, metric=metric), None, {family: FamilyFiles(made)})
    (shown,) = [b for b in section.blocks if isinstance(b, Table) and b.columns[1][0] == "training.imbalance"]
    said = [cell.text for cell in shown.rows[0]]
    assert said[1] == how
    assert f"c0 {counts[0]:,}".replace(",", "\u202f") in said[2]
    assert said[-1] == (how if gains else "no")


def test_decisions_are_measured_at_the_threshold_that_each_would_get(tmp_path: Path):
    rows = read_rows(project(tmp_path, "flights", "tree", "smote", "f1") / "data/features")
    tree, _ = plain("binary")
    params = parse(tree | {"problem": tree["problem"] | {"metric": "f1"}})
    model = fit_family("naive_bayes", {}, rows.fold, Setup("binary", columns=rows.kinds))
    X, y = rows.of("valid")
    scores = model.predict(X)[:, 1]
    highest = max(2 * (y * (scores >= t)).sum() / ((scores >= t).sum() + y.sum()) for t in np.unique(scores))
    assert value_of(model, rows, params) == pytest.approx(highest)


def test_a_member_of_auto_that_was_better_without_stays_without(tmp_path: Path):
    rows = read_rows(project(tmp_path, "flights", "auto", "smote", "roc_auc") / "data/features")
    tree, _ = plain("binary")
    params = parse(tree | {"training": {"imbalance": "smote"}})
    counts = {"before": [90, 10], "after": [90, 90]}
    members = [
        Member(family="tree", params={"imbalance": "none"}, weight=0.6),
        Member(family="logistic", params={}, weight=0.4, counts=counts),
    ]
    told = of_members(members, rows, params)
    assert told is not None
    assert (told.used, told.without_it, told.after) == ("smote", ["tree"], {"c0": 90, "c1": 90})
    alone = of_members(members[:1], rows, params)
    assert alone is not None
    assert alone.used == "none"
    assert of_members(members, rows, parse(tree)) is None
    section = candidates(
        choice("auto", metric="roc_auc"), None, {"auto": FamilyFiles(candidate("auto", imbalance=told))}
    )
    (shown,) = [b for b in section.blocks if isinstance(b, Table) and b.columns[1][0] == "training.imbalance"]
    assert shown.rows[0][-1].text == "by 1 of 2 members"
    # What fits it again reads that from its parameters.
    how = {"columns": rows.kinds, "imbalance": "smote"}
    own = {"family": "tree", "imbalance": "none", "max_depth": 3, "members": [m.to_dict() for m in members]}
    again = fit_family("auto", own, rows.fold, Setup("binary", **how))
    real = fit_family("tree", {"max_depth": 3}, rows.fold, Setup("binary", columns=rows.kinds))
    assert np.array_equal(again.predict(rows.frame), real.predict(rows.frame))
