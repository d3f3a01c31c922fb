"""Export of a set: the published JSON lists, tar shards, the origin of every item, and a data card.

Layout of the folder: audios/, images/, videos/ with files named by the items' ids; NAMEInstructions.json (and NAMECaptions.json of
MUCaps) for training, NAMEValidation... and NAMEEval... for the other splits; shards/SPLIT/0000.tar; ledger.jsonl, rejections.jsonl,
steps.json and README.md. Everything is written atomically, in the order of the ids, so that a second export changes no byte.
"""

from __future__ import annotations

import filecmp
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from DataSet.pipeline.export_shards import ShardSample, shard_names, write_shards
from DataSet.pipeline.step import Rejection, StepInput, StepSpec
from llama.files import atomic_path, link_or_copy, write_json, write_text
from llama.json_yaml import read_json

SPLITS = ("train", "validation", "test")
LISTS = {"train": "", "validation": "Validation", "test": "Eval"}  # what a list of the split has in its name, as published
FOLDERS = {"audio": "audios", "image": "images", "video": "videos"}
SOURCE = "source"  # the recording that an edit was made of, a second sound of an item
WRITTEN = "export.json"  # names of the exported files: what a later export with other items may remove
ABOUT = ("README.md", "ledger.jsonl", "rejections.jsonl", "steps.json")  # files about the set


@dataclass(frozen=True)
class SetForm:
    """What an item of a set consists of. input_kind: the medium that the music is made for; text: a caption alone; audio: its source."""

    name: str
    input_kind: Literal["text", "audio", "image", "video"]

    @property
    def kind(self) -> Literal["audio", "image", "video"]:
        """The medium that its items are of."""
        return "audio" if self.input_kind == "text" else self.input_kind

    @property
    def input_media(self) -> str:
        """The name of the input among the media of an item."""
        return SOURCE if self.input_kind == "audio" else self.input_kind

    @property
    def media(self) -> tuple[str, ...]:
        return ("audio",) if self.input_kind == "text" else (self.input_media, "audio")


FORMS = {form.name: form for form in (SetForm("MUCaps", "text"), SetForm("MUImage", "image"), SetForm("MUVideo", "video"))}
MUEDIT = SetForm("MUEdit", "audio")  # its items are pairs, which `DataSet.pipeline.muedit` makes


@dataclass(frozen=True)
class RejectedItem:
    """An item that is not in the set: the step that rejected it, and why."""

    step: str
    entry: StepInput
    rejection: Rejection


@dataclass(frozen=True)
class ExportResult:
    """The folder of an export and its files, by their names in it."""

    folder: Path
    files: Sequence[str]
    items: Mapping[str, int]  # split -> number of its items

    def list_path(self, form: SetForm, split: str = "train") -> Path:
        """The list of instructions of a split."""
        return self.folder / list_name(form, split, "Instructions")


def export_set(
    folder: Path, form: SetForm, work_folder: Path, entries: Sequence[StepInput], rejected: Sequence[RejectedItem],
    steps: Sequence[StepSpec], card: str, items_per_shard: int = 256,
) -> ExportResult:  # fmt: skip
    """Writes the set; `entries` have results of segment, split, instruction and the captions. card: the text of README.md.

    Media are linked from the work folder where the disk has links and both lie on it, and copied elsewhere. Raises WriteError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = sorted(entries, key=lambda entry: entry.item.id)
    by_split = {split: [entry for entry in entries if entry.results["split"]["split"] == split] for split in SPLITS}
    names = _file_names(form, by_split, items_per_shard)
    _write_names(folder, {*_former_names(folder), *names})  # before the files: what a stopped export wrote is removed by a later one
    for entry in entries:
        _export_media(folder, form, work_folder, entry)
    for split in SPLITS:
        _write_lists(folder, form, split, by_split[split])
        write_shards(folder, f"shards/{split}", [shard_sample(folder, form, entry) for entry in by_split[split]], items_per_shard)
    _write_lines(folder / "ledger.jsonl", [origin(form, entry, steps) for entry in entries])
    _write_lines(folder / "rejections.jsonl", [_rejection_line(row) for row in sorted(rejected, key=lambda row: row.entry.item.id)])
    write_json(folder / "steps.json", {spec.folder: {"version": spec.version, "settings": dict(spec.settings)} for spec in steps})
    write_text(folder / "README.md", card)
    for name in _former_names(folder) - set(names):
        (folder / name).unlink(missing_ok=True)  # files of others stay
    _write_names(folder, names)
    return ExportResult(folder, tuple(sorted(names)), {split: len(by_split[split]) for split in SPLITS})


def list_name(form: SetForm, split: str, kind: str) -> str:
    """The name of a list, such as MUImageEvalInstructions.json."""
    return f"{form.name}{LISTS[split]}{kind}.json"


def media_name(entry: StepInput, kind: str) -> str:
    """The name of an exported file inside the folder of its kind."""
    part = "_source" if kind == SOURCE else ""
    return entry.item.id + part + Path(entry.results["segment"][kind]).suffix


def folder_of(kind: str) -> str:
    """The folder of the exported files of a kind."""
    return FOLDERS["audio" if kind == SOURCE else kind]


def instruction(form: SetForm, entry: StepInput) -> dict[str, Any]:
    """One entry of the published list. Music for text has no input file, as in the released MUCapsInstructions.json."""
    texts, music = entry.results["instruction"], entry.results["music_caption"]["text"]
    human = {"from": "human", "value": texts["human"], "input_modality": form.input_kind}
    gpt = {"from": "gpt", "value": texts["gpt"], "caption": music, "output_modality": "audio"}
    output = {"output_file": media_name(entry, "audio")}
    if form.input_kind == "text":
        return {**output, "conversation": [human, gpt]}
    files = {"input_file": media_name(entry, form.input_media), **output}
    if form.input_kind == "audio":
        edit = {name: entry.results["edit"][name] for name in ("operation", "asked", "expected", "measured")}
        return {**files, "conversation": [{**human, "caption": entry.item.caption}, gpt], "edit": edit}
    return {**files, "conversation": [{**human, "caption": entry.results["vision_caption"]["text"]}, gpt]}


def shard_sample(folder: Path, form: SetForm, entry: StepInput) -> ShardSample:
    """Members of an item in a tar shard. Music for a picture or clip is key.output.flac, so that it is not read as the input."""
    audio = media_name(entry, "audio")
    if form.input_kind == "text":
        text = {"caption": entry.results["music_caption"]["text"]}
        return ShardSample(entry.item.id, text, {audio.partition(".")[2]: folder / FOLDERS["audio"] / audio})
    name = media_name(entry, form.input_media)
    media = {name.partition(".")[2]: folder / folder_of(form.input_media) / name}
    media[f"output.{audio.partition('.')[2]}"] = folder / FOLDERS["audio"] / audio
    return ShardSample(entry.item.id, instruction(form, entry), media)


def origin(form: SetForm, entry: StepInput, steps: Sequence[StepSpec]) -> dict[str, Any]:
    """A line of ledger.jsonl: where an item comes from, what it holds, and which steps (of steps.json) made it."""
    item, segment = entry.item, entry.results["segment"]
    return {
        "id": item.id, "source": item.source, "key": item.key, "start": item.start, "end": item.end, "licence": item.licence,
        "group": item.group, "split": entry.results["split"]["split"], "seconds": segment["seconds"], "sha256": segment["sha256"],
        "files": {kind: f"{folder_of(kind)}/{media_name(entry, kind)}" for kind in form.media},
        "writer": entry.results["instruction"]["writer"],
        "steps": {spec.name: spec.digest for spec in steps},
    }  # fmt: skip


def _file_names(form: SetForm, by_split: Mapping[str, Sequence[StepInput]], items_per_shard: int) -> list[str]:
    """The names of all files of an export in its folder."""
    names = list(ABOUT)
    for split, entries in by_split.items():
        names += [f"{folder_of(kind)}/{media_name(entry, kind)}" for entry in entries for kind in form.media]
        names += _lists(form, split, entries)
        names += shard_names(f"shards/{split}", len(entries), items_per_shard)
    return names


def _former_names(folder: Path) -> set[str]:
    """The files that exports wrote, or began to write, in a folder."""
    return set(read_json(folder / WRITTEN, "remove it and export again")) if (folder / WRITTEN).exists() else set()


def _write_names(folder: Path, names: Collection[str]) -> None:
    write_json(folder / WRITTEN, sorted(names))


def _export_media(folder: Path, form: SetForm, work_folder: Path, entry: StepInput) -> None:
    for kind in form.media:
        (folder / folder_of(kind)).mkdir(exist_ok=True)
        _place(work_folder / entry.results["segment"][kind], folder / folder_of(kind) / media_name(entry, kind))


def _place(source: Path, target: Path) -> None:
    """Links the file, or copies it onto another disk; a file of the same content stays."""
    if target.exists() and (target.samefile(source) or filecmp.cmp(target, source, shallow=False)):
        return
    with atomic_path(target, fsync=False) as partial:
        link_or_copy(source, partial)


def _lists(form: SetForm, split: str, entries: Sequence[StepInput]) -> list[str]:
    """The names of a split's lists; a split without items has none, since a list without examples is refused by training."""
    kinds = ("Instructions", "Captions") if form.input_kind == "text" else ("Instructions",)
    return [list_name(form, split, kind) for kind in kinds] if entries else []


def _write_lists(folder: Path, form: SetForm, split: str, entries: Sequence[StepInput]) -> None:
    captions = {media_name(entry, "audio"): entry.results["music_caption"]["text"] for entry in entries}
    values = ([instruction(form, entry) for entry in entries], captions)
    for name, value in zip(_lists(form, split, entries), values, strict=False):  # captions are a list of music for text alone
        write_json(folder / name, value)


def _rejection_line(row: RejectedItem) -> dict[str, Any]:
    item = row.entry.item
    return {"id": item.id, "source": item.source, "key": item.key, "step": row.step, "rule": row.rejection.rule, "why": row.rejection.why}


def _write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
