"""A musician's conversation with the embedded model, as the page leads it: every change is exact, and every fact is that of the notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import llama
from demo.service.conversation import Conversation, Piece
from demo.service.references import undo_request
from demo.service.request import Settings, Update
from demo.service.service import ChatService
from demo.service.sessions import Session, Sessions
from llama.media.score import Score
from llama.media.score_edits import score_line
from llama.media.spelling import chord_name, key_name
from llama.serving.engine import Engine

NANO = Path(__file__).resolve().parents[3] / "ckpts/nano"


@dataclass
class Talk:
    """A conversation with the service, one message after the other."""

    service: ChatService
    session: Session
    conversation: Conversation = field(default_factory=Conversation)

    def say(self, text: str) -> Update:
        settings = Settings(seconds=6.0, seed=1)
        *_, last = self.service.answer(self.session, self.conversation, text, [], settings)
        self.conversation = last.conversation or self.conversation
        return last

    def change(self, text: str) -> tuple[Update, Score]:
        update = self.say(text)
        (made,) = update.pieces
        assert made.score is not None
        return update, made.score


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with Engine(llama.load(NANO)) as engine:
        sessions = Sessions(tmp_path_factory.mktemp("talk"))
        yield Talk(ChatService(engine, sessions), sessions.open())


def test_ten_turns(talk: Talk) -> None:
    first, score = talk.change("A sad waltz for piano at 100 bpm without drums")
    assert not score.drums and first.reference is None

    same = talk.say("remove the drums")
    assert (same.pieces, same.text) == ((), "There are no drums to remove; the piece is as it was.")
    assert talk.conversation.last_music is not None and talk.conversation.last_music.score == score

    _, higher = talk.change("transpose it up a fifth")
    assert higher.attributes == replace(score.attributes, key=(score.attributes.key + 7) % 12)
    assert [note.pitch for note in higher.lead] == [note.pitch + 7 for note in score.lead]

    _, faster = talk.change("Make it 120 bpm")
    assert faster.attributes == replace(higher.attributes, tempo=120)

    names = [chord_name(chord, faster.attributes.key, faster.attributes.mode) for chord in faster.chords]
    for question in ("which chords are these?", "what is the chord progression?", "give me the chords"):
        answer = talk.say(question)
        assert answer.pieces == () and names[0] in answer.text and answer.text.endswith(f"ending: {names[-1]}.")

    again, looped = talk.change("loop it")
    (piece,), exporter = again.pieces, talk.service.exporter
    name = exporter.export(talk.session, piece.sound, piece.score, "midi").name
    assert name.endswith("-2-times.mid")
    bars = score_line(faster).bar_count
    assert score_line(looped).bar_count == 2 * bars

    assert undo_request("undo that")
    taken_back: Piece | None = talk.conversation.last_piece
    assert taken_back is not None and taken_back.score == looped
    talk.conversation = talk.conversation.undo(taken_back.sound)
    assert talk.conversation.last_music is not None and talk.conversation.last_music.score == faster

    longer, long = talk.change("make it 12 seconds")
    assert abs(long.seconds - 12) <= 60 / 120 * 3 and longer.text.startswith("Length from")
    assert talk.say("how many bars?").text == f"{score_line(long).bar_count} bars and an ending."
    facts = talk.say("What key is it in, how fast is it, and is there a bass?")
    assert facts.text == f"{key_name(long.attributes.key, long.attributes.mode)}. 120 beats per minute. Yes, there is a bass."
    assert facts.reference is not None and facts.reference.sound == talk.conversation.last_piece.sound

    solo, alone = talk.change("only the melody, and fade out")
    assert alone.lead and not (alone.accompaniment or alone.bass or alone.drums) and "for piano alone" in solo.text
    assert alone.lead[-1].velocity < long.lead[-1].velocity

    again, minor = talk.change("the first one, but in E minor and witout the bass")
    assert (minor.attributes.key, minor.attributes.mode) == (4, "minor") and not minor.bass and minor.accompaniment
    assert again.reference is not None and again.reference.phrase == "an earlier piece" and len(minor.lead) == len(score.lead)


@pytest.mark.parametrize("text", ["un vals triste para piano", "ein trauriger Walzer"])
def test_another_language_makes_no_music(talk: Talk, text: str) -> None:
    answer = talk.say(text)
    assert answer.pieces == () and answer.text.startswith("I understand only English")


def test_a_contradiction_is_said(talk: Talk) -> None:
    answer = talk.say("make it faster and slower")
    assert "'faster' and 'slower' contradict each other; say which" in answer.text


def test_an_invented_instrument_is_not_answered_with_another(talk: Talk) -> None:
    assert not any(name in talk.say("I have no balala").text for name in ("whistle", "kazoo", "banjo", "so I take"))
