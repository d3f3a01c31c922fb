"""From what was made to what is shown: addresses of files, waves, downloads and drawings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demo.page import plots as drawings
from demo.page.view import KINDS, PEAKS, ExchangeView, MediaView, PlotView, TakeView
from demo.service.conversation import resolve_turn
from demo.service.sessions import new_name
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from demo.page.state import SubmittedMessage
    from demo.service.conversation import Piece
    from demo.service.request import Update
    from demo.service.sessions import Session
    from demo.service.uploads import Upload


def media_url(session: Session, file: Path) -> str:
    """Relative, so that the page may stand below any path."""
    return f"media/{session.token}/{file.name}"


def media(session: Session, uploads: Sequence[Upload]) -> tuple[MediaView, ...]:
    """What the user added, ready to be shown."""
    return tuple(
        sound(session, one.path, one.seconds) if one.kind == "audio" else MediaView(one.kind, media_url(session, one.path), one.seconds)
        for one in uploads
    )


def sound(session: Session, file: Path, seconds: float | None = None) -> MediaView:
    music = Waveform.read(file)
    return MediaView("audio", media_url(session, file), seconds or music.seconds, peaks(music))


def peaks(music: Waveform, bars: int = PEAKS) -> tuple[float, ...]:
    """How loud each of `bars` equal parts is, the loudest being 1."""
    loud = music.samples.abs().amax(dim=0).numpy()
    tops = np.array([part.max(initial=0.0) for part in np.array_split(loud, bars)])
    return tuple(round(float(top), 3) for top in tops / max(float(tops.max(initial=0.0)), 1e-6))


def before(session: Session, ask: SubmittedMessage) -> MediaView | None:
    """The recording that a change would begin from: one that was added, or the sound that the words refer to."""
    try:
        heard = resolve_turn(ask.before, ask.text, ask.uploads)[0].audio
    except ValueError:  # told by the answer
        return None
    return sound(session, Path(heard)) if isinstance(heard, str) else None


def takes(session: Session, known: Sequence[TakeView], update: Update) -> tuple[TakeView, ...]:
    """A player for every sound, those under way too, in the order of their seeds, whichever began first."""
    total = update.progress[1] / max(1, len(update.texts)) if update.progress else None
    heard = {take.seed: take for take in known}
    for one in update.streams:
        heard.setdefault(one.seed, TakeView(MediaView("audio", one.url.lstrip("/"), total), one.seed, _place(update, one.seed)))
    for piece in update.pieces:
        if piece.seed not in heard or not heard[piece.seed].whole:
            heard[piece.seed] = _take(session, piece, _place(update, piece.seed))
    return tuple(sorted(heard.values(), key=lambda take: take.place))


def _place(update: Update, seed: int) -> int:
    return update.seeds.index(seed)


def finished(known: Sequence[TakeView]) -> tuple[TakeView, ...]:
    """The takes that became pieces."""
    return tuple(take for take in known if take.whole)


def _take(session: Session, piece: Piece, place: int) -> TakeView:
    files = ((kind, piece.sound.with_suffix(f".{kind}")) for kind in KINDS)
    links = tuple((kind, media_url(session, file)) for kind, file in files if file.is_file())
    return TakeView(sound(session, piece.sound, piece.seconds), piece.seed, place, links, whole=True)


def pictured(session: Session, card: ExchangeView, pieces: Sequence[Piece]) -> ExchangeView:
    """The card with drawings of its takes."""
    drawn = {piece.seed: _pictures(session, piece) for piece in pieces}
    return replace(card, takes=tuple(replace(take, pictures=drawn[take.seed]) for take in card.takes))


def _pictures(session: Session, piece: Piece) -> tuple[PlotView, ...]:
    """Roll, spectrogram and wave, each for light and for dark pages, drawn into the session's folder."""
    music = Waveform.read(piece.sound)

    def picture(title: str, alt: str, draw: Callable[[bool], bytes]) -> PlotView:
        light, dark = (new_name(session.folder, ".png") for _ in range(2))
        light.write_bytes(draw(False))
        dark.write_bytes(draw(True))
        return PlotView(title, media_url(session, light), media_url(session, dark), alt)

    score, seconds = piece.score, piece.seconds
    notes = () if score is None else (
        picture("The notes", drawings.piano_roll_alt(score, seconds), lambda dark: drawings.piano_roll(score, seconds, dark)),
    )
    return (
        *notes,
        picture("Which pitches sound, and when", drawings.spectrogram_alt(music), lambda dark: drawings.spectrogram(music, dark)),
        picture("How loud", drawings.waveform_alt(music), lambda dark: drawings.waveform(music, dark)),
    )
