"""Edits of a turn's piece: its notes, checks before any work, what the decoder makes of it, and its music.

The notes are edited exactly (`llama.media.edit`); the music decoder composes what is new and plays the whole. A decoder of sound
edits a recording, as near as it can. `llama.edit_plans` says which edit it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llama.decoders.base import ScoreEditor
from llama.decoders.recording_edits import edited_seconds
from llama.dialogue import Turn
from llama.edit_plans import PlannedEdit, edited_attributes, plan_by_rule
from llama.encoders.transcription import transcribe
from llama.generation import (
    NO_DECODER,
    Done,
    Event,
    GenerationOptions,
    MusicChunk,
    RowState,
    TextDelta,
    condition_for,
    generate_text,
)
from llama.media.audio import Waveform
from llama.media.captions import read_caption, write_caption
from llama.media.requests.reader import names_edit
from llama.media.score import Attributes, Score
from llama.media.score_file import read_score

if TYPE_CHECKING:
    from llama.decoders.base import SynthesisRequest
    from llama.mumu_model import ModalityFeatures, MuMuModel

NO_CHANGE = "Continue it"  # the model's answer to it is the caption of what it hears
NO_SOURCE = "An edit needs its piece, but this turn has none; give its notes as Turn(text, score=reply.score), or its recording."
NO_BARS = "This model's music decoder does not count bars; give the length in seconds."


# -- before the words ---------------------------------------------------------------------------------------------


def read_turn(turn: Turn) -> Turn:
    """The turn with the notes of its file of notes. Raises FileNotFoundError and ValueError as `read_score` does."""
    return replace(turn, score=read_score(turn.score)) if isinstance(turn.score, (str, Path)) else turn


def check_edits(model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions) -> None:
    """Raises ValueError, before any work, for an edit that the model cannot make of these turns.

    A recording that is not loaded is checked when it is: `load_recording` does it. Lengths in bars are checked as well.
    """
    if options.bar_count is not None and options.music and not _edits_scores(model):
        raise ValueError(NO_BARS)
    if options.edit is None:
        return
    decoder = model.music_decoder
    if decoder is None:
        raise ValueError(NO_DECODER)
    for turn in turns:
        source = turn.score if turn.audio is None or turn.score is not None else turn.audio
        if source is None:
            raise ValueError(NO_SOURCE)
        if isinstance(source, Score) or isinstance(source, Waveform) and not _takes_notes_of(model, turn):
            decoder.check_edit(options.edit, source)


def _edits_scores(model: MuMuModel) -> bool:
    return isinstance(model.music_decoder, ScoreEditor) and model.music_decoder.edits_scores


def _takes_notes_of(model: MuMuModel, turn: Turn) -> bool:
    """Whether an edit of this turn is one of the notes of its recording."""
    return turn.score is None and turn.audio is not None and _edits_scores(model) and model.transcriber is not None


def edits_recording(model: MuMuModel, turn: Turn, options: GenerationOptions) -> bool:
    """Whether the turn's recording is edited: by the options, or by words whose grammar is known, if its notes can be written down."""
    if turn.score is not None or turn.audio is None:
        return False
    return options.edit is not None or options.music and names_edit(turn.text) and _takes_notes_of(model, turn)


def load_recording(model: MuMuModel, turn: Turn, options: GenerationOptions) -> Turn:
    """The turn of an edited recording with the recording loaded and, for a decoder of notes, written down as a score.

    Raises ValueError if it holds no notes, and for an edit that cannot be made of it.
    """
    audio = turn.audio if isinstance(turn.audio, Waveform) else Waveform.read(str(turn.audio))
    turn = replace(turn, audio=audio)
    if _takes_notes_of(model, turn):
        turn = replace(turn, score=write_down(model, audio), transcribed=True)
    check_edits(model, [turn], options)
    return turn


def write_down(model: MuMuModel, audio: Waveform) -> Score:
    """The score of a recording: notes, beats and chords by the transcriber, the names of the instruments as the model hears them.

    Of 30 recordings of each kind the transcriber names the lead rightly in 0.50 to 0.77, the model in 0.96 of 24.
    Raises ValueError for a recording without notes, and for a model without a transcriber.
    """
    score = transcribe(model.transcriber, audio).score
    heard = hear_piece(model, Turn(audio=audio)) if model.mert is not None and model.tokenizer is not None else None
    if heard is None:
        return score
    return replace(score, attributes=replace(score.attributes, lead=heard.lead, accompaniment=heard.accompaniment))


def hears_score(model: MuMuModel, turn: Turn, options: GenerationOptions) -> bool:
    """Whether the model hears the turn's score played: if it has no recording, and always but for an edit that needs no hearing.

    Raises ValueError if the decoder cannot play notes.
    """
    if not isinstance(turn.score, Score) or turn.audio is not None:
        return False
    if options.edit is not None and (model.mert is None or not _edits_scores(model)):
        return False
    if not _edits_scores(model):
        raise ValueError("This model's music decoder cannot play a score; give its recording as the turn's audio.")
    return True


def plan_exact_edit(model: MuMuModel, turn: Turn, options: GenerationOptions) -> PlannedEdit | None:
    """The plan of the options' edit if the decoder makes it of the turn's notes by rule alone; None if the model has to answer."""
    return plan_by_rule(turn, options.edit) if _edits_scores(model) else None


def play_score(model: MuMuModel, turn: Turn, options: GenerationOptions) -> Turn:
    """The turn with its score played as the recording, if the model hears it (`hears_score`)."""
    return replace(turn, audio=model.music_decoder.render(turn.score)) if hears_score(model, turn, options) else turn


# -- after the words ----------------------------------------------------------------------------------------------


def hear_piece(model: MuMuModel, turn: Turn, features: ModalityFeatures | None = None) -> Attributes | None:
    """What the model hears the turn's piece as: the caption of its answer to a request that changes nothing; None if it writes none.

    features: of the turn's media, if they are encoded already.
    """
    *_, (rows, _) = generate_text(model, [replace(turn, text=NO_CHANGE, system="", score=None)], GenerationOptions(), features)
    return read_caption(rows[0].text(), 0)


def holds_text(turn: Turn, options: GenerationOptions) -> bool:
    """Whether the reply's text waits until the edit is known, so that what was streamed is what the reply says."""
    return options.music and (turn.score is not None or options.edit is not None)


def edit_events(model: MuMuModel, row: RowState, turn: Turn, options: GenerationOptions, plan: PlannedEdit) -> Iterator[Event]:
    """The text of the reply, the edited music of a row, chunk by chunk, and its `Done`; no music for an edit that changes nothing."""
    yield TextDelta(plan.text)
    if not plan.makes_music:
        row.finish = "stop"
        yield Done(row.reply(None, None, plan.report, plan.text))
        return
    decoder, chunks = model.music_decoder, list[Tensor]()
    music = decoder.synthesize(edit_request(model, row, turn, options, plan))
    while True:
        try:
            chunks.append(next(music)[0].float().cpu())
        except StopIteration as end:
            scores: list[Score] | None = end.value
            break
        yield MusicChunk(Waveform(chunks[-1], decoder.sample_rate))
    sound, score = Waveform(torch.cat(chunks, -1), decoder.sample_rate), scores[0] if scores else None
    yield Done(row.reply(sound, score, plan.report, plan.text))


def composes_nothing(model: MuMuModel, plan: PlannedEdit) -> bool:
    """Whether the edit is one of notes by rule alone."""
    return isinstance(plan.source, Score) and _edits_scores(model) and not plan.edit.composed_parts(plan.source)


def edit_request(model: MuMuModel, row: RowState, turn: Turn, options: GenerationOptions, plan: PlannedEdit) -> SynthesisRequest:
    """What the decoder makes the edited music of a row from."""
    condition, mask = _edit_condition(model, row, turn, options, plan)
    return model.music_decoder.request(
        condition, edited_seconds(plan.edit, plan.source) if isinstance(plan.source, Waveform) else plan.source.seconds,
        mask=mask, guidance=options.guidance, seeds=[options.seed], source=plan.source, edit=plan.edit,
    )  # fmt: skip


def _edit_condition(
    model: MuMuModel, row: RowState, turn: Turn, options: GenerationOptions, plan: PlannedEdit
) -> tuple[Tensor, Tensor | None]:
    """The condition of what the edit composes: as for a new piece if the answer describes it, or else the caption of the edited piece."""
    decoder, source = model.music_decoder, plan.source
    if composes_nothing(model, plan):
        return torch.zeros(1, *decoder.condition_shape), None
    if isinstance(source, Score) and _edits_scores(model) and not plan.agrees:
        return decoder.embed([write_caption(edited_attributes(source, plan.edit))])
    if row.finish == "music":
        return condition_for(model, [row], [turn], options)
    return decoder.embed([row.text() or turn.text])
