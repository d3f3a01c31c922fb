"""Builds the versions of a card from the pieces and files of a session: addresses, waves, facts, chips and downloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from demo.page import suggestions
from demo.page.take_home import take_home
from demo.page.view import Kind, MediaView, Order, VersionView
from demo.service.exports import piece_stem
from demo.service.score_view import part_names
from demo.service.sessions import export_url, media_url
from llama.media.audio import Waveform
from llama.media.edit_labels import name_labels, title_labels
from llama.media.naming import MOODS
from llama.media.score import timeline
from llama.media.spelling import key_name

if TYPE_CHECKING:
    from demo.service.conversation import Piece
    from demo.service.sessions import Session
    from demo.service.uploads import Upload
    from llama.media.edit_report import EditReport
    from llama.media.score import Score

BARS = 240  # of a drawn wave
MAX_TITLE = 60  # characters


class VersionBuilder:
    """Builds versions of one session. read_sound: decodes an uploaded recording.

    edits_notes: whether the decoder edits notes; decoder: of sound, which says what edits it can make (None: none).
    """

    def __init__(self, session: Session, read_sound: Callable[[Path], Waveform], *, edits_notes: bool = True, decoder: Any = None) -> None:
        self._session, self._read_sound, self._edits_notes, self._decoder = session, read_sound, edits_notes, decoder

    def growing(self, url: str, seed: int, seconds: float | None, order: Order, kind: Kind = "take", label: str = "") -> VersionView:
        """A take whose file is still being written. seconds: that it will have."""
        stem = url.rpartition("/")[2].partition(".")[0]
        return VersionView(stem, kind, url.lstrip("/"), order, label, seconds=seconds, seed=seed)

    def piece(self, piece: Piece, message: str, order: Order, kind: Kind = "take", label: str = "") -> VersionView:
        """A piece whose file is whole. message: that it was made for, its title where its notes are not known."""
        file_label = "" if piece.edit is None else " ".join(name_labels(piece.edit))
        name = piece_stem(piece.sound, piece.score, file_label)
        version = VersionView(
            piece.sound.stem, kind, media_url(self._session.token, piece.sound.name), order, label, name,
            title_of(piece.score, message, piece.edit), piece.seconds, piece.seconds, True,
            levels=levels(Waveform.read(piece.sound)), seed=piece.seed,
            report="" if piece.edit is None else str(piece.edit),
            downloads=tuple(take_home(self._session.token, piece.sound, piece.score, file_label)),
        )  # fmt: skip
        return self._with_score(version, piece.sound, piece.score)

    def received(self, uploads: Sequence[Upload]) -> tuple[VersionView, ...]:
        """The recordings and scores among the files of a message, before their sound is read: the page keeps their place."""
        return tuple(self._plain(upload) for upload in uploads if upload.kind in ("audio", "score"))

    def _plain(self, upload: Upload) -> VersionView:
        sound, seconds = upload.sound or upload.path, upload.seconds or 0.0
        return VersionView(
            sound.stem, "upload", media_url(self._session.token, sound.name), name=Path(upload.name).stem,
            title=upload.name or "Your recording", seconds=upload.seconds, made=seconds, complete=True, pcm=upload.sound is not None,
            remarks=upload.remarks,
        )  # fmt: skip

    def upload(self, upload: Upload, kind: Kind = "upload") -> VersionView:
        """A recording or a score that the user added. Raises ValueError if its sound cannot be read."""
        sound = upload.sound or upload.path
        music = self._read_sound(sound) if upload.sound is None else Waveform.read(sound)
        stem = Path(upload.name).stem
        version = VersionView(
            sound.stem, kind, media_url(self._session.token, sound.name), name=stem, title=upload.name or "Your recording",
            seconds=upload.seconds or music.seconds, made=upload.seconds or music.seconds, complete=True, pcm=upload.sound is not None,
            levels=levels(music), remarks=upload.remarks,
        )  # fmt: skip
        return version if upload.sound is None else self._with_score(version, upload.sound, upload.score)

    def media(self, uploads: Sequence[Upload]) -> tuple[MediaView, ...]:
        """The pictures and clips among the files of a message."""
        return tuple(
            MediaView(upload.kind, media_url(self._session.token, (upload.preview or upload.path).name), upload.seconds)
            for upload in uploads
            if upload.kind in ("image", "video")
        )

    def _with_score(self, version: VersionView, sound: Path, score: Score | None) -> VersionView:
        if score is None:
            check = None if self._decoder is None else suggestions.recording_check(self._decoder, version.seconds or 1.0)
            return replace(version, chips=tuple(suggestions.chips(None, notes=self._edits_notes, check=check)))

        def address(form: str) -> str:
            return export_url(self._session.token, sound.name, form)

        stems = {part: address(f"stem?part={part}") for part in part_names(score)}
        return replace(
            version, facts=facts_of(score), score=address("score"), stems=stems, sheet=address("sheet"),
            chips=tuple(suggestions.chips(score, notes=self._edits_notes)),
        )  # fmt: skip


def levels(music: Waveform, bars: int = BARS) -> str:
    """Absolute peak (0 to 255, full scale) of each of `bars` equal parts, two hexadecimal digits each.

    Absolute, so that the waves of two versions can be compared.
    """
    samples = music.samples.abs().amax(dim=0).numpy()
    peaks = np.array([part.max(initial=0.0) for part in np.array_split(samples, bars)])
    return np.rint(np.clip(peaks, 0.0, 1.0) * 255).astype(np.uint8).tobytes().hex()


def facts_of(score: Score) -> dict[str, Any]:
    """What the notes say of a piece, for people."""
    attributes = score.attributes
    return {
        "tempo": attributes.tempo, "key": key_name(attributes.key, attributes.mode), "metre": f"{attributes.metre}/4",
        "lead": attributes.lead, "style": attributes.style, "bars": timeline(attributes, score.seconds).bar_count,
        "drums": bool(score.drums),
    }  # fmt: skip


def title_of(score: Score | None, message: str, edit: EditReport | None = None) -> str:
    """The title of a piece: "Sad ballad, piano" by its notes, or else the beginning of the message that it was made for.

    edit: what the piece changes of another one, which tells it from that: "Sad ballad, piano, 108 bpm".
    """
    if score is None:
        line = " ".join(message.split())
        return (line if len(line) <= MAX_TITLE else f"{line[: MAX_TITLE - 1].rstrip()}…") or "Music"
    attributes = score.attributes
    title = f"{MOODS[attributes.mode].capitalize()} {attributes.style}, {attributes.lead}"
    return title if edit is None else ", ".join([title, *title_labels(edit, title)])
