"""``python -m tasks.drift``: the newest rows against the reference of the champion in service."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from tasks import memory, params, stage
from tasks.artifacts import ChampionFile, Drift, DriftReference
from tasks.bundle import Bundle
from tasks.bundle.asked import Asked
from tasks.drift.table import Reference, compare_table, evidently, named, summarise, thresholds
from tasks.drift.window import New, newest, thin
from tasks.engine import Plan
from tasks.errors import RefitError, in_a_line, some
from tasks.files import read_json, read_table, replacing_dir, write_text
from tasks.ordinary.record import WEEK, answers
from tasks.params import Params
from tasks.states import tables_in
from tasks.stored import Stored, in_memory

DATA = Path("data")


def main() -> None:
    """The stage: the newest rows against what was ordinary; writes ``data/drift``."""
    settings = params.load()
    bundle, champion = against()
    window = pd.Timedelta(settings.monitoring.window.delta) if settings.monitoring.window else WEEK
    features = Stored(DATA / "features" / "features.parquet")
    whole = Stored(DATA / "validated" / f"{settings.problem.table}.parquet")
    table, least = settings.data.tables[settings.problem.table], settings.monitoring.least_rows
    new = newest(features, whole, table, bundle.seen, bundle.there, window, least)
    of = "champion" if champion else "new package"
    who = DriftReference(version=champion, package=bundle.identity, of=of)
    html = None
    if new.why is None:
        frames, new = computed(bundle, features, whole, settings, new)
    if new.why is not None:
        none = new.why == "no new rows"
        sentence = f"No verdict on drift against {named(champion)}: {new.why}."
        if none:
            sentence = f"No new rows since {named(champion)} was made: no verdict on drift."
        result = Drift(
            state="no_rows" if none else "unjudged", drifted=None, share=None, drift_share=settings.monitoring.drift_share,
            alarms=[], sentence=sentence, columns=[], prediction=None, window=new.about, reference=who,
        )  # fmt: skip
    else:
        result, html = judged(bundle, champion, frames, new, settings, window, who)
    with replacing_dir(DATA / "drift") as folder:
        result.write(folder)
        if html is not None:
            write_text(folder / "drift.html", html)
    stage.log(result.sentence)


def against() -> tuple[Bundle, str | None]:
    """The package whose reference counts, and its version: the champion's, or the new one where there is none (None)."""
    named = ChampionFile.find(DATA / "champion")
    if named is None:
        return Bundle.load(DATA / "package"), None
    bundle = Bundle.load(DATA / "champion" / "package")
    if bundle.identity != named.package_sha256:
        raise RefitError(
            f"data/champion: the package is {bundle.identity[:12]}…, and champion.json names version {named.version} "
            f"with {named.package_sha256[:12]}…. `refit run` fetches it from the registry again."
        )
    return bundle, named.version


def computed(
    bundle: Bundle, features: Stored, whole: Stored, settings: Params, new: New
) -> tuple[list[pd.DataFrame], New]:
    """Features of the windows' rows by the package's own plan; or why they cannot be computed."""
    most = settings.monitoring.rows
    rows = [in_memory(thin(features.take(at), settings.seed, most)) for at in (new.rows, new.both) if at is not None]
    if Plan.from_dict(read_json(DATA / "features" / "plan.json")).hash == bundle.plan.hash:
        return [part.reset_index(drop=True) for part in rows], new
    try:
        tables = tables_in(DATA / "validated", settings.data.tables)
        at = np.concatenate([part["__row__"].to_numpy() for part in rows])
        made = pd.concat(Asked(whole.iloc[at], tables, memory.of_process()).features(bundle.plan), ignore_index=True)
        ends = np.cumsum([0, *map(len, rows)])
        return [made.iloc[a:b].reset_index(drop=True) for a, b in pairwise(ends)], new
    except (RefitError, KeyError, ValueError, TypeError) as error:
        why = f"the champion's features cannot be computed from these tables ({error})"
        return [], New(new.rows, new.both, new.about, why)


def judged(bundle: Bundle, champion: str | None, frames: list[pd.DataFrame], new: New, settings: Params,
           window: pd.Timedelta, who: DriftReference) -> tuple[Drift, str | None]:  # fmt: skip
    """``drift.json`` and Evidently's page (None where it could not be drawn) of rows that can be judged."""
    kinds = {f.name: f.kind for f in bundle.plan.features}
    sample = read_table(bundle.path / "reference.parquet")
    reference = Reference.of(bundle.ordinary, sample, kinds, champion, bundle.identity)
    given = [answers(bundle.predict(frame), bundle.kind, bundle.classes) for frame in frames]
    scores = reference.scores
    told = None if scores is None else answers(scores, bundle.kind, bundle.classes)
    end = None if new.about.until is None else pd.Timestamp(new.about.until)
    alarms = settings.monitoring.false_alarms
    columns, prediction = compare_table(reference, frames, given, kinds, told, window, end, alarms)
    if told is not None and prediction.drifted is not None:
        prediction = prediction.model_copy(update=bundle.problem.drift_means((told, given[0]), bundle.threshold))
    html, left_out = None, {}
    try:
        drawn = evidently(columns, prediction, reference, told, frames[0], given[0], settings.seed)
        html, columns, prediction = drawn.html, [drawn.mark(c) for c in columns], drawn.mark(prediction)
        if drawn.skipped:
            names = some(drawn.skipped)
            stage.log(f"left out of drift.html, as their values are too close to each other or too far apart: {names}")
    except Exception as error:  # a page ends no run: what decides is in the figures
        left_out = {"page_left_out": in_a_line(error)}
        stage.log(f"drift.html was left out: {left_out['page_left_out']}")
    share = settings.monitoring.drift_share
    summed = summarise(columns, prediction, share, reference.who())
    said = thresholds(columns)
    stage.log(f"{new.about.rows} rows ({new.about.rule}) against {reference.who()}; thresholds {said}")
    rows = int(max((c.total.sum() for c in reference.record.columns.values()), default=0))
    found = Drift(
        state="drifted" if summed.drifted else "stable",
        drifted=summed.drifted,
        share=summed.share,
        drift_share=share,
        alarms=summed.alarms,
        sentence=summed.sentence,
        thresholds=said,
        columns=columns,
        prediction=prediction,
        window=new.about,
        reference=who.model_copy(update={"rows": rows, "held_out": 0 if told is None else len(told)}),
    )
    return found.model_copy(update=left_out), html


if __name__ == "__main__":
    stage.run(main)
