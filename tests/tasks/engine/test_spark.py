"""Spark gives the local engine's bits; a machine without Java is told so."""

from __future__ import annotations

import pandas as pd
import pytest

from tasks.engine import spark
from tasks.engine.compute import compute
from tasks.errors import RefitError
from tasks.states import last_known
from tests.tasks.engine.test_received import received
from tests.tasks.engine.test_states import corrected, told_apart
from tests.tasks.engine.worlds import assert_same, plan, plan_by_column, world_by_column


def test_without_java_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(RefitError, match="needs Java 17 or newer"):
        spark.session()


@pytest.mark.slow
def test_spark_gives_the_bits_of_the_local_engine(full: bool) -> None:
    pytest.importorskip("pyspark")
    late, tables = plan_by_column(), world_by_column(1, 30_000 if full else 3_000)
    # Many keys, so that parts differ: every fortieth order has a name of its own.
    names = tables["orders"]["who"].astype(object)
    names.iloc[::40] = [f"p{i}" for i in range(len(names.iloc[::40]))]
    tables["orders"] = tables["orders"].assign(who=pd.Series(names, dtype="str"))
    states = told_apart(corrected(1, 200, "key"))  # rows that were corrected, in the columns of their key too
    session = spark.session()
    try:
        came = received(tables, 1)[0]  # and some were received late
        for asked, given, rows in ((late, came, came["orders"]), (plan(), states, last_known(states["orders"]))):
            assert_same(compute(asked, given, rows), spark.compute_spark(asked, given, rows, session))
    finally:
        session.stop()
