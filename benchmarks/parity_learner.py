"""Parity of training: losses and gradients of `TrainingModule`, from cached features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.parity_checks import Check, Values, close, present, read_picture, same
from benchmarks.parity_variant import CAPTIONS, CASES, CONSTANT, GRADIENT_BOUND, MEDIA, Bench
from llama.checkpoint.key_mapping import to_published
from llama.media.audio import Waveform
from llama.modules.losses import IGNORE
from llama.mumu_llama import MuMuLLaMA
from llama.training.feature_cache import FeatureCache, PreparedMedia
from llama.training.module import ConditionWeights, TrainingBatch, TrainingModule, internal_name, mark_trainable
from llama.training.stages import stage, trainable

LOSSES, GRADIENTS = "train_forward.safetensors", "grads_stage2_music_audio.safetensors"
SKETCHES = "grads_stage2_music_audio_sketches.safetensors"
SIGNS = 16


def learner_checks(folder: Path, variant: str) -> Iterator[Check]:
    """Checks of `folder/variant`, if it has training's reference values."""
    variant_folder = folder / variant
    if not present(variant_folder, LOSSES):
        return
    bench = Bench(folder, variant)
    training = TrainingBench(bench.model, bench.inputs, Values.read(variant_folder / LOSSES))
    for check in (*training.losses(), *training.gradients(variant_folder)):
        yield Check(f"{variant}.learner.{check.name}", check.error, check.note, check.bound)


class TrainingBench:
    """The training module of stage 2 as published, and batches of the reference's inputs.

    expected: the values of train_forward.safetensors.
    """

    def __init__(self, model: MuMuLLaMA, inputs: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        self.model, self.inputs, self.expected = model, inputs, expected
        self.trained = trainable(model, stage(2, "published", model.config.variant))
        self.features = FeatureCache(model, None, self.trained)
        self.module = TrainingModule(model, ConditionWeights(padding="count"))  # as the published regression does

    # -- batches ------------------------------------------------------------------------------------------------------

    def prepare(self, kind: str, loudness: float) -> PreparedMedia:
        if kind == "audio":
            inputs = tuple(self.model.mert.windows(Waveform(loudness * self.inputs["audio_24k"][None], 24_000)))
        elif kind == "image":
            inputs = (self.model.vit.prepare(read_picture(self.inputs)),)
        else:
            inputs = (self.model.vivit.prepare(self.inputs["video_thwc_uint8"].numpy()),)
        return PreparedMedia(kind, "", kind, None, inputs)

    def make_batch(
        self, tokens: Tensor, labels: Tensor, media: Sequence[str], captions: Sequence[str], loudness: Sequence[float] = (1.0,)
    ) -> TrainingBatch:
        """tokens, labels [B, T], 0 where nothing is learned; every row has each of `media`, at its own loudness."""
        features_by_kind = {kind: self.features.encode_missing([self.prepare(kind, volume) for volume in loudness]) for kind in media}
        states, mask = self.features.targets(captions) if captions else (None, None)
        return TrainingBatch(tokens, labels.masked_fill(labels == 0, IGNORE), features_by_kind, states, mask)

    def case(self, name: str) -> TrainingBatch:
        if name == "batch2_all":
            return self.make_batch(self.expected["batch2_tokens"], self.expected["batch2_labels"], MEDIA, CAPTIONS, (1.0, 0.5))
        media, captioned, kind = CASES[name]
        return self.make_batch(*self.rows(kind), media, CAPTIONS[:1] if captioned else ())

    def rows(self, kind: str) -> tuple[Tensor, Tensor]:
        """Tokens and labels, [1, T]."""
        return self.inputs[f"train_tokens_{kind}"][None], self.inputs[f"train_labels_{kind}"][None]

    # -- checks -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def losses(self) -> Iterator[Check]:
        for name in (*CASES, "batch2_all"):
            reference = self.expected.get(f"{name}.c_loss_reference")
            if reference is None:
                continue
            batch = self.case(name)
            words, condition = means(self.module(batch))
            constant = CONSTANT if batch.states is not None else 0.0
            error = close("", words[None], reference - constant).error
            # The constant leaves the reference with the rounding of a number of its size.
            yield Check(f"{name}.words", error, bound=max(1e-5, 2e-7 * constant / float(words)))
            if batch.states is not None:
                yield close(f"{name}.condition", condition[None], self.expected[f"{name}.mse_loss"])

    def gradients(self, folder: Path) -> Iterator[Check]:
        """Against the reference's gradients in `folder`, or their sketches, whichever there are."""
        for file, label, compare in ((GRADIENTS, "grads", deviation), (SKETCHES, "grads_sketched", sketched_deviation)):
            if present(folder, file):
                computed, expected = self.compute_gradients(), Values.read(folder / file)
                yield same(f"{label}.names", sorted(computed), sorted(expected))
                worst, name = max((compare(computed[name], expected[name]), name) for name in computed.keys() & expected.keys())
                yield Check(f"{label} ({len(computed)})", worst, f"worst in {name}", GRADIENT_BOUND)

    def compute_gradients(self) -> dict[str, Tensor]:
        """Gradients for text and music after a recording, under published names."""
        mark_trainable(self.module, self.trained)
        self.module.zero_grad()
        sums = self.module(self.make_batch(*self.rows("music"), ("audio",), CAPTIONS[:1]))
        (sum(means(sums)) + sums["zero_grad_anchor"]).backward()
        parameters = self.module.named_parameters()
        return to_published({internal_name(name): value.grad for name, value in parameters if value.grad is not None})


def means(sums: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The learner's sums -> mean loss of words, mean loss of the condition (not a number without one)."""
    return sums["words"].sum() / sums["words_count"].sum(), sums["condition"].sum() / sums["condition_count"].sum()


def deviation(ours: Tensor, reference: Tensor) -> float:
    return close("", ours, reference).error


def sketch(value: Tensor) -> Tensor:
    """[16]: sums of all elements under random signs. Their root mean square is about the tensor's norm, and so it is for
    the difference of two tensors (Johnson and Lindenstrauss 1984)."""
    signs = torch.randint(0, 2, (SIGNS, value.numel()), generator=torch.Generator().manual_seed(0)) * 2 - 1
    return (signs.double() @ value.detach().double().flatten()).float()


def sketched_deviation(ours: Tensor, reference: Tensor) -> float:
    """Norm of the difference over the reference's norm, both from sketches."""
    return float((sketch(ours) - reference).norm() / reference.norm())
