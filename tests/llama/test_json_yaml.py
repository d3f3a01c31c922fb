"""JSON and YAML of users: whatever they hold, a value or one sentence with the file's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llama import json_yaml
from llama.json_yaml import check_json_files, parse_json, read_json, read_table, read_yaml

DEEP = "[" * 100_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DEEP, "nested more than 100 deep"),
        ("[" * 101 + "]" * 101, "nested more than 100 deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested more than 100 deep"),
        ('{"step": ' + "1" * 5000 + "}", "a number of more than 300 digits"),
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ("", "it is empty"),
        ("\ufeff \n", "it is empty"),
        (b'{"a": "\xff"}', "no text in UTF-8, at byte 7"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, text: str | bytes, reason: str) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    for read in (read_json, read_table):
        with pytest.raises(ValueError, match=reason) as caught:
            read(file, "give another")
        assert str(caught.value).startswith(str(file)) and str(caught.value).endswith("; give another.") and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=reason):
        check_json_files(tmp_path)


def test_json_that_is_read(tmp_path: Path) -> None:
    assert parse_json("[" * 100 + "]" * 100) and parse_json(b"\xef\xbb\xbf[1, -2, 3.5e3]") == [1, -2, 3500.0]
    assert parse_json("1" * 300) == int("1" * 300)
    file = tmp_path / "a.json"
    file.write_text('["ü"]', encoding="utf-8")
    assert read_json(file) == ["ü"]
    check_json_files(tmp_path)
    check_json_files("facebook/musicgen-medium")  # a name on the hub
    with pytest.raises(ValueError, match=r"it holds no names\); copy the folder again"):
        read_table(file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "[" * 3000, "nested more than 100 deep"),
        ("a: " + "[" * 101 + "]" * 101, "nested more than 100 deep"),
        ("a: &a [*a]", "nested more than 100 deep"),
        (f"seed: {'1' * 5000}", "a number of more than 300 digits"),
        ("seed: 0x" + "f" * 5000, "a number of more than 300 digits"),
        ("lr: 0001-99-99", "month must be in 1..12"),
        ("lr: !!bool maybe", "maybe"),
        ("lr: !!timestamp soon", "group"),
        ("lr: !!int x", "invalid literal"),
        ("lr: !!python/object:os.system {}", "could not determine a constructor"),
        ("lr: 1\nseed: 2\nlr: 3", "'lr' is given twice at line 3, column 1"),
        ("lr: [1, 2", "at line 1"),
        ("a: \x00", "special characters"),
        (BOMB, "more than 100000 values"),
        ("", "it is empty"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=reason) as caught:
        read_yaml(file)
    said = str(caught.value)
    assert said.startswith(f"{file} is not readable as YAML (") and said.endswith("; mend that line.") and "\n" not in said


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lr: 0.5\nbetas: [0.9, 1]\n", {"lr": 0.5, "betas": [0.9, 1]}),
        ("base: &b {lr: 1}\nother:\n  <<: *b\n  lr: 2\n", {"base": {"lr": 1}, "other": {"lr": 2}}),
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
        ("# a comment alone", None),
    ],
)
def test_yaml_that_is_read(tmp_path: Path, text: str, value: Any) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    assert read_yaml(file) == value


def test_the_loader_is_yamls_safe_one() -> None:
    import yaml

    assert issubclass(json_yaml._yaml_loader(), yaml.SafeLoader)
