"""How long the music of a request may become, before it is made: room for it is asked for first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama.config import MAX_MUSIC_SECONDS
from llama.decoders.base import ScoreEditor
from llama.decoders.recording_edits import edited_seconds
from llama.editing import edits_recording
from llama.media.edit import Edit, apply_edit, prepare
from llama.media.requests.reader import is_question, read_request
from llama.media.score import Score

if TYPE_CHECKING:
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions
    from llama.mumu_model import MuMuModel


def longest_seconds(model: MuMuModel, turn: Turn, options: GenerationOptions) -> float:
    """Length of the music of a turn where it is known, or else the most that can be made of it.

    An edit of notes is known if the options give it or the words name all of it. Raises ValueError for one that the piece cannot have.
    """
    if isinstance(turn.score, Score):
        return _of_score(model, turn.score, turn.text, options)
    if turn.audio is not None and edits_recording(model, turn, options):
        return MAX_MUSIC_SECONDS
    return options.seconds if options.bar_count is None else MAX_MUSIC_SECONDS


def _of_score(model: MuMuModel, score: Score, text: str, options: GenerationOptions) -> float:
    if options.edit is not None:
        return _edited(model, score, options.edit)
    reading = read_request(text, score)
    if reading.is_new or reading.edit is None and is_question(reading.rest):
        return options.seconds
    if reading.edit is None or reading.rest:  # the model's answer may change it, too
        return MAX_MUSIC_SECONDS
    try:
        return _edited(model, score, reading.edit)
    except ValueError:  # words that this piece cannot have: the answer says so
        return MAX_MUSIC_SECONDS


def _edited(model: MuMuModel, score: Score, edit: Edit) -> float:
    decoder = model.music_decoder
    if isinstance(decoder, ScoreEditor) and decoder.edits_scores:
        return apply_edit(prepare(score, edit), edit).seconds
    return edited_seconds(edit, score)
