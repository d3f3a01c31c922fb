"""Conversation history: exchanges, their pieces, and the music that "it" means.

An edit that was taken back (`Conversation.undo`) stays in the history, but nothing refers to its music: "it" is then the piece that was
edited. turn_resolution.py finds what a new message refers to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.service.media_probe import Kind
from demo.service.uploads import Upload
from llama.dialogue import Turn
from llama.media.score import Score

if TYPE_CHECKING:
    from llama.media.edit import Edit
    from llama.media.edit_report import EditReport

NO_SUCH_PIECE = "That piece is not in the conversation any more; choose another one."


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
    """One user message and its answer. turn: the model's input, which "again" repeats with `edit` and `bar_count`, as they were set.

    undone: its music was taken back; kept: the sound of the take that was chosen out of several.
    """

    message: str
    uploads: tuple[Upload, ...] = ()
    answer: str = ""
    pieces: tuple[Piece, ...] = ()
    turn: Turn | None = None
    edit: Edit | None = None
    bar_count: int | None = None
    undone: bool = False
    kept: Path | None = None

    def piece(self, sound: Path) -> Piece | None:
        """The piece with this sound; None if the exchange has none."""
        return next((piece for piece in self.pieces if piece.sound == sound), None)


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
    """Immutable history of exchanges, oldest first. chosen: the sound that "it" means until newer music comes; None: the newest one."""

    exchanges: tuple[Exchange, ...] = ()
    chosen: Path | None = None

    def add_exchange(self, exchange: Exchange) -> Conversation:
        """The conversation with one more exchange; its music, if there is any, becomes "it"."""
        chosen = self.chosen if newest_music(exchange) is None else None
        return replace(self, exchanges=(*self.exchanges, exchange), chosen=chosen)

    def followed_by(self, later: Conversation) -> Conversation:
        """The conversation with the exchanges of another one after its own; "it" is the newest music of both, or what was chosen."""
        joined = self
        for exchange in later.exchanges:
            joined = joined.add_exchange(exchange)
        return joined if later.chosen is None else replace(joined, chosen=later.chosen)

    def undo(self, sound: Path) -> Conversation:
        """The conversation with the music of an exchange, given by one of its sounds, taken back: "it" is what it was before.

        Raises ValueError for a sound that is no piece of the conversation.
        """
        changed = self._change(sound, undone=True)
        return replace(changed, chosen=None) if self.chosen in {piece.sound for piece in self._exchange_of(sound).pieces} else changed

    def redo(self, sound: Path) -> Conversation:
        """The conversation with a piece that was taken back in force again, and as "it". Raises ValueError as `undo` does."""
        return replace(self._change(sound, undone=False), chosen=sound)

    def choose(self, sound: Path) -> Conversation:
        """The conversation with this piece as "it". Raises ValueError as `undo` does."""
        self._exchange_of(sound)
        return replace(self, chosen=sound)

    def keep(self, sound: Path) -> Conversation:
        """The conversation with one of several takes chosen; it is "it". Raises ValueError as `undo` does."""
        return replace(self._change(sound, undone=False, kept=sound), chosen=sound)

    @property
    def last_music(self) -> EarlierMusic | None:
        """The chosen piece, or the newest of the pieces in force and of the recordings and scores sent or referred to."""
        if self.chosen is not None:
            return music_of(piece_of(self, self.chosen))
        undone = self.undone_sounds
        return next((music for exchange in reversed(self.exchanges) if (music := newest_music(exchange, undone))), None)

    @property
    def last_piece(self) -> Piece | None:
        """The newest piece in force, which "undo that" takes back; of several takes the kept one, or the last."""
        newest = next((exchange for exchange in reversed(self.exchanges) if exchange.pieces and not exchange.undone), None)
        return None if newest is None else _chosen_take(newest)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Pieces in force that "the second one" counts: the last takes if there were several, else all pieces in order."""
        with_pieces = [exchange.pieces for exchange in self.exchanges if exchange.pieces and not exchange.undone]
        return with_pieces[-1] if with_pieces and len(with_pieces[-1]) > 1 else tuple(piece for pieces in with_pieces for piece in pieces)

    def last_upload(self, kind: Kind) -> Upload | None:
        """Newest upload of a kind."""
        uploads = (upload for exchange in reversed(self.exchanges) for upload in reversed(exchange.uploads))
        return next((upload for upload in uploads if upload.kind == kind), None)

    @property
    def undone_sounds(self) -> frozenset[Path]:
        return frozenset(piece.sound for exchange in self.exchanges if exchange.undone for piece in exchange.pieces)

    def _exchange_of(self, sound: Path) -> Exchange:
        found = next((exchange for exchange in self.exchanges if exchange.piece(sound)), None)
        if found is None:
            raise ValueError(NO_SUCH_PIECE)
        return found

    def _change(self, sound: Path, **fields: Any) -> Conversation:
        """The conversation with other fields in the exchange of a sound."""
        found = self._exchange_of(sound)
        return replace(self, exchanges=tuple(replace(each, **fields) if each is found else each for each in self.exchanges))


def music_of(piece: Piece) -> EarlierMusic:
    return EarlierMusic(piece.sound, piece.score)


def _chosen_take(exchange: Exchange) -> Piece:
    """The take of an exchange with pieces that "it" means."""
    return (exchange.piece(exchange.kept) if exchange.kept is not None else None) or exchange.pieces[-1]


def newest_music(exchange: Exchange, undone: frozenset[Path] = frozenset()) -> EarlierMusic | None:
    """The music that an exchange left as "it". undone: sounds that were taken back, of which it is none."""
    if exchange.pieces and not exchange.undone:
        return music_of(_chosen_take(exchange))
    turn = exchange.turn
    if turn is not None and (isinstance(turn.audio, str) or isinstance(turn.score, Score)):
        sound, score = turn.audio, turn.score
        music = EarlierMusic(Path(sound) if isinstance(sound, str) else None, score if isinstance(score, Score) else None)
        return None if music.sound in undone else music
    uploads = (upload for upload in reversed(exchange.uploads) if upload.kind in ("audio", "score"))
    return next((music_of_upload(upload) for upload in uploads), None)


def music_of_upload(upload: Upload) -> EarlierMusic:
    return EarlierMusic(None if upload.score else upload.path, upload.score)


def piece_of(conversation: Conversation, sound: Path) -> Piece:
    found = next((piece for exchange in conversation.exchanges if (piece := exchange.piece(sound))), None)
    if found is None:
        raise ValueError(NO_SUCH_PIECE)
    return found
