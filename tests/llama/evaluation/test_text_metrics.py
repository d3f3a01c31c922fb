"""Metrics of texts: three sentences by pencil, the libraries of reference, and the faults of the published code."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.meteor_score import meteor_score
from rouge_score.rouge_scorer import RougeScorer
from scipy.stats import rankdata

from llama.evaluation import published_metrics
from llama.evaluation.synonyms import NoSynonyms, read_wordnet
from llama.evaluation.text_metrics import CorpusBleu, Metric, bleu_u, meteor, rouge_l, words

ANSWERS = ["the drums play fast", "a sad song", "a piano"]
REFERENCES = ["fast drums play loudly", "a sad song", "loud trumpets"]

# By pencil, first pair. Words: drums, play, fast of 4 match: 3/4. Pairs: "drums play" of 3: 1/3. Threes 0 of 2, fours 0 of 1, which
# become 0.1/2 and 0.1/1. (3/4 * 1/3 * 0.1/2 * 0.1)^(1/4) = 0.00125^(1/4) = 0.18803; lengths are equal, so no brevity penalty.
# Second: 3/3, 2/2, 1/1 and no four words: nltk counts 0 of 1: (1 * 1 * 1 * 0.1)^(1/4) = 0.56234.
# Third: 0 of 2 words, 0 of 1, and none: (0.1/2 * 0.1 * 0.1 * 0.1)^(1/4) = 0.08409; nltk gives 0 where no word matches at all.
BLEU_BY_PENCIL = [0.18803, 0.56234, 0.0]

# METEOR, first pair: 3 matches of 4 and 4: P = R = F = 3/4. In the answer's order they are places 1, 2, 0 of the reference: two
# chunks (drums play | fast). Penalty 0.5 * (2/3)^3 = 0.14815; 0.75 * 0.85185 = 0.63889.
# Second: F = 1, one chunk of 3: penalty 0.5 * (1/3)^3 = 0.01852: 0.98148. Third: no match.
METEOR_BY_PENCIL = [0.63889, 0.98148, 0.0]

# ROUGE-L, first pair: the longest common subsequence is "drums play": P = R = 2/4. Second: all. Third: nothing.
ROUGE_BY_PENCIL = [0.5, 1.0, 0.0]


PENCIL = [(bleu_u, BLEU_BY_PENCIL), (meteor, METEOR_BY_PENCIL), (rouge_l, ROUGE_BY_PENCIL)]


@pytest.mark.parametrize(("metric", "values"), PENCIL, ids=["bleu", "meteor", "rouge"])
def test_three_sentences_by_pencil(metric: Metric, values: list[float]) -> None:
    assert [metric(answer, [text]) for answer, text in zip(ANSWERS, REFERENCES, strict=True)] == pytest.approx(values, abs=1e-5)


def test_corpus_bleu_by_pencil() -> None:
    """Words 3+3+0 of 4+3+2, pairs 1+2+0 of 3+2+1, threes 0+1+0 of 2+1, fours 0 of 1, which "exp" makes 1/2 of 1; 9 words against 9.

    (6/9 * 3/6 * 1/3 * 1/2)^(1/4) = (1/18)^(1/4) = 0.48549.
    """
    bleu = CorpusBleu()
    counts = np.array([bleu.counts(answer, [text]) for answer, text in zip(ANSWERS, REFERENCES, strict=True)])
    assert counts.sum(0).tolist() == [6, 3, 1, 0, 9, 6, 3, 1, 9, 9]
    assert bleu.score(counts) == pytest.approx((1 / 18) ** 0.25, abs=1e-6)
    assert bleu.score(counts) == pytest.approx(sacrebleu.corpus_bleu(ANSWERS, [REFERENCES]).score / 100)
    several = [["a sad tune", "the sad song"], ["a slow piano"]]
    counts = np.array([bleu.counts(answer, texts) for answer, texts in zip(ANSWERS[1:], several, strict=True)])
    streams = [["a sad tune", "a slow piano"], ["the sad song", None]]
    assert bleu.score(counts) == pytest.approx(sacrebleu.corpus_bleu(ANSWERS[1:], streams).score / 100)
    assert bleu.signature(1).startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:") and "nrefs:var" in bleu.signature(None)


def test_metrics_equal_the_libraries() -> None:
    answer, reference = "The song's drums, they played quickly!", "The drummers of this song play quickly."
    smoothing, stems = SmoothingFunction().method1, RougeScorer(["rougeL"], use_stemmer=True)
    assert words(answer) == ["the", "song", "'", "s", "drums", ",", "they", "played", "quickly", "!"]
    assert bleu_u(answer, [reference]) == sentence_bleu([words(reference)], words(answer), (0.25,) * 4, smoothing)
    assert meteor(answer, [reference]) == meteor_score([words(reference)], words(answer), wordnet=NoSynonyms()) > 0
    assert rouge_l(answer, [reference]) == stems.score(reference, answer)["rougeL"].fmeasure > 0


@pytest.mark.parametrize("metric", [bleu_u, meteor, rouge_l, published_metrics.bleu_u_of_characters, published_metrics.rouge_l_recall])
def test_empty_answers_score_nothing_and_the_best_reference_counts(metric: Metric) -> None:
    assert metric("", ["a song"]) == 0.0
    several = [metric("a sad song", [text]) for text in ("a sad tune", "drums")]
    assert several[0] > several[1] and metric("a sad song", ["drums", "a sad tune"]) == pytest.approx(several[0])


def write_wordnet(folder: Path) -> None:
    """A WordNet of one set of synonyms: music and song."""
    folder.mkdir()
    (folder / "lexnames").write_text("00\tadj.all\t3\n01\tnoun.all\t1\n")
    for kind in ("noun", "verb", "adj", "adv"):
        for name in (f"data.{kind}", f"index.{kind}", f"{kind}.exc"):
            (folder / name).write_text("")
    (folder / "data.noun").write_text("00000000 01 n 02 music 0 song 0 000 | sounds in order  \n")
    (folder / "index.noun").write_text("music n 1 0 1 0 00000000  \nsong n 1 0 1 0 00000000  \n")


def test_synonyms_come_from_a_folder(tmp_path: Path) -> None:
    write_wordnet(tmp_path / "wordnet")
    with_synonyms = meteor("the music", ["the song"], read_wordnet(tmp_path / "wordnet"))
    assert meteor("the music", ["the song"]) < with_synonyms == meteor("a b", ["a b"])
    with pytest.raises(FileNotFoundError, match="There is no folder .*--wordnet"):
        read_wordnet(tmp_path / "missing")
    (tmp_path / "wordnet/data.noun").unlink()
    with pytest.raises(FileNotFoundError, match="Cannot load WordNet from .*data.noun.*--wordnet"):
        read_wordnet(tmp_path / "wordnet")
    (tmp_path / "wordnet/index.noun").write_text("music n many\n")
    with pytest.raises(ValueError, match="Cannot load WordNet from .*index.noun.*--wordnet"):
        read_wordnet(tmp_path / "wordnet")


# -- the published code -----------------------------------------------------------------------------------------

CAPTIONS = [
    "The music is a slow and calm piano piece with a sad mood.",
    "This is an energetic rock song with electric guitar and loud drums.",
    "A jazz trio plays at a moderate tempo with saxophone, double bass and brushes.",
    "The track has a steady electronic beat with deep synthesizer bass.",
    "A female voice sings a folk melody over acoustic guitar.",
    "An orchestra plays a dramatic and tense theme with brass and strings.",
]
SHIFTED = CAPTIONS[1:] + CAPTIONS[:1]


def mean_score(metric: Metric, answers: list[str]) -> float:
    return float(np.mean([metric(answer, [text]) for answer, text in zip(answers, CAPTIONS, strict=True)]))


def test_published_bleu_finds_captions_of_other_recordings_alike() -> None:
    """Captions of other recordings: 0.2 to 0.3 over characters, next to nothing over words."""
    assert 0.2 < mean_score(published_metrics.bleu_u_of_characters, SHIFTED) < 0.35
    assert mean_score(bleu_u, SHIFTED) < 0.06
    assert mean_score(bleu_u, CAPTIONS) == pytest.approx(1) == mean_score(published_metrics.bleu_u_of_characters, CAPTIONS)


def test_published_rouge_rises_when_two_wrong_answers_are_joined() -> None:
    joined = [f"{one} {other}" for one, other in zip(SHIFTED, CAPTIONS[2:] + CAPTIONS[:2], strict=True)]
    assert mean_score(published_metrics.rouge_l_recall, joined) > 1.2 * mean_score(published_metrics.rouge_l_recall, SHIFTED)
    assert mean_score(rouge_l, joined) < mean_score(rouge_l, SHIFTED)


def test_published_clap_score_is_signs_of_the_last_file() -> None:
    generator = np.random.default_rng(0)
    sound, text = generator.normal(size=(2, 5, 8))
    scores = published_metrics.clap_score(sound, text)
    assert scores.shape == (8,) and np.allclose(scores, np.sign(sound[-1] * text[-1]) / 5)
    with pytest.raises(ValueError, match="one of each for every file"):
        published_metrics.clap_score(sound, text[:4])


def test_published_rank_is_wrong_in_two_of_six_orders() -> None:
    orders = list(permutations([0.1, 0.2, 0.3]))
    right = [rankdata([-score for score in order]).tolist() for order in orders]
    wrong = [order for order, rank in zip(orders, right, strict=True) if published_metrics.ranks(order) != rank]
    assert wrong == [(0.1, 0.3, 0.2), (0.2, 0.1, 0.3)]
