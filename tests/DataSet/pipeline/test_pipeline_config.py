"""Configurations of the pipelines: every profile of every file, the choice of one, and every mistake in one sentence."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from DataSet.pipeline.advice import faulty_words
from DataSet.pipeline.config import CONFIGS, PROFILE_VARIABLE, PROFILES, ROOT, SETS, LeakSettings, load_config
from DataSet.pipeline.source_settings import KEYS, SourceKind, SourceSettings


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", SETS)
def test_every_profile_is_read(name: str, profile: str) -> None:
    config = load_config(name, profile=profile)
    assert config.profile == profile and config.sources and (config.vision_captions is None) == (name in ("MUCaps", "MUEdit"))
    if profile == "small":
        assert {source.kind for source in config.sources} <= {"made", "examples", "planted"}
    else:
        assert set(config.leaks.lists) >= {"musiccaps", "muchomusic", "song-describer"}  # on by default


def test_the_profile_comes_from_the_argument_the_environment_or_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    assert load_config("MUCaps").profile == "small"
    monkeypatch.setenv(PROFILE_VARIABLE, "modern")
    assert load_config("MUCaps").profile == "modern" and load_config("MUCaps", profile="published").profile == "published"


def test_overrides_are_laid_over_groups_and_replace_lists() -> None:
    config = load_config("MUCaps", overrides={"split": {"test": 0.4}, "sources": [{"kind": "examples"}]})
    assert config.split.test == 0.4 and config.split.validation == 0.1 and [source.kind for source in config.sources] == ["examples"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"sourcs": []}, "'sourcs' is unknown; the nearest right one is 'sources'"),
        ({"split": {"tset": 0.1}}, "'tset' in split is unknown; the nearest right one is 'test'"),
        ({"words": {"trys": 1}}, "'trys' in words is unknown; the nearest right one is 'tries'"),
        ({"words": {"tries": "3"}}, "tries in words is '3'; give a whole number"),
        ({"words": {"kind": "poet"}}, "words: The writer's kind is 'poet'"),
        ({"words": {"decoding": 3}}, "decoding in words is 3; give lines"),
        ({"sources": []}, "sources is empty"),
        ({"sources": [{"kind": "mde"}]}, "kind in sources number 1 is 'mde'; choose made"),
        ({"sources": [{"kind": "folder", "folder": "a"}]},
         "the key 'folder' in sources number 1 is unknown; a source of the kind folder takes kind, media, name, licence, grouping."),
        ({"sources": [{"kind": "folder"}]}, "the source folder has no media"),
        ({"sources": [{"kind": "audioset", "media": "x"}]}, "the source audioset has no table"),
        ({"sources": [{"kind": "folder", "media": "a"}, {"kind": "folder", "media": "b"}]}, "two sources are named 'folder'"),
        ({"vision_captions": None}, "vision_captions is missing, which MUImage needs"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"split": {"test": 0.6, "validation": 0.6}}, "leave nothing to train on"),
        ({"segment": 3}, "3 in segment is no group of settings"),
        ({"name": "x"}, "'name' is set by the command"),
    ],
)
def test_a_mistake_is_one_sentence(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as raised:
        load_config("MUImage", overrides=overrides)
    assert words in str(raised.value) and "profile small" in str(raised.value) and "\n" not in str(raised.value)


def test_the_configuration_for_a_folder_of_ones_own_has_nothing_of_the_demonstration() -> None:
    config = load_config("MUCaps", CONFIGS / "own_folder.yaml")
    assert [source.kind for source in config.sources] == ["folder"] and (ROOT / config.sources[0].media).is_dir()
    assert config.words.kind == "template" and config.leaks == LeakSettings(lists=())


def test_the_keys_of_each_kind_of_source_are_fields() -> None:
    known = {field.name for field in fields(SourceSettings)}
    assert set(KEYS) == set(get_args(SourceKind)) and all(set(keys) <= known for keys in KEYS.values())


def test_a_writer_that_misbehaves_is_told_of_outside_the_demonstration() -> None:
    small, own = load_config("MUCaps", profile="small"), CONFIGS / "own_folder.yaml"
    assert faulty_words(small) is None and faulty_words(load_config("MUCaps", own)) is None
    folder = load_config("MUCaps", profile="small", overrides={"sources": [{"kind": "folder", "media": "a"}]})
    for config in (folder, load_config("MUCaps", own, overrides={"words": {"kind": "faulty"}})):
        assert "misbehaves on purpose" in (faulty_words(config) or "")


def test_files_that_are_no_configuration_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no configuration"):
        load_config("MUCaps", tmp_path / "none.yaml")
    (tmp_path / "flat.yaml").write_text("sources: []\n")
    with pytest.raises(ValueError, match="has no profiles"):
        load_config("MUCaps", tmp_path / "flat.yaml")
    with pytest.raises(ValueError, match="'smal' is unknown; did you mean 'small'"):
        load_config("MUCaps", profile="smal")
    with pytest.raises(ValueError, match="did you mean 'MUCaps'"):
        load_config("MUcaps")
