"""Files are whole or as they were, whatever fails; and nothing unfinished stays behind."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tasks import files
from tasks.errors import RefitError
from tasks.files import (
    folder_size,
    hash_tree,
    read_json,
    read_table,
    replacing,
    replacing_dir,
    sha256,
    sweep,
    write_json,
)


def names(folder: Path) -> list[str]:
    """Everything below a folder, hidden files too."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.mark.parametrize("old", ["before", None])
def test_a_file_whose_writing_fails_stays_as_it_was_and_leaves_nothing_beside_it(
    tmp_path: Path, old: str | None
) -> None:
    path = tmp_path / "deep" / "a.txt"
    if old is not None:
        files.write_text(path, old)

    def fail() -> None:
        with replacing(path) as beside:
            beside.write_text("half")
            assert beside.parent == path.parent, "a rename is atomic only within a file system"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == ["deep", "deep/a.txt"][: 1 + (old is not None)]
    assert old is None or path.read_text() == old


@pytest.mark.parametrize("old", [True, False])
def test_a_folder_whose_writing_fails_stays_as_it_was_and_leaves_nothing_beside_it(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "deep" / "it"
    if old:
        files.write_text(path / "a.txt", "before")

    def fail() -> None:
        with replacing_dir(path) as fresh:
            assert (fresh.parent, names(fresh)) == (path.parent, [])
            (fresh / "b.txt").write_text("half")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        fail()
    assert names(tmp_path) == ["deep", "deep/it", "deep/it/a.txt"][: 1 + 2 * old]


def test_what_is_written_takes_the_place_of_what_was_there_and_others_may_read_it(tmp_path: Path) -> None:
    """A folder loses what the new one has not; modes are the ordinary ones, though temporary files have others."""
    before = os.umask(0o022)
    try:
        for text in ("one", "two"):
            files.write_text(tmp_path / "a.txt", text)
            with replacing_dir(tmp_path / "it") as fresh:
                (fresh / "inner").mkdir()
                for name, mode in (("secret", 0o600), ("program", 0o755)):
                    (fresh / "inner" / f"{name}-{text}").write_text(text)
                    (fresh / "inner" / f"{name}-{text}").chmod(mode)
        assert os.umask(0o022) == 0o022, "the process's own mask stays"
    finally:
        os.umask(before)
    assert names(tmp_path) == ["a.txt", "it", "it/inner", "it/inner/program-two", "it/inner/secret-two"]
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in names(tmp_path)}
    assert modes == {
        "a.txt": 0o644, "it": 0o755, "it/inner": 0o755, "it/inner/program-two": 0o755, "it/inner/secret-two": 0o644,
    }  # fmt: skip


def test_what_is_only_the_first_leaves_what_another_put_there_meanwhile(tmp_path: Path) -> None:
    for text, wanted in (("mine", "mine"), ("late", "mine")):
        with replacing(tmp_path / "a.txt", first=True) as beside:
            beside.write_text(text)
        assert (tmp_path / "a.txt").read_text() == wanted
    assert names(tmp_path) == ["a.txt"]


def test_json_is_written_for_people_and_without_what_is_no_json(tmp_path: Path) -> None:
    value = {"größe": [1, 2.5, None], "b": {}}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "größe": [\n')
    assert text.endswith("}\n")
    assert read_json(tmp_path / "a.json") == value
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "a.json", [number])
    assert read_json(tmp_path / "a.json") == value
    assert names(tmp_path) == ["a.json"]


def test_what_cannot_be_read_is_told_with_its_remedy(tmp_path: Path) -> None:
    for read, name in ((read_json, "a.json"), (read_table, "a.parquet")):
        with pytest.raises(RefitError, match=rf"{name}: no such file\. Run `refit run`"):
            read(tmp_path / name)
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(RefitError, match=r"a\.json: not valid JSON \(.*\)\. Remove it"):
        read_json(tmp_path / "a.json")


def test_a_folders_size_is_the_bytes_of_all_files_below_it(tmp_path: Path) -> None:
    assert folder_size(tmp_path) == 0
    files.write_text(tmp_path / "deep" / "a.txt", "12345")
    files.write_text(tmp_path / "b.txt", "é")
    assert folder_size(tmp_path) == 7


def test_hashes_are_of_every_finished_file_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"x" * 100_000)
    (tmp_path / "a").write_bytes(b"")
    with replacing(tmp_path / "b" / "y"), replacing_dir(tmp_path / "b" / "z") as fresh:
        (fresh / "half").write_text("half")
        found = hash_tree(tmp_path)
    assert list(found) == ["a", "b/x"]
    assert found == {"a": hashlib.sha256(b"").hexdigest(), "b/x": hashlib.sha256(b"x" * 100_000).hexdigest()}
    assert sha256(tmp_path / "b" / "x") == found["b/x"]


def dead() -> int:
    """A process id that nobody has."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_what_killed_processes_left_is_swept_and_what_others_write_stays(tmp_path: Path) -> None:
    here, gone = files._machine(), dead()
    day = 86_400
    left = {  # name: (age in seconds, whether it goes)
        f".mine.abc.{here}-{os.getpid()}.part": (10 * day, False),
        f".dead.abc.{here}-{gone}.part": (0, True),
        f".other.abc.00000000-{gone}.part": (day - 600, False),
        f".old.abc.00000000-{os.getpid()}.part": (day + 600, True),
        ".foreign.part": (10 * day, False),
        f"seen.abc.{here}-{gone}.part": (10 * day, False),
    }
    for name, (age, _) in left.items():
        for folder in (False, True):
            path = tmp_path / f"{folder:d}" / name
            path.mkdir(parents=True) if folder else path.parent.mkdir(exist_ok=True)
            (path / "inner.txt" if folder else path).write_text("half")
            os.utime(path, (time.time() - age,) * 2)
    goes = [name for name, (_, it) in left.items() if it]
    removed = sweep(tmp_path)
    assert sorted(removed) == sorted(tmp_path / folder / name for folder in "01" for name in goes)
    for folder in "01":
        assert sorted(p.name for p in (tmp_path / folder).iterdir()) == sorted(set(left) - set(goes))
    assert sweep(tmp_path) == []


def test_a_link_that_a_killed_process_left_is_swept_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.txt").write_text("kept")
    (tmp_path / f".link.abc.{files._machine()}-{dead()}.part").symlink_to(tmp_path / "kept")
    assert len(sweep(tmp_path)) == 1
    assert names(tmp_path) == ["kept", "kept/a.txt"]


def test_a_large_table_is_written_by_row_groups_and_reads_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"a": range(10), "b": list("abcdefghij")})
    groups = {}
    for rows in (4, 9, 10):
        monkeypatch.setattr(files, "WHOLE_GROUP", rows)
        files.write_table(tmp_path / "t.parquet", frame)
        with pq.ParquetFile(tmp_path / "t.parquet") as file:
            groups[rows] = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)
    assert groups == {4: [4, 4, 2], 9: [9, 1], 10: [10]}
    assert list(read_table(tmp_path / "t.parquet", ["b"])) == ["b"]
    assert names(tmp_path) == ["t.parquet"]


def test_row_groups_are_small_above_the_size_of_a_large_table_and_not_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGE_TABLE", 100)
    assert (files.row_group(10, 10), files.row_group(10, 11)) == (files.WHOLE_GROUP, files.SMALL_GROUP)


def test_the_name_of_something_unfinished_tells_machine_and_process(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.json") as beside:
        found = files.PART.fullmatch(beside.name)
        assert found is not None
        assert found.groups() == (files._machine(), str(os.getpid()))
