"""Conversation history, and resolution of the references in a new message.

The nano model reads 512 tokens and was trained on single turns, so the prompt contains no history but the media that "it"
refers to, in the slot of an upload. A generated piece is encoded by the model's audio encoder like an uploaded recording; its
notes go with it, where they are known, so that a change of it keeps them.

A message refers to the first of these that applies (`resolve_turn`):
  1. its own files;
  2. "again", "the first one again", "another take": the request that made that piece (none named: the last one that made
     music), with the same model input;
  3. "the picture", "the clip": the last one sent, if any;
  4. "the second one", "take 2", "the previous one": that piece;
  5. wording that refers to earlier media: the last music, or a picture or clip sent since.
Any other message refers to nothing, or to the last music where it comes with an edit. The rules of the wording are in references.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from llama.media.edit import Edit
    from llama.media.edit_report import EditReport


@dataclass(frozen=True)
class Piece:
    """Generated music of one take. text: the model's answer; sound: the wav file; score: the notes, if any.

    requested_seconds: requested length of a piece that was stopped early; None for a complete one. edit: what it changed and
    kept of the piece before, if it is an edit.
    """

    text: str
    seed: int
    seconds: float
    sound: Path
    score: Score | None = None
    requested_seconds: float | None = None
    edit: EditReport | None = None


@dataclass(frozen=True)
class Exchange:
    """One user message and its answer. turn: the model's input, which "again" repeats with `edit` and `bar_count`, as they were set."""

    message: str
    uploads: tuple[Upload, ...] = ()
    answer: str = ""
    pieces: tuple[Piece, ...] = ()
    turn: Turn | None = None
    edit: Edit | None = None
    bar_count: int | None = None


@dataclass(frozen=True)
class EarlierMusic:
    """Music of the conversation that a message may refer to: its sound, its notes, or both. score: None where they are unknown."""

    sound: Path | None
    score: Score | None = None

    def turn(self, text: str) -> Turn:
        """Model input about this music."""
        return Turn(text, audio=self.sound, score=self.score)


@dataclass(frozen=True)
class Conversation:
    """Immutable history of exchanges, oldest first."""

    exchanges: tuple[Exchange, ...] = ()

    def add_exchange(self, exchange: Exchange) -> Conversation:
        return replace(self, exchanges=(*self.exchanges, exchange))

    @property
    def last_music(self) -> EarlierMusic | None:
        """Newest of the generated pieces and of the recordings and scores sent or referred to."""
        return next((music for exchange in reversed(self.exchanges) if (music := _newest_music(exchange))), None)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Pieces that "the second one" counts: the last takes if there were several, else all pieces in order."""
        with_pieces = [exchange.pieces for exchange in self.exchanges if exchange.pieces]
        return with_pieces[-1] if with_pieces and len(with_pieces[-1]) > 1 else tuple(piece for pieces in with_pieces for piece in pieces)

    def last_upload(self, kind: Kind) -> Upload | None:
        """Newest upload of a kind."""
        uploads = (upload for exchange in reversed(self.exchanges) for upload in reversed(exchange.uploads))
        return next((upload for upload in uploads if upload.kind == kind), None)


def resolve_turn(
    conversation: Conversation, text: str, uploads: Sequence[Upload] = (), *, edits: bool = False
) -> tuple[Turn, str | None]:
    """Model input of a message, and a short phrase for what "it" was resolved to (None: nothing).

    edits: the message comes with an edit, so that it is about music in any case. Raises ValueError for two files of one kind,
    for a take that does not exist, and for an edit of nothing.
    """
    if edits:
        return _turn_to_edit(conversation, text, uploads)
    if uploads:
        return _turn_of_uploads(text, uploads), None
    if repeat_kind(text) and (repeated := request_to_repeat(conversation, text)) and repeated.turn is not None:
        named = piece_index(text) is not None
        return repeated.turn, _phrase_for(conversation, _music_of(repeated.pieces[0])) if named else "the last request"
    for kind, phrase in _VISUAL_PHRASES.items():
        if mentions(text, kind) and (upload := conversation.last_upload(kind)):
            return _turn_about(text, kind, upload.path), phrase
    if (index := piece_index(text)) is not None and conversation.pieces:
        piece, phrase = _piece_at(conversation, index)
        return _music_of(piece).turn(rewrite_instruction(text)), phrase
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
_SLOT_NAMES: dict[Kind, str] = {"audio": "recording", "image": "picture", "video": "clip", "score": "score"}
NOTHING_TO_EDIT = "There is no piece to change yet; ask for one first, or add a recording or a score."


def _music_of(piece: Piece) -> EarlierMusic:
    return EarlierMusic(piece.sound, piece.score)


def _newest_music(exchange: Exchange) -> EarlierMusic | None:
    if exchange.pieces:
        return _music_of(exchange.pieces[-1])
    turn = exchange.turn
    if turn is not None and (isinstance(turn.audio, str) or isinstance(turn.score, Score)):
        sound, score = turn.audio, turn.score
        return EarlierMusic(Path(sound) if isinstance(sound, str) else None, score if isinstance(score, Score) else None)
    uploads = (upload for upload in reversed(exchange.uploads) if upload.kind in ("audio", "score"))
    return next((EarlierMusic(None if upload.score else upload.path, upload.score) for upload in uploads), None)


def _turn_of_uploads(text: str, uploads: Sequence[Upload]) -> Turn:
    slots: dict[str, Any] = {}
    for upload in uploads:
        if upload.kind in slots:
            raise ValueError(f"Two files of one kind were given; the model takes one {_SLOT_NAMES[upload.kind]} in a message, send one.")
        slots[upload.kind] = upload.path if upload.score is None else upload.score
    return Turn(text, **slots)


def _turn_to_edit(conversation: Conversation, text: str, uploads: Sequence[Upload]) -> tuple[Turn, str | None]:
    """Turn about the music in the message, about the piece that it names, or about the newest music, with its other files."""
    turn = _turn_of_uploads(text, uploads)
    if turn.audio is not None or turn.score is not None:
        return turn, None
    if (index := piece_index(text)) is not None and conversation.pieces:
        piece, phrase = _piece_at(conversation, index)
        music: EarlierMusic | None = _music_of(piece)
    else:
        music = conversation.last_music
        phrase = "" if music is None else _phrase_for(conversation, music)
    if music is None:
        raise ValueError(NOTHING_TO_EDIT)
    return replace(turn, text=rewrite_instruction(text), audio=music.sound, score=music.score), phrase


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
    return pieces[index], _phrase_for(conversation, _music_of(pieces[index]))


def _phrase_for(conversation: Conversation, music: EarlierMusic) -> str:
    """Phrase that names music to the user."""
    sound = music.sound
    if sound is None:
        return "your score"
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
        if visual and (not _newest_music(exchange) or wants_music_for_it(text)):
            return _turn_about(text, visual.kind, visual.path), _VISUAL_PHRASES[visual.kind]
        if music := _newest_music(exchange):
            return music.turn(rewrite_instruction(text)), _phrase_for(conversation, music)
    return Turn(text), None
