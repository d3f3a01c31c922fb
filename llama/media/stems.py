"""Stems: the sound of each part as a WAV file, all in one zip, to mix a piece anew in any audio editor."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping

import soundfile

from llama.errors import quoted
from llama.media.audio import Waveform

FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # that a zip can hold: the same stems give the same bytes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")  # safe on every file system
READABLE = 0o644 << 16  # rights of a file, where Unix unpacks it


def stems_zip(stems: Mapping[str, Waveform], name: str) -> bytes:
    """A zip of NAME-PART.wav, one for each stem. stems: part -> sound, all of one length and rate.

    The files have 24 bits, so that the stems sum to the mix; if a stem is louder than full scale, they hold 32-bit floats instead,
    and none is clipped. Beside the result one stem is in memory at a time.
    Raises ValueError for no stems, stems of several lengths or rates, and names that are not safe as file names.
    """
    if not stems:
        raise ValueError("There are no stems to pack; give the sound of at least one part.")
    for text in (name, *stems):
        if not NAME.fullmatch(text):
            raise ValueError(f"{quoted(text)} cannot be a file name everywhere; use up to 120 letters, digits, dots and hyphens of ASCII.")
    shapes = {(wave.samples.shape[1], wave.sample_rate) for wave in stems.values()}
    if len(shapes) > 1:
        lengths = ", ".join(f"{length} samples at {rate} Hz" for length, rate in sorted(shapes))
        raise ValueError(f"The stems have several lengths or rates: {lengths}; give stems of one piece.")
    subtype = "FLOAT" if any(float(wave.samples.abs().max()) > 1 for wave in stems.values()) else "PCM_24"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for part, wave in stems.items():
            entry = zipfile.ZipInfo(f"{name}-{part}.wav", FIRST_DATE)
            entry.create_system, entry.external_attr = 3, READABLE
            sound = io.BytesIO()
            soundfile.write(sound, wave.samples.T.numpy(), wave.sample_rate, subtype, format="WAV")
            archive.writestr(entry, sound.getbuffer())
    return out.getvalue()
