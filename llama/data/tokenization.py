"""Tokenization of an example: the token ids that the model reads, and the labels that it is trained on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from llama.data.examples import Example
from llama.dialogue import format_prompt
from llama.modules.losses import IGNORE
from llama.modules.tokenizer import MARK_PATTERN, Tokenizer

STARTS = ("\n", "#", ".", "=", "a")  # prefixes that isolate the tokens of an answer (see `_continuation`)


@dataclass(frozen=True)
class TokenizedExample:
    """An example with its token ids and, at equal positions, the labels to predict."""

    example: Example
    tokens: tuple[int, ...]
    labels: tuple[int, ...]  # IGNORE on the prompt; the end of the sequence is a label


def tokenize_example(tokenizer: Tokenizer, example: Example, max_tokens: int) -> TokenizedExample:
    """Token ids: prompt, answer, the eight audio tokens if music is to be generated, end of sequence; at most `max_tokens`.

    A longer example has the end of its instruction or answer cut off: of the longer one, and of both once each takes
    half of the space. The prompt's template, the audio tokens and the end are kept; `ValueError` if these do not fit.
    """
    music = example.caption is not None
    ending = [*(tokenizer.audio_tokens if music else ()), tokenizer.eos]
    space, answer = separator(example), _without_marks(example.answer)
    frame = format_prompt("")
    least = len(tokenizer.encode(frame)) + len(_continuation(tokenizer, frame, space)) + len(ending)
    if least > max_tokens:
        raise ValueError(f"max_tokens is {max_tokens}, but the form of a prompt and the end of an answer take {least}; give more.")
    prompt = format_prompt(example.instruction)
    head, rest = tokenizer.encode(prompt), _continuation(tokenizer, prompt, answer + space)
    if len(head) + len(rest) + len(ending) > max_tokens:
        prompt, answer = _shorten(tokenizer, example.instruction, answer, space, max_tokens - len(ending))
        head, rest = tokenizer.encode(prompt), _continuation(tokenizer, prompt, answer + space)
    targets = [*rest, *ending]
    return TokenizedExample(example, (*head, *targets), (*[IGNORE] * len(head), *targets))


def separator(example: Example) -> str:
    """Text between the answer and the audio tokens, as in the published training texts: "" where a caption alone is
    turned into music (stage 2), a space after an answer to an instruction (stage 3)."""
    return "" if example.caption is None or example.instruction == example.answer == example.caption else " "


def _without_marks(answer: str) -> str:
    """The answer without audio tokens, which some lists spell out; `tokenize_example` appends them once, and for music only."""
    return MARK_PATTERN.sub("", answer).rstrip() if MARK_PATTERN.search(answer) else answer


def _continuation(tokenizer: Tokenizer, prompt: str, text: str) -> list[int]:
    """Token ids of `text` after `prompt`: those of both texts encoded together, as the published training did.

    Where a token spans the boundary ("):"), the model would be trained to continue from tokens that no prompt ends with.
    The text is then encoded after another prefix whose boundary no token spans.
    """
    joined, head = tokenizer.encode(prompt + text), tokenizer.encode(prompt)
    if joined[: len(head)] == head:
        return joined[len(head) :]
    for start in STARTS:
        before, both = tokenizer.encode(start), tokenizer.encode(start + text)
        rest = both[len(before) :]
        if both[: len(before)] == before and tokenizer.decode([*head, *rest]) == tokenizer.decode(joined):
            return rest
    raise ValueError(f"The answer {text[:40]!r} cannot be told apart from the prompt with this tokenizer; use LLaMA's.")


def _shorten(tokenizer: Tokenizer, instruction: str, answer: str, space: str, limit: int) -> tuple[str, str]:
    """(prompt, answer) of at most `limit` tokens together. Texts are cut, not ids, so no character is split."""
    frame = len(tokenizer.encode(format_prompt("")))
    needed = len(_continuation(tokenizer, format_prompt(""), answer + space))
    most = limit - min(needed, (limit - frame) // 2)
    most = max(frame, min(most, limit - len(_continuation(tokenizer, format_prompt(""), space))))
    prompt = format_prompt(_cut(instruction, most, lambda text: len(tokenizer.encode(format_prompt(text)))))
    left = limit - len(tokenizer.encode(prompt))
    return prompt, _cut(answer, left, lambda text: len(_continuation(tokenizer, prompt, text + space)))


def _cut(text: str, most: int, size: Callable[[str], int]) -> str:
    """The longest prefix of `text`, found by bisection, whose size is at most `most`."""
    if size(text) <= most:
        return text
    return text[: bisect_right(range(len(text)), most, lo=1, key=lambda end: size(text[:end].rstrip())) - 1].rstrip()
