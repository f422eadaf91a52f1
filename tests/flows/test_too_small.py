"""Before a run it is told which stages and families a table surely leaves too little memory."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.preflight.machine import memory
from flows.preflight.subject import Subject
from tasks.params import load

PARAMS = """
problem: {{name: p, kind: binary, table: t, target: y}}
data: {{tables: {{t: {{source: {source}, columns: {{x: numeric, z: numeric, y: numeric}}}}}}}}
models: {{logistic: {{}}, xgboost: {{}}}}
features: {{columns: [x, z]}}
training: {{memory_gb: {limit}}}
"""
ROWS = 1_000_000


def told(folder: Path, source: str, limit: float) -> list[str]:
    (folder / "params.yaml").write_text(PARAMS.format(source=source, limit=limit))
    return list(memory(Subject(folder, load(folder / "params.yaml"))))


def test_a_limit_that_surely_does_not_suffice_is_told_with_what_is_needed(tmp_path: Path) -> None:
    nothing = np.zeros(ROWS)
    pq.write_table(pa.table({"x": nothing, "z": nothing, "y": nothing}), tmp_path / "t.parquet")
    assert told(tmp_path, "t.parquet", 0.5) == []
    (checked,) = told(tmp_path, "t.parquet", 0.35)
    assert "t has about 1,000,000 rows x 3 columns, which take about 0.4 GB in the stage validate" in checked
    both = told(tmp_path, "t.parquet", 0.31)
    assert both[0].startswith("training.memory_gb: t has")
    assert "logistic holds its rows in memory, and 500,000 rows x 2 features" in both[1]
    assert "take logistic out of models" in both[1]
    assert len(both) == 2  # xgboost reads from disk
    file = tmp_path / "params.yaml"
    text = file.read_text().replace("logistic: {}, ", "").replace("0.31", "0.33")
    file.write_text(text.replace("memory_gb", "imbalance: smote, memory_gb"))
    *_, made = memory(Subject(tmp_path, load(file)))
    assert "training.imbalance: 'smote' makes rows, and 500,000 rows x 2 features" in made
    assert "set class_weight, which weighs them, or training.memory_gb" in made
    file.write_text(text + "tuning: {sampler: pbt}\n")
    *_, turns = memory(Subject(tmp_path, load(file)))
    assert "xgboost holds its rows in memory" in turns
    assert "use another tuning.sampler than 'pbt', whose turns go on in memory" in turns


def test_the_rows_of_a_csv_file_are_told_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,z,y\n" + "1.5,2.5,0\n" * 500_000)
    said = told(tmp_path, "t.csv", 0.31)[0]
    assert re.search(r"t has about (499,99\d|500,00\d) rows x 3 columns", said)
