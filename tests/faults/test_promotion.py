"""Killed at random moments of promote, rollback, adopt and a run's effects: one champion, one history, no half state."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import champions, context, packages, promotion
from tasks.files import sha256, write_json
from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import Registry
from tests.postgres import postgres
from tests.samples import candidate, choice, metrics
from tests.tasks.registry.packages import MODEL, make_package, make_versions

pytestmark = pytest.mark.faults


class Promoter:
    """Starts one command at a time in a process that can be killed after a delay, in a checkout of its own."""

    def __init__(self, root: Path, registry: str) -> None:
        self.root, self.said = root, root / "said.txt"
        with self.said.open("a") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.promoter", str(root)],
                env=os.environ | {"MLFLOW_TRACKING_URI": registry},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            )  # fmt: skip
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def begin(self, history: str, command: str) -> int:
        """Start a command; returns its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{history} {command}\n")
        self._process.stdin.flush()
        return int(self._read())

    def end(self) -> int:
        """Exit code of the command; -9 where a kill came first."""
        return int(self._read().split()[1])

    def run(self, history: str, command: str) -> int:
        self.begin(history, command)
        return self.end()

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """URLs of two empty histories."""
    if request.param == "sqlite":
        yield [f"sqlite:///{tmp_path / 'shared' / f'{n}.db'}" for n in "ab"]
        return
    import psycopg

    with postgres() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE second")
        yield [url, url.removesuffix("postgres") + "second"]


class World:
    """Two checkouts with one registry and one history, and a look at whether all of it fits together."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home = folder / "shared"
        make_versions(home, 3)
        self.uri = Registry(home).uri
        monkeypatch.setenv("MLFLOW_TRACKING_URI", self.uri)
        self.home, self.roots = home, [folder / "ada", folder / "ben"]
        for root in self.roots:
            choice("tree", metric="rmse", valid=1.0).write(root / "data" / "evaluation")
            metrics().write(root / "data" / "evaluation")
            candidate("tree").write(root / "data" / "models" / "tree")
            (root / "params.yaml").write_text("seed: 1\n")
            (root / "dvc.lock").write_text("schema: '2.0'\n")

    def lay_out(self, root: Path, number: int) -> str:
        """Stages of a run that made package ``number``, better than the champion; returns its hash."""
        shutil.rmtree(root / packages.PACKAGE, ignore_errors=True)
        make_package(root / packages.PACKAGE, f"package {number}")
        context.write_champion(root, MODEL)
        said = {"verdict": "promote", "sentence": f"effects {number}", "rule": "test", "n": number}
        write_json(root / promotion.VERDICT / "verdict.json", said)
        (root / promotion.VERDICT / "counted.parquet").write_bytes(b"rows of %d" % number)
        return sha256(root / packages.PACKAGE / "bundle.json")

    def rows(self) -> list[tuple[str, str, str]]:
        """Action, reason and package of each decision; checks that the history is whole."""
        rows = DecisionHistory(self.home).decisions(MODEL)
        assert [d.number for d in rows] == list(range(1, len(rows) + 1))
        for before, after in itertools.pairwise(rows):
            assert after.previous == before.champion, "a change of champion is missing from the history"
        assert len({d.key for d in rows}) == len(rows)
        looks = DecisionHistory(self.home).counted(MODEL)
        assert all((d.number in looks) == d.reason.startswith(("effects", "rows that", "version")) for d in rows)
        return [(d.action, d.reason, d.package_sha256) for d in rows]

    def champion(self) -> str | None:
        found = DecisionHistory(self.home).champion(MODEL)
        return found.package_sha256 if found else None

    def alias(self) -> str | None:
        registry = Registry(self.home)
        version = registry.client.get_registered_model(MODEL).aliases.get("champion")
        return None if version is None else registry.version(MODEL, str(version)).package_sha256

    def settled(self, root: Path) -> None:
        """History, alias, lock and service of a checkout name one package, and nothing half-copied lies there."""
        champion = self.champion()
        lock = champions.lock_of(root)
        assert lock is not None
        assert self.alias() == champion == lock.package_sha256
        folder, _, _ = champions.to_serve(root, MODEL)
        assert sha256(folder / "bundle.json") == champion
        assert not [p for p in (root / packages.KEPT).parent.rglob(".*.old.*") if p.is_dir()]


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_a_kill_at_any_moment_leaves_one_champion_and_one_history(
    tmp_path: Path, database: list[str], full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ada's command is killed, now and then while Ben decides too; the same command again ends what was begun."""
    world = World(tmp_path, monkeypatch)
    ada, ben = (Promoter(root, world.uri) for root in world.roots)
    rng = random.Random(7)
    history, spare = database
    monkeypatch.setenv("REFIT_HISTORY", history)
    digest = {v.version: v.package_sha256 for v in Registry(world.home).versions(MODEL)}
    tries = (100 if full else 8) // (1 if full or history.startswith("sqlite") else 2)
    killed: Counter[str] = Counter()
    whole, next_package = {}, 10
    world.lay_out(ada.root, next_package)
    for command in (f"effects {next_package}", "promote 1"):
        began = time.perf_counter()
        assert ada.run(history, command) == 0, ada.said.read_text()
        whole[command.split()[0]] = time.perf_counter() - began
    actions = itertools.cycle(["promote", "effects", "rollback", "adopt"])
    try:
        for i in range(tries):
            action, before, champion = next(actions), world.rows(), world.champion()
            rival = rng.random() < 0.4
            if action == "effects":
                next_package += 1
                wanted = world.lay_out(ada.root, next_package)
                command = f"effects {next_package}"
            else:
                version = rng.choice([v for v in "123" if digest[v] != champion])
                command, wanted = f"{action} {version}", digest[version]
            other = rng.choice([v for v in "123" if digest[v] not in (champion, wanted)])
            pid = ada.begin(history, command)
            if rival:
                ben.begin(history, f"promote {other}")
            time.sleep(rng.uniform(0, (2.0 if rival else 1.1) * whole["effects" if action == "effects" else "promote"]))
            with contextlib.suppress(ProcessLookupError):  # it was quicker than the kill
                os.kill(pid, signal.SIGKILL)
            code, theirs = ada.end(), ben.end() if rival else None
            killed[action] += code == -9
            possible = {champion, wanted} | ({digest[other]} if rival else set())
            rows = world.rows()
            assert rows[: len(before)] == before, "a decision was lost"
            assert world.champion() in possible
            assert world.alias() in possible
            # Who was told that all went well is in the history; who was told of another, or was killed, once at most.
            mine = [row for row in rows[len(before) :] if row[2] == wanted]
            his = [row for row in rows[len(before) :] if row[1] == f"promote {other}" and row[2] == digest[other]]
            assert len(mine) <= 1
            assert len(mine) == 1 or code != 0
            if rival:
                assert len(his) == (theirs == 0)
            # The same command again ends what was begun, repeats nothing that was done, or says who was first.
            again = ada.run(history, command)
            if again == 3:
                assert action == "effects"
                assert rival, "refused without a rival"
            rows = world.rows()
            assert len([row for row in rows[len(before) :] if row[2] == wanted]) in (
                1,
                2,
            )  # a late look, then a decision
            world.settled(ada.root)
            assert again == 3 or world.champion() == wanted or (rival and action == "effects")
            if (
                i == tries // 2
            ):  # a history that is not there: both adopt the champion into another one, one of them is killed
                history = spare
                monkeypatch.setenv("REFIT_HISTORY", history)
                champion = world.alias()
                for root in world.roots:
                    (root / champions.LOCK).unlink(missing_ok=True)
                assert ben.run(history, "promote 1") == 3
                pid = ada.begin(history, "adopt -")
                ben.begin(history, "adopt -")
                time.sleep(rng.uniform(0, 2.0 * whole["promote"]))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed["adopt"] += ada.end() == -9
                assert ben.end() in (0, 3)
                assert ada.run(history, "adopt -") == 0
                assert world.champion() == champion
                assert [row[0] for row in world.rows()].count("adopt") == 1
                world.settled(ada.root)
    finally:
        ada.close()
        ben.close()
    print(f"killed: {dict(killed)} of {tries}")
    assert killed.total() >= (50 if full else 1), "the kills came too late to test anything"
    numbers = [v.package_sha256 for v in Registry(world.home).versions(MODEL)]
    print(f"{len(numbers)} versions, {len(numbers) - len(set(numbers))} of them twice")
