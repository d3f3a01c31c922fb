"""Sources of a configuration: which rows a set begins with, and from where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from DataSet.pipeline import source_tables, sources
from DataSet.pipeline.item import Item
from DataSet.pipeline.planted import plant
from DataSet.pipeline.source_row import SourceRow
from llama.errors import comma_list, quoted, require_fields

Kind = Literal["audio", "image", "video"]
SourceKind = Literal["made", "examples", "planted", "folder", "audioset", "musiccaps", "song_describer", "loops", "jsonl"]
TABLES = ("audioset", "musiccaps", "song_describer", "loops", "jsonl")
PLANTED_LICENCE = "MIT"
COMMON_KEYS = ("media", "table", "name", "licence")  # of a source with a table
KEYS: dict[str, tuple[str, ...]] = {  # kind -> its keys beside `kind`
    "made": ("pieces", "seed"), "examples": (), "planted": ("name",), "folder": ("media", "name", "licence", "grouping"),
    **dict.fromkeys(TABLES, COMMON_KEYS), "audioset": (*COMMON_KEYS, "labels", "wanted")}
PHOTOGRAPHS = {  # planted pictures that are photographs -> licence, as assets/examples/README.md says
    "dahlia": "CC BY 2.0", "same_music": "CC0 1.0", "first_half": "CC0 1.0", "without_music": "public domain"}


@dataclass(frozen=True)
class SourceSettings:
    """One source. media: the folder of its files; table: its csv or JSON, of the kinds that have one.

    made: the project's own pieces, pictures and clips, of which `pieces` and `seed` say how many and which; examples: those of assets/;
    planted: copies, broken and unsuitable files. name: that items carry (default: the kind). wanted: AudioSet's labels to take, by name or
    code; labels: its file of names. grouping: what stays in one split, of a folder.
    """

    kind: SourceKind
    name: str = ""
    media: str = ""
    table: str = ""
    labels: str = ""
    wanted: tuple[str, ...] = ()
    licence: str = "unknown"
    grouping: Literal["file", "folder"] = "file"
    pieces: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind in TABLES and not self.table:
            raise ValueError(f"the source {self.kind} has no table; name its csv or JSON file.")
        if self.kind in (*TABLES, "folder") and not self.media:
            raise ValueError(f"the source {self.kind} has no media; name the folder of its files.")
        require_fields(self, ("pieces",), lambda value: value >= 1, "a whole number from 1")
        require_fields(self, ("seed",), lambda value: value >= 0, "a whole number from 0")

    @classmethod
    def check_keys(cls, values: object, where: str) -> None:
        """Raises ValueError for an unknown key of a source of a known kind, with the keys that this kind takes."""
        keys = KEYS.get(str(values.get("kind"))) if isinstance(values, Mapping) else None
        if isinstance(values, Mapping) and keys is not None:
            known = {field.name for field in fields(cls)}
            if unknown := next((key for key in values if key not in known), None):
                raise ValueError(f"the key {quoted(unknown)} in {where} is unknown; a source of the kind {values['kind']} takes {comma_list(('kind', *keys))}.")

    def rows(self, kind: Kind, folder: Path, root: Path, log: Callable[[str], object]) -> Iterator[SourceRow]:
        """The rows, for a set of this kind. folder: where made and planted files go; root: of relative paths.

        Raises FileNotFoundError or ValueError for a source that cannot be read at all.
        """
        table, media, name = root / self.table, root / self.media, self.name or self.kind
        match self.kind:
            case "made":
                return sources.made_rows(folder / f"made-{self.pieces}-{self.seed}", kind, self.pieces, self.seed, log)
            case "examples":
                return sources.example_rows(kind)
            case "planted":
                return self._planted_rows(kind, folder / f"planted-{kind}", name)
            case "folder":
                return sources.folder_rows(media, kind, name, self.licence, self.grouping)
            case "audioset":
                labels = root / self.labels if self.labels else None
                return source_tables.audioset_rows(table, media, labels, self.wanted or None, name, self.licence)
            case "musiccaps":
                return source_tables.musiccaps_rows(table, media, name, self.licence)
            case "song_describer":
                return source_tables.song_describer_rows(table, media, name, self.licence)
            case "loops":
                return source_tables.loop_rows(table, media, name, self.licence)
            case "jsonl":
                return source_tables.json_rows(table, media, name, self.licence)

    def _planted_rows(self, kind: Kind, folder: Path, name: str) -> Iterator[SourceRow]:
        """Planted files, with the licence of the example that each was made from."""
        plant(folder, kind)
        for row in sources.folder_rows(folder, kind, name, PLANTED_LICENCE):
            if kind == "image" and isinstance(row, Item):
                yield replace(row, licence=PHOTOGRAPHS.get(Path(row.key).stem, PLANTED_LICENCE))
            else:
                yield row
