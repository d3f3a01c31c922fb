"""Compares generated melodies with traditional tunes: the same figures of both, and the range of the real tunes.

    python -m recipes.nano.music_decoder.musicality --tunes build/nano/tunes.json [--decoder FOLDER] [--out figures.json]

A figure is taken over the first sixteen bars of a melody. Chords are found by one harmoniser for all, a chord a bar, so that
tunes without chords and pieces with them are judged alike. The band is the middle nine tenths of the tunes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.grooves import TRIADS
from DataSet.synthesis.tunes import Tune, harmonise, load
from llama.evaluation.symbolic_metrics import notes_in_key
from llama.media.score import QUALITIES, SCALES, Score, timeline

BARS = 16  # of a melody that the figures cover
PHRASE = 4
FIGURES = (
    "in_key", "chord_tones_on_strong_beats", "rhythm_repeats", "motif_repeats", "lead_notes_a_bar", "phrase_ends",
    "steps", "leaps", "repeated_notes",
)  # fmt: skip
Notes = list[tuple[float, float, int]]  # beat within the bar, beats, pitch


def melody(score: Score) -> Tune:
    """The lead of a piece, in beats, without its final chord."""
    attributes, line = score.attributes, timeline(score.attributes, score.seconds)
    times = np.array([line.time(eighth) for eighth in range(line.bar_count * line.width + 1)])
    notes = []
    for note in score.lead:
        eighth = int(np.abs(times - note.start).argmin())
        if eighth < len(times) - 1:
            until = int(np.abs(times - (note.start + note.duration)).argmin())
            notes.append((eighth / 2, max(until - eighth, 1) / 2, note.pitch))
    return Tune("", attributes.key, attributes.mode, attributes.metre, tuple(notes))


def figures(tune: Tune) -> dict[str, float]:
    """Figures of one melody; nan where it has nothing to count."""
    count = min(tune.bars, BARS) if tune.notes else 0
    bars = [_bar(tune, index) for index in range(count)]
    if count < PHRASE:
        return dict.fromkeys(FIGURES, np.nan)
    pitches = [pitch for bar in bars for _, _, pitch in bar]
    moves = np.abs(np.diff(pitches)) if len(pitches) > 1 else np.array([np.nan])
    return {
        "in_key": notes_in_key(pitches, tune.tonic, tune.mode),
        "chord_tones_on_strong_beats": _chord_tones(tune, bars),
        "rhythm_repeats": _repeats(bars, lambda bar: tuple(start for start, _, _ in bar)),
        "motif_repeats": _repeats(bars, _contour),
        "lead_notes_a_bar": len(pitches) / count,
        "phrase_ends": _mean(_ends_home(tune, bar) for bar in bars[PHRASE - 1 :: PHRASE] if bar),
        "steps": float(np.mean((moves > 0) & (moves <= 2))),
        "leaps": float(np.mean(moves > 7)),
        "repeated_notes": float(np.mean(moves == 0)),
    }


def _mean(values: object) -> float:
    numbers = list(values)  # type: ignore[call-overload]
    return float(np.mean(numbers)) if numbers else float("nan")


def _bar(tune: Tune, index: int) -> Notes:
    first = index * tune.metre
    return [(round(start - first, 3), length, pitch) for start, length, pitch in tune.notes if first <= start < first + tune.metre]


def _chord_tones(tune: Tune, bars: Sequence[Notes]) -> float:
    """Share of the notes on strong beats that belong to the harmoniser's chord of their bar."""
    degrees, is_chord_tone = harmonise(tune, 0, len(bars)), []
    for degree, bar in zip(degrees, bars, strict=True):
        root = tune.tonic + SCALES[tune.mode][degree]
        tones = {(root + step) % 12 for step in QUALITIES[TRIADS[tune.mode][degree]]}
        is_chord_tone += [pitch % 12 in tones for start, _, pitch in bar if start % (2 if tune.metre == 4 else 3) == 0]
    return _mean(is_chord_tone)


def _contour(bar: Notes) -> tuple[object, ...]:
    """Rhythm and the direction of every interval: the shape of a motif, whatever its pitch."""
    pitches = [pitch for _, _, pitch in bar]
    return (*[start for start, _, _ in bar], *np.sign(np.diff(pitches)).tolist())


def _repeats(bars: Sequence[Notes], shape: Callable[[Notes], tuple[object, ...]]) -> float:
    """Share of the bars, from the second on, whose shape occurs in one of the eight bars before."""
    shapes = [shape(bar) for bar in bars]
    return _mean(current in shapes[max(0, index - 8) : index] for index, current in enumerate(shapes) if index and current)


def _ends_home(tune: Tune, bar: Notes) -> bool:
    """Whether the longest note of a phrase's last bar, the last of these, is the tonic or the dominant."""
    longest = max(length for _, length, _ in bar)
    return [pitch for _, length, pitch in bar if length == longest][-1] % 12 in (tune.tonic, (tune.tonic + 7) % 12)


def table(tunes: Sequence[Tune]) -> dict[str, dict[str, float]]:
    """Figure -> mean and the 5th and 95th of a hundred, over melodies."""
    rows = [figures(tune) for tune in tunes]
    statistics = {}
    for name in FIGURES:
        values = np.array([row[name] for row in rows if not np.isnan(row[name])])
        low, high = np.percentile(values, (5, 95))
        statistics[name] = {"mean": float(values.mean()), "low": float(low), "high": float(high)}
    return statistics


def composed_pieces(count: int, seconds: float, seed: int = 21) -> list[Score]:
    """Pieces of the composer, of held-out combinations."""
    rng = np.random.default_rng(seed)
    return [compose(rng, sample_attributes(rng, held_out=True), seconds) for _ in range(count)]


def markdown_table(band: Mapping[str, Mapping[str, float]], ours: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A table in Markdown: the tunes' band, and each of ours with a mark where its mean lies outside."""
    lines = ["| | tunes, middle 90 % | tunes, mean | " + " | ".join(ours) + " |", "|---|---|---|" + "---|" * len(ours)]
    for name, row in band.items():
        cells = []
        for each in ours.values():
            mean = each[name]["mean"]
            cells.append(f"{mean:.3f}" + ("" if row["low"] <= mean <= row["high"] else " (outside)"))
        lines.append(f"| {name.replace('_', ' ')} | {row['low']:.3f} to {row['high']:.3f} | {row['mean']:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tunes", type=Path, required=True, help="JSON that DataSet.synthesis.tunes wrote")
    parser.add_argument("--decoder", type=Path, help="folder of a trained decoder, to judge its pieces too")
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=32.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    band = table(load(options.tunes))
    ours = {"composer": table([melody(score) for score in composed_pieces(options.pieces, options.seconds)])}
    if options.decoder:
        ours["decoder"] = table([melody(score) for score in _generated_scores(options.decoder, options.pieces, options.seconds)])
    print(markdown_table(band, ours))
    if options.out:
        options.out.write_text(json.dumps({"tunes": band, **ours}, indent=1) + "\n")


def _generated_scores(folder: Path, count: int, seconds: float) -> list[Score]:
    import torch

    from llama.decoders.musicgen.decoder import MusicGenDecoder
    from recipes.nano.music_decoder.measure import generate_scores, sample_cases

    torch.set_num_threads(1)
    return generate_scores(MusicGenDecoder.from_folder(folder), [case.text for case in sample_cases(count, 7, False)], seconds)


if __name__ == "__main__":
    main()
