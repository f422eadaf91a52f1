"""Every key of ``params.yaml`` does something: each names the test in which another value changes what comes out, or is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from tasks.engine.derive import derive
from tasks.evaluate.choice import threshold_of
from tasks.fitting.rows import Dataset
from tasks.goals import Point, choose
from tasks.models import fit_family
from tasks.params import Params, parse
from tests.test_claims import wrong

HERE = "test_keys:each_setting_that_a_fit_gets_changes_the_model"
LABELS, SEVERAL, CONTRACT = "tasks/validate/test_labels:", "tasks/ingest/test_several:", "tasks/validate/test_contract:"
STAGE, SELECT = "tasks/features/test_stage:", "tasks/encoding/test_select:"
PLAN = "test_keys:each_key_of_features_and_of_moments_changes_the_plan"
ASKED = "tasks/tune/test_asked:what_tuning_says_reaches_the_search"
OWN = "tasks/tune/test_asked:what_a_family_says_goes_before_tuning"
FIT = "tasks/train/test_asked:what_training_says_reaches_the_fit"
SERVE = "deploy/test_serve:every_key_of_serving_reaches_the_server_or_its_workers"
KNOWN, FOLDS, POLICY = "tasks/validate/test_known:", "tasks/tune/test_folds:", "tasks/compare/test_policy:"
GUARD, SERVER = "tasks/compare/test_guardrails:", "flows/test_server:"
LIMITS = "deploy/test_limits:each_limit_is_the_users_own"
TABLE = {
    "seed": HERE,
    "problem.name": "flows/test_schedule:the_second_project_leaves_the_first_alone",
    "problem.kind": STAGE + "targets",
    "problem.table.snapshots": LABELS + "snapshots_begin_with_the_entity_and_end_with_its_activity",
    "problem.table.every": LABELS + "the_grid_of_snapshots_does_not_move_with_the_data",
    "problem.table.from": LABELS + "snapshots_begin_with_the_entity_and_end_with_its_activity",
    "problem.table.until": LABELS + "snapshots_begin_with_the_entity_and_end_with_its_activity",
    "problem.table.active": LABELS + "snapshots_begin_with_the_entity_and_end_with_its_activity",
    "problem.table.name": "tasks/test_implied:snapshots_are_called_what_one_likes",
    "problem.target.column": STAGE + "targets",
    "problem.target.above": KNOWN + "the_derived_target",
    "problem.target.name": KNOWN + "the_derived_target",
    "problem.target.positive": STAGE + "the_positive_class_is_the_one_declared_or_named",
    "problem.target.from": LABELS + "features_labels_and_prevalence_are_those_of_counting_by_hand",
    "problem.target.by": LABELS + "features_labels_and_prevalence_are_those_of_counting_by_hand",
    "problem.target.within": LABELS + "features_labels_and_prevalence_are_those_of_counting_by_hand",
    "problem.target.late": LABELS + "events_that_become_known_late_are_waited_for_and_later_ones_never_count",
    "problem.target.where": LABELS + "measures",
    "problem.target.measure": LABELS + "measures",
    "problem.prediction_time.column": PLAN,
    "problem.prediction_time.offset_micros": PLAN,
    "problem.metric": "tasks/evaluate/test_evaluate:the_best_on_validation_rows_challenges",
    "data.as_of": "tasks/validate/test_states:what_is_corrected_later_is_not_known_yet",
    "data.missing": "tasks/test_params:what_is_missing_is_told_by_column",
    "data.tables.source.sql": "flows/test_sources:a_database_that_gives_no_table",
    "data.tables.source.query": "flows/test_sources:a_query_is_taken_as_it_stands",
    "data.tables.source.table": "flows/test_sources:a_snapshot_keeps_types_and_has_an_order_of_its_own",
    "data.tables.files.added": SEVERAL + "a_column_that_is_added_is_ignored_or_refused",
    "data.tables.files.removed": SEVERAL + "a_column_that_is_removed_is_missing_there",
    "data.tables.files.unfinished": SEVERAL + "a_file_half_written_is_refused_or_waits",
    "data.tables.files.twice": SEVERAL + "the_same_file_twice_counts_once",
    "data.tables.key": "tasks/validate/test_states:every_row_counts_once_as_it_is_known_last_and_its_past_as_it_was",
    "data.tables.columns.kind": "tasks/profile/test_kinds:values_that_can_be_read",
    "data.tables.columns.nullable": CONTRACT + "a_bad_row_goes_with_its_reason",
    "data.tables.columns.min": CONTRACT + "a_bad_row_goes_with_its_reason",
    "data.tables.columns.max": CONTRACT + "a_bad_row_goes_with_its_reason",
    "data.tables.columns.allowed": CONTRACT + "a_bad_row_goes_with_its_reason",
    "data.tables.columns.format": "tasks/ingest/test_ingest:numbers_are_read_as_declared_and_another_form_is_named_with_the_remedy",
    "data.tables.columns.missing": "tasks/values/test_reading:a_package_reads_as_the_files_were_read",
    "data.tables.columns.case": "tasks/values/test_reading:a_package_reads_as_the_files_were_read",
    "data.tables.columns.spellings": "tasks/values/test_reading:a_package_reads_as_the_files_were_read",
    "data.tables.event_time.column": PLAN,
    "data.tables.event_time.offset_micros": PLAN,
    "data.tables.known_at.column": PLAN,
    "data.tables.known_at.offset_micros": "tasks/features/test_split:parts_are_counted_back_from_rows_that_can_have_a_label",
    "data.tables.outcome": "tasks/engine/test_assemble:automatic_columns_leave_out_key_outcome_and_target",
    "data.tables.corrections": SEVERAL + "a_correction_known_later_stays_beside_what_it_corrects",
    "data.max_quarantined": "tasks/validate/test_validate:set_level_failures_stop_the_run_with_all_of_them",
    "features.columns": PLAN,
    "features.dates": PLAN,
    "features.lookups.table": PLAN,
    "features.lookups.on": PLAN,
    "features.lookups.columns": PLAN,
    "features.lookups.within": PLAN,
    "features.history.table": PLAN,
    "features.history.by": PLAN,
    "features.history.windows": PLAN,
    "features.history.count": PLAN,
    "features.history.columns": PLAN,
    "features.transforms": PLAN,
    "features.polynomial.columns": PLAN,
    "features.polynomial.degree": PLAN,
    "features.polynomial.interaction_only": PLAN,
    "features.encode.scale": HERE,
    "features.encode.bins": HERE,
    "features.encode.categories": HERE,
    "features.encode.max_levels": HERE,
    "features.encode.words": HERE,
    "features.select.correlation": SELECT + "correlated_dated_and_constant_features_go",
    "features.select.time_auc": SELECT + "correlated_dated_and_constant_features_go",
    "features.select.univariate": SELECT + "signal_survives_every_way",
    "features.select.l1": SELECT + "signal_survives_every_way",
    "features.select.importance": SELECT + "signal_survives_every_way",
    "features.select.rfe": SELECT + "signal_survives_every_way",
    "features.select.keep": SELECT + "protected_features_stay",
    "features.engine": "tasks/families/test_xgboost_large:where_spark_makes_the_features_it_trains",
    "split.kind": STAGE + "a_time_split_takes_shares_and_durations",
    "split.valid": STAGE + "a_time_split_takes_shares_and_durations",
    "split.test": STAGE + "a_time_split_takes_shares_and_durations",
    "split.salt": STAGE + "a_part_depends_on_the_salt_and_hardly_on_the_shares",
    "split.by": STAGE + "rows_of_one_group_stay_together",
    "models.trials": OWN,
    "models.seconds": OWN,
    "models.params": OWN,
    "models.space": OWN,
    "tuning.sampler": ASKED,
    "tuning.pruner": ASKED,
    "tuning.trials": ASKED,
    "tuning.seconds": ASKED,
    "tuning.rows": ASKED,
    "tuning.warm_start": "tasks/tune/test_stage:a_search_begins_with_the_champions_parameters_unless_told_otherwise",
    "tuning.workers": ASKED,
    "tuning.split": FOLDS + "folds_are_apart_and_never_touch_test",
    "tuning.folds": ASKED,
    "tuning.gap": FOLDS + "a_gap_is_left_before_each_stretch",
    "tuning.group": FOLDS + "folds_are_apart_and_never_touch_test",
    "tuning.goals.metric.within": "test_keys:each_part_of_goals_changes_the_choice",
    "tuning.goals.latency_ms.at_most": "test_keys:each_part_of_goals_changes_the_choice",
    "tuning.goals.latency_ms.weight": "test_keys:each_part_of_goals_changes_the_choice",
    "tuning.goals.size_kb.at_most": "test_keys:each_part_of_goals_changes_the_choice",
    "tuning.goals.size_kb.weight": "test_keys:each_part_of_goals_changes_the_choice",
    "training.imbalance": HERE,
    "training.calibration": "test_keys_families:no_setting_of_encoding_or_training_is_ignored",
    "training.threshold": "test_keys:each_way_to_a_threshold_has_one_of_its_own",
    "training.cost": "test_keys:each_way_to_a_threshold_has_one_of_its_own",
    "training.precision": "test_keys:each_way_to_a_threshold_has_one_of_its_own",
    "training.ensembles": "tasks/evaluate/test_evaluate:a_mix_of_calibrated_candidates_is_calibrated_as_a_whole",
    "training.device": FIT,
    "training.memory_gb": "tasks/tune/test_memory:tuning_takes_the_newest_rows_that_fit",
    "training.compression.families": FIT,
    "training.compression.prune": FIT,
    "training.compression.quantise": FIT,
    "training.compression.tolerance": FIT,
    "evaluation.cost_unit": "tasks/report/test_summary:errors_cost_so_much_in_all_and_by_row_in_the_unit_that_was_named",
    "evaluation.explain": "tasks/evaluate/test_evaluate:explanations_are_left_out_where_none_are_wanted",
    "evaluation.slices": "tasks/evaluate/test_evaluate:declared_slices_cover_all_rows",
    "promotion.metric": "tasks/compare/test_evidence:promotion_metric_decides_and_not_the_problems",
    "promotion.rule": POLICY + "non_inferiority_promotes_an_equal_model",
    "promotion.alpha": POLICY + "alpha_is_the_level_of_every_way_to_decide",
    "promotion.margin": "tasks/compare/test_evidence:a_margin_forgives_what_is_lost_and_no_more",
    "promotion.control": POLICY + "each_run_is_plain_mcnemar",
    "promotion.evidence": POLICY + "a_line_of_challengers_adds_up_until_it_wins",
    "promotion.error": POLICY + "false_discovery_rate_earns_by_promotions",
    "promotion.fdr": POLICY + "discovery_by_its_own_rule_on_new_rows_only",
    "promotion.cluster": "tasks/compare/test_evidence:declared_clusters_are_counted_as_one",
    "promotion.accept": "tasks/compare/test_compare:a_suspected_column_stops_a_promotion_until_it_is_accepted",
    "promotion.approval": SERVER + "a_person_is_asked_before_promotion",
    "promotion.guardrails.slice_drop": GUARD + "the_limit_is_what_is_asked_for",
    "promotion.guardrails.slices": GUARD + "a_slice_that_loses_fails_and_one_that_gains_does_not",
    "promotion.guardrails.calibration": GUARD + "calibration_rises_and_falls",
    "promotion.guardrails.latency_ms": "tasks/compare/test_compare:guardrails_stop_what_the_policy_would_promote",
    "promotion.guardrails.size_mb": GUARD + "the_size_of_the_package",
    "serving.host": SERVE,
    "serving.port": SERVE,
    "serving.workers": SERVE,
    "serving.stale": SERVE,
    "serving.stale_after": SERVE,
    "serving.linger": SERVE,
    "serving.grace": SERVE,
    "serving.journal": SERVE,
    "serving.limits.row_mb": LIMITS,
    "serving.limits.batch_mb": LIMITS,
    "serving.limits.batch_rows": LIMITS,
    "serving.limits.patience": "deploy/test_app:a_body_that_does_not_come",
    "monitoring.window": "tasks/drift/test_window:newest_rows_by_time_labelled_or_not",
    "monitoring.drift_share": "tasks/drift/test_stage:a_replaced_table_under_a_random_split_is_drift",
    "monitoring.false_alarms": "tasks/drift/test_stage:a_replaced_table_under_a_random_split_is_drift",
    "monitoring.rows": "tasks/drift/test_stage:a_replaced_table_under_a_random_split_is_drift",
    "monitoring.least_rows": "tasks/drift/test_stage:a_replaced_table_under_a_random_split_is_drift",
    "monitoring.alarm": "flows/test_drift:new_rows_in_another_unit_are_named_and_end_the_run_with_its_own_status",
    "notify.when": "flows/test_notify:only_what_was_asked_for_is_told",
    "notify.to": "flows/test_notify:a_webhook_gets_each_message_once",
    "orchestration.retries": SERVER + "a_stage_is_tried_again_as_often_and_as_late_as_asked",
    "orchestration.retry_seconds": SERVER + "a_stage_is_tried_again_as_often_and_as_late_as_asked",
    "orchestration.parallel": "flows/test_dag:independent_stages_overlap",
    "orchestration.wait_hours": "flows/test_patience:who_is_at_work_is_waited_for_as_long_as_asked",
    "orchestration.pools": SERVER + "stages_run_on_the_workers_of_their_pools",
    "orchestration.tuners": "flows/test_pools:only_searches_that_can_be_shared_are_sent_twice",
    "orchestration.no_gpu": SERVER + "a_stage_waits_for_a_worker_of_its_pool_whichever_it_is",
    "orchestration.exchange": SERVER + "workers_that_share_a_dvc_remote_and_nothing_else",
}  # fmt: skip


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from models_in(part)


def keys(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Dotted paths of all keys that hold a value; names of tables, columns and families are left out."""
    for name, field in model.model_fields.items():
        here, inner = f"{path}{field.alias or name}", list(models_in(field.annotation))
        if not inner:
            yield here
        for one in inner:
            yield from keys(one, f"{here}.")


def test_every_key_names_the_test_that_shows_what_it_does() -> None:
    assert sorted({*keys(Params)}) == sorted(TABLE)
    lost = {}
    for key, mark in TABLE.items():
        file, _, test = mark.partition(":")
        lost[key] = wrong("test", f"tests/{file}.py::test_{test}")
    assert {key: why for key, why in lost.items() if why} == {}


def project(**sections: Any) -> Params:
    tree: dict[str, Any] = {
        "problem": {"name": "p", "kind": "binary", "table": "t", "target": "y"},
        "data": {
            "tables": {
                "t": {"source": "t.csv", "columns": {"y": "boolean", "a": "numeric", "c": "categorical", "t": "text"}}
            }
        },
        "models": {"logistic": {}},
    }
    return parse({**tree, **sections})


@pytest.fixture(scope="module")
def rows() -> Dataset:
    rng = np.random.default_rng(0)
    n = 240
    frame = pd.DataFrame(
        {
            "a": rng.gamma(2.0, 5.0, n),
            "c": pd.Series(rng.choice(list("uvwxyz"), n), dtype="str"),
            "t": pd.Series(
                [" ".join(rng.choice(["on", "time", "late", "again", "lost"], 3)) for _ in range(n)], dtype="str"
            ),
        }
    )
    y = (frame["a"] + 5 * (frame["c"] > "w") + rng.normal(0, 5, n) > 18).to_numpy(float)
    split = np.where(np.arange(n) < 180, "train", "valid")
    kinds = {"a": "numeric", "c": "categorical", "t": "text"}
    return Dataset("binary", ("no", "yes"), kinds, frame, y, split, np.arange(n), pd.Series(pd.NaT, index=range(n)))


def encode(**how: Any) -> dict[str, Any]:
    return {"features": {"encode": how}}


@pytest.mark.parametrize(
    ("family", "one", "other"),
    [
        ("random_forest", {"seed": 1}, {"seed": 2}),
        ("logistic", encode(scale="standard"), encode(scale="log")),
        ("logistic", encode(scale="bins", bins=3), encode(scale="bins", bins=9)),
        ("logistic", encode(categories="one_hot"), encode(categories="target")),
        ("xgboost", encode(categories="native"), encode(categories="one_hot")),
        ("logistic", encode(max_levels=2), encode(max_levels=6)),
        ("logistic", encode(words=1), encode(words=5)),
        *(("logistic", {}, {"training": {"imbalance": how}}) for how in ("class_weight", "smote", "adasyn", "under_sample", "smote_tomek")),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value)[:60],
)  # fmt: skip
def test_each_setting_that_a_fit_gets_changes_the_model(
    rows: Dataset, family: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    X, _ = rows.of("valid")
    own = {"random_forest": {"n_estimators": 10}, "xgboost": {"rounds": 10}}.get(family, {})
    models = (fit_family(family, own, rows.fold, rows.setup(project(**how))) for how in (one, one, other))
    first, again, second = (model.predict(X) for model in models)
    assert np.array_equal(first, again)
    assert not np.allclose(first, second)


def test_each_way_to_a_threshold_has_one_of_its_own() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.3).astype(float)
    p = np.clip(0.3 + 0.25 * (y - 0.3) + rng.normal(0, 0.15, 400), 0.01, 0.99)
    ways: list[dict[str, Any]] = [
        {"threshold": "half"},
        {"threshold": "best_f1"},
        {"threshold": "cost", "cost": [1, 9]},
        {"threshold": "cost", "cost": [9, 1]},
        {"threshold": "precision", "precision": 0.5},
        {"threshold": "precision", "precision": 0.9},
    ]
    found = [threshold_of(np.column_stack([1 - p, p]), y, project(training=way)) for way in ways]
    assert len(set(found)) == len(ways), found


# Another value of each key that the plan of features is made of, by where it stands in the project of ``worlds.tree``.
PLANNED: list[tuple[tuple[Any, ...], Any]] = [
    (("features", "columns"), ["who", "where", "shop"]),
    (("features", "dates"), {"asked": ["month"]}),
    (("features", "lookups", 0, "table"), "quotes"),
    (("features", "lookups", 1, "on"), {"shop": "who"}),
    (("features", "lookups", 0, "columns"), ["price"]),
    (("features", "lookups", 0, "within"), "6h"),
    (("features", "history", 0, "table"), "others"),
    (("features", "history", 0, "by"), ["who"]),
    (("features", "history", 0, "windows"), ["3h"]),
    (("features", "history", 0, "count"), False),
    (("features", "history", 0, "columns"), {"amount": ["max"]}),
    (("features", "transforms"), {"twice": "where * 3"}),
    (("features", "polynomial", "columns"), ["where"]),
    (("features", "polynomial", "degree"), 3),
    (("features", "polynomial", "interaction_only"), True),
    (("problem", "prediction_time"), "asked - 1h"),
    (("problem", "prediction_time"), "happened_before"),
    (("data", "tables", "orders", "event_time"), "happened - 1h"),
    (("data", "tables", "orders", "event_time"), "known"),
    (("data", "tables", "orders", "known_at"), "known + 1h"),
    (("data", "tables", "orders", "known_at"), "happened"),
    (("data", "tables", "orders", "columns", "amount"), "boolean"),
]


def planned() -> dict[str, Any]:
    from tests.tasks.engine.worlds import tree

    spec = tree(["2h"], {"amount": ["mean"]})
    tables, features = spec["data"]["tables"], spec["features"]
    tables["orders"]["columns"] |= {"happened_before": "datetime"}
    tables["orders"]["outcome"].remove("shop")
    tables |= {"others": copy.deepcopy(tables["orders"]), "quotes": copy.deepcopy(tables["prices"])}
    features |= {"transforms": {"twice": "where * 2"}, "polynomial": {"columns": ["where", "age"], "degree": 2}}
    features["polynomial"]["columns"] = ["where", "people.age"]
    return spec


@pytest.mark.parametrize(("place", "other"), PLANNED, ids=[f"{'.'.join(map(str, p))} {o}"[:70] for p, o in PLANNED])
def test_each_key_of_features_and_of_moments_changes_the_plan(place: tuple[Any, ...], other: Any) -> None:

    spec = planned()
    before = derive(parse(spec)).hash
    *way, last = place
    at: Any = spec
    for step in way:
        at = at[step]
    at[last] = other
    assert derive(parse(spec)).hash != before


def test_each_part_of_goals_changes_the_choice() -> None:
    points = [
        Point(name, value, {"latency_ms": ms, "size_kb": kb})
        for name, value, ms, kb in [("best", 0.90, 9.0, 90.0), ("near", 0.895, 5.0, 60.0), ("small", 0.88, 2.0, 5.0)]
    ]

    def chosen(**goals: Any) -> str:
        found = project(tuning={"goals": goals}).tuning.goals
        assert found is not None
        return points[choose(points, found.rule, "roc_auc")[0]].name

    assert chosen(latency_ms={"at_most": 10}) == "best"
    assert chosen(latency_ms={"at_most": 6}) == "near"
    assert chosen(size_kb={"at_most": 10}) == "small"
    assert chosen(latency_ms={"weight": 1e-6}) == "best"
    assert chosen(latency_ms={"weight": 0.01}) == "small"
    assert chosen(size_kb={"weight": 1e-6}) == "best"
    assert chosen(size_kb={"weight": 2e-4}) == "near"
    assert chosen(size_kb={}, metric={"within": 0.007}) == "near"
    assert chosen(size_kb={}, metric={"within": 0.05}) == "small"
