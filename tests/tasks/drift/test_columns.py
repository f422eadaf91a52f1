"""Drift of a table: planted changes are named in a sentence, ordinary ones are not, and all that is shown agrees."""

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import Distribution, DriftOfColumn
from tasks.drift.columns import distribution, entry, psi
from tasks.drift.evidently_measures import MEASURES, OWN, measure
from tasks.drift.table import Reference, Summed, compare_table, drawable, evidently, listed, summarise, thresholds
from tasks.fitting.rows import with_scores
from tasks.ordinary.checks import look
from tasks.ordinary.record import PREDICTION, WEEK, Record, make

KINDS = {"x": "numeric", "skewed": "numeric", "letter": "categorical"}


def table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(50, 10, rows),
            "skewed": np.where(rng.random(rows) < 0.02, np.nan, rng.gamma(2, 1, rows)),
            "letter": pd.array(rng.choice(list("abc"), rows, p=[0.5, 0.3, 0.2]), dtype="str"),
            "__split__": np.where(np.arange(rows) % 5 == 0, "test", "train"),
            "score_0": np.nan,
            "score_1": rng.beta(2, 5, rows),
        }
    )


def made(rows: int = 5000, seed: int = 1) -> Reference:
    sample = table(rows, seed)
    never = pd.Series(pd.NaT, index=sample.index, dtype="datetime64[us, UTC]")
    test = (sample["__split__"] == "test").to_numpy()
    answers = make(pd.DataFrame({PREDICTION: sample.loc[test, "score_1"]}), {PREDICTION: "numeric"}, never[test], None)
    record = make(sample, KINDS, never, None)
    return Reference(Record(record.columns, answers=answers), sample, "3", "f" * 64)


def test_a_feature_may_be_called_as_scores_are():
    """In the sample of a package the scores stand last, and are told apart from a column of the same name."""
    plain = made(100)
    own = plain.sample[["__split__"]].assign(score=1.0, score_1=2.0).reset_index(drop=True)
    scores = plain.sample[["score_0", "score_1"]].to_numpy()
    sample = with_scores(own, scores)
    assert sample.columns.is_unique
    assert np.array_equal(sample[["score", "score_1"]], own[["score", "score_1"]])
    held_out = replace(plain, sample=sample).scores
    assert np.array_equal(held_out, scores[own["__split__"] == "test"], equal_nan=True)
    numbers = replace(plain, sample=with_scores(own, scores[:, 1])).scores
    assert np.array_equal(numbers, scores[own["__split__"] == "test", 1])


@dataclass(frozen=True)
class Looked:
    """What was found, and its sum."""

    entries: list[DriftOfColumn]
    prediction: DriftOfColumn
    summed: Summed

    @property
    def columns(self) -> dict[str, DriftOfColumn]:
        return {one.column: one for one in self.entries}


def looked(reference: Reference, now: pd.DataFrame, given: pd.Series | None = None) -> Looked:
    told = pd.Series(reference.scores[:, 1])
    given = now["score_1"] if given is None else given
    columns, prediction = compare_table(reference, [now], [given], KINDS, told, WEEK, None)
    return Looked(columns, prediction, summarise(columns, prediction, 0.5, reference.who()))


def test_unchanged_rows_are_stable_and_the_sentence_says_so():
    found = looked(made(), table(1000, 2))
    assert not found.summed.drifted
    assert found.summed.sentence == (
        "No drift against the champion (version 3): 3 columns and the predictions are as ordinary."
    )
    assert {c.state for c in found.entries} == {"stable"}


def test_one_changed_column_is_drift_and_named():
    """However many are not: a share of the table decides no longer."""
    now = table(1000, 2)
    now.loc[now.index % 50 == 0, "x"] *= 1000
    found = looked(made(), now)
    assert (found.summed.drifted, found.summed.share) == (True, pytest.approx(1 / 3))
    assert found.summed.sentence == (
        "Drift against the champion (version 3) in 1 of 3 columns: `x`: 2% of the values lie far outside all that was "
        "seen, about 1,000 times the usual size (another unit?)."
    )
    assert found.summed.alarms[0].column == "x"
    assert "unit" in found.summed.alarms[0].kinds


@pytest.mark.parametrize(
    ("change", "column", "kind", "said"),
    [
        (lambda t: t.assign(x=t["x"] + 60), "x", "shift", "higher (median"),
        (lambda t: t.assign(x=t["x"] - 3), "x", "shift", "lower (median"),
        (lambda t: t.assign(x=50 + (t["x"] - 50) * 1.5), "x", "spread", "more spread out"),
        (lambda t: t.assign(skewed=t["skewed"].where(t.index % 11 != 0)), "skewed", "missing values", "are missing (2"),
        (
            lambda t: t.assign(letter=t["letter"].where(t.index % 100 != 0, "z")),
            "letter",
            "new category",
            "new category 'z' in 1%",
        ),
        (
            lambda t: t.assign(letter=t["letter"].where(t.index % 20 != 0, "z")),
            "letter",
            "new category",
            "new category 'z' in 5%",
        ),
        (lambda t: t.assign(letter=t["letter"].replace({"b": "B"})), "letter", "new category", "new category 'B'"),
        (
            lambda t: t.assign(letter=t["letter"].where(t.index % 3 != 0, "c")),
            "letter",
            "shares",
            "'c' is 48% of the rows (1",
        ),
    ],
)
def test_each_kind_of_change_has_an_alarm_of_its_own(change, column, kind, said):
    found = looked(made(), change(table(1000, 2)))
    assert [c.column for c in found.entries if c.drifted] == [column]
    assert kind in found.columns[column].alarms
    assert said in found.columns[column].said
    assert f"`{column}`" in found.summed.sentence


@pytest.mark.parametrize(
    ("column", "then", "now", "state"),
    [
        ("x", 0.3, 0.3, "stable"), ("letter", 0.3, 0.3, "stable"), ("x", 1.0, 1.0, "stable"),
        ("x", 0.3, 0.0, "drifted"), ("letter", 0.3, 0.6, "drifted"), ("x", 0.0, 0.03, "drifted"),
    ],
)  # fmt: skip
def test_a_share_of_missing_values_is_drift_where_it_changes(column: str, then: float, now: float, state: str):
    def gaps(rows: int, seed: int, share: float) -> pd.DataFrame:
        made = table(rows, seed)
        return made.assign(**{column: made[column].where(np.random.default_rng(seed).random(rows) >= share)})

    sample = gaps(5000, 1, then)
    record = make(sample, KINDS, pd.Series(pd.NaT, index=sample.index, dtype="datetime64[us, UTC]"), None)
    found = compare_table(Reference(record, sample, None, ""), [gaps(1000, 2, now)], [], KINDS, None, WEEK, None)[0]
    one = {c.column: c for c in found}
    assert {c.state for c in found if c.column != column} == {"stable"}
    assert one[column].state == state
    assert one[column].alarms == (["missing values"] if state == "drifted" else [])
    assert one[column].missing == pytest.approx([then, now], abs=0.03)


def test_the_answers_have_an_alarm_of_their_own():
    now = table(1000, 2)
    found = looked(made(), now, now["score_1"] ** 0.5)
    assert found.prediction.drifted
    assert found.summed.share == 0
    assert found.summed.drifted
    assert found.summed.sentence.startswith(
        "Drift against the champion (version 3) in the predictions: the predictions: values are"
    )


def test_a_table_whose_columns_were_replaced_has_drifted_as_a_whole():
    now = table(1000, 2).assign(letter="q")
    now["x"], now["skewed"] = now["x"] + 60, now["skewed"] - 80
    found = looked(made(), now)
    assert found.summed.share == 1
    assert "100% of the table" in found.summed.sentence


def test_two_weeks_see_what_one_does_not():
    """A shift of 0.2 standard deviations over the newest two windows."""
    rng = np.random.default_rng(5)
    values = pd.Series(rng.normal(size=60_000))
    time = pd.Series(pd.date_range("2023-01-01", periods=60_000, freq=WEEK / 1000, tz="UTC"))
    record = make(pd.DataFrame({"x": values}), {"x": "numeric"}, time, WEEK)
    end = time.max() + 2 * WEEK
    now = [pd.Series(rng.normal(0.2, 1, n)) for n in (1000, 2000)]
    measured = [measure({"x": (record.columns["x"], one)})["x"] for one in now]
    told = entry(record.columns["x"], values[:1000], now, 60, 1, (end - record.end) / WEEK, 52, measured)
    assert (told.drifted, told.windows, told.past_windows, told.limit) == (True, 2, 59, "past windows")
    alone = entry(record.columns["x"], values[:1000], now[:1], 60, None, None, None, measured)
    assert (alone.drifted, alone.past_windows, alone.limit) == (False, 0, "parametric")


def test_more_false_alarms_a_year_see_smaller_shifts():
    reference, now = made(), table(1000, 2)
    now["x"] += 2.4
    told = pd.Series(reference.scores[:, 1])

    def drifted(alarms: float) -> list[str]:
        columns, _ = compare_table(reference, [now], [now["score_1"]], KINDS, told, WEEK, None, alarms)
        return [c.column for c in columns if c.drifted]

    assert (drifted(0.01), drifted(1), drifted(50)) == ([], [], ["x"])


def test_where_thresholds_come_from_is_said():
    few = made()
    columns, _ = compare_table(
        few, [table(1000, 2)], [table(1000, 2)["score_1"]], KINDS, pd.Series(few.scores[:, 1]), WEEK, None
    )
    assert thresholds(columns).startswith("parametric, as there are no past windows of this length and 50 are needed")
    assert (
        thresholds([c.model_copy(update={"past_windows": 60}) for c in columns]) == "from how 60 past windows differed"
    )


def test_an_older_package_has_no_record():
    """Its sample of training rows is the reference; its scores are those of training rows, so answers are not judged."""
    sample = table(3000, 1).drop(columns="__split__")
    reference = Reference.of(None, sample, KINDS, "1", "f" * 64)
    assert reference.scores is None
    now = table(1000, 2)
    columns, prediction = compare_table(reference, [now], [now["score_1"]], KINDS, None, WEEK, None)
    assert prediction.drifted is None
    summed = summarise(columns, prediction, 0.5, reference.who())
    assert not summed.drifted
    assert summed.sentence.endswith("The predictions are not judged: the package has no scores of held-out rows.")


def test_evidently_shows_the_figures_that_decide():
    reference, now = made(3000), table(1000, 2).assign(x=lambda t: t["x"] + 5)
    found = looked(reference, now)
    told = pd.Series(reference.scores[:, 1])
    page = evidently(found.entries, found.prediction, reference, told, now, now["score_1"], 0)
    assert all(page.mark(e).drawn for e in [*found.entries, found.prediction])
    drifted = dict(re.findall(r"Drift in column '(\w+)'\", \"label\": \"Data drift (not )?detected", page.html))
    assert drifted == {"prediction": "not ", "x": "", "skewed": "not ", "letter": "not "}
    again = evidently(found.entries, found.prediction, reference, told, now, now["score_1"], 0)
    assert again == page
    assert page.skipped == []
    json.dumps([one.to_dict() for one in found.entries], allow_nan=False)


def test_every_column_is_measured_by_evidently_and_the_measures_are_the_means_that_limits_are_for():
    """146 columns or 3: there is one list of measures, and only the most frequent new category has none of Evidently's."""
    reference, now = made(), table(700, 2)
    now.loc[::7, "letter"] = pd.array(["new", None] * 50, dtype="str")
    now.loc[::9, "x"] = np.nan
    now.loc[1::31, "x"] = [1e6, -1e6] * 11 + [1e6]
    columns = {n: (reference.record.columns[n], now[n]) for n in KINDS}
    measured = measure(columns)
    kinds = set()
    for name, (column, values) in columns.items():
        found = look(column, column.cells.counts(values)[None], np.array([50]))
        for j, (kind, level) in enumerate(zip(found.kinds, found.levels, strict=True)):
            kinds.add(kind)
            if kind not in OWN:
                assert measured[name].pop((kind, level)) == pytest.approx(found.value[0, j], abs=1e-12), (name, kind)
        assert measured[name] == {}
    assert kinds == {*MEASURES, *OWN}
    assert {e.measure.split(" ")[0] for e in looked(reference, now).entries} == {"Evidently's"}


def test_a_column_without_any_value_is_measured_too():
    reference, now = made(), table(60, 2).assign(x=np.nan, letter=pd.array([None] * 60, dtype="str"))
    found = looked(reference, now).columns
    assert (found["x"].alarms, found["letter"].alarms) == (["missing values"], ["missing values"])
    assert found["x"].measure == "Evidently's MissingValueCount of the values"
    assert found["x"].value == 1.0


def test_numbers_that_evidently_cannot_draw_are_left_out_of_its_page():
    near = pd.Series([1.0, np.nextafter(1.0, 2)] * 20)
    far = pd.Series([-1.7e308, 1.7e308] * 20)
    assert not drawable((near, near))
    assert not drawable((far, far))
    assert drawable((near, far / 1e300))
    for pair in ((near, near), (far, far)):
        shown = distribution(*pair, "numeric")
        assert sum(shown.reference) == pytest.approx(1)
        assert (np.diff(shown.edges) >= 0).all()


def test_psi_of_a_known_table_less_chance():
    """Shares 1/2, 1/2 against 1/4, 3/4: (1/4)(ln 1/2 · −1 + ln 3/2), less (2 - 1)(1/80 + 1/80)."""
    frame = pd.DataFrame({"x": pd.Series(list("ab") * 40)})
    record = make(frame, {"x": "categorical"}, pd.Series(pd.NaT, index=frame.index), None)
    found = psi(record.columns["x"], pd.Series(list("abbb") * 20))
    assert found == pytest.approx(0.25 * (np.log(2) + np.log(1.5)) - 1 / 40)


def test_distribution_counts_every_row():
    reference, current = table(500, 1)["x"], table(700, 2)["x"]
    current[::50] *= 1000
    shown = distribution(reference, current, "numeric")
    assert sum(shown.reference) == pytest.approx(1)
    assert sum(shown.current) == pytest.approx(1)
    assert shown.edges[-1] < 200  # the outer bin holds what lies far outside
    many = pd.Series([f"k{i % 40}" for i in range(400)])
    shown = distribution(many, many, "categorical")
    assert shown.levels[-1] == "other"
    assert sum(shown.current) == pytest.approx(1)


def test_the_page_shows_the_columns_that_moved_most():
    shown = Distribution(reference=[1.0], current=[1.0])
    entries = [
        DriftOfColumn(column=c, state="stable", drifted=False, statistic=s, distribution=d)
        for c, s, d in (("a", 0.1, None), ("b", 3.0, shown), ("c", 0.2, shown))
    ]
    assert listed(entries, 1) == ["b"]
    assert listed(entries) == ["b", "c"]
