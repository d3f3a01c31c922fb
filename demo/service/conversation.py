"""Conversation history, and resolution of the references in a new message.

The nano model reads 512 tokens and was trained on single turns, so the prompt contains no history but the media that "it"
refers to, in the slot of an upload. An edit of a generated piece is encoded by the model's audio encoder like an edit of an
uploaded recording.

A message refers to the first of these that applies (`resolve_turn`):
  1. its own files;
  2. "again", "the first one again", "another take": the request that made that piece (none named: the last one that made
     music), with the same model input;
  3. "the picture", "the clip": the last one sent, if any;
  4. "the second one", "take 2", "the previous one": that piece;
  5. wording that refers to earlier media: the last sound, or a picture or clip sent since.
Any other message refers to nothing. The rules of the wording are in references.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo.service.media_probe import Kind
from demo.service.references import (
    mentions,
    piece_index,
    refers_to_earlier,
    repeat_kind,
    rewrite_instruction,
    wants_music_for_it,
)
from demo.service.uploads import Upload
from llama.dialogue import Turn
from llama.media.score import Score


@dataclass(frozen=True)
class Piece:
    """Generated music of one take. text: the model's answer; sound: the wav file; score: the notes, if any.

    requested_seconds: requested length of a piece that was stopped early; None for a complete one.
    """

    text: str
    seed: int
    seconds: float
    sound: Path
    score: Score | None = None
    requested_seconds: float | None = None


@dataclass(frozen=True)
class Exchange:
    """One user message and its answer. turn: the model's input, which "again" repeats."""

    message: str
    uploads: tuple[Upload, ...] = ()
    answer: str = ""
    pieces: tuple[Piece, ...] = ()
    turn: Turn | None = None


@dataclass(frozen=True)
class Conversation:
    """Immutable history of exchanges, oldest first."""

    exchanges: tuple[Exchange, ...] = ()

    def add_exchange(self, exchange: Exchange) -> Conversation:
        return replace(self, exchanges=(*self.exchanges, exchange))

    @property
    def last_sound(self) -> Path | None:
        """Newest of the generated pieces and the recordings sent or referred to."""
        return next((sound for exchange in reversed(self.exchanges) if (sound := _newest_sound(exchange))), None)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Pieces that "the second one" counts: the last takes if there were several, else all pieces in order."""
        with_pieces = [exchange.pieces for exchange in self.exchanges if exchange.pieces]
        return with_pieces[-1] if with_pieces and len(with_pieces[-1]) > 1 else tuple(piece for pieces in with_pieces for piece in pieces)

    def last_upload(self, kind: Kind) -> Upload | None:
        """Newest upload of a kind."""
        uploads = (upload for exchange in reversed(self.exchanges) for upload in reversed(exchange.uploads))
        return next((upload for upload in uploads if upload.kind == kind), None)


def resolve_turn(conversation: Conversation, text: str, uploads: Sequence[Upload] = ()) -> tuple[Turn, str | None]:
    """Model input of a message, and a short phrase for what "it" was resolved to (None: nothing).

    Raises ValueError for two files of one kind, and for a take that does not exist.
    """
    if uploads:
        return _turn_of_uploads(text, uploads), None
    if repeat_kind(text) and (repeated := request_to_repeat(conversation, text)) and repeated.turn is not None:
        return repeated.turn, "the last request" if piece_index(text) is None else _phrase_for(conversation, repeated.pieces[0].sound)
    for kind, phrase in _VISUAL_PHRASES.items():
        if mentions(text, kind) and (upload := conversation.last_upload(kind)):
            return _turn_about(text, kind, upload.path), phrase
    if (index := piece_index(text)) is not None and conversation.pieces:
        piece, phrase = _piece_at(conversation, index)
        return _turn_about(rewrite_instruction(text), "audio", piece.sound), phrase
    return _turn_about_newest(conversation, text) if refers_to_earlier(text) or wants_music_for_it(text) else (Turn(text), None)


def request_to_repeat(conversation: Conversation, text: str = "") -> Exchange | None:
    """Exchange to repeat, reduced to the pieces named in the text; None before any music was made.

    The pieces' seeds reproduce them ("again"); new seeds give others ("another take"). Raises ValueError for a take that
    does not exist.
    """
    with_pieces = [exchange for exchange in conversation.exchanges if exchange.pieces]
    if not with_pieces:
        return None
    index = piece_index(text)
    pieces = with_pieces[-1].pieces if index is None else (_piece_at(conversation, index)[0],)
    exchange = next(candidate for candidate in reversed(with_pieces) if pieces[0] in candidate.pieces)
    return replace(exchange, pieces=pieces, turn=exchange.turn or _rebuild_turn(conversation, exchange))


# -- references -----------------------------------------------------------------------------------------------------------

_VISUAL_PHRASES: dict[Kind, str] = {"image": "your picture", "video": "your clip"}
_SLOT_NAMES: dict[Kind, str] = {"audio": "recording", "image": "picture", "video": "clip"}


def _newest_sound(exchange: Exchange) -> Path | None:
    if exchange.pieces:
        return exchange.pieces[-1].sound
    if exchange.turn is not None and isinstance(exchange.turn.audio, str):
        return Path(exchange.turn.audio)
    return next((upload.path for upload in reversed(exchange.uploads) if upload.kind == "audio"), None)


def _turn_of_uploads(text: str, uploads: Sequence[Upload]) -> Turn:
    slots: dict[str, Any] = {}
    for upload in uploads:
        if upload.kind in slots:
            raise ValueError(f"Two files of one kind were given; the model takes one {_SLOT_NAMES[upload.kind]} in a message, send one.")
        slots[upload.kind] = upload.path
    return Turn(text, **slots)


def _turn_about(text: str, kind: Kind, path: Path) -> Turn:
    slots: dict[str, Any] = {kind: path}
    return Turn(text, **slots)


def _rebuild_turn(conversation: Conversation, exchange: Exchange) -> Turn:
    """Model input of an exchange that has none stored (from the API), resolved with the history before it."""
    earlier = conversation.exchanges[: conversation.exchanges.index(exchange)]
    return resolve_turn(Conversation(earlier), exchange.message, exchange.uploads)[0]


def _piece_at(conversation: Conversation, index: int) -> tuple[Piece, str]:
    pieces = conversation.pieces
    if not -len(pieces) <= index < len(pieces):
        count = "There is only one piece" if len(pieces) == 1 else f"There are {len(pieces)} pieces to choose from"
        raise ValueError(f"{count}; name one that there is, such as take 1.")
    return pieces[index], _phrase_for(conversation, pieces[index].sound)


def _phrase_for(conversation: Conversation, sound: Path) -> str:
    """Phrase that names a sound to the user."""
    if any(upload.path == sound for exchange in conversation.exchanges for upload in exchange.uploads):
        return "your recording"
    several = any(len(exchange.pieces) > 1 and sound in {piece.sound for piece in exchange.pieces} for exchange in conversation.exchanges)
    indices = {piece.sound: index + 1 for index, piece in enumerate(conversation.pieces)}
    if several and sound in indices:
        return f"take {indices[sound]}"
    return "the last piece" if indices.get(sound) == len(indices) else "an earlier piece"


def _turn_about_newest(conversation: Conversation, text: str) -> tuple[Turn, str | None]:
    """Turn about the newest media: a picture or clip only if no sound is newer or the message asks for music for it."""
    for exchange in reversed(conversation.exchanges):
        visual = next((upload for upload in reversed(exchange.uploads) if upload.kind in _VISUAL_PHRASES), None)
        if visual and (not _newest_sound(exchange) or wants_music_for_it(text)):
            return _turn_about(text, visual.kind, visual.path), _VISUAL_PHRASES[visual.kind]
        if sound := _newest_sound(exchange):
            return _turn_about(rewrite_instruction(text), "audio", sound), _phrase_for(conversation, sound)
    return Turn(text), None
