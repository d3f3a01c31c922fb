"""What the notebook MUVideo shows: clips over their motion and the onsets of their music, and whether the two go together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from DataSet.pipeline.agreement import TEMPO_CLASSES, cross_table, tempo_class
from DataSet.pipeline.figures import correlation, cuts, film_strip, motion_curve, onset_strength
from DataSet.pipeline.media_cards import Card, Gallery, clip_player, sound_player
from DataSet.pipeline.muimage_views import music_caption, vision_caption
from DataSet.pipeline.notebook_tables import MarkdownView, label, table_view
from DataSet.pipeline.set_result import SetResult
from DataSet.pipeline.stated_scenes import PACES, parse_scene
from DataSet.pipeline.step import Outcome, Rejection
from DataSet.synthesis.stated_attributes import parse_answer
from llama.evaluation.statistics import bootstrap_interval
from llama.evaluation.tables import Measurement, Row, Table
from llama.media.audio import Waveform
from llama.media.demuxer import media_streams, open_container
from llama.media.video import load_frames

PLAYER_SECONDS = 4.0
MOST_FRAMES = 400  # of a clip whose motion is drawn
UNKNOWN = "not stated"


def film_strips(result: SetResult, count: int = 3) -> Gallery:
    """Clips with cuts first, then by their ids: eight frames over the motion over the onset strength of the music, and players."""
    frames = {entry.item.id: _frames(result.media(entry, "video"), entry.results["segment"]["frames"]) for entry in result.entries()}
    cards = []
    for entry in sorted(result.entries(), key=lambda entry: (not len(cuts(frames[entry.item.id])), entry.item.id))[:count]:
        segment, wave = entry.results["segment"], Waveform.read(result.media(entry, "audio"))
        strip = film_strip(frames[entry.item.id], segment["video_seconds"], wave)
        lines = [f"Clip: {vision_caption(entry)}", f"Music: {music_caption(entry)}", f"Human: {entry.results['instruction']['human']}"]
        cards.append(Card(entry.item.key, [strip], lines, [clip_player(result.media(entry, "video")), sound_player(wave, PLAYER_SECONDS)]))
    return Gallery(cards, width=640)


def motion_and_onsets(result: SetResult) -> MarkdownView:
    """Correlation of motion and onset strength over the time of each clip, and of each clip with the music of every other one."""
    motions, onsets = [], []
    for entry in result.entries():
        segment, wave = entry.results["segment"], Waveform.read(result.media(entry, "audio"))
        motions.append(motion_curve(_frames(result.media(entry, "video"), segment["frames"])))
        onsets.append(_beginning(onset_strength(wave), segment["video_seconds"] / wave.seconds))
    grid = np.array([[correlation(motion, strength) for strength in onsets] for motion in motions])
    own = np.diag(grid)[~np.isnan(np.diag(grid))] if len(grid) else np.zeros(0)
    others = grid[~np.eye(len(grid), dtype=bool)] if len(grid) else np.zeros(0)
    others = others[~np.isnan(others)]
    low, high = bootstrap_interval({str(place): np.array([value]) for place, value in enumerate(own)}) if len(own) > 1 else (None, None)
    rows = (
        Row("own music", {"correlation": _mean(own, low, high)}), Row("music of other clips", {"correlation": _mean(others)}),
    )  # fmt: skip
    notes = ("The made set's music follows the pace and the pulse of a clip, not its single frames; no correlation is expected there.",)
    return table_view(Table("Motion and onset strength", ("correlation",), rows, notes))


def motion_and_tempo(result: SetResult) -> MarkdownView:
    """Clips by the pace and the music's tempo that their captions state."""
    pairs = []
    for entry in result.entries():
        pace, tempo = parse_scene("motion", vision_caption(entry)), tempo_class(parse_answer("tempo", music_caption(entry)))
        pairs.append((pace or UNKNOWN, tempo or UNKNOWN))
    columns = (*(name for name, _ in TEMPO_CLASSES), UNKNOWN)
    return table_view(Table("Pace of the clip (rows) and tempo of its music (columns)", columns, cross_table(pairs, (*PACES, UNKNOWN), columns)))


def unusual_clips(result: SetResult) -> MarkdownView:
    """Clips without sound, of one frame, of variable rate or damaged, and what became of them."""
    rows = []
    for item, outcomes in result.histories():
        oddities = list(_oddities(Path(item.media["video"]), "audio" in item.media)) if "video" in item.media else ["no clip"]
        if oddities:
            rows.append(Row(label(item), {"what": ", ".join(oddities), "outcome": _fate(outcomes)}))
    return table_view(Table("Unusual clips", ("what", "outcome"), tuple(sorted(rows, key=lambda row: row.label))))


def _oddities(clip: Path, has_sound_file: bool) -> Iterator[str]:
    """What is unusual about a clip's file."""
    try:
        with open_container(clip) as container:
            streams = media_streams(container, "video")
            if not has_sound_file and not media_streams(container, "audio"):
                yield "no sound"
            times = sorted(packet.pts for packet in container.demux(streams[:1]) if packet.pts is not None)
    except ValueError:
        yield "damaged"
        return
    if len(times) == 1:
        yield "one frame"
    if len(set(np.diff(times))) > 1:
        yield "variable rate"


def _frames(clip: Path, frames: int) -> np.ndarray:
    return load_frames(clip, min(frames, MOST_FRAMES))


def _beginning(curve: np.ndarray, share: float) -> np.ndarray:
    return curve[: max(2, round(len(curve) * min(1.0, share)))]


def _mean(values: np.ndarray, low: float | None = None, high: float | None = None) -> Measurement:
    return Measurement(float(values.mean()) if len(values) else math.nan, len(values), low, high, digits=2)


def _fate(outcomes: dict[str, Outcome]) -> str:
    rejection = next((outcome for outcome in outcomes.values() if isinstance(outcome, Rejection)), None)
    return "in the set" if rejection is None else f"{rejection.rule}: {rejection.why}"
