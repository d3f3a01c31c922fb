"""BERTScore (Zhang et al. 2020): likeness of the embeddings of an answer's and a reference's tokens, by bert-score."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llama.errors import importing

ADVICE = "give --bert a folder with config.json, weights and tokenizer, such as one of roberta-large, or a hub name"
UNUSED_KEYS = re.compile(r"(^|\.)pooler\.")  # no token's embedding depends on the pooler, and masked language models lack it
# Layers whose embeddings agree best with people, as bert-score has them, by kind of model and number of layers.
BEST_LAYERS = {("roberta", 24): 17, ("roberta", 12): 10, ("bert", 24): 18, ("bert", 12): 9, ("xlm-roberta", 24): 17, ("xlm-roberta", 12): 9}


@dataclass(frozen=True)
class BertScores:
    """Scores [answers] of the best reference each; precision, recall and F1 may be of different references, as in bert-score."""

    precision: list[float]
    recall: list[float]
    f1: list[float]


class BertScorer:
    """A model of token embeddings with its tokenizer. `description` names both, and the layer."""

    def __init__(self, model: Any, tokenizer: Any, description: str, device: torch.device | str = "cpu") -> None:
        self._model, self._tokenizer, self._device = model.to(device).eval(), tokenizer, device
        self.description = description

    @classmethod
    def from_folder(cls, path: str | Path, layers: int | None = None, device: torch.device | str = "cpu") -> BertScorer:
        """Loads a folder or a hub name, its first `layers` alone (None: those that bert-score takes for this size).

        Raises FileNotFoundError where nothing lies there, ValueError for weights that are not complete: transformers would fill them
        with random ones, and scores would look as good as any.
        """
        from llama.hf import check_report, library_errors, suppress_hf_logging

        if Path(path).is_file() or (Path(path).is_absolute() and not Path(path).exists()):
            raise FileNotFoundError(f"There is no folder {path}; {ADVICE}.")
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        with suppress_hf_logging(), library_errors("the model of BERTScore", path, ADVICE):
            config = AutoConfig.from_pretrained(str(path))
            config.num_hidden_layers = _layers(path, config, layers)
            model, report = AutoModel.from_pretrained(str(path), config=config, dtype=torch.float32, output_loading_info=True,
                                                      ignore_mismatched_sizes=True)
            check_report("bert", "--bert", report, UNUSED_KEYS)
            tokenizer = AutoTokenizer.from_pretrained(str(path))
        tokenizer.model_max_length = min(tokenizer.model_max_length, _longest(config))  # else bert-score asks for 10**30 tokens
        return cls(model, tokenizer, f"{Path(path).name}, layer {config.num_hidden_layers}", device)

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]], batch_size: int = 64) -> BertScores:
        """Scores of answers, each with one or more references; an answer or a reference without words scores 0."""
        pairs = [(place, answer, text) for place, (answer, texts) in enumerate(zip(answers, references, strict=True)) for text in texts
                 if answer.strip() and text.strip()]  # fmt: skip
        best = torch.zeros(len(answers), 3)
        if pairs:
            values = self._pairs([answer for _, answer, _ in pairs], [text for _, _, text in pairs], batch_size)
            for place, value in zip((place for place, _, _ in pairs), values, strict=True):
                best[place] = torch.maximum(best[place], value)
        precision, recall, f1 = best.T.tolist()
        return BertScores(precision, recall, f1)

    def _pairs(self, answers: list[str], references: list[str], batch_size: int) -> torch.Tensor:
        """Precision, recall and F1 of pairs, [pairs, 3]."""
        with importing("bert-score", "eval"):
            from bert_score.utils import bert_cos_score_idf
        weights = defaultdict(lambda: 1.0, {self._tokenizer.sep_token_id: 0.0, self._tokenizer.cls_token_id: 0.0})
        options = {"device": self._device, "batch_size": batch_size}
        return bert_cos_score_idf(self._model, references, answers, self._tokenizer, weights, **options).cpu()


def _layers(path: str | Path, config: Any, layers: int | None) -> int:
    deepest = config.num_hidden_layers
    if layers is None:
        layers = BEST_LAYERS.get((config.model_type, deepest))
    if layers is None or not 1 <= layers <= deepest:
        given = "is not known" if layers is None else f"is {layers}"
        raise ValueError(f"the layer {given}, and there are {deepest}; give --bert_layers a number from 1 to {deepest}")
    return layers


def _longest(config: Any) -> int:
    """Tokens that the model takes; RoBERTa's positions begin after that of padding."""
    offset = (config.pad_token_id or 0) + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return config.max_position_embeddings - offset
