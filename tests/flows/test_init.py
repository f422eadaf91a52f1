"""``refit init`` with several tables, what it says of them, and the worked example."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from flows import cli
from flows.examples import BEGIN, LATER, WEEKS, example
from flows.planned import of_file
from flows.project import create
from tasks.errors import RefitError
from tasks.ingest.tables import ingest
from tasks.params import load

RNG = np.random.default_rng(0)
WHO = np.array([f"c{i:03}" for i in range(60)])


def shop(root: Path) -> list[Path]:
    """Orders with a target, their customers, and visits of these."""
    days = pd.date_range("2024-01-01", periods=300, freq="12h")
    late = RNG.random(300) < 0.3
    orders = pd.DataFrame(
        {
            "order_id": np.arange(300) + 5000,
            "customer": RNG.choice(WHO, 300),
            "ordered_at": days.strftime("%d.%m.%Y %H:%M"),
            "amount": [f"{1000 * a:,.2f} €".translate(str.maketrans(",.", ".,")) for a in RNG.gamma(2, 3, 300)],
            "late": np.where(late, "yes", "no"),
            "refund": np.where(late, RNG.gamma(2, 9, 300).round(2), 0),
        }
    )
    people = pd.DataFrame({"id": WHO, "age": RNG.integers(18, 80, 60), "late": RNG.integers(0, 9, 60)})
    visits = pd.DataFrame(
        {"customer": RNG.choice(WHO, 1500), "at": np.sort(RNG.choice(days, 1500)), "minutes": RNG.gamma(2, 5, 1500)}
    )
    for name, table in {"orders": orders, "customers": people, "visits": visits}.items():
        table.to_csv(root / f"{name}.csv", index=False)
    return [root / f"{name}.csv" for name in ("customers", "orders", "visits")]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ``init`` says of the shop, in whose folder the project lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.stops, "heed", lambda what: None)
    shop(tmp_path)
    command = ["init", "--data", "orders.csv", "--data", "customers.csv", "--data", "visits.csv", "--target", "late"]
    done = CliRunner().invoke(cli.app, [*command, "--table", "orders"])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_several_tables_become_look_ups_and_aggregates(told: list[str], tmp_path: Path) -> None:
    made = load(tmp_path / "params.yaml")
    assert made.problem.table == "orders"
    assert {name: table.key for name, table in made.data.tables.items()} == {
        "orders": ("order_id",),
        "customers": ("id",),
        "visits": (),
    }
    (look,) = made.features.lookups
    assert (look.table, look.on, look.columns) == ("customers", {"customer": "id"}, ("age", "late"))
    (past,) = made.features.history
    assert (past.table, past.by, past.columns) == ("visits", (("customer",),), {"minutes": ("mean", "std")})
    assert len(past.windows) > 1
    deps = YAML(typ="safe").load(tmp_path / "dvc.yaml")["stages"]["ingest"]["deps"]
    assert {"orders.csv", "customers.csv", "visits.csv"} <= set(deps)
    for name, table in made.data.tables.items():
        assert ingest(name, table).problems.empty


def test_a_schedule_that_fits_the_table_lies_ready_for_prefect(told: list[str], tmp_path: Path) -> None:
    timing, pool = of_file(tmp_path)
    assert (timing.cron, timing.timezone, pool) == ("0 5 1 * *", "UTC", None)
    why = "on the first of each month at 5:00: a month brings about 61 rows"
    assert f"wrote prefect.yaml: for a Prefect server (`refit deploy`), {why}" in told
    assert f"    # {why}\n" in (tmp_path / "prefect.yaml").read_text()


def test_what_it_says_fits_80_columns_and_names_lines_of_params(told: list[str], tmp_path: Path) -> None:
    text = (tmp_path / "params.yaml").read_text().splitlines()
    tables = [
        line
        for line in told
        if line.startswith(("column ", "customer", "order_id", "ordered_at", "amount", "late", "refund"))
    ]
    assert len(tables) >= 9
    assert max(map(len, tables)) <= 80
    assert any(re.match(r"late +target, categorical +2 +no, yes$", line) for line in told)
    assert any(re.match(r"order_id +key, numeric +300 ", line) for line in told)
    (at,) = [i for i, line in enumerate(told) if line == "to look over, by the line of params.yaml:"]
    named = {}
    for line in told[at + 1 : told.index("", at)]:
        number, _, said = line.strip().partition("  ")
        named[said] = text[int(number) - 1].strip()
    money = next(said for said in named if said.startswith("amount: numeric, read as '1.234,50 €', such as"))
    assert named[money].startswith("amount:")
    leak = next(said for said in named if said.startswith("refund: ignored, since it gives the target away"))
    assert named[leak].startswith("refund: ignore")
    assert named["customers: 100% of the rows find theirs by customer = id; its columns are looked up"].startswith(
        "lookups:"
    )
    assert named["visits: 100% of the rows find theirs by customer; its earlier events are aggregated"].startswith(
        "history:"
    )


def test_what_cannot_be_known_is_asked_beside_its_key(told: list[str], tmp_path: Path) -> None:
    text = (tmp_path / "params.yaml").read_text()
    for asked in (
        "prediction_time: ordered_at # a feature may use only what was known by then; asked earlier? ordered_at - 2h",
        "is late known only later? then also known_at: {late: ordered_at + 7d}",
        "its rows count as known at any moment; if they are not: event_time: COLUMN",
        "known later? then also known_at: COLUMN, or COLUMN + 1d",
    ):
        assert asked in re.sub(r" +", " ", text), asked


def test_a_target_that_several_tables_have_is_asked_about(tmp_path: Path) -> None:
    paths = shop(tmp_path)
    with pytest.raises(
        RefitError, match=r"'late' is a column of 'customers', 'orders'\. Say whose .*--table customers"
    ):
        list(create(tmp_path, paths, "late", force=False))
    with pytest.raises(
        RefitError, match=r"none of 'customers', 'orders', 'visits' has a column 'refnd'\. Did you mean 'refund'"
    ):
        list(create(tmp_path, paths, "refnd", force=False))
    (tmp_path / "old").mkdir()
    shutil.copy(paths[0], tmp_path / "old")
    with pytest.raises(RefitError, match="two of the files have one name"):
        list(create(tmp_path, [*paths, tmp_path / "old" / paths[0].name], "late", force=False))
    assert not (tmp_path / "params.yaml").exists()


# The worked example --------------------------------------------------------------------------------------------------


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.csv"))}


def test_the_example_is_the_same_however_long_it_is(tmp_path: Path) -> None:
    for name, weeks in (("usual", None), ("longer", WEEKS + 2)):
        (tmp_path / name).mkdir()
        said = list(example(tmp_path / name, "two-tables", weeks))
        assert said[-1] == "next: refit run"
        assert any(f"kept {LATER} weeks aside in later/" in line for line in said)
    usual, longer = (files(tmp_path / name) for name in ("usual", "longer"))
    assert sum(name.startswith("orders/") for name in usual) == WEEKS
    assert {name: text for name, text in usual.items() if not name.startswith("later/")}.items() <= longer.items()
    moved = {name.replace("later/", "orders/"): text for name, text in usual.items() if name.startswith("later/")}
    assert sum(longer.get(name) == text for name, text in moved.items()) == 2, "a week is the same wherever it lies"


def test_the_example_is_what_its_params_say(tmp_path: Path) -> None:
    list(example(tmp_path, "two-tables", None))
    made = load(tmp_path / "params.yaml")
    orders = made.data.tables["orders"].model_copy(update={"source": str(tmp_path / "orders")})
    read = ingest("orders", orders)
    assert read.problems.empty
    assert read.frame["order"].is_unique
    assert read.frame["ordered_at"].min() >= pd.Timestamp(BEGIN, tz="UTC")
    assert (read.frame["ordered_at"] < pd.Timestamp(BEGIN, tz="UTC") + pd.Timedelta(7 * WEEKS, "D")).all()
    later = pd.concat(pd.read_csv(path) for path in sorted((tmp_path / "later").glob("*.csv")))
    assert later["amount"].tail(150).mean() > 1.3 * read.frame["amount"].mean(), "prices rise"
    with pytest.raises(RefitError, match="Use an empty folder for an example"):
        list(example(tmp_path, "two-tables", None))
