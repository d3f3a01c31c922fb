"""BERTScore by a tiny random RoBERTa with a BPE trained on two sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from bert_score import BERTScorer
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaTokenizerFast

import evaluate
from llama.evaluation.answer_file import ANSWERS, Answer
from llama.evaluation.bertscore import BertScorer
from llama.evaluation.tables import Measurement, table_from_json

SENTENCES = ["a calm piano melody over soft strings", "fast drums with a loud guitar"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("roberta")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.model.save(str(path))
    saved = RobertaTokenizerFast(vocab=str(path / "vocab.json"), merges=str(path / "merges.txt"))
    saved.save_pretrained(path)
    torch.manual_seed(0)
    config = RobertaConfig(vocab_size=len(saved), hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
                           max_position_embeddings=40, pad_token_id=1, bos_token_id=0, eos_token_id=2)  # fmt: skip
    RobertaForMaskedLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def scorer(folder: Path) -> BertScorer:
    return BertScorer.from_folder(folder, 2)


def test_equal_sentences_have_f1_of_one(scorer: BertScorer) -> None:
    scores = scorer.score([*SENTENCES, "", "drums"], [[SENTENCES[0]], ["a loud guitar", SENTENCES[1]], ["a guitar"], [" "]])
    assert scores.f1 == pytest.approx([1, 1, 0, 0], abs=1e-5)
    assert scorer.description.endswith("layer 2")


def test_order_and_size_of_batches_do_not_matter(scorer: BertScorer) -> None:
    answers = ["a calm piano", "loud drums with strings", "a guitar", "fast"]
    references = [["soft strings"], ["fast drums", "a piano"], ["a loud guitar"], ["a calm melody over soft strings"]]
    forward, backward = scorer.score(answers, references), scorer.score(answers[::-1], references[::-1], batch_size=1)
    assert forward.f1 == pytest.approx(backward.f1[::-1], abs=1e-5) and forward.recall == pytest.approx(backward.recall[::-1], abs=1e-5)
    assert scorer.score([], []).f1 == []


def test_scores_are_those_of_bert_score(scorer: BertScorer, folder: Path) -> None:
    answers, references = ["a calm piano", "loud drums"], [["soft strings"], ["fast drums", "a guitar"]]
    reference = BERTScorer(model_type=str(folder), num_layers=2, device="cpu")
    reference._tokenizer.model_max_length = 38  # else bert-score asks this tokenizer for 10**30 tokens
    precision, recall, f1 = reference.score(answers, references)
    ours = scorer.score(answers, references)
    assert ours.precision == pytest.approx(precision.tolist(), abs=1e-6)
    assert ours.recall == pytest.approx(recall.tolist(), abs=1e-6) and ours.f1 == pytest.approx(f1.tolist(), abs=1e-6)


def test_long_answers_are_cut_at_what_the_model_takes(scorer: BertScorer) -> None:
    assert 0 < scorer.score(["fast drums with a loud guitar " * 50], [["fast drums"]]).f1[0] < 1


def test_wrong_folders_and_layers_are_sentences(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no folder .*--bert"):
        BertScorer.from_folder(tmp_path / "missing")
    with pytest.raises(ValueError, match="the layer is not known, and there are 3; give --bert_layers"):
        BertScorer.from_folder(folder)
    with pytest.raises(ValueError, match="the layer is 4, and there are 3"):
        BertScorer.from_folder(folder, 4)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = {name: value for name, value in load_file(folder / "model.safetensors").items() if "layer.1.output.dense" not in name}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="weights lack encoder.layer.1.output.dense.bias"):
        BertScorer.from_folder(tmp_path, 2)


def test_the_command_takes_the_folder(folder: Path, tmp_path: Path) -> None:
    answers = [Answer(f"q{i}", f"r{i}", "musicqa", "own", "Describe it.", text, (SENTENCES[0],)) for i, text in enumerate([*SENTENCES, ""])]
    (tmp_path / ANSWERS).write_text("".join(json.dumps(answer.as_json()) + "\n" for answer in answers))
    bert = ["--bert", str(folder), "--bert_layers", "2", "--device", "cpu"]
    assert evaluate.main(["text", "--answers", str(tmp_path), "--published", *bert]) == 0
    table = table_from_json(json.loads((tmp_path / "text.json").read_text())["tables"][0])
    f1, recall = (table.rows[0].cells[name] for name in ("BERTScore F1", "BERTScore (published code)"))
    assert isinstance(f1, Measurement) and isinstance(recall, Measurement)
    assert 1 / 3 < f1.value < 2 / 3 and 1 / 3 < recall.value < 2 / 3 and f1.value != recall.value
    assert any(note.startswith("BERTScore: ") and note.endswith("layer 2, without rescaling.") for note in table.notes)
