"""Trains the tokenizer: a SentencePiece BPE with byte fallback in LLaMA's layout, on the text of the dialogues.

    python -m recipes.nano.language.tokenizer OUT/tokenizer.model --sentences 120000 --pieces 2400
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sentencepiece

from DataSet.synthesis import clips, dialogues, habits, scenes
from DataSet.synthesis.captions import caption
from DataSet.synthesis.dialogue import AUDIO_TOKENS
from llama.dialogue import PROMPT

# Each line of the prompt's frame is one piece: a handful instead of thirty, which saves a third of training.
FRAME = tuple(line for line in PROMPT.replace("{instruction}", "").split("\n") if line)


def sentences(count: int, seed: int = 5) -> Iterator[str]:
    """Instructions, answers and captions of every kind, with held-out wording too: a vocabulary does not leak answers."""
    rng = np.random.default_rng(seed)
    for _ in range(count // 2):
        held_out = bool(rng.random() < 0.15)
        kind = int(rng.integers(10))
        piece = dialogues.random_piece(rng)
        if kind < 3:
            dialogue = dialogues.hear(rng, piece, held_out)
        elif kind == 9:
            dialogue = dialogues.nothing(rng, str(rng.choice(dialogues.NOT_MUSIC)), held_out)
        elif kind < 5:
            dialogue = dialogues.wish(rng, held_out)
        elif kind == 5:
            dialogue = dialogues.edit(rng, piece, held_out)
        elif kind == 6:
            dialogue = dialogues.picture(rng, scenes.random_scene(rng).labels(), held_out)
        elif kind == 7:
            dialogue = dialogues.clip(rng, clips.random_clip(rng).labels(), held_out)
        else:
            dialogue = dialogues.talk(rng, held_out)
        yield habits.as_typed(rng, dialogue.instruction).replace("\n", " ") or caption(rng, piece)
        yield dialogue.answer.replace(AUDIO_TOKENS, "").strip()


def train(out: Path, count: int, pieces: int) -> int:
    """Writes the tokenizer model and returns its size, which is below `pieces` where the text has fewer."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        text = Path(folder) / "sentences.txt"
        text.write_text("\n".join(sentences(count)) + "\n")
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(Path(folder) / "m"), model_type="bpe", vocab_size=pieces, hard_vocab_limit=False,
            byte_fallback=True, character_coverage=1.0, split_digits=True, normalization_rule_name="identity",
            remove_extra_whitespaces=False, add_dummy_prefix=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
            user_defined_symbols=[line.replace(" ", "\u2581") for line in FRAME], max_sentence_length=8000, num_threads=1, minloglevel=1,
            required_chars="".join(map(chr, range(33, 127))),
        )
        os.replace(Path(folder) / "m.model", out)  # sentencepiece writes two files under names that it chooses
    return int(sentencepiece.SentencePieceProcessor(model_file=str(out)).get_piece_size())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, default=120_000)
    parser.add_argument("--pieces", type=int, default=2400)
    options = parser.parse_args()
    print(f"{options.out}: {train(options.out, options.sentences, options.pieces)} pieces")


if __name__ == "__main__":
    main()
