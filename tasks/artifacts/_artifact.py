"""What every file between stages is: a frozen value, read and written in one place, with the types of what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from tasks.errors import RefitError
from tasks.files import read_json, write_json

Number = int | float  # in a file 1 stays 1, and 1.0 stays 1.0


def given(**fields: Any) -> dict[str, Any]:
    """Those of the fields that are not empty, to be given to a :class:`Part`: the others are not to be written.

    >>> given(goals=None, silent={}, family="tree")
    {'family': 'tree'}
    """
    return {name: value for name, value in fields.items() if value}


class Part(BaseModel):
    """A frozen object within a file. Its fields stand in the file in the order in which they are declared here.

    A field that was not given is not written; read, it has its default.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True,
        defer_build=True,  # a process uses few of the types, and importing all of them would take twice as long
    )  # fmt: skip

    def to_dict(self) -> dict[str, JsonValue]:
        """The object as it stands in the file."""
        return self.model_dump(exclude_unset=True, by_alias=True)


class Artifact(Part):
    """A JSON file of one object that one stage writes and others read.

    Attributes
    ----------
    NAME : the file's name.
    """

    NAME: ClassVar[str]

    @classmethod
    def of_json(cls, value: JsonValue) -> Self:
        """The value of such a file. Raises pydantic's :class:`ValidationError` where it says something else."""
        return cls.model_validate(value)

    def to_json(self) -> JsonValue:
        """What is written."""
        return self.to_dict()

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """What the file in ``folder`` says.

        Raises
        ------
        RefitError
            If there is no such file, it is not valid JSON, or it says something else than such a file does.
        """
        path = Path(folder) / cls.NAME
        try:
            return cls.of_json(read_json(path))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise RefitError(
                f"{path}: {where}: {first['msg']}. The file is not as its stage writes it; remove it and run `refit run` again."
            ) from None

    @classmethod
    def find(cls, folder: str | Path) -> Self | None:
        """What the file says, None where there is none. Raises as :meth:`read` where it is damaged."""
        return cls.read(folder) if (Path(folder) / cls.NAME).is_file() else None

    def write(self, folder: str | Path) -> None:
        """Write the file into ``folder`` (indented; non-finite numbers are refused)."""
        write_json(Path(folder) / self.NAME, self.to_json())


class Lasting(Part):
    """An object in a file that outlives its run, in a package or a registry: what another version of Refit says besides is
    passed over, and what an older one lacks has a default."""

    model_config = ConfigDict(extra="ignore")


class LastingArtifact(Artifact):
    """A file that outlives its run, as :class:`Lasting`."""

    model_config = ConfigDict(extra="ignore")


class Bare(Artifact):
    """A file that is a list, or a mapping by names that are not fixed: the value of its only field."""

    @classmethod
    def of_json(cls, value: JsonValue) -> Self:
        """The value of such a file. Raises pydantic's :class:`ValidationError` where it says something else."""
        return cls.model_validate({cls._field(): value})

    def to_json(self) -> JsonValue:
        """What is written: the field's value alone."""
        return self.to_dict()[self._field()]

    @classmethod
    def _field(cls) -> str:
        (name,) = cls.model_fields
        return name
