"""Resolution of the references in a new message: which earlier media it is about.

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
A page may name the piece itself (`about`), which comes before the wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo.service.conversation import (
    Conversation,
    EarlierMusic,
    Exchange,
    Piece,
    music_of,
    music_of_upload,
    newest_music,
    piece_of,
)
from demo.service.media_probe import Kind
from demo.service.references import (
    mentions,
    names_piece_alone,
    piece_index,
    refers_to_earlier,
    repeat_kind,
    rewrite_instruction,
    wants_music_for_it,
)
from demo.service.uploads import Upload
from llama.dialogue import Turn

_VISUAL_PHRASES: dict[Kind, str] = {"image": "your picture", "video": "your clip"}
_SLOT_NAMES: dict[Kind, str] = {"audio": "recording", "image": "picture", "video": "clip", "score": "score"}
NOTHING_TO_EDIT = "There is no piece to change yet; ask for one first, or add a recording or a score."


@dataclass(frozen=True)
class Reference:
    """What "it" was resolved to. phrase: for people, such as "the last piece"; sound: the file of that music; None for a picture, a
    clip or a score."""

    phrase: str
    sound: Path | None = None


@dataclass(frozen=True)
class Resolution:
    """Model input of a message, and what it refers to (None: nothing)."""

    turn: Turn
    reference: Reference | None = None


def resolve_turn(
    conversation: Conversation, text: str, uploads: Sequence[Upload] = (), *, edits: bool = False, about: Path | None = None
) -> Resolution:
    """Model input of a message, and what "it" was resolved to.

    edits: the message comes with an edit, so that it is about music in any case. about: the sound of the music that it is about,
    whatever its wording; music in the message itself comes before it. Raises ValueError for two files of one kind, for a take or
    a sound that does not exist, and for an edit of nothing.
    """
    if edits:
        return _turn_to_edit(conversation, text, uploads, about)
    if uploads and (about is None or any(upload.kind in ("audio", "score") for upload in uploads)):
        return Resolution(_turn_of_uploads(text, uploads))
    if repeat_kind(text) and (repeated := request_to_repeat(conversation, text, about=about)) and repeated.turn is not None:
        sound = repeated.pieces[0].sound
        named = about is not None or piece_index(text) is not None
        phrase = _phrase_for(conversation, music_of(repeated.pieces[0])) if named else "the last request"
        return Resolution(repeated.turn, Reference(phrase, sound))
    if about is not None:
        return _turn_to_edit(conversation, text, uploads, about)
    for kind, phrase in _VISUAL_PHRASES.items():
        if mentions(text, kind) and (upload := conversation.last_upload(kind)):
            return Resolution(_turn_about(text, kind, upload.path), Reference(phrase))
    if (index := piece_index(text)) is not None and conversation.pieces:
        return _resolution(conversation, music_of(_piece_at(conversation, index)), text)
    return _turn_about_newest(conversation, text) if refers_to_earlier(text) or wants_music_for_it(text) else Resolution(Turn(text))


def request_to_repeat(conversation: Conversation, text: str = "", *, about: Path | None = None) -> Exchange | None:
    """Exchange to repeat, reduced to the pieces named in the text, or to the one about which it is; None before any music was made.

    The pieces' seeds reproduce them ("again"); new seeds give others ("another take"). Raises ValueError for a take that
    does not exist.
    """
    with_pieces = [exchange for exchange in conversation.exchanges if exchange.pieces and not exchange.undone]
    if about is not None:
        named = next((exchange for exchange in conversation.exchanges if exchange.piece(about)), None)
        return named and _to_repeat(conversation, named, tuple(piece for piece in named.pieces if piece.sound == about))
    if not with_pieces:
        return None
    index = piece_index(text)
    pieces = with_pieces[-1].pieces if index is None else (_piece_at(conversation, index),)
    return _to_repeat(conversation, next(each for each in reversed(with_pieces) if pieces[0] in each.pieces), pieces)


def _to_repeat(conversation: Conversation, exchange: Exchange, pieces: tuple[Piece, ...]) -> Exchange:
    return replace(exchange, pieces=pieces, turn=exchange.turn or _rebuild_turn(conversation, exchange))


def chosen_piece(conversation: Conversation, text: str) -> Piece | None:
    """The piece that a message goes to and asks nothing of: "go back to take 2", "the previous one"; None for every other message.

    Raises ValueError for a piece that does not exist.
    """
    index = piece_index(text)
    if index is None or not conversation.pieces or not names_piece_alone(text):
        return None
    return _piece_at(conversation, index)



def _music_with(conversation: Conversation, sound: Path) -> EarlierMusic:
    """The music of the conversation with this sound, or of this file of notes. Raises ValueError if there is none."""
    uploads = (upload for exchange in conversation.exchanges for upload in exchange.uploads)
    upload = next((upload for upload in uploads if upload.kind in ("audio", "score") and upload.path == sound), None)
    return music_of(piece_of(conversation, sound)) if upload is None else music_of_upload(upload)


def _resolution(conversation: Conversation, music: EarlierMusic, text: str) -> Resolution:
    return Resolution(music.turn(rewrite_instruction(text)), Reference(_phrase_for(conversation, music), music.sound))


def _turn_of_uploads(text: str, uploads: Sequence[Upload]) -> Turn:
    slots: dict[str, Any] = {}
    for upload in uploads:
        if upload.kind in slots:
            raise ValueError(f"Two files of one kind were given; the model takes one {_SLOT_NAMES[upload.kind]} in a message, send one.")
        slots[upload.kind] = upload.path if upload.score is None else upload.score
    return Turn(text, **slots)


def _turn_to_edit(conversation: Conversation, text: str, uploads: Sequence[Upload], about: Path | None) -> Resolution:
    """Turn about the music in the message, about the piece that it names, or about the newest music, with its other files."""
    turn = _turn_of_uploads(text, uploads)
    if turn.audio is not None or turn.score is not None:
        return Resolution(turn)
    if about is not None:
        music: EarlierMusic | None = _music_with(conversation, about)
    elif (index := piece_index(text)) is not None and conversation.pieces:
        music = music_of(_piece_at(conversation, index))
    else:
        music = conversation.last_music
    if music is None:
        raise ValueError(NOTHING_TO_EDIT)
    found = _resolution(conversation, music, text)
    return replace(found, turn=replace(turn, text=found.turn.text, audio=found.turn.audio, score=found.turn.score))


def _turn_about(text: str, kind: Kind, path: Path) -> Turn:
    slots: dict[str, Any] = {kind: path}
    return Turn(text, **slots)


def _rebuild_turn(conversation: Conversation, exchange: Exchange) -> Turn:
    """Model input of an exchange that has none stored (from the API), resolved with the history before it."""
    earlier = conversation.exchanges[: conversation.exchanges.index(exchange)]
    return resolve_turn(Conversation(earlier), exchange.message, exchange.uploads).turn


def _piece_at(conversation: Conversation, index: int) -> Piece:
    pieces = conversation.pieces
    if not -len(pieces) <= index < len(pieces):
        count = "There is only one piece" if len(pieces) == 1 else f"There are {len(pieces)} pieces to choose from"
        raise ValueError(f"{count}; name one that there is, such as take 1.")
    return pieces[index]


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


def _turn_about_newest(conversation: Conversation, text: str) -> Resolution:
    """Turn about the newest media: a picture or clip only if no sound is newer or the message asks for music for it."""
    undone = conversation.undone_sounds
    if conversation.chosen is not None and not wants_music_for_it(text) and (music := conversation.last_music):
        return _resolution(conversation, music, text)
    for exchange in reversed(conversation.exchanges):
        visual = next((upload for upload in reversed(exchange.uploads) if upload.kind in _VISUAL_PHRASES), None)
        if visual and (not newest_music(exchange, undone) or wants_music_for_it(text)):
            return Resolution(_turn_about(text, visual.kind, visual.path), Reference(_VISUAL_PHRASES[visual.kind]))
        if music := newest_music(exchange, undone):
            return _resolution(conversation, music, text)
    return Resolution(Turn(text))
