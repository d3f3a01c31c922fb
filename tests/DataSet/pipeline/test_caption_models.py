"""Captioners over stock classes of transformers, proved with tiny random models: text comes back, a batch equals each item alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_caption_models as tiny
from safetensors.torch import load_file, save_file

from DataSet.pipeline.captioners import CaptionerConfig, CaptionRequest, build_captioner, default_prompt
from DataSet.pipeline.item import Item
from DataSet.pipeline.prompt_files import read_prompt
from DataSet.pipeline.text_models import load_text_model

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
FILES = {"audio": ("violin_swing.flac", "flute_ballad.flac"), "image": ("calm_sea.jpg", "moon.jpg"),
         "video": ("slow_sea.mp4", "fast_city.mp4")}  # fmt: skip
CASES: dict[str, tuple[str, str, Callable[[Path], Path]]] = {
    "blip": ("blip", "image", tiny.blip),
    "timesformer": ("vision_encoder_decoder", "video", tiny.timesformer_gpt2),
    "llava_next": ("chat", "image", tiny.llava_next),
    "video_llava": ("chat", "video", tiny.video_llava),
    "qwen2_audio": ("chat", "audio", tiny.qwen2_audio),
    "qwen3_omni": ("chat", "audio", tiny.qwen3_omni),
    "audio_flamingo": ("chat", "audio", lambda folder: tiny.flamingo(folder, "AudioFlamingo3")),
    "music_flamingo": ("chat", "audio", lambda folder: tiny.flamingo(folder, "MusicFlamingo")),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    kind, medium, build = CASES[request.param]
    return kind, medium, build(tmp_path_factory.mktemp(request.param))


def captioner(kind: str, medium: str, folder: Path, **decoding: Any) -> Any:
    prompt = read_prompt(default_prompt(kind, medium), {"max_tokens": 12, **decoding}) if kind == "chat" else None
    return build_captioner(CaptionerConfig(kind, str(folder), decoding={"max_tokens": 12, **decoding}), prompt)


def requests(medium: str) -> list[CaptionRequest]:
    return [CaptionRequest(Item("examples", name, {}), medium, EXAMPLES / name, seed) for seed, name in enumerate(FILES[medium])]


def raw(model: Any, items: list[CaptionRequest], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model says, also where a random one never ends a sentence."""
    module = type(model).__module__
    monkeypatch.setattr(f"{module}.whole_sentences", lambda text, complete=False: text)
    return model.describe(items)


def test_text_comes_back_and_a_batch_equals_each_alone(case: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kind, medium, folder = case
    model, items = captioner(kind, medium, folder), requests(medium)
    texts = raw(model, items, monkeypatch)
    assert len(texts) == 2 and all(texts)
    assert texts == [raw(model, [item], monkeypatch)[0] for item in items]


def test_seeds_repeat_sampled_text(case: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kind, medium, folder = case
    model, items = captioner(kind, medium, folder, temperature=1.0, top_p=0.95), requests(medium)
    texts = raw(model, items, monkeypatch)
    assert texts == raw(model, items, monkeypatch)
    assert texts[::-1] == raw(model, items[::-1], monkeypatch)
    other = [CaptionRequest(item.item, item.medium, item.path, item.seed + 100) for item in items]
    assert texts != raw(model, other, monkeypatch)


def test_the_model_gets_the_media_of_each_item(case: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kind, medium, folder = case
    model, given = captioner(kind, medium, folder), {}
    generate = type(model.model).generate
    monkeypatch.setattr(type(model.model), "generate", lambda self, **inputs: given.update(inputs) or generate(self, **inputs))
    raw(model, requests(medium), monkeypatch)
    name = {"audio": "input_features", "image": "pixel_values"}.get(medium, "pixel_values_videos" if kind == "chat" else "pixel_values")
    first, second = given[name]
    assert not first.equal(second)
    if medium == "video":
        assert len(first) == (8 if kind == "chat" else 4)


def test_a_model_without_all_weights_is_refused(tmp_path: Path) -> None:
    folder = tiny.blip(tmp_path)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "attention" in name)
    save_file({name: value for name, value in weights.items() if name != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"lack {lost}"):
        captioner("blip", "image", folder)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    folder = tiny.mistral(tmp_path)
    with pytest.raises(ValueError, match="'MistralForCausalLM', not BlipForConditionalGeneration"):
        captioner("blip", "image", folder)
    tiny.rename_class(folder, "MyOwnModel")
    with pytest.raises(ValueError, match="no model of transformers that writes text"):
        load_text_model(str(folder), revision=None, dtype="auto", device=None)


def test_attention_of_other_peoples_code_is_refused(tmp_path: Path) -> None:
    folder = tiny.llava_next(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["_attn_implementation"] = "somebody/kernels"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="other code is not run"):
        captioner("chat", "image", folder)


def test_a_model_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    for kind, medium in (("blip", "image"), ("vision_encoder_decoder", "video"), ("chat", "audio")):
        with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
            captioner(kind, medium, tmp_path / "nowhere")


def test_a_folder_without_a_chat_template_and_one_that_does_not_hear_are_refused(tmp_path: Path) -> None:
    folder = tiny.llava_next(tmp_path)
    model = captioner("chat", "image", folder)
    with pytest.raises(ValueError, match="does not hear"):
        model.describe([CaptionRequest(Item("examples", "song", {}), "audio", EXAMPLES / "violin_swing.flac", 0)])
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="has no chat template"):
        captioner("chat", "image", folder)


def test_blip_goes_on_with_the_words_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("{name: begin, version: 1, text: a picture of}")
    model = build_captioner(CaptionerConfig("blip", str(tiny.blip(tmp_path)), decoding={"max_tokens": 12}), read_prompt(prompt))
    assert all(text.startswith("a picture of") and text.count("a picture of") == 1 for text in raw(model, requests("image"), monkeypatch))
