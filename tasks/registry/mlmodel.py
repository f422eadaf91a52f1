"""A package as MLflow's own kind of model: ``mlflow.pyfunc.load_model("models:/NAME@champion")``.

MLflow keeps it as a folder with ``MLmodel`` (signature, how it is loaded), an example, and ``package/``, which stays as it was
made: its identity is its own. Who loads it needs Refit; :mod:`refit.pyfunc` answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts import Golden, Manifest, Schema
from tasks.files import write_json
from tasks.kinds import find_kind

if TYPE_CHECKING:
    from mlflow.models.signature import ModelSignature

FOLDER, PACKAGE = "model", "package"  # among a run's artifacts, and within that folder
LOADER = "refit.pyfunc"
EXAMPLE = "input_example.json"
ROWS = 5  # of the example


def write_model(folder: Path, package: Path, identity: str) -> None:
    """Write what lies beside ``package/`` into ``folder``, the package's SHA-256 ``identity`` among it."""
    from mlflow import pyfunc
    from mlflow.models import Model

    manifest, schema = Manifest.read(package), Schema.read(package)
    model = Model(signature=signature(manifest, schema), metadata={"refit.package_sha256": identity})
    pyfunc.add_to_model(model, loader_module=LOADER, data=PACKAGE)
    rows = [row.input for row in Golden.read(package).rows[:ROWS]]
    if rows:
        names = list(rows[0])
        write_json(folder / EXAMPLE, {"columns": names, "data": [[row.get(name) for name in names] for row in rows]})
        model.saved_input_example_info = {
            "artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split",
        }  # fmt: skip
    model.save(str(folder / "MLmodel"))


def signature(manifest: Manifest, schema: Schema) -> ModelSignature:
    """What the model takes and gives, a column each.

    Plain numbers are doubles. Everything else may come as it is written or as pandas read it (a category of digits is a
    number there, a moment may be text): MLflow would refuse one of the two, and Refit reads both.
    """
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType
    from mlflow.types import Schema as Columns
    from mlflow.types.schema import AnyType

    plain = {f.name for f in schema.fields if f.kind == "numeric" and f.format == "iso"}
    asked = [ColSpec(DataType.double if f.name in plain else AnyType(), f.name, f.required) for f in schema.fields]
    given = find_kind(manifest.kind).answered(manifest.threshold, tuple(manifest.classes))
    answers = [ColSpec(DataType.string if kind is str else DataType.double, name) for name, kind in given.items()]
    beside = [ColSpec(DataType.string, name, required=False) for name in ("warnings", "error")]
    return ModelSignature(Columns([*asked]), Columns([*answers, *beside]))
