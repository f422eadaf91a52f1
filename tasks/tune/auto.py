"""`models: auto`: within one budget, try a portfolio of settings on folds, and keep the mix that predicts best.

First every family's first setting, cheapest family first, then the second ones, and so on. A setting whose first fold is
among the worst third is stopped there, and so is a family that fails or is too slow. What time is left
goes to more cuts, where rows are few and one cut into folds is a matter of luck, and then to neighbours of the best settings.
At the end members and weights are chosen on rows that the models were not fitted on; the mix is kept only if it beats
the best single setting there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from tasks.artifacts import Member, Trial, given, members_of
from tasks.encoding import Encoder
from tasks.ensembles.mixes import combine
from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.base import Counts, Log
from tasks.fitting.space import Settings
from tasks.kinds import find_kind
from tasks.metrics import higher_is_better, measure
from tasks.models import Model
from tasks.models.bag import Bag, BagPart, Joined
from tasks.models.formats import load_fitted
from tasks.tune.bags import Bags, Fits, encoder_folder, holdout, read_result, tried_without
from tasks.tune.messages import Died, Done, FitFailed, FoldAttempt, UserMistake
from tasks.tune.objective import Objective
from tasks.tune.portfolio import Named, near, portfolio
from tasks.tune.search import Budget, SearchResult
from tasks.tune.study import FOLDER
from tasks.tune.worker import Worker

LAST = 0.05  # share of the seconds for choosing and storing the members
CLOSING = 4.0  # seconds more, for loading their libraries
SHARE = 0.25  # of the seconds of all cores: what all folds of one setting may take, once there is an answer
LEAST_WEIGHT = 0.03  # members with less are left out, for they would cost time with every prediction
LOADING = 2.0  # seconds of a family's first fit that go into loading its library
MIXED = 25  # settings that the ensemble is chosen from


@dataclass(kw_only=True)
class AutoResult(SearchResult):
    """What ``auto`` found: also the model itself, and its scores of rows that the parts had not seen.

    ``scores`` belong to the rows of :attr:`Bags.y` at ``at``: all of them, or one fold's where time did not suffice.
    ``folds`` ``(n, cuts)`` says of these rows in which fold of each cut they were left out; None where there was one.
    ``beyond`` as in :class:`Bags`, where members were chosen so.
    """

    model: Model
    scores: np.ndarray
    at: np.ndarray
    folds: np.ndarray | None = None
    beyond: tuple[str, ...] = ()


@dataclass
class Tried:
    """One setting and what is known of it: the value by fold, and the seconds of its fits."""

    family: str
    params: Settings
    folder: Path
    values: dict[int, float] = field(default_factory=dict)
    state: str = "waiting"  # running (its first fold), going (accepted), complete, pruned, fail
    seconds: float = 0.0
    begun: set[int] = field(default_factory=set)

    def repeats(self, size: int) -> int:
        """Complete cuts."""
        turn = 0
        while all(turn * size + i in self.values for i in range(size)):
            turn += 1
        return turn


def search_families(
    objective: Objective,
    budget: Budget,
    key: str,
    *,
    starts: Sequence[Settings] = (),
    folder: Path = FOLDER,
    bags: Bags | None = None,
    log: Log = lambda line: None,
) -> AutoResult:
    """Try families and settings within ``budget``, and mix the best; ``budget.trials`` counts a family's settings.

    Parameters
    ----------
    key : the search's name.
    bags : the folds; those of ``objective`` (the first one alone) if left out.
    starts : parameters of an earlier ``auto`` (a champion's): its members are tried first.
    folder : finished fits are kept below, so that a search that was killed goes on.

    Raises
    ------
    RefitError
        If no setting was finished in time.
    """
    begun = time.monotonic()
    bags = bags or holdout(*objective.folds[0])
    root = Path(folder).absolute() / f"auto-{key}-{bags.mark}"
    known = {f.name: getattr(objective, f.name) for f in fields(Objective) if f.init and not f.name.startswith("_")}
    fits = Fits(**known | {"folds": bags.folds}, encoders=str(root / "encoders"))
    run = _AutoSearch(fits, bags, budget, root, starts, log)
    run.until_done()
    return run.mixed(begun)


class _AutoSearch:
    """One search."""

    def __init__(
        self, fits: Fits, bags: Bags, budget: Budget, root: Path, starts: Sequence[Settings], log: Log
    ) -> None:
        self.fits, self.bags, self.budget, self.root, self.log = fits, bags, budget, root, log
        self.begun = time.monotonic()
        self.end = self.begun
        self.rows, self.columns = bags.folds[0][0].shape
        self.sign = -1.0 if higher_is_better(fits.metric) else 1.0  # times a value: less is better
        self.rng = np.random.default_rng(fits.setup.seed)
        self.tried: list[Tried] = []
        self.seen: set[str] = set()
        self.bad: set[str] = set()
        self.reasons: list[str] = []
        self.reused = 0
        counts = (
            not find_kind(fits.setup.kind).output.classes and min(float(y.min()) for _, y, _, _ in bags.folds[:1]) >= 0
        )
        queue = [(m.family, m.params) for start in starts for m in members_of(start)]
        queue += portfolio(fits.setup.kind, self.rows, self.columns, counts)
        self.queue = tried_without(queue, fits.setup.imbalance)
        self.busy: dict[int, tuple[Tried, int, float]] = {}  # worker's place to its setting, fold, and start

    # The loop ------------------------------------------------------------------------------------
    def until_done(self) -> None:
        # Fits of one thread side by side waste nothing; with one holdout of many rows memory decides.
        count = max(self.budget.workers, self.budget.threads if self.bags.crossed else 1)
        crew: list[Worker] = []
        try:
            for _ in range(count):
                crew.append(Worker(self.fits, max(1, self.budget.threads // count)))
            for worker in crew:
                worker.wait()
            start = time.monotonic()
            # Starting Python counts too, unless the budget is so small that little else would be left.
            self.end = max(self.begun + self.budget.seconds * (1 - LAST) - CLOSING, start + self.budget.seconds / 2)
            while True:
                starting = []
                for place, worker in enumerate(crew):
                    if place in self.busy:
                        continue
                    if worker.ready or worker.pipe.poll():
                        self._begin(place, worker)
                    else:
                        starting.append(worker)
                now = time.monotonic()
                if not self.busy and (not starting or now >= self.end):
                    return
                limits = [self.end, *(self._limit(begun) for _, _, begun in self.busy.values())]
                pipes = [crew[p].pipe for p in self.busy] + [w.pipe for w in starting]
                ready = wait(pipes, timeout=max(0.0, min(limits) - now))
                for place in list(self.busy):
                    worker = crew[place]
                    if worker.pipe in ready:
                        self._hear(place, worker)
                    elif time.monotonic() >= self._limit(self.busy[place][2]):
                        self._drop(place, "out of time")
                        self._renew(worker)
        finally:
            for worker in crew:
                worker.end()

    def _limit(self, begun: float) -> float:
        """When a fit that began then is ended."""
        return self.end if not self._complete() else min(self.end, begun + 1.3 * self._longest())

    def _longest(self) -> float:
        """Seconds that one fit may take; families that can stop early do so then, others are ended a little later."""
        cores = self.budget.threads if self.bags.crossed else 1
        return LOADING + SHARE * self.budget.seconds * cores / self.bags.size

    def _begin(self, place: int, worker: Worker) -> None:
        while (task := self._next()) is not None:
            tried, fold = task
            tried.begun.add(fold)
            folder = tried.folder / str(fold)
            if (old := read_result(folder)) is not None:
                self.reused += 1
                self._note(tried, fold, old["value"], 0.0)
                continue
            now = time.monotonic()
            most = self.end if not self._complete() else min(self.end, now + self._longest())
            self.busy[place] = tried, fold, now
            worker.fit(FoldAttempt(tried.params, tried.family, fold=fold, folder=folder), most, False)
            return

    def _next(self) -> tuple[Tried, int] | None:
        """The next fit: first the rest of what was accepted, then a new setting's first fold, then another cut."""
        left = self.end - time.monotonic()
        if left <= 0:
            return None
        for one in self.tried:
            if one.state == "going":
                for fold in range(self.bags.size):
                    if fold not in one.begun:
                        return one, fold
        while (setting := self._queued()) is not None:
            if (new := self._new(setting, left)) is not None:
                return new, 0
        if (again := self._again(left)) is not None:
            return again
        for _ in range(50):
            drawn = self._neighbour()
            if drawn is not None and (new := self._new(drawn, left)) is not None:
                return new, 0
        return None

    def _new(self, setting: Named, left: float) -> Tried | None:
        """Take up a setting, unless it was seen, or its family is given up, or takes longer than is left."""
        name, params = setting
        code = hashlib.sha256(json.dumps([name, params], sort_keys=True).encode()).hexdigest()[:16]
        if code in self.seen or name in self.bad:
            return None
        cost = self._cost(name)
        if cost is not None and cost * self.bags.size / max(1, self.budget.threads) > left:
            return None
        self.seen.add(code)
        self.tried.append(Tried(name, params | self.fits.fixed, self.root / code, state="running"))
        return self.tried[-1]

    def _queued(self) -> Named | None:
        """The next of the portfolio."""
        while self.queue:
            name, params = self.queue.pop(0)
            if sum(t.family == name for t in self.tried) < self.budget.trials:
                return name, params
        return None

    def _neighbour(self) -> Named | None:
        """One of the best settings, moved a little; None where the draw has nothing to vary."""
        done = self._ranked()
        if not done:
            return None
        origin = done[min(int(self.rng.geometric(0.25)) - 1, len(done) - 1)]
        if sum(t.family == origin.family for t in self.tried) >= self.budget.trials:
            return None
        space = find_family(origin.family).space(self.fits.setup.kind, self.rows, self.columns)
        found = near((origin.family, origin.params), space, self.rng)
        return found if space and found[1] != origin.params else None

    def _again(self, left: float) -> tuple[Tried, int] | None:
        """A fold of another cut for one of the best settings, fewest cuts first."""
        size = self.bags.size
        for turn in range(1, self.bags.repeats):
            for one in self._ranked()[: MIXED // 2]:
                cost = (self._cost(one.family) or 0.0) * size / max(1, self.budget.threads)
                for fold in range(turn * size, turn * size + size):
                    if fold not in one.begun and (fold > turn * size or cost <= left):
                        return one, fold
        return None

    def _cost(self, family: str) -> float | None:
        """Mean seconds of a family's fits; None if there were none."""
        spent = [(t.seconds, len(t.values)) for t in self.tried if t.family == family and t.values and t.seconds]
        return sum(s for s, _ in spent) / sum(n for _, n in spent) if spent else None

    # What came of it -----------------------------------------------------------------------------
    def _hear(self, place: int, worker: Worker) -> None:
        answer = worker.hear()
        if isinstance(answer, Done):
            tried, fold, begun = self.busy.pop(place)
            self._note(tried, fold, float(answer.values[0]), time.monotonic() - begun)
            return
        self._drop(place, answer.reason if isinstance(answer, FitFailed | UserMistake) else "stopped")
        if isinstance(answer, Died):
            self._renew(worker)

    def _renew(self, worker: Worker) -> None:
        """Another process, if there is still use for it."""
        if time.monotonic() < self.end:
            worker.restart()

    def _drop(self, place: int, reason: str) -> None:
        tried = self.busy.pop(place)[0]
        if tried.state != "complete":  # a further cut may fail without loss
            tried.state = "fail"
            if not any(t.family == tried.family and t.state == "complete" for t in self.tried):
                self.bad.add(tried.family)
        self.reasons.append(f"{tried.family}: {reason}")
        self.log(f"{tried.family}: left out: {reason}")

    def _note(self, tried: Tried, fold: int, value: float, seconds: float) -> None:
        tried.values[fold] = value
        first = not any(t.family == tried.family and len(t.values) > (t is tried) for t in self.tried)
        tried.seconds += max(0.01, seconds - (LOADING if first else 0.0)) if seconds else 0.0
        if tried.state == "running":
            tried.state = "going" if self._worth(tried) else "pruned"
            if tried.state == "pruned":
                self.log(f"{tried.family}: stopped after one fold at {value:.5g}")
        if tried.state == "going" and tried.repeats(self.bags.size):
            tried.state = "complete"
            self.log(f"{tried.family}: {self.fits.metric} {self._value(tried):.5g} with {json.dumps(tried.params)}")

    def _worth(self, tried: Tried) -> bool:
        """Whether the other folds shall be fitted too."""
        if self.bags.size == 1:
            return True
        cost = (self._cost(tried.family) or 0.0) * (self.bags.size - 1) / max(1, self.budget.threads)
        left = self.end - time.monotonic()
        first = not any(t is not tried and t.family == tried.family and t.values for t in self.tried)
        others = [self.sign * t.values[0] for t in self.tried if t is not tried and 0 in t.values]
        own = self.sign * tried.values[0]
        share = 0.6 if others and own <= min(others) else 0.3  # the best so far may be dear
        if cost > left or (first and cost > share * left and self._complete()):
            self.bad.add(tried.family)
            return False
        return first or len(others) < 4 or own <= float(np.quantile(others, 2 / 3))

    def _complete(self) -> bool:
        return any(t.state == "complete" for t in self.tried)

    def _value(self, tried: Tried) -> float:
        """Mean over the folds of complete cuts; the second alone where that is the one to choose by."""
        if self.bags.beyond:
            return tried.values.get(1, tried.values[0])
        count = max(1, tried.repeats(self.bags.size)) * self.bags.size
        return float(np.mean([v for fold, v in tried.values.items() if fold < count]))

    def _ranked(self) -> list[Tried]:
        return sorted((t for t in self.tried if t.state == "complete"), key=lambda t: self.sign * self._value(t))

    # The end -------------------------------------------------------------------------------------
    def _scores(self, tried: Tried, served: bool = False) -> np.ndarray:
        """Scores of all rows by models that had not seen them: ``(n, classes)`` or ``(n,)``, the mean over cuts.

        Of two fits, further back and not, those to choose by; with ``served`` those of what is served.
        """
        if self.bags.beyond:
            fold = 0 if served else 1
            return np.asarray(np.load(tried.folder / str(fold) / "scores.npy", allow_pickle=False), dtype=float)
        total: np.ndarray | None = None
        turns = tried.repeats(self.bags.size)
        for fold in range(turns * self.bags.size):
            found = np.load(tried.folder / str(fold) / "scores.npy", allow_pickle=False)
            if total is None:
                total = np.zeros((len(self.bags.y), *found.shape[1:]))
            total[self.bags.held[fold]] += found / turns
        return np.asarray(total)

    def mixed(self, begun: float) -> AutoResult:
        """Choose the members, and put their fold models together."""
        at = np.arange(len(self.bags.y))
        if not self._complete():  # the first fold has to do as a holdout
            at = self.bags.held[0]
            self.bags = Bags(self.bags.folds[:1], [np.arange(len(at))], self.bags.y[at], 1)
            for one in self.tried:
                if 0 in one.values:
                    one.state, one.values = "complete", {0: one.values[0]}
        ranked = self._ranked()
        if not ranked:
            why = f" ({'; '.join(self.reasons[:3])})" if self.reasons else ""
            raise RefitError(
                f"models.auto.seconds: {self.budget.seconds:g} s did not suffice for one fit of any family on "
                f"{self.rows:,} rows{why}. Raise tuning.seconds, or lower tuning.rows."
            )
        many = len(self.bags.y) > 5_000  # chance matters less there, and time more
        firsts = {t.family: t for t in reversed(ranked)}.values()  # the best of each family
        pool = list({id(t): t for t in [*ranked[: MIXED // 3 if many else MIXED], *firsts]}.values())
        names = [f"{i:03d}" for i in range(len(pool))]
        scores = {name: self._scores(t) for name, t in zip(names, pool, strict=True)}
        y, kind, metric = self.bags.y, self.fits.setup.kind, self.fits.metric
        methods = ("greedy",) if many else ("greedy", "bagged")
        left = max(0.0, begun + self.budget.seconds - time.monotonic())
        found = combine(scores, y, kind, metric, methods, seed=self.fits.setup.seed, seconds=left)
        weights = np.asarray(found["weights"])
        order = [i for i in np.argsort(-weights, kind="stable") if weights[i] >= min(LEAST_WEIGHT, weights.max())]
        weights = weights / weights[order].sum()
        chosen = [(pool[int(found["members"][i])], float(weights[i])) for i in order]
        held = np.asarray(sum(w * self._scores(t, served=True) for t, w in chosen))
        value = float(measure(metric, y, held, kind))
        told = ", ".join(f"{t.family} {w:.2f}" for t, w in chosen)
        self.log(f"{found['method']} of {len(ranked)} settings: {metric} {value:.5g} ({told})")
        lead = chosen[0][0]
        members = [
            Member(family=t.family, params=t.params, weight=w, value=self._value(t), **given(counts=self._counts(t)))
            for t, w in chosen
        ]
        params: Settings = {"family": lead.family, **lead.params, "members": [m.to_dict() for m in members]}
        trials = [
            Trial(
                number=i,
                params=t.params,
                value=self._value(t) if t.values else None,
                state=t.state if t.state in ("complete", "pruned") else "fail",
                intermediate={str(k): v for k, v in sorted(t.values.items())},
                family=t.family,
            )
            for i, t in enumerate(self.tried)
        ]
        model = self._model(chosen, members, params)
        self.log(
            f"{time.monotonic() - begun:.0f} s, of which {time.monotonic() - self.end:.0f} s choosing and loading the members"
        )
        folds = self.bags.numbers if self.bags.crossed else None
        return AutoResult(
            params=params, value=value, trials=trials, reused=self.reused,
            model=model, scores=held, at=at, folds=folds, beyond=self.bags.beyond,
        )  # fmt: skip

    def _counts(self, tried: Tried) -> Counts:
        """Of the first fold's training rows, where they were balanced."""
        counts: Counts = (read_result(tried.folder / "0") or {}).get("counts", {})
        return counts

    def _model(self, chosen: list[tuple[Tried, float]], members: list[Member], params: Settings) -> Model:
        kind, classes = self.fits.setup.kind, self.fits.setup.classes
        encoders: dict[Path, tuple[Encoder, int]] = {}
        parts: list[BagPart] = []
        width = 0
        for number, (tried, weight) in enumerate(chosen):
            count = 1 if self.bags.beyond else tried.repeats(self.bags.size) * self.bags.size
            for fold in range(count):
                imbalance = str(tried.params.get("imbalance", self.fits.setup.imbalance))
                at = encoder_folder(self.root / "encoders", tried.family, fold, imbalance)
                if at not in encoders:
                    encoders[at] = Encoder.load(at), width
                    width += len(encoders[at][0].names)
                encoder, start = encoders[at]
                folder = tried.folder / str(fold)
                fitted = load_fitted(str((read_result(folder) or {})["format"]), folder, kind, classes)
                stop = start + len(encoder.names)
                parts.append(BagPart(number, fitted, start, stop, encoder.dtype, weight / count))
        if len(parts) == 1:
            own = {k: v for k, v in params.items() if k not in ("family", "members")}
            return Model(
                chosen[0][0].family, kind, classes, next(iter(encoders.values()))[0], parts[0].fitted, params=own
            )
        joined = Joined([e for e, _ in encoders.values()])
        return Model("auto", kind, classes, joined, Bag(parts, members, len(encoders)), params=params)
