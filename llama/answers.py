"""Answers that need no language model: facts about a piece from its notes, chords of a recording, and the sentence for other languages.

The rules come first, so that such an answer is exact and the same from Python, the command line, the HTTP API and the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama.encoders.transcription import transcribe
from llama.media.audio import Waveform
from llama.media.requests.languages import foreign_answer
from llama.media.requests.questions import asks_for_chords
from llama.media.score import Score
from llama.media.score_answers import NO_CHORDS, answer_question

if TYPE_CHECKING:
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions
    from llama.mumu_model import MuMuModel


def hears_chords(turn: Turn, options: GenerationOptions) -> bool:
    """Whether a turn asks for the chords of a recording whose notes are not known, and for nothing else."""
    alone = turn.audio is not None and turn.score is None and turn.image is None and turn.video is None
    return alone and options.edit is None and asks_for_chords(turn.text)


def answer_by_rule(model: MuMuModel, turn: Turn, options: GenerationOptions) -> str | None:
    """The answer to a turn whose file of notes is read, if it needs no language model; None for every other turn.

    A recording is read for its chords alone. Raises FileNotFoundError and ValueError for a recording that cannot be read.
    """
    if options.edit is not None:
        return None
    if isinstance(turn.score, Score) and not turn.transcribed and turn.image is None and turn.video is None:
        answer = answer_question(turn.text, turn.score)
        if answer is not None:
            return answer
    if hears_chords(turn, options):
        return _heard_chords(model, turn)
    return foreign_answer(turn.text)


def _heard_chords(model: MuMuModel, turn: Turn) -> str:
    """The chords of a recording as the transcriber hears them, or the sentence that says why there are none."""
    if model.transcriber is None:
        return NO_CHORDS
    audio = turn.audio if isinstance(turn.audio, Waveform) else Waveform.read(str(turn.audio))
    try:
        score = transcribe(model.transcriber, audio).score
    except ValueError as error:  # a recording without notes
        return str(error)
    chords = answer_question(turn.text, score)
    return f"As I hear it: {chords}" if chords else NO_CHORDS
