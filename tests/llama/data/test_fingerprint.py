"""The fingerprint of training data: the same wherever they lie, another for any change of lists, shards or shares."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llama.data.fingerprint import SourceFingerprint, difference, fingerprint
from llama.data.mixture import read_examples, split
from llama.data.source import Source

CAPTIONS = {f"{number}.wav": f"Music number {number}." for number in range(8)}


def taken(folder: Path, captions: dict[str, str] = CAPTIONS, times: float = 1.0, holdout: float = 0.0) -> list[SourceFingerprint]:
    folder.mkdir(exist_ok=True)
    (folder / "list.json").write_text(json.dumps(captions))
    sources = (Source("captions", str(folder / "list.json"), times=times),)
    return fingerprint(sources, split(read_examples(sources, 1), holdout)[0])


def test_data_that_were_moved_or_written_anew_are_the_same(tmp_path: Path) -> None:
    first, second = taken(tmp_path / "a"), taken(tmp_path / "b")
    assert difference(first, second) is None and json.loads(json.dumps(first)) == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: taken(folder, dict(list(CAPTIONS.items())[:-1])), "8 examples or files of .*which now has 7"),
        (lambda folder: taken(folder, CAPTIONS | {"3.wav": "Music."}), "other content of "),
        (lambda folder: taken(folder, dict(reversed(CAPTIONS.items()))), "other content of "),
        (lambda folder: taken(folder, times=2), r"times 1, now 2"),
        (lambda folder: taken(folder, holdout=0.4), "8 examples or files"),
        (lambda folder: taken(folder) * 2, r"1 source\(s\) of data, this run has 2"),
    ],
)
def test_a_change_is_told(tmp_path: Path, change: Callable[[Path], list[SourceFingerprint]], words: str) -> None:
    said = difference(taken(tmp_path / "a"), change(tmp_path / "a"))
    assert said is not None and re.search(words, said)


def test_shards_are_taken_by_name_and_size(tmp_path: Path) -> None:
    def of() -> list[SourceFingerprint]:
        source = Source("tar", str(tmp_path / "*.tar"))
        return fingerprint([source], read_examples([source], 1))

    (tmp_path / "0.tar").write_bytes(b"one")
    before = of()
    assert before[0]["count"] == 1 and difference(before, of()) is None
    renamed = Source("tar", str(tmp_path / "*.tar"), columns={"caption": "words"})
    assert "other content" in str(difference(before, fingerprint([renamed], read_examples([renamed], 1))))
    (tmp_path / "0.tar").write_bytes(b"longer")
    assert "other content" in str(difference(before, of()))
    (tmp_path / "1.tar").write_bytes(b"one")
    assert "which now has 2" in str(difference(before, of()))
