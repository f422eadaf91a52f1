"""Pieces of the ``params.yaml`` that ``init`` writes: declarations, lists on a line, moments, names, sources."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.params import Moment
from tasks.profile.column import Spec

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap, CommentedSeq


def to_yaml(tree: Mapping[str, object]) -> str:
    """The text of a ``params.yaml``, with the tree's comments and a blank line between sections."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(tree, text)
    return re.sub(r"\n(?=[a-z]+:)", "\n\n", text.getvalue())


def flow(spec: Spec) -> str | CommentedMap:
    """A column's declaration, on one line."""
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(spec, str):
        return spec
    made = CommentedMap(spec)
    if "missing" in made:
        made["missing"] = flow_list([DoubleQuotedScalarString(text) for text in made["missing"]])
    if "spellings" in made:
        made["spellings"] = flow_map(
            {
                DoubleQuotedScalarString(name): flow_list([DoubleQuotedScalarString(text) for text in texts])
                for name, texts in made["spellings"].items()
            }
        )
    made.fa.set_flow_style()
    return made


def flow_list(values: Iterable[object]) -> CommentedSeq:
    """A list on one line."""
    from ruamel.yaml.comments import CommentedSeq

    made = CommentedSeq(values)
    made.fa.set_flow_style()
    return made


def flow_map(values: Mapping[str, object]) -> CommentedMap:
    """A mapping on one line."""
    from ruamel.yaml.comments import CommentedMap

    made = CommentedMap(values)
    made.fa.set_flow_style()
    return made


def moment_text(column: str) -> str | dict[str, str]:
    """A moment as ``params.yaml`` writes it: the column's name, or a mapping where the name could be read otherwise."""
    try:
        if Moment.model_validate(column).column == column:
            return column
    except ValueError:
        pass
    return {"column": column}


def slug(text: str) -> str:
    """Letters, digits, ``_`` and ``-`` of a name; never empty.

    >>> slug("my data (2).csv"), slug("---")
    ('my-data-2-csv', 'data')
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_") or "data"


def source_text(path: Path) -> str:
    """A file as ``source`` names it: from the project's folder on where it lies there."""
    whole = Path(os.path.abspath(path))  # a link stays one, to be followed at each run
    return whole.relative_to(Path.cwd()).as_posix() if whole.is_relative_to(Path.cwd()) else whole.as_posix()
