"""The metrics of the published evaluation code with their faults, so that their figures can be told from right ones.

Nobody can compare with the paper's numbers by right code alone. Every table shows these under a name with "(published code)", beside
the metric that is meant; the arithmetic is that of the public scripts, the code is ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from llama.errors import importing
from llama.evaluation.text_metrics import UNIFORM, rouge_l_score

SUFFIX = " (published code)"
TEXT_FAULTS = {
    f"B-U{SUFFIX}": "counts characters where words are due, so that any two English sentences are alike",
    f"ROUGE-L{SUFFIX}": "is the recall, which a longer answer raises",
    f"BERTScore{SUFFIX}": "is the recall, too",
}


def bleu_u_of_characters(answer: str, references: Sequence[str]) -> float:
    """B-U as published: whole strings are given where lists of words are due, so its n-grams are of characters, unsmoothed."""
    with importing("nltk", "eval"):
        from nltk.translate.bleu_score import sentence_bleu
    if not answer or not references:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk's advice to smooth
        return float(sentence_bleu(list(references), answer, UNIFORM))


def rouge_l_recall(answer: str, references: Sequence[str]) -> float:
    """ROUGE-L as published: the recall alone, with stems; the best of several references."""
    return max((float(rouge_l_score(answer, reference).recall) for reference in references), default=0.0)


def clap_score(audio: np.ndarray, text: np.ndarray) -> np.ndarray:
    """The CLAP score as published, of embeddings [files, width] of sound and text: [width] values instead of one.

    The cosine is taken along the first dimension of a batch of one, which gives the sign of each product; each file replaces the sum
    of those before it, and the last one is divided by the number of files.
    """
    if audio.shape != text.shape or not len(audio):
        raise ValueError(f"The embeddings have shapes {audio.shape} and {text.shape}; give one of each for every file.")
    total = np.zeros(audio.shape[1])
    for sound, words in zip(audio[:, None], text[:, None], strict=True):
        norms = np.linalg.norm(sound, axis=0) * np.linalg.norm(words, axis=0)
        total = (sound * words).sum(axis=0) / np.maximum(norms, 1e-8)
    return total / len(audio)


def ranks(scores: Sequence[float]) -> list[int]:
    """The rank of each system as published: the order that sorts the scores, from the highest, plus one.

    Place i of that order names the system of rank i + 1, not the rank of system i: wrong in 2 of the 6 orders of three systems.
    """
    return [int(place) + 1 for place in np.argsort(-np.asarray(scores, float), kind="stable")]
