"""Writes soundfonts for training from recorded notes in packages.

    python -m recipes.nano.rendering.soundfonts SAMPLES --out ~/.local/share/sounds

SAMPLES holds unpacked npm packages tonejs-instrument-NAME-mp3 as SAMPLES/NAME (recordings in the public domain, edited;
CC-BY 3.0), which become tonejs.sf2; where Debian's freepats is installed (GPL-2, used for rendering only), its patches
become freepats.sf2. Neither has every instrument.
"""

from __future__ import annotations

import argparse
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from llama.files import atomic_path

PROGRAMS = {"piano": 0, "organ": 19, "guitar-nylon": 24, "guitar-acoustic": 25, "violin": 40, "cello": 42, "harp": 46,
            "trumpet": 56, "saxophone": 65, "clarinet": 71, "flute": 73}
DECAYING_PROGRAMS = {*range(16), *range(24, 32), 45, 46, 47, *range(104, 109)}  # struck and plucked programs, which decay by themselves
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
FREEPATS = Path("/usr/share/midi/freepats")
MAX_SAMPLE_SECONDS = 6.0  # seconds kept of a sample
PADDING = 46  # zeros that must follow every sample


@dataclass(frozen=True)
class Sample:
    """One recorded note: `pitch` in MIDI with a fraction, `low` to `high` the keys it covers, `loop` in samples."""

    samples: NDArray[np.int16]
    rate: int
    pitch: float
    low: int
    high: int
    loop: tuple[int, int] | None = None


def read_tonejs(folder: Path) -> list[Sample]:
    """The notes of one unpacked package; each covers the keys half-way to the next note."""
    files = []
    for path in sorted(folder.glob("*.mp3")):
        match = re.fullmatch(r"([A-G])(s?)(\d)", path.stem)
        if match:
            files.append((STEPS[match[1]] + len(match[2]) + 12 * (int(match[3]) + 1), path))
    notes = sorted(files)
    pitches = [pitch for pitch, _ in notes]
    lows = [0, *((a + b) // 2 + 1 for a, b in zip(pitches, pitches[1:], strict=False))]
    highs = [*(low - 1 for low in lows[1:]), 127]
    return [_read(path, pitch, low, high) for (pitch, path), low, high in zip(notes, lows, highs, strict=True)]


def _read(path: Path, pitch: int, low: int, high: int) -> Sample:
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(1)[: int(MAX_SAMPLE_SECONDS * rate)]
    onset = int(np.argmax(np.abs(mono) > 0.03 * np.abs(mono).max()))
    mono = mono[max(0, onset - rate // 200):]
    fade = min(len(mono), rate // 20)
    mono[len(mono) - fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Sample((mono / max(float(np.abs(mono).max()), 1e-4) * 29_000).astype(np.int16), rate, pitch, low, high)


def read_gus_patch(path: Path) -> list[Sample]:
    """The samples of a Gravis Ultrasound patch."""
    data = path.read_bytes()
    if data[:11] != b"GF1PATCH110":
        raise ValueError(f"{path} is no GF1 patch.")
    position, samples = 129 + 63 + 47, []
    for _ in range(data[198]):
        _, _, size, start, end, rate, low, high, root = struct.unpack_from("<7sBIIIHIII", data, position)
        modes = data[position + 55]
        sound = np.frombuffer(data, np.uint8, size, position + 96)
        samples.append(_gus_sample(sound, modes, (start, end), rate, (low, high, root)))
        position += 96 + size
    return samples


def _gus_sample(raw: NDArray[np.uint8], modes: int, loop: tuple[int, int], rate: int, pitches: tuple[int, int, int]) -> Sample:
    wide = modes & 1
    samples = raw[: len(raw) // 2 * 2].view("<i2").copy() if wide else (raw.astype(np.int16) << 8)
    if modes & 2:
        samples = (samples.view(np.uint16) ^ 0x8000).view(np.int16) if wide else ((raw ^ 0x80).view(np.int8).astype(np.int16) << 8)
    low, high, root = (69 + 12 * np.log2(max(value, 8000) / 440_000) for value in pitches)
    step = 2 if wide else 1
    return Sample(samples, rate, float(root), max(0, round(low)), min(127, round(high)),
                  (loop[0] // step, loop[1] // step) if modes & 4 and loop[1] > loop[0] + 8 else None)


Preset = tuple[int, int]  # bank, program


def write_soundfont(presets: Mapping[Preset, Sequence[Sample]], path: Path) -> None:
    """A SoundFont 2 file with one instrument a preset."""
    sound, headers, zones, instruments, phdr, pbag, pgen = [], list[bytes](), [], [], [], [], []
    position = ibag = igen = 0
    generators: list[bytes] = []
    for number, ((bank, program), samples) in enumerate(sorted(presets.items())):
        instruments.append(struct.pack("<20sH", f"i{number}".encode(), ibag))
        phdr.append(struct.pack("<20sHHHIII", f"{bank}-{program}".encode(), program, bank, number, 0, 0, 0))
        pbag.append(struct.pack("<HH", number, 0))
        pgen.append(struct.pack("<HH", 41, number))
        for sample in samples:
            root = int(round(sample.pitch))
            cents = round(100 * (root - sample.pitch))
            loop = sample.loop or (8, len(sample.samples) - 8)
            headers.append(struct.pack("<20sIIIIIBbHH", f"s{len(headers)}".encode(), position, position + len(sample.samples),
                                       position + loop[0], position + loop[1], sample.rate, min(127, root), max(-99, min(99, cents)), 0, 1))
            sound.append(np.concatenate([sample.samples, np.zeros(PADDING, np.int16)]))
            position += len(sound[-1])
            rings = bank == 0 and program in DECAYING_PROGRAMS
            release = -2400 if rings else -4200 if bank == 0 else 0  # timecents: a quarter, a tenth of a second, a second
            decay_generators = [struct.pack("<Hh", 36, 3600), struct.pack("<Hh", 37, 1000)] if rings and sample.loop else []
            rows = [struct.pack("<HBB", 43, sample.low, sample.high), struct.pack("<HH", 54, 1 if sample.loop else 0),
                    *decay_generators, struct.pack("<Hh", 38, release), struct.pack("<HH", 53, len(headers) - 1)]
            zones.append(struct.pack("<HH", igen, 0))
            generators += rows
            igen, ibag = igen + len(rows), ibag + 1
    pdta = {
        b"phdr": b"".join(phdr) + struct.pack("<20sHHHIII", b"EOP", 0, 0, len(pbag), 0, 0, 0),
        b"pbag": b"".join(pbag) + struct.pack("<HH", len(pgen), 0), b"pmod": bytes(10),
        b"pgen": b"".join(pgen) + bytes(4),
        b"inst": b"".join(instruments) + struct.pack("<20sH", b"EOI", ibag),
        b"ibag": b"".join(zones) + struct.pack("<HH", igen, 0), b"imod": bytes(10),
        b"igen": b"".join(generators) + bytes(4),
        b"shdr": b"".join(headers) + struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    info = _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"isng", b"EMU8000\0") + _chunk(b"INAM", path.stem.encode() + bytes(2 - len(path.stem) % 2))
    body = b"sfbk" + _list(b"INFO", info) + _list(b"sdta", _chunk(b"smpl", np.concatenate(sound).tobytes()))
    body += _list(b"pdta", b"".join(_chunk(name, value) for name, value in pdta.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as draft:
        draft.write_bytes(_chunk(b"RIFF", body))


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _list(kind: bytes, data: bytes) -> bytes:
    return _chunk(b"LIST", kind + data)


def read_freepats(folder: Path = FREEPATS) -> dict[Preset, list[Sample]]:
    """Its melodic patches as presets of bank 0, its drums as one preset of bank 128, each on its own key."""
    presets: dict[Preset, list[Sample]] = {}
    for path in sorted((folder / "Tone_000").glob("*.pat")):
        presets[0, int(path.stem[:3])] = _cover_all_keys(read_gus_patch(path))
    drums = []
    for path in sorted((folder / "Drum_000").glob("*.pat")):
        key, sample = int(path.stem[:3]), read_gus_patch(path)[0]
        drums.append(Sample(sample.samples, sample.rate, key, key, key))
    presets[128, 0] = drums
    return presets


def _cover_all_keys(samples: list[Sample]) -> list[Sample]:
    """Extends the key ranges so that every key has a sample: boundaries lie half-way between the recorded pitches."""
    ordered = sorted(samples, key=lambda sample: sample.pitch)
    lows = [0, *(int((a.pitch + b.pitch) / 2) + 1 for a, b in zip(ordered, ordered[1:], strict=False))]
    highs = [*(low - 1 for low in lows[1:]), 127]
    return [Sample(sample.samples, sample.rate, sample.pitch, low, high, sample.loop)
            for sample, low, high in zip(ordered, lows, highs, strict=True) if high >= low]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="folder with one folder an instrument")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    presets = {(0, program): notes for name, program in PROGRAMS.items() if (notes := read_tonejs(options.samples / name))}
    if presets:
        write_soundfont(presets, options.out / "tonejs.sf2")
    if FREEPATS.exists():
        write_soundfont(read_freepats(), options.out / "freepats.sf2")
    for path in sorted(options.out.glob("*.sf2")):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
