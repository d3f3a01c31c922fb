"""Probes of the generated music: melodies compared with real tunes, clean samples, and latency."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from DataSet.synthesis import dialogues
from DataSet.synthesis.tunes import load
from llama.dialogue import Turn
from llama.generation import Done, GenerationOptions, MusicChunk, TextDelta
from llama.metrics import clipped, largest_step
from recipes.nano.evaluation.figures import EXAMPLES, MUSICALITY, SOUND, SPEED, Figure, ProbeContext
from recipes.nano.evaluation.measure import sample_music_dialogues
from recipes.nano.evaluation.probes_following import GeneratedMusic, generate_music
from recipes.nano.music_decoder import musicality

LENGTH = 30.0  # seconds of the pieces
JUDGED = ("in_key", "chord_tones_on_strong_beats", "rhythm_repeats", "motif_repeats", "lead_notes_a_bar", "phrase_ends")
STEP = 0.5  # largest step between samples of a bright instrument at 32 kHz; clicks exceed it
CORES = 2  # threads of the latency figures
TRIES = 3  # runs, of which the median is reported


def pieces(probing: ProbeContext) -> None:
    """Long pieces: figures of their melodies and of their samples."""
    rng = np.random.default_rng(8)
    wanted = sample_music_dialogues(lambda: dialogues.wish(rng), max(2, probing.count // 4))
    made = [one for one in generate_music(probing, [Turn(one.instruction) for one in wanted], (LENGTH,)) if one.reply.music is not None]
    add_sample_figures(probing, made)
    tunes = probing.data / "tunes.json"
    if not tunes.exists():
        probing.report.missing.append(f"musicality beside real tunes: {tunes} is not there; python -m DataSet.synthesis.tunes {tunes} makes it")
        return
    band, rows = musicality.table(load(tunes)), [musicality.figures(musicality.melody(one.reply.score)) for one in made if one.reply.score]
    for name in JUDGED:
        values = [row[name] for row in rows if not np.isnan(row[name])]
        if values:
            probing.report.add(Figure(MUSICALITY, name.replace("_", " "), "mean of its melodies", float(np.mean(values)), len(values), band[name]["low"], band[name]["high"]))


def add_sample_figures(probing: ProbeContext, made: list[GeneratedMusic]) -> None:
    if not made:
        return
    sounds = [one.reply.music.samples.numpy() for one in made]
    formats = [one.reply.music.sample_rate == 32_000 and len(sound) == 2 for one, sound in zip(made, sounds, strict=True)]
    probing.report.add(
        Figure(SOUND, "clipped samples", "", max(map(clipped, sounds)), len(sounds), target=0.0, most=True),
        Figure(SOUND, "loudest sample", "", max(float(np.abs(sound).max()) for sound in sounds), len(sounds), target=0.999, most=True, unit="of full scale"),
        Figure(SOUND, "largest sample step", "", max(map(largest_step, sounds)), len(sounds), target=STEP, most=True, unit="of full scale"),
        Figure(SOUND, "32 kHz, stereo", "", float(np.mean(formats)), len(sounds), target=1.0),
    )


def speed(probing: ProbeContext) -> None:
    """Wall-clock latency on two threads, after one warm-up run."""
    wish, question = Turn("A slow, sad piano piece"), Turn("How fast is it?", audio=EXAMPLES / "piano_waltz.flac")
    with torch_threads(CORES):
        measure_stream(probing, wish, 2.0)
        music = [measure_stream(probing, wish, LENGTH) for _ in range(TRIES)]
        words = [measure_stream(probing, question, None) for _ in range(TRIES)]
    waits = {name: float(np.median([one[name] for one in music])) for name in ("word", "sound", "all")}
    add, where = probing.report.add, f"{CORES} threads, median of {TRIES}"
    add(Figure(SPEED, f"a piece of {LENGTH:.0f} s", where, waits["all"], TRIES, target=6.0, most=True, unit="s"))
    add(Figure(SPEED, "first sound after the words", where, waits["sound"], TRIES, target=1.0, most=True, unit="s"))
    add(Figure(SPEED, "first word of an answer", where, float(np.median([one["word"] for one in words])), TRIES, target=1.0, most=True, unit="s"))
    size = sum(file.stat().st_size for file in probing.folder.rglob("*") if file.is_file()) / 1e6 if probing.folder.is_dir() else float("nan")
    add(Figure(SPEED, "size", probing.folder.name, size, 1, target=45.0, most=True, unit="MB"))


def measure_stream(probing: ProbeContext, turn: Turn, seconds: float | None) -> dict[str, float]:
    """Seconds to the first word, from the last word to the first sound, and to the end; nan for an event that did not occur."""
    options = GenerationOptions(seconds=seconds or 1.0, music=seconds is not None)
    begun, word, last, sound = time.monotonic(), float("nan"), float("nan"), float("nan")
    for event in probing.model.stream(turn, options):
        now = time.monotonic()
        if isinstance(event, TextDelta):
            word, last = (now - begun if np.isnan(word) else word), now
        elif isinstance(event, MusicChunk) and np.isnan(sound):
            sound = now - last
        elif isinstance(event, Done):
            return {"word": word, "sound": sound, "all": now - begun}
    raise AssertionError("a stream ends with Done")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(min(count, os.cpu_count() or 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


STEPS = {"melodies and sound": pieces, "speed": speed}
