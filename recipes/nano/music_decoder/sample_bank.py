"""Records the note codec's sample bank from a soundfont and writes it as a codec folder.

    python -m recipes.nano.music_decoder.sample_bank --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2 --out FOLDER

FluidR3 is under the MIT licence (Copyright 2000-2002, 2008 Frank Wen), so its recordings may be passed on.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from DataSet.synthesis.rendering import find_soundfonts
from llama.decoders.notes.codec import NoteCodecConfig, NoteCodecModel
from llama.decoders.notes.sampler import LOOPED, PERCUSSION, SAMPLE_RATE
from llama.media.score import ACCOMPANIMENTS, BASSES, DRUMS, LEAD_FLOOR, LEADS

LICENCE = "Recorded notes of FluidR3 GM, MIT licence, Copyright 2000-2002, 2008 Frank Wen"
SECONDS = {0: 2.8, 12: 1.1, 24: 2.2, 25: 1.8, 46: 2.2, 32: 1.6, 33: 1.6, 38: 1.0}  # of decaying programs; others loop
LOOP_SECONDS = 1.7
DRUM_SECONDS = {36: 0.45, 38: 0.5, 42: 0.3, 46: 0.8, 51: 1.5, 49: 1.8, 39: 0.45}
GAP = 640  # silent samples between notes, so that compression does not smear one into the next
QUALITY = 0.55  # of the Ogg file, 0 best .. 1 smallest


@dataclass(frozen=True)
class RecordedNote:
    """A recorded note: mono samples at SAMPLE_RATE."""

    program: int
    pitch: int
    samples: NDArray[np.float32]


def pitches_to_record() -> dict[int, list[int]]:
    """Program -> pitches to record: the range of its tracks, every fifth or sixth semitone."""
    pitches: dict[int, set[int]] = {}
    for name, program in LEADS.items():
        pitches.setdefault(program, set()).update(range(LEAD_FLOOR[name] + 2, LEAD_FLOOR[name] + 36, 6))
    for program in ACCOMPANIMENTS.values():
        pitches.setdefault(program, set()).update((57, 63))
    for program in BASSES.values():
        pitches.setdefault(program, set()).update((26, 32, 38, 44, 50))
    return {program: sorted(program_pitches) for program, program_pitches in pitches.items()}


class Recorder:
    """A soundfont synthesiser that plays one note at a time."""

    def __init__(self, soundfont: Path) -> None:
        import tinysoundfont

        self.synth = tinysoundfont.Synth(samplerate=SAMPLE_RATE, gain=-6)
        self.font = self.synth.sfload(str(soundfont))

    def note(self, program: int, pitch: int, seconds: float) -> NDArray[np.float32]:
        """One mono note, cut where it is inaudible and faded out at its end."""
        if program == PERCUSSION:
            self.synth.program_select(9, self.font, 128, 0, True)
        else:
            self.synth.program_select(0, self.font, 0, program)
        channel = 9 if program == PERCUSSION else 0
        self.synth.noteon(channel, pitch, 105)
        sound = np.frombuffer(bytes(self.synth.generate(int(seconds * SAMPLE_RATE))), np.float32).reshape(-1, 2).mean(1).copy()
        self.synth.sounds_off(channel)
        self.synth.generate(SAMPLE_RATE // 2)
        audible = np.flatnonzero(np.abs(sound) > 3e-4 * max(float(np.abs(sound).max()), 1e-9))
        sound = sound[: max(int(audible[-1]) + 1 if len(audible) else 0, SAMPLE_RATE // 5)]
        fade = SAMPLE_RATE // 50
        sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        return sound


def record_notes(soundfont: Path) -> Iterator[RecordedNote]:
    """All notes of the bank, with the instruments at equal loudness."""
    recorder = Recorder(soundfont)
    for program, pitches in pitches_to_record().items():
        seconds = LOOP_SECONDS if program in LOOPED else SECONDS[program]
        notes = [recorder.note(program, pitch, seconds) for pitch in pitches]
        level = float(np.mean([_loudness(note) for note in notes]))
        for pitch, note in zip(pitches, notes, strict=True):
            # Half of the way to equal loudness within an instrument: its registers keep some of their own character.
            yield RecordedNote(program, pitch, note * (0.12 / level**0.5 / max(_loudness(note), 1e-4) ** 0.5))
    for key in DRUMS:
        note = recorder.note(PERCUSSION, key, DRUM_SECONDS[key])
        yield RecordedNote(PERCUSSION, key, note)


def _loudness(sound: NDArray[np.float32]) -> float:
    """Root mean square of the loudest fifth of a second."""
    power = np.convolve(sound**2, np.ones(SAMPLE_RATE // 5, np.float32) / (SAMPLE_RATE // 5), "valid")
    return float(np.sqrt(power.max(initial=1e-8)))


def pack_notes(notes: list[RecordedNote]) -> tuple[bytes, list[list[float]]]:
    """One Ogg file of all notes at full scale, and the entries (program, pitch, offset, length, gain)."""
    pieces, entries, offset = [], [], 0
    for note in notes:
        gain = float(np.abs(note.samples).max()) / 0.9
        pieces += [note.samples / gain, np.zeros(GAP, np.float32)]
        entries.append([note.program, note.pitch, offset, len(note.samples), round(gain, 6)])
        offset += len(note.samples) + GAP
    joined, file = np.concatenate(pieces), io.BytesIO()
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, format="OGG", subtype="VORBIS", compression_level=QUALITY) as out:
        for start in range(0, len(joined), SAMPLE_RATE):  # in pieces: the encoder overflows on long blocks
            out.write(joined[start : start + SAMPLE_RATE])
    return file.getvalue(), entries


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the note codec's sample bank from a soundfont.")
    parser.add_argument("--soundfont", type=Path, help="default: FluidR3_GM among the installed ones")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    soundfont = arguments.soundfont or find_soundfonts().get("FluidR3_GM")
    if soundfont is None:
        raise SystemExit("FluidR3_GM is not installed; install it with: apt-get install fluid-soundfont-gm")
    bank, entries = pack_notes(list(record_notes(soundfont)))
    model = NoteCodecModel(NoteCodecConfig(bank_bytes=len(bank), entries=entries, licence=LICENCE))
    model.bank.copy_(torch.frombuffer(bytearray(bank), dtype=torch.uint8))
    model.save_pretrained(arguments.out)
    print(f"{len(entries)} notes, {len(bank) / 1e6:.2f} MB, {arguments.out}")


if __name__ == "__main__":
    main()
