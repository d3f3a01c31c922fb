"""What a user said and got, and what their next words refer to.

The nano model reads 512 tokens and was trained on single turns: each turn stands by itself, so nothing of the history goes
into the prompt but the medium that "it" is, in the slot where an upload would be. An edit of a piece that the model made
passes through the model's ears like an edit of a recording that came from elsewhere.

What the words refer to, in this order (`turn`):
  1. files of this message: to them, and to nothing else;
  2. "again", "the first one again", "another take": to the request that made that piece (none named: to the last one that
     made music), as it was put to the model;
  3. "the picture", "the clip": to the last one sent, if one was;
  4. "the second one", "take 2", "the previous one": to that piece;
  5. words that lean on something heard before: to the last sound, or to a picture or clip sent since then.
Anything else is a wish or a chat that refers to nothing. The rules of the words are in referring.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from demo.service.media_probe import Kind
from demo.service.references import again, chosen, for_it, refers_to_earlier, reworded, speaks_of
from demo.service.uploads import Upload
from llama.dialogue import Turn
from llama.media.score import Score


@dataclass(frozen=True)
class Piece:
    """Something that sounded: a take that was made. text: the model's words; sound: its file; score: its notes, if any.

    stopped_of: the seconds that were asked for of a piece that was stopped before; None for a whole one.
    """

    text: str
    seed: int
    seconds: float
    sound: Path
    score: Score | None = None
    stopped_of: float | None = None


@dataclass(frozen=True)
class Exchange:
    """One message and its answer. asked: the turn as it was put to the model, which "again" puts once more."""

    said: str
    uploads: tuple[Upload, ...] = ()
    answer: str = ""
    pieces: tuple[Piece, ...] = ()
    asked: Turn | None = None


@dataclass(frozen=True)
class Conversation:
    exchanges: tuple[Exchange, ...] = ()

    def with_(self, exchange: Exchange) -> Conversation:
        return replace(self, exchanges=(*self.exchanges, exchange))

    @property
    def last_sound(self) -> Path | None:
        """The piece made last, or the recording sent or asked about last, whichever is newer."""
        return next((sound for exchange in reversed(self.exchanges) if (sound := _sound_of(exchange))), None)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The takes made last if there were several, else every piece in order: what "the second one" counts."""
        made = [exchange.pieces for exchange in self.exchanges if exchange.pieces]
        return made[-1] if made and len(made[-1]) > 1 else tuple(piece for pieces in made for piece in pieces)

    def sent(self, kind: Kind) -> Upload | None:
        """The last upload of a kind."""
        uploads = (upload for exchange in reversed(self.exchanges) for upload in reversed(exchange.uploads))
        return next((upload for upload in uploads if upload.kind == kind), None)


def turn(conversation: Conversation, text: str, uploads: Sequence[Upload] = ()) -> tuple[Turn, str | None]:
    """The turn that is put to the model, and a short phrase for what "it" was taken to be (None: nothing).

    Raises `ValueError` for two files of a kind in a message, and for a take that there is not.
    """
    if uploads:
        return _of_uploads(text, uploads), None
    if again(text) and (meant := repeat(conversation, text)):
        return meant.asked, "the last request" if chosen(text) is None else _called(conversation, meant.pieces[0].sound)
    for kind, phrase in _SIGHTS.items():
        if speaks_of(text, kind) and (sight := conversation.sent(kind)):
            return _with(text, kind, sight.path), phrase
    if (place := chosen(text)) is not None and conversation.pieces:
        piece, phrase = _picked(conversation, place)
        return _with(reworded(text), "audio", piece.sound), phrase
    return _leaning(conversation, text) if refers_to_earlier(text) or for_it(text) else (Turn(text), None)


def repeat(conversation: Conversation, text: str = "") -> Exchange | None:
    """The request that is to be made once more, with the pieces that are meant alone; None before there was music.

    By their seeds it gives the same ("again"), by new ones others ("another take"). Raises `ValueError` for a take that
    there is not.
    """
    made = [exchange for exchange in conversation.exchanges if exchange.pieces]
    if not made:
        return None
    place = chosen(text)
    pieces = made[-1].pieces if place is None else (_picked(conversation, place)[0],)
    exchange = next(one for one in reversed(made) if pieces[0] in one.pieces)
    return replace(exchange, pieces=pieces, asked=exchange.asked or _asked_before(conversation, exchange))


# -- what it is -----------------------------------------------------------------------------------------------------------

_SIGHTS: dict[Kind, str] = {"image": "your picture", "video": "your clip"}
_SLOTS: dict[Kind, str] = {"audio": "recording", "image": "picture", "video": "clip"}


def _sound_of(exchange: Exchange) -> Path | None:
    if exchange.pieces:
        return exchange.pieces[-1].sound
    if exchange.asked is not None and isinstance(exchange.asked.audio, str):
        return Path(exchange.asked.audio)
    return next((upload.path for upload in reversed(exchange.uploads) if upload.kind == "audio"), None)


def _of_uploads(text: str, uploads: Sequence[Upload]) -> Turn:
    slots: dict[str, Path] = {}
    for upload in uploads:
        if upload.kind in slots:
            raise ValueError(f"Two files of one kind were given; the model takes one {_SLOTS[upload.kind]} in a message, send one.")
        slots[upload.kind] = upload.path
    return Turn(text, **slots)


def _with(text: str, kind: Kind, path: Path) -> Turn:
    return Turn(text, **{kind: path})


def _asked_before(conversation: Conversation, exchange: Exchange) -> Turn:
    """The turn of an exchange that did not keep it, from what was known at the time."""
    earlier = conversation.exchanges[: conversation.exchanges.index(exchange)]
    return turn(Conversation(earlier), exchange.said, exchange.uploads)[0]


def _picked(conversation: Conversation, place: int) -> tuple[Piece, str]:
    pieces = conversation.pieces
    if not -len(pieces) <= place < len(pieces):
        count = "There is only one piece" if len(pieces) == 1 else f"There are {len(pieces)} pieces to choose from"
        raise ValueError(f"{count}; name one that there is, such as take 1.")
    return pieces[place], _called(conversation, pieces[place].sound)


def _called(conversation: Conversation, sound: Path) -> str:
    """What a sound is called to its user."""
    if any(upload.path == sound for exchange in conversation.exchanges for upload in exchange.uploads):
        return "your recording"
    several = any(len(exchange.pieces) > 1 and sound in {piece.sound for piece in exchange.pieces} for exchange in conversation.exchanges)
    places = {piece.sound: place + 1 for place, piece in enumerate(conversation.pieces)}
    if several and sound in places:
        return f"take {places[sound]}"
    return "the last piece" if places.get(sound) == len(places) else "an earlier piece"


def _leaning(conversation: Conversation, text: str) -> tuple[Turn, str | None]:
    """On the newest thing: a picture or clip only where no sound has come since, or where music is asked for it."""
    for exchange in reversed(conversation.exchanges):
        seen = next((upload for upload in reversed(exchange.uploads) if upload.kind in _SIGHTS), None)
        if seen and (not _sound_of(exchange) or for_it(text)):
            return _with(text, seen.kind, seen.path), _SIGHTS[seen.kind]
        if sound := _sound_of(exchange):
            return _with(reworded(text), "audio", sound), _called(conversation, sound)
    return Turn(text), None
