"""Generation: the text of turns by prefill and decoding over one cache, and the condition of their music.

`llama.responding` makes events and replies of it. Legend: B rows, T positions, D the LLaMA's width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from llama.config import AUDIO_TOKENS, MAX_MUSIC_SECONDS
from llama.dialogue import STOP_MARK, Reply, Turn, format_prompt
from llama.errors import quoted
from llama.media.answer_checks import may_be_unasked_instrument, without_unasked_instrument
from llama.media.audio import Waveform
from llama.media.edit import MAX_BARS, Edit
from llama.media.edit_report import EditReport
from llama.media.requests.reader import language_text
from llama.media.score import Score
from llama.modules.kv_cache import KVCache
from llama.modules.output_projector import CONDITION_SCALE

if TYPE_CHECKING:
    from llama.decoders.base import AudioGenerator, SynthesisRequest
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
    bar_count: length of a new piece in bars before its ending, in place of seconds; an edit has its own.
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
    bar_count: int | None = None

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
        if self.bar_count is not None:
            _check_integer("bar_count", self.bar_count, 1, MAX_BARS)
            if self.edit is not None:
                raise ValueError("bar_count is the length of a new piece, but an edit was given; give the edit's own bar_count.")


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
    request: str = ""  # the text that is answered
    tokens: list[int] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)  # hidden states [D] of the consecutive audio tokens so far
    finish: Literal["stop", "length", "music"] | None = None
    decoded: str = ""  # the text of all tokens so far, without audio tokens
    emitted: int = 0  # number of characters that `delta` has returned

    def say(self, text: str) -> None:
        """Ends the row with a text that is known without the model, cut where its limit of tokens or a stop string is."""
        tokenizer = self.model.tokenizer
        tokens = [] if tokenizer is None else [token for token in tokenizer.encode(text) if token != tokenizer.bos]
        self.tokens, self.decoded, self.finish = tokens[: self.limit], text, "stop"
        if len(tokens) > self.limit:
            self.decoded, self.finish = tokenizer.decode(self.tokens, skip_special=True), "length"

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
        """The answer so far, up to the first stop mark or string, without sentences about instruments that the request does not name."""
        return without_unasked_instrument(self.decoded[: self._stop_index()].strip(), self.request)

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
            text = "" if may_be_unasked_instrument(text) else without_unasked_instrument(text, self.request)
        delta, self.emitted = text[self.emitted :], max(self.emitted, len(text))
        return delta

    def reply(self, music: Waveform | None, score: Score | None, edit: EditReport | None = None, text: str | None = None) -> Reply:
        """The complete reply of a row that has ended. text: what it says, if not the decoded text."""
        assert self.finish is not None, "the row has not ended"
        return Reply(self.text() if text is None else text, tuple(self.tokens), music, self.finish, score, edit)


def _partial_stop(text: str, stop: Sequence[str]) -> int:
    """Length of the longest end of the text that is the beginning of a stop string."""
    return max((size for string in stop for size in range(1, len(string)) if text.endswith(string[:size])), default=0)


def tokenize(model: MuMuModel, turns: Sequence[Turn]) -> list[list[int]]:
    """The prompt of each turn as token ids: its system text, and its text, of an edit what the grammar of requests leaves to the model.

    Raises ValueError if one fills the context, or the model has no tokenizer.
    """
    if model.tokenizer is None:
        raise ValueError("This model was loaded without a tokenizer; load it with llama_dir naming a folder with tokenizer.model.")
    limit = model.config.llama.max_seq_len
    texts = [language_text(turn.text, turn.score) if isinstance(turn.score, Score) else turn.text for turn in turns]
    instructions = ["\n".join(filter(None, (turn.system, text))) for turn, text in zip(turns, texts, strict=True)]
    prompts = [model.tokenizer.encode(format_prompt(instruction)) for instruction in instructions]
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
    limits = [min(options.max_tokens, context - len(prompt)) for prompt in prompts]
    rows = [RowState(model, limit, options.stop, turn.text) for limit, turn in zip(limits, turns, strict=True)]
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
    request = music_request(model, rows, turns, options)
    return (yield from model.music_decoder.synthesize(request))


def music_request(
    model: MuMuModel, rows: Sequence[RowState], turns: Sequence[Turn], options: GenerationOptions
) -> SynthesisRequest:
    """What the decoder makes the music of these rows from."""
    condition, mask = condition_for(model, rows, turns, options)
    decoder, seeds = model.music_decoder, [options.seed] * len(rows)
    request = decoder.request(condition, options.seconds, mask=mask, guidance=options.guidance, seeds=seeds)
    if options.bar_count is None:
        return request
    assert len(rows) == 1, "pieces of as many bars have tempi and lengths of their own"
    return replace(request, seconds=decoder.seconds_of_bars(request, options.bar_count))
