"""A model that answers questions about recordings, as the evaluation asks it: recordings are encoded once, questions in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from llama.dialogue import Turn
from llama.errors import USER_ERRORS
from llama.generation import GenerationOptions, generate_text, tokenize
from llama.media.audio import Waveform
from llama.mumu_model import ModalityFeatures, MuMuModel

DIGEST_BYTES = 1 << 16  # of both ends of each tensor; a fine-tuned model differs in all of its layers
Features = Tensor | None  # [1, P, D]: of one recording; None: no recording


class QuestionModel(Protocol):
    """What answers need of a model. A test, or another system, gives its own."""

    def check(self, with_audio: bool) -> None:
        """Raises ValueError if the model cannot answer at all."""
        ...

    def encode(self, wave: Waveform) -> Features:
        """What the model hears of a recording. Raises ValueError for one that cannot be heard."""
        ...

    def answer(self, questions: Sequence[str], features: Sequence[Features]) -> Sequence[str | Exception]:
        """The answer to each question, or the error for one that cannot be asked, such as a prompt that fills the context."""
        ...


class MuMuQuestionModel:
    """MuMuLLaMA: its answers equal those of `respond` to a turn with the question and the recording."""

    def __init__(self, model: MuMuModel, options: GenerationOptions) -> None:
        self.model, self.options = model, options

    def check(self, with_audio: bool) -> None:
        tokenize(self.model, [Turn("")])
        if with_audio and self.model.mert is None:
            raise ValueError("This model was loaded without its audio encoder, so it hears nothing; load it with mert_path, "
                             "or ask with --controls none,constant.")

    def encode(self, wave: Waveform) -> Features:
        with torch.no_grad():
            return self.model.encode([Turn("", audio=wave)]).audio

    def answer(self, questions: Sequence[str], features: Sequence[Features]) -> Sequence[str | Exception]:
        turns = [Turn(question) for question in questions]
        errors = [self._error(turn) for turn in turns]
        asked = [index for index, error in enumerate(errors) if error is None]
        answers = iter(self._answers([turns[index] for index in asked], [features[index] for index in asked]))
        return [error or next(answers) for error in errors]

    def _error(self, turn: Turn) -> Exception | None:
        try:
            tokenize(self.model, [turn])
        except USER_ERRORS as error:
            return error
        return None

    def _answers(self, turns: Sequence[Turn], features: Sequence[Features]) -> list[str]:
        if not turns:
            return []
        *_, (rows, _) = generate_text(self.model, turns, self.options, joined_features(features))
        return [row.text() for row in rows]


def joined_features(features: Sequence[Features]) -> ModalityFeatures:
    """Features of a batch. A row without a recording gets zeros, as `MuMuModel.encode` gives it, so only the learned query is left."""
    known = next((tensor for tensor in features if tensor is not None), None)
    if known is None:
        return ModalityFeatures()
    return ModalityFeatures(audio=torch.cat([torch.zeros_like(known) if tensor is None else tensor for tensor in features]))


def weights_digest(model: nn.Module) -> str:
    """16 hex digits of the weights' names, shapes, types, and the bytes at both ends of each."""
    checksum = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        checksum.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().reshape(-1)
        count = max(1, DIGEST_BYTES // flat.element_size())
        for part in (flat[:count], flat[-count:]):
            checksum.update(part.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return checksum.hexdigest()[:16]
