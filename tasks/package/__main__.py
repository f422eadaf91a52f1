"""Put plan, model, threshold, schema, reference, history, golden rows and receipt into ``data/package``."""

import os  # isort: skip

# One thread, as served: sums in matrix products are split by thread, and golden answers are compared to the last bit.
os.environ["OMP_NUM_THREADS"] = "1"
from tasks import stage  # isort: skip

import shutil
import tempfile
from pathlib import Path

import pandas as pd

from tasks import files, memory, params
from tasks.artifacts import Choice, Golden, Summary, Validation
from tasks.artifacts.columns import UNTIL
from tasks.bundle import Bundle
from tasks.bundle.asked import Asked
from tasks.bundle.horizon import parse
from tasks.bundle.manifest import write_manifest
from tasks.bundle.seen import FILE as SEEN
from tasks.bundle.seen import THERE
from tasks.engine import Plan
from tasks.engine.compute import compute
from tasks.errors import RefitError
from tasks.identity import Rule
from tasks.ordinary.record import FOLDER as ORDINARY
from tasks.ordinary.record import WEEK
from tasks.package.contents import about_of, covered, ordinary, other_rows, parts, reference, seen_rows
from tasks.package.golden import LATER, ROWS, after, choose, golden, start_of_test
from tasks.package.history import horizon, keep, known, needs
from tasks.package.receipt import receipt
from tasks.package.schema import events, schema
from tasks.states import read_states
from tasks.stored import Stored

DATA = Path("data")


def main() -> None:
    """The stage: the package, which proves itself by golden rows; writes ``data/package``."""
    given = params.load()
    choice = Choice.read(DATA / "evaluation")
    summary = Summary.read(DATA / "features")
    features = Stored(DATA / "features" / "features.parquet")
    names = summary.names
    plan = Plan.from_dict(files.read_json(DATA / "features" / "plan.json"))
    asked = schema(given, plan.row_columns(), plan.identity)
    validated = DATA / "validated"
    accepted = Validation.read(validated)
    as_of = accepted.as_of
    fields, rule = [f.name for f in asked.fields], Rule.of(given)
    since, until = start_of_test(features), parse(as_of) if as_of else None
    wanted = needs(plan)
    tables = {
        name: known(read_states(validated, name, need.columns), plan, name, until) for name, need in wanted.items()
    }
    history = {name: keep(tables[name], plan, name, need, since) for name, need in wanted.items()}
    reach = horizon(plan, history, since)
    about = about_of(given, choice, summary, reach, covered(accepted.journal))

    with files.replacing_dir(DATA / "package") as folder:
        shutil.copyfile(DATA / "features" / "plan.json", folder / "plan.json")
        for member in about.members:
            source = DATA / "models" / member / "model"
            if not source.is_dir():
                raise RefitError(f"{source}: no such folder; choice.json names {member!r}. Run `refit run` again.")
            shutil.copytree(source, folder / "model" / member)
        asked.write(folder)
        events(given).write(folder)
        (folder / "history").mkdir()
        for name, one in history.items():
            files.write_table(folder / "history" / f"{name}.parquet", one.frame)
            n, of, columns = len(one.frame), len(tables[name]), len(one.frame.columns)
            stage.log(f"history of {name}: {n:,} of {of:,} known rows, {columns} columns")
        whole = Stored(validated / f"{given.problem.table}.parquet", list(dict.fromkeys([*fields, *rule.columns])))
        seen_rows(whole, features, rule).write(folder / SEEN)
        others = other_rows(whole, features, rule)
        if others is not None:
            others.write(folder / THERE)
        for source, place in (
            (validated / "accepted", "accepted"),
            (DATA / "expectations" / "accepted", "held_against"),
        ):
            if source.is_dir():  # what later tables are held against, and what these were
                shutil.copytree(source, folder / place)
        receipt(DATA, given, as_of).write(folder)

        # The rest is made by the package itself, as it will be used: first without, then with the answers.
        Golden(rows=[]).write(folder)
        (folder / "reference.parquet").touch()
        write_manifest(folder, about)
        bundle = Bundle.load(folder).start()
        window = pd.Timedelta(given.monitoring.window.delta) if given.monitoring.window else WEEK
        held_against = parts(features, window)
        files.write_table(folder / "reference.parquet", reference(bundle, features, held_against, given.seed))
        kinds = {f.name: f.kind for f in bundle.plan.features}
        ordinary(bundle, features, kinds, held_against, window).write(folder / ORDINARY)
        count = ROWS - LATER if reach.known_until else ROWS
        chosen = choose(features, given.seed, reach.answers_from, count)
        rows = whole[fields].iloc[features["__row__"].to_numpy()[chosen]].reset_index(drop=True)
        later, answers = after(rows, plan, reach), features.iloc[chosen][names]
        if len(later):
            answers = pd.concat([answers, computed(plan, tables, later)[names]], ignore_index=True)
            rows = pd.concat([rows, later], ignore_index=True)
        golden(bundle, answers, rows).write(folder)
        identity = write_manifest(folder, about)
    size = files.folder_size(DATA / "package")
    stage.log(f"package {about.name} ({about.family}): {size / 1e6:.1f} MB, identity {identity[:12]}")


def computed(plan: Plan, tables: dict[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """Features of a few rows by the whole tables, which are laid down again where indexes of all events would not fit."""
    limit = memory.of_process()
    corrected = any(UNTIL in frame for frame in tables.values())
    if corrected or memory.EVENT * sum(map(len, tables.values())) <= limit.bytes:
        return compute(plan, tables, rows)
    with tempfile.TemporaryDirectory(prefix="package-", dir=memory.scratch()) as folder:
        stored: dict[str, Stored] = {}
        for name in plan.tables:
            if name in tables:  # else none of its rows is asked for
                files.write_table(Path(folder) / f"{name}.parquet", tables.pop(name))
                stored[name] = Stored(Path(folder) / f"{name}.parquet")
        return pd.concat(Asked(rows, stored, limit).features(plan), ignore_index=True)


if __name__ == "__main__":
    stage.run(main)
