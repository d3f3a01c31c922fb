"""The published filter of the music sets, reproduced to be shown beside ours: it is inverted, and is not used.

Its "SNR" is the power of fresh noise of unit variance divided by that of the recording, in dB: minus the loudness. It keeps what is at
least 10 dB, an RMS of at most 0.316, and free of speech. Its parallel form scales the samples to 0..1 before, where any recording has
a mean of about 0.5, which reads about 6 dB: it rejects nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log10, nan
from typing import Literal, get_args

from llama.media.audio import Waveform

Form = Literal["sequential", "parallel"]
LEAST_DB = 10.0


@dataclass(frozen=True)
class PublishedVerdict:
    """What the published filter makes of a recording. snr_db: NaN where the script divides by zero. speech: share, None unless looked for."""

    form: Form
    snr_db: float
    speech: float | None
    keeps: bool


def published_rule(wave: Waveform, form: Form = "sequential", speech_share: Callable[[Waveform], float] | None = None) -> PublishedVerdict:
    """The verdict on a recording. The noise's power is taken as 1, which the script's random noise has on average.

    form: "parallel" scales the mono samples to 0..1 first, also those in which speech is looked for. speech_share: such as
    `filters.speech_detector()`; speech of any length rejects.
    """
    if form not in get_args(Form):
        raise ValueError(f"The form of the published filter is {form!r}; choose one of {', '.join(get_args(Form))}.")
    mono = wave.mono()
    scaled = mono if form == "sequential" else _scaled(mono)
    if scaled is None:  # a constant recording: 0 / 0 in the script
        return PublishedVerdict(form, nan, None, False)
    power = float(scaled.samples.double().square().mean())
    snr_db = -10 * log10(power) if power > 0 else inf
    speech = speech_share(scaled) if speech_share else None
    return PublishedVerdict(form, snr_db, speech, snr_db >= LEAST_DB and not speech)


def _scaled(wave: Waveform) -> Waveform | None:
    low, high = wave.samples.aminmax()
    return Waveform((wave.samples - low) / (high - low), wave.sample_rate) if high > low else None
