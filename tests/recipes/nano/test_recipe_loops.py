"""The training commands of the recipe on tiny material: a resumed run equals an uninterrupted one, and each writes what it says."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from llama.modules.tokenizer import Tokenizer
from recipes.nano import timed_loop
from recipes.nano.audio_encoder import pools
from recipes.nano.audio_encoder import train as audio_encoder
from recipes.nano.language import fit_image_adapter, fit_projector, train_cached
from recipes.nano.music_decoder import model as decoder_model
from recipes.nano.music_decoder import train as music_decoder
from recipes.nano.rendering.clip_set import CLIP_SAMPLES, FRAMES, ROLL_FRAMES, ROLL_WIDTH, SPECTRUM
from recipes.nano.timed_loop import TimedTrainer
from recipes.nano.vision_encoder import augmentation, finetune_photographs
from recipes.nano.vision_encoder import train as vision_encoder

ROOT = Path(__file__).resolve().parents[3]
STEPS = 4
LABELS = {"lead": "flute", "accompaniment": "pad", "style": "rock", "tempo": 120, "mode": "minor", "metre": 4, "drums": True,
          "key": 11, "kind": "music"}  # fmt: skip
NO_MUSIC = {**dict.fromkeys(LABELS), "kind": "speech"}
SCENE = {"place": "sea", "light": "day", "weather": "clear", "mood": "calm", "energy": "low"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches and validation sets; every step takes one second, so that the minutes fix the number of steps."""
    ticks = itertools.count()
    monkeypatch.setattr(timed_loop, "time", SimpleNamespace(monotonic=lambda: next(ticks), process_time=lambda: next(ticks)))
    monkeypatch.setattr(music_decoder, "train_tokenizer", partial(decoder_model.train_tokenizer, captions=200))
    monkeypatch.setattr(music_decoder, "Options", partial(music_decoder.Options, frames=30, captions=4, reading=0.3, read_captions=4))
    for name in ("distil", "attend"):
        monkeypatch.setitem(audio_encoder.PHASES, name, replace(audio_encoder.PHASES[name], seconds=2.0, batch=2))
    for module in (audio_encoder, pools):
        monkeypatch.setattr(module, "pretrain_harmony", partial(module.pretrain_harmony, steps=2))
    monkeypatch.setattr(pools, "BATCH", 2)
    monkeypatch.setattr(train_cached, "STEP_TOKENS", 200)
    monkeypatch.setattr(train_cached, "EPOCH_ROWS", 6)
    monkeypatch.setattr(train_cached, "VALIDATION_ROWS", 2)
    for name in ("EPOCH_ROWS", "VALIDATION_ROWS"):
        monkeypatch.setattr(fit_image_adapter, name, 4)
    for name in ("SAMPLED_ROWS", "VALIDATION_ROWS"):
        monkeypatch.setattr(fit_projector, name, 8)
    monkeypatch.setattr(finetune_photographs, "DRAWINGS", 60)
    for module in (vision_encoder, finetune_photographs):
        monkeypatch.setattr(module, "TEST_COUNT", 20)


@pytest.fixture
def work(tmp_path: Path, golden: Path) -> Path:
    """A work folder with five clips, one of them speech, and a tokenizer."""
    rng, data = np.random.default_rng(0), tmp_path / "data"
    data.mkdir()
    for name, labels in (("train", [LABELS] * 4), ("noise_train", [NO_MUSIC])):
        rng.integers(-9000, 9000, (len(labels), CLIP_SAMPLES)).astype(np.int16).tofile(data / f"{name}.i16")
        rng.integers(0, 2, (len(labels), ROLL_FRAMES, ROLL_WIDTH)).astype(np.uint8).tofile(data / f"{name}.roll")
        rng.integers(0, 160, (len(labels), FRAMES, SPECTRUM.bands)).astype(np.uint8).tofile(data / f"{name}.bands")
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    shutil.copy(golden / "components/llama/tokenizer.model", tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Command:
    """A training command that keeps a checkpoint."""

    main: Callable[[], None]
    arguments: str
    checkpoint: str
    resume: str = ""

    def run(self, monkeypatch: pytest.MonkeyPatch, work: Path, steps: int, resume: bool = False) -> dict[str, Any]:
        run(monkeypatch, self.main, f"{self.arguments} {self.resume if resume else ''}", work, steps)
        return torch.load(work / self.checkpoint, weights_only=True)


COMMANDS = {
    "decoder": Command(music_decoder.main, "--work {work}", "checkpoint.pt"),
    "distil": Command(audio_encoder.main, "distil --work {work}", "ears.pt"),
    "attend": Command(audio_encoder.main, "attend --work {work}", "ears.pt"),
    "pools": Command(audio_encoder.main, "pools --work {work}", "pools.pt"),
    "words": Command(train_cached.main, "{work} words", "language.pt", "--resume"),
}


def run(monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], arguments: str, work: Path, steps: int) -> None:
    words = [word.format(work=work) for word in arguments.split()]
    monkeypatch.setattr(sys, "argv", ["command", *words, "--minutes", str(steps / 60)])
    main()


def tensors(state: object, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a nested checkpoint, by their paths."""
    if isinstance(state, torch.Tensor):
        return {name: state}
    children = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    return {path: value for key, child in children for path, value in tensors(child, f"{name}/{key}").items()}


def interrupt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends SIGINT in the step before the last, the first time that it is reached."""
    step = TimedTrainer._step

    def interrupted_step(self: TimedTrainer, compute_loss: Any) -> Any:
        if self.step == STEPS - 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, compute_loss)

    monkeypatch.setattr(TimedTrainer, "_step", interrupted_step)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_resumed_run_equals_an_uninterrupted_one(name: str, work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    command, other = COMMANDS[name], tmp_path_factory.mktemp("other")
    shutil.copytree(work, other, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        uninterrupted = command.run(monkeypatch, work, STEPS)
        interrupt_once(monkeypatch)
        with pytest.raises(SystemExit, match="3 steps"):
            command.run(monkeypatch, other, STEPS)
        stopped = torch.load(other / command.checkpoint, weights_only=True)
        resumed = command.run(monkeypatch, other, STEPS, resume=True)
    assert stopped["step"] == STEPS - 1 and resumed["step"] == uninterrupted["step"] == STEPS
    expected, found, before = tensors(uninterrupted), tensors(resumed), tensors(stopped)
    assert expected.keys() == found.keys() and not [path for path in expected if not torch.equal(expected[path], found[path])]
    assert any(not torch.equal(value, before[path]) for path, value in expected.items() if path in before), "the last step trained"
    assert resumed["spent"] == uninterrupted["spent"] == STEPS and resumed["random"]["numpy"] == uninterrupted["random"]["numpy"]


def test_attend_starts_from_the_weights_of_distil(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilled = COMMANDS["distil"].run(monkeypatch, work, 1)
    trainer = audio_encoder.EncoderTrainer(audio_encoder.PHASES["attend"], work, 1.0)
    assert trainer.trainer.step == 0
    name = "encoder.encoder.layers.0.attention.q_proj.weight"
    assert torch.equal(trainer.model.state_dict()[name], distilled["listener"][name])


def test_the_encoder_logs_means(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_encoder, "LOG_STEPS", 2)
    COMMANDS["distil"].run(monkeypatch, work, 2)
    names, values = (row.split(",") for row in (work / "ears_distil.csv").read_text().split())
    assert names == ["step", "minutes", "clips", "conv", "last", "chroma"] and values[:3] == ["2", "0.0333", "4"]


def test_the_decoder_logs_losses_of_each_book(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validation = music_decoder.sample_batch(np.random.default_rng(0), music_decoder.Options(), steps=20, held_out=True)
    monkeypatch.setattr(music_decoder, "REPORT_SECONDS", 2.0)
    monkeypatch.setattr(music_decoder, "validation_batch", lambda: validation)
    frames = COMMANDS["decoder"].run(monkeypatch, work, 2)["frames"]
    names, values = (row.split(",") for row in (work / "log.csv").read_text().split())
    assert names[:5] == ["seconds", "step", "frames", "keys_read", "train_tempo"] and names[-1] == "wrong_text_lead"
    assert len(names) == len(values) == 4 + 3 * len(music_decoder.CODEBOOKS) and values[:3] == ["2", "2", str(frames)] and frames > 0


def test_a_decoder_begins_with_an_earlier_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = COMMANDS["decoder"].run(monkeypatch, work, 1)
    options = music_decoder.Options(seed=9)
    trainer = music_decoder.DecoderTrainer(work / "new", options, 1.0)
    trainer.resume(warm=work)
    assert trainer.trainer.step == 0
    assert all(torch.equal(value, earlier["decoder"][name]) for name, value in trainer.decoder.state_dict().items())


def test_a_stage_starts_from_the_one_before(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    COMMANDS["words"].run(monkeypatch, work, 1)
    state = replace(COMMANDS["words"], arguments="{work} ears").run(monkeypatch, work, 2, resume=True)
    assert state["stage"] == "ears" and state["step"] == 2, "a checkpoint of another stage is no run to resume"
    rows = [row.split(",")[:3] for row in (work / "language.csv").read_text().splitlines()]
    assert rows == [["words", "1", "0.02"], ["ears", "2", "0.03"]]


def test_a_resumed_run_on_pictures_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, vision_encoder.main, "picture {work}/whole --count 20", tmp_path, STEPS)
    interrupt_once(monkeypatch)
    with pytest.raises(SystemExit, match="3 steps"):
        run(monkeypatch, vision_encoder.main, "picture {work}/new/vit --count 20", tmp_path, STEPS)
    assert (tmp_path / "new/vit.pt").exists() and not (tmp_path / "new/vit").exists()
    run(monkeypatch, vision_encoder.main, "picture {work}/new/vit --count 20 --resume", tmp_path, STEPS)
    for name in ("model.safetensors", "heads.safetensors"):
        expected, found = (vision_encoder.load_file(tmp_path / folder / name) for folder in ("whole", "new/vit"))
        assert expected.keys() == found.keys() and all(torch.equal(expected[key], found[key]) for key in expected)
    assert not list(tmp_path.rglob("*.pt")), "a finished run keeps no checkpoint"


def test_pictures_are_learned_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, vision_encoder.main, "picture {work} --count 20", tmp_path, 2)
    first = vision_encoder.load_file(tmp_path / "heads.safetensors")
    assert json.loads((tmp_path / "scores.json").read_text()).keys() == vision_encoder.HEADS["picture"].keys()
    run(monkeypatch, vision_encoder.main, "picture {work} --count 20 --resume", tmp_path, 1)
    second = vision_encoder.load_file(tmp_path / "heads.safetensors")
    assert 0 < (second["mood.weight"] - first["mood.weight"]).abs().max() < 1e-3, "one step from the weights of before"


def test_photographs_are_learned_after_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, album = np.random.default_rng(0), tmp_path / "photographs_train"
    album.mkdir()
    for photograph in [one for one in augmentation.training_photographs() if not one.cut_out][:80]:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(album / photograph.file)
    run(monkeypatch, vision_encoder.main, "picture {work}/vit --count 20", tmp_path, 1)
    before = vision_encoder.load_file(tmp_path / "vit/heads.safetensors")
    monkeypatch.setattr(finetune_photographs, "EVALUATION_STEPS", 1)
    monkeypatch.setattr(finetune_photographs, "validation_score", lambda scores: 1.0)  # the last weights are the best
    run(monkeypatch, finetune_photographs.main, "fit {work}", tmp_path, 2)
    after = vision_encoder.load_file(tmp_path / "vit/heads.safetensors")
    assert 0 < (after["mood.weight"] - before["mood.weight"]).abs().max() < 1e-3, "a moving average"
    assert json.loads((tmp_path / "vit/scores.json").read_text())["photographs"].keys() >= {"mood", "energy_balanced"}


@pytest.fixture
def language(work: Path) -> dict[str, torch.Tensor]:
    """The weights of an untrained language.pt in `work`, beside the embedded decoder and features of a few pictures."""
    (work / "decoder").symlink_to(ROOT / "ckpts/nano/decoder")
    weights = train_cached.new_model(Tokenizer(work / "tokenizer.model")).state_dict()
    torch.save({"model": weights, "stage": "music"}, work / "language.pt")
    parts = ("train", "test", "photographs")
    save_file({part: torch.randn(3, 1, 65, 128).half() for part in parts}, work / "data/features_image.safetensors")
    (work / "data/labels_image.json").write_text(json.dumps({part: [SCENE] * 3 for part in parts}))
    return weights


@pytest.mark.parametrize(
    "main, arguments, prefix, stage",
    [
        (fit_image_adapter.main, "{work}", "adapters.image.", "look"),
        (fit_projector.main, "{work} --rows 16", "output_projector.", "voice"),
    ],
)
def test_one_part_is_fitted_alone(
    main: Callable[[], None], arguments: str, prefix: str, stage: str, work: Path, language: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run(monkeypatch, main, arguments, work, 2)
    state = torch.load(work / "language.pt", weights_only=True)
    changed = {name for name, value in state["model"].items() if not torch.equal(value, language[name])}
    assert state["stage"] == stage and changed and all(name.startswith(prefix) for name in changed)


@pytest.mark.parametrize("main", [fit_image_adapter.main, fit_projector.main])
def test_a_missing_language_model_is_named(main: Callable[[], None], work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="language.pt; train the language stages first"):
        run(monkeypatch, main, "{work}", work, 1)
