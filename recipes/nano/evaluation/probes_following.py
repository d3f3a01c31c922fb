"""Probes of instruction following: requests, pictures, clips, edits and paraphrases, scored by notes and sound."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from DataSet.synthesis import chatter, dialogues, phrases
from DataSet.synthesis import clips as synthetic_clips
from DataSet.synthesis.composer import is_held_out
from DataSet.synthesis.dialogue import Dialogue
from DataSet.synthesis.requests import capital
from DataSet.synthesis.scenes import MOODS
from DataSet.synthesis.stated_attributes import attribute_matches, parse_answer
from DataSet.synthesis.wishes import apply_edit
from DataSet.synthesis.wording import pick
from llama.dialogue import Reply, Turn
from llama.evaluation.sound_checks import ends_silent
from llama.evaluation.statistics import rank_correlation, wilson_interval
from llama.evaluation.symbolic_metrics import tempo_agrees
from llama.generation import GenerationOptions
from llama.media.score import KEYS, TEMPI, Attributes
from llama.media.video import load_frames
from recipes.nano.evaluation import attribute_readers
from recipes.nano.evaluation.answers import SCORED_ATTRIBUTES, sample_music_dialogues
from recipes.nano.evaluation.figures import (
    DEFAULT_TARGET,
    FOLLOWING,
    HEARING,
    NEW_WORDING,
    Figure,
    ProbeContext,
    accuracy_figure,
    share_figure,
)
from recipes.nano.evaluation.measure_language import ANSWER_STARTS, PARAPHRASES
from recipes.nano.evaluation.probes_hearing import OWN, answer_matcher, answers, recordings
from recipes.nano.evaluation.style_classifier import fitted_classifier
from recipes.nano.vision_encoder import photographs

TARGETS = {"lead": 0.97, "drums": 0.97, "tempo": 0.95, "mode": 0.90, "metre": 0.90, "style": 0.90}
LENGTHS = (8.0, 12.35, 6.7, 10.0, 14.9)  # requested seconds, in turn; not multiples of a bar
MIN_SOUND_SECONDS = 6.0  # seconds of music that the readers on sound need
LENGTH_TOLERANCE = 0.1  # seconds of deviation from the requested length
PAUSE = 0.6  # seconds before the end in which the last note must still sound, or have begun to fade
MAX_FRAMES = 16 * 8  # frames of a real clip
STRIDES = (1, 3, 8)  # of a real clip's frames: the same scene slower and faster
BATCH = 10
TOKENS = 80
MAX_REFUSAL_CASES = 40  # impossible requests, and questions outside music


@dataclass(frozen=True)
class GeneratedMusic:
    """A reply, and the requested seconds of its music."""

    reply: Reply
    seconds: float


def generate_music(context: ProbeContext, turns: Sequence[Turn], lengths: Sequence[float] = LENGTHS) -> list[GeneratedMusic]:
    """Generates music for every turn; the batches request the lengths in turn."""
    results: list[GeneratedMusic] = []
    for at in range(0, len(turns), BATCH):
        seconds = lengths[at // BATCH % len(lengths)]
        options = GenerationOptions(max_tokens=TOKENS, seconds=seconds, seed=at)
        results += [GeneratedMusic(reply, seconds) for reply in context.model.respond(list(turns[at : at + BATCH]), options)]
    return results


def read_all(generated: Iterable[GeneratedMusic], name: str) -> list[Any]:
    return [attribute_readers.read_attribute(result.reply.score, name) for result in generated]


def note_matcher(name: str) -> Callable[[Any, Any], bool]:
    return lambda value, truth: attribute_matches(name, value, truth) if value is not None else False


# -- text ---------------------------------------------------------------------------------------------------------


def wishes(context: ProbeContext) -> None:
    """Requests of held-out combinations; attributes that a request leaves open must follow the defaults of the style."""
    rng = np.random.default_rng(2)
    requests: list[Dialogue] = []
    while len(requests) < context.count:
        if is_held_out((item := dialogues.wish(rng)).announced_piece):
            requests.append(item)
    generated = generate_music(context, [Turn(item.instruction) for item in requests])
    for name in SCORED_ATTRIBUTES:
        truth = [getattr(item.piece, name) for item in requests]
        context.report.add(accuracy_figure(FOLLOWING, name, "wishes, by the notes", read_all(generated, name), truth, note_matcher(name), TARGETS.get(name)))
        if name == "style":
            declared = [item.reply.score.attributes.style if item.reply.score else None for item in generated]
            context.report.add(accuracy_figure(FOLLOWING, name, "wishes, as the player's header says", declared, truth, note_matcher(name)), style_classifier_figure())
    context.report.add(share_figure(FOLLOWING, "length and ending", f"within {LENGTH_TOLERANCE} s, by the sound", [ends_well(item) for item in generated], 0.99))
    add_sound_figures(context, requests, generated)


def style_classifier_figure() -> Figure:
    """Accuracy of the style classifier on composed pieces that it was not fitted to."""
    classifier = fitted_classifier()
    low, high = wilson_interval(classifier.accuracy * classifier.count, classifier.count)
    return Figure(FOLLOWING, "the listener for style itself", "pieces of the composer", classifier.accuracy, classifier.count, low, high)


def ends_well(generated: GeneratedMusic) -> bool:
    """Whether the music has the requested length, plays until near the end and ends in silence."""
    music, score = generated.reply.music, generated.reply.score
    if music is None or abs(music.seconds - generated.seconds) > LENGTH_TOLERANCE:
        return False
    last = max((note.start + note.duration for note in (*score.lead, *score.accompaniment, *score.bass)), default=0.0) if score else generated.seconds
    return generated.seconds - PAUSE <= last <= generated.seconds and ends_silent(music.samples.numpy(), music.sample_rate)


def add_sound_figures(context: ProbeContext, requests: Sequence[Dialogue], generated: Sequence[GeneratedMusic]) -> None:
    """Scores the same pieces by note onsets, librosa's beats and chroma. Tempi at 2, 1/2, 3/2 and 2/3 count as right, for the
    baselines too."""
    octaves = lambda value, reference: tempo_agrees(value, reference, octaves=True)  # noqa: E731
    pieces = [item.piece for item in requests]
    pulses = [attribute_readers.tempo_from_notes(item.reply.score) for item in generated]
    context.report.add(accuracy_figure(FOLLOWING, "tempo, or 2, 1/2, 3/2, 2/3 of it", "wishes, by when notes begin", pulses, [piece.tempo for piece in pieces], octaves))
    if not attribute_readers.has_librosa():
        context.report.missing.append("tempo and mode by the sound: librosa is not installed; pip install librosa")
        return
    audible = [(item.reply.music, piece) for item, piece in zip(generated, pieces, strict=True) if item.reply.music is not None and item.seconds >= MIN_SOUND_SECONDS]
    if audible:
        tempi, truth = [attribute_readers.track_tempo(music) for music, _ in audible], [piece.tempo for _, piece in audible]
        context.report.add(accuracy_figure(FOLLOWING, "tempo, or 2, 1/2, 3/2, 2/3 of it", "wishes, by librosa's beats", tempi, truth, octaves))
        keys = [attribute_readers.key_by_chroma(music)[1] for music, _ in audible]
        context.report.add(accuracy_figure(FOLLOWING, "mode", "wishes, by chroma", keys, [piece.mode for _, piece in audible], note_matcher("mode")))


def impossible(context: ProbeContext) -> None:
    """Impossible requests: the answer must state the substitute, and the music must have it."""
    rng = np.random.default_rng(9)
    requests = [dialogues.impossible(rng) for _ in range(min(MAX_REFUSAL_CASES, context.count))]
    generated = generate_music(context, [Turn(item.instruction) for item, _ in requests])
    said_instead = [says_instead(item.reply.text, name, wish.announced_piece) for item, (wish, name) in zip(generated, requests, strict=True)]
    played_instead = [note_matcher(name)(attribute_readers.read_attribute(item.reply.score, name), getattr(wish.piece, name)) for item, (wish, name) in zip(generated, requests, strict=True)]
    where = "tempo, instrument, metre or key that there is not"
    both = [item and played for item, played in zip(said_instead, played_instead, strict=True)]
    for what, hits, target in (("said what is done instead, and done", both, DEFAULT_TARGET), ("said what is done instead", said_instead, None), ("done, by the notes", played_instead, None)):
        context.report.add(share_figure(FOLLOWING, what, where, hits, target))


def says_instead(text: str, name: str, piece: Attributes) -> bool:
    """Whether the answer begins with a sentence that states the substitute."""
    value = {"tempo": f"{piece.tempo} beats", "metre": f"{piece.metre}/4", "key": KEYS[piece.key], "lead": f"the {piece.lead}"}[name]
    return f"so I take {value}" in text and text.startswith(("I ", "That is "))


def refusals(context: ProbeContext) -> None:
    """Questions outside music, in wording of training and in held-out wording."""
    rng = np.random.default_rng(10)
    for held_out, where in ((False, "questions outside music"), (True, "questions outside music, words never used")):
        questions = [Turn(capital(chatter.off_topic(rng, held_out))) for _ in range(min(MAX_REFUSAL_CASES, context.count))]
        replies = context.model.respond(questions, GenerationOptions(max_tokens=40, seconds=1.0))
        hits = [any(reply.text.startswith(start.split("{")[0][:16]) for start in ANSWER_STARTS["refusal"]) and reply.music is None for reply in replies]
        context.report.add(share_figure(FOLLOWING, "refused", where, hits, DEFAULT_TARGET))


# -- vision -------------------------------------------------------------------------------------------------------


def pictures(context: ProbeContext) -> None:
    """Photographs that were not trained on, with mood and energy labelled by hand."""
    available, total = photographs.available_photographs(context.data / "photographs"), len(photographs.probe_photographs())
    if len(available) < total:
        context.report.missing.append(f"photographs: {len(available)} of {total} are there; python -m recipes.nano.vision_encoder.photographs fetches the others")
    photographs_shown = available[: context.count]
    rng = np.random.default_rng(4)
    generated = generate_music(context, [Turn(pick(rng, phrases.PICTURE), image=path) for _, path in photographs_shown])
    truth = {name: [getattr(item, name) for item, _ in photographs_shown] for name in ("mood", "energy")}
    replies = context.model.respond([Turn(pick(rng, phrases.LOOK), image=path) for _, path in photographs_shown], GenerationOptions(max_tokens=24, music=False))
    named_moods = [next((mood for mood in MOODS if mood in reply.text), None) for reply in replies]
    equal, scores = (lambda a, b: a == b), [item.reply.score for item in generated]
    played = {"mood": [attribute_readers.mood_of(score) for score in scores], "energy": [attribute_readers.energy_of(score) for score in scores]}
    for name, values in played.items():
        context.report.add(accuracy_figure(FOLLOWING, name, "photographs, by the notes", values, truth[name], equal, 0.75))
    both = [list(zip(item["mood"], item["energy"], strict=True)) for item in (played, truth)]
    context.report.add(
        accuracy_figure(FOLLOWING, "mood and energy", "photographs, by the notes", both[0], both[1], equal),
        accuracy_figure(FOLLOWING, "mood", "photographs, as answered", named_moods, truth["mood"], equal),
    )


def clips(context: ProbeContext) -> None:
    """Rank correlation of tempo and motion, for held-out drawn clips and for real ones at several speeds."""
    rng = np.random.default_rng(500_001)  # far from the seeds of training
    random_clips = [synthetic_clips.random_clip(rng) for _ in range(context.count)]
    generated = generate_music(context, [Turn(pick(rng, phrases.CLIP), video=synthetic_clips.render_clip(clip)) for clip in random_clips], (6.0,))
    ranks = [float(synthetic_clips.MOTIONS.index(clip.motion)) for clip in random_clips]
    context.report.add(_motion_figure(ranks, generated, "drawn clips"))
    clips = photographs.available_clips(context.data / "photographs")
    real_clips = [frames for path in clips for frames in at_strides(load_frames(path, MAX_FRAMES))][: max(context.count, 3)]
    if not clips:
        context.report.missing.append("real clips: none are there; python -m recipes.nano.vision_encoder.photographs fetches them")
    if real_clips:
        generated = generate_music(context, [Turn(pick(rng, phrases.CLIP), video=frames) for frames in real_clips], (6.0,))
        context.report.add(_motion_figure([attribute_readers.motion_of(frames) for frames in real_clips], generated, "real clips at several speeds"))


def at_strides(frames: np.ndarray) -> list[np.ndarray]:
    """The first sixteen frames of a clip [T, H, W, 3] at each stride that it is long enough for."""
    return [frames[: 16 * stride : stride] for stride in STRIDES if len(frames) >= 15 * stride + 1]


def _motion_figure(motion: Sequence[float], generated: Sequence[GeneratedMusic], where: str) -> Figure:
    pairs = [(amount, attribute_readers.tempo_of(result.reply.score)) for amount, result in zip(motion, generated, strict=True) if result.reply.score]
    value = rank_correlation(*zip(*pairs, strict=True)) if pairs else float("nan")
    return Figure(FOLLOWING, "tempo follows motion", f"{where}, rank correlation", value, len(pairs), chance=0.0, target=0.7, unit="rho")


# -- changes ------------------------------------------------------------------------------------------------------

AttributeOf = Callable[[int, str], Any]  # (case index, attribute name) -> value


def with_baselines(attribute_of: AttributeOf, truth: Sequence[Mapping[str, Any]]) -> tuple[AttributeOf, AttributeOf, AttributeOf]:
    """The reader of the results, and two baselines: the next case's result, and the most frequent true value."""
    commonest = {name: Counter(row[name] for row in truth if name in row).most_common(1)[0][0] for name in {name for row in truth for name in row}}
    return attribute_of, lambda case, name: attribute_of((case + 1) % len(truth), name), lambda case, name: commonest[name]


def attribute_from_notes(generated: Sequence[GeneratedMusic]) -> AttributeOf:
    return lambda case, name: attribute_readers.read_attribute(generated[case].reply.score, name)


def edits(context: ProbeContext) -> None:
    """Edits of a recording: the requested attribute must change and the others must stay; scored by the notes."""
    recorded, rng = recordings(context, OWN), np.random.default_rng(3)
    requests = [sample_music_dialogues(partial(dialogues.edit, rng, piece), 1)[0] for piece in recorded.pieces]
    generated = generate_music(context, [Turn(item.instruction, audio=wave) for item, wave in zip(requests, recorded.waves, strict=True)])
    changes = [Change(item.announced_piece, piece) for item, piece in zip(requests, recorded.pieces, strict=True)]
    hits, other, commonest = (edit_hits(changes, attribute_of) for attribute_of in with_baselines(attribute_from_notes(generated), [asdict(item.target) for item in changes]))
    for what, target in EDIT_TARGETS.items():
        context.report.add(share_figure(FOLLOWING, what, "edits, by the notes", hits[what], target, (other[what], commonest[what])))


EDIT_TARGETS = {"the asked change happens": 0.90, "each other attribute is kept": 0.75, "all other attributes are kept": None}


@dataclass(frozen=True)
class Change:
    """An edit: the target piece and the source. pace: "faster" or "slower" by any amount, else ""."""

    target: Attributes
    source: Attributes
    pace: str = ""

    @property
    def changed(self) -> list[str]:
        """Attributes that must change; those that have the target value already are left out."""
        names = [name for name in (*SCORED_ATTRIBUTES, "key") if getattr(self.target, name) != getattr(self.source, name) and (name, self.pace == "") != ("tempo", False)]
        return names + (["tempo"] if self.pace and self.source.tempo != {"faster": TEMPI[-1], "slower": TEMPI[0]}[self.pace] else [])

    def matches(self, name: str, value: Any) -> bool:
        if name == "tempo" and name in self.changed and self.pace:
            return value is not None and (value > self.source.tempo if self.pace == "faster" else value < self.source.tempo)
        return note_matcher(name)(value, getattr(self.source if self.pace and name == "tempo" else self.target, name))


def edit_hits(changes: Sequence[Change], attribute_of: AttributeOf) -> dict[str, list[bool]]:
    """By name of EDIT_TARGETS: whether all requested attributes changed, each other one stayed, and all others stayed."""
    all_changed, each_kept, all_kept = [], [], []
    for case, change in enumerate(changes):
        matches = {name: change.matches(name, attribute_of(case, name)) for name in (*SCORED_ATTRIBUTES, "key")}
        all_changed += [all(matches[name] for name in change.changed)] if change.changed else []
        others = [matches[name] for name in matches if name not in change.changed]
        each_kept += others
        all_kept.append(all(others))
    return dict(zip(EDIT_TARGETS, (all_changed, each_kept, all_kept), strict=True))


# -- paraphrases --------------------------------------------------------------------------------------------------


def paraphrases(context: ProbeContext) -> None:
    """Two hundred hand-written sentences that are not trained on, compared with wording of training."""
    rows = json.loads(PARAPHRASES.read_text(encoding="utf-8"))
    rows = rows if context.count >= len(rows) else [rows[round(at)] for at in np.linspace(0, len(rows) - 1, max(4, context.count))]
    values = {(figure.table, figure.what, figure.where): figure.value for figure in context.report.figures}
    for kind, probe in {"hear": _question_paraphrases, "wish": _wish_paraphrases, "edit": _edit_paraphrases, "talk": _talk_paraphrases}.items():
        if of_kind := [row for row in rows if row["kind"] == kind]:
            probe(context, of_kind, values)


FigureValues = dict[tuple[str, str, str], float]
Rows = Sequence[dict[str, Any]]


def _add_wording_figures(context: ProbeContext, what: str, hits: Sequence[Sequence[bool]], usual: Sequence[float]) -> None:
    """Adds the share of hits (with two baselines), and its distance to the same figure in wording of training."""
    real, other, commonest = hits
    context.report.add(share_figure(NEW_WORDING, what, "paraphrases", real, None, (other, commonest)))
    under = float(np.mean(usual)) - float(np.mean(real)) if len(real) else float("nan")
    context.report.add(Figure(NEW_WORDING, what, "under words of training", 100 * under, len(real), target=8.0, most=True, unit="points"))


def _question_paraphrases(context: ProbeContext, rows: Rows, values: FigureValues) -> None:
    recorded = recordings(context, OWN)
    indices = [at % len(recorded.waves) for at in range(len(rows))]
    texts = answers(context.model, [recorded.waves[at] for at in indices], {"": [row["text"] for row in rows]})[""]
    facts = [asdict(recorded.pieces[at]) for at in indices]
    usual = with_baselines(lambda at, name: None, [asdict(piece) for piece in recorded.pieces])[2]
    answers_given = [parse_answer(row["about"], text) for row, text in zip(rows, texts, strict=True)]

    def hits(value_of: Callable[[int], Any], shift: int = 0) -> list[bool]:
        return [answer_matcher(row["about"])(value_of(at), facts[(at + shift) % len(facts)][row["about"]]) for at, row in enumerate(rows)]

    three = hits(answers_given.__getitem__), hits(answers_given.__getitem__, 1), hits(lambda at: usual(at, rows[at]["about"]))
    _add_wording_figures(context, "questions about recordings", three, [values[HEARING, row["about"], OWN] for row in rows])


def _wish_paraphrases(context: ProbeContext, rows: Rows, values: FigureValues) -> None:
    generated = generate_music(context, [Turn(row["text"]) for row in rows])
    requested = [(at, name, value) for at, row in enumerate(rows) for name, value in row["wish"].items() if (FOLLOWING, name, "wishes, by the notes") in values]
    three = [[note_matcher(name)(attribute_of(at, name), value) for at, name, value in requested] for attribute_of in with_baselines(attribute_from_notes(generated), [row["wish"] for row in rows])]
    _add_wording_figures(context, "wishes, by the notes", three, [values[FOLLOWING, name, "wishes, by the notes"] for _, name, _ in requested])


def _edit_paraphrases(context: ProbeContext, rows: Rows, values: FigureValues) -> None:
    recorded = recordings(context, OWN)
    cases = [(row, at % len(recorded.waves)) for at, row in enumerate([*rows] * max(1, min(5, context.count // len(rows))))]
    generated = generate_music(context, [Turn(row["text"], audio=recorded.waves[at]) for row, at in cases])
    changes = [_change(row["change"], recorded.pieces[at]) for row, at in cases]
    three = [edit_hits(changes, attribute_of) for attribute_of in with_baselines(attribute_from_notes(generated), [asdict(one.target) for one in changes])]
    for what, target in EDIT_TARGETS.items():
        if target is None:
            context.report.add(share_figure(NEW_WORDING, what, "paraphrases", three[0][what], None, (three[1][what], three[2][what])))
        else:
            _add_wording_figures(context, what, [one[what] for one in three], [values[FOLLOWING, what, "edits, by the notes"]])


def _change(changes: Mapping[str, Any], source: Attributes) -> Change:
    pace = changes.get("tempo", "")
    pace = pace if isinstance(pace, str) else ""
    return Change(apply_edit(source, {name: value for name, value in changes.items() if name != "tempo" or not pace}), source, pace)


def _talk_paraphrases(context: ProbeContext, rows: Rows, values: FigureValues) -> None:
    replies = context.model.respond([Turn(row["text"]) for row in rows], GenerationOptions(max_tokens=40, music=False))
    begins = lambda text, kind: any(text.startswith(start.split("{")[0][:16]) for start in ANSWER_STARTS[kind])  # noqa: E731
    context.report.add(accuracy_figure(NEW_WORDING, "talk, refusals", "paraphrases", [reply.text for reply in replies], [row["answer"] for row in rows], begins))


STEPS = {"wishes": wishes, "impossible wishes": impossible, "refusals": refusals, "pictures": pictures, "clips": clips, "edits": edits, "paraphrases": paraphrases}
