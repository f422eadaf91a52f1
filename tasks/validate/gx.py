"""The only contact with Great Expectations: run a suite on a frame."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import JsonValue

from tasks.errors import RefitError, nearest
from tasks.hidden import hidden
from tasks.stored import Frame, in_memory
from tasks.validate.suite import Expectation, Suite, subject

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation as GxExpectation

LARGE = 500_000  # rows of a table that is held and validated as a whole
NAMES = "names"


@dataclass(frozen=True)
class Result:
    """What GX found for one expectation.

    ``found``: the observed value, or the number of rows that break it; ``share``: of the rows with a value, where GX counts
    rows; ``rows``: positions of those that break it, for expectations at level ``row``.
    """

    rule: Expectation
    success: bool
    found: JsonValue
    share: float | None = None
    rows: np.ndarray | None = None


ALL_ROWS: dict[str, str | bool] = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


def validate(suite: Suite, frame: Frame) -> list[Result]:
    """Run every expectation of ``suite`` on ``frame`` (in memory, or on disk); results in the suite's order.

    Great Expectations is also asked which rows break the expectations at level ``row``: it names all of them, as index.

    Raises
    ------
    RefitError
        If GX does not know an expectation, cannot evaluate it on this frame, or it tells no rows apart and should.
    """
    frame = in_memory(frame).reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # PySpark also ends a `python -c` process where it finds no grpcio.
        with hidden("pyspark", "google", "sqlalchemy", later=("altair",)):
            import great_expectations as gx
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        results = []
        forms: tuple[tuple[bool, Literal["BASIC"] | dict[str, str | bool]], ...] = ((True, ALL_ROWS), (False, "BASIC"))
        for of_rows, form in forms:
            rules = [
                _expectation(suite, at)
                for at, rule in enumerate(suite["expectations"])
                if (rule["meta"]["level"] == "row") == of_rows
            ]
            if rules:
                outcome = batch.validate(
                    gx.ExpectationSuite(name=suite["name"], expectations=rules), result_format=form
                )
                results += [_result(suite, item.to_json_dict()) for item in outcome.results]
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]


def by_parts(suite: Suite, frame: Frame) -> Iterator[Result]:
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


def _about(rule: Expectation, frame: Frame) -> tuple[str, ...] | str:
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


def _expectation(suite: Suite, at: int) -> GxExpectation:
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


def _result(suite: Suite, item: Expectation) -> tuple[int, Result]:
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
    share = rows = None
    if "unexpected_count" in result:
        there = result["element_count"] - (result.get("missing_count") or 0)
        share = result["unexpected_count"] / there if there else 0.0
    if rule["meta"]["level"] == "row":
        if "unexpected_index_list" not in result:
            raise RefitError(
                f"data/expectations/{suite['name']}.json: {rule['type']} ({subject(rule)}) cannot be at level 'row', since it "
                "is about all rows together; give it meta.level 'set'."
            )
        rows = np.array(result["unexpected_index_list"], dtype=np.int64)
    return at, Result(rule, bool(item["success"]), _plain(found), share, rows)


def _plain(found: JsonValue | np.generic) -> JsonValue:
    """A value of GX without NumPy's types, as JSON can hold it."""
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(found, list):
        return [_plain(value) for value in found]
    return found.item() if isinstance(found, np.generic) else found
