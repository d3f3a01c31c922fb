"""Sources without a table: a folder of media, the project's made set, its examples.

Tables (AudioSet, MusicCaps, Song Describer, loops, JSON lines) are in `source_tables`; what a row is, in `source_row`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from DataSet.pipeline.item import Item
from DataSet.pipeline.media_index import SUFFIX_ORDER, existing_folder, walk
from DataSet.pipeline.source_row import RejectedRow, SourceRow
from DataSet.pipeline.step import Rejection
from DataSet.synthesis.made_set import make_set, true_attributes
from llama.data.file_names import composed
from llama.errors import quoted
from llama.json_yaml import read_json
from llama.media.score import Attributes

Kind = Literal["audio", "image", "video"]
Grouping = Literal["file", "folder"]
MADE_LICENCE = "MIT"
EXAMPLES = Path(__file__).resolve().parents[2] / "assets/examples"
EXAMPLE_LICENCES = {"seeding": "CC0 1.0", "rocket": "CC0 1.0", "dahlia": "CC BY 2.0", "moon": "public domain"}  # assets/examples/README.md
EXAMPLE_MUSIC = {
    "violin_swing": Attributes("violin", "piano", "swing", 132, "major", 4, False, 2),
    "flute_ballad": Attributes("flute", "strings", "ballad", 72, "minor", 4, True, 9),
    "piano_waltz": Attributes("piano", "strings", "waltz", 120, "major", 3, True, 7),
    "guitar_rock": Attributes("guitar", "pad", "rock", 140, "minor", 4, True, 4),
}
EXAMPLE_SIGHTS: dict[str, dict[str, Any]] = {
    "calm_sea": {"place": "sea", "light": "sunset", "mood": "calm"}, "night_party": {"place": "party", "light": "night"},
    "rainy_mountain": {"place": "mountain", "light": "night", "weather": "rain"},
    "slow_sea": {"motion": "slow", "mood": "calm"}, "fast_city": {"motion": "fast"},
}
MADE_PAIRS = {"image": ("MUImageInstructions.json", "images"), "video": ("MUVideoInstructions.json", "videos")}


def folder_rows(
    folder: str | Path, kind: Kind = "audio", source: str = "folder", licence: str = "unknown", grouping: Grouping = "file"
) -> Iterator[SourceRow]:
    """An item for each recording (kind "audio"), picture or clip of a folder and of those in it, in the order of their names.

    The sound of a picture or clip is the sound file of the same stem beside it; a clip without one is a recording, too. song.txt
    beside song.mp3 is its caption. The key is the name relative to the folder. grouping: "folder" keeps the files of a folder in one
    split, such as an album; files that lie in `folder` itself are groups of their own. Raises FileNotFoundError or ValueError without
    the folder.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"The kind of a source is {kind!r}; choose one of {', '.join(get_args(Kind))}.")
    root = existing_folder(folder)
    by_stem: dict[Path, list[Path]] = {}
    for path in walk(root):
        by_stem.setdefault(path.parent / composed(path.stem), []).append(path)
    for paths in by_stem.values():
        for main in _mains(paths, kind):
            yield _folder_row(root, main, paths, kind, source, licence, grouping)


def _mains(paths: list[Path], kind: Kind) -> list[Path]:
    """Files of a stem that are items of their own."""
    mains = [path for path in paths if path.suffix.lower() in SUFFIX_ORDER[kind]]
    if kind == "audio" and not mains:
        return [path for path in paths if path.suffix.lower() in SUFFIX_ORDER["video"]]
    return mains


def _folder_row(root: Path, main: Path, beside: list[Path], kind: Kind, source: str, licence: str, grouping: Grouping) -> SourceRow:
    name = main.relative_to(root).as_posix()
    if not name.isprintable():
        why = f"The name {quoted(name)} is no text in UTF-8, or holds a control character; rename the file."
        return RejectedRow(source, root.name, quoted(name), Rejection("name", why))
    media: dict[str, str] = {kind if main.suffix.lower() in SUFFIX_ORDER[kind] else "video": str(main)}
    sounds = [path for path in beside if path.suffix.lower() in SUFFIX_ORDER["audio"]]
    if kind != "audio" and sounds:
        media["audio"] = str(min(sounds, key=lambda path: SUFFIX_ORDER["audio"].index(path.suffix.lower())))
    try:
        caption = _caption(beside)
    except ValueError as error:
        return RejectedRow(source, root.name, name, Rejection("row", str(error)))
    parent = main.parent.relative_to(root).as_posix()
    group = f"folder {parent}" if grouping == "folder" and parent != "." else f"file {name.rsplit('.', 1)[0]}"
    return Item(source, name, media, licence=licence, group=f"{source} {group}", caption=caption)


def _caption(beside: list[Path]) -> str:
    text = next((path for path in beside if path.suffix.lower() == ".txt"), None)
    if text is None:
        return ""
    try:
        return " ".join(text.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise ValueError(f"{text.name} is no text in UTF-8 (byte {error.start}); save it as UTF-8.") from error


# -- what the project makes and ships -----------------------------------------------------------------------------------


def made_rows(
    folder: str | Path, kind: Kind = "audio", pieces: int = 24, seed: int = 0, log: Callable[[str], object] = print
) -> Iterator[Item]:
    """The project's made set, which is written to `folder` unless it is there: recordings, or pictures or clips with their music.

    The truth holds the attributes of the music, and the labels of the picture or clip. The group is the composer's seed: a piece and
    its edit have one, and so have a picture and its music. There are `pieces` recordings, and music for a quarter as many pictures and clips.
    Raises ValueError for a folder that holds something else.
    """
    make_set(folder, pieces, seed, log)
    root, truth = Path(folder), true_attributes(folder)
    if kind == "audio":
        for index in range(pieces):
            name = f"audios/heard_{index:05}.ogg"
            yield _made_item(root, name, {"audio": name}, truth, seed)
        return
    table, sights = MADE_PAIRS[kind]
    for row in read_json(root / table, "remove the folder and run again"):
        sight = f"{sights}/{row['input_file']}"
        yield _made_item(root, sight, {kind: sight, "audio": f"audios/{row['output_file']}"}, truth, seed)


def _made_item(root: Path, key: str, media: dict[str, str], truth: dict[str, dict[str, Any]], seed: int) -> Item:
    known: dict[str, Any] = {}
    for name in media.values():
        known |= truth[name]
    return Item(f"made {seed}", key, {kind: str(root / name) for kind, name in media.items()}, tags=_tags(known), licence=MADE_LICENCE,
                group=f"made {seed} {Path(key).stem}", truth=known)


def _tags(truth: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(truth[name]) for name in ("style", "lead", "mood", "motion") if name in truth)


def example_rows(kind: Kind = "audio") -> Iterator[Item]:
    """The recordings, pictures or clips of assets/examples, with their licences and what is known of them. The pictures have no music."""
    for path in walk(EXAMPLES):
        if path.suffix.lower() in SUFFIX_ORDER[kind]:
            known = dataclasses.asdict(EXAMPLE_MUSIC[path.stem]) if path.stem in EXAMPLE_MUSIC else EXAMPLE_SIGHTS.get(path.stem, {})
            yield Item("examples", path.name, {kind: str(path)}, tags=_tags(known), licence=EXAMPLE_LICENCES.get(path.stem, MADE_LICENCE),
                       group=f"examples {path.stem}", truth=known)
