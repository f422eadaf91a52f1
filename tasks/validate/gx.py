"""The only contact with Great Expectations: run a suite on a frame."""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.errors import RefitError, nearest
from tasks.validate.suite import Expectation, Suite, subject

LARGE = 500_000  # rows of a table that is validated as a whole
NAMES = "names"


@dataclass(frozen=True)
class Result:
    """What GX found for one expectation: ``found`` is the observed value, or the number of rows that break it."""

    rule: Expectation
    success: bool
    found: Any


def validate(suite: Suite, frame: pd.DataFrame) -> list[Result]:
    """Run every expectation of ``suite`` on ``frame``; results in the suite's order.

    Raises
    ------
    RefitError
        If GX does not know an expectation, or cannot evaluate it on this frame.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _spark_hidden():
            import great_expectations as gx
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        rules = [_expectation(suite, at) for at in range(len(suite["expectations"]))]
        outcome = batch.validate(gx.ExpectationSuite(name=suite["name"], expectations=rules), result_format="BASIC")
    results = [_result(suite, item.to_json_dict()) for item in outcome.results]
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]


def by_parts(suite: Suite, frame: pd.DataFrame) -> Iterator[Result]:
    """:func:`validate`; on a large table column by column, since GX takes a fingerprint of all that it is given."""
    rules = suite["expectations"]
    if len(frame) <= LARGE:
        yield from validate(suite, frame)
        return
    found: dict[int, Result] = {}
    parts: dict[tuple[str, ...] | str, list[int]] = {}
    for at, rule in enumerate(rules):
        parts.setdefault(_about(rule, frame), []).append(at)
    for about, places in parts.items():
        part = frame.iloc[:0] if about == NAMES else frame[list(about)]
        results = validate({**suite, "expectations": [rules[at] for at in places]}, part)
        found |= dict(zip(places, results, strict=True))
        gc.collect()  # what GX holds is held in circles
    yield from (found[at] for at in range(len(rules)))


def _about(rule: Expectation, frame: pd.DataFrame) -> tuple[str, ...] | str:
    """The columns that an expectation looks at: none of the rows where it is about names, one where about their number."""
    kwargs, kind = rule["kwargs"], rule["type"]
    if kind.startswith("expect_table_column"):
        return NAMES
    if kind.startswith("expect_table_row_count_to_"):
        return (str(frame.columns[0]),)
    asked = (kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B"), *kwargs.get("column_list", ()))
    used = tuple(sorted({name for name in asked if name}))
    there = used and "row_condition" not in kwargs and all(name in frame for name in used)
    return used if there else tuple(map(str, frame.columns))


@contextmanager
def _spark_hidden() -> Iterator[None]:
    """Hide PySpark while GX is imported: not needed, 0.7 s, and without grpcio it ends a ``python -c`` process."""
    if "pyspark" in sys.modules:
        yield
        return
    sys.modules["pyspark"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["pyspark"]


def _expectation(suite: Suite, at: int) -> Any:
    """The GX object of one expectation; its ``meta`` holds its place in the suite."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations
    from pydantic.v1 import ValidationError

    rule = suite["expectations"][at]
    known = list_registered_expectation_implementations()
    where = f"data/expectations/{suite['name']}.json: {rule['type']}"
    if rule["type"] not in known:
        raise RefitError(f"{where}: Great Expectations has no such expectation.{nearest(rule['type'], known)}")
    try:
        return ExpectationConfiguration(type=rule["type"], kwargs=rule["kwargs"], meta={"at": at}).to_domain_obj()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:3])
        raise RefitError(f"{where}: {wrong}; found {rule['kwargs']!r}.") from None


def _result(suite: Suite, item: dict[str, Any]) -> tuple[int, Result]:
    at = item["expectation_config"]["meta"]["at"]
    rule = suite["expectations"][at]
    raised = item["exception_info"]
    # GX puts either one record here, or one for each metric that failed.
    for info in (raised, *(v for v in raised.values() if isinstance(v, dict))):
        if info.get("raised_exception"):
            raise RefitError(
                f"data/expectations/{suite['name']}.json: {rule['type']} ({subject(rule)}) could not be evaluated: "
                f"{info['exception_message']}"
            )
    result = item["result"]
    found = result.get("unexpected_count", result.get("observed_value"))
    return at, Result(rule, bool(item["success"]), found.item() if hasattr(found, "item") else found)
