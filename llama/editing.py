"""Edits of a turn's piece: checks before any work, the edit that the answer's words announce, and its music.

The notes are edited exactly (`llama.media.edit`); the music decoder composes what is new and plays the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llama.decoders.base import NO_EDITS, ScoreEditor
from llama.dialogue import Turn
from llama.generation import NO_DECODER, Done, Event, GenerationOptions, MusicChunk, RowState, condition_for
from llama.media.audio import Waveform
from llama.media.captions import stated_edit
from llama.media.edit import Edit, apply_edit
from llama.media.edit_report import report_edit

if TYPE_CHECKING:
    from llama.decoders.base import SynthesisRequest
    from llama.media.score import Score
    from llama.mumu_model import MuMuModel


def check_edits(model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions) -> None:
    """Raises ValueError, before any work, for an edit that the model cannot make of these turns."""
    if options.edit is None:
        return
    decoder = model.music_decoder
    if decoder is None:
        raise ValueError(NO_DECODER)
    if not isinstance(decoder, ScoreEditor) or not decoder.edits_scores:
        raise ValueError(NO_EDITS)
    for turn in turns:
        if turn.score is None:
            raise ValueError("An edit keeps the notes of a piece, but this turn has none; give them as Turn(text, score=reply.score).")
        apply_edit(turn.score, options.edit)


def play_score(model: MuMuModel, turn: Turn, options: GenerationOptions) -> Turn:
    """The turn with its score played as the recording, if it has no other: the model then hears what is edited.

    Raises ValueError if the decoder cannot play notes. A model without an audio encoder edits what it does not hear.
    """
    if turn.score is None or turn.audio is not None or options.edit is not None and model.mert is None:
        return turn
    if not isinstance(model.music_decoder, ScoreEditor) or not model.music_decoder.edits_scores:
        raise ValueError("This model's music decoder cannot play a score; give its recording as the turn's audio.")
    return replace(turn, audio=model.music_decoder.render(turn.score))


def edit_for(row: RowState, turn: Turn, options: GenerationOptions) -> Edit | None:
    """The edit of a turn's score: the one that the options give, or the difference between the piece and the one that the answer
    announces; None for a new piece or an answer in words."""
    if options.edit is not None or turn.score is None or row.finish != "music" or not options.music:
        return options.edit
    return stated_edit(turn.score, row.text())


def edit_events(model: MuMuModel, row: RowState, turn: Turn, options: GenerationOptions) -> Iterator[Event]:
    """The edited music of a row, chunk by chunk, and its `Done`."""
    decoder, chunks = model.music_decoder, list[Tensor]()
    music = decoder.synthesize(edit_request(model, row, turn, options))
    while True:
        try:
            chunks.append(next(music)[0].float().cpu())
        except StopIteration as end:
            scores: list[Score] | None = end.value
            break
        yield MusicChunk(Waveform(chunks[-1], decoder.sample_rate))
    sound, score = Waveform(torch.cat(chunks, -1), decoder.sample_rate), scores[0] if scores else None
    yield Done(row.reply(sound, score, report_edit(*_source_and_edit(turn, options))))


def edit_request(model: MuMuModel, row: RowState, turn: Turn, options: GenerationOptions) -> SynthesisRequest:
    """What the decoder makes the edited music of a row from."""
    decoder, (source, edit) = model.music_decoder, _source_and_edit(turn, options)
    condition, mask = _edit_condition(model, row, turn, options)
    return decoder.request(
        condition, source.seconds, mask=mask, guidance=options.guidance, seeds=[options.seed], source=source, edit=edit
    )


def _source_and_edit(turn: Turn, options: GenerationOptions) -> tuple[Score, Edit]:
    assert turn.score is not None and options.edit is not None, "check_edits has seen them"
    return turn.score, options.edit


def _edit_condition(model: MuMuModel, row: RowState, turn: Turn, options: GenerationOptions) -> tuple[Tensor, Tensor | None]:
    """The condition of what the edit composes: as for a new piece, or the answer's text where that has no audio tokens."""
    decoder, (source, edit) = model.music_decoder, _source_and_edit(turn, options)
    if not edit.composed_parts(source):
        return torch.zeros(1, *decoder.condition_shape), None  # nothing is composed
    if row.finish == "music":
        return condition_for(model, [row], [turn], options)
    return decoder.embed([row.text() or turn.text])
