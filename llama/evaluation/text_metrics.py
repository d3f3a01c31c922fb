"""Metrics of an answer against references: B-U, METEOR and ROUGE-L of one answer, and BLEU of all.

All are from 0 to 1, and an empty answer has 0. Of several references the best counts; BLEU of a corpus counts matches with any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from llama.errors import importing
from llama.evaluation.synonyms import NoSynonyms

Metric = Callable[[str, Sequence[str]], float]
UNIFORM = (0.25, 0.25, 0.25, 0.25)  # weights of one to four words in a row


def words(text: str) -> list[str]:
    """Words and runs of punctuation in lower case, as nltk's wordpunct_tokenize splits them; it needs no data to be fetched."""
    with importing("nltk", "eval"):
        from nltk.tokenize import wordpunct_tokenize
    return wordpunct_tokenize(text.lower())


def bleu_u(answer: str, references: Sequence[str]) -> float:
    """B-U: BLEU of one answer over words, one to four in a row weighing a quarter each (Papineni et al. 2002).

    A count of 0 becomes 0.1 (method 1 of Chen and Cherry 2014, nltk), or nearly every short answer would have 0. The published code
    gives characters where words are due: see `published_metrics`.
    """
    with importing("nltk", "eval"):
        from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    smoothing = SmoothingFunction().method1
    return _best(answer, references, lambda reference: sentence_bleu([words(reference)], words(answer), UNIFORM, smoothing))


def meteor(answer: str, references: Sequence[str], wordnet: Any = None) -> float:
    """METEOR (Banerjee and Lavie 2005) by nltk: words that are equal, of one stem or, with a `wordnet`, synonyms.

    Without `wordnet` it is "METEOR without synonyms": nltk brings no WordNet and would fetch it. With one, nltk looks up the stems of
    words, so that those whose stem is no word (melody: melodi) find no synonym.
    """
    with importing("nltk", "eval"):
        from nltk.translate.meteor_score import single_meteor_score
    synonyms = NoSynonyms() if wordnet is None else wordnet
    return _best(answer, references, lambda reference: single_meteor_score(words(reference), words(answer), wordnet=synonyms))


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """ROUGE-L F1 (Lin 2004) by rouge-score, with stems: the longest common subsequence of words.

    rouge-score knows the letters a to z and digits alone. The published code takes the recall: see `published_metrics`.
    """
    return _best(answer, references, lambda reference: rouge_l_score(answer, reference).fmeasure)


def rouge_l_score(answer: str, reference: str) -> Any:
    """Precision, recall and F1 (`fmeasure`) of ROUGE-L with stems."""
    return _rouge_scorer().score(reference, answer)["rougeL"]


@lru_cache(maxsize=1)
def _rouge_scorer() -> Any:
    with importing("rouge-score", "eval"):
        from rouge_score.rouge_scorer import RougeScorer
    return RougeScorer(["rougeL"], use_stemmer=True)


def _best(answer: str, references: Sequence[str], score: Callable[[str], float]) -> float:
    return float(max(map(score, references))) if answer.strip() and references else 0.0


class CorpusBleu:
    """BLEU of a corpus by sacrebleu (Post 2018), whose `signature` says how it splits and smooths."""

    def __init__(self) -> None:
        with importing("sacrebleu", "eval"):
            from sacrebleu.metrics import BLEU
        self._bleu = BLEU()

    def counts(self, answer: str, references: Sequence[str]) -> np.ndarray:
        """Matches [4], n-grams [4], length and reference length of one answer; the sum of rows is that of the corpus."""
        score = self._bleu.corpus_score([answer.strip()], [[reference] for reference in references])
        return np.array([*score.counts, *score.totals, score.sys_len, score.ref_len])

    def score(self, counts: np.ndarray) -> float:
        """BLEU from 0 to 1 of the rows of `counts`, [answers, 10]."""
        total = [int(value) for value in counts.sum(0)]
        return self._bleu.compute_bleu(total[:4], total[4:8], total[8], total[9], smooth_method=self._bleu.smooth_method).score / 100

    def signature(self, references: int | None) -> str:
        """sacrebleu's signature; references: how many every answer has, None where that differs."""
        streams: Any = [["a", "a"]] * references if references else [["a", "a"], ["a", None]]
        self._bleu.corpus_score(["a", "a"], streams)
        return str(self._bleu.get_signature())
