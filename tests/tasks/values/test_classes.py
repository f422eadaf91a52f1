"""Which class is the positive one: by what its name says, else the rarer; never by the alphabet in silence."""

from __future__ import annotations

import pytest

from tasks.values.classes import by_name, choose, named


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("no", "yes"), ("N", "Y"), ("f", "t"), ("False", "True"), ("0", "1"), ("-1", "1"), ("0", "100"), ("neg", "pos"),
        ("off", "on"), ("absent", "present"), ("control", "case"), ("lost", "won"),
        ("on time", "late"), ("not late", "late"), ("active", "churned"), ("Not churned", "Churned"),
        ("Existing Customer", "Attrited Customer"), ("no_default", "default"), ("paid", "unpaid"), ("good", "bad"),
        ("nonfraud", "fraud"), ("non-fraud", "fraud"), ("legit", "fraud"), ("ham", "spam"), ("benign", "malignant"),
        ("healthy", "sick"), ("alive", "dead"), ("pass", "fail"), ("inactive", "active"), ("no event", "event"),
    ],
)  # fmt: skip
def test_a_name_that_says_so_decides_whatever_the_order(negative: str, positive: str) -> None:
    assert by_name([negative, positive]) == by_name([positive, negative]) == positive
    assert choose({negative: 5, positive: 95}) == (positive, "by its name")


@pytest.mark.parametrize(
    ("a", "b"),
    [("1", "2"), ("3", "7"), ("male", "female"), ("left", "right"), ("in", "out"), ("<=50K", ">50K"), ("a", "b"),
     ("survived", "died"), ("low", "high"), ("1.5", "2.5"), ("democrat", "republican"), ("approved", "refused")],
)  # fmt: skip
def test_where_names_say_nothing_the_rarer_class_is_positive(a: str, b: str) -> None:
    assert by_name([a, b]) is None
    assert choose({a: 5, b: 95}) == (a, "as the rarer one")
    assert choose({a: 95, b: 5}) == (b, "as the rarer one")


def test_equally_frequent_classes_keep_their_order() -> None:
    assert choose({"b": 50, "a": 50}) == ("b", "as the later in the alphabet, since both are equally frequent")


@pytest.mark.parametrize(
    ("written", "classes", "found"),
    [
        ("yes", ["no", "yes"], "yes"),
        (1, ["0", "1"], "1"),
        (1.0, ["0", "1"], "1"),
        ("1.0", ["0", "1"], "1"),
        (True, ["0", "1"], "1"),
        ("true", ["False", "True"], "True"),
        (True, ["False", "True"], "True"),
        (0, ["False", "True"], "False"),
        ("ye", ["no", "yes"], None),
        (None, ["no", "yes"], None),
        (2, ["0", "1"], None),
    ],
)
def test_a_class_written_in_yaml_names_the_class_of_the_table(
    written: object, classes: list[str], found: str | None
) -> None:
    assert named(written, classes) == found
