"""``refit init --example``: small worked projects, with data that a seeded generator makes and a ``params.yaml`` to read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError, nearest, some
from tasks.files import write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BEGIN = "2024-01-01"  # a Monday
CUSTOMERS = 240
LATER = 8  # weeks that are kept aside
WEEKS = 26
FEWEST, MOST = 16, 200
DEARER = 5  # of the later weeks, the first in which prices are higher

TWO_TABLES = """\
# Written by `refit init --example two-tables`. Everything may be edited.
# Every Monday, for each customer who ordered in the last 60 days: will there be another order within 14 days? No column
# holds that answer. It is made from the orders that follow, and known 14 days later.

seed: 42

problem:
  name: comes-back
  kind: binary
  table: {snapshots: customers, every: 7d, active: 60d}  # each customer anew every Monday, while active
  target: {from: orders, by: customer, within: 14d, any: true}
  metric: roc_auc

data:
  tables:
    customers:
      source: customers.csv
      key: [customer]
      columns:
        customer: categorical
        age: {kind: numeric, min: 16, max: 110}
        region: {kind: categorical, allowed: [north, south, east, west]}
        newsletter: boolean
    orders:
      source: orders  # a folder: one file a week, and each new one is read by the next run
      key: [order]
      event_time: ordered_at
      columns:
        order: {kind: numeric, nullable: false}
        customer: {kind: categorical, nullable: false}
        ordered_at: {kind: datetime, nullable: false}
        amount: {kind: numeric, min: 0}
        channel: {kind: categorical, allowed: [app, shop, web]}

features:
  lookups:
    - {table: customers, on: customer, columns: [age, region, newsletter]}
  history:
    - {table: orders, by: [customer], windows: [14d, 28d, 60d], count: true, columns: {amount: [mean, sum], channel: [n_unique]}}
    - {table: orders, by: [customer], windows: [60d], count: false, columns: {ordered_at: [time_since_last]}}

split:
  kind: time
  test: 28d
  valid: 28d

models:
  logistic: {trials: 2}
  gradient_boosting: {trials: 2}

tuning:
  trials: 2
  seconds: 20

training:
  threshold: cost
  cost: [8, 2]  # of one who was said to order again and is lost; of a voucher for one who would have ordered anyway

evaluation:
  explain: true
  cost_unit: EUR

promotion:
  rule: superiority
  alpha: 0.05

serving:
  host: 127.0.0.1
  port: 3000

monitoring:
  window: 7d
"""


def two_tables(root: Path, weeks: int | None) -> Iterator[str]:
    """Orders and customers of a shop, with labels that are known two weeks later; yields what was done.

    ``weeks`` of orders lie in ``orders/`` (:data:`WEEKS` where None), the next :data:`LATER` in ``later/``, to be added one by
    one. The same weeks have the same bytes, however many there are.
    """
    import numpy as np

    weeks = WEEKS if weeks is None else weeks
    if not FEWEST <= weeks <= MOST:
        raise RefitError(f"--weeks: from {FEWEST} to {MOST}, so that there is something to test on; found {weeks}")
    people, rate = _customers(np.random.default_rng(7))
    files = {"customers.csv": people}
    number = 1
    for week in range(weeks + LATER):
        orders = _orders(week, people, rate, number, dearer=week >= weeks + DEARER)
        number += len(orders)
        monday = f"{np.datetime64(BEGIN) + np.timedelta64(7 * week, 'D')}"
        files[f"{'orders' if week < weeks else 'later'}/{monday}.csv"] = orders
    if there := [name for name in (*files, "params.yaml") if (root / name).exists()]:
        raise RefitError(f"{root}: has {some(there, 3)} already. Use an empty folder for an example.")
    for name, table in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(root / name, table.to_csv(index=False))
    write_text(root / "params.yaml", TWO_TABLES)
    first = sorted((root / "later").iterdir())[0].name
    yield f"wrote customers.csv: {len(people)} customers; orders/: {weeks} weeks of orders, a file each"
    yield f"kept {LATER} weeks aside in later/; add the next by `mv later/{first} orders/`, then `refit run`"
    yield "wrote params.yaml: who orders again within 14 days? look it over, it is the one file you edit"


EXAMPLES = {"two-tables": two_tables}


def example(root: Path, name: str, weeks: int | None) -> Iterator[str]:
    """Write the example of that name into an empty folder, and make it a project; yields what was done."""
    from flows.planned import CronLine
    from flows.project import furnish
    from tasks.params import load
    from tasks.registry.history import local

    if name not in EXAMPLES:
        raise RefitError(f"--example: {name!r} is none of {some(EXAMPLES)}.{nearest(name, EXAMPLES)}")
    local(root, "history.db")  # refuses a folder that can hold no project
    yield from EXAMPLES[name](root, weeks)
    yield from furnish(
        root, load(root / "params.yaml"), CronLine(why="on Mondays at 5:00: each week brings a file of orders")
    )
    yield "next: refit run"


def _customers(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """The customers, and how many orders a week each makes on average."""
    import numpy as np
    import pandas as pd

    age = rng.integers(18, 85, CUSTOMERS)
    newsletter = rng.random(CUSTOMERS) < 0.4
    rate = 0.16 * np.exp(rng.normal(0, 1.3, CUSTOMERS) + 0.7 * newsletter - 0.01 * (age - 50))
    people = pd.DataFrame(
        {
            "customer": [f"c{i:03}" for i in range(CUSTOMERS)],
            "age": age,
            "region": rng.choice(["north", "south", "east", "west"], CUSTOMERS),
            "newsletter": np.where(newsletter, "yes", "no"),
        }
    )
    return people, np.minimum(rate, 2.0)


def _orders(week: int, people: pd.DataFrame, rate: np.ndarray, number: int, dearer: bool) -> pd.DataFrame:
    """A week's orders, by their moment; a customer is busy for a few weeks, and quiet for some."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng([11, week])
    at = np.arange(CUSTOMERS)
    busy = np.where(np.sin(2 * np.pi * (week / (16 + at % 9) + at * 0.37)) > -0.3, 1.6, 0.05)
    count = rng.poisson(rate * busy)
    who = np.repeat(at, count)
    minutes = np.sort(rng.integers(7 * 60, 7 * 24 * 60, len(who)))
    amount = rng.gamma(2.0, 14.0 + 0.2 * people["age"].to_numpy()[who]) * (1.6 if dearer else 1.0)
    return pd.DataFrame(
        {
            "order": number + np.arange(len(who)),
            "customer": people["customer"].to_numpy()[rng.permutation(who)],
            "ordered_at": pd.Timestamp(BEGIN) + pd.to_timedelta(7 * 24 * 60 * week + minutes, unit="min"),
            "amount": amount.round(2),
            "channel": rng.choice(["app", "shop", "web"], len(who), p=[0.5, 0.2, 0.3]),
        }
    )
