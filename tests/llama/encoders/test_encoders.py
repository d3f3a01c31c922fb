"""Encoders: features and prepared inputs equal the published ones; weights go round under their published names."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from llama.encoders.base import FrozenEncoder
from llama.encoders.mert import MERTEncoder
from llama.encoders.vit import ViTEncoder
from llama.encoders.vivit import ViViTEncoder
from llama.media.audio import Waveform

ENCODERS = {"mert": MERTEncoder, "vit": ViTEncoder, "vivit": ViViTEncoder}
KINDS = list(ENCODERS)
CLOSE = 1e-5  # of the largest magnitude


def assert_equal(made: Tensor, expected: Tensor) -> None:
    assert made.shape == expected.shape
    assert (made - expected).abs().max() <= CLOSE * expected.abs().max()


def component(golden: Path, kind: str, file: str) -> dict:
    return json.loads((golden / "components" / kind / file).read_text())


def weights(golden: Path, kind: str) -> dict[str, Tensor]:
    prefix = f"{kind}_model."
    state = load_file(golden / "m2ugen" / "model.safetensors")
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def built(golden: Path, kind: str, preprocessor: dict | None = None) -> FrozenEncoder:
    return ENCODERS[kind].from_state(component(golden, kind, "config.json"), weights(golden, kind), preprocessor)


@pytest.fixture(scope="module")
def inputs(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "inputs.safetensors")


@pytest.fixture(scope="module")
def outputs(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "m2ugen" / "outputs.safetensors")


def prepared(encoder: FrozenEncoder, inputs: dict[str, Tensor]) -> Tensor:
    if isinstance(encoder, MERTEncoder):
        return encoder.windows(Waveform(inputs["audio_24k"][None], 24_000))[0][None]
    if isinstance(encoder, ViTEncoder):
        return encoder.prepare(Image.fromarray(inputs["image_chw_uint8"].permute(1, 2, 0).numpy()))[None]
    return encoder.prepare(inputs["video_thwc_uint8"])[None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_file", [True, False])
def test_inputs_and_features_equal_the_reference(golden: Path, inputs: dict, outputs: dict, kind: str,
                                                 with_file: bool) -> None:
    """With the component's own preprocessor file, and with the defaults that stand in for it."""
    encoder = built(golden, kind, component(golden, kind, "preprocessor_config.json") if with_file else None)
    given = prepared(encoder, inputs)
    assert_equal(given, inputs[{"mert": "mert_input_values"}.get(kind, f"{kind}_pixel_values")])
    features = encoder.encode(given)
    expected = outputs["mert_hidden_states"][None] if kind == "mert" else outputs[f"{kind}_last_hidden"][:, None]
    assert_equal(features, expected)
    assert features.shape[-1] == encoder.feature_dim


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_shared_and_come_back_under_their_names(golden: Path, inputs: dict, kind: str) -> None:
    state = weights(golden, kind)
    encoder = ENCODERS[kind].from_state(component(golden, kind, "config.json"), state)
    places = {value.data_ptr() for value in state.values()}
    assert {value.data_ptr() for value in encoder.parameters()} == places, "weights were copied"
    exported = encoder.export_state()
    names = json.loads(gzip.decompress((golden / "m2ugen" / "keys.json.gz").read_bytes()))
    assert set(exported) == {name.removeprefix(f"{kind}_model.") for name in names if name.startswith(f"{kind}_model.")}
    assert all(torch.equal(exported[name], state[name]) for name in state)
    again = ENCODERS[kind].from_state(component(golden, kind, "config.json"), exported)
    given = prepared(encoder, inputs)
    assert torch.equal(again.encode(given), encoder.encode(given))


def test_old_weight_norm_names_are_read(golden: Path, inputs: dict) -> None:
    state = weights(golden, "mert")
    place = "encoder.pos_conv_embed.conv."
    old = {name.replace("parametrizations.weight.original0", "weight_g")
               .replace("parametrizations.weight.original1", "weight_v"): value for name, value in state.items()}
    assert f"{place}weight_g" in old and f"{place}weight_v" in old
    encoder = MERTEncoder.from_state(component(golden, "mert", "config.json"), old)
    given = prepared(encoder, inputs)
    assert torch.equal(encoder.encode(given), built(golden, "mert").encode(given))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_folders_load_alike(golden: Path, inputs: dict, tmp_path: Path, kind: str) -> None:
    encoder = built(golden, kind, {"do_normalize": True})
    given = prepared(encoder, inputs)
    encoder.save(tmp_path / "same")
    again = ENCODERS[kind].from_folder(tmp_path / "same")
    assert torch.equal(again.encode(given), encoder.encode(given)) and again.preprocessor == encoder.preprocessor
    assert sorted(file.name for file in (tmp_path / "same").iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json"]
    encoder.save(tmp_path / "half", dtype=torch.float16)
    assert next(iter(load_file(tmp_path / "half" / "model.safetensors").values())).dtype == torch.float16
    half = ENCODERS[kind].from_folder(tmp_path / "half")
    assert half.dtype == torch.float32 and encoder.dtype == torch.float32
    assert (half.encode(given) - encoder.encode(given)).abs().max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_encoders_stay_frozen(golden: Path, inputs: dict, kind: str) -> None:
    encoder = built(golden, kind)
    given = prepared(encoder, inputs)
    torch.nn.ModuleList([encoder]).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert torch.equal(encoder.encode(given), encoder.encode(given)) and not encoder.encode(given).requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_batch_equals_the_row_alone(golden: Path, inputs: dict, kind: str) -> None:
    encoder = built(golden, kind)
    one = prepared(encoder, inputs)
    batch = torch.cat([one, 0.5 * one.flip(-1)])
    torch.testing.assert_close(encoder.encode(batch)[1:], encoder.encode(batch[1:]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("seconds", "lengths"), [
    (0.01, [400]), (59.5, [59.5]), (60, [60]), (60.5, [60.5]), (61, [60, 1]), (120, [60, 60]), (120.9, [60, 60.9]),
    (150, [60, 60, 30])])
def test_windows_hold_the_whole_recording(golden: Path, seconds: float, lengths: list[float]) -> None:
    """0.01 s is shorter than the receptive field and filled with zeros; a tail under a second joins its neighbour."""
    encoder = built(golden, "mert", {"do_normalize": False})
    recording = torch.randn(1, round(seconds * 24_000))
    windows = encoder.windows(Waveform(recording, 24_000))
    wanted = [length if length == 400 else round(length * 24_000) for length in lengths]
    assert [len(window) for window in windows] == wanted
    assert torch.equal(torch.cat(windows)[: recording.shape[1]], recording[0])
    assert encoder.encode(windows[-1][None][:, :24_000]).isfinite().all()


def test_windows_are_mono_at_the_encoders_rate_and_normalised_alone(golden: Path) -> None:
    encoder = built(golden, "mert")
    wave = Waveform(torch.randn(2, 62 * 8000) * 0.1 + 0.3, 8000)
    windows = encoder.windows(wave)
    assert [len(window) for window in windows] == [60 * 24_000, 2 * 24_000]
    for window in windows:
        assert abs(window.mean()) < 1e-4 and abs(window.std() - 1) < 1e-3
    assert encoder.windows(Waveform(torch.zeros(1, 24_000), 24_000))[0].abs().max() == 0  # silence stays silence


def test_video_values_lie_between_minus_three_and_one(golden: Path) -> None:
    encoder = built(golden, "vivit")
    frames = np.zeros((3, 40, 50, 3), np.uint8)
    frames[-1] = 255
    pixels = encoder.prepare(frames)
    assert pixels.shape[0] == encoder.frames and (pixels.min(), pixels.max()) == (-3.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_known_architectures_are_the_published_ones(golden: Path, kind: str) -> None:
    """At full scale, without memory: loading is strict both ways, so names and shapes agree one by one."""
    table = gzip.decompress((golden / "full_keys_m2ugen_musicgen.tsv.gz").read_bytes()).decode()
    rows = [row.split("\t") for row in table.splitlines() if row.startswith(f"{kind}_model.")]
    state = {name.removeprefix(f"{kind}_model."): torch.empty([int(side) for side in shape.split("x")], device="meta")
             for name, shape in rows}
    encoder = ENCODERS[kind].from_state(None, state)
    assert len(list(encoder.parameters())) == len(rows)
    assert sum(value.numel() for value in encoder.parameters()) == sum(value.numel() for value in state.values())
    sizes = {"mert": {"states": 25, "feature_dim": 1024, "sample_rate": 24_000, "receptive_field": 400},
             "vit": {"tokens": 197, "feature_dim": 768}, "vivit": {"tokens": 3137, "feature_dim": 768, "frames": 32}}
    assert {name: getattr(encoder, name) for name in sizes[kind]} == sizes[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_do_not_fit_are_refused(golden: Path, kind: str) -> None:
    config, state = component(golden, kind, "config.json"), weights(golden, kind)
    needed = next(name for name in state if name.endswith(("layernorm.weight", "encoder.layer_norm.weight")))
    lacking = {name: value for name, value in state.items() if name != needed}
    wider = state | {needed: torch.zeros(7)}
    for values, tensors in ((None, state), (config | {"num_hidden_layers": 5}, state), (config, {}), (config, lacking),
                            (config | {"intermediate_size": 8}, state), (config, state | {"stray.weight": torch.zeros(1)}),
                            (config, wider)):
        with pytest.raises(ValueError) as caught:
            ENCODERS[kind].from_state(values, tensors)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=f"{kind}_path"):
        ENCODERS[kind].from_state(None, state)


def test_unused_parts_may_be_missing(golden: Path, inputs: dict) -> None:
    for kind in KINDS:
        state = {name: value for name, value in weights(golden, kind).items()
                 if not name.startswith("pooler.") and name != "masked_spec_embed"}
        encoder = ENCODERS[kind].from_state(component(golden, kind, "config.json"), state)
        given = prepared(encoder, inputs)
        assert torch.equal(encoder.encode(given), built(golden, kind).encode(given))


def test_foreign_folders_are_refused(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "missing", tmp_path / "file", tmp_path, golden / "components" / "vit"):
        with pytest.raises((FileNotFoundError, ValueError), match="mert_path"):
            MERTEncoder.from_folder(path)


def test_a_spectrum_is_one_state_more(golden: Path) -> None:
    """Configured, it is the last state, frame for frame, filled up with zeros; the others stay as published."""
    small = {"octaves": 2, "bins": 12, "high": 4, "windows": [512], "slower": [8], "changes": [], "highest": 1200.0, "lowest": 110.0}
    plain, heard = built(golden, "mert"), built(golden, "mert", {"spectrum": small})
    hop = math.prod(plain.model.config.conv_stride)
    if hop % 8:
        heard = built(golden, "mert", {"spectrum": {**small, "slower": [1]}})
    samples = torch.randn(2, 24_000)
    states, more = plain.encode(samples), heard.encode(samples)
    assert heard.states == plain.states + 1 == more.shape[1]
    assert torch.equal(more[:, :-1], states)
    assert more[:, -1, :, :28].std() > 0.05 and not more[:, -1, :, 28:].any()
    with torch.autocast("cpu", torch.bfloat16):  # what trains beside it may compute in another type
        assert torch.equal(heard.encode(samples), more)
    with pytest.raises(ValueError, match="does not fit"):
        built(golden, "mert", {"spectrum": {}})
