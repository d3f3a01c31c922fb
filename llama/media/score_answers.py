"""Answers to questions about a piece from its notes, so that no fact contradicts them.

A question that the grammar understands as a whole is answered here, for all users alike; any other goes to the language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby

from llama.media.captions import STYLE_NOUNS
from llama.media.naming import playing_words
from llama.media.requests.questions import PLAYERS, read_questions
from llama.media.requests.vocabulary import read_key, read_number, read_parts, read_span
from llama.media.score import ACCOMPANIMENTS, LEADS, TRACKS, Score, timeline
from llama.media.score_edits import score_line
from llama.media.spelling import chord_name, key_name

ROW = 4  # bars of a row of chords
SPAN_GROUPS = ("first", "end", "edge", "which", "quarter")  # of the pattern of a place
BOWED = ("violin", "cello", "viola", "fiddle", "double bass")  # of which strings may be made
NO_CHORDS = "I cannot say the chords of a recording: this model has no transcriber, which would write its notes down."


def answer_question(text: str, score: Score) -> str | None:
    """The answer to a question about a piece from its notes; None where any of it asks for something else.

    score: as replies have it, with a chord a bar. Each question is answered in its order.
    """
    questions = read_questions(text)
    if not questions or len(score.chords) != timeline(score.attributes, score.seconds).bar_count + 1:
        return None
    return " ".join(dict.fromkeys(ANSWERS[question.fact](score, question.values) for question in questions))


Values = Mapping[str, str | None]


def _chord_names(score: Score) -> list[str]:
    return [chord_name(chord, score.attributes.key, score.attributes.mode) for chord in score.chords]


def _chords(score: Score, values: Values) -> str:
    *bars, last = _chord_names(score)
    start, stop = (1, len(bars)) if not any(values.get(name) for name in SPAN_GROUPS) else read_span(values, len(bars))
    if not 1 <= start <= stop <= len(bars):
        return f"There are no bars {start} to {stop}: the piece has {_bar_words(len(bars))}, and its ending is on {last}."
    rows = [(first + 1, min(first + ROW, stop), " ".join(bars[first : min(first + ROW, stop)])) for first in range(start - 1, stop, ROW)]
    sentences = []
    for chords, group in groupby(rows, key=lambda row: row[2]):
        places = list(group)
        first, end = places[0][0], places[-1][1]
        times = f" ({len(places)} times)" if len(places) > 1 else ""
        sentences.append(f"{'bar' if first == end else 'bars'} {first}{'' if first == end else f' to {end}'}: {chords}{times}")
    text = "; ".join([*sentences, *([f"ending: {last}"] if stop == len(bars) else [])])
    return f"{text[:1].upper()}{text[1:]}."


def _chord(score: Score, values: Values) -> str:
    names, bars = _chord_names(score), score_line(score).bar_count
    if values.get("edge"):
        return f"{names[0] if values['edge'] in ('first', 'start', 'begin') else names[-1]}."
    bar = int(read_number(values["bar"] or "1"))
    if not 1 <= bar <= bars:
        return f"There is no bar {bar}: the piece has {_bar_words(bars)}, and its ending is on {names[-1]}."
    return f"{names[bar - 1]}."


def _key(score: Score, values: Values) -> str:
    return f"{_key_words(score)}."


def _key_is(score: Score, values: Values) -> str:
    attributes = score.attributes
    same = read_key(values["key"] or "c") == attributes.key and values["mode"] in (None, attributes.mode)
    return f"{_yes(same)}, it is in {_key_words(score)}."


def _mode(score: Score, values: Values) -> str:
    return f"{score.attributes.mode.capitalize()}: it is in {_key_words(score)}."


def _mode_is(score: Score, values: Values) -> str:
    return f"{_yes(values['mode'] == score.attributes.mode)}, it is in {_key_words(score)}."


def _tempo(score: Score, values: Values) -> str:
    return f"{score.attributes.tempo:g} beats per minute."


def _tempo_is(score: Score, values: Values) -> str:
    tempo, other = score.attributes.tempo, read_number(values["tempo"] or "0")
    return f"{_yes(tempo < other if values['way'] == 'slower' else tempo > other)}, it has {tempo:g} beats per minute."


def _metre(score: Score, values: Values) -> str:
    metre = score.attributes.metre
    return f"{metre}/4, {'three' if metre == 3 else 'four'} beats in a bar."


def _metre_is(score: Score, values: Values) -> str:
    asked = 3 if (values["metre"] or "")[0] in "3tw" else 4
    return f"{_yes(asked == score.attributes.metre)}, it is in {score.attributes.metre}/4."


def _bars(score: Score, values: Values) -> str:
    words = f"{_bar_words(score_line(score).bar_count)} and an ending."
    return words[:1].upper() + words[1:]


def _length(score: Score, values: Values) -> str:
    minutes, seconds = divmod(round(score.seconds, 1), 60)
    words = f"{seconds:g} second{'' if seconds == 1 else 's'}"
    return f"{int(minutes)} minute{'' if minutes == 1 else 's'}{f' and {words}' if seconds else ''}." if minutes else f"{words}."


def _instruments(score: Score, values: Values) -> str:
    attributes = score.attributes
    words = [f"the {attributes.lead} plays the melody"] if score.lead else []
    words += [f"{_accompaniment_words(score)} the chords"] if score.accompaniment else []
    words += ["there is a bass"] if score.bass else []
    words += ["there are drums"] if score.drums else []
    missing = [name for name, track in zip(("melody", "chords", "bass", "drums"), TRACKS, strict=True) if not score.track(track)]
    text = ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
    without = f"; there {'are' if missing[0] in ('chords', 'drums') else 'is'} no {' and no '.join(missing)}" if missing else ""
    return f"{text[:1].upper()}{text[1:]}{without}."


def _lead(score: Score, values: Values) -> str:
    return f"The {score.attributes.lead} plays the melody." if score.lead else "There is no melody in it."


def _accompaniment(score: Score, values: Values) -> str:
    words = f"{_accompaniment_words(score)} the chords."
    return words[:1].upper() + words[1:] if score.accompaniment else "There is no accompaniment in it."


def _has(score: Score, values: Values) -> str:
    thing = values["thing"] or ""
    if parts := read_parts(thing.replace("drummer", "drums")) or (("accompaniment",) if thing == "chords" else ()):
        name = {"lead": "a melody", "accompaniment": "an accompaniment", "bass": "a bass", "drums": "drums"}[parts[0]]
        there = "there are" if parts[0] == "drums" else "there is"
        return f"Yes, {there} {name}." if score.track(parts[0]) else f"No, {there} no {name.split()[-1]}."
    singular = thing if thing == "strings" or thing.endswith("ss") else thing.removesuffix("s")
    named = next((name for name in (*LEADS, *ACCOMPANIMENTS) if singular in (name, *_short(name))), singular)
    if score.lead and score.attributes.lead == named:
        return f"Yes, the {named} plays the melody."
    if score.accompaniment and score.attributes.accompaniment == named:
        return f"Yes, {_accompaniment_words(score)} the chords."
    if named in BOWED and score.accompaniment and score.attributes.accompaniment == "strings":
        return f"There are strings, but no {named} of its own."
    plural = named == "strings" or thing.endswith("s") and named != thing
    return f"No, there {'are' if plural else 'is'} no {thing if plural else named}."


def _style(score: Score, values: Values) -> str:
    noun = _style_noun(score)
    return f"It is {'an' if noun[0] == 'a' else 'a'} {noun}."


def _style_is(score: Score, values: Values) -> str:
    noun, asked = _style_noun(score), (values["style"] or "").split()[0]
    return f"{_yes(asked == score.attributes.style)}, it is {'an' if noun[0] == 'a' else 'a'} {noun}."


ANSWERS: Mapping[str, Callable[[Score, Values], str]] = {
    "chords": _chords, "chord": _chord, "key": _key, "key is": _key_is, "mode": _mode, "mode is": _mode_is, "tempo": _tempo,
    "tempo is": _tempo_is, "metre": _metre, "metre is": _metre_is, "bars": _bars, "length": _length, "instruments": _instruments,
    "lead": _lead, "accompaniment": _accompaniment, "has": _has, "style": _style, "style is": _style_is,
}  # fmt: skip


def _yes(so: bool) -> str:
    return "Yes" if so else "No"


def _short(name: str) -> tuple[str, ...]:
    return {"saxophone": ("sax",), "synthesizer": ("synth", "synthesiser"), "pad": ("soft pad",)}.get(name, ()) if name in PLAYERS else ()


def _key_words(score: Score) -> str:
    return key_name(score.attributes.key, score.attributes.mode)


def _bar_words(count: int) -> str:
    return f"{count} bar{'' if count == 1 else 's'}"


def _style_noun(score: Score) -> str:
    return next(noun for noun, style in STYLE_NOUNS.items() if style == score.attributes.style)


def _accompaniment_words(score: Score) -> str:
    """The instrument of the chords with its verb."""
    return playing_words(score.attributes.accompaniment)
