"""``refit.dvc``: what DVC carries into copies and clones, though no stage makes it."""

from __future__ import annotations

import shutil
from hashlib import md5
from pathlib import Path

import pytest
from dulwich import porcelain
from dvc.repo import Repo
from ruamel.yaml import YAML

from flows import carried
from flows.dag import Dag
from tasks.errors import RefitError
from tests.flows.project import make_project

IGNORED = "/data/champion/*\n!README.md\n/data/sources\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A DVC project in git, with the README that git knows where the champion lies."""
    root = tmp_path / "project"
    (root / "data" / "champion").mkdir(parents=True)
    porcelain.init(str(root)).close()
    Repo.init(str(root)).close()
    (root / ".gitignore").write_text(IGNORED)
    (root / "data" / "champion" / "README.md").write_text("the champion\n")
    porcelain.add(str(root), [".gitignore", "data/champion/README.md"])
    return root


def place(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / "data" / "champion" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def listed(root: Path) -> list[str]:
    return [out["path"] for out in YAML(typ="safe").load((root / "refit.dvc").read_text())["outs"]]


def test_a_copy_gets_the_champions_files_and_nothing_else(project: Path, tmp_path: Path) -> None:
    carried.carry_in(project)
    assert listed(project) == [], "no champion yet, and a copy has none either"
    place(project, champion_json="{}", package__bundle_json="bundle", promotion_json="{}", other_txt="no part of it")
    (project / "data" / "champion" / "counted").mkdir()
    (project / "data" / "sources").mkdir()
    (project / "data" / "sources" / "t.parquet").write_text("rows")
    carried.carry_in(project)
    parts = ["champion/champion.json", "champion/promotion.json", "champion/package", "sources/t.parquet"]
    assert listed(project) == [f"data/{part}" for part in parts]
    assert (project / ".gitignore").read_text() == IGNORED, "git knows what it knew"
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("data"))
    with Repo(str(copy)) as repo:
        repo.checkout()
        assert repo.status() == {}
    there = {str(path.relative_to(copy / "data")): path.read_text() for path in (copy / "data").rglob("*.*")}
    assert there == {
        "champion/champion.json": "{}",
        "champion/promotion.json": "{}",
        "champion/package/bundle.json": "bundle",
        "sources/t.parquet": "rows",
    }


def test_an_unchanged_list_is_left_and_an_object_that_is_gone_is_kept_again(project: Path) -> None:
    place(project, champion_json="{}", package__bundle_json="bundle")
    carried.carry_in(project)
    path = project / "refit.dvc"
    before = path.stat().st_mtime_ns
    shutil.rmtree(project / ".dvc" / "cache")
    carried.carry_in(project)
    assert path.stat().st_mtime_ns == before
    with Repo(str(project)) as repo:
        assert repo.status() == {}, "the cache has it"
    (project / "data" / "champion" / "champion.json").unlink()
    carried.carry_in(project)
    assert listed(project) == ["data/champion/package"]


def test_what_git_tracks_is_left_to_git(project: Path) -> None:
    place(project, champion_json="{}", package__bundle_json="bundle")
    (project / ".gitignore").unlink()
    porcelain.add(str(project), ["data/champion/champion.json"])
    carried.carry_in(project)
    assert listed(project) == ["data/champion/package"]


def test_a_list_in_conflict_is_written_anew(project: Path) -> None:
    place(project, champion_json="{}")
    carried.carry_in(project)
    whole = (project / "refit.dvc").read_text()
    assert not carried.damaged(project)
    for text in (f"<<<<<<< ours\n{whole}=======\n{whole}>>>>>>> theirs\n", "outs: 3\n", whole[:-20] + "\x00"):
        (project / "refit.dvc").write_text(text)
        assert carried.damaged(project)
        carried.carry_in(project)
        assert (project / "refit.dvc").read_text() == whole
        assert (project / ".refit" / "refit.dvc.damaged").read_text() == text


def test_a_walk_sets_a_damaged_list_aside_and_takes_the_list_for_no_stage(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    place(root, champion_json="{}")
    carried.carry_in(root)
    with Dag(root) as dag:
        assert sorted(dag.nodes) == ["fit@p", "fit@q", "join", "load"]
        assert dag.notes == []
    (root / "refit.dvc").write_text("<<<<<<< ours\n")
    with Dag(root) as dag:
        assert any("refit.dvc was cut or in conflict" in note for note in dag.notes)
        with dag.dvc() as repo:
            carried.carry(repo)
    assert listed(root) == ["data/champion/champion.json"]


def test_a_table_that_was_given_to_dvc_is_no_stage_and_its_file_follows_what_a_run_reads(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    table, file = root / "table.csv", root / "table.csv.dvc"
    lines = "# mine\nouts:\n- md5: {}\n  size: 4\n  hash: md5\n  path: table.csv\n"
    table.write_text("a\n1\n")
    file.write_text(lines.format("0a" * 16))
    with Dag(root) as dag:
        assert sorted(dag.nodes) == ["fit@p", "fit@q", "join", "load"]
    assert file.read_text() == lines.format(md5(b"a\n1\n").hexdigest())
    before = file.stat().st_mtime_ns
    with Dag(root) as dag, dag.dvc() as repo:
        assert set(repo.status()) == {"load", "fit@p", "fit@q", "join"}, "the cache has the table"
    table.unlink()
    with Dag(root):
        assert file.stat().st_mtime_ns == before, "whoever reads the table says that it is gone"


def test_a_folder_without_dvc_is_told(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match="not a DVC repository"):
        carried.carry_in(tmp_path)
