"""Conditions on rows: what is true, what a missing value makes of it, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tasks.condition import Condition
from tasks.errors import RefitError

FRAME = pd.DataFrame(
    {
        "amount": [50.0, 200.0, np.nan, -1.0],
        "list price": [60.0, 100.0, 10.0, 0.0],
        "status": pd.Series(["back", "sent", None, "5"], dtype="str"),
        "paid": [1.0, 0.0, np.nan, 1.0],
        "at": pd.to_datetime(["2024-01-01", None, "2024-01-02", None], utc=True),
    }
)
KINDS = {"amount": "numeric", "list price": "numeric", "status": "categorical", "paid": "boolean", "at": "datetime"}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("amount > 100", [1]),
        ("amount >= 50 and amount < 200", [0]),
        ("50 <= amount < 201", [0, 1]),
        ("not amount > 100", [0, 3]),  # missing is neither
        ("amount > 100 or paid", [0, 1, 3]),
        ("amount != 50", [1, 3]),
        ("amount * 2 > `list price` + 1", [0, 1]),
        ("amount / `list price` > 0", [0, 1]),  # 0/0 is missing
        ("-amount > 0", [3]),
        ("status == 'back'", [0]),
        ("status != 'back'", [1, 3]),
        ("status in ['back', 'sent']", [0, 1]),
        ("status not in ['back', 'sent']", [3]),
        ("status == 5", [3]),  # as tables name it
        ("amount in [50, -1]", [0, 3]),
        ("missing(status) or missing(at) and paid", [2, 3]),
        ("not missing(amount)", [0, 1, 3]),
        ("paid == 0", [1]),
        ("paid and not paid", []),
        ("True", [0, 1, 2, 3]),
    ],
)
def test_rows_where_a_condition_is_true(text: str, rows: list[int]) -> None:
    condition = Condition.parse(text)
    condition.check(KINDS)
    assert np.flatnonzero(condition.true(FRAME, KINDS)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("amount >", "'amount >' is no condition, as amount > 100 is; write names of several words in `backticks`"),
        ("amout > 1", "'amout' is not one of 'amount', 'list price', 'status', 'paid', 'at'. Did you mean 'amount'?"),
        (
            "status == back",
            "'back' is not one of 'amount', 'list price', 'status', 'paid', 'at'. A text stands in quotes",
        ),
        ("amount", "'amount' is neither true nor false; compare it"),
        ("status > 'a'", "texts are equal or not; they have no order"),
        ("status == amount", "'amount' is no text, and is compared with one"),
        ("at > 3", "column 'at' is of kind 'datetime', which is not compared with numbers"),
        ("amount is None", "compare by < <= > >= == != or in"),
        ("status in 'back'", "`in` takes a list"),
        ("missing(1)", "'missing(1)' is neither true nor false"),
        ("open('x')", "is neither true nor false"),
        ("amount.real > 1", "'amount.real' is not allowed here"),
        ("amount ** 2 > 1", "'amount ** 2' is not allowed here"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(RefitError, match=re.escape(message)):
        Condition.parse(text).check(KINDS)
