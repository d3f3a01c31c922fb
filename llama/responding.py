"""From turns to replies: text and music stream as events, new pieces in batches, edits one by one.

`stream` yields the events of one turn; `respond` collects those of a batch into replies.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llama.answers import answer_by_rule
from llama.dialogue import Reply, Turn
from llama.edit_plans import plan_edit
from llama.editing import (
    check_edits,
    edit_events,
    edits_recording,
    hear_piece,
    holds_text,
    load_recording,
    plan_exact_edit,
    play_score,
    read_turn,
)
from llama.generation import (
    Done,
    Event,
    GenerationOptions,
    MusicChunk,
    RowState,
    TextDelta,
    decode_music,
    generate_text,
)
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from llama.media.score import Score
    from llama.mumu_model import MuMuModel


def events(model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions | None) -> Iterator[tuple[int, Event]]:
    """(row index, event): the text of all rows as it is decoded, then the music of those that end in music, then each `Done`."""
    options = options or GenerationOptions()
    for turn in turns:
        if not isinstance(turn, Turn):
            raise ValueError(f"A request was given as {type(turn).__name__}; give Turn(text), with its recording, picture or clip.")
    turns = [read_turn(turn) for turn in turns]
    check_edits(model, turns, options)
    turns = [load_recording(model, turn, options) if edits_recording(model, turn, options) else turn for turn in turns]
    answers = {index: answer for index, turn in enumerate(turns) if (answer := answer_by_rule(model, turn, options)) is not None}
    given = turns  # an edit may be to play notes that have no sound yet
    exact = {index: plan for index, turn in enumerate(turns) if (plan := plan_exact_edit(model, turn, options)) is not None}
    turns = [turn if index in {*answers, *exact} else play_score(model, turn, options) for index, turn in enumerate(turns)]
    rows = yield from stream_text(model, turns, options, answers, {index: plan.text for index, plan in exact.items()})
    planned = {
        index: plan_edit(row, given[index], options, partial(hear_piece, model, turns[index]))
        for index, row in enumerate(rows) if index not in {*answers, *exact}
    }  # fmt: skip
    plans = exact | {index: plan for index, plan in planned.items() if plan is not None}
    for index, row in enumerate(rows):  # text that was held back and is the model's own
        if index not in plans and (delta := row.delta()):
            yield index, TextDelta(delta)
    musical = [index for index, row in enumerate(rows) if row.finish == "music" and index not in plans] if options.music else []
    results: dict[int, tuple[Waveform, Score | None]] = {}
    if musical:
        results = yield from stream_music(model, rows, turns, musical, options)
    for index, row in enumerate(rows):
        if index in plans:
            yield from ((index, event) for event in edit_events(model, row, turns[index], options, plans[index]))
        else:
            yield index, Done(row.reply(*results.get(index, (None, None))))


def stream_text(
    model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions, answers: Mapping[int, str], edits: Mapping[int, str]
) -> Generator[tuple[int, Event], None, list[RowState]]:
    """Yields the text of all rows, but for what waits until its edit is known; returns the rows, which have ended.

    answers: of rows that the model need not answer; edits: texts of those whose edit it need not hear, which come with their music.
    """
    known = {**answers, **edits}
    rows = {index: RowState(model, options.max_tokens, options.stop) for index in known}
    for index, text in known.items():
        rows[index].say(text)
        if index in answers and (delta := rows[index].delta()):
            yield index, TextDelta(delta)
    asked = [index for index in range(len(turns)) if index not in known]
    if asked:
        for decoded, active in generate_text(model, [turns[index] for index in asked], options):
            rows |= zip(asked, decoded, strict=True)
            for index in (asked[position] for position in active):
                if not holds_text(turns[index], options) and (delta := rows[index].delta()):
                    yield index, TextDelta(delta)
    return [rows[index] for index in range(len(turns))]


def stream_music(
    model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], indices: Sequence[int], options: GenerationOptions
) -> Generator[tuple[int, Event], None, dict[int, tuple[Waveform, Score | None]]]:
    """Yields the music of the rows at `indices`, chunk by chunk; returns the complete music of each, and its score or None.

    Pieces whose length is given in bars have lengths of their own, and are made one after the other.
    """
    if options.bar_count is not None and len(indices) > 1:
        results: dict[int, tuple[Waveform, Score | None]] = {}
        for index in indices:
            results |= yield from stream_music(model, rows, turns, [index], options)
        return results
    music = decode_music(model, [rows[index] for index in indices], [turns[index] for index in indices], options)
    chunks: list[Tensor] = []
    while True:
        try:
            chunk = next(music)
        except StopIteration as end:
            scores: list[Score] | None = end.value
            break
        chunks.append(chunk)
        for position, index in enumerate(indices):
            yield index, MusicChunk(Waveform(chunk[position].float().cpu(), model.music_decoder.sample_rate))
    sound = torch.cat(chunks, dim=-1).float().cpu()
    sample_rate = model.music_decoder.sample_rate
    return {
        index: (Waveform(sound[position], sample_rate), scores[position] if scores else None)
        for position, index in enumerate(indices)
    }


def stream(model: MuMuModel, turn: Turn, options: GenerationOptions | None = None) -> Iterator[Event]:
    """The events of one turn: `TextDelta`s, then `MusicChunk`s, then one `Done`."""
    for _, event in events(model, [turn], options):
        yield event


def respond(model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions | None = None) -> list[Reply]:
    """The reply to each turn, in order; [] without turns."""
    if not turns:
        return []
    replies = {index: event.reply for index, event in events(model, turns, options) if isinstance(event, Done)}
    return [replies[index] for index in range(len(turns))]
