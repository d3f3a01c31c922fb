"""Embedders: nano on real sound, the others as tiny random models of the same classes: windows, batches, reload, and bad input."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from embedder_doubles import ast_folder, clap_folder, vggish_state
from safetensors.torch import load_file, save_file
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from llama.evaluation import vggish
from llama.evaluation.audio_metrics import frechet_distance
from llama.evaluation.embedders import DEFAULTS, load_classifier, load_embedder, parse_spec
from llama.evaluation.window_embedder import Classifier, Embedder, ModelSpec, Placement, TextEmbedder
from llama.media.audio import Waveform

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
ALL = Placement(batch_size=3)


def tone(seconds: float, rate: int = 16_000, pitch: float = 440.0, seed: int = 0) -> Waveform:
    time = torch.arange(round(seconds * rate)) / rate
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(seed))
    return Waveform((0.4 * torch.sin(2 * torch.pi * pitch * time) + 0.05 * noise)[None], rate)


def vggish_file(folder: Path) -> Path:
    folder.mkdir(parents=True)
    torch.save(vggish_state(), folder / "vggish.pth")
    return folder / "vggish.pth"


MAKERS: dict[str, Callable[[Path], Path]] = {
    "nano": lambda folder: Path(DEFAULTS["nano"]),
    "mert": lambda folder: Path(DEFAULTS["nano"], "mert"),
    "clap": clap_folder,
    "ast": ast_folder,
    "vggish": vggish_file,
}
SECONDS = {"nano": 1.0, "mert": 5.0, "clap": 10.0, "ast": 1.28, "vggish": 0.975}


@pytest.fixture(scope="module")
def embedders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Embedder]:
    root = tmp_path_factory.mktemp("models")
    return {name: load_embedder(ModelSpec(name, str(make(root / name))), ALL) for name, make in MAKERS.items()}


# -- all of them --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_windows_of_recordings_of_any_length(embedders: dict[str, Embedder], name: str) -> None:
    """One shorter than a window, one with a rest below half a window, one with a longer rest."""
    length = SECONDS[name]
    waves = [tone(0.3 * length), tone(2.4 * length), tone(2.7 * length)]
    tables = embedders[name].embed(waves)
    assert [len(table) for table in tables] == [1, 2, 2 if name == "vggish" else 3]
    assert len({table.shape[1] for table in tables}) == 1
    assert all(table.dtype == np.float32 and np.isfinite(table).all() for table in tables)


@pytest.mark.parametrize("name", MAKERS)
def test_a_batch_equals_each_alone(embedders: dict[str, Embedder], name: str) -> None:
    length = SECONDS[name]
    waves = [tone(0.4 * length, pitch=300), tone(2.2 * length, seed=1), tone(1.1 * length, pitch=600, seed=2)]
    for together, wave in zip(embedders[name].embed(waves), waves, strict=True):
        np.testing.assert_allclose(together, embedders[name].embed([wave])[0], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_stereo_at_another_rate_is_the_same_sound(embedders: dict[str, Embedder], name: str) -> None:
    """The rate is read, not assumed: the same samples at half the rate are another sound."""
    low = tone(1.1 * SECONDS[name], rate=8000, pitch=330)
    twice = low.resample(16_000)
    stereo = Waveform(twice.samples.repeat(2, 1), 16_000)
    expected, same = (embedders[name].embed([wave])[0][0] for wave in (low, stereo))
    other = embedders[name].embed([Waveform(twice.samples, 8000)])[0][0]
    change = np.linalg.norm(other - expected)
    assert np.linalg.norm(same - expected) < 0.25 * change, (np.linalg.norm(same - expected), change)


@pytest.mark.parametrize("name", MAKERS)
def test_a_click_is_refused(embedders: dict[str, Embedder], name: str) -> None:
    with pytest.raises(ValueError, match=r"0\.050 s long, too short to be heard"):
        embedders[name].embed([tone(1.0), tone(0.05)])
    silence = embedders[name].embed([Waveform(torch.zeros(1, 16_000), 16_000)])[0]
    assert np.isfinite(silence).all()


def test_a_mean_over_windows_is_the_one_by_hand(embedders: dict[str, Embedder]) -> None:
    wave = tone(2.0, rate=24_000)
    halves = [Waveform(half.contiguous(), 24_000) for half in wave.samples.split(24_000, 1)]
    by_hand = np.concatenate(embedders["nano"].embed(halves))
    np.testing.assert_allclose(embedders["nano"].embed([wave])[0], by_hand, rtol=1e-3, atol=2e-5)


# -- nano ---------------------------------------------------------------------------------------------------------------


def test_nano_tells_music_from_noise_and_finds_a_wrong_rate(embedders: dict[str, Embedder]) -> None:
    """First halves of the four shipped pieces are nearer to their second halves than to noise, and than to these with another header."""
    pieces = [Waveform.read(path) for path in sorted(EXAMPLES.glob("*.flac"))]
    rate, half = pieces[0].sample_rate, pieces[0].samples.shape[1] // 2
    generator = torch.Generator().manual_seed(7)
    noise = [Waveform(0.1 * torch.randn(1, half, generator=generator), rate) for _ in pieces]
    sets = [[Waveform(piece.samples[:, :half], rate) for piece in pieces]]
    sets += [[Waveform(piece.samples[:, half:], other) for piece in pieces] for other in (rate, rate // 2, rate * 2)]
    first, second, octave_down, octave_up, hiss = (np.concatenate(embedders["nano"].embed(waves)) for waves in (*sets, noise))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    distance = frechet_distance(first, second)
    assert frechet_distance(first, octave_down) > 2 * distance
    assert frechet_distance(first, octave_up) > 2 * distance
    assert frechet_distance(first, hiss) > 5 * distance


# -- CLAP and AST -------------------------------------------------------------------------------------------------------


def test_clap_windows_are_cut_here_not_at_random(embedders: dict[str, Embedder]) -> None:
    wave = tone(21.0, rate=48_000, seed=4)
    first, again = embedders["clap"].embed([wave])[0], embedders["clap"].embed([wave])[0]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)


def test_clap_texts(embedders: dict[str, Embedder]) -> None:
    clap = embedders["clap"]
    assert isinstance(clap, TextEmbedder) and not isinstance(embedders["ast"], TextEmbedder)
    texts = ["a piano waltz", "rock guitar", "a", "piano " * 200]
    together = clap.embed_texts(texts)
    assert together.shape == (4, clap.embed([tone(1)])[0].shape[1])
    alone = np.concatenate([clap.embed_texts([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


def test_a_fused_clap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a fused CLAP, whose extractor draws crops at random"):
        load_embedder(ModelSpec("clap", str(clap_folder(tmp_path / "fused", fusion=True))), ALL)


def test_reloaded_equal_and_half_loaded_refused(embedders: dict[str, Embedder], tmp_path: Path) -> None:
    for name in ("clap", "ast"):
        folder = Path(embedders[name].spec.path)
        again = load_embedder(ModelSpec(name, str(folder)), ALL)
        np.testing.assert_array_equal(again.embed([tone(1)])[0], embedders[name].embed([tone(1)])[0])
        broken = tmp_path / name
        shutil.copytree(folder, broken)
        state = load_file(broken / "model.safetensors")
        key = next(key for key in state if key.endswith(("projection.linear1.weight", "classifier.dense.weight")))
        save_file({**state, key: state[key] * float("nan")}, broken / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match="is not finite"):
            load_embedder(ModelSpec(name, str(broken)), ALL)
        save_file({k: v for k, v in state.items() if k != key}, broken / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match=rf"The {name} weights lack {key}; give the complete component with --embedder {name}=FOLDER"):
            load_embedder(ModelSpec(name, str(broken)), ALL)


def test_ast_probabilities_are_those_of_its_own_forward(embedders: dict[str, Embedder]) -> None:
    ast = embedders["ast"]
    assert isinstance(ast, Classifier)
    waves = [tone(1.0), tone(2.7, pitch=900)]
    probabilities = ast.class_probabilities(waves)
    assert probabilities.shape == (2, 527) and probabilities.sum(1) == pytest.approx(1)
    extractor = ASTFeatureExtractor.from_pretrained(ast.spec.path)
    model = ASTForAudioClassification.from_pretrained(ast.spec.path).eval()
    values = extractor(waves[0].samples[0].numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"]
    expected = model(torch.as_tensor(values)).logits.softmax(-1)[0]
    np.testing.assert_allclose(probabilities[0], expected.detach().numpy(), rtol=1e-4)


def test_half_precision_is_near(embedders: dict[str, Embedder]) -> None:
    half = load_embedder(embedders["ast"].spec, replace(ALL, dtype=torch.bfloat16))
    exact = embedders["ast"].embed([tone(1)])[0]
    assert np.linalg.norm(half.embed([tone(1)])[0] - exact) < 0.1 * np.linalg.norm(exact)


# -- VGGish -------------------------------------------------------------------------------------------------------------


def test_the_mel_matrix_is_made_of_triangles() -> None:
    """Bins of 31.25 Hz. 1000 Hz is 32 bins up, 999.99 on HTK's mel scale; neighbouring triangles add up to one between their centres."""
    matrix = vggish.mel_matrix()
    assert matrix.shape == (257, 64) and not matrix[0].any()
    assert not matrix[:5].any() and matrix[5].any(), "125 Hz, the fourth bin, is the edge; the next lies inside"
    assert not matrix[240:].any() and matrix[239].any(), "and 7500 Hz, the 240th"
    mel = [1127 * np.log1p(hertz / 700) for hertz in (125.0, 7500.0, 1000.0)]
    place = (mel[2] - mel[0]) / ((mel[1] - mel[0]) / 65)  # in steps above the lowest edge: 20.30
    assert matrix[32].sum() == pytest.approx(1, abs=1e-5)
    assert matrix[32, int(place)] == pytest.approx(place % 1, abs=1e-4), "the upper triangle rises"
    assert matrix[32, int(place) - 1] == pytest.approx(1 - place % 1, abs=1e-4), "the lower one falls"


def test_log_mel_of_a_tone_and_of_silence() -> None:
    """A tone of amplitude a on a bin has the magnitude a N / 4 under a Hann window of N samples: 100 a for 400."""
    time = torch.arange(15_600, dtype=torch.float64) / 16_000
    frames = vggish.log_mel((0.5 * torch.cos(2 * torch.pi * 1000 * time)).float()[None])
    assert frames.shape == (1, 96, 64)
    spectrum = torch.zeros(257)
    window = torch.hann_window(400, dtype=torch.float64)
    spectrum = torch.fft.rfft(0.5 * torch.cos(2 * torch.pi * 1000 * time[:400]) * window, 512).abs().float()
    assert spectrum[32] == pytest.approx(50, rel=1e-3)
    np.testing.assert_allclose(frames[0, 0], torch.log(spectrum @ vggish.mel_matrix() + 0.01), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(vggish.log_mel(torch.zeros(1, 400)), np.log(0.01), rtol=1e-6)
    assert [vggish.log_mel(torch.zeros(1, count)).shape[1] for count in (400, 559, 560)] == [1, 1, 2]


def test_vggish_has_the_published_shapes() -> None:
    with torch.device("meta"):
        model = vggish.VGGish((64, 128, 256, 256, 512, 512), (4096, 4096, 128))
        out = model(torch.zeros(2, 96, 64))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "features.0.weight": (64, 1, 3, 3), "features.3.weight": (128, 64, 3, 3), "features.6.weight": (256, 128, 3, 3),
        "features.8.weight": (256, 256, 3, 3), "features.11.weight": (512, 256, 3, 3), "features.13.weight": (512, 512, 3, 3),
        "embeddings.0.weight": (4096, 12288), "embeddings.2.weight": (4096, 4096), "embeddings.4.weight": (128, 4096),
    }  # fmt: skip
    assert out.shape == (2, 128) and sum(value.numel() for value in model.parameters()) == 72_141_184


def test_vggish_flattens_with_channels_last() -> None:
    """Only the dense weight of one place (time 1, band 2, channel 3 of 6 x 4 x 8) is set: the output is that place's value."""
    model = vggish.VGGish((4, 4, 8, 8, 8, 8), (1, 1, 1))
    place = (1 * 4 + 2) * 8 + 3
    with torch.no_grad():
        for linear in (model.embeddings[0], model.embeddings[2], model.embeddings[4]):
            linear.bias.zero_()
            linear.weight.fill_(1)
        model.embeddings[0].weight.zero_()[0, place] = 1
        examples = torch.randn(1, 96, 64)
        assert model(examples).item() == pytest.approx(model.features(examples[:, None])[0, 3, 1, 2].item(), rel=1e-5)


def test_vggish_examples_are_contiguous(embedders: dict[str, Embedder]) -> None:
    wave = tone(3.0)
    frames = vggish.log_mel(wave.samples)[0]
    by_hand = embedders["vggish"].model(torch.stack([frames[96 * i : 96 * (i + 1)] for i in range(3)]))
    np.testing.assert_allclose(embedders["vggish"].embed([wave])[0], by_hand.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("embeddings.4.bias"), "lack embeddings.4.bias; give a complete file"),
        (lambda state: state.update({"fc.weight": torch.zeros(1)}), "hold fc.weight, which VGGish does not have"),
        (lambda state: state.update({"features.3.weight": torch.zeros(4, 4, 5, 5)}), r"features.3.weight as torch.float32 \[4, 4, 5, 5\]"),
        (lambda state: state.update({"features.3.weight": torch.zeros(4, 4, 3, 3, dtype=torch.int8)}), "torch.int8"),
        (lambda state: state["features.0.bias"].fill_(float("inf")), "is not finite"),
        (lambda state: state.clear(), "lack embeddings.0.bias and 17 more"),
    ],
)
def test_vggish_refuses_other_weights(tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str) -> None:
    state = {name: value.clone() for name, value in vggish_state().items()}
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=message):
        load_embedder(ModelSpec("vggish", str(tmp_path / "w.pth")), ALL)


def test_vggish_reads_safetensors_and_leaves_the_postprocessor_out(embedders: dict[str, Embedder], tmp_path: Path) -> None:
    save_file({**vggish_state(), "pproc.pca_means": torch.zeros(128, 1)}, tmp_path / "w.safetensors")
    again = load_embedder(ModelSpec("vggish", str(tmp_path / "w.safetensors")), ALL)
    np.testing.assert_array_equal(again.embed([tone(1)])[0], embedders["vggish"].embed([tone(1)])[0])


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_vggish_files_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.pth"
    torch.save([1, 2], path) if content is None else path.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match="Cannot load VGGish from .*; give a .pth or .safetensors file"):
        load_embedder(ModelSpec("vggish", str(path)), ALL)


# -- names --------------------------------------------------------------------------------------------------------------


def test_names_of_models(tmp_path: Path) -> None:
    assert parse_spec("clap", DEFAULTS) == ModelSpec("clap", "laion/clap-htsat-unfused")
    assert parse_spec("clap=my/clap@v1.2", DEFAULTS) == ModelSpec("clap", "my/clap", "v1.2")
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert parse_spec(f"ast={folder}", DEFAULTS) == ModelSpec("ast", str(folder))
    messages = {"pann": "no model called 'pann'; give one of nano, mert", "ast=": "names no folder", "vggish": "give them as vggish=FILE"}
    for text, message in messages.items():
        with pytest.raises(ValueError, match=message):
            parse_spec(text, DEFAULTS)


@pytest.mark.parametrize("name", ["nano", "mert", "clap", "ast", "vggish"])
def test_folders_that_are_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError)) as caught:
        load_embedder(ModelSpec(name, str(tmp_path / "nothing")), ALL)
    assert "nothing" in str(caught.value) and "\n" not in str(caught.value)


def test_another_models_folder_is_refused(embedders: dict[str, Embedder]) -> None:
    with pytest.raises(ValueError, match="weights lack"):
        load_embedder(ModelSpec("clap", embedders["ast"].spec.path), ALL)
    with pytest.raises(ValueError, match="gives no class probabilities; give one of ast"):
        load_classifier(embedders["vggish"].spec, ALL)
