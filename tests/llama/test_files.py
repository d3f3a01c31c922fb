"""Atomic writes: complete or absent, one sentence on failure, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llama import files
from llama.files import WriteError, atomic_files, atomic_folder, atomic_path, check_writable, write_json


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_replaces_the_former_one(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"old")
    with atomic_path(target) as partial:
        assert partial.parent == tmp_path and partial.suffix == ".mp4" and partial.name.startswith(".")
        partial.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_error_inside_leaves_the_former_file(error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_path(target) as partial:
        partial.write_text("half")
        raise error
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match=r"a\.json could not be written \(No space left on device\); make room") as caught:
        write_json(tmp_path / "a.json", {})
    assert caught.value.reason == "No space left on device" and not list(tmp_path.iterdir())


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="No such file"), atomic_path(tmp_path / "none" / "a.txt") as partial:
        partial.write_text("x")


@pytest.mark.parametrize("fsync", [True, False])
def test_the_bytes_are_on_the_disk_before_the_name(fsync: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda stream: (events.append("fsync"), sync(stream)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("replace"), replace(*paths)))
    with atomic_path(tmp_path / "a", fsync=fsync) as partial:
        partial.write_bytes(b"x")
    assert events == (["fsync", "replace"] if fsync else ["replace"])


def test_a_folder_replaces_the_former_one(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "set"
    for name in ("a", "b"):
        with atomic_folder(target) as draft:
            (draft / name).write_text(name)
        assert [path.name for path in target.iterdir()] == [name]
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_that_fails_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "set"
    with atomic_folder(target) as draft:
        (draft / "a").write_text("a")
    with pytest.raises(ValueError, match="x"), atomic_folder(target) as draft:
        (draft / "b").write_text("b")
        raise ValueError("x")
    assert [path.name for path in target.iterdir()] == ["a"] and list(tmp_path.iterdir()) == [target]
    rename = os.rename
    monkeypatch.setattr(files.os, "rename", lambda old, new: full() if Path(old).name == "new" else rename(old, new))
    with pytest.raises(WriteError, match=r"set could not be written \(No space"), atomic_folder(target):
        pass
    assert [path.name for path in target.iterdir()] == ["a"] and list(tmp_path.iterdir()) == [target]


def test_files_replace_their_namesakes_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    with atomic_files(tmp_path) as draft:
        (draft / "sub").mkdir()
        (draft / "a").write_text("new")
        (draft / "sub" / "c").write_text("new")
    texts = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert texts == {"a": "new", "b": "old", "sub/c": "new"} and not list(tmp_path.glob(".*"))


def test_a_file_in_a_folder_that_fails_is_told_by_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary path is gone when the user reads the sentence."""
    with pytest.raises(WriteError) as caught, atomic_folder(tmp_path / "model") as partial:
        monkeypatch.setattr(os, "replace", full)
        write_json(partial / "config.json", {})
    assert str(caught.value).startswith(f"{tmp_path / 'model'} could not be written (No space left on device)")


def test_the_longest_name_fits(tmp_path: Path) -> None:
    name = "n" * 251 + ".wav"
    with atomic_path(tmp_path / name) as partial:
        partial.write_bytes(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_only_a_full_disk_asks_for_room(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="check the name and its permissions"), atomic_path(tmp_path / "none" / "a.txt") as partial:
        partial.write_text("x")


def test_what_a_killed_process_left_is_not_listed(tmp_path: Path) -> None:
    for name in ("model.pth", ".partial-1234abcd.pth"):
        (tmp_path / name).write_bytes(b"")
    assert files.visible_files(tmp_path, "*.pth") == [tmp_path / "model.pth"]


@pytest.mark.parametrize("name", ["a.wav", "n" * 251 + ".wav", "caf\udce9.wav"])
def test_what_can_be_written_passes_the_check_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    check_writable(tmp_path / name)
    check_writable(tmp_path / "new" / "deep" / name, parents=True)
    assert not list(tmp_path.iterdir())
    (tmp_path / name).write_text("old")
    check_writable(tmp_path / name)
    assert (tmp_path / name).read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "parents", "reason"),
    [
        ("none/a.wav", False, "No such file or directory"),
        ("file/a.wav", False, "Not a directory"),
        ("file/a.wav", True, "Not a directory"),
        ("n" * 252 + ".wav", False, "File name too long"),
        ("new/" + "n" * 256 + "/a.wav", True, "File name too long"),
        ("pipe.wav", False, "it is a pipe"),
    ],
)
def test_what_cannot_be_written_is_found_before_the_work(name: str, parents: bool, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(WriteError, match=rf"could not be written \({reason}\); check the name and its permissions"):
        check_writable(tmp_path / name, parents=parents)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe.wav"]


def test_a_disk_without_room_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match="No space left on device.*make room"):
        check_writable(tmp_path / "a.wav")
