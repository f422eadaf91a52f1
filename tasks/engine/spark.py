"""The same plan on Spark: parts of the tables, dealt by key, computed by the very same local engine.

For each key that the plan asks by, Spark brings the events and the rows of a part of the keys together (a cogroup on a
hash of the key), and every part is computed by :func:`tasks.engine.compute.compute`; the results are joined by row number. Sums are
exact and a feature needs only its own key's events, so all primitives give the local engine's bits; the only feature
that may differ is one whose transform calls a function (``log``, ``sin``, ...) for which the workers' processors round
differently, by at most one unit in the last place.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.artifacts.columns import RECEIVED, UNTIL
from tasks.engine.assemble import as_frame, finish
from tasks.engine.compute import child_tables, compute
from tasks.engine.facts import TableSchema
from tasks.engine.from_disk import ROW, event_columns, key_hash, row_columns
from tasks.engine.plan import Group, Plan
from tasks.engine.source import FrameRows, Values
from tasks.errors import RefitError
from tasks.extras import install

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PART = "__part__"


def session(master: str = "local[2]") -> SparkSession:
    """A Spark session for this machine. Raises :class:`RefitError` where Java or PySpark is missing."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise RefitError(f"features.engine: spark needs PySpark, which is not installed: {install('spark')}") from None
    home = os.environ.get("JAVA_HOME")
    if not (home and os.access(os.path.join(home, "bin", "java"), os.X_OK)) and shutil.which("java") is None:
        raise RefitError(
            "features.engine: spark needs Java 17 or newer, and there is no `java` on the PATH nor in JAVA_HOME. "
            "Install a Java runtime (for instance openjdk-17-jre-headless), or set features.engine: local"
        )
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("refit-features")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def compute_spark(
    plan: Plan,
    tables: Mapping[str, pd.DataFrame],
    rows: pd.DataFrame,
    spark: SparkSession | None = None,
    parts: int = 8,
) -> pd.DataFrame:
    """:func:`tasks.engine.compute.compute` by Spark; ``parts`` is into how many the keys are dealt.

    Starts a session where none is given.
    """
    own = spark is None
    spark = spark or session()
    try:
        tables = {**tables, **child_tables(plan, tables)}
        asked: dict[str, Values] = {}
        for group in plan.groups:
            part = _group(plan, group, tables[group.table], rows, spark, parts)
            asked |= {feature.name: part[feature.name].to_numpy() for feature in group.features}
        return as_frame(plan, finish(plan, FrameRows(plan.own, rows), asked), rows.index)
    finally:
        if own:
            spark.stop()


def _group(
    plan: Plan, group: Group, events: pd.DataFrame, rows: pd.DataFrame, spark: SparkSession, parts: int
) -> pd.DataFrame:
    """One group's features in row order."""
    from pyspark.sql import types as T

    alone = replace(plan, features=group.features, children={})
    theirs, mine = event_columns(plan, group), row_columns(plan, group)
    theirs += [c for c in (UNTIL, RECEIVED) if c in events.columns]
    left = _dealt(events[theirs], [c for _, c in group.on], plan.tables[group.table], parts)
    right = _dealt(rows[mine], [c for c, _ in group.on], plan.tables[plan.table], parts)
    kinds = {f.name: f.kind for f in group.features}
    names = {f.name: f"f{i}" for i, f in enumerate(group.features)}  # Spark dislikes dots and backticks in names
    fields = [T.StructField(ROW, T.LongType())]
    fields += [T.StructField(names[n], T.DoubleType() if k == "numeric" else T.StringType()) for n, k in kinds.items()]
    schemas = events[theirs].iloc[:0], rows[mine].iloc[:0]

    def work(event_part: pd.DataFrame, row_part: pd.DataFrame) -> pd.DataFrame:
        theirs_back, mine_back = (_restored(p, s) for p, s in zip((event_part, row_part), schemas, strict=True))
        made = compute(alone, {group.table: theirs_back}, mine_back).rename(columns=names)
        for name, kind in kinds.items():
            if kind != "numeric":
                text = made[names[name]].astype(object)
                made[names[name]] = text.where(text.notna(), None)
        made.insert(0, ROW, row_part[ROW].to_numpy())
        return made

    one, other = (spark.createDataFrame(_plain(f)).groupBy(PART) for f in (left, right))
    result = one.cogroup(other).applyInPandas(work, T.StructType(fields)).toPandas()
    result = result.sort_values(ROW, ignore_index=True).drop(columns=ROW)
    result.columns = pd.Index(list(names))
    for name, kind in kinds.items():
        if kind != "numeric":
            result[name] = result[name].where(result[name].notna(), np.nan)
    return result


def _dealt(frame: pd.DataFrame, key: list[str], table: TableSchema, parts: int) -> pd.DataFrame:
    part = (key_hash(frame, key, table) % np.uint64(parts)).astype(np.int64)
    return frame.assign(**{ROW: np.arange(len(frame)), PART: part})


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Moments as whole µs and texts as objects, so that nothing is rounded or changed on the way."""
    result = {}
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
            whole = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
            result[name] = whole.to_numpy("datetime64[us]").view(np.int64)
        elif pd.api.types.is_numeric_dtype(column.dtype):
            result[name] = column.to_numpy()
        else:
            text = column.astype(object)
            result[name] = text.where(text.notna(), None)
    return pd.DataFrame(result)


def _restored(part: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Undo :func:`_plain`, by the dtypes of the table that it was made from."""
    result = {}
    for name, dtype in like.dtypes.items():
        column = part[name]
        if isinstance(dtype, pd.DatetimeTZDtype):
            result[name] = pd.Series(column.to_numpy(np.int64).view("M8[us]")).dt.tz_localize("UTC")
        elif dtype.kind == "M":
            result[name] = pd.Series(column.to_numpy(np.int64).view("M8[us]"))
        else:
            result[name] = pd.Series(column.to_numpy()).astype(dtype)
    return pd.DataFrame(result)
