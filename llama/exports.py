"""Files of a piece beside its sound: its notes, and on request MusicXML, a chord sheet, stems and a loop."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llama.edit_flags import bar_range
from llama.errors import quoted

if TYPE_CHECKING:
    from llama.decoders.base import ScoreEditor
    from llama.media.audio import Waveform
    from llama.media.score import Score
    from llama.mumu_llama import MuMuLLaMA

ENDINGS: Mapping[str, str] = {  # of the files, behind the name of the sound file
    "midi": ".mid", "musicxml": ".musicxml", "chords": "-chords.txt", "stems": "-stems.zip",
}
LOOP = "-loop.wav"


def add_export_flags(parser: ArgumentParser) -> None:
    """Adds --export and --loop-bars."""
    add = parser.add_argument_group("to take home", "beside --out, of music that has notes").add_argument
    add("--export", metavar="LIST", help="what is written as well, out of musicxml,chords,stems (midi is in any case)")
    add("--loop-bars", metavar="A-B", help="bars that are written as a loop without a seam, 8 for the first eight: piece-loop.wav")


@dataclass(frozen=True)
class Exports:
    """Files to be written beside the sound file `out`: the notes as MIDI in any case, and those of --export and --loop-bars.

    kinds: out of ENDINGS; loop: first and last bar, or None for no loop.
    """

    out: Path
    kinds: tuple[str, ...] = ()
    loop: tuple[int, int] | None = None

    @classmethod
    def of(cls, values: Namespace, out: Path | None) -> Exports | None:
        """From the flags; None without --out. Raises ValueError in one sentence."""
        kinds = tuple(name.strip().lower() for name in (values.export or "").split(",") if name.strip())
        for name in kinds:
            if name not in ENDINGS:
                raise ValueError(f"--export {quoted(name)} is not known; choose out of: {', '.join(ENDINGS)}.")
        loop = None if values.loop_bars is None else _loop_bars(values.loop_bars)
        if out is None and (kinds or loop):
            raise ValueError(f"{'--export' if kinds else '--loop-bars'} writes files beside the music; give --out piece.wav as well.")
        return None if out is None else cls(out, kinds, loop)

    @property
    def files(self) -> dict[str, Path]:
        """Kind -> file, of all that may be written beside the sound."""
        endings = {"midi": ENDINGS["midi"], **{name: ENDINGS[name] for name in self.kinds}, **({"loop": LOOP} if self.loop else {})}
        return {name: self.out.with_name(self.out.stem + ending) for name, ending in endings.items()}

    def check_model(self, model: MuMuLLaMA) -> None:
        """Raises ValueError, before any work, for a model whose music has no notes."""
        if self.kinds or self.loop:
            _editor(model)

    def write(self, score: Score, music: Waveform, model: MuMuLLaMA) -> Iterator[tuple[Path, str]]:
        """Writes the files of a piece, each atomically, and yields each with what it holds."""
        from llama.media.midi import write_midi

        files = self.files
        write_midi(score, files["midi"], music.seconds)
        yield files["midi"], "its notes"
        if "musicxml" in files:
            from llama.media.musicxml import to_musicxml

            _write(files["musicxml"], to_musicxml(score))
            yield files["musicxml"], "its notes, with chord symbols"
        if "chords" in files:
            from llama.media.chord_sheet import to_chord_sheet

            _write(files["chords"], to_chord_sheet(score).encode())
            yield files["chords"], "its chords"
        if "stems" in files:
            from llama.decoders.base import pad_or_trim
            from llama.media.naming import piece_name
            from llama.media.stems import stems_zip

            samples = music.samples.shape[-1]  # a piece of a length between two steps is cut there
            sounds = _editor(model).render_stems(score).items()
            stems = {name: replace(stem, samples=pad_or_trim(stem.samples, samples)) for name, stem in sounds}
            _write(files["stems"], stems_zip(stems, piece_name(score)))
            yield files["stems"], f"{len(stems)} stems, which sum to the piece"
        if self.loop is not None:
            loop = _editor(model).render_loop(score, *self.loop)
            loop.write(files["loop"])
            yield files["loop"], f"bars {self.loop[0]} to {self.loop[1]} as a loop of {loop.seconds:.2f} s"


def _editor(model: MuMuLLaMA) -> ScoreEditor:
    """The model's music decoder. Raises ValueError if it writes no notes."""
    from llama.decoders.base import ScoreEditor

    decoder = model.music_decoder
    if not isinstance(decoder, ScoreEditor) or not decoder.edits_scores:
        raise ValueError("This model's music decoder writes no notes; leave --export and --loop-bars out, or load a model that does.")
    return decoder


def _loop_bars(text: str) -> tuple[int, int]:
    """First and last bar from "8", which are the first eight, or "5-8"."""
    first, last = bar_range("loop-bars", text)
    return (first, last) if "-" in text else (1, last)


def _write(file: Path, data: bytes) -> None:
    from llama.files import atomic_path

    with atomic_path(file) as partial:
        partial.write_bytes(data)
