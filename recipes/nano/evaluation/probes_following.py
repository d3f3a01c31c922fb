"""What the model follows: wishes, pictures, clips, edits and paraphrases, judged by the notes and the sound that it made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from DataSet.synthesis import chatter, dialogues, phrases
from DataSet.synthesis import clips as drawn
from DataSet.synthesis.composer import is_held_out
from DataSet.synthesis.dialogue import Dialogue
from DataSet.synthesis.requests import capital
from DataSet.synthesis.scenes import MOODS
from DataSet.synthesis.wishes import edited
from DataSet.synthesis.wording import pick
from llama.dialogue import Reply, Turn
from llama.generation import GenerationOptions
from llama.media.score import KEYS, TEMPI, Attributes
from llama.media.video import load_frames
from llama.metrics import ends_silent, interval, rank_correlation, tempo_agrees
from recipes.nano.evaluation import attribute_readers as listening
from recipes.nano.evaluation.figures import FOLLOWS, HEARS, NINETY, WORDS, Figure, Probing, counted, judged
from recipes.nano.evaluation.measure import JUDGED, draw_music, right, said
from recipes.nano.evaluation.measure_language import PARAPHRASES, STARTS
from recipes.nano.evaluation.probes_hearing import OWN, agrees, answers, recordings
from recipes.nano.evaluation.style_classifier import listener
from recipes.nano.vision_encoder import photographs

TARGETS = {"lead": 0.97, "drums": 0.97, "tempo": 0.95, "mode": 0.90, "metre": 0.90, "style": 0.90}
LENGTHS = (8.0, 12.35, 6.7, 10.0, 14.9)  # seconds that are asked for, in turn; not on any grid of bars
EARS_LENGTH = 6.0  # seconds from which on listeners on sound are asked
WITHIN = 0.1  # seconds of an asked length
PAUSE = 0.6  # seconds before the end in which the last note must still sound, or have begun to fade
SEEN = 16 * 8  # frames of a real clip
STRIDES = (1, 3, 8)  # of a real clip's frames: the same scene slower and faster
BATCH = 10
TOKENS = 80
ODD = 40  # impossible wishes, and questions outside music


@dataclass(frozen=True)
class Made:
    """An answer, and how long its music should have been."""

    reply: Reply
    seconds: float


def make(probing: Probing, turns: Sequence[Turn], lengths: Sequence[float] = LENGTHS) -> list[Made]:
    """Music for every turn; each batch is asked for another length."""
    made: list[Made] = []
    for at in range(0, len(turns), BATCH):
        seconds = lengths[at // BATCH % len(lengths)]
        options = GenerationOptions(max_tokens=TOKENS, seconds=seconds, seed=at)
        made += [Made(reply, seconds) for reply in probing.model.respond(list(turns[at : at + BATCH]), options)]
    return made


def notes(made: Iterable[Made], name: str) -> list[Any]:
    return [listening.in_notes(one.reply.score, name) for one in made]


def same(name: str) -> Callable[[Any, Any], bool]:
    return lambda given, true: right(name, given, true) if given is not None else False


# -- words --------------------------------------------------------------------------------------------------------


def wishes(probing: Probing) -> None:
    """Combinations of which training has no piece, though its words may wish for them; what is not said must be as the style's habits are."""
    rng = np.random.default_rng(2)
    wanted: list[Dialogue] = []
    while len(wanted) < probing.count:
        if is_held_out((one := dialogues.wish(rng)).piece):
            wanted.append(one)
    made = make(probing, [Turn(one.instruction) for one in wanted])
    for name in JUDGED:
        truth = [getattr(one.piece, name) for one in wanted]
        probing.report.add(judged(FOLLOWS, name, "wishes, by the notes", notes(made, name), truth, same(name), TARGETS.get(name)))
        if name == "style":
            declared = [one.reply.score.attributes.style if one.reply.score else None for one in made]
            probing.report.add(judged(FOLLOWS, name, "wishes, as the player's header says", declared, truth, same(name)), style_heard())
    probing.report.add(counted(FOLLOWS, "length and ending", f"within {WITHIN} s, by the sound", [ends_well(one) for one in made], 0.99))
    by_ear(probing, wanted, made)


def style_heard() -> Figure:
    """How often the listener for style is right about composed pieces that it was not fitted to."""
    known = listener()
    low, high = interval(known.accuracy * known.count, known.count)
    return Figure(FOLLOWS, "the listener for style itself", "pieces of the composer", known.accuracy, known.count, low, high)


def ends_well(made: Made) -> bool:
    """As long as asked, still playing near the end, and silent at the very end."""
    music, score = made.reply.music, made.reply.score
    if music is None or abs(music.seconds - made.seconds) > WITHIN:
        return False
    last = max((note.start + note.duration for note in (*score.lead, *score.accompaniment, *score.bass)), default=0.0) if score else made.seconds
    return made.seconds - PAUSE <= last <= made.seconds and ends_silent(music.samples.numpy(), music.sample_rate)


def by_ear(probing: Probing, wanted: Sequence[Dialogue], made: Sequence[Made]) -> None:
    """The same pieces by listeners that know no codes: the notes' onsets, librosa's beats, chroma. Octaves, and three for two,
    are forgiven to them, and to guessing."""
    octaves = lambda given, true: tempo_agrees(given, true, octaves=True)  # noqa: E731
    pieces = [one.piece for one in wanted]
    pulses = [listening.pulse_of_notes(one.reply.score) for one in made]
    probing.report.add(judged(FOLLOWS, "tempo, or 2, 1/2, 3/2, 2/3 of it", "wishes, by when notes begin", pulses, [piece.tempo for piece in pieces], octaves))
    if not listening.can_listen():
        probing.report.missing.append("tempo and mode by the sound: librosa is not installed; pip install librosa")
        return
    heard = [(one.reply.music, piece) for one, piece in zip(made, pieces, strict=True) if one.reply.music is not None and one.seconds >= EARS_LENGTH]
    if heard:
        tempi, truth = [listening.beat_tracked(music) for music, _ in heard], [piece.tempo for _, piece in heard]
        probing.report.add(judged(FOLLOWS, "tempo, or 2, 1/2, 3/2, 2/3 of it", "wishes, by librosa's beats", tempi, truth, octaves))
        keys = [listening.key_by_chroma(music)[1] for music, _ in heard]
        probing.report.add(judged(FOLLOWS, "mode", "wishes, by chroma", keys, [piece.mode for _, piece in heard], same("mode")))


def impossible(probing: Probing) -> None:
    """Wishes that cannot be had: the answer says what is done instead, and it is done."""
    rng = np.random.default_rng(9)
    wanted = [dialogues.impossible(rng) for _ in range(min(ODD, probing.count))]
    made = make(probing, [Turn(one.instruction) for one, _ in wanted])
    told = [says_instead(one.reply.text, name, wish.piece) for one, (wish, name) in zip(made, wanted, strict=True)]
    done = [same(name)(listening.in_notes(one.reply.score, name), getattr(wish.piece, name)) for one, (wish, name) in zip(made, wanted, strict=True)]
    where = "tempo, instrument, metre or key that there is not"
    both = [one and other for one, other in zip(told, done, strict=True)]
    for what, hits, target in (("said what is done instead, and done", both, NINETY), ("said what is done instead", told, None), ("done, by the notes", done, None)):
        probing.report.add(counted(FOLLOWS, what, where, hits, target))


def says_instead(text: str, name: str, piece: Attributes) -> bool:
    """Whether the answer begins with a sentence that says what is taken for what cannot be had."""
    value = {"tempo": f"{piece.tempo} beats", "metre": f"{piece.metre}/4", "key": KEYS[piece.key], "lead": f"the {piece.lead}"}[name]
    return f"so I take {value}" in text and text.startswith(("I ", "That is "))


def refusals(probing: Probing) -> None:
    """Questions outside music, in words of training and in others."""
    rng = np.random.default_rng(10)
    for held_out, where in ((False, "questions outside music"), (True, "questions outside music, words never used")):
        asked = [Turn(capital(chatter.off_topic(rng, held_out))) for _ in range(min(ODD, probing.count))]
        replies = probing.model.respond(asked, GenerationOptions(max_tokens=40, seconds=1.0))
        hits = [any(reply.text.startswith(start.split("{")[0][:16]) for start in STARTS["refusal"]) and reply.music is None for reply in replies]
        probing.report.add(counted(FOLLOWS, "refused", where, hits, NINETY))


# -- sight --------------------------------------------------------------------------------------------------------


def pictures(probing: Probing) -> None:
    """Photographs never trained on, whose mood and energy were written down before."""
    there, wanted = photographs.found(probing.data / "photographs"), len(photographs.listed())
    if len(there) < wanted:
        probing.report.missing.append(f"photographs: {len(there)} of {wanted} are there; python -m recipes.nano.vision_encoder.photographs fetches the others")
    shown = there[: probing.count]
    rng = np.random.default_rng(4)
    made = make(probing, [Turn(pick(rng, phrases.PICTURE), image=path) for _, path in shown])
    truth = {name: [getattr(one, name) for one, _ in shown] for name in ("mood", "energy")}
    looked = probing.model.respond([Turn(pick(rng, phrases.LOOK), image=path) for _, path in shown], GenerationOptions(max_tokens=24, music=False))
    named = [next((mood for mood in MOODS if mood in reply.text), None) for reply in looked]
    equal, scores = (lambda a, b: a == b), [one.reply.score for one in made]
    played = {"mood": [listening.mood_of(score) for score in scores], "energy": [listening.energy_of(score) for score in scores]}
    for name, given in played.items():
        probing.report.add(judged(FOLLOWS, name, "photographs, by the notes", given, truth[name], equal, 0.75))
    both = [list(zip(one["mood"], one["energy"], strict=True)) for one in (played, truth)]
    probing.report.add(
        judged(FOLLOWS, "mood and energy", "photographs, by the notes", both[0], both[1], equal),
        judged(FOLLOWS, "mood", "photographs, as answered", named, truth["mood"], equal),
    )


def films(probing: Probing) -> None:
    """The tempo played beside the motion shown: of drawn clips that training never has, and of real ones at several speeds."""
    rng = np.random.default_rng(500_001)  # far from the seeds of training
    shown = [drawn.random_clip(rng) for _ in range(probing.count)]
    made = make(probing, [Turn(pick(rng, phrases.CLIP), video=drawn.film(one)) for one in shown], (6.0,))
    ranks = [float(drawn.MOTIONS.index(one.motion)) for one in shown]
    probing.report.add(_follows_motion(ranks, made, "drawn clips"))
    films = photographs.clips(probing.data / "photographs")
    real = [frames for path in films for frames in speeds(load_frames(path, SEEN))][: max(probing.count, 3)]
    if not films:
        probing.report.missing.append("real clips: none are there; python -m recipes.nano.vision_encoder.photographs fetches them")
    if real:
        made = make(probing, [Turn(pick(rng, phrases.CLIP), video=frames) for frames in real], (6.0,))
        probing.report.add(_follows_motion([listening.motion_of(frames) for frames in real], made, "real clips at several speeds"))


def speeds(frames: np.ndarray) -> list[np.ndarray]:
    """The beginning of a clip [T, H, W, 3] as sixteen frames, one after the other and with some left out."""
    return [frames[: 16 * stride : stride] for stride in STRIDES if len(frames) >= 15 * stride + 1]


def _follows_motion(motion: Sequence[float], made: Sequence[Made], where: str) -> Figure:
    pairs = [(one, listening.tempo_of(made_one.reply.score)) for one, made_one in zip(motion, made, strict=True) if made_one.reply.score]
    value = rank_correlation(*zip(*pairs, strict=True)) if pairs else float("nan")
    return Figure(FOLLOWS, "tempo follows motion", f"{where}, rank correlation", value, len(pairs), chance=0.0, target=0.7, unit="rho")


# -- changes ------------------------------------------------------------------------------------------------------

Told = Callable[[int, str], Any]  # number of a case, name of an attribute -> what it came out as


def listeners(given: Told, truth: Sequence[Mapping[str, Any]]) -> tuple[Told, Told, Told]:
    """What came out, what came out for the next case, and the commonest true value: one real listener, two guessing ones."""
    usual = {name: Counter(row[name] for row in truth if name in row).most_common(1)[0][0] for name in {name for row in truth for name in row}}
    return given, lambda at, name: given((at + 1) % len(truth), name), lambda at, name: usual[name]


def by_notes(made: Sequence[Made]) -> Told:
    return lambda at, name: listening.in_notes(made[at].reply.score, name)


def edits(probing: Probing) -> None:
    """The piece that was heard with the asked change, everything else as it was; judged by the notes."""
    heard, rng = recordings(probing, OWN), np.random.default_rng(3)
    wanted = [draw_music(lambda piece=piece: dialogues.edit(rng, piece), 1)[0] for piece in heard.pieces]
    made = make(probing, [Turn(one.instruction, audio=wave) for one, wave in zip(wanted, heard.waves, strict=True)])
    changes = [Change(one.piece, piece) for one, piece in zip(wanted, heard.pieces, strict=True)]
    real, *guesses = (edit_hits(changes, told) for told in listeners(by_notes(made), [asdict(one.wanted) for one in changes]))
    for what, target in EDITED.items():
        probing.report.add(counted(FOLLOWS, what, "edits, by the notes", real[what], target, tuple(guess[what] for guess in guesses)))


EDITED = {"the asked change happens": 0.90, "each other attribute is kept": 0.75, "all other attributes are kept": None}


@dataclass(frozen=True)
class Change:
    """What a piece should become, and what was heard. `pace`: "faster" or "slower", however much."""

    wanted: Attributes
    heard: Attributes
    pace: str = ""

    @property
    def asked(self) -> list[str]:
        """What must change: nothing of what is so already."""
        names = [name for name in (*JUDGED, "key") if getattr(self.wanted, name) != getattr(self.heard, name) and (name, self.pace == "") != ("tempo", False)]
        return names + (["tempo"] if self.pace and self.heard.tempo != {"faster": TEMPI[-1], "slower": TEMPI[0]}[self.pace] else [])

    def right(self, name: str, given: Any) -> bool:
        if name == "tempo" and name in self.asked and self.pace:
            return given is not None and (given > self.heard.tempo if self.pace == "faster" else given < self.heard.tempo)
        return same(name)(given, getattr(self.heard if self.pace and name == "tempo" else self.wanted, name))


def edit_hits(changes: Sequence[Change], told: Told) -> dict[str, list[bool]]:
    """Whether all that was to change did, case by case; whether each other attribute, the key too, stayed; and whether all did."""
    changed, kept, whole = [], [], []
    for at, one in enumerate(changes):
        hit = {name: one.right(name, told(at, name)) for name in (*JUDGED, "key")}
        changed += [all(hit[name] for name in one.asked)] if one.asked else []
        others = [hit[name] for name in hit if name not in one.asked]
        kept += others
        whole.append(all(others))
    return dict(zip(EDITED, (changed, kept, whole), strict=True))


# -- other words --------------------------------------------------------------------------------------------------


def paraphrases(probing: Probing) -> None:
    """Two hundred sentences written by hand and kept from training, beside the same in words of training."""
    rows = json.loads(PARAPHRASES.read_text(encoding="utf-8"))
    rows = rows if probing.count >= len(rows) else [rows[round(at)] for at in np.linspace(0, len(rows) - 1, max(4, probing.count))]
    known = {(one.table, one.what, one.where): one.value for one in probing.report.figures}
    for kind, probe in {"hear": _questions, "wish": _wished, "edit": _edited, "talk": _talk}.items():
        if of_kind := [row for row in rows if row["kind"] == kind]:
            probe(probing, of_kind, known)


Known = dict[tuple[str, str, str], float]
Rows = Sequence[dict[str, Any]]


def _beside(probing: Probing, what: str, hits: Sequence[Sequence[bool]], usual: Sequence[float]) -> None:
    """A share (of the real listener and two guessing ones), and how far it lies under the same in words of training."""
    real, *guessed = hits
    probing.report.add(counted(WORDS, what, "paraphrases", real, None, tuple(guessed)))
    under = float(np.mean(usual)) - float(np.mean(real)) if len(real) else float("nan")
    probing.report.add(Figure(WORDS, what, "under words of training", 100 * under, len(real), target=8.0, most=True, unit="points"))


def _questions(probing: Probing, rows: Rows, known: Known) -> None:
    heard = recordings(probing, OWN)
    places = [at % len(heard.waves) for at in range(len(rows))]
    texts = answers(probing.model, [heard.waves[at] for at in places], {"": [row["text"] for row in rows]})[""]
    facts = [asdict(heard.pieces[at]) for at in places]
    usual = listeners(lambda at, name: None, [asdict(piece) for piece in heard.pieces])[2]
    told = [said(row["about"], text) for row, text in zip(rows, texts, strict=True)]

    def hits(given: Callable[[int], Any], shift: int = 0) -> list[bool]:
        return [agrees(row["about"])(given(at), facts[(at + shift) % len(facts)][row["about"]]) for at, row in enumerate(rows)]

    three = hits(told.__getitem__), hits(told.__getitem__, 1), hits(lambda at: usual(at, rows[at]["about"]))
    _beside(probing, "questions about recordings", three, [known[HEARS, row["about"], OWN] for row in rows])


def _wished(probing: Probing, rows: Rows, known: Known) -> None:
    made = make(probing, [Turn(row["text"]) for row in rows])
    asked = [(at, name, value) for at, row in enumerate(rows) for name, value in row["wish"].items() if (FOLLOWS, name, "wishes, by the notes") in known]
    three = [[same(name)(told(at, name), value) for at, name, value in asked] for told in listeners(by_notes(made), [row["wish"] for row in rows])]
    _beside(probing, "wishes, by the notes", three, [known[FOLLOWS, name, "wishes, by the notes"] for _, name, _ in asked])


def _edited(probing: Probing, rows: Rows, known: Known) -> None:
    heard = recordings(probing, OWN)
    cases = [(row, at % len(heard.waves)) for at, row in enumerate([*rows] * max(1, min(5, probing.count // len(rows))))]
    made = make(probing, [Turn(row["text"], audio=heard.waves[at]) for row, at in cases])
    changes = [_change(row["change"], heard.pieces[at]) for row, at in cases]
    three = [edit_hits(changes, told) for told in listeners(by_notes(made), [asdict(one.wanted) for one in changes])]
    for what, target in EDITED.items():
        if target is None:
            probing.report.add(counted(WORDS, what, "paraphrases", three[0][what], None, (three[1][what], three[2][what])))
        else:
            _beside(probing, what, [one[what] for one in three], [known[FOLLOWS, what, "edits, by the notes"]])


def _change(asked: Mapping[str, Any], heard: Attributes) -> Change:
    pace = asked.get("tempo", "")
    pace = pace if isinstance(pace, str) else ""
    return Change(edited(heard, {name: value for name, value in asked.items() if name != "tempo" or not pace}), heard, pace)


def _talk(probing: Probing, rows: Rows, known: Known) -> None:
    replies = probing.model.respond([Turn(row["text"]) for row in rows], GenerationOptions(max_tokens=40, music=False))
    begins = lambda text, kind: any(text.startswith(start.split("{")[0][:16]) for start in STARTS[kind])  # noqa: E731
    probing.report.add(judged(WORDS, "talk, refusals", "paraphrases", [reply.text for reply in replies], [row["answer"] for row in rows], begins))


STEPS = {"wishes": wishes, "impossible wishes": impossible, "refusals": refusals, "pictures": pictures, "clips": films, "edits": edits, "paraphrases": paraphrases}
