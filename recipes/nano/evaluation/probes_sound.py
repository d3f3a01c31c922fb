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
from llama.evaluation.sound_checks import clipped, largest_step
from llama.generation import Done, GenerationOptions, MusicChunk, TextDelta
from recipes.nano.evaluation.answers import sample_music_dialogues
from recipes.nano.evaluation.figures import EXAMPLES, MUSICALITY, SOUND, SPEED, Figure, ProbeContext
from recipes.nano.evaluation.probes_following import GeneratedMusic, generate_music
from recipes.nano.music_decoder import musicality

LENGTH = 30.0  # seconds of the pieces
JUDGED = ("in_key", "chord_tones_on_strong_beats", "rhythm_repeats", "motif_repeats", "lead_notes_a_bar", "phrase_ends")
STEP = 0.5  # largest step between samples of a bright instrument at 32 kHz; clicks exceed it
CORES = 2  # threads of the latency figures
TRIES = 3  # runs, of which the median is reported


def pieces(context: ProbeContext) -> None:
    """Long pieces: figures of their melodies and of their samples."""
    rng = np.random.default_rng(8)
    requests = sample_music_dialogues(lambda: dialogues.wish(rng), max(2, context.count // 4))
    generated = [item for item in generate_music(context, [Turn(item.instruction) for item in requests], (LENGTH,)) if item.reply.music is not None]
    add_sample_figures(context, generated)
    tunes = context.data / "tunes.json"
    if not tunes.exists():
        context.report.missing.append(f"musicality beside real tunes: {tunes} is not there; python -m DataSet.synthesis.tunes {tunes} makes it")
        return
    band, rows = musicality.table(load(tunes)), [musicality.figures(musicality.melody(item.reply.score)) for item in generated if item.reply.score]
    for name in JUDGED:
        values = [row[name] for row in rows if not np.isnan(row[name])]
        if values:
            context.report.add(Figure(MUSICALITY, name.replace("_", " "), "mean of its melodies", float(np.mean(values)), len(values), band[name]["low"], band[name]["high"]))


def add_sample_figures(context: ProbeContext, generated: list[GeneratedMusic]) -> None:
    if not generated:
        return
    sounds = [item.reply.music.samples.numpy() for item in generated]
    formats = [item.reply.music.sample_rate == 32_000 and len(sound) == 2 for item, sound in zip(generated, sounds, strict=True)]
    context.report.add(
        Figure(SOUND, "clipped samples", "", max(map(clipped, sounds)), len(sounds), target=0.0, most=True),
        Figure(SOUND, "loudest sample", "", max(float(np.abs(sound).max()) for sound in sounds), len(sounds), target=0.999, most=True, unit="of full scale"),
        Figure(SOUND, "largest sample step", "", max(map(largest_step, sounds)), len(sounds), target=STEP, most=True, unit="of full scale"),
        Figure(SOUND, "32 kHz, stereo", "", float(np.mean(formats)), len(sounds), target=1.0),
    )


def speed(context: ProbeContext) -> None:
    """Wall-clock latency on two threads, after one warm-up run."""
    wish, question = Turn("A slow, sad piano piece"), Turn("How fast is it?", audio=EXAMPLES / "piano_waltz.flac")
    with torch_threads(CORES):
        measure_stream(context, wish, 2.0)
        music = [measure_stream(context, wish, LENGTH) for _ in range(TRIES)]
        words = [measure_stream(context, question, None) for _ in range(TRIES)]
    waits = {name: float(np.median([run[name] for run in music])) for name in ("word", "sound", "all")}
    add, where = context.report.add, f"{CORES} threads, median of {TRIES}"
    add(Figure(SPEED, f"a piece of {LENGTH:.0f} s", where, waits["all"], TRIES, target=6.0, most=True, unit="s"))
    add(Figure(SPEED, "first sound after the words", where, waits["sound"], TRIES, target=1.0, most=True, unit="s"))
    add(Figure(SPEED, "first word of an answer", where, float(np.median([run["word"] for run in words])), TRIES, target=1.0, most=True, unit="s"))
    size = sum(file.stat().st_size for file in context.folder.rglob("*") if file.is_file()) / 1e6 if context.folder.is_dir() else float("nan")
    add(Figure(SPEED, "size", context.folder.name, size, 1, target=45.0, most=True, unit="MB"))


def measure_stream(context: ProbeContext, turn: Turn, seconds: float | None) -> dict[str, float]:
    """Seconds to the first word, from the last word to the first sound, and to the end; nan for an event that did not occur."""
    options = GenerationOptions(seconds=seconds or 1.0, music=seconds is not None)
    started, word, last, sound = time.monotonic(), float("nan"), float("nan"), float("nan")
    for event in context.model.stream(turn, options):
        now = time.monotonic()
        if isinstance(event, TextDelta):
            word, last = (now - started if np.isnan(word) else word), now
        elif isinstance(event, MusicChunk) and np.isnan(sound):
            sound = now - last
        elif isinstance(event, Done):
            return {"word": word, "sound": sound, "all": now - started}
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
