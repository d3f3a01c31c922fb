"""Which decoder takes which edit of which source; everything else is refused in one sentence before the work begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_audioldm2 import tiny as tiny_audioldm2
from test_musicgen import tiny as tiny_musicgen
from test_musicgen_melody import tiny_melody, tune

from DataSet.synthesis.composer import compose
from llama.decoders.base import MusicDecoder
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.media.edit import Edit
from llama.media.score import Attributes

ROOT = Path(__file__).resolve().parents[3]
ALL = ("change", "transpose", "without", "parts", "bars", "excerpt", "keep melody", "keep drums", "bar_count", "seconds",
       "keep melody, seconds", "continuation", "strength", "nothing")  # fmt: skip
EDITS: dict[str, Edit] = {
    "change": Edit(change={"tempo": 90}), "transpose": Edit(transpose=3), "without": Edit(without=("bass",)),
    "parts": Edit(parts=("lead",)), "bars": Edit(bars=(1, 2)), "excerpt": Edit(excerpt=(1, 2)),
    "keep melody": Edit(keep=("melody",)), "keep drums": Edit(keep=("drums",)),
    "bar_count": Edit(bar_count=6), "seconds": Edit(seconds=9), "keep melody, seconds": Edit(keep=("melody",), seconds=9),
    "continuation": Edit(continuation=4), "strength": Edit(strength=0.3), "nothing": Edit(),
}  # fmt: skip
TAKEN: dict[str, dict[str, tuple[str, ...]]] = {  # decoder -> source -> edits
    "notes": {"score": tuple(name for name in ALL if name != "strength"), "recording": ()},
    "musicgen": {"score": (), "recording": ("continuation",)},
    "melody": {"score": ("keep melody", "keep melody, seconds"), "recording": ("keep melody", "keep melody, seconds", "continuation")},
    "audioldm2": {"score": (), "recording": ("strength", "nothing")},
}
REFUSALS: dict[tuple[str, str, str], str] = {
    ("notes", "recording", "change"): "edits notes, not recordings; give the piece's score, or model.transcribe",
    ("notes", "score", "strength"): "the notes of this piece are kept exactly; leave it out",
    ("musicgen", "recording", "keep melody"): "cannot keep the melody of a recording; it can continue it .continuation, in seconds.;",
    ("musicgen", "recording", "transpose"): "MusicGen makes sound without notes, so it cannot transpose a recording",
    ("musicgen", "recording", "strength"): "cannot take a strength",
    ("musicgen", "recording", "nothing"): "asks for nothing that MusicGen could do",
    ("musicgen", "score", "continuation"): "MusicGen cannot play notes, so it edits recordings",
    ("melody", "recording", "keep drums"): "cannot keep the drums of a recording; it can continue it .* or keep its melody",
    ("melody", "recording", "seconds"): "cannot change the length of a recording",
    ("audioldm2", "recording", "continuation"): "AudioLDM2 makes sound without notes, so it cannot continue a recording; it can stay",
    ("audioldm2", "recording", "change"): "cannot change the tempo of a recording and keep the rest",
    ("audioldm2", "recording", "parts"): "cannot make the lead of a recording anew",
    ("audioldm2", "score", "strength"): "AudioLDM2 cannot play notes",
}  # fmt: skip


@pytest.fixture(scope="module")
def decoders() -> dict[str, MusicDecoder]:
    pytest.importorskip("diffusers")
    return {
        "notes": MusicGenDecoder.from_folder(ROOT / "ckpts/nano/decoder"), "musicgen": tiny_musicgen(), "melody": tiny_melody(),
        "audioldm2": tiny_audioldm2(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def sources() -> dict[str, Any]:
    attributes = Attributes("piano", "piano", "rock", 120, "major", 4, True, 0)
    return {"score": compose(np.random.default_rng(0), attributes, 20.0), "recording": tune(2.0)}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("source", ["score", "recording"])
@pytest.mark.parametrize("kind", list(TAKEN))
def test_what_each_decoder_takes(decoders, sources, kind, source, name):
    decoder, piece, edit = decoders[kind], sources[source], EDITS[name]
    if name in TAKEN[kind][source]:
        decoder.check_edit(edit, piece)
        return
    with pytest.raises(ValueError, match=REFUSALS.get((kind, source, name), ".")) as refusal:
        decoder.check_edit(edit, piece)
    sentence = str(refusal.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 250 and "{" not in sentence and "()" not in sentence


def test_every_refusal_of_the_table_is_one(decoders):
    assert all(name not in TAKEN[kind][source] for kind, source, name in REFUSALS)
    assert {field for edit in EDITS.values() for field in vars(edit)} == set(vars(Edit()))
