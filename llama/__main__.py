"""Command line: streams the answer's text to standard output and writes its music to a file.

    python -m llama "Which instruments do you hear, and how fast is it?" --audio song.flac
    python -m llama "A slow, sad piano piece" --seconds 12 --seed 7 --out piece.wav   # and its notes in piece.mid
    python -m llama "Make it faster" --score piece.mid --out faster.wav               # the words decide, or flags do:
    python -m llama --score piece.mid --tempo 120 --without drums --out other.wav

Exit code 0; 1 if --out was given and the answer has no music; 2 with an error in one sentence.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llama.cli import add_model_flags, load_model
from llama.console import CommandParser, argument_text, run_command
from llama.edit_flags import add_edit_flags, edit_of
from llama.errors import PATH_LENGTH, shorten
from llama.exports import Exports, add_export_flags

if TYPE_CHECKING:
    from llama.dialogue import Reply, Turn
    from llama.generation import GenerationOptions
    from llama.media.score import Score
    from llama.mumu_llama import MuMuLLaMA


def parser() -> argparse.ArgumentParser:
    """The parser. Options default to None, which leaves the default of GenerationOptions."""
    usage = "python -m llama TEXT [--audio FILE] [--image FILE] [--video FILE] [--score FILE] [--out piece.wav] [options]"
    result = CommandParser(usage=usage, description="Ask about music, ask for music, or edit a piece.")
    result.add_argument("text", nargs="?", default="", metavar="TEXT", help="the request")
    add = result.add_argument_group("media").add_argument
    add("--audio", metavar="FILE", help="a recording to listen to, of any length")
    add("--image", metavar="FILE", help="a picture to look at")
    add("--video", metavar="FILE", help="a clip to watch")
    add("--score", metavar="FILE", help="the notes of a piece, .mid or .musicxml: heard, and kept where it is edited")
    add("--out", metavar="FILE", help="where the music goes: .wav, .flac, .ogg or .mp3; its notes, where there are any, beside it as .mid")
    add = result.add_argument_group("options").add_argument
    add("--seconds", type=float, help="length of the music, exact; of an edited piece the nearest in bars (default: 10, or the piece's)")
    add("--seed", type=int, help="of words and sound; the same seed gives the same answer (default: 0)")
    add("--temperature", type=float, help="0 takes the likeliest word each time (default: 0)")
    add("--top_p", type=float, help="share of the likeliest words that are drawn from (default: 0.8)")
    add("--max_tokens", type=int, help="limit on the answer's tokens (default: 256)")
    add("--guidance", type=float, help="how strictly the music follows (default: the decoder's own)")
    add("--conditioning", choices=("hidden", "caption"),
        help="what drives the music: the model's hidden states, or its words (default: hidden)")
    add_edit_flags(result)
    add_export_flags(result)
    add_model_flags(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return run_command(lambda: run(parser().parse_args(arguments)))


def run(values: argparse.Namespace) -> int:
    """Checks all arguments before it loads the model; returns the exit code."""
    out = check_out(values.out)
    exports = Exports.of(values, out)
    if exports is not None:
        check_files(exports)
    options = options_of(values)
    turn = turn_of(values)
    model = load_model(values)
    if exports is not None:
        exports.check_model(model)
    if values.seconds is None and values.bars_total is None:
        from llama.named_length import with_named_length

        turn, options = with_named_length(model.music_decoder, turn, options)
    reply = answer(model, turn, options)
    if reply.edit is not None:
        print(reply.edit, file=sys.stderr)
    if exports is None:
        if reply.finish == "music":
            print("The answer comes with music; give --out piece.wav to have it played into a file.", file=sys.stderr)
        return 0
    if reply.music is None and reply.edit is not None:
        print(f"The piece would be the same, so {out} was not written; ask for another change.", file=sys.stderr)
        return 1
    if reply.music is None:
        print(f"The answer holds no music, so {out} was not written; ask for a piece of music.", file=sys.stderr)
        return 1
    reply.music.write(exports.out)
    print(f"Wrote {out}: {reply.music.seconds:.2f} s at {reply.music.sample_rate} Hz.", file=sys.stderr)
    if reply.score is not None:
        for file, contents in exports.write(reply.score, reply.music, model):
            print(f"Wrote {file}: {contents}.", file=sys.stderr)
    return 0


def check_out(name: str | None) -> Path | None:
    """Path of the output file. Raises what writing would raise, before the model is loaded."""
    if name is None:
        return None
    from llama.media.audio import WRITTEN_FORMATS

    path = Path(name)
    if path.suffix.lower() not in WRITTEN_FORMATS:
        suffixes = ", ".join(WRITTEN_FORMATS)
        raise ValueError(f"Cannot write sound to {shorten(name, PATH_LENGTH)}: its suffix is none of {suffixes}; choose one of these.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write {path.name}: the folder {path.parent} does not exist; make it first.")
    _check_file(path)
    return path


def check_files(exports: Exports) -> None:
    """Raises what writing the files beside the sound would raise."""
    for file in exports.files.values():
        _check_file(file)


def _check_file(file: Path) -> None:
    from llama.files import check_writable

    if file.is_dir():
        raise ValueError(f"Cannot write {file}: it is a folder; give the name of a file.")
    check_writable(file)


def options_of(values: argparse.Namespace) -> GenerationOptions:
    """Generation options from the flags. Raises ValueError for values out of range."""
    from llama.generation import GenerationOptions

    names = ("seconds", "seed", "temperature", "top_p", "max_tokens", "guidance", "conditioning")
    options = {name: getattr(values, name) for name in names if getattr(values, name) is not None}
    edit = edit_of(values)
    if edit is not None and values.out is None:
        raise ValueError("An edit makes music; give --out piece.wav to have it played into a file.")
    bar_count = values.bars_total if edit is None else None
    return GenerationOptions(**options, edit=edit, bar_count=bar_count, music=values.out is not None)


def turn_of(values: argparse.Namespace) -> Turn:
    """The request with its media read, so that a damaged file is reported before the model is loaded."""
    from llama.dialogue import Turn
    from llama.media.audio import Waveform
    from llama.media.containers import existing_file
    from llama.media.image import load_image

    text = argument_text(values.text)
    if not (text.strip() or values.audio or values.image or values.video or values.score):
        raise ValueError("There is nothing to answer; give a text, or one of --audio, --image, --video and --score.")
    return Turn(
        text,
        audio=None if values.audio is None else Waveform.read(values.audio),
        image=None if values.image is None else load_image(values.image),
        video=None if values.video is None else existing_file(values.video),
        score=None if values.score is None else _read_score(values.score),
    )


def _read_score(path: str) -> Score:
    """The score of a file; what it has that a score has not is said on standard error."""
    from llama.media.score_file import read_score_with_notes

    score, notes = read_score_with_notes(path)
    for note in notes:
        print(note, file=sys.stderr)
    return score


def answer(model: MuMuLLaMA, turn: Turn, options: GenerationOptions) -> Reply:
    """Prints the text as it is generated, and the progress of the music on a terminal."""
    from llama.generation import Done, MusicChunk, TextDelta

    seconds, open_line, terminal = 0.0, False, sys.stderr.isatty()
    for event in model.stream(turn, options):
        if isinstance(event, TextDelta):
            print(event.text, end="", flush=True)
            open_line = True
        elif isinstance(event, MusicChunk):
            if open_line:
                print(flush=True)
                open_line = False
            seconds += event.music.seconds
            if terminal:
                print(f"\r{seconds:6.1f} s of music", end="", file=sys.stderr, flush=True)
        elif isinstance(event, Done):
            if open_line:
                print(flush=True)
            if terminal and seconds:
                print(file=sys.stderr)
            return event.reply
    raise AssertionError("a stream ends with Done")


if __name__ == "__main__":
    raise SystemExit(main())
