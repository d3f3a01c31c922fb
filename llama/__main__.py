"""Command line: streams the answer's text to standard output and writes its music to a file.

    python -m llama "Which instruments do you hear, and how fast is it?" --audio song.flac
    python -m llama "A slow, sad piano piece" --seconds 12 --seed 7 --out piece.wav   # and its notes in piece.mid

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
from llama.errors import PATH_LENGTH, shorten

if TYPE_CHECKING:
    from llama.dialogue import Reply, Turn
    from llama.generation import GenerationOptions
    from llama.mumu_llama import MuMuLLaMA


def parser() -> argparse.ArgumentParser:
    """The parser. Options default to None, which leaves the default of GenerationOptions."""
    usage = "python -m llama TEXT [--audio FILE] [--image FILE] [--video FILE] [--out piece.wav] [options]"
    result = CommandParser(usage=usage, description="Ask about music, or ask for music.")
    result.add_argument("text", nargs="?", default="", metavar="TEXT", help="the request")
    add = result.add_argument_group("media").add_argument
    add("--audio", metavar="FILE", help="a recording to listen to, of any length")
    add("--image", metavar="FILE", help="a picture to look at")
    add("--video", metavar="FILE", help="a clip to watch")
    add("--out", metavar="FILE", help="where the music goes: .wav, .flac, .ogg or .mp3; its notes, where there are any, beside it as .mid")
    add = result.add_argument_group("options").add_argument
    add("--seconds", type=float, help="length of the music, exact (default: 10)")
    add("--seed", type=int, help="of words and sound; the same seed gives the same answer (default: 0)")
    add("--temperature", type=float, help="0 takes the likeliest word each time (default: 0)")
    add("--top_p", type=float, help="share of the likeliest words that are drawn from (default: 0.8)")
    add("--max_tokens", type=int, help="limit on the answer's tokens (default: 256)")
    add("--guidance", type=float, help="how strictly the music follows (default: the decoder's own)")
    add("--conditioning", choices=("hidden", "caption"),
        help="what drives the music: the model's hidden states, or its words (default: hidden)")
    add_model_flags(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return run_command(lambda: run(parser().parse_args(arguments)))


def run(values: argparse.Namespace) -> int:
    """Checks all arguments before it loads the model; returns the exit code."""
    out = check_out(values.out)
    options = options_of(values)
    turn = turn_of(values)
    reply = answer(load_model(values), turn, options)
    if out is None:
        if reply.finish == "music":
            print("The answer comes with music; give --out piece.wav to have it played into a file.", file=sys.stderr)
        return 0
    if reply.music is None:
        print(f"The answer holds no music, so {out} was not written; ask for a piece of music.", file=sys.stderr)
        return 1
    reply.music.write(out)
    print(f"Wrote {out}: {reply.music.seconds:.2f} s at {reply.music.sample_rate} Hz.", file=sys.stderr)
    if reply.score is not None:
        from llama.media.midi import write_midi

        write_midi(reply.score, out.with_suffix(".mid"), reply.music.seconds)
        print(f"Wrote {out.with_suffix('.mid')}: its notes.", file=sys.stderr)
    return 0


def check_out(name: str | None) -> Path | None:
    """Path of the output file. Raises what writing would raise, before the model is loaded."""
    if name is None:
        return None
    from llama.files import check_writable
    from llama.media.audio import WRITTEN_FORMATS

    path = Path(name)
    if path.suffix.lower() not in WRITTEN_FORMATS:
        suffixes = ", ".join(WRITTEN_FORMATS)
        raise ValueError(f"Cannot write sound to {shorten(name, PATH_LENGTH)}: its suffix is none of {suffixes}; choose one of these.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write {path.name}: the folder {path.parent} does not exist; make it first.")
    for file in (path, path.with_suffix(".mid")):  # its notes, if the decoder has any, go beside it
        if file.is_dir():
            raise ValueError(f"Cannot write {file}: it is a folder; give the name of a file.")
        check_writable(file)
    return path


def options_of(values: argparse.Namespace) -> GenerationOptions:
    """Generation options from the flags. Raises ValueError for values out of range."""
    from llama.generation import GenerationOptions

    names = ("seconds", "seed", "temperature", "top_p", "max_tokens", "guidance", "conditioning")
    options = {name: getattr(values, name) for name in names if getattr(values, name) is not None}
    return GenerationOptions(**options, music=values.out is not None)


def turn_of(values: argparse.Namespace) -> Turn:
    """The request with its media read, so that a damaged file is reported before the model is loaded."""
    from llama.dialogue import Turn
    from llama.media.audio import Waveform
    from llama.media.containers import existing_file
    from llama.media.image import load_image

    text = argument_text(values.text)
    if not (text.strip() or values.audio or values.image or values.video):
        raise ValueError("There is nothing to answer; give a text, or one of --audio, --image and --video.")
    return Turn(
        text,
        audio=None if values.audio is None else Waveform.read(values.audio),
        image=None if values.image is None else load_image(values.image),
        video=None if values.video is None else existing_file(values.video),
    )


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
                print(f"\r{seconds:6.1f} of {options.seconds:g} s of music", end="", file=sys.stderr, flush=True)
        elif isinstance(event, Done):
            if open_line:
                print(flush=True)
            if terminal and seconds:
                print(file=sys.stderr)
            return event.reply
    raise AssertionError("a stream ends with Done")


if __name__ == "__main__":
    raise SystemExit(main())
