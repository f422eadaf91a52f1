"""What people's own code imports: it is there, it is typed, and it loads nothing that nobody asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import refit
from deploy.predict import predict
from flows.predict import horizon_of, tables_of
from refit import Project, RefitError, load_package
from tasks.bundle import Bundle
from tasks.files import sha256
from tasks.registry.history import Decision, DecisionHistory
from tests.deploy.conftest import packages as packages  # a fixture
from tests.flows.project import copied
from tests.projects import ROOT
from tests.tasks.package.projects import TIMED, timed

MODEL = "orders-late"


def test_importing_refit_imports_nothing_heavy() -> None:
    heavy = "numpy", "pandas", "prefect", "mlflow", "bentoml", "torch", "pydantic"
    code = f"import sys, refit; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_is_public_is_there_with_types_and_words() -> None:
    methods = [getattr(Project, name) for name in vars(Project) if not name.startswith("_")]
    for one in [getattr(refit, name) for name in refit.__all__] + methods:
        assert inspect.getdoc(one), one
        if inspect.isfunction(one := one.fget if isinstance(one, property) else one):
            hints = inspect.signature(one)
            assert hints.return_annotation is not inspect.Signature.empty
            own = [p for name, p in hints.parameters.items() if name != "self"]
            assert all(p.annotation is not inspect.Parameter.empty for p in own)
    assert all((ROOT / room / "py.typed").is_file() for room in ("refit", "flows", "deploy", "tasks"))


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match=r"no params\.yaml here\. Name a project's folder"):
        refit.open(tmp_path)
    (tmp_path / "params.yaml").write_text("problem: {name: x}\n")
    with pytest.raises(RefitError, match=r"no dvc\.yaml here"):
        refit.open(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    project = refit.open(tmp_path)
    assert repr(project) == f"refit.open({str(tmp_path)!r})"
    with pytest.raises(RefitError, match="problem"):
        _ = project.params
    assert refit.open(ROOT).params.problem.kind == "binary"


def test_a_folder_that_holds_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match=r"bundle\.json"):
        load_package(tmp_path)


@pytest.fixture(scope="module")
def project(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose package is champion, and a later one was kept out."""
    root = copied(packages[TIMED].parents[1], tmp_path_factory.mktemp("api") / "project")
    (root / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    digest, book = sha256(root / "data" / "package" / "bundle.json"), DecisionHistory(root)
    first = {"verdict": "promote", "n": 90}
    book.record(Decision(MODEL, "promote", "1", "1", digest, "Promote: <first>.", "refit run", "k1", first), None)
    kept = {"verdict": "keep", "n": 120}
    book.record(Decision(MODEL, "keep", "2", None, "c" * 64, "Keep: worse.", "refit run", "k2", kept), digest)
    return refit.open(root)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    frame = timed()[1]["orders"].head(30)
    return frame.set_axis([f"row {i}" for i in range(len(frame))])


def test_predictions_of_a_frame_are_those_of_its_file(project: Project, rows: pd.DataFrame, tmp_path: Path) -> None:
    answers = project.predict(rows)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    bundle = Bundle.load(project.root / "data" / "package")
    tables = tables_of(project.root, bundle)
    assert tables is not None
    predict(bundle, "1", tmp_path / "rows.csv", tmp_path / "a.parquet", tables, horizon_of(bundle, tables))
    expected = pd.read_parquet(tmp_path / "a.parquet").drop(columns="row")
    assert list(answers.index) == list(rows.index)
    assert list(answers.columns) == list(expected.columns)
    assert np.array_equal(answers["probability"].to_numpy(), expected["probability"].to_numpy())
    text = next(name for name in rows if isinstance(rows[name].dtype, pd.StringDtype))
    again = project.predict(rows.astype({text: "category"}), version="1")
    pd.testing.assert_frame_equal(again, answers)


def test_explanations_of_a_frame_add_up_and_are_shown(project: Project, rows: pd.DataFrame) -> None:
    explained = project.explain(rows.head(3))
    answers = project.predict(rows.head(3))
    assert [one.score for one in explained] == answers["probability"].tolist()
    frame = explained.frame()
    assert list(frame.columns) == ["row", "feature", "value", "adds", "error"]
    sums = frame.groupby("row")["adds"].sum()
    assert sums.to_numpy() == pytest.approx([one.total - one.base for one in explained])
    html = explained._repr_html_()
    assert html.count("<table>") == 3
    assert explained[0].reasons[0].feature in html
    assert repr(explained).startswith("row 1: version 1 answers ")


def test_what_cannot_be_read_is_told_of_the_frame(project: Project, rows: pd.DataFrame) -> None:
    with pytest.raises(RefitError, match=r"^the frame: lacks column"):
        project.predict(rows[["placed_at"]])
    mixed = rows.assign(placed_at=[object()] * len(rows))
    assert project.predict(mixed)["error"].str.contains("placed_at").all()
    with pytest.raises(RefitError, match=r"^the frame: cannot be read"):
        project.predict(pd.concat([rows, rows], axis=1))
    with pytest.raises(RefitError, match="takes 1 to 200 rows"):
        project.explain(pd.concat([rows] * 10))


def test_champion_and_verdicts_are_those_of_the_history_and_shown(project: Project, tmp_path: Path) -> None:
    champion, verdicts = project.champion, project.verdicts
    assert champion is not None
    assert (champion.version, champion.family) == ("1", "xgboost")
    assert "champion: version 1" in champion._repr_html_()
    assert "Promote: &lt;first&gt;." in champion._repr_html_()
    assert [(one.version, one.verdict) for one in verdicts] == [("1", "promote"), ("2", "keep")]
    assert verdicts.frame()["rows"].tolist() == [90, 120]
    assert "Keep: worse." in verdicts._repr_html_()
    assert "version 1 (xgboost) since " in project._repr_html_()
    empty = copied(project.root, tmp_path / "empty")
    (empty / ".refit" / "history.db").unlink()
    assert refit.open(empty).champion is None
    assert refit.open(empty).verdicts.frame().empty
