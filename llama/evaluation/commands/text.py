"""`evaluate.py text`: metrics of the answers to open questions, beside answers that hear nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llama.evaluation.commands.answers_input import add_answers_flags, output_folder, read_input
from llama.evaluation.commands.command_flags import add_device_flag, positive

LIBRARIES = ("nltk", "sacrebleu", "rouge-score", "bert-score")


def add_text(commands: Any) -> None:
    text = commands.add_parser("text", help="B-U, BLEU, METEOR, ROUGE-L and BERTScore of answers, own minus swapped")
    add_answers_flags(text, "text.md, text.json and text.png")
    add = text.add_argument
    add("--published", action="store_true", help="also the metrics of the published code, with their faults, so named")
    add("--bert", metavar="FOLDER", help="model of BERTScore: a folder such as one of roberta-large, or a hub name")
    add("--bert_layers", type=positive, metavar="N", help="layer whose embeddings BERTScore compares (default: as bert-score, by size)")
    add_device_flag(text)
    add("--wordnet", type=Path, metavar="FOLDER", help="WordNet's files, for METEOR with synonyms")
    text.set_defaults(run=run_text)


def run_text(values: argparse.Namespace) -> int:
    from llama.evaluation.run_record import result_meta
    from llama.evaluation.tables import write_tables
    from llama.evaluation.text_table import TextMetrics, text_tables
    from llama.files import check_writable

    answers, folder = read_input(values), output_folder(values)
    check_writable(folder / "text.json", parents=True)
    metrics = TextMetrics(values.published, _wordnet(values.wordnet), _bert(values))
    notes = {"answers": str(values.answers), "texts": str(values.texts) if values.texts else None, "bert": values.bert}
    print(write_tables(folder, "text", text_tables(answers, metrics), result_meta(notes, *LIBRARIES)), end="")
    return 0


def _wordnet(folder: Path | None) -> Any:
    from llama.evaluation.synonyms import read_wordnet

    return None if folder is None else read_wordnet(folder)


def _bert(values: argparse.Namespace) -> Any:
    if values.bert is None:
        if values.bert_layers is not None or values.device is not None:
            raise ValueError("--bert_layers and --device are of BERTScore's model; give its folder to --bert, too.")
        return None
    from llama.device import choose_device
    from llama.evaluation.bertscore import BertScorer

    return BertScorer.from_folder(values.bert, values.bert_layers, choose_device(values.device))
