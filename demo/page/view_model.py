"""Builds the view model from files and updates: URLs, waveforms, downloads and plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demo.page import plots
from demo.page.view import DOWNLOAD_FORMATS, PEAKS, ExchangeView, MediaView, PlotView, TakeView
from demo.service.conversation import resolve_turn
from demo.service.sessions import export_url, media_url, new_name
from llama.media.audio import Waveform
from llama.media.naming import piece_name

if TYPE_CHECKING:
    from demo.page.state import SubmittedMessage
    from demo.service.conversation import Piece
    from demo.service.request import Update
    from demo.service.sessions import Session
    from demo.service.uploads import Upload

ReadSound = Callable[[Path], Waveform]
PAGE_EXPORTS = ("stems", "loop", "musicxml", "chords")  # beside the MIDI file, which is written with the sound


def media_views(session: Session, uploads: Sequence[Upload], read_sound: ReadSound) -> tuple[MediaView, ...]:
    """Views of the files that the user added to a message."""
    return tuple(_media_view(session, upload, read_sound) for upload in uploads)


def _media_view(session: Session, upload: Upload, read_sound: ReadSound) -> MediaView:
    if upload.kind == "audio":
        return audio_view(session, upload.path, upload.seconds, read_sound)
    if upload.sound is not None:
        return replace(audio_view(session, upload.sound), kind="score", name=upload.name, remarks=upload.remarks)
    return MediaView(upload.kind, media_url(session.token, (upload.preview or upload.path).name), upload.seconds)


def audio_view(session: Session, file: Path, seconds: float | None = None, read_sound: ReadSound = Waveform.read) -> MediaView:
    music = read_sound(file)
    return MediaView("audio", media_url(session.token, file.name), seconds or music.seconds, peaks(music))


def peaks(music: Waveform, bars: int = PEAKS) -> tuple[float, ...]:
    """Peak level of each of `bars` equal parts, relative to the loudest part (0 to 1)."""
    levels = music.samples.abs().amax(dim=0).numpy()
    maxima = np.array([part.max(initial=0.0) for part in np.array_split(levels, bars)])
    return tuple(round(float(level), 3) for level in maxima / max(float(maxima.max(initial=0.0)), 1e-6))


def original_audio(session: Session, message: SubmittedMessage, read_sound: ReadSound) -> MediaView | None:
    """The music that an edit starts from: what was uploaded, or the earlier piece that the message refers to."""
    try:
        edits = message.settings.edit is not None
        turn = resolve_turn(message.conversation, message.text, message.uploads, edits=edits).turn
    except ValueError:  # the answer reports it
        return None
    if isinstance(turn.audio, str):
        return audio_view(session, Path(turn.audio), read_sound=read_sound)
    earlier = (upload for exchange in message.conversation.exchanges for upload in exchange.uploads)
    scores = (upload for upload in (*message.uploads, *earlier) if upload.sound is not None and upload.score is turn.score)
    return next((_media_view(session, upload, read_sound) for upload in scores), None)


def take_views(session: Session, takes: Sequence[TakeView], update: Update) -> tuple[TakeView, ...]:
    """The takes after an update, in the order of their seeds, including those that are still being generated."""
    total = update.progress[1] / max(1, len(update.texts)) if update.progress else None
    takes_by_seed = {take.seed: take for take in takes}
    for stream in update.streams:
        audio = MediaView("audio", stream.url.lstrip("/"), total)
        takes_by_seed.setdefault(stream.seed, TakeView(audio, stream.seed, _take_index(update, stream.seed)))
    for piece in update.pieces:
        if piece.seed not in takes_by_seed or not takes_by_seed[piece.seed].complete:
            takes_by_seed[piece.seed] = _take(session, piece, _take_index(update, piece.seed))
    return tuple(sorted(takes_by_seed.values(), key=lambda take: take.index))


def _take_index(update: Update, seed: int) -> int:
    return update.seeds.index(seed)


def complete_takes(takes: Sequence[TakeView]) -> tuple[TakeView, ...]:
    """The takes whose files are written."""
    return tuple(take for take in takes if take.complete)


def _take(session: Session, piece: Piece, index: int) -> TakeView:
    files = ((suffix, piece.sound.with_suffix(f".{suffix}")) for suffix in DOWNLOAD_FORMATS)
    downloads = tuple((suffix, media_url(session.token, file.name)) for suffix, file in files if file.is_file())
    forms = PAGE_EXPORTS if piece.score is not None else ()
    exports = tuple((form, export_url(session.token, piece.sound.name, form)) for form in forms)
    file_stem = piece_name(piece.score) if piece.score is not None else f"mumu-llama-seed-{piece.seed}"
    report = "" if piece.edit is None else str(piece.edit)
    audio = audio_view(session, piece.sound, piece.seconds)
    return TakeView(audio, piece.seed, index, downloads, exports, file_stem, complete=True, report=report)


def with_plots(session: Session, exchange: ExchangeView, pieces: Sequence[Piece]) -> ExchangeView:
    """The exchange with plots for each of its takes."""
    plots_by_seed = {piece.seed: _plots(session, piece) for piece in pieces}
    return replace(exchange, takes=tuple(replace(take, plots=plots_by_seed[take.seed]) for take in exchange.takes))


def _plots(session: Session, piece: Piece) -> tuple[PlotView, ...]:
    """Piano roll (where there is a score), spectrogram and waveform, for light and dark pages, written to the session's folder."""
    music = Waveform.read(piece.sound)

    def plot(title: str, alt: str, draw: Callable[[bool], bytes]) -> PlotView:
        light, dark = (new_name(session.folder, ".png") for _ in range(2))
        light.write_bytes(draw(False))
        dark.write_bytes(draw(True))
        return PlotView(title, media_url(session.token, light.name), media_url(session.token, dark.name), alt)

    score, seconds = piece.score, piece.seconds
    piano_roll = () if score is None else (
        plot("The notes", plots.piano_roll_alt(score, seconds), lambda dark: plots.piano_roll(score, seconds, dark)),
    )
    return (
        *piano_roll,
        plot("Which pitches sound, and when", plots.spectrogram_alt(music), lambda dark: plots.spectrogram(music, dark)),
        plot("How loud", plots.waveform_alt(music), lambda dark: plots.waveform(music, dark)),
    )
