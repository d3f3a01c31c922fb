"""The length that the words of a request for new music name, as an option: the language model gets the request without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llama.decoders.base import ScoreEditor
from llama.media.requests.new_length import read_new_length
from llama.media.requests.reader import is_question

if TYPE_CHECKING:
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions


def with_named_length(decoder: object, turn: Turn, options: GenerationOptions) -> tuple[Turn, GenerationOptions]:
    """The turn without the length that its words name, and the options with it; both as they are if it names none.

    Only for new music: a turn about a recording or a score is an edit or a question, whose lengths are read there. decoder: the music
    decoder; one of sound takes no bars, and leaves them in the words. Raises ValueError for a length that is out of range.
    """
    if not options.music or options.edit is not None or turn.audio is not None or turn.score is not None or is_question(turn.text):
        return turn, options
    length = read_new_length(turn.text)
    if length is None or length.bar_count is not None and not (isinstance(decoder, ScoreEditor) and decoder.edits_scores):
        return turn, options
    seconds = options.seconds if length.seconds is None else length.seconds
    return replace(turn, text=length.rest), replace(options, seconds=seconds, bar_count=length.bar_count)
