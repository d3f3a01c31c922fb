"""The step "edit": makes the edit of a pair, writes source and target once, and measures what was written.

Its items are pairs: one recording and one edit of it (`pair_item`). Several pairs of one recording are one group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from DataSet.pipeline.audio_edits import FULL_SCALE, AudioEdit, edit_recording
from DataSet.pipeline.edit_choice import Variant
from DataSet.pipeline.item import Item
from DataSet.pipeline.score_edits import (
    ComposedPiece,
    asked_change,
    edited_score,
    expected_interval,
    kept_notes,
    render_pair,
)
from DataSet.pipeline.segments import measurements
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from DataSet.synthesis.made_set import DECODER, load_sampler
from llama.decoders.notes.sampler import Sampler
from llama.errors import USER_ERRORS, sentence
from llama.evaluation.editing_metrics import (
    chroma_interval,
    chroma_similarity,
    level_difference,
    measure_edit,
    partials,
    repetitions,
)
from llama.evaluation.onset_alignment import Alignment, align
from llama.files import WriteError
from llama.media.audio import Waveform

VERSION = 1
SPEED_TOLERANCE, CENTS_TOLERANCE, LEVEL_TOLERANCE = 0.01, 5.0, 0.1  # of the speed; cents; dB
REVERSED = 0.999  # correlation of the source with the edit from its end to its beginning
MEASURING_RATE = 16_000
STRETCHED = ("speed", "pitch", "both")
LEFT_OUT = "left_out"  # in the truth of a pair: why its recording is not in the set


def pair_item(parent: Item, variant: Variant, audio: str) -> Item:
    """The item of a pair: `parent` with one edit. audio: its segment, relative to the work folder of the pairs.

    It keeps the parent's group, caption, licence, tags and truth, to which it adds `operation`, `change`, `parent` and, where it is
    known by now, `asked`.
    """
    truth = {**parent.truth, "operation": variant.operation, "change": variant.change, "parent": parent.id}
    if variant.asked is not None:
        truth["asked"] = dict(variant.asked)
    return replace(parent, key=f"{parent.key} {variant.label}", media={"audio": audio}, group=parent.group or parent.id, truth=truth)


def left_out(pair: Item, why: str) -> Item:
    """The item of a pair whose recording is not in the set any more."""
    return replace(pair, truth={**pair.truth, LEFT_OUT: why})


class EditStep:
    """Outcome: {"source", "target", "operation", "asked", "expected", "measured"}, or a Rejection (left out, silent, too short,
    tolerance, error).

    source, target: FLAC of 16 bits, relative to `folder`. expected: the speed, the cents and the level_db that follow from `asked`,
    those of them that the operation fixes. measured: what the written files have, by `llama.evaluation.editing_metrics`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.spec = StepSpec("edit", VERSION, {"speed": SPEED_TOLERANCE, "cents": CENTS_TOLERANCE, "level_db": LEVEL_TOLERANCE})
        self._sampler: Sampler | None = None

    def __call__(self, batch: Sequence[StepInput]) -> list[Outcome]:
        return [self._outcome(given.item, given.seed) for given in batch]

    def _outcome(self, item: Item, seed: int) -> Outcome:
        if why := item.truth.get(LEFT_OUT):
            return Rejection("left out", f"Its recording is not in the set any more: {why}")
        try:
            return self._edit(item, seed)
        except WriteError:
            raise  # of the disk, not of the item
        except USER_ERRORS as error:
            words = sentence(error)
            return Rejection("silent" if "silent" in words else "too short" if " s long" in words else "error", words)

    def _edit(self, item: Item, seed: int) -> Outcome:
        operation = item.truth["operation"]
        if operation == "notes":
            piece = ComposedPiece.from_truth(item.truth)
            asked = asked_change(piece.attributes, item.truth["change"], seed)
            source, target, exact = self._play(piece, asked, self._channels(item))
            expected = _expected_of_notes(piece, asked)
        else:
            edit = AudioEdit(operation, item.truth["asked"])
            beat = 60 / item.truth["tempo"] if "tempo" in item.truth else None
            source, target = edit_recording(Waveform.read(self.folder / item.media["audio"]), edit, beat)
            asked, exact, expected = dict(edit.asked), {}, _expected(edit)
        first, second = self._write("source", item, source), self._write("target", item, target)
        measured = measure_pair(Waveform.read(self.folder / first), Waveform.read(self.folder / second), operation, asked, expected) | exact
        if why := fault(asked, expected, measured):
            return Rejection("tolerance", why)
        return {"source": first, "target": second, "operation": operation, "asked": asked, "expected": expected, "measured": measured}

    def _write(self, part: str, item: Item, wave: Waveform) -> str:
        name = f"media/{part}/{item.id}.flac"
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        wave.write(self.folder / name)
        return name

    def _play(self, piece: ComposedPiece, asked: Mapping[str, Any], channels: int) -> tuple[Waveform, Waveform, dict[str, Any]]:
        if self._sampler is None:
            self._sampler = load_sampler(DECODER)
        source, target = piece.score(), edited_score(piece, asked)
        return *render_pair(source, target, self._sampler, channels), {"kept_notes": kept_notes(source, target, asked)}

    def _channels(self, item: Item) -> int:
        return min(2, len(Waveform.read(self.folder / item.media["audio"]).samples))


def _expected(edit: AudioEdit) -> dict[str, float]:
    values: dict[str, float] = {"level_db": edit.level}
    if edit.operation in (*STRETCHED, "level"):
        values |= {"speed": edit.asked.get("speed", 1.0), "cents": float(edit.asked.get("cents", 0))}
    return values


def _expected_of_notes(piece: ComposedPiece, asked: Mapping[str, Any]) -> dict[str, float]:
    """The speed of the beat and the interval of the pitch classes, in semitones up; voices may fold an octave down."""
    speed = asked.get("tempo", piece.attributes.tempo) / piece.attributes.tempo
    return {"level_db": 0.0, "speed": round(speed, 6), "interval": expected_interval(piece.attributes, asked)}


def measure_pair(
    source: Waveform, target: Waveform, operation: str, asked: Mapping[str, Any], expected: Mapping[str, float]
) -> dict[str, Any]:
    """What a written pair has: channels, rate, peaks and levels, and what its operation changes."""
    values: dict[str, Any] = {
        "channels": [len(source.samples), len(target.samples)], "sample_rate": [source.sample_rate, target.sample_rate],
        "seconds": [round(source.seconds, 4), round(target.seconds, 4)],
        "peak": [round(float(wave.samples.abs().max()), 6) for wave in (source, target)],
        "level_db": round(level_difference(source.samples.numpy(), target.samples.numpy()), 4),
    }  # fmt: skip
    if operation == "reverse":
        length = min(source.samples.shape[1], target.samples.shape[1])
        backwards = target.samples.flip(1)[:, :length].flatten().numpy()
        return values | {"reversed": round(float(np.corrcoef(source.samples[:, :length].flatten().numpy(), backwards)[0, 1]), 6)}
    if operation == "loop":
        return values | {"loop": repetitions(target.mono().samples[0].numpy())}
    if operation == "notes":
        return values | measure_notes(source, target, expected)
    first, second = (wave.mono().resample(MEASURING_RATE).samples[0].numpy() for wave in (source, target))
    found = measure_edit(first, second, MEASURING_RATE, asked.get("cents"))
    stretched = {"speed": round(found.speed, 5), "cents": round(found.cents, 2)}
    return values | stretched | {"chroma": round(found.chroma, 4), "agreement": round(found.agreement, 4)}


def measure_notes(source: Waveform, target: Waveform, expected: Mapping[str, float]) -> dict[str, Any]:
    """The interval and the likeness of the chroma of an edited score, whose time is known; its speed where that was to change.

    Onsets of another instrument are others, so that they do not tell the speed.
    """
    first, second = (wave.mono().resample(MEASURING_RATE).samples[0].numpy() for wave in (source, target))
    known = Alignment(expected["speed"], 0.0, 1.0)
    interval = chroma_interval(first, second, MEASURING_RATE, known)
    chroma = chroma_similarity(partials(first, MEASURING_RATE), partials(second, MEASURING_RATE), known, 100.0 * interval)
    values = {"interval": interval, "chroma": round(chroma, 4)}
    return values if expected["speed"] == 1 else values | {"speed": round(align(first, second, MEASURING_RATE).speed, 5)}


def fault(asked: Mapping[str, Any], expected: Mapping[str, float], measured: Mapping[str, Any]) -> str | None:
    """One sentence on what the written pair has beyond the tolerances; None for a good pair."""
    for name in ("channels", "sample_rate"):
        if measured[name][0] != measured[name][1]:
            return f"Source and edit have {measured[name][0]} and {measured[name][1]} ({name}); they must have the same."
    if max(measured["peak"]) > FULL_SCALE + 1e-6:
        return f"A sample of the pair is at {max(measured['peak']):.4f} of full scale; it may be clipped."
    off = {name: measured[name] - expected[name] for name in ("level_db", "speed", "cents") if name in expected and name in measured}
    if abs(off["level_db"]) > LEVEL_TOLERANCE:
        return f"The edit is {measured['level_db']:+.2f} dB louder, asked were {expected['level_db']:+g} dB."
    if "speed" in off and abs(off["speed"]) > SPEED_TOLERANCE * expected["speed"]:
        return f"The edit is measured at {measured['speed']:.3f} times the speed, asked were {expected['speed']:g}."
    if "cents" in off and abs(off["cents"]) > CENTS_TOLERANCE:
        return f"The edit is measured {measured['cents']:+.1f} cents higher, asked were {expected['cents']:+g}."
    if measured.get("interval", expected.get("interval")) != expected.get("interval"):
        return f"The edit's pitch classes lie {measured['interval']} semitones higher, asked were {expected['interval']}."
    if measured.get("kept_notes", 1.0) < 1:
        return f"The edited score keeps {measured['kept_notes']:.3f} of the notes; it must keep all."
    if measured.get("reversed", 1.0) < REVERSED:
        return f"Backwards, the edit correlates with its source by {measured['reversed']:.3f} only."
    if measured.get("loop", asked.get("loop")) != asked.get("loop"):
        return f"The edit is measured to play its stretch {measured['loop']} times, asked were {asked['loop']}."
    return None


class TargetStep:
    """The step "segment" of pairs, after "edit": the target as later steps read it, and its source.

    Outcome: {"audio": target, "source", "seconds", "sample_rate", "channels", "rms_db", "peak", "sha256", "peaks"} as of SegmentStep.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.spec = StepSpec("segment", VERSION, {"of": "edit"})

    def __call__(self, batch: Sequence[StepInput]) -> list[Outcome]:
        return [self._outcome(given.results["edit"]) for given in batch]

    def _outcome(self, edit: Mapping[str, Any]) -> Outcome:
        return {"audio": edit["target"], "source": edit["source"], **measurements(Waveform.read(self.folder / edit["target"]))}
