"""Lines of the log about settings that rarely are what a user wants, and about what a small set lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from DataSet.pipeline.config import PipelineConfig
from DataSet.pipeline.export import SPLITS
from DataSet.pipeline.source_row import RejectedRow, SourceRow
from DataSet.pipeline.splits import SplitOptions

OWN_KINDS = ("made", "examples", "planted")  # sources of the project itself


class CaptionCount:
    """Counts items whose source brings a text, as they pass."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, rows: Iterable[SourceRow]) -> Iterator[SourceRow]:
        for row in rows:
            self.count += not isinstance(row, RejectedRow) and bool(row.caption.strip())
            yield row


def faulty_words(config: PipelineConfig) -> str | None:
    """That the writer is faulty on purpose, unless the profile `small` shows it on the project's own material."""
    foreign = next((source.kind for source in config.sources if source.kind not in OWN_KINDS), None)
    if config.words.kind != "faulty" or (config.profile == "small" and foreign is None):
        return None
    return ("words: {kind: faulty} is a writer that misbehaves on purpose, to show the guards; for a set of your own take "
            "words: {kind: template}, or a language model.")  # fmt: skip


def unused_captions(config: PipelineConfig, count: int) -> str | None:
    """That texts which sources bring, such as song.txt beside song.mp3, are in no caption."""
    captioners = [captioner.kind for captioner in (config.music_captions, config.vision_captions) if captioner is not None]
    if not count or "truth" in captioners:
        return None
    return (f"{count} items bring a caption of their own, which the captioner {captioners[0]} does not use; "
            "music_captions: {kind: truth} takes it instead.")  # fmt: skip


def empty_splits(items: Mapping[str, int], options: SplitOptions) -> str | None:
    """That a split which was asked for got no item, so that there is no list of it."""
    shares = {"train": 1.0, "validation": options.validation, "test": options.test}
    empty = [split for split in SPLITS if shares[split] and not items.get(split)]
    if not empty:
        return None
    return (f"No group fell into the split {' and '.join(empty)}, so there is no list of it: {sum(items.values())} items are few, and groups are "
            "drawn by their names; give another split: {seed: 1}, or larger shares.")  # fmt: skip
