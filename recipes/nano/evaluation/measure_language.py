"""Measures how well the language model follows the wording: greedy answers with ideal audio features.

    python -m recipes.nano.evaluation.measure_language WORK --count 200

WORK holds tokenizer.model and a language.pt of the stage "words" (with ideal features only the language is measured).
Three sets of wording: frames of training, held-out frames, and paraphrases written by hand (paraphrases.json).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DataSet.synthesis import dialogues, lore, questions
from DataSet.synthesis.composer import is_held_out
from DataSet.synthesis.dialogue import Dialogue
from DataSet.synthesis.stated_attributes import attribute_matches, parse_answer
from DataSet.synthesis.wishes import apply_edit, full_caption
from DataSet.synthesis.wording import pick
from llama.dialogue import format_prompt
from llama.generation import GenerationOptions, decode
from llama.media.score import Attributes
from llama.modules.lora import LoRALinear
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA
from recipes.nano.evaluation.answers import SCORED_ATTRIBUTES
from recipes.nano.language.cached_data import FIELDS, CachedExample, ideal_features
from recipes.nano.language.train_cached import encode_features, load_language_weights, new_model, read_checkpoint

PARAPHRASES = Path(__file__).with_name("paraphrases.json")
ANSWER_STARTS = {"refusal": lore.REFUSAL, "greeting": lore.GREETING_ANSWERS, "thanks": ("Thank you! ", "With pleasure! "), "abilities": ("I listen to", "I hear rec"), "unknown": lore.UNKNOWN_ANSWERS}


@torch.inference_mode()
def answers(model: MuMuLLaMA, texts: Sequence[str], pieces: Sequence[Attributes | None], longest: int = 60, batch: int = 50) -> list[str]:
    """Greedy answers, up to their end or the first audio token."""
    texts_out: list[str] = []
    ends = {model.tokenizer.eos, *model.tokenizer.audio_tokens}
    for at in range(0, len(texts), batch):
        prompts = [model.tokenizer.encode(format_prompt(text)) for text in texts[at : at + batch]]
        rows = [CachedExample(ids, [], "", None, None if piece is None else ideal_features(piece)) for ids, piece in zip(prompts, pieces[at : at + batch], strict=True)]
        written: list[list[int]] = [[] for _ in rows]
        for step in decode(model, prompts, encode_features(model, rows), longest, GenerationOptions(temperature=0.0)):
            for ids, token in zip(written, step.tokens.tolist(), strict=True):
                if not ids or ids[-1] not in ends:
                    ids.append(token)
            if all(ids[-1] in ends for ids in written):
                break
        texts_out += [model.tokenizer.decode(ids[:-1] if ids[-1] in ends else ids).strip() for ids in written]
    return texts_out


def held_out_piece(rng: np.random.Generator) -> Attributes:
    """A combination of attributes that training does not contain."""
    while not is_held_out(piece := dialogues.random_piece(rng)):
        pass
    return piece


def hearing(model: MuMuLLaMA, questions_asked: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Accuracy on (attribute, question) pairs, by attribute."""
    rng = np.random.default_rng(1)
    pieces = [held_out_piece(rng) for _ in questions_asked]
    hits: dict[str, list[bool]] = {}
    for (name, _), piece, text in zip(questions_asked, pieces, answers(model, [text for _, text in questions_asked], pieces), strict=True):
        hits.setdefault(name, []).append(attribute_matches(name, parse_answer(name, text), getattr(piece, name)))
    return _shares(hits)


def music(model: MuMuLLaMA, requests: Sequence[Dialogue], pieces: Sequence[Attributes | None]) -> dict[str, float]:
    """Share of announced attributes that match the request, by attribute; the key only where it was requested."""
    hits: dict[str, list[bool]] = {}
    for request, text in zip(requests, answers(model, [request.instruction for request in requests], pieces), strict=True):
        names_key = full_caption(request.announced_piece, key=True) == request.caption
        for name in (*SCORED_ATTRIBUTES, "key") if names_key else SCORED_ATTRIBUTES:
            hits.setdefault(name, []).append(attribute_matches(name, parse_answer(name, text), getattr(request.piece, name)))
    return _shares(hits)


def _shares(hits: dict[str, list[bool]]) -> dict[str, float]:
    return {name: round(sum(values) / len(values), 3) for name, values in hits.items()} | {"all": round(sum(map(sum, hits.values())) / max(1, sum(map(len, hits.values()))), 3)}


def frames(model: MuMuLLaMA, held_out: bool, count: int) -> dict[str, Any]:
    """Questions, wishes, edits and talk, in frames of training or of testing."""
    rng = np.random.default_rng(2)
    questions_asked = [(name, pick(rng, questions.QUESTIONS[name], held_out)) for name in FIELDS for _ in range(count // 8)]
    wishes = [dialogues.wish(rng, held_out) for _ in range(count)]
    pieces = [held_out_piece(rng) for _ in range(count)]
    edits = [dialogues.edit(rng, piece, held_out) for piece in pieces]
    talks = [dialogues.talk(rng, held_out) for _ in range(count)]
    correct = [text[:16] == dialogue.answer[:16] or dialogue.kind == "thanks" and text.startswith(ANSWER_STARTS["thanks"]) for dialogue, text in zip(talks, answers(model, [dialogue.instruction for dialogue in talks], [None] * count), strict=True)]
    return {"hear": hearing(model, questions_asked), "wish": music(model, wishes, [None] * count), "edit": music(model, edits, pieces), "talk": round(sum(correct) / count, 3)}


def paraphrases(model: MuMuLLaMA, times: int = 5) -> dict[str, Any]:
    """Accuracy on the two hundred paraphrases; questions and edits run on `times` recordings each."""
    rows, rng = json.loads(PARAPHRASES.read_text()), np.random.default_rng(3)
    scores: dict[str, Any] = {"hear": hearing(model, [(row["about"], row["text"]) for row in rows if row["kind"] == "hear" for _ in range(times)])}
    wishes = [row for row in rows if row["kind"] == "wish"]
    hits: dict[str, list[bool]] = {}
    for row, text in zip(wishes, answers(model, [row["text"] for row in wishes], [None] * len(wishes)), strict=True):
        for name, value in row["wish"].items():
            hits.setdefault(name, []).append(attribute_matches(name, parse_answer(name, text), value))
    scores["wish"] = _shares(hits)
    edits = [(row, held_out_piece(rng)) for row in rows if row["kind"] == "edit" for _ in range(times)]
    edit_hits: dict[str, list[bool]] = {"asked": [], "kept": []}
    for (row, piece), text in zip(edits, answers(model, [row["text"] for row, _ in edits], [piece for _, piece in edits]), strict=True):
        judge_edit(row["change"], piece, partial(_parse, text), edit_hits)
    scores["edit"] = _shares(edit_hits)
    talks = [row for row in rows if row["kind"] == "talk"]
    correct = [any(text.startswith(start.split("{")[0][:16]) for start in ANSWER_STARTS[row["answer"]]) for row, text in zip(talks, answers(model, [row["text"] for row in talks], [None] * len(talks)), strict=True)]
    return scores | {"talk": round(sum(correct) / len(correct), 3)}


def _parse(text: str, name: str) -> Any:
    return parse_answer(name, text)


def judge_edit(change: dict[str, Any], piece: Attributes, value_of: Callable[[str], Any], hits: dict[str, list[bool]]) -> None:
    """Adds to `hits` whether the requested attributes changed and the others stayed, each read by `value_of`."""
    pace = change.get("tempo")
    target = apply_edit(piece, {name: value for name, value in change.items() if not isinstance(value, str) or name != "tempo"})
    for name in (*SCORED_ATTRIBUTES, "key"):
        value = value_of(name)
        if name == "tempo" and isinstance(pace, str):
            changed = value is not None and (value > piece.tempo if pace == "faster" else value < piece.tempo)
            hits["asked"].append(changed or value == piece.tempo and piece.tempo in (60, 180))
        else:
            hits["asked" if name in change else "kept"].append(attribute_matches(name, value, getattr(target, name)))


def load_language_model(work: Path) -> MuMuLLaMA:
    model = new_model(Tokenizer(work / "tokenizer.model"))
    load_language_weights(model, read_checkpoint(work / "language.pt")["model"])
    for part in model.llama.modules():
        if isinstance(part, LoRALinear):
            part.merge()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--count", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_language_model(options.work)
    for name, scores in (("training frames", frames(model, False, options.count)), ("testing frames", frames(model, True, options.count)), ("paraphrases", paraphrases(model))):
        for kind, values in scores.items():
            print(f"{name:16} {kind:5} {values}", flush=True)


if __name__ == "__main__":
    main()
