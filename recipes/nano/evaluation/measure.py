"""Measures the nano model end to end: `model.respond` on held-out recordings, pictures, clips and requests.

    python -m recipes.nano.evaluation.measure ckpts/nano CLIPS OUT.json --count 60

CLIPS is the folder that recipes.nano.rendering.render_clips wrote. Writes OUT.json and OUT.md. Music is scored by the notes that the
decoder generated. "Swapped" scores the same answers against another recording's labels, which is what guessing reaches.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DataSet.synthesis import clips, dialogues, phrases, questions, scenes
from DataSet.synthesis.captions import STYLE_WORDS
from DataSet.synthesis.dialogue import Dialogue
from DataSet.synthesis.wishes import ACCOMPANIMENT
from DataSet.synthesis.wording import pick
from llama.dialogue import Reply, Turn
from llama.generation import GenerationOptions
from llama.media.audio import Waveform
from llama.media.score import KEYS, LEADS, MODES, Attributes, Score
from llama.mumu_llama import MuMuLLaMA
from recipes.nano.language.cached_data import FIELDS
from recipes.nano.rendering.clip_set import SAMPLE_RATE, ClipSet

Scores = dict[str, Any]
SCORED_ATTRIBUTES = ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums")


def _first(names: dict[str, Any], text: str) -> Any:
    """The value of the name that occurs first in `text`; of several at one position the longest."""
    matches = [(text.lower().find(name.lower()), -len(name), value) for name, value in names.items() if name.lower() in text.lower()]
    return min(matches, key=lambda hit: hit[:2])[2] if matches else None


def parse_answer(name: str, text: str) -> Any:
    """The value of an attribute that an answer states, or None."""
    number = re.search(r"(\d+) (?:bpm|beats)", text)
    metre = re.search(r"([34])/4", text)
    drums = re.search(r"\b(yes|no|with drums|without drums)\b", text.lower())
    return {
        "lead": lambda: _first({lead: lead for lead in LEADS}, text),
        "accompaniment": lambda: _first({words: value for value, words in ACCOMPANIMENT.items()}, text),
        "style": lambda: _first({words[0]: style for style, words in STYLE_WORDS.items()}, text),
        "tempo": lambda: int(number.group(1)) if number else None,
        "mode": lambda: _first({"major": "major", "minor": "minor", "happy": "major", "sad": "minor"}, text),
        "metre": lambda: int(metre.group(1)) if metre else None,
        "drums": lambda: drums.group(1) in ("yes", "with drums") if drums else None,
        "key": lambda: _first({f"{key} {mode}": place for place, key in enumerate(KEYS) for mode in MODES}, text),
    }[name]()


def attribute_matches(name: str, answer: Any, truth: Any) -> bool:
    """Whether a value equals the truth; tempi may differ by 4 %."""
    if name == "tempo":
        return answer is not None and abs(answer - truth) <= 0.04 * truth
    return bool(answer == truth)


def share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / max(1, len(hits)), 3)


class Player:
    """Runs requests in batches; yields each reply with the notes of its music."""

    def __init__(self, model: MuMuLLaMA, held_out: bool, batch: int = 12) -> None:
        self.model, self.batch = model, batch
        self.held_out = held_out  # use wording that training does not contain

    def ask(self, turns: Sequence[Turn], tokens: int = 64, seconds: float = 0.0) -> Iterator[tuple[Reply, Score | None]]:
        options = GenerationOptions(max_tokens=tokens, temperature=0.0, seconds=seconds or 1.0, music=seconds > 0)
        for at in range(0, len(turns), self.batch):
            yield from ((reply, reply.score) for reply in self.model.respond(list(turns[at : at + self.batch]), options))


def recordings(folder: Path, name: str, count: int) -> tuple[list[Waveform], list[Attributes]]:
    source = ClipSet(folder, name)
    waves = [Waveform(torch.from_numpy(source.samples[i].astype(np.float32) / 32768)[None], SAMPLE_RATE) for i in range(min(count, len(source)))]
    return waves, [Attributes(**{field: source.labels[i][field] for field in FIELDS}) for i in range(len(waves))]


def hearing(player: Player, waves: Sequence[Waveform], pieces: Sequence[Attributes]) -> Scores:
    """By attribute: accuracy, accuracy of the most frequent answer, and accuracy against swapped recordings."""
    rng, scores = np.random.default_rng(1), {}
    for name in FIELDS:
        turns = [Turn(pick(rng, questions.QUESTIONS[name], held_out=player.held_out), audio=wave) for wave in waves]
        answers = [parse_answer(name, reply.text) for reply, _ in player.ask(turns, 20)]
        truth = [getattr(piece, name) for piece in pieces]
        scores[name] = {
            "right": share([attribute_matches(name, answer, true) for answer, true in zip(answers, truth, strict=True)]),
            "majority": round(max(Counter(truth).values()) / len(truth), 3),
            "swapped": share([attribute_matches(name, answer, true) for answer, true in zip(answers, [*truth[1:], truth[0]], strict=True)]),
        }
    return scores


def music(player: Player, turns: Sequence[Turn], dialogues: Sequence[Dialogue], seconds: float) -> Scores:
    """Share of requested attributes that the text states and that the notes have."""
    words: dict[str, list[bool]] = {name: [] for name in SCORED_ATTRIBUTES}
    notes: dict[str, list[bool]] = {name: [] for name in SCORED_ATTRIBUTES}
    has_music = []
    for (reply, score), dialogue in zip(player.ask(turns, 80, seconds), dialogues, strict=True):
        has_music.append(reply.finish == "music")
        for name in SCORED_ATTRIBUTES:
            true = getattr(dialogue.piece, name)
            words[name].append(attribute_matches(name, parse_answer(name, reply.text), true))
            if player.model.music_decoder is not None:
                notes[name].append(score is not None and attribute_matches(name, played(score, name), true))
    return {"music": share(has_music), "words": {name: share(hits) for name, hits in words.items()},
            "notes": {name: share(hits) for name, hits in notes.items() if hits}}


def played(score: Score, name: str) -> Any:
    """An attribute of a score, from its notes where they determine it."""
    if name == "drums":
        return bool(score.drums)
    return getattr(score.attributes, name)


def sample_music_dialogues(make: Callable[[], Dialogue], count: int) -> list[Dialogue]:
    dialogues: list[Dialogue] = []
    while len(dialogues) < count:
        if (dialogue := make()).caption is not None:
            dialogues.append(dialogue)
    return dialogues


def wishes(player: Player, count: int, seconds: float) -> Scores:
    rng = np.random.default_rng(2)
    requests = sample_music_dialogues(lambda: dialogues.wish(rng, held_out=player.held_out), count)
    return music(player, [Turn(request.instruction) for request in requests], requests, seconds)


def edits(player: Player, waves: Sequence[Waveform], pieces: Sequence[Attributes], seconds: float) -> Scores:
    rng = np.random.default_rng(3)
    requests = [dialogues.edit(rng, piece, held_out=player.held_out) for piece in pieces]
    return music(player, [Turn(request.instruction, audio=wave) for request, wave in zip(requests, waves, strict=True)], requests, seconds)


def pictures(player: Player, count: int, seconds: float) -> Scores:
    rng = np.random.default_rng(4)
    random_scenes = [scenes.random_scene(rng) for _ in range(count)]
    drawn = [scenes.draw(scene, (120, 100)) for scene in random_scenes]
    replies = player.ask([Turn(pick(rng, phrases.LOOK, held_out=player.held_out), image=image) for image in drawn], 24)
    moods = [scene.mood in reply.text for scene, (reply, _) in zip(random_scenes, replies, strict=True)]
    requests = [sample_music_dialogues(partial(dialogues.picture, rng, scene.labels(), player.held_out), 1)[0] for scene in random_scenes]
    scores = music(player, [Turn(request.instruction, image=image) for request, image in zip(requests, drawn, strict=True)], requests, seconds)
    return {"mood": share(moods), **scores}


def films(player: Player, count: int, seconds: float) -> Scores:
    rng = np.random.default_rng(5)
    random_clips = [clips.random_clip(rng) for _ in range(count)]
    frames = [clips.render_clip(clip) for clip in random_clips]
    requests = [sample_music_dialogues(partial(dialogues.clip, rng, clip.labels(), player.held_out), 1)[0] for clip in random_clips]
    return music(player, [Turn(request.instruction, video=film) for request, film in zip(requests, frames, strict=True)], requests, seconds)


def talk(player: Player, count: int) -> Scores:
    """Share of answers that start like the expected one."""
    rng = np.random.default_rng(6)
    dialogues_drawn = [dialogues.talk(rng, held_out=player.held_out) for _ in range(count)]
    replies = [reply for reply, _ in player.ask([Turn(dialogue.instruction) for dialogue in dialogues_drawn], 40)]
    hits: dict[str, list[bool]] = {}
    for dialogue, reply in zip(dialogues_drawn, replies, strict=True):
        hits.setdefault(dialogue.kind, []).append(reply.text[:16] == dialogue.answer[:16])
    return {kind: share(kind_hits) for kind, kind_hits in sorted(hits.items())} | {"all": share([hit for kind_hits in hits.values() for hit in kind_hits])}


def table(scores: Scores) -> str:
    lines = ["| heard | right | majority | other recording | right, unseen sounds |", "|---|---|---|---|---|"]
    unseen = scores.get("hearing, unseen soundfont", {})
    for name, row in scores["hearing"].items():
        lines.append(f"| {name} | {row['right']:.2f} | {row['majority']:.2f} | {row['swapped']:.2f} | {unseen.get(name, {}).get('right', float('nan')):.2f} |")
    lines += ["", "| notes played as asked | " + " | ".join(SCORED_ATTRIBUTES) + " |", "|---|" + "---|" * len(SCORED_ATTRIBUTES)]
    for kind in ("wishes", "edits", "pictures", "clips"):
        for how in ("words", "notes"):
            if scores.get(kind, {}).get(how):
                lines.append(f"| {kind}, {how} | " + " | ".join(f"{scores[kind][how][name]:.2f}" for name in SCORED_ATTRIBUTES) + " |")
    lines += ["", f"Mood of a picture named: {scores['pictures']['mood']:.2f}. Small talk, facts and refusals: {scores['talk']['all']:.2f}."]
    return "\n".join(lines) + "\n"


def measure(model: MuMuLLaMA, folder: Path, count: int, seconds: float, held_out: bool) -> Scores:
    player, started = Player(model, held_out), time.monotonic()
    scores: Scores = {"count": count}
    same, unseen = recordings(folder, "test_same", count), recordings(folder, "test_unseen", count)
    steps: list[tuple[str, Callable[[], Scores]]] = [
        ("talk", lambda: talk(player, 2 * count)), ("wishes", lambda: wishes(player, count, seconds)),
        ("pictures", lambda: pictures(player, count, seconds)), ("clips", lambda: films(player, count, seconds)),
        ("hearing", lambda: hearing(player, *same)), ("edits", lambda: edits(player, *same, seconds)),
        ("hearing, unseen soundfont", lambda: hearing(player, *unseen)),
    ]
    for name, step in steps:
        scores[name] = step()
        print(f"{time.monotonic() - started:6.0f} s  {name}: {scores[name]}", flush=True)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the pieces that are played")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = MuMuLLaMA.from_pretrained(options.model)
    scores = {
        words: measure(model, options.clips, options.count, options.seconds, held_out)
        for words, held_out in (("words of training", False), ("words never trained on", True))
    }
    tables = "\n".join(f"Asked in {words}:\n\n{table(one)}" for words, one in scores.items())
    options.out.write_text(json.dumps(scores, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(tables)
    print(tables)


if __name__ == "__main__":
    main()
