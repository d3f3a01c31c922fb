"""A row: the tokens that a model reads of an example, and which of them it learns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from llama.data.examples import Example
from llama.dialogue import format_prompt
from llama.modules.losses import IGNORE
from llama.modules.tokenizer import MARK_PATTERN, Tokenizer

STARTS = ("\n", "#", ".", "=", "a")  # texts that an answer is written behind to find its pieces (see `_continuation`)


@dataclass(frozen=True)
class TokenizedExample:
    example: Example
    tokens: tuple[int, ...]
    labels: tuple[int, ...]  # IGNORE on the prompt; the end of the sequence is learned


def tokenize_example(tokenizer: Tokenizer, example: Example, max_tokens: int) -> TokenizedExample:
    """Prompt, answer, the eight audio tokens where music is to be made, end of sequence: at most `max_tokens` ids.

    What is too long loses the end of its instruction or answer: the longer of the two, and both once each has half of
    the room. The prompt's form, the audio tokens and the end stay; `ValueError` where not even these fit.
    """
    music = example.caption is not None
    ending = [*(tokenizer.audio_tokens if music else ()), tokenizer.eos]
    space, said = joint(example), _without_marks(example.answer)
    frame = format_prompt("")
    least = len(tokenizer.encode(frame)) + len(_continuation(tokenizer, frame, space)) + len(ending)
    if least > max_tokens:
        raise ValueError(f"max_tokens is {max_tokens}, but the form of a prompt and the end of an answer take {least}; give more.")
    prompt = format_prompt(example.instruction)
    head, rest = tokenizer.encode(prompt), _continuation(tokenizer, prompt, said + space)
    if len(head) + len(rest) + len(ending) > max_tokens:
        prompt, said = _shortened(tokenizer, example.instruction, said, space, max_tokens - len(ending))
        head, rest = tokenizer.encode(prompt), _continuation(tokenizer, prompt, said + space)
    learned = [*rest, *ending]
    return TokenizedExample(example, (*head, *learned), (*[IGNORE] * len(head), *learned))


def joint(example: Example) -> str:
    """What stands between the answer and the audio tokens in the published training texts: nothing where a caption
    alone is turned into music (stage 2), a space behind an answer to an instruction (stage 3)."""
    return "" if example.caption is None or example.instruction == example.answer == example.caption else " "


def _without_marks(answer: str) -> str:
    """Some lists have the audio tokens written out in their answers; a row gets them once, and only to make music."""
    return MARK_PATTERN.sub("", answer).rstrip() if MARK_PATTERN.search(answer) else answer


def _continuation(tokenizer: Tokenizer, prompt: str, text: str) -> list[int]:
    """Ids of `text` behind `prompt`: those that the two have together, as the published training texts.

    Where a piece reaches over the boundary ("):"), the model would have to go on from pieces that no prompt ends with.
    The text is then taken from behind another start, which no piece reaches over.
    """
    whole, head = tokenizer.encode(prompt + text), tokenizer.encode(prompt)
    if whole[: len(head)] == head:
        return whole[len(head) :]
    for start in STARTS:
        before, both = tokenizer.encode(start), tokenizer.encode(start + text)
        rest = both[len(before) :]
        if both[: len(before)] == before and tokenizer.decode([*head, *rest]) == tokenizer.decode(whole):
            return rest
    raise ValueError(f"The answer {text[:40]!r} cannot be told apart from the prompt with this tokenizer; use LLaMA's.")


def _shortened(tokenizer: Tokenizer, instruction: str, said: str, space: str, room: int) -> tuple[str, str]:
    """(prompt, answer) that take at most `room` tokens together. Texts are cut, not ids: no character is cut in two."""
    frame = len(tokenizer.encode(format_prompt("")))
    wanted = len(_continuation(tokenizer, format_prompt(""), said + space))
    most = room - min(wanted, (room - frame) // 2)
    most = max(frame, min(most, room - len(_continuation(tokenizer, format_prompt(""), space))))
    prompt = format_prompt(_cut(instruction, most, lambda text: len(tokenizer.encode(format_prompt(text)))))
    left = room - len(tokenizer.encode(prompt))
    return prompt, _cut(said, left, lambda text: len(_continuation(tokenizer, prompt, text + space)))


def _cut(text: str, most: int, size: Callable[[str], int]) -> str:
    """The longest beginning of `text` found whose size is at most `most`."""
    if size(text) <= most:
        return text
    return text[: bisect_right(range(len(text)), most, lo=1, key=lambda end: size(text[:end].rstrip())) - 1].rstrip()
