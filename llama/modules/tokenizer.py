"""Tokenizer: LLaMA's sentencepiece vocabulary, followed by the eight audio tokens "[AUD0]" ... "[AUD7]".

Text between audio tokens is encoded and decoded segment by segment, each with its own leading space, because the
published weights were trained that way (the legacy behaviour of Hugging Face's slow LLaMA tokenizer).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from llama.config import AUDIO_TOKENS
from llama.files import atomic_path

AUDIO_MARKS = tuple(f"[AUD{index}]" for index in range(AUDIO_TOKENS))
MARK_PATTERN = re.compile("(" + "|".join(map(re.escape, AUDIO_MARKS)) + ")")
SPACE = "\u2581"  # how sentencepiece writes a space inside a piece
FILE_NAME = "tokenizer.model"


class Tokenizer:
    """Converts text to token ids and back.

    `base_vocab` is the size of the sentencepiece vocabulary, `vocab_size` that plus eight; `audio_tokens` are the eight
    ids from `base_vocab` on. Raises FileNotFoundError, or ValueError if the file is not a LLaMA vocabulary.
    """

    def __init__(self, model_path: str | Path) -> None:
        path = Path(model_path)
        if path.is_dir():
            path = path / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(f"There is no tokenizer {path}; give the tokenizer.model that came with LLaMA.")
        self._proto = path.read_bytes()
        self._pieces = _processor(self._proto, path)
        self.base_vocab: int = self._pieces.get_piece_size()
        self.vocab_size: int = self.base_vocab + len(AUDIO_MARKS)
        self.audio_tokens: tuple[int, ...] = tuple(range(self.base_vocab, self.vocab_size))
        self.unk: int = self._pieces.unk_id()
        self.bos: int = self._pieces.bos_id()
        self.eos: int = self._pieces.eos_id()
        self._names = {self.unk: "<unk>", self.bos: "<s>", self.eos: "</s>"}

    @classmethod
    def from_folder(cls, path: str | Path) -> Tokenizer:
        """Load the tokenizer.model at `path`, in the folder `path`, or beside that folder (`LLaMA/tokenizer.model`, `LLaMA/7B`)."""
        path = Path(path)
        candidates = [path] if path.is_file() else [path / FILE_NAME, path.resolve().parent / FILE_NAME]
        for candidate in candidates:
            if candidate.is_file():
                return cls(candidate)
        searched = " nor ".join(map(str, candidates))
        raise FileNotFoundError(f"There is neither {searched}; put LLaMA's tokenizer.model there or give its folder.")

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """Token ids of `text`, with the beginning-of-sequence id first unless `bos` is False; never an end-of-sequence id.

        "<s>", "</s>" and "<unk>" in the text are ordinary characters, so typed text cannot end a sequence.
        """
        ids = [self.bos] if bos else []
        for segment in MARK_PATTERN.split(text):
            if segment in AUDIO_MARKS:
                ids.append(self.base_vocab + AUDIO_MARKS.index(segment))
            elif segment:
                ids += self._pieces.encode(segment)
        return ids

    def decode(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """Text of `ids`. Special tokens are spelled out; an audio token has a space on both sides.

        With `skip_special`: text for display, without special tokens, audio tokens and the spaces around the latter.
        Raises ValueError for an id outside the vocabulary.
        """
        ids = [int(index) for index in ids]
        for index in ids:
            if not 0 <= index < self.vocab_size:
                raise ValueError(f"Token {index} is outside the vocabulary; ids go from 0 to {self.vocab_size - 1}.")
        segments = [(audio, list(group)) for audio, group in groupby(ids, lambda index: index >= self.base_vocab)]
        if skip_special:
            return self._display_text(segments)
        texts: list[str] = []
        for audio, group in segments:
            texts += [AUDIO_MARKS[index - self.base_vocab] for index in group] if audio else [self._raw_text(group)]
        return " ".join(text for text in texts if text)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary to the file `path`, or as tokenizer.model into the existing folder `path`."""
        path = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        with atomic_path(path) as partial:
            partial.write_bytes(self._proto)

    def _raw_text(self, ids: list[int]) -> str:
        """Text of one segment without audio tokens, with special tokens spelled out.

        The first piece loses its space here, and sentencepiece removes one more in front of what follows, as in the text
        of the published training.
        """
        pieces = [self._names.get(index) or self._pieces.id_to_piece(index) for index in ids]
        pieces[0] = pieces[0].removeprefix(SPACE)
        out, run, after_special = "", [], False
        for position, (index, piece) in enumerate(zip(ids, pieces, strict=True)):
            if index not in self._names:
                run.append(piece)
            else:
                gap = " " if position and not after_special else ""
                out, run = out + gap + self._pieces.decode(run) + piece, []
            after_special = index in self._names
        return out + self._pieces.decode(run)

    def _display_text(self, segments: list[tuple[bool, list[int]]]) -> str:
        texts = []
        for position, (audio, group) in enumerate(segments):
            text = "" if audio else self._pieces.decode([index for index in group if index not in self._names])
            text = text.lstrip(" ") if position > 0 else text
            text = text.rstrip(" ") if position < len(segments) - 1 else text
            texts += [text] if text else []
        return " ".join(texts)


def _processor(proto: bytes, path: Path) -> SentencePieceProcessor:
    try:
        pieces = SentencePieceProcessor(model_proto=proto)
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter: its message repeats bytes of the file
        raise ValueError(f"{path} is damaged or no sentencepiece vocabulary; copy LLaMA's tokenizer.model.") from error
    if min(pieces.unk_id(), pieces.bos_id(), pieces.eos_id()) < 0:
        raise ValueError(f"{path} has no <unk>, <s> or </s>; give the tokenizer.model that came with LLaMA.")
    return pieces
