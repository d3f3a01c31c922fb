"""Generation: from turns to replies. Prefill and decoding over one cache, then the music; text and music stream as events.

`stream` yields the events of one turn; `respond` collects those of a batch into replies.
Legend: B rows, T positions, D the LLaMA's width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from llama.config import AUDIO_TOKENS, MAX_MUSIC_SECONDS
from llama.decoders.base import NO_EDITS, ScoreEditor
from llama.dialogue import STOP_MARK, Reply, Turn, format_prompt
from llama.errors import quoted
from llama.media.audio import Waveform
from llama.media.captions import stated_edit
from llama.media.edit import Edit, EditReport, apply_edit, report_edit
from llama.modules.kv_cache import KVCache
from llama.modules.output_projector import CONDITION_SCALE

if TYPE_CHECKING:
    from llama.decoders.base import AudioGenerator
    from llama.media.score import Score
    from llama.mumu_model import ModalityFeatures, MuMuModel


NO_DECODER = "This model was loaded without a music decoder; load it with music_decoder='musicgen' or 'audioldm2'."
MAX_STOPS = 4  # as in OpenAI's API
MAX_STOP_LENGTH = 200  # characters: after each token the text is compared with every beginning of every stop string


@dataclass(frozen=True)
class GenerationOptions:
    """Sampling parameters of a reply. Values out of range raise ValueError with one sentence that names them.

    max_tokens: limit on text and audio tokens together. temperature: 0 is greedy. top_p: nucleus of sampling.
    seconds: exact length of the music. guidance: scale of classifier-free guidance (None: the decoder's default).
    seed: of the text and the music. conditioning: "hidden" conditions the decoder on the projected hidden states,
    "caption" on the text of the answer. stop: strings that end the answer; its text ends before the first of them.
    edit: of `Turn.score`: the music is that piece with the edit, made in any case and as long as the edit leaves it. Without one
    the edit is the difference between the piece and the one that the answer announces.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 0.8
    seconds: float = 10.0
    guidance: float | None = None
    seed: int = 0
    conditioning: Literal["hidden", "caption"] = "hidden"
    music: bool = True  # False: text only, no music is made
    stop: tuple[str, ...] = ()
    edit: Edit | None = None

    def __post_init__(self) -> None:
        _check_integer("max_tokens", self.max_tokens, 1, 100_000)
        _check_integer("seed", self.seed, 0, 2**63 - 1)
        _check_number("temperature", self.temperature, 0, 10)
        _check_number("top_p", self.top_p, 0, 1)
        _check_number("seconds", self.seconds, 0.1, MAX_MUSIC_SECONDS)
        if self.guidance is not None:
            _check_number("guidance", self.guidance, 0, 50)
        if self.conditioning not in ("hidden", "caption"):
            raise ValueError(f"conditioning {quoted(self.conditioning)} is unknown; use 'hidden' or 'caption'.")
        _check_stop(self.stop)
        if self.edit is not None and not isinstance(self.edit, Edit):
            raise ValueError(f"edit was given as {type(self.edit).__name__}; give an Edit, such as Edit(change={{'tempo': 120}}).")
        if self.edit is not None and not self.music:
            raise ValueError("An edit makes music, but music is turned off; turn it on or leave the edit out.")


def _check_number(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} {quoted(value)} is out of range; give a number from {low:g} to {high:g}.")


def _check_integer(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} {quoted(value)} is out of range; give a whole number from {low} to {high}.")


def _check_stop(strings: tuple[str, ...]) -> None:
    if not isinstance(strings, tuple) or not all(isinstance(string, str) and string for string in strings):
        raise ValueError("stop holds something other than strings with characters; give strings, such as (\"\\n\",).")
    if len(strings) > MAX_STOPS:
        raise ValueError(f"stop has {len(strings)} strings, at most {MAX_STOPS} are taken; give fewer.")
    if max(map(len, strings), default=0) > MAX_STOP_LENGTH:
        raise ValueError(f"stop has a string of more than {MAX_STOP_LENGTH} characters; give shorter ones.")


@dataclass(frozen=True)
class TextDelta:
    """New text of the answer, to be appended to the text so far."""

    text: str


@dataclass(frozen=True)
class MusicChunk:
    """New sound, to be appended to the sound so far."""

    music: Waveform


@dataclass(frozen=True)
class Progress:
    """Progress of the music, in seconds of its playing time. Only `llama.serving.engine` sends it."""

    seconds: float  # made so far
    total_seconds: float


@dataclass(frozen=True)
class Done:
    """Last event: the complete reply."""

    reply: Reply


Event = TextDelta | MusicChunk | Progress | Done


# -- tokens -------------------------------------------------------------------------------------------------------


def sample_top_p(probabilities: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Nucleus sampling (arXiv 1904.09751), [B, V] -> [B, 1]: drops tokens whose more likely ones already exceed p."""
    filtered, order = top_p_filter(probabilities, p)
    return order.gather(-1, torch.multinomial(filtered, 1, generator=generator))


def top_p_filter(probabilities: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Sorted, filtered and renormalised probabilities [B, V], and the order that sorted them."""
    descending, order = probabilities.sort(dim=-1, descending=True)
    nucleus = descending.masked_fill(descending.cumsum(dim=-1) - descending > p, 0.0)
    return nucleus / nucleus.sum(dim=-1, keepdim=True), order


@dataclass(frozen=True)
class Step:
    """One decoding step: tokens [B], the hidden states that predicted them [B, D] (before the final norm), logits [B, V]."""

    tokens: Tensor
    hidden: Tensor
    logits: Tensor


def decode(
    model: MuMuModel, prompts: Sequence[Sequence[int]], features: ModalityFeatures | None, limit: int, options: GenerationOptions
) -> Iterator[Step]:
    """Prefills all rows, left-padded and masked, then decodes one token of each row a step, for up to `limit` steps."""
    tokens, start = pad_left(prompts, model.device)
    capacity = tokens.shape[1] + limit
    cache = KVCache.empty(model.config.llama, len(prompts), capacity, device=model.device, dtype=model.dtype, start=start)
    # One generator a row, so that its answer does not depend on the other rows.
    generators = [torch.Generator().manual_seed(options.seed) for _ in prompts]
    for _ in range(limit):
        with torch.no_grad():
            output = model(tokens, features, cache, last_only=True)
        logits = output.logits[:, -1].float()
        tokens = sample_next_token(logits, options, generators)
        yield Step(tokens[:, 0], output.hidden[:, -1], logits)


def sample_next_token(logits: Tensor, options: GenerationOptions, generators: Sequence[torch.Generator]) -> Tensor:
    """Logits [B, V] -> the next token of each row, [B, 1]; greedy at temperature 0, otherwise by nucleus sampling."""
    if options.temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    probabilities = (logits / options.temperature).softmax(dim=-1).cpu()
    tokens = [sample_top_p(row[None], options.top_p, generator) for row, generator in zip(probabilities, generators, strict=True)]
    return torch.cat(tokens).to(logits.device)


def pad_left(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token lists -> [B, T] padded on the left, and each row's first real column [B]."""
    width = max(len(prompt) for prompt in prompts)
    tokens = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    return tokens, torch.tensor([width - len(prompt) for prompt in prompts], device=device)


# -- text ---------------------------------------------------------------------------------------------------------


@dataclass
class RowState:
    """State of one row while its text is decoded: the tokens so far, and whether and why it has ended."""

    model: MuMuModel
    limit: int  # maximum number of tokens
    stop: tuple[str, ...] = ()  # strings that end the text, beside the template's stop mark
    tokens: list[int] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)  # hidden states [D] of the consecutive audio tokens so far
    finish: Literal["stop", "length", "music"] | None = None
    decoded: str = ""  # the text of all tokens so far, without audio tokens
    emitted: int = 0  # number of characters that `delta` has returned

    def append(self, token: int, hidden: Tensor) -> None:
        """Appends the next token. hidden [D]: the state that predicted it."""
        if token == self.model.tokenizer.eos:
            self.finish = "stop"
            return
        self.tokens.append(token)
        self.decoded = self.model.tokenizer.decode(self.tokens, skip_special=True)
        self._track_audio_tokens(token, hidden)
        if len(self.states) == AUDIO_TOKENS:
            self.finish = "music"
        elif self._stop_index() is not None:
            self.finish = "stop"
        elif len(self.tokens) == self.limit:
            self.finish = "length"

    def _track_audio_tokens(self, token: int, hidden: Tensor) -> None:
        audio_tokens = self.model.tokenizer.audio_tokens
        if token == audio_tokens[len(self.states)]:
            self.states.append(hidden)
        else:  # out of order: start over, at this token if it is the first audio token
            self.states = [hidden] if token == audio_tokens[0] else []

    def text(self) -> str:
        """The answer so far, up to the first stop mark or stop string."""
        return self.decoded[: self._stop_index()].strip()

    def _stop_index(self) -> int | None:
        """Where the first stop mark or stop string begins; None if there is none. Blanks before the answer are no part of it."""
        start = len(self.decoded) - len(self.decoded.lstrip())
        found = [self.decoded.find(STOP_MARK), *(self.decoded.find(string, start) for string in self.stop)]
        return min((index for index in found if index >= 0), default=None)

    def delta(self) -> str:
        """The text that was not returned yet. What may be the start of a stop string or of a character waits for later tokens."""
        text = self.text()
        if self.finish is None:
            text = self.decoded.lstrip().rstrip("\ufffd")
            text = text[: len(text) - _partial_stop(text, self.stop)].rstrip("#").rstrip()
        delta, self.emitted = text[self.emitted :], max(self.emitted, len(text))
        return delta

    def reply(self, music: Waveform | None, score: Score | None, edit: EditReport | None = None) -> Reply:
        """The complete reply of a row that has ended."""
        assert self.finish is not None, "the row has not ended"
        return Reply(self.text(), tuple(self.tokens), music, self.finish, score, edit)


def _partial_stop(text: str, stop: Sequence[str]) -> int:
    """Length of the longest end of the text that is the beginning of a stop string."""
    return max((size for string in stop for size in range(1, len(string)) if text.endswith(string[:size])), default=0)


def tokenize(model: MuMuModel, turns: Sequence[Turn]) -> list[list[int]]:
    """The prompt of each turn as token ids. Raises ValueError if one fills the context, or the model has no tokenizer."""
    if model.tokenizer is None:
        raise ValueError("This model was loaded without a tokenizer; load it with llama_dir naming a folder with tokenizer.model.")
    limit = model.config.llama.max_seq_len
    prompts = [model.tokenizer.encode(format_prompt(turn.text)) for turn in turns]
    longest = max(len(prompt) for prompt in prompts)
    if longest >= limit:
        raise ValueError(f"The prompt has {longest} tokens, the model reads at most {limit - 1}; shorten the text.")
    return prompts


def generate_text(
    model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions, features: ModalityFeatures | None = None
) -> Iterator[tuple[list[RowState], list[int]]]:
    """Decodes until every row has ended; after each step yields all rows and the indices of those that got a token.

    features: of the turns' media, if they are encoded already, as for several questions about one recording.
    """
    prompts = tokenize(model, turns)
    if features is None:
        with torch.no_grad():
            features = model.encode(turns)
    context = model.config.llama.max_seq_len
    rows = [RowState(model, min(options.max_tokens, context - len(prompt)), options.stop) for prompt in prompts]
    for step in decode(model, prompts, features, max(row.limit for row in rows), options):
        active = [index for index, row in enumerate(rows) if row.finish is None]
        for index in active:
            rows[index].append(int(step.tokens[index]), step.hidden[index])
        yield rows, active
        if all(row.finish is not None for row in rows):
            return


# -- music --------------------------------------------------------------------------------------------------------


def condition_for(
    model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], options: GenerationOptions
) -> tuple[Tensor, Tensor | None]:
    """The music decoder's condition [B, tokens, width] on the scale of its text encoder, and its mask [B, tokens] or None.

    Raises ValueError if the model has no music decoder.
    """
    if model.music_decoder is None:
        raise ValueError(NO_DECODER)
    if options.conditioning == "caption":
        return model.music_decoder.embed([row.text() or turn.text for row, turn in zip(rows, turns, strict=True)])
    hidden = torch.stack([torch.stack(row.states) for row in rows])
    with torch.no_grad():
        projected = model.project(hidden, model.audio_token_embeddings(len(rows)))
    return projected / CONDITION_SCALE, None


def decode_music(model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], options: GenerationOptions) -> AudioGenerator:
    """Music of rows that ended in audio tokens, in chunks [B, channels, n]; returns a score a row if the decoder has notes."""
    condition, mask = condition_for(model, rows, turns, options)
    seeds = [options.seed] * len(rows)
    decoder = model.music_decoder
    request = decoder.request(condition, options.seconds, mask=mask, guidance=options.guidance, seeds=seeds)
    return (yield from decoder.synthesize(request))


# -- edits --------------------------------------------------------------------------------------------------------


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
    """The edited music of a row, as one chunk, and its `Done`."""
    music, score = edit_score(model, row, turn, options)
    yield MusicChunk(music)
    yield Done(row.reply(music, score, report_edit(*_source_and_edit(turn, options))))


def edit_score(model: MuMuModel, row: RowState, turn: Turn, options: GenerationOptions) -> tuple[Waveform, Score]:
    """The turn's piece with the edit, and its notes."""
    decoder, (source, edit) = model.music_decoder, _source_and_edit(turn, options)
    condition, mask = _edit_condition(model, row, turn, options)
    request = decoder.request(
        condition, source.seconds, mask=mask, guidance=options.guidance, seeds=[options.seed], source=source, edit=edit
    )
    sound, scores = collect(decoder.synthesize(request))
    return Waveform(sound[0].float().cpu(), decoder.sample_rate), scores[0]


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


def collect(music: AudioGenerator) -> tuple[Tensor, list[Score]]:
    """All chunks as one sound [B, channels, n], and the scores of a symbolic decoder."""
    chunks = []
    while True:
        try:
            chunks.append(next(music))
        except StopIteration as end:
            return torch.cat(chunks, -1), end.value or []


# -- events -------------------------------------------------------------------------------------------------------


def events(model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions | None) -> Iterator[tuple[int, Event]]:
    """(row index, event): the text of all rows as it is decoded, then the music of those that end in music, then each `Done`."""
    options = options or GenerationOptions()
    for turn in turns:
        if not isinstance(turn, Turn):
            raise ValueError(f"A request was given as {type(turn).__name__}; give Turn(text), with its recording, picture or clip.")
    check_edits(model, turns, options)
    turns = [play_score(model, turn, options) for turn in turns]
    for rows, active in generate_text(model, turns, options):
        for index in active:
            if delta := rows[index].delta():
                yield index, TextDelta(delta)
    edits = {index: edit for index, turn in enumerate(turns) if (edit := edit_for(rows[index], turn, options)) is not None}
    musical = [index for index, row in enumerate(rows) if row.finish == "music" and index not in edits] if options.music else []
    results = (yield from stream_music(model, rows, turns, musical, options)) if musical else {}
    for index, row in enumerate(rows):
        if index in edits:
            yield from ((index, event) for event in edit_events(model, row, turns[index], replace(options, edit=edits[index])))
        else:
            yield index, Done(row.reply(*results.get(index, (None, None))))


def stream_music(
    model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], indices: Sequence[int], options: GenerationOptions
) -> Generator[tuple[int, Event], None, dict[int, tuple[Waveform, Score | None]]]:
    """Yields the music of the rows at `indices`, chunk by chunk; returns the complete music of each, and its score or None."""
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
