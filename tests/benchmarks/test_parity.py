"""Parity with every reference value, through the command `python -m benchmarks.parity`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks import decoding, musicgen, parity, parity_variant

LAYERS = 8  # of the tiny model
FAMILIES = (
    r"tokenizer\.sizes", r"tokenizer\..+\.ids", r"tokenizer\..+\.decode",
    r"resample\.44100", r"resample\.mono\.44100", r"sample_top_p\.0\.8\.filtered", r"sample_top_p\.0\.8\.tokens",
    *(rf"full_keys_{variant}_{decoder}\.{what}" for variant in ("m2ugen", "mumu") for decoder in ("musicgen", "audioldm2")
      for what in ("missing", "left_over", "shapes")),
    *(rf"m2ugen\.prepare\.{medium}" for medium in ("audio", "image", "video")),
    r"m2ugen\.mert_hidden_states", r"m2ugen\.vit_last_hidden", r"m2ugen\.vivit_last_hidden",
    *(rf"m2ugen\.encode_{medium}" for medium in ("audio", "image", "video")),
    *(rf"m2ugen\.{medium}_feats" for medium in ("audio", "image", "video")),
    *(rf"m2ugen\.layer_out_text_{index}" for index in range(LAYERS)),
    r"m2ugen\.logits_all_positions_text",
    *(rf"m2ugen\.(logits|last_hidden)_{what}" for what in ("text", "audio", "image", "video", "all")),
    r"m2ugen\.train\..+\.ce_logits", r"m2ugen\.train\.zero_labels\.ce",
    *(rf"m2ugen\.train\.{case}\.{what}" for case in ("music_text", "music_audio_image", "batch2_all")
      for what in ("ce", "ce_labels", "mse", "proj_in_hidden", "proj_in_embs", "proj_out", "target_x10")),
    *(rf"m2ugen\.generate\.greedy_{what}\.tokens" for what in ("text", "audio", "image", "video", "audio_image", "all")),
    r"m2ugen\.learner\..+\.words", r"m2ugen\.learner\..+\.condition", r"m2ugen\.learner\.grads_sketched.*",
    r"m2ugen\.generate\..+\.step_logits", r"m2ugen\.scripted\.tokens",
    *(rf"m2ugen\.scripted\.projector_{what}" for what in ("in_hidden", "in_embs", "out")),
    r"m2ugen\.scripted\.reference_codes", r"m2ugen\.scripted\.intended_codes_NOT_REFERENCE",
    r"m2ugen\.scripted\.intended_waveform_NOT_REFERENCE",
    *(rf"mumu\.{what}" for what in ("prepare.audio", "mert_hidden_states", "encode_audio", "audio_rnn_out", "audio_attn", "audio_feats")),
)  # fmt: skip


@pytest.fixture(scope="module")
def checks(golden: Path) -> list[parity.Check]:
    return list(parity.checks(golden))


def test_every_check_holds(checks: list[parity.Check]) -> None:
    failed = [check.line() for check in checks if not check.ok]
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_values_is_compared(checks: list[parity.Check], family: str) -> None:
    assert any(re.fullmatch(family, check.name) for check in checks), f"no check is called {family}"


def test_names_are_unique(checks: list[parity.Check]) -> None:
    assert len({check.name for check in checks}) == len(checks)


# -- the checks themselves can fail ---------------------------------------------------------------------------------


def test_a_value_that_differs_fails() -> None:
    reference = torch.tensor([1.0, -2.0])
    assert parity.close("a", reference + 1e-6, reference).ok
    assert not parity.close("a", reference + 1e-4, reference).ok
    assert not parity.close("a", reference[:1], reference).ok
    assert not parity.close("a", torch.tensor([torch.nan, -2.0]), reference).ok
    assert not parity.same("a", [1, 2], [1, 3]).ok


def test_the_overlay_is_what_the_later_variant_is_checked_with(golden: Path, tmp_path: Path) -> None:
    """One changed weight in it, and the features are no longer the reference's."""
    for name in ("components", "inputs.safetensors", "m2ugen"):
        (tmp_path / name).symlink_to(golden / name)
    (tmp_path / "mumu").mkdir()
    weights = load_file(golden / "mumu/audio_weights.safetensors")
    weights["mu_mert_rnn.weight_hh_l0"] = 1.1 * weights["mu_mert_rnn.weight_hh_l0"]
    save_file(weights, tmp_path / "mumu/audio_weights.safetensors")
    (tmp_path / "mumu/outputs.safetensors").symlink_to(golden / "mumu/outputs.safetensors")
    failed = {check.name for check in parity_variant.variant_checks(tmp_path, "mumu") if not check.ok}
    assert "mumu.audio_feats" in failed and "mumu.mert_hidden_states" not in failed


def test_the_exit_code_reports_failures(golden: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good = parity.Check("good", 0.0)
    monkeypatch.setattr("sys.argv", ["parity", str(golden)])
    for found, code in (([good], 0), ([good, dataclasses.replace(good, error=1.0)], 1), ([], 1)):
        monkeypatch.setattr(parity, "checks", lambda folder, found=found: iter(found))
        assert parity.main() == code
        assert f"{len(found)} checks" in capsys.readouterr().out


# -- other benchmarks: unequal answers fail, missed speed targets are only reported ------------------------------------


@pytest.mark.parametrize(("equal", "code"), [(True, 0), (False, 1)])
def test_other_codes_than_the_peers_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], equal: bool, code: int
) -> None:
    monkeypatch.setattr("sys.argv", ["musicgen", "--rounds", "1", "--frames", "1", "--threads", "1"])
    small = musicgen.random_decoder(width=16, layers=1, vocabulary=8)
    monkeypatch.setattr(musicgen, "random_decoder", lambda: small)
    monkeypatch.setattr(musicgen, "ours", lambda *_: torch.zeros(1))
    monkeypatch.setattr(musicgen, "theirs", lambda *_: torch.zeros(1) if equal else torch.ones(1))
    monkeypatch.setattr(musicgen, "TARGET", 1e9)
    assert musicgen.main() == code
    assert "missed" in capsys.readouterr().out


@pytest.mark.parametrize(("equal", "code"), [(True, 0), (False, 1)])
def test_other_tokens_than_the_peers_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], equal: bool, code: int
) -> None:
    figures = {"speed": 9.0, "ratio": 1.1, "growth": 1.2, "share": 0.6}
    for name, value in (("Transformer", lambda _: torch.nn.Linear(1, 1)), ("merge_lora", lambda _: None), ("peer", lambda _: None),
                        ("our_tokens", lambda *_: [1]), ("their_tokens", lambda *_: [1 if equal else 2]),
                        ("one_round", lambda *_: figures)):
        monkeypatch.setattr(decoding, name, value)
    monkeypatch.setattr(decoding, "THREADS", 1)
    assert decoding.main() == code
    assert re.findall(r"(\w+) \S+ \(at .*missed", capsys.readouterr().out) == ["ratio_to_transformers"]
