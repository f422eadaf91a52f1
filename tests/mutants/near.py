"""Which unit tests are near to a function or a file: what the record says of them, and where there is none, their imports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.record import digest
from tests.mutants.sites import Change
from tests.projects import ROOT

RECORD = ROOT / ".refit" / "mutants"
IMPORTED = re.compile(r"^ *(?:from|import) ((?:tasks|flows|deploy)[\w.]*)(?: import \(?([\w, \n]+))?", re.MULTILINE)
UNKNOWN = 6.0  # seconds of a file of tests without a record
PINNED = "tests/tasks/test_decided.py"  # sees that a number changed, not that it is wrong: no judge
FIRST = 8.0  # seconds of the nearest tests, which run before the others


@dataclass
class Record:
    """Which tests call a function, and how long each took."""

    seconds: dict[str, float] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)
    fixtures: dict[str, float] = field(default_factory=dict)
    calling: dict[str, set[str]] = field(default_factory=dict)  # function: tests
    within: dict[str, set[str]] = field(default_factory=dict)  # file: tests that call any function of it
    whole: dict[str, set[str]] = field(default_factory=dict)  # file: files of tests without a record that import it
    texts: dict[str, str] = field(default_factory=dict)  # file of tests: what is written in it

    @classmethod
    def read(cls, folder: Path, root: Path) -> Record:
        out = cls()
        kept_of = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
        for path in sorted((root / "tests").rglob("test_*.py")):
            name = path.relative_to(root).as_posix()
            if name == PINNED:
                kept_of.pop(name.replace("/", "."), None)
                continue
            out.texts[name] = path.read_text()
            if kept_of.get(name.replace("/", "."), {}).get("digest") != digest(path):
                kept_of.pop(name.replace("/", "."), None)
                out._add_whole(name, out.texts[name], root)
        for kept in kept_of.values():
            for name, seconds in kept["fixtures"].items():
                out.fixtures[name] = max(seconds, out.fixtures.get(name, 0.0))
            for test, one in kept["tests"].items():
                if not (root / test.partition("::")[0]).exists():
                    continue
                out.seconds[test], out.needs[test] = one["seconds"], one["fixtures"]
                for function in {*one["functions"], *kept["shared"]}:
                    out.calling.setdefault(function, set()).add(test)
                    out.within.setdefault(function.partition(":")[0], set()).add(test)
        return out

    def _add_whole(self, name: str, text: str, root: Path) -> None:
        """A file of tests that is not recorded yet: it may call what it imports of its room, and takes some seconds."""
        self.seconds[name], self.needs[name] = UNKNOWN, []
        for module, names in IMPORTED.findall(text):
            for dotted in (module, *(f"{module}.{n.strip()}" for n in names.split(",")))["." not in module :]:
                place = root / dotted.replace(".", "/")
                for file in [place.with_suffix(".py")] if place.with_suffix(".py").exists() else place.rglob("*.py"):
                    if _distance(name, own := file.relative_to(root).as_posix()) < 2:
                        self.whole.setdefault(own, set()).add(name)

    def cost(self, tests: Iterable[str]) -> float:
        """Seconds of these tests together, with the fixtures that they share."""
        tests = list(tests)
        shared = {name for t in tests for name in self.needs[t] if name in self.fixtures}
        return sum(self.seconds[t] for t in tests) + sum(self.fixtures[name] for name in shared)

    def near(self, files: list[str]) -> list[str]:
        """The tests that call any of these files, and those of their folders, nearest first."""
        found = {t for f in files for t in self.within.get(f, set()) | self.whole.get(f, set()) | self._of_folder(f)}
        return sorted(found, key=lambda t: (min(_distance(t, f) for f in files), self.seconds[t], t))

    def judges(self, change: Change, seconds: float) -> list[list[str]]:
        """The tests of a change in two parts, nearest first: first a few seconds of them, then the others."""
        own = self.calling.get(f"{change.file}:{change.function}", set()) | self.whole.get(change.file, set())
        found = own or self.within.get(change.file, set()) or self._of_folder(change.file)
        if not change.function:  # a module's own numbers are seen by whoever names the module, too
            found = found | self._naming(change.file.removesuffix(".py").replace("/", "."))
        parts: list[list[str]] = [[], []]
        taken: list[str] = []
        for test in sorted(found, key=lambda t: (_distance(t, change.file), self.seconds[t], t)):
            spent = self.cost([*taken, test])
            if taken and spent > seconds:
                continue
            taken.append(test)
            parts[0 if spent <= FIRST or len(taken) == 1 else 1].append(test)
        return [p for p in parts if p]

    def _naming(self, module: str) -> set[str]:
        return {t for t in self.seconds if module in self.texts.get(t.partition("::")[0], "")}

    def _of_folder(self, file: str) -> set[str]:
        folder = (Path("tests") / Path(file).parent).as_posix() + "/"
        return {t for t in self.seconds if t.startswith(folder)}


def _distance(test: str, file: str) -> int:
    """0 for the tests of the file's own name, 1 for its folder's, 2 for others."""
    path = Path(test.partition("::")[0])
    home = Path(file).parent
    if path.as_posix() == file or (
        path.parent == "tests" / home and path.name == f"test_{Path(file).name.lstrip('_')}"
    ):
        return 0
    return 1 if path.parent in (home, "tests" / home) else 2
