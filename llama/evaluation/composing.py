"""Makes the music that a published list asks for, each piece a WAV file at the rate of the decoder that made it.

The published code wrote 16 kHz into the header of 32 kHz music, so that it played an octave down and twice as long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from llama.dialogue import Reply, Turn
from llama.errors import USER_ERRORS, sentence, shorten
from llama.evaluation.music_lists import MusicRequest
from llama.evaluation.run_record import only_run
from llama.files import write_json, write_text
from llama.generation import GenerationOptions
from llama.json_yaml import parse_json
from llama.media.audio import Waveform
from llama.mumu_llama import MuMuLLaMA

ASKED, CAPTIONS, FAILED = "asked.jsonl", "captions.json", "failed.json"
ENCODERS = {"audio": "mert", "image": "vit", "video": "vivit"}


class MusicModel(Protocol):
    """What composing needs of a model. A test, or another system, gives its own."""

    def check(self, kinds: Collection[str]) -> None:
        """Raises ValueError if the model cannot take these kinds of media, or makes no music."""
        ...

    def compose(self, turns: Sequence[Turn], options: GenerationOptions) -> Sequence[Reply]: ...


class MuMuMusicModel:
    """MuMuLLaMA, by `respond`."""

    def __init__(self, model: MuMuLLaMA) -> None:
        self.model = model

    def check(self, kinds: Collection[str]) -> None:
        if self.model.music_decoder is None:
            raise ValueError("This model was loaded without a music decoder, so it makes no music; load it with music_decoder_path.")
        for kind in kinds:
            if kind in ENCODERS and getattr(self.model, ENCODERS[kind]) is None:
                raise ValueError(f"This model was loaded without its {ENCODERS[kind]} encoder, so it cannot take this list's {kind} files; "
                                 f"load it with {ENCODERS[kind]}_path.")

    def compose(self, turns: Sequence[Turn], options: GenerationOptions) -> Sequence[Reply]:
        return self.model.respond(list(turns), options)


@dataclass(frozen=True)
class AskedPiece:
    """A line of asked.jsonl: what a file was asked for, and what it is. seconds: as asked; sample_rate: of the file, in Hz."""

    file: str
    instruction: str
    caption: str
    media: str
    kind: str
    answer: str
    seed: int
    seconds: float
    sample_rate: int


@dataclass
class MusicSummary:
    """How many pieces are there, how many of these were there before, and why others could not be made."""

    made: int = 0
    former: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def compose_music(model: MusicModel, requests: Sequence[MusicRequest], folder: Path, options: GenerationOptions, batch_size: int = 4,
                  log: Callable[[str], None] = lambda line: None) -> MusicSummary:  # fmt: skip
    """Writes folder/NAME.wav for each request, asked.jsonl and captions.json beside them, and failed.json for what could not be made.

    Pieces that are there, with their line in asked.jsonl, are kept. Each file appears complete or not at all. Raises ValueError while
    another run writes to the folder.
    """
    model.check({request.kind for request in requests})
    with only_run(folder):
        return _compose(model, requests, folder, options, batch_size, log)


def _compose(model: MusicModel, requests: Sequence[MusicRequest], folder: Path, options: GenerationOptions, batch_size: int,
             log: Callable[[str], None]) -> MusicSummary:  # fmt: skip
    asked = _former_pieces(folder)
    summary = MusicSummary(former=sum(_file(request) in asked for request in requests))
    left = [request for request in requests if _file(request) not in asked]
    with (folder / ASKED).open("ab") as stream:
        for start in range(0, len(left), batch_size):
            for request, reply in _replies(model, left[start : start + batch_size], options):
                if isinstance(reply, str):
                    summary.failed[request.name] = reply
                    continue
                piece = _write(folder, request, reply, options)
                stream.write(json.dumps(asdict(piece)).encode() + b"\n")
                stream.flush()
                asked[piece.file] = piece
            log(f"{min(start + batch_size, len(left))} of {len(left)} pieces")
    summary.made = sum(_file(request) in asked for request in requests)
    write_json(folder / CAPTIONS, {piece.file: piece.caption for piece in asked.values() if piece.caption.strip()})
    write_json(folder / FAILED, summary.failed)
    return summary


def _file(request: MusicRequest) -> str:
    return f"{request.name}.wav"


def _write(folder: Path, request: MusicRequest, reply: Reply, options: GenerationOptions) -> AskedPiece:
    music = reply.music
    assert music is not None
    path = folder / _file(request)
    path.parent.mkdir(parents=True, exist_ok=True)
    Waveform(music.samples.detach().cpu(), music.sample_rate).write(path)
    medium = request.medium.name if request.medium else ""
    return AskedPiece(_file(request), request.text, request.caption, medium, request.kind, reply.text, options.seed, options.seconds,
                      music.sample_rate)  # fmt: skip


def _replies(model: MusicModel, requests: Sequence[MusicRequest], options: GenerationOptions) -> list[tuple[MusicRequest, Reply | str]]:
    """Each request with its reply, or with a sentence on why it has no music. A batch in which one fails is asked one by one."""
    media: list[dict[str, Any]] = [{} if request.medium is None else {request.kind: request.medium} for request in requests]
    turns = [Turn(request.text, **medium) for request, medium in zip(requests, media, strict=True)]
    try:
        replies: Sequence[Reply] = model.compose(turns, options)
    except (*USER_ERRORS, OSError) as error:
        if len(requests) == 1:
            return [(requests[0], sentence(error))]
        return [pair for request in requests for pair in _replies(model, [request], options)]
    return [(request, _music_or_reason(reply)) for request, reply in zip(requests, replies, strict=True)]


def _music_or_reason(reply: Reply) -> Reply | str:
    return reply if reply.music is not None else f"The model answered without music: {shorten(reply.text)}"


def _former_pieces(folder: Path) -> dict[str, AskedPiece]:
    """The pieces of asked.jsonl whose file is there. Lines of others, and one that was cut, are removed from it."""
    file = folder / ASKED
    pieces: dict[str, AskedPiece] = {}
    content = file.read_bytes() if file.exists() else b""
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        piece = _parsed(file, number, line)
        if (folder / piece.file).is_file():
            pieces[piece.file] = piece
    write_text(file, "".join(json.dumps(asdict(piece)) + "\n" for piece in pieces.values()))
    return pieces


def asked_media(folder: Path) -> dict[str, str]:
    """Names of the pieces in a folder that `compose_music` wrote -> file names of their pictures and clips; nothing for other folders."""
    file = folder / ASKED
    lines = file.read_bytes().splitlines() if file.is_file() else []
    pieces = [_parsed(file, number, line) for number, line in enumerate(lines, 1)]
    return {piece.file.removesuffix(".wav"): piece.media for piece in pieces if piece.media}


def _parsed(file: Path, number: int, line: bytes) -> AskedPiece:
    try:
        values: Any = parse_json(line)
        return AskedPiece(**values)
    except (ValueError, TypeError) as error:
        reason = f"{file}, line {number}, is not of a piece ({shorten(error)})"
        raise ValueError(f"{reason}; remove the line, and the piece is made again.") from error
