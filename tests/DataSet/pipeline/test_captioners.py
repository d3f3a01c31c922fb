"""Captioners: our own checkpoint names the instruments of the shipped examples, the truth is that of the attributes, faults stay alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from DataSet.pipeline.caption_request import as_caption, whole_sentences
from DataSet.pipeline.captioners import CaptionerConfig, CaptionStep
from DataSet.pipeline.item import Item
from DataSet.pipeline.model_identity import identity
from DataSet.pipeline.step import Rejection, StepInput

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES, NANO = ROOT / "assets/examples", ROOT / "ckpts/nano"
PIECE = {"lead": "flute", "accompaniment": "strings", "style": "ballad", "tempo": 72, "mode": "minor", "metre": 4, "drums": True, "key": 9}


def example(name: str, medium: str) -> StepInput:
    return StepInput(Item("examples", name, {medium: str(EXAMPLES / name)}))


@pytest.fixture(scope="module")
def nano() -> Any:
    config = CaptionerConfig("mumu", str(NANO), dtype="float32")
    return {medium: CaptionStep(config, "unused", medium) for medium in ("audio", "image", "video")}


def test_nano_names_the_lead_of_the_examples(nano: Any) -> None:
    leads = {"violin_swing.flac": "violin", "flute_ballad.flac": "flute", "piano_waltz.flac": "piano", "guitar_rock.flac": "guitar"}
    outcomes = nano["audio"]([example(name, "audio") for name in leads])
    assert all(f"a {lead} over" in outcome["text"] for lead, outcome in zip(leads.values(), outcomes, strict=True))


def test_nano_alone_says_what_it_says_in_a_batch_with_a_file_that_is_missing(nano: Any) -> None:
    batch = [example("violin_swing.flac", "audio"), example("missing.flac", "audio"), example("flute_ballad.flac", "audio")]
    first, second, third = nano["audio"](batch)
    assert isinstance(second, Rejection) and "missing.flac" in second.why
    assert [first, third] == [nano["audio"]([batch[0]])[0], nano["audio"]([batch[2]])[0]]


def test_nano_samples_by_the_seed_of_the_item(tmp_path: Path) -> None:
    step = CaptionStep(CaptionerConfig("mumu", str(NANO), decoding={"temperature": 1.0, "top_p": 1.0}), tmp_path, "image")
    batch = [StepInput(Item("examples", f"{seed}", {"image": str(EXAMPLES / "calm_sea.jpg")})) for seed in range(6)]
    outcomes = step(batch)
    assert outcomes == step(batch[:2]) + step(batch[2:]) and len({str(outcome) for outcome in outcomes}) > 1


def test_nano_looks_at_pictures_and_clips(nano: Any) -> None:
    assert "sea" in nano["image"]([example("calm_sea.jpg", "image")])[0]["text"]
    slow, fast = nano["video"]([example("slow_sea.mp4", "video"), example("fast_city.mp4", "video")])
    assert "slowly" in slow["text"] and "fast" in fast["text"]


def test_the_truth_is_that_of_the_attributes() -> None:
    step = CaptionStep(CaptionerConfig("truth"), "unused", "audio")
    made = StepInput(Item("made", "piece", {}, truth=PIECE))
    told = StepInput(Item("csv", "clip", {}, caption="a slow song,\nsung by a choir"))
    first, second, third = step([made, told, StepInput(Item("csv", "empty", {}))])
    assert first["text"] == "A sad ballad for flute over strings at 72 bpm in A minor in 4/4 with drums."
    assert second["text"] == "A slow song, sung by a choir."
    assert isinstance(third, Rejection) and third.rule == "error"


def test_the_truth_of_pictures_and_clips() -> None:
    step = CaptionStep(CaptionerConfig("truth"), "unused", "video")
    clip = Item("made", "clip", {}, truth={"motion": "slow", "pulse": "threes", "light": "night", "mood": "sad"})
    picture = Item("made", "scene", {}, truth={"place": "sea", "light": "sunset", "weather": "rain", "mood": "calm", "energy": "low"})
    texts = [outcome["text"] for outcome in step([StepInput(clip), StepInput(picture)])]
    assert texts == ["A scene at night, moving slowly with a pulse in threes; it feels sad.",
                     "The sea at sunset in the rain; it feels calm."]


def test_the_segment_is_described_and_not_the_file_it_was_cut_from(tmp_path: Path) -> None:
    step = CaptionStep(CaptionerConfig("mumu", str(NANO)), tmp_path, "audio")
    part = Item("folder", "song", {"audio": "song.flac"}, start=1.0, end=11.0)
    with pytest.raises(ValueError, match="run the step that cuts segments"):
        step._request(StepInput(part))
    assert step._request(StepInput(part, {"segment": {"audio": "media/x.flac"}})).path == tmp_path / "media/x.flac"
    with pytest.raises(ValueError, match="has no audio"):
        step._request(StepInput(part, {"segment": {"audio": None}}))


def test_the_spec_follows_from_weights_and_prompt_and_not_from_places(tmp_path: Path) -> None:
    (tmp_path / "a" / "model").mkdir(parents=True)
    (tmp_path / "a" / "model" / "weights").write_bytes(b"1" * 100)
    first = identity(str(tmp_path / "a" / "model"), None, local=True)
    (tmp_path / "a").rename(tmp_path / "b")
    assert identity(str(tmp_path / "b" / "model"), None, local=True) == first
    (tmp_path / "b" / "model" / "weights").write_bytes(b"1" * 99 + b"2")
    assert identity(str(tmp_path / "b" / "model"), None, local=True) != first
    digests = {CaptionStep(CaptionerConfig("address", "m", url=url, decoding=decoding), "x", "audio").spec.digest
               for url, decoding in (("http://a/v1", {}), ("http://b/v1", {}), ("http://a/v1", {"max_tokens": 5}))}  # fmt: skip
    assert len(digests) == 2


def test_captions_become_sentences() -> None:
    assert as_caption(' "a cat\non a sofa" ') == "A cat on a sofa."
    assert as_caption("a waltz (in 3/4)") == "A waltz (in 3/4)." and as_caption("Who plays?") == "Who plays?"
    assert whole_sentences("It is slow. It has drums and a") == "It is slow."
    assert whole_sentences("It is at 1.5 times the") == ""


WRONG: tuple[dict[str, Any], ...] = (
    {"kind": "parrot"}, {"kind": "chat"}, {"kind": "address", "model": "m"}, {"kind": "truth", "colour": 1},
    {"kind": "mumu", "model": "m", "revision": "main"},
)  # fmt: skip


@pytest.mark.parametrize("values", WRONG)
def test_a_wrong_captioner_is_refused_in_a_sentence(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        CaptionerConfig.from_values(values)
