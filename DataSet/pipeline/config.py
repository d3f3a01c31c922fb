"""Configuration of a set's pipeline, read from a YAML file whose profiles lie over its common keys.

`small` runs offline on what the project makes and ships; `published` and `modern` name the models and sources of the published sets and
of today. A profile is chosen by argument, by the environment variable MUMU_PROFILE, or by the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from DataSet.pipeline.block_list import LISTS
from DataSet.pipeline.captioners import CaptionerConfig
from DataSet.pipeline.deduplication import DuplicateOptions
from DataSet.pipeline.edit_choice import EditSettings
from DataSet.pipeline.filters import FilterOptions
from DataSet.pipeline.segments import SegmentOptions
from DataSet.pipeline.source_settings import SourceSettings
from DataSet.pipeline.splits import SplitOptions
from DataSet.pipeline.writers import WriterConfig
from llama.data.formats import unknown
from llama.errors import quoted, require_fields
from llama.json_yaml import read_yaml
from llama.training.yaml_fields import fields_of

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "DataSet/configs"
SETS = ("MUCaps", "MUEdit", "MUImage", "MUVideo")
PROFILES = ("small", "published", "modern")
PROFILE_VARIABLE = "MUMU_PROFILE"


@dataclass(frozen=True)
class LeakSettings:
    """What must not be in the set. folder: of the lists of public test sets; lists: their names; allow_missing: lists that need not be there.

    test_folders: local test sets, whose sounds and pictures are fingerprinted. planted: also the planted test set of the small profile.
    """

    folder: str | None = None
    lists: tuple[str, ...] = tuple(LISTS)
    allow_missing: tuple[str, ...] = ()
    test_folders: tuple[str, ...] = ()
    planted: bool = False


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that a run depends on. Paths are relative to the repository, unless they are absolute.

    name: MUCaps, MUEdit, MUImage or MUVideo. sample_rate: of the written sound, in Hz. max_broken: share of the items that may fail in a step.
    vision_captions: of MUImage and MUVideo; edits: of MUEdit.
    """

    name: str
    profile: str
    sources: tuple[SourceSettings, ...]
    music_captions: CaptionerConfig
    words: WriterConfig
    vision_captions: CaptionerConfig | None = None
    sample_rate: int = 32_000
    segment: SegmentOptions = SegmentOptions()
    filter: FilterOptions = FilterOptions()
    duplicates: DuplicateOptions = DuplicateOptions()
    leaks: LeakSettings = LeakSettings()
    split: SplitOptions = SplitOptions()
    edits: EditSettings = EditSettings()
    items_per_shard: int = 256
    max_broken: float = 0.1

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources is empty; name at least one.")
        names = [(source.kind, source.pieces, source.seed) if source.kind == "made" else source.name or source.kind for source in self.sources]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two sources are named {quoted(repeated)}, so that their files could have one id; give each a name of its own.")
        require_fields(self, ("sample_rate", "items_per_shard"), lambda value: value >= 1, "a whole number from 1")
        require_fields(self, ("max_broken",), lambda value: 0 <= value <= 1, "a share from 0 to 1")


GROUPS: Mapping[str, type[CaptionerConfig] | type[WriterConfig]] = {  # groups with free mappings, which their classes read
    "music_captions": CaptionerConfig, "vision_captions": CaptionerConfig, "words": WriterConfig}


def load_config(
    name: str, path: str | Path | None = None, profile: str | None = None, overrides: Mapping[str, Any] | None = None
) -> PipelineConfig:
    """The configuration of a set. path: of the YAML file (default: DataSet/configs/NAME.yaml). overrides: values over the profile's.

    A group such as `segment` is laid over the one below it key by key; a list is replaced. Raises ValueError or FileNotFoundError in one
    sentence, with the nearest name for an unknown key.
    """
    if name not in SETS:
        raise ValueError(unknown("set", name, SETS))
    path = CONFIGS / f"{name.lower()}.yaml" if path is None else Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no configuration {path}; give a YAML file such as DataSet/configs/{name.lower()}.yaml.")
    profile, values = _profile_values(path, profile)
    values = _merged(values, overrides or {})
    try:
        return _config(name, profile, values)
    except ValueError as error:
        raise ValueError(f"{path}, profile {profile}: {error}") from error


def _profile_values(path: Path, profile: str | None) -> tuple[str, dict[str, Any]]:
    """(name of the profile, the common keys under those of the profile)."""
    values = read_yaml(path)
    if not isinstance(values, Mapping) or not isinstance(values.get("profiles"), Mapping):
        raise ValueError(f"{path} has no profiles; give profiles: with {', '.join(PROFILES)} below it.")
    common = {key: value for key, value in values.items() if key not in ("profile", "profiles")}
    profile = profile or os.environ.get(PROFILE_VARIABLE) or values.get("profile") or PROFILES[0]
    if profile not in values["profiles"]:
        raise ValueError(f"{path}: {unknown('profile', profile, tuple(map(str, values['profiles'])))}")
    return str(profile), _merged(common, values["profiles"][profile] or {})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings; a group that both have is merged key by key."""
    if not isinstance(above, Mapping):
        raise ValueError(f"{quoted(above)} is no group of settings; give lines of the form key: value.")
    groups = {key: _merged(below[key], value) for key, value in above.items() if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)}
    return {**below, **above, **groups}


def _config(name: str, profile: str, values: Mapping[str, Any]) -> PipelineConfig:
    if reserved := sorted({"name", "profile"} & set(values)):
        raise ValueError(f"the key {reserved[0]!r} is set by the command; leave it out.")
    chosen = {"name": name, "profile": profile, **values}
    for key, kind in GROUPS.items():
        if chosen.get(key) is not None:
            chosen[key] = _read_group(key, chosen[key], kind)
    sources = chosen.get("sources")
    for number, source in enumerate(sources if isinstance(sources, (list, tuple)) else (), 1):
        SourceSettings.check_keys(source, f"sources number {number}")
    settings = fields_of(PipelineConfig, chosen, "")
    missing = [field.name for field in fields(PipelineConfig) if field.name not in settings and field.name in ("sources", "music_captions", "words")]
    if missing:
        raise ValueError(f"{missing[0]} is missing; add it.")
    if name in ("MUImage", "MUVideo") and settings.get("vision_captions") is None:
        raise ValueError(f"vision_captions is missing, which {name} needs; add it.")
    return PipelineConfig(**settings)


def _read_group(key: str, value: Any, kind: type[CaptionerConfig] | type[WriterConfig]) -> CaptionerConfig | WriterConfig:
    """A captioner or writer. Its free mappings, such as decoding, are checked by itself."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} is {quoted(value)}; give lines of the form key: value.")
    free = {name for name, hint in get_type_hints(kind).items() if get_origin(hint) is Mapping}
    fields_of(kind, {name: item for name, item in value.items() if name not in free}, f" in {key}")
    for name in free & set(value):
        if not isinstance(value[name], Mapping):
            raise ValueError(f"{name} in {key} is {quoted(value[name])}; give lines of the form key: value.")
    try:
        return kind.from_values(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
