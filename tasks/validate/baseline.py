"""This run's rows against what was accepted with the champion (:mod:`tasks.validate.accepted`), as a suite that decides.

A figure may leave the band of the past windows by half its width and a floor, and by more where few windows are known or the
baseline is old. Where rows have moments, each window that is newer than the baseline is held against it by itself, so that a
wrong week is seen in a table of many; the table as a whole has rules of its own: for its size, its past, and its keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from tasks.artifacts import RuleResult
from tasks.errors import some
from tasks.params import Problem, Table
from tasks.stored import Frame
from tasks.validate import gx
from tasks.validate.accepted import DAMAGED, LEAST, ODD, OTHER, QUANTILES, Figures, Part, hashes, moment_of, parts
from tasks.validate.suite import Expectation, subject

WHOLE = "the whole table"
MOST_NEW = 0.8  # of a window that must be new for its old rows to be left out
AGED = 3.0  # times the baseline's own span, after which its band grows no more
PACE = 2.0  # times the pace at which a column moved, that it may move on: a month's number moves in steps
SEASON = 2.0  # times what windows differ by beyond chance, that they may differ more in the part of a year not seen
LOOKED = 13  # windows newer than the baseline that are looked at
REMEDY = (
    "If this is how the data are from now on: `refit accept --reason ...` makes these rows the baseline, and the next "
    "`refit run` goes on with them."
)
FLOORS = {"missing": 0.05, "odd": 0.04, "new": 0.05, "shares": 0.1, "quantiles": 0.25, "hour": 2.5, "damaged": 0.01}
REJECTED = 2  # times data.max_quarantined that a single window may have


@dataclass
class Held:
    """What came of it: every rule's finding, failures and remarks in words."""

    findings: list[RuleResult] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def hold(name: str, table: Table, problem: Problem, frame: Frame, labelled: Frame | None,
         rejected: np.ndarray, most: float, baseline: Figures, as_of: datetime | None) -> Held:  # fmt: skip
    """Hold a table against its baseline.

    Parameters
    ----------
    frame : all rows known by now, also rejected ones. labelled : the problem table's accepted rows with the target, or None.
    rejected : (n,) rows that break a row's rule. most : ``data.max_quarantined``.
    """
    out, who = Held(), whose(baseline)
    made = parts(name, table, problem, frame, labelled, as_of)
    kept = pd.Series(~rejected, index=frame.index)
    made[0].columns.made["__accepted__"] = lambda: kept
    if _earlier(baseline, made[0], as_of):
        out.remarks.append(
            f"{name}: this run knows less than {who} did, so the table's size and newest rows are not judged"
        )
        return out
    if baseline["moment"] != made[0].when:
        out.remarks.append(
            f"{name}: rows have another moment than in {who} ({baseline['moment'] or 'none'}), so not judged"
        )
        return out
    checks = [*_whole(name, frame, table, problem, baseline), *_times(name, made[0], baseline, as_of)]
    for at, part in enumerate(made):
        if part.when in baseline["parts"]:
            checks += _looks(name, part, baseline["parts"][part.when], baseline, at == 0, most)
    checks += _keys(name, frame, table, problem, baseline, made[0])
    for look, rules in checks:
        for result in gx.by_parts({"name": f"{name} ({look.scope})", "expectations": rules}, look.frame):
            out.findings.append(_finding(look, result))
            if result.success:
                continue
            told = _sentence(look, result, who)
            (out.remarks if result.rule["meta"]["level"] == "note" else out.failures).append(told)
    return out


def _sentence(look: _Look, result: gx.Result, who: str) -> str:
    """A failure: which rows, which rule, what was expected after what baseline, and what came."""
    meta = result.rule["meta"]
    about = "" if (named := _column_of(result.rule)) == "table" else f"{named}, "
    was = f" ({meta['was']} in {who})" if meta["was"] else f" (from {who})"
    return (
        f"{look.table}, {look.scope}: {about}{meta['check']}: expected {meta['said']}{was}; found {_found(result)} "
        f"[{result.rule['type']}]"
    )


def whose(baseline: Figures) -> str:
    """Whose rows the baseline is, in words."""
    of = baseline.get("of", {})
    if of.get("by"):
        return f"the rows accepted by {of['by']}"
    return f"the rows of champion version {of.get('version')}"


def _earlier(baseline: Figures, part: Part, as_of: datetime | None) -> bool:
    if as_of is None:
        return False
    then = baseline["as_of"] or baseline.get("until")
    return then is not None and pd.Timestamp(as_of) < pd.Timestamp(then)


# What is looked at -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """Rows that are held against the baseline together, and how they are called."""

    table: str
    scope: str
    frame: Frame


Check = tuple[_Look, list[Expectation]]


def _looks(name: str, part: Part, then: Figures, baseline: Figures, first: bool, most: float) -> list[Check]:  # fmt: skip
    """The windows of a part that are newer than the baseline; all rows where there were no windows."""
    count, called = then["windows"], "" if first else f", by {part.when}"
    if not count or part.times is None:
        rules = _rules(part, then, len(part.columns), 0, 0.0)
        if then.get("repeated"):
            rules += _repeated(part, then, 0, 0.0)
        return [(_Look(name, f"all rows{called}", _grouped(part.columns.frame(), then)), rules)]
    length, until = pd.Timedelta(seconds=baseline["window"]), pd.Timestamp(then["until"])
    if not len(part.times) or part.times.max() <= until:
        return []
    end, found = part.times.max(), []
    whole = _begins(part, baseline) if first else True
    for i in range(LOOKED):
        last = end - i * length
        if last <= until:
            break
        inside = (part.times > last - length) & (part.times <= last)
        if last - until >= MOST_NEW * length:  # the few old rows of such a window would hide what is missing
            inside &= part.times > until
        found.append((i, last, inside.to_numpy()))
    out = []
    frames = part.columns.frames([inside for *_, inside in found])
    for (i, last, _), rows in zip(found, frames, strict=True):
        elapsed = max((last - until) / length, 0.0)
        rules = []
        # A table of the newest rows alone has gaps where no run was; one that has its past has none.
        if first and (i == 0 or whole):
            rules += _rows(then, elapsed)
        if len(rows) >= LEAST // 3:
            rules += _rules(part, then, len(rows), count, elapsed, min(1.0, count * length / pd.Timedelta(days=365)))
            if first and then.get("repeated"):
                rules += _repeated(part, then, count, elapsed)
            if first and most < 0.5 and len(rows) >= LEAST:
                rules.append(_set("rejected rows", "column_values_to_be_in_set", f"at most {_percent(REJECTED * most)} of rows that break a rule", was=_percent(most), column="__accepted__", value_set=[True], mostly=1 - REJECTED * most))  # fmt: skip
        if rules:
            out.append((_Look(name, f"{_days(length)} to {last:%Y-%m-%d %H:%M}{called}", _grouped(rows, then)), rules))
    return out


def _begins(part: Part, baseline: Figures) -> bool:
    """Whether the table still has the past that the baseline had."""
    if part.times is None or baseline.get("from") is None or not len(part.times):
        return False
    return bool(part.times.min() <= pd.Timestamp(baseline["from"]) + pd.Timedelta(seconds=baseline["window"] or 0))


def _whole(name: str, frame: Frame, table: Table, problem: Problem, baseline: Figures) -> list[Check]:
    """The table's size, which halves for no ordinary reason, and the order of its columns, which is only told."""
    rows, timed = baseline["rows"], baseline.get("until") is not None
    most = None if timed else 20 * rows
    said = f"at least {rows // 2:,} rows" if timed else f"{rows // 2:,} to {most:,} rows"
    rules = [
        _set("rows", "table_row_count_to_be_between", said, f"{rows:,}", min_value=max(1, rows // 2), max_value=most)
    ]
    kept = [c for c in baseline["order"] if c in frame]
    now = [str(c) for c in frame if c in kept]
    if kept:
        note = _set(
            "order of columns", "table_columns_to_match_ordered_list", f"the order {some(kept)}", column_list=kept
        )
        note["meta"]["level"] = "note"
        return [(_Look(name, WHOLE, frame), rules), (_Look(name, WHOLE, frame[now].iloc[:0]), [note])]
    return [(_Look(name, WHOLE, frame), rules)]


def _times(name: str, part: Part, baseline: Figures, as_of: datetime | None) -> list[Check]:
    """The newest row is no older than before, nor behind the run by much more; the past has not grown or gone."""
    if baseline.get("until") is None or part.times is None or not len(part.times):
        return []
    until = pd.Timestamp(baseline["until"])
    length = pd.Timedelta(seconds=baseline["window"] or 0)
    least = until
    if as_of is not None and baseline["as_of"] is not None and length:
        least = max(until, pd.Timestamp(as_of) - (pd.Timestamp(baseline["as_of"]) - until) - 2 * length)
    moments = pd.DataFrame({part.when: part.times})
    fresh = _set(
        "freshness", "column_max_to_be_between", f"a newest moment of {least:%Y-%m-%d %H:%M} or later",
        f"{until:%Y-%m-%d %H:%M}", column=part.when, min_value=least.isoformat(),
    )  # fmt: skip
    checks = [(_Look(name, WHOLE, moments), [fresh])]
    first = baseline["parts"][part.when]
    if first["windows"] and _begins(part, baseline):
        half, rows = first["rows"][2] / 2, baseline["timed"]
        low, high = int(0.9 * rows), int(np.ceil(rows + half))
        past = _set(
            "rows of the past", "table_row_count_to_be_between", f"{low:,} to {high:,} rows", f"{rows:,}",
            min_value=low, max_value=high,
        )  # fmt: skip
        old = moments[(part.times <= until).to_numpy()]
        checks.append((_Look(name, f"rows up to {until:%Y-%m-%d %H:%M}", old), [past]))
    return checks


def _keys(name: str, frame: Frame, table: Table, problem: Problem, baseline: Figures, part: Part) -> list[Check]:
    """The keys that the baseline's newest rows had, where the table still has its past; a lookup table's at any time."""
    kept = baseline.get("keys")
    if not kept or not table.key or (baseline.get("until") is not None and not _begins(part, baseline)):
        return []
    row = moment_of(name, table, problem) if baseline.get("until") is not None else None
    wanted = np.array([int(key, 16) for key in kept], dtype=np.uint64)
    there = pd.DataFrame({"there": np.isin(wanted, hashes(frame, table, row))})
    said = "at least half of the keys that were there" + (", each at its moment" if row is not None else "")
    rule = _set("keys", "column_values_to_be_in_set", said, column="there", value_set=[True], mostly=0.5)
    return [(_Look(name, f"keys of {whose(baseline)}", there), [rule])]


# Rules -----------------------------------------------------------------------------------------------------


def _rows(then: Figures, elapsed: float) -> list[Expectation]:
    low, high = _ratio(then["rows"][0], then["rows"][1], 2.0, then["windows"], elapsed)
    was = f"{then['rows'][0]:,} to {then['rows'][1]:,}"
    said = f"{low:,.0f} to {high:,.0f} rows"
    return [_set("rows", "table_row_count_to_be_between", said, was, min_value=int(low), max_value=int(np.ceil(high)))]


def _rules(part: Part, then: Figures, rows: int, count: int, elapsed: float, seen: float = 1.0) -> list[Expectation]:
    """The rules for columns of a part, of ``rows`` rows, ``elapsed`` windows after the baseline of ``count`` windows.

    ``seen``: the share of a year that the baseline has seen.
    """
    out: list[Expectation] = []
    for column, kind in part.kinds.items():
        was = then["columns"].get(column)
        if was is None or was["kind"] != kind:
            continue
        place = _Place(column, part, rows, count, elapsed, seen)
        out += _shares(place, was)
        if "quantiles" in was:
            out += _numbers(place, was)
        if "distinct" in was:
            out += _levels(place, was)
    return out


@dataclass(frozen=True)
class _Place:
    """A column to be judged: of how many rows, by how many past windows, how many windows after them, and of what share of a
    year these are."""

    column: str
    part: Part
    rows: int
    count: int
    elapsed: float
    seen: float = 1.0

    def wider(self) -> float:
        """By how much of its width a band is widened on either side."""
        return _wider(self.count, self.elapsed) if self.count else 0.0

    def above(self, was: list[float], floor: float) -> float:
        """The highest share allowed."""
        low, high, whole = was
        top = high if self.count else whole
        noise = 4 * float(np.sqrt(max(top, 1 / self.rows) * max(1 - top, 0.0) / self.rows))
        return top + self.wider() * (high - low) + (floor if self.count else 2 * floor) + noise

    def below(self, was: list[float], floor: float) -> float:
        return 1 - self.above([1 - was[1], 1 - was[0], 1 - was[2]], floor)


def _shares(place: _Place, was: Figures) -> list[Expectation]:
    """Missing values, damaged texts, and the label's classes."""
    out, column = [], place.column
    most = place.above(was["missing"], FLOORS["missing"])
    if most < 1:
        kind = "column_proportion_of_non_null_values_to_be_between"
        out.append(_set("missing values", kind, f"at most {_percent(most)} missing", _range(was["missing"], place, _percent), column=column, min_value=1 - most))  # fmt: skip
    if "damaged" in was and (top := place.above(was["damaged"], FLOORS["damaged"])) < 1:
        out.append(_set("encoding", "column_values_to_not_match_regex", f"at most {_percent(top)} of texts with damaged letters", _range(was["damaged"], place, _percent), column=column, regex=DAMAGED, mostly=1 - top))  # fmt: skip
    if was["kind"] != "classes":
        return out
    for level, share in list(was.get("shares", {}).items())[1 if len(was.get("shares", ())) == 2 else 0 :]:
        low, high = place.below(share, FLOORS["shares"]), place.above(share, FLOORS["shares"])
        told = _range(share, place, _percent)
        if low > 0:
            out.append(_set(f"share of {level}", "column_values_to_be_in_set", f"at least {_percent(low)} of {level!r}", told, column=column, value_set=[level], mostly=low))  # fmt: skip
        if high < 1:
            out.append(_set(f"share of {level}", "column_values_to_not_be_in_set", f"at most {_percent(high)} of {level!r}", told, column=column, value_set=[level], mostly=1 - high))  # fmt: skip
    return out


def _numbers(place: _Place, was: Figures) -> list[Expectation]:
    low, high, whole = (np.array(side) for side in was["quantiles"])
    widest = np.maximum(whole[3] - whole[1], np.abs(whole - whole[2]))
    constant = widest <= 0
    noise = (2 if place.count else 5) * widest / np.sqrt(place.rows)  # of which past windows already show some
    floor = FLOORS["quantiles"] * widest + noise
    if was["kind"] == "hour":
        floor = np.full(len(QUANTILES), FLOORS["hour"])
    else:
        floor[constant] = np.maximum(0.5 * np.abs(whole[constant]), 1.0)
    moved = np.maximum(high - low - 6 * widest / np.sqrt(place.rows), 0)  # beyond chance: by a season, or with time
    more = SEASON * (1 - place.seen) + PACE * place.elapsed / max(place.count, 1)
    slack = floor * (1 if place.count or was["kind"] == "hour" else 2)
    margin = place.wider() * (high - low) + more * moved + slack
    below, above = low - margin, high + margin
    # A twentieth may become a hundredth: after midnight, or beyond a gap, that is far away.
    below[0], above[-1] = min(below[0], was["tails"][0]), max(above[-1], was["tails"][1])
    # Where a quarter moves by half of the middle half, the rows beyond it may be gone: a week without wind from the west.
    roams = high - low > widest / 2
    if roams[1]:
        above[0] = max(above[0], above[1])
    if roams[-2]:
        below[-1] = min(below[-1], below[-2])
    ranges = [[float(a), float(b)] for a, b in zip(below, above, strict=True)]
    told = ", ".join(_number(v) for v in whole)
    said = f"a median of {_number(ranges[2][0])} to {_number(ranges[2][1])}, and all else as wide"
    out = [_set("quantiles", "column_quantile_values_to_be_between", said, told, column=place.column, quantile_ranges={"quantiles": list(QUANTILES), "value_ranges": ranges}, allow_relative_error=False)]  # fmt: skip
    if "std" not in was:
        return out
    least = was["std"][0] / _factor(was["std"][0], was["std"][1], place) / 3
    # Of a column that is mostly one value all rows may have it: a week without rain.
    if least > 0 and whole[1] < whole[3]:
        out.append(_set("spread", "column_stdev_to_be_between", f"a standard deviation of {_number(least)} or more", _range(was["std"], place, _number), column=place.column, min_value=least))  # fmt: skip
    first, last = was["range"]
    reach = max(last - first, 0.5 * max(abs(first), abs(last)), 1e-9) * (1 + PACE * place.elapsed / max(place.count, 1))
    out.append(_set("range", "column_values_to_be_between", f"98% from {_number(first - reach)} to {_number(last + reach)}", f"{_number(first)} to {_number(last)}", column=place.column, min_value=first - reach, max_value=last + reach, mostly=0.98))  # fmt: skip
    most = place.above(was["odd"], FLOORS["odd"])
    if most < 0.95:
        out.append(_set("stand-ins", "column_values_to_not_be_in_set", f"at most {_percent(most)} of 0, -1, 999 and the like", _range(was["odd"], place, _percent), column=place.column, value_set=list(ODD), mostly=1 - most))  # fmt: skip
    return out


def _levels(place: _Place, was: Figures) -> list[Expectation]:
    column, count = place.column, place.count
    low, high, whole = was["distinct"]
    if count:
        least, most = _ratio(low, high, 1.5, count, place.elapsed)
    else:
        least, most = 0.5 * whole, 2.0 * whole + 2
    out = [_set("categories", "column_unique_value_count_to_be_between", f"{int(np.ceil(least)):,} to {int(most):,} categories", _range(was["distinct"], place, "{:,}".format), column=column, min_value=int(np.ceil(least)), max_value=max(int(most), 2))]  # fmt: skip
    if was.get("levels") is None:
        return out
    new = was["new"] or 0.0
    top = new * (1 + place.elapsed) * (1.5 + (4 / count if count else 0)) + FLOORS["new"] * (1 if count else 3)
    top += 4 * float(np.sqrt(max(new, 1 / place.rows) * (1 - min(new, 1.0)) / place.rows))
    if top < 0.95:
        out.append(_set("new categories", "column_values_to_be_in_set", f"at most {_percent(top)} of rows in new categories", _percent(new), column=column, value_set=was["levels"], mostly=1 - top))  # fmt: skip
    sizes = len(was["shares"])
    most = (2 if count else 1) * was["moved"] + (0.15 if count else 0.3) + 2 * sizes / place.rows + top
    out.append(_set("shares", "column_kl_divergence_to_be_less_than", f"shares of categories that diverge by {most:.2g} at most", f"{was['moved']:.2g}", column=_group(column), partition_object={"values": list(was["shares"]), "weights": _ones(was["shares"])}, threshold=most))  # fmt: skip
    return out


def _group(column: str) -> str:
    return f"{column} (rare ones as one)"


def _grouped(rows: pd.DataFrame, then: Figures) -> pd.DataFrame:
    """The rows with their categories again, those that are rare or new as one."""
    more = {
        _group(c): rows[c].where(rows[c].isna() | rows[c].isin(list(was["shares"])), OTHER)
        for c, was in then["columns"].items()
        if was["kind"] == "categorical" and was.get("shares") and c in rows and not is_numeric_dtype(rows[c])
    }
    return rows.assign(**more)


def _ones(shares: dict[str, float]) -> list[float]:
    weights = np.array(list(shares.values()))
    return [float(w) for w in weights / weights.sum()]


def _repeated(part: Part, then: Figures, count: int, elapsed: float) -> list[Expectation]:
    place = _Place("", part, max(len(part.columns), 1), count, elapsed)
    most = place.above(then["repeated"], 0.1)
    columns = list(part.kinds)
    if most >= 1 or len(columns) < 2:
        return []
    return [_set("repeated rows", "compound_columns_to_be_unique", f"at most {_percent(most)} of rows like another", _range(then["repeated"], place, _percent), column_list=columns, ignore_row_if="never", mostly=1 - most)]  # fmt: skip


def _factor(low: float, high: float, place: _Place) -> float:
    return float((high / low) ** place.wider()) if low > 0 else np.inf


def _wider(count: int, elapsed: float) -> float:
    """By how much of its width a band of ``count`` windows is widened on either side, so many windows later."""
    return (0.5 + 4 / count) * (1 + min(elapsed / count, AGED))


def _ratio(low: float, high: float, slack: float, count: int, elapsed: float) -> tuple[float, float]:
    """A band for what grows by shares: as far beyond the lowest and the highest as they are from each other, and a slack.

    >>> _ratio(100, 100, 2.0, 40, 0.0)
    (50.0, 200.0)
    """
    low, high = max(low, 1), max(high, 1)
    wider = (high / low) ** _wider(count, elapsed) * slack
    return low / wider, high * wider


# Words -----------------------------------------------------------------------------------------------------


def _set(check: str, kind: str, said: str, was: str = "", **kwargs: Any) -> Expectation:
    meta = {"level": "set", "check": check, "said": said, "was": was}
    return {"type": f"expect_{kind}", "kwargs": {k: v for k, v in kwargs.items() if v is not None}, "meta": meta}


def _range(was: list[float], place: _Place, form: Callable[[float], str]) -> str:
    return f"{form(was[0])} to {form(was[1])}" if place.count and was[0] != was[1] else form(was[2])


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.4g}"


def _days(length: pd.Timedelta) -> str:
    hours = length / pd.Timedelta(hours=1)
    return f"{hours / 24:.10g} days" if hours % 24 == 0 else f"{hours:.10g} hours"


def _column_of(rule: Expectation) -> str:
    return (
        "table"
        if rule["meta"]["check"] in ("rejected rows", "keys", "repeated rows", "order of columns")
        else subject(rule)
    )


def _found(result: gx.Result) -> str:
    """What came, in the words of what was expected."""
    meta, kind = result.rule["meta"], result.rule["type"]
    if result.share is not None:
        kept = meta["check"] == "keys" or (meta["check"].startswith("share of ") and "_not_" not in kind)
        return _percent(1 - result.share if kept else result.share)
    found = result.found
    if meta["check"] == "freshness" and found and isinstance(found, str | int | float):
        return f"{pd.Timestamp(found):%Y-%m-%d %H:%M}"
    if meta["check"] == "missing values":
        return _percent(1 - (found if isinstance(found, int | float) else 0.0))
    if isinstance(found, dict) and isinstance(values := found.get("values"), list):
        numbers = [float(v) if isinstance(v, int | float) else None for v in values]
        bounds = result.rule["kwargs"]["quantile_ranges"]["value_ranges"]
        named = (
            "the lowest twentieth",
            "the lower quarter",
            "the median",
            "the upper quarter",
            "the highest twentieth",
        )
        wrong = [
            f"{word} at {'nothing' if v is None else _number(v)}{'' if word == 'the median' else f' ({_number(a)} to {_number(b)})'}"
            for word, v, (a, b) in zip(named, numbers, bounds, strict=True)
            if v is None or not a <= v <= b
        ]
        return "; ".join(wrong) or ", ".join(_number(v) for v in numbers if v is not None)
    if isinstance(found, list):
        return some(found)
    if isinstance(found, float):
        return _number(found)
    return f"{found:,}" if isinstance(found, int) else str(found)


def _finding(look: _Look, result: gx.Result) -> RuleResult:
    rule = result.rule
    return RuleResult(
        table=look.table,
        scope=look.scope,
        check=rule["meta"]["check"],
        expectation=rule["type"],
        about=_column_of(rule),
        level=rule["meta"]["level"],
        expected=rule["meta"]["said"],
        was=rule["meta"]["was"],
        found=_found(result),
        success=result.success,
    )
