"""Every mistake in ``params.yaml`` is refused with its line, the key's path, what was found and the nearest name."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import params
from tasks.errors import RefitError
from tasks.params import Column, Duration, Moment, Table, Target, load, parse
from tasks.values.durations import UNITS
from tasks.values.missing import USUAL
from tasks.values.reading import Reading

FLIGHTS = Path(__file__).parents[2] / "params.yaml"

SMALL = """\
problem:
  name: churn
  kind: binary
  table: customers
  target: left
  prediction_time: asked_at
data:
  tables:
    customers:
      source: customers.csv
      key: [id]
      event_time: left_at
      known_at: left_at + 1d
      outcome: [left, left_at]
      columns:
        id: categorical
        asked_at: datetime
        age: {kind: numeric, min: 0, max: 120}
        town: {kind: categorical, allowed: [Bonn, Kiel]}
        notes: text
        spare: ignore
        left: boolean
        left_at: datetime
    towns:
      source: towns.csv
      columns: {town: categorical, people: numeric}
features:
  columns: [age, town]
  lookups:
    - {table: towns, on: town, columns: [people]}
  history:
    - {table: customers, by: [town], windows: [7d, all, last 5], columns: {left: [mean]}}
split: {kind: time, valid: 30d, test: 30d}
models:
  logistic: {trials: 3}
  xgboost:
tuning:
  trials: 8
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(tmp_path: Path, old: str, new: str) -> str:
    """The message for ``SMALL`` with one piece replaced, without the folder."""
    assert SMALL.count(old) == 1, old
    with pytest.raises(RefitError, match=re.escape("params.yaml")) as caught:
        load(written(tmp_path, SMALL.replace(old, new)))
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_the_bundled_file_loads() -> None:
    flights = load(FLIGHTS)
    assert flights.problem.target.name == "late"
    assert flights.problem.prediction_time == Moment(column="sched_dep_at", offset_micros=-2 * 3600 * 10**6)
    assert flights.data.as_of == datetime(2013, 10, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert flights.data.tables["planes"].columns["type"] == Column(kind="categorical")


def test_short_forms_mean_the_long_ones(tmp_path: Path) -> None:
    small = load(written(tmp_path, SMALL))
    assert small.problem.target == Target(column="left", name="left")
    assert small.problem.metric == "roc_auc"
    assert small.features.lookups[0].on == {"town": "town"}
    assert small.features.history[0].by == (("town",),)
    assert small.models["xgboost"] == params.FamilyParams()
    assert small.data.tables["customers"].known_at == Moment(column="left_at", offset_micros=86_400_000_000)


def test_parameters_are_frozen(tmp_path: Path) -> None:
    small = load(written(tmp_path, SMALL))
    with pytest.raises(ValueError, match="frozen"):
        small.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # keys
        ("tuning:", "tunning:", "params.yaml:37: tunning: unknown key. Did you mean 'tuning'?"),
        ("trials: 8", "trails: 8", "params.yaml:38: tuning.trails: unknown key. Did you mean 'trials'?"),
        ("trials: 8", "zzz: 8", "Allowed: 'sampler', 'pruner', 'trials'"),
        ("min: 0", "minn: 0", "params.yaml:18: data.tables.customers.columns.age.minn: unknown key. Did you mean 'min'"),
        ("{table: towns, on: town,", "{table: towns, in: town,", "features.lookups[0].in: unknown key."),
        ("{table: towns, on: town,", "{table: towns,", "features.lookups[0].on: missing; add it."),
        ("  kind: binary\n", "", "params.yaml:1: problem.kind: missing; add it."),
        (
            "  target: left\n",
            "",
            "problem.target: missing; name the column that is predicted, which kind 'binary' needs.",
        ),
        # kinds of value
        ("trials: 8", "trials: many", "tuning.trials: expected a whole number; found 'many'."),
        ("trials: 8", "trials: 2.5", "tuning.trials: expected a whole number; found 2.5."),
        ("trials: 8", "trials: 0", "params.yaml:38: tuning.trials: must be at least 1; found 0."),
        ("trials: 8", "seconds: -1", "tuning.seconds: must be greater than 0; found -1."),
        ("key: [id]", "key: id", "data.tables.customers.key: expected a list, as in [a, b]; found 'id'."),
        ("models:\n  logistic: {trials: 3}\n  xgboost:", "models: logistic", "models: expected a mapping"),
        ("trials: 8", "trials: 8\nserving: {host: 127}", "serving.host: expected text; found 127."),
        ("trials: 8", "trials: 8\nserving: {port: 70000}", "serving.port: must be at most 65535; found 70000."),
        ("kind: binary", "kind: binry", "problem.kind: must be one of 'binary', 'multiclass', 'regression'; found 'binry'. Did you mean 'binary'?"),
        ("notes: text", "notes: txt", "columns.notes: must be one of 'numeric', 'categorical', 'boolean', 'datetime', 'text', 'ignore'; found 'txt'. Did you mean 'text'?"),
        ("name: churn", "name: my churn", "problem.name: must match"),
        ("columns: [age, town]", "columns: aut", "features.columns: expected a list, as in [a, b] or must be one of 'auto'; found 'aut'. Did you mean 'auto'?"),
        ("    towns:", "    ../towns:", "data.tables.../towns: must match"),
        # times
        ("valid: 30d", "valid: 30 days", "split.valid: a duration is a number and one of s, m, h, d, w, as in 3h or 28d"),
        ("valid: 30d", "valid: 0d", "split.valid: a duration must be longer than nothing"),
        ("valid: 30d", "valid: 0.6", "params.yaml:33: split.valid: a time split needs a duration such as 30d, or a share of the rows between 0 and 0.5; found 0.6."),
        ("kind: time", "kind: random", "split.valid: a random split needs a share between 0 and 0.5; found '30d'."),
        ("windows: [7d,", "windows: [7 d,", "features.history[0].windows[0]: a window is a duration (3h, 7d), 'all', or a number of events as in 'last 5'; found '7 d'."),
        ("last 5", "last 0", "features.history[0].windows[2]: a window is"),
        ("prediction_time: asked_at", "prediction_time: asked_at - soon", "problem.prediction_time: a moment is a column, or a column plus or minus a duration"),
        ("  tables:\n", "  as_of: 2013-10-31\n  tables:\n", 'data.as_of: a moment is a date or an ISO time in quotes, as in "2013-10-31"'),
        ("  tables:\n", "  as_of: tomorrow\n  tables:\n", "data.as_of: a moment is a date or an ISO time, as in 2013-10-31 or 2013-10-31T18:00:00Z; found 'tomorrow'."),
        # names that point elsewhere
        ("table: customers\n", "table: customer\n", "params.yaml:4: problem.table: 'customer' is not one of 'customers', 'towns'. Did you mean 'customers'?"),
        ("target: left\n", "target: lft\n", "problem.target.column: 'lft' is not one of 'id', 'asked_at', 'age', 'town', 'notes', 'spare', 'left', 'left_at'. Did you mean 'left'?"),
        ("key: [id]", "key: [ident]", "data.tables.customers.key: 'ident' is not one of"),
        ("outcome: [left, left_at]", "outcome: [left, leftat]", "outcome: 'leftat' is not one of 'id', 'asked_at', 'age', 'town', 'notes', 'spare', 'left', 'left_at'. Did you mean 'left_at'?"),
        ("columns: [age, town]", "columns: [agge, town]", "params.yaml:28: features.columns: 'agge' is not one of"),
        ("table: towns, on: town,", "table: town, on: town,", "features.lookups[0].table: 'town' is not one of 'customers', 'towns'. Did you mean 'towns'?"),
        ("on: town, columns: [people]", "on: city, columns: [people]", "features.lookups[0].on: 'city' is not one of"),
        ("on: town, columns: [people]", "on: town, columns: [peple]", "features.lookups[0].columns: 'peple' is not one of 'town', 'people'. Did you mean 'people'?"),
        ("by: [town]", "by: [[town, agee]]", "features.history[0].by: 'agee' is not one of"),
        ("columns: {left: [mean]}", "columns: {lft: [mean]}", "features.history[0].columns: 'lft' is not one of"),
        ("table: customers, by", "table: custmers, by", "features.history[0].table: 'custmers' is not one of"),
        ("  xgboost:", "  xgbost:", "models: 'xgbost' is not one of"),
        ("trials: 8", "trials: 8\npromotion: {cluster: [twn]}", "promotion.cluster: 'twn' is not one of"),
        ("trials: 8", "trials: 8\npromotion: {metric: rmze}", "promotion.metric: 'rmze' is not one of"),
        # what cannot go together
        ("kind: binary", "kind: binary\n  metric: rmse", "problem.metric: 'rmse' is not one of 'roc_auc', 'average_precision'"),
        ("kind: binary", "kind: regression\n  metric: rsme", "Did you mean 'rmse'?"),
        ("kind: binary", "kind: regression", "problem.target.column: column 'left' must be of kind numeric, and is declared 'boolean'."),
        ("target: left\n", "target: {column: left, above: 3, name: late}\n", "column 'left' must be of kind numeric"),
        ("target: left\n", "target: {column: left, above: 3, name: left}\n", "problem.target.name: with `above` it must differ from `column`; found 'left'."),
        ("target: left\n", "target: {column: age, above: 3, name: town}\n", "problem.target.name: 'town' is already a column of 'customers'; found 'town'."),
        ("target: left\n", "target: {column: age, above: 3, positive: 1}\n", "problem.target.positive: with `above` the positive class is what lies above; leave one out; found 1."),
        ("kind: binary\n  table: customers\n  target: left", "kind: multiclass\n  table: customers\n  target: {column: left, above: 1}", "problem.kind: target.above makes a binary target, and kind is 'multiclass'"),
        ("kind: binary\n  table: customers\n  target: left", "kind: multiclass\n  table: customers\n  target: {column: left, positive: 1}", "problem.target.positive: only a binary problem has a positive class"),
        ("target: left\n", "target: notes\n", "column 'notes' of kind 'text' cannot be a target."),
        ("outcome: [left, left_at]", "outcome: [left_at]", "data.tables.customers.outcome: the target 'left' must be listed, since it is known only later."),
        ("columns: [age, town]", "columns: [age, left_at]", "features.columns: 'left_at' is an outcome of the row itself, and would leak."),
        ("columns: [age, town]", "columns: [age, spare]", "features.columns: column 'spare' is declared `ignore`, so it is not read; declare its kind."),
        ("columns: [age, town]", "columns: [age]\n  dates: {age: [month]}", "features.dates: column 'age' must be of kind datetime, and is declared 'numeric'."),
        ("prediction_time: asked_at", "prediction_time: age", "problem.prediction_time: column 'age' must be of kind datetime"),
        ("prediction_time: asked_at", "prediction_time: left_at", "problem.prediction_time: 'left_at' is an outcome, known only after the fact."),
        ("      event_time: left_at\n", "", "data.tables.customers.known_at: needs event_time"),
        ("      known_at: left_at + 1d\n", "", "data.tables.customers.outcome: needs known_at"),
        ("key: [id]", "key: [left_at]", "data.tables.customers.key: 'left_at' is an outcome, and a key must be known from the start."),
        ("min: 0, max: 120", "min: 121, max: 120", "params.yaml:18: data.tables.customers.columns.age.min: 121 is above max 120, so no value would be allowed; found 121."),
        ("allowed: [Bonn, Kiel]", "max: 3", "columns.town.max: only a numeric column has bounds, and kind is 'categorical'; found 3."),
        ("min: 0, max: 120", "allowed: [a]", "columns.age.allowed: only a categorical or text column has a list, and kind is 'numeric'"),
        ("on: town, columns: [people]", "on: town, within: 3d, columns: [people]", "features.lookups[0].within: table 'towns' has no known_at, so its rows have no age."),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in mistakes(tmp_path, old, new)


UNTIMED = SMALL.replace("  prediction_time: asked_at\n", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UNTIMED.replace("spare: ignore", "spare: datetime"), "'time' needs problem.prediction_time: name one of 'asked_at', 'spare' there, or use kind: random."),
        (UNTIMED.replace("asked_at: datetime", "asked_at: text"), "'time' needs problem.prediction_time: declare a column datetime, or use kind: random."),
        (UNTIMED.replace("{kind: time, valid: 30d, test: 30d}", "{kind: random}"), "features.history[0]: history needs problem.prediction_time"),
    ],
)  # fmt: skip
def test_a_moment_of_prediction_that_is_not_clear_is_asked_for(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RefitError, match=re.escape(expected)):
        load(written(tmp_path, text))


def test_a_time_split_takes_one_edit() -> None:
    """``kind: time`` alone: shares stay as they are, and the only time of the table is the moment of prediction."""
    tree = tree_of(UNTIMED.replace("{kind: time, valid: 30d, test: 30d}", "{kind: random, valid: 0.1, test: 0.2}"))
    del tree["features"]["history"]
    assert parse(tree).problem.prediction_time is None
    tree["split"]["kind"] = "time"
    found = parse(tree)
    assert found.problem.prediction_time == Moment(column="asked_at")
    assert (found.split.valid, found.split.test) == (0.1, 0.2)
    tree["data"]["tables"]["customers"] |= {"event_time": "seen - 1h", "known_at": "left_at"}
    tree["data"]["tables"]["customers"]["columns"]["seen"] = "datetime"
    assert parse(tree).problem.prediction_time == Moment.model_validate("seen - 1h")


@pytest.mark.parametrize(
    ("text", "column", "hours"),
    [("a", "a", 0), ("a - 2h", "a", -2), ("order date", "order date", 0), ("order date + 1d", "order date", 24), ("a-2h", "a", -2)],
)  # fmt: skip
def test_a_moment_may_be_of_a_column_with_spaces(text: str, column: str, hours: int) -> None:
    assert Moment.model_validate(text) == Moment(column=column, offset_micros=hours * 3_600_000_000)


def test_classes_and_allowed_values_are_levels() -> None:
    assert Column(kind="categorical", allowed=[1, 2.0, "3.0", " x ", True]).allowed == ("1", "2", "3", "x", "True")
    assert Column(kind="text", allowed=["3.0"]).allowed == ("3.0",)
    for written_as, level in ((1, "1"), (1.0, "1"), ("1.0", "1"), (True, "True"), ("yes", "yes")):
        assert Target(column="y", positive=written_as).positive == level


def test_the_format_of_a_time_is_checked() -> None:
    for form in ("iso", "epoch_s", "epoch_ms", "excel", "%d.%m.%Y", "%m/%d/%Y %H:%M", "%Y%m"):
        assert Column(kind="datetime", format=form).format == form
    for form in ("epoch", "dd.mm.yyyy", "%d.%m", "%H:%M", "%q%Y%m"):
        with pytest.raises(ValueError, match=r"a format is one of 'iso', .* or a pattern with year and month such as"):
            Column(kind="datetime", format=form)
    with pytest.raises(ValueError, match="only a datetime or numeric column has one, and kind is 'categorical'"):
        Column(kind="categorical", format="%Y%m%d")


def test_the_format_of_a_number_is_checked() -> None:
    for form in (
        "1,234.50",
        "1.234,50",
        "1 234,50",
        "1'234.50",
        "1,23,456.50",
        "1234,5",
        "$5",
        "12.5%",
        "(1.5)",
        "0xFF",
    ):
        assert Column(kind="numeric", format=form).format == form
    for form, why in (("%Y%m%d", "is one of them as the column writes it"), ("1.234", "may be one thousand or one and"),
                      ("1.23.456", "is not written as numbers are"), ("45k", "'k' in '45k' multiplies the number")):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            Column(kind="numeric", format=form)


def test_what_is_missing_is_told_by_column(tmp_path: Path) -> None:
    def column(name: str, missing: str) -> Column:
        ways = {"all": "[NA, null, -9, '']", "by column": "{t.a: [''], y: [NA]}", "by a wrong one": "{b: ['']}"}
        data = f"missing: {ways[missing]}\n  " if missing in ways else ""
        spec = "categorical" if missing in (*ways, "none") else f"{{kind: categorical, missing: {missing}}}"
        text = f"""problem: {{name: p, kind: regression, table: t, target: y}}
data:
  {data}tables:
    t: {{source: t.csv, columns: {{y: numeric, {name}: {spec}}}}}
models: {{ridge: {{}}}}
"""
        return load(written(tmp_path, text)).data.tables["t"].columns[name]

    assert Reading.of(column("a", "none")).missing == USUAL
    assert Reading.of(column("a", "all")).missing == ("NA", "null", "-9", "")
    assert Reading.of(column("a", "['']")).missing == Reading.of(column("a", "by column")).missing == ("",)
    with pytest.raises(RefitError, match="missing: 'b' is no column"):
        column("a", "by a wrong one")
    assert Reading.of(column("a", "[usual, unknown]")).missing == (*USUAL, "unknown")
    with pytest.raises(RefitError, match="missing is a list of texts"):
        column("a", "unknown")
    with pytest.raises(ValueError, match="only a categorical column has one, and kind is 'numeric'"):
        Column(kind="numeric", case="lower")


@pytest.mark.parametrize(("key", "way"), [("imbalance", "smote"), ("calibration", "sigmoid")])
def test_what_needs_classes_is_refused_for_a_number_before_anything_runs(tmp_path: Path, key: str, way: str) -> None:
    text = SMALL.replace("kind: binary", "kind: regression").replace(
        "trials: 8", f"trials: 8\ntraining: {{{key}: {way}}}"
    )
    with pytest.raises(RefitError, match=rf"training.{key}: '{way}' needs classes, and problem.kind is 'regression'"):
        load(written(tmp_path, text))


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("trials: 8", "trials: 0").replace("notes: text", "notes: txt").replace("name: churn", "nam: c")
    with pytest.raises(RefitError, match=r"problem\.name: missing") as caught:
        load(written(tmp_path, text))
    lines = str(caught.value).split("\n")
    assert len(lines) == 4
    assert [re.search(r"yaml:(\d+)", line).group(1) for line in lines] == ["1", "2", "20", "38"]  # type: ignore[union-attr]


def test_history_may_use_the_derived_target() -> None:
    assert "late" in load(FLIGHTS).features.history[0].columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a mapping with the sections 'seed', 'problem', 'data'"),
        ("- 1\n- 2\n", "expected a mapping with the sections"),
        ("seed: [1\nmodels: 3\n", "params.yaml:2:7: not valid YAML"),
        ("seed: 1\nseed: 2\n", 'params.yaml:2:1: not valid YAML: found duplicate key "seed"'),
        ("a: b: c\n", "params.yaml:1:5: not valid YAML: mapping values are not allowed here"),
        ("seed: 1\n\tmodels: 2\n", "not valid YAML"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RefitError, match=re.escape(expected)):
        load(written(tmp_path, text))


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match=r"params\.yaml: no such file\. Run `refit init --data FILE"):
        load(tmp_path / "params.yaml")


def test_a_file_in_latin1_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes("# Größe\n".encode("latin-1"))
    with pytest.raises(RefitError, match="not UTF-8"):
        load(tmp_path / "params.yaml")


def test_a_tree_without_lines_is_explained_too() -> None:
    with pytest.raises(RefitError, match=r"^here: models\.logistic\.trials: must be at least 1; found 0\.$"):
        parse(tree_of(SMALL) | {"models": {"logistic": {"trials": 0}}}, "here")


def tree_of(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)


@given(st.integers(1, 10**6), st.sampled_from("smhdw"))
def test_durations_are_exact(count: int, unit: str) -> None:
    seconds = count * UNITS[unit]
    assert Duration(f"{count}{unit}").delta == timedelta(seconds=seconds)
    assert Duration(f"{count}{unit}").micros == seconds * 10**6


@given(st.integers(1, 9999), st.sampled_from("smhdw"), st.sampled_from("+-"))
def test_moments_keep_their_offset(count: int, unit: str, sign: str) -> None:
    micros = count * UNITS[unit] * 10**6
    for text in (f"at {sign} {count}{unit}", f"at{sign}{count}{unit}"):
        assert Moment.model_validate(text) == Moment(column="at", offset_micros=micros if sign == "+" else -micros)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))
def test_as_of_without_a_zone_is_utc(moment: datetime) -> None:
    assert params.parse_moment(moment.isoformat()) == moment.replace(tzinfo=UTC)
    assert params.parse_moment(moment.isoformat() + "+02:00") == moment.replace(tzinfo=UTC) - timedelta(hours=2)


@given(st.text(max_size=12))
def test_any_text_as_a_duration_is_accepted_or_refused(text: str) -> None:
    tree = tree_of(SMALL)
    tree["split"]["valid"] = text
    if re.fullmatch(r"\d+(\.\d+)?[smhdw]", text) and float(text[:-1]) > 0:
        assert parse(tree).split.valid == text
    else:
        with pytest.raises(RefitError, match=r"split\.valid: "):
            parse(tree)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(sorted(params.Params.model_fields)),
)
def test_no_value_of_a_section_gives_anything_but_a_refit_error(value: Any, section: str) -> None:
    tree = tree_of(SMALL) | {section: value}
    with contextlib.suppress(RefitError):
        assert parse(tree).seed >= 0


def test_tables_can_be_made_alone() -> None:
    table = Table.model_validate({"source": "a.csv", "columns": {"a": "numeric"}})
    assert table.columns["a"].nullable
