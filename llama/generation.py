"""From turns to replies: prefill and decode over one cache, text and sound as events, the simple call a fold over them.

Legend: B rows, T positions, D the LLaMA's width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from llama.config import AUDIO_TOKENS
from llama.dialogue import STOP_MARK, Reply, Turn, format_prompt
from llama.media.audio import Waveform
from llama.modules.kv_cache import KVCache
from llama.modules.output_projector import CONDITION_SCALE

if TYPE_CHECKING:
    from llama.decoders.base import AudioGenerator
    from llama.media.score import Score
    from llama.mumu_model import ModalityFeatures, MuMuModel

MAX_SECONDS = 600.0


@dataclass(frozen=True)
class GenerationOptions:
    """How to answer. Contradictions are refused here, once, each in one sentence (ValueError).

    max_tokens: words and audio tokens together. temperature 0 is greedy. seconds: length of a piece, exact.
    guidance: how strictly the decoder follows its condition (None: the decoder's own). seed: of words and sound.
    conditioning: "hidden" drives the decoder by the projected hidden states, "caption" by the answer's words.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 0.8
    seconds: float = 10.0
    guidance: float | None = None
    seed: int = 0
    conditioning: Literal["hidden", "caption"] = "hidden"
    music: bool = True  # False: words only, a piece is not rendered

    def __post_init__(self) -> None:
        _check_integer("max_tokens", self.max_tokens, 1, 100_000)
        _check_integer("seed", self.seed, 0, 2**63 - 1)
        _check_number("temperature", self.temperature, 0, 10)
        _check_number("top_p", self.top_p, 0, 1)
        _check_number("seconds", self.seconds, 0.1, MAX_SECONDS)
        if self.guidance is not None:
            _check_number("guidance", self.guidance, 0, 50)
        if self.conditioning not in ("hidden", "caption"):
            raise ValueError(f"conditioning {self.conditioning!r} is unknown; use 'hidden' or 'caption'.")


def _check_number(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} {value!r} is out of range; give a number from {low:g} to {high:g}.")


def _check_integer(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} {value!r} is out of range; give a whole number from {low} to {high}.")


@dataclass(frozen=True)
class TextDelta:
    text: str


@dataclass(frozen=True)
class MusicChunk:
    music: Waveform


@dataclass(frozen=True)
class Progress:
    """How much of a piece is made, both in its seconds; told by `llama.serving.engine`."""

    made: float
    total: float


@dataclass(frozen=True)
class Done:
    reply: Reply


Event = TextDelta | MusicChunk | Progress | Done


# -- tokens -----------------------------------------------------------------------------------------------------


def sample_top_p(probabilities: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """[B, V] -> [B, 1]: nucleus sampling (arXiv 1904.09751); drops tokens whose more likely ones already exceed p."""
    kept, order = top_p_filter(probabilities, p)
    return order.gather(-1, torch.multinomial(kept, 1, generator=generator))


def top_p_filter(probabilities: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Sorted, filtered and renormalised probabilities [B, V], and the order that sorted them."""
    ranked, order = probabilities.sort(dim=-1, descending=True)
    ranked = ranked.masked_fill(ranked.cumsum(dim=-1) - ranked > p, 0.0)
    return ranked / ranked.sum(dim=-1, keepdim=True), order


@dataclass(frozen=True)
class Step:
    """One decoded column: tokens [B], the state that predicted each [B, D] (before the final norm), logits [B, V]."""

    tokens: Tensor
    hidden: Tensor
    logits: Tensor


def decode(
    model: MuMuModel, prompts: Sequence[Sequence[int]], features: ModalityFeatures | None, limit: int, options: GenerationOptions
) -> Iterator[Step]:
    """Prefill all rows, left-padded and masked, then one token a row and step, up to `limit` steps."""
    tokens, start = pad_left(prompts, model.device)
    capacity = tokens.shape[1] + limit
    cache = KVCache.empty(model.config.llama, len(prompts), capacity, device=model.device, dtype=model.dtype, start=start)
    # Each row draws from its own generator, so that its answer does not depend on its neighbours.
    generators = [torch.Generator().manual_seed(options.seed) for _ in prompts]
    for _ in range(limit):
        with torch.no_grad():
            output = model(tokens, features, cache, last_only=True)
        logits = output.logits[:, -1].float()
        tokens = sample_next_token(logits, options, generators)
        yield Step(tokens[:, 0], output.hidden[:, -1], logits)


def sample_next_token(logits: Tensor, options: GenerationOptions, generators: Sequence[torch.Generator]) -> Tensor:
    """The next token of each row, [B, 1]."""
    if options.temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    probabilities = (logits / options.temperature).softmax(dim=-1).cpu()
    drawn = [sample_top_p(row[None], options.top_p, one) for row, one in zip(probabilities, generators, strict=True)]
    return torch.cat(drawn).to(logits.device)


def pad_left(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token lists -> [B, T] padded on the left, and each row's first real column [B]."""
    width = max(len(prompt) for prompt in prompts)
    tokens = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    return tokens, torch.tensor([width - len(prompt) for prompt in prompts], device=device)


# -- words ------------------------------------------------------------------------------------------------------


@dataclass
class RowState:
    """What one row has said so far, and whether and why it has ended."""

    model: MuMuModel
    limit: int  # tokens at most
    tokens: list[int] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)  # of the audio tokens in an unbroken row
    finish: Literal["stop", "length", "music"] | None = None
    words: str = ""  # the text so far, without audio marks
    sent: int = 0  # characters already handed out

    def take(self, token: int, hidden: Tensor) -> None:
        """Takes the next token and the state [D] that predicted it."""
        if token == self.model.tokenizer.eos:
            self.finish = "stop"
            return
        self.tokens.append(token)
        self.words = self.model.tokenizer.decode(self.tokens, skip_special=True)
        self._follow_audio(token, hidden)
        if len(self.states) == AUDIO_TOKENS:
            self.finish = "music"
        elif STOP_MARK in self.words:
            self.finish = "stop"
        elif len(self.tokens) == self.limit:
            self.finish = "length"

    def _follow_audio(self, token: int, hidden: Tensor) -> None:
        marks = self.model.tokenizer.audio_tokens
        if token == marks[len(self.states)]:
            self.states.append(hidden)
        else:  # the row is broken; a first mark begins a new one
            self.states = [hidden] if token == marks[0] else []

    def text(self) -> str:
        return self.words.split(STOP_MARK)[0].strip()

    def delta(self) -> str:
        """Text not handed out yet. Held back until the end: what may grow into a stop mark or a whole character."""
        text = self.text()
        if self.finish is None:
            text = self.words.lstrip().rstrip("\ufffd").rstrip("#").rstrip()
        new, self.sent = text[self.sent :], max(self.sent, len(text))
        return new


def tokenize(model: MuMuModel, turns: Sequence[Turn]) -> list[list[int]]:
    """Each turn's prompt as ids. Raises ValueError where a prompt leaves no room in the context, or nothing can read it."""
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
    """Decodes until every row has ended; yields all rows, and which of them were still writing in this step.

    `features`: of the turns' media, where they are known already, as when several questions are asked about one recording.
    """
    prompts = tokenize(model, turns)
    if features is None:
        with torch.no_grad():
            features = model.encode(turns)
    room = model.config.llama.max_seq_len
    rows = [RowState(model, min(options.max_tokens, room - len(prompt))) for prompt in prompts]
    for step in decode(model, prompts, features, max(row.limit for row in rows), options):
        writing = [index for index, row in enumerate(rows) if row.finish is None]
        for index in writing:
            rows[index].take(int(step.tokens[index]), step.hidden[index])
        yield rows, writing
        if all(row.finish is not None for row in rows):
            return


# -- music ------------------------------------------------------------------------------------------------------


def condition_for(
    model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], options: GenerationOptions
) -> tuple[Tensor, Tensor | None]:
    """The decoder's condition [B, tokens, width] on its own scale, and its mask or None."""
    if model.music_decoder is None:
        raise ValueError("This model was loaded without a music decoder; load it with music_decoder='musicgen' or 'audioldm2'.")
    if options.conditioning == "caption":
        return model.music_decoder.embed([row.text() or turn.text for row, turn in zip(rows, turns, strict=True)])
    hidden = torch.stack([torch.stack(row.states) for row in rows])
    with torch.no_grad():
        projected = model.project(hidden, model.audio_token_embeddings(len(rows)))
    return projected / CONDITION_SCALE, None


def decode_music(model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], options: GenerationOptions) -> AudioGenerator:
    """Sound for rows that ended in music, in chunks [B, channels, n]; returns their scores if the decoder has notes."""
    condition, mask = condition_for(model, rows, turns, options)
    seeds = [options.seed] * len(rows)
    sound = model.music_decoder.synthesize(condition, options.seconds, mask=mask, guidance=options.guidance, seeds=seeds)
    return (yield from sound)


# -- events -----------------------------------------------------------------------------------------------------


def events(model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions | None) -> Iterator[tuple[int, Event]]:
    """(row, event): every row's words as they are written, then the sound of all that end in music, then each `Done`."""
    options = options or GenerationOptions()
    for rows, writing in generate_text(model, turns, options):
        for index in writing:
            if delta := rows[index].delta():
                yield index, TextDelta(delta)
    playing = [index for index, row in enumerate(rows) if row.finish == "music"] if options.music else []
    made = yield from stream_music(model, rows, turns, playing, options) if playing else ()
    for index, row in enumerate(rows):
        music, score = (made or {}).get(index, (None, None))
        yield index, Done(Reply(row.text(), tuple(row.tokens), music, row.finish, score))


def stream_music(
    model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], playing: Sequence[int], options: GenerationOptions
) -> Generator[tuple[int, Event], None, dict[int, tuple[Waveform, Score | None]]]:
    """The sound of the rows in `playing`, chunk by chunk; returns the whole of each, and its notes if there are any."""
    sound = decode_music(model, [rows[index] for index in playing], [turns[index] for index in playing], options)
    chunks: list[Tensor] = []
    scores: list[Score] | None = None
    while True:
        try:
            chunk = next(sound)
        except StopIteration as end:
            scores = end.value
            break
        chunks.append(chunk)
        for place, index in enumerate(playing):
            yield index, MusicChunk(Waveform(chunk[place].float().cpu(), model.music_decoder.sample_rate))
    whole = torch.cat(chunks, dim=-1).float().cpu()
    rate = model.music_decoder.sample_rate
    return {index: (Waveform(whole[place], rate), scores[place] if scores else None) for place, index in enumerate(playing)}


def stream(model: MuMuModel, turn: Turn, options: GenerationOptions | None = None) -> Iterator[Event]:
    """`TextDelta`s, then `MusicChunk`s, then one `Done`."""
    for _, event in events(model, [turn], options):
        yield event


def respond(model: MuMuModel, turns: Sequence[Turn], options: GenerationOptions | None = None) -> list[Reply]:
    """One reply a turn, in order: the fold of their events."""
    if not turns:
        return []
    done = {row: event.reply for row, event in events(model, turns, options) if isinstance(event, Done)}
    return [done[row] for row in range(len(turns))]
