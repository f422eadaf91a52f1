"""A package in MLflow's own form: signature, example, and the answers of ``refit predict``."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from deploy.predict import predict
from flows.predict import history_of
from tasks.bundle import Bundle
from tasks.files import sha256
from tasks.registry.mlmodel import write_model
from tests.deploy.conftest import packages as packages
from tests.tasks.package.projects import TIMED

pytestmark = pytest.mark.slow


def as_model(package: Path, folder: Path) -> Path:
    """A folder as MLflow keeps it: what is written, and the package beside it."""
    folder.mkdir()
    write_model(folder, package, sha256(package / "bundle.json"))
    (folder / "package").symlink_to(package)
    return folder


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", TIMED])
def test_mlflow_loads_a_package_and_answers_as_predict_does(
    packages: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    import mlflow.pyfunc

    bundle = Bundle.load(packages[kind])
    rows = pd.DataFrame([row.input for row in bundle.golden])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    predict(bundle, "it", tmp_path / "rows.csv", tmp_path / "out.parquet", history_of(bundle), bundle.horizon)
    expected = pd.read_parquet(tmp_path / "out.parquet")

    model = mlflow.pyfunc.load_model(str(as_model(packages[kind], tmp_path / "model")))
    answers = model.predict(rows.set_axis(range(10, 10 + len(rows))))
    assert list(answers) == [column.name for column in model.metadata.signature.outputs]
    assert list(answers.index) == list(range(10, 10 + len(rows)))
    pd.testing.assert_frame_equal(answers.reset_index(drop=True), expected[list(answers)])
    assert [column.name for column in model.metadata.signature.inputs] == [f.name for f in bundle.schema.fields]
    assert model.metadata.metadata == {"refit.package_sha256": sha256(packages[kind] / "bundle.json")}
    example = json.loads((tmp_path / "model" / "input_example.json").read_text())
    assert example["data"][0] == [bundle.golden[0].input.get(name) for name in example["columns"]]


def test_texts_and_what_pandas_made_of_them_are_answered_alike(packages: dict[str, Path], tmp_path: Path) -> None:
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(as_model(packages[TIMED], tmp_path / "model")))
    rows = pd.DataFrame([row.input for row in Bundle.load(packages[TIMED]).golden])
    time = next(f.name for f in Bundle.load(packages[TIMED]).schema.fields if f.kind == "datetime")
    read = rows.assign(**{time: pd.to_datetime(rows[time], utc=True)})
    mixed = rows.assign(**{time: [*read[time][:1], *rows[time][1:]]})
    as_written = model.predict(rows)
    assert as_written.error.isna().all()
    for other in (read, mixed):
        pd.testing.assert_frame_equal(model.predict(other), as_written)
    with pytest.raises(mlflow.exceptions.MlflowException, match=time):
        model.predict(rows.drop(columns=time))
