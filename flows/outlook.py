"""What a run would do, and why, without doing it: ``refit run --explain``, and a line of ``refit status``.

DVC is asked as a run asks it: a stage is due where its command, what it reads or what it made is not as ``dvc.lock`` has
it. What effects would write before the stages is looked at and not written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows import carried, champions, context, journal_source, sources, standing
from flows.expected import Expected
from flows.lasted import lasted
from flows.packages import digest_made
from flows.records import cached, read_lock
from flows.screen import silence_dvc
from flows.seal import HOUSE
from flows.up_to_date import made_a_verdict
from tasks import code
from tasks.artifacts import AsOf, ChampionFile
from tasks.artifacts.folders import CHAMPION, CODE, CONTEXT
from tasks.errors import RefitError, shortened, some, with_causes
from tasks.ingest.files import unlisted
from tasks.ingest.snapshots import path_of_events
from tasks.registry.history import current_champion
from tasks.report.changes import leaves

if TYPE_CHECKING:
    from dvc.dependency import Dependency, ParamsDependency
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    from tasks.params import Params

KEYS = 3  # parameters of a stage that are named one by one


@dataclass(frozen=True)
class Due:
    """A stage that a run would bring up to date.

    ``why``: what is not as it was, a reason each. ``after``: due stages whose outputs it reads; where these make what they made
    before and there is no other reason, it is left out. ``restored``: its outputs would come from DVC's cache. ``seconds``:
    how long it took when it ran last; None where nobody knows.
    """

    stage: str
    why: tuple[str, ...]
    after: tuple[str, ...]
    restored: bool
    seconds: float | None

    @property
    def reason(self) -> str:
        """Why it is due, in words."""
        return "; ".join(self.why) or f"after {', '.join(self.after)}"


@dataclass(frozen=True)
class Outlook:
    """What a run would do: stages that are due, in their order, those that are as they were, and what comes after them.

    ``effects``: whether a result would be tracked, registered and judged. ``notes``: what cannot be told without doing it.
    ``seconds``: all of it by the stages' last times, as a run's display tells it; those of unknown time count nothing.
    """

    due: tuple[Due, ...]
    unchanged: tuple[str, ...]
    effects: bool
    notes: tuple[str, ...]
    seconds: float = 0.0

    def sentence(self) -> str:
        """What would be done, in a sentence."""
        if not self.due:
            return (
                "nothing to run, but the last result is still to be registered"
                if self.effects
                else "nothing to run: everything is up to date"
            )
        known = sum(not one.restored and one.seconds is not None for one in self.due)
        unknown = sum(not one.restored and one.seconds is None for one in self.due)
        cost = f", about {spoken(self.seconds)} by their last times" if known else ""
        cost += f" (of {unknown} of them no time is known)" if known and unknown else ""
        return f"{len(self.due)} of {len(self.due) + len(self.unchanged)} stages to run{cost}"

    def lines(self) -> Iterator[str]:
        """All of it, a line each."""
        yield self.sentence()
        wide = max((len(one.stage) for one in self.due), default=0)
        times = [
            "restored" if one.restored else "?" if one.seconds is None else spoken(one.seconds) for one in self.due
        ]
        for one, time in zip(self.due, times, strict=True):
            yield f"  {one.stage:<{wide}}  {time:>{max(map(len, times))}}  {one.reason}"
        if self.due and self.unchanged:
            yield f"unchanged: {', '.join(self.unchanged)}"
        if self.effects:
            yield "then: track, register, check the package, and promote if the verdict says so"
        if any(not one.why for one in self.due):
            yield "A stage that is only after others is left out where these make what they made before."
        yield from self.notes
        yield "Nothing was done."


def outlook(root: Path, params: Params, as_of: str | None = None) -> Outlook:
    """Look at everything that a run would look at. Raises :class:`RefitError` where DVC cannot read the project."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    silence_dvc()
    if (root / "dvc.lock").exists() and read_lock(root / "dvc.lock") is None:
        raise RefitError(
            f"{root / 'dvc.lock'}: cut or in conflict, so nobody can tell what changed. Restore it from git, or run "
            "`refit run`, which sets it aside and takes from DVC's cache what is there."
        )
    if carried.damaged(root):
        raise RefitError(f"{root / carried.FILE}: cut or in conflict. Run `refit run`, which writes it anew.")
    before = os.getcwd()
    os.chdir(root)  # DVC reads paths from here
    try:
        with Repo(str(root)) as repo:
            return _Survey(root, params, as_of, repo).all()
    except DvcException as error:
        raise RefitError(f"dvc.yaml: {with_causes(error)}") from None
    finally:
        os.chdir(before)


class _Survey:
    def __init__(self, root: Path, params: Params, as_of: str | None, repo: Repo) -> None:
        self.root, self.params, self.as_of, self.repo = root, params, as_of, repo
        graph = carried.walked(repo)
        self.stages = {stage.addressing: stage for stage in graph}
        self.needs = {stage.addressing: sorted(one.addressing for one in graph.successors(stage)) for stage in graph}
        dag = (root / "dvc.yaml").read_text(encoding="utf-8")
        self.sources = unlisted(params, dag, root)
        own = root / "tasks"
        self.code = code.differences(root, code.asked(dag), own if own.is_dir() else HOUSE / "tasks")
        self.written = {CONTEXT.as_posix(): self._context(), CHAMPION.as_posix(): self._champion(), **self._told()}

    def all(self) -> Outlook:
        took, due, unchanged = lasted(self.root), dict[str, Due](), list[str]()
        needs = {name: tuple(self.needs[name]) for name in sorted(self.stages, key=lambda one: (self._depth(one), one))}
        for name in needs:
            stage = self.stages[name]
            after = [one for one in self.needs[name] if one in due]
            why = list(self._why(stage, after))
            if not (why or after):
                unchanged.append(name)
                continue
            restored = not after and not self._to_be_written(stage) and self._restorable(stage)
            due[name] = Due(name, tuple(why), tuple(self._nearest(after)), restored, took.get(name))
        notes = [
            f"{one} comes from a database: a run asks it again, and stages run where its rows changed."
            for one in sources.queries(self.params)
        ]
        times = {name: 0.0 if one.restored else one.seconds or 0.0 for name, one in due.items()}
        all_of_it = Expected(needs, frozenset(due), times, self.params.orchestration.parallel).left() or 0.0
        effects = bool(due) or self._unfinished()
        return Outlook(tuple(due.values()), tuple(unchanged), effects, tuple(notes), all_of_it)

    def _nearest(self, after: list[str]) -> list[str]:
        """Of stages those that no other of them comes after."""
        return [one for one in after if not any(one in self._upstream(other) for other in after)]

    def _upstream(self, name: str) -> set[str]:
        return set(self.needs[name]).union(*(self._upstream(one) for one in self.needs[name]))

    def _depth(self, name: str) -> int:
        return 1 + max((self._depth(one) for one in self.needs[name]), default=0)

    # Why a stage is due ------------------------------------------------------------------------------------------------
    def _why(self, stage: PipelineStage, after: list[str]) -> Iterator[str]:
        from dvc.dependency import ParamsDependency

        name = stage.addressing
        if not any(dep.hash_info for dep in stage.deps) and not any(out.hash_info for out in stage.outs):
            yield "never ran (no record in dvc.lock)"
            return
        if stage.changed_stage():
            yield "its entry in dvc.yaml is another"
        if name == "ingest" and self.sources:
            yield f"new source: {some(self.sources, 3)}"
        made = {out.fs_path for one in after for out in self.stages[one].outs}
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                yield from _keys(dep)
            elif not any(
                dep.fs_path == out or Path(out).is_relative_to(dep.fs_path) or Path(dep.fs_path).is_relative_to(out)
                for out in made
            ):
                yield from self._reads(name, dep)
        for out in stage.outs:
            if status := out.status().get(str(out)):
                words = {"deleted": "is gone", "not in cache": "is not in DVC's cache", "new": "has no record"}
                yield f"its output {out} {words.get(status, 'was changed since')}"

    def _reads(self, name: str, dep: Dependency) -> Iterator[str]:
        """Why a file or folder that a stage reads is not what it was."""
        path = str(dep)
        base = name.partition("@")[0]
        if path == (CODE / f"{base}.json").as_posix() and base in self.code:
            changed = self.code[base]
            more = f" and {len(changed) - KEYS} more" if len(changed) > KEYS else ""
            yield f"Refit's code changed: {', '.join(changed[:KEYS])}{more}"
            return
        written = next((why for folder, why in self.written.items() if path == folder and why), None)
        if written:
            yield written
        elif status := dep.status().get(path):
            yield f"{path} {'is gone' if status == 'deleted' else 'is new' if status == 'new' else 'changed'}"

    def _to_be_written(self, stage: PipelineStage) -> bool:
        """Whether an effect would first write what the stage reads, so that nobody knows yet what DVC's cache has for it."""
        paths = [str(dep) for dep in stage.deps]
        base = stage.addressing.partition("@")[0]
        return (
            base in self.code
            or (base == "ingest" and bool(self.sources))
            or any(path in self.written and self.written[path] for path in paths)
        )

    def _restorable(self, stage: PipelineStage) -> bool:
        if not all(dep.exists for dep in stage.deps):
            return False
        entry = cached(self.repo, stage)
        return entry is not None and bool(entry.outs_cached())

    # What effects would write ------------------------------------------------------------------------------------------
    def _context(self) -> str | None:
        kept, asked = AsOf.find(self.root / CONTEXT), context.asked_as_of(self.as_of)
        if (kept.as_of if kept else None) == (asked.as_of if asked else None):
            return None
        own = self.params.data.as_of
        of_params = own.isoformat() if own else "everything"
        was, now = (one.as_of if one and one.as_of else of_params for one in (kept, asked))
        return f"as of: {was[:19]} → {now[:19]}"

    def _told(self) -> dict[str, str]:
        """What came into the journal since, by the snapshot that it would go into."""
        return {
            path_of_events(name).as_posix(): f"{name}: {what}"
            for name, what in journal_source.news(self.root, self.params).items()
        }

    def _champion(self) -> str | None:
        champion = current_champion(champions.decisions(self.root, self.params.problem.name, None))
        held = ChampionFile.find(self.root / CHAMPION)
        if champion is not None and digest_made(self.root) == champion.package_sha256:
            return None
        of = None if champion is None else (champion.package_sha256, champion.number)
        if of == (None if held is None else (held.package_sha256, held.since)):
            return None
        now = f"version {champion.champion}" if champion else "none"
        return f"champion: {f'version {held.version}' if held else 'none'} → {now}"

    def _unfinished(self) -> bool:
        """Whether the effects of the last result are still to be done, as after a crash between two of them."""
        if not made_a_verdict(self.root):
            return False
        return standing.concluded(self.root, standing.result(self.root, self.params)) is None


def _keys(dep: ParamsDependency) -> Iterator[str]:
    """Which parameters of a stage are others than it ran with, as the file has them."""
    was, now = dict(leaves(dict(dep.hash_info.value or {}))), dict(leaves(dep.read_params()))
    differ = [key for key in dict.fromkeys([*was, *now]) if was.get(key, ...) != now.get(key, ...)]
    for key in differ[:KEYS]:
        yield f"{key}: {_value(was, key)} → {_value(now, key)}"
    if len(differ) > KEYS:
        yield f"{len(differ) - KEYS} more keys of {dep.fs_path and os.path.basename(dep.fs_path)}"


def _value(tree: dict[str, object], key: str) -> str:
    return shortened(str(tree[key]), 40) if key in tree else "unset"


def spoken(seconds: float) -> str:
    """A length of time for people.

    >>> spoken(0.4), spoken(42.2), spoken(131), spoken(7300)
    ('under 1 s', '42 s', '2 min 11 s', '2 h 1 min')
    """
    if seconds < 1:
        return "under 1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
