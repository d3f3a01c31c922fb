"""Parity of one variant's checkpoint: features, logits, losses, gradients, greedy sequences, a scripted piece of music."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.parity_checks import ABSENT, Check, Values, close, present, read_picture, same
from llama.checkpoint.builder import set_parameter
from llama.checkpoint.key_mapping import internal_name
from llama.decoders.base import SynthesisRequest
from llama.dialogue import Turn
from llama.generation import GenerationOptions, decode
from llama.media.audio import Waveform
from llama.modules.adapters import RecurrentPool, UnderstandingAdapter, concat_windows, l2_normalize
from llama.modules.losses import IGNORE, answer_loss, audio_token_positions, condition_loss
from llama.mumu_llama import MuMuLLaMA, load
from llama.mumu_model import ModalityFeatures

CAPTIONS = ("A slow piano plays at 90 beats per minute", "A loud drums plays")
CONSTANT = 100.0  # the published training adds it to every loss that has a caption; it moves no gradient
INTENDED_SUFFIX = "_m2ugenstyle_NOT_REFERENCE"  # mumu's published video path cannot run; these values follow m2ugen's
WEIGHTS = ("checkpoint.pth", "model.safetensors")
OVERLAY = "audio_weights.safetensors"  # a variant without weights of its own: the tensors that it lays over those of BASE
BASE = "m2ugen/model.safetensors"
CASES = {  # name: media, caption given, kind of tokens
    "music_text": ((), True, "music"),
    "music_nocap": ((), False, "music"),
    "music_audio_image": (("audio", "image"), True, "music"),
    "caption_audio": (("audio",), False, "caption"),
}
MEDIA = ("audio", "image", "video")
GUIDANCE = 3.5
GRADIENT_BOUND = 3e-5  # the reference and ours each stand up to 1.1e-5 from the same gradients in float64


def variant_checks(folder: Path, variant: str) -> Iterator[Check]:
    """Checks of `folder/variant`, if there are weights in it, or an overlay of the base's."""
    has_weights = any(present(folder / variant, name) for name in WEIGHTS)
    if not has_weights and not present(folder, f"{variant}/{OVERLAY}", BASE):
        return
    bench = Bench(folder, variant)
    works = (
        ("outputs.safetensors", bench.encoders), ("outputs.safetensors", bench.features),
        ("outputs.safetensors", bench.long_recording), ("outputs.safetensors", bench.logits),
        ("train_forward.safetensors", bench.training), ("grads_stage2_music_audio.safetensors", bench.gradients),
        ("generate.safetensors", bench.greedy), ("scripted_overlay.safetensors", bench.scripted),
    )  # fmt: skip
    for needed, work in works:
        if present(folder / variant, needed):
            for check in work(folder / variant / needed):
                if check is not ABSENT:
                    yield dataclasses.replace(check, name=f"{variant}.{check.name}")


class Bench:
    """One variant's model and the inputs that the reference values were made from."""

    def __init__(self, folder: Path, variant: str) -> None:
        self.folder, self.variant = folder, variant
        self.inputs = Values.read(folder / "inputs.safetensors")
        self.model = self.load()
        self.tokens = self.inputs["prompt_tokens"][None]
        self.media = self.encode(self.turn(1.0))

    def load(self) -> MuMuLLaMA:
        folder_of_variant = self.folder / self.variant
        weights = next((folder_of_variant / name for name in WEIGHTS if present(folder_of_variant, name)), None)
        if weights is not None:
            return self.load_file(weights)
        with TemporaryDirectory() as folder:
            return self.load_file(self.overlay(Path(folder) / "model.safetensors"))

    def overlay(self, file: Path) -> Path:
        """The base's weights with the variant's own on top; its unused recurrent video pool gets the sizes of the audio pool."""
        state = load_file(self.folder / BASE) | load_file(self.folder / self.variant / OVERLAY)
        recurrent = [name for name in state if name.startswith(("mu_mert_rnn.", "mu_mert_attention."))]
        idle = {name.replace("mu_mert", "iu_vivit"): torch.zeros_like(state[name]) for name in recurrent}
        save_file(idle | state, file)
        return file

    def load_file(self, file: Path) -> MuMuLLaMA:
        parts = self.folder / "components"
        return load(
            file, llama_dir=parts / "llama", mert_path=parts / "mert", vit_path=parts / "vit", vivit_path=parts / "vivit",
            music_decoder_path=parts / "musicgen", dtype=torch.float32, merge_lora=False,
        )  # fmt: skip

    def waveform(self, loudness: float = 1.0) -> Waveform:
        return Waveform(loudness * self.inputs["audio_24k"][None], 24_000)

    def turn(self, loudness: float) -> Turn:
        """A turn with all three media of the reference; `loudness` scales the recording."""
        return Turn(audio=self.waveform(loudness), image=read_picture(self.inputs), video=self.inputs["video_thwc_uint8"].numpy())

    def encoder_inputs(self) -> dict[str, Tensor]:
        """The media as our preparation hands them to the encoders, a batch of one each."""
        model = self.model
        return {
            "audio": model.mert.windows(self.waveform())[0][None],
            "image": model.vit.prepare(read_picture(self.inputs))[None],
            "video": model.vivit.prepare(self.inputs["video_thwc_uint8"].numpy())[None],
        }

    @torch.no_grad()
    def encode(self, *turns: Turn) -> ModalityFeatures:
        return self.model.encode(turns)

    def select(self, names: tuple[str, ...]) -> ModalityFeatures:
        return ModalityFeatures(**{name: getattr(self.media, name) for name in names})

    # -- understanding --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def states(self) -> dict[str, Tensor]:
        """Encoder states [1, L, T, F] of each medium."""
        model, inputs = self.model, self.encoder_inputs()
        encoders = {"audio": model.mert, "image": model.vit, "video": model.vivit}
        return {name: encoder.encode(inputs[name]) for name, encoder in encoders.items()}

    def encoders(self, file: Path) -> Iterator[Check]:
        inputs = self.encoder_inputs()
        for name, reference in (("audio", "mert_input_values"), ("image", "vit_pixel_values"), ("video", "vivit_pixel_values")):
            yield close(f"prepare.{name}", inputs[name], self.inputs[reference])
        expected, states = Values.read(file), self.states()
        yield close("mert_hidden_states", states["audio"][0], expected["mert_hidden_states"])
        yield close("vit_last_hidden", states["image"][:, 0], expected["vit_last_hidden"])
        yield close("vivit_last_hidden", states["video"][:, 0], expected["vivit_last_hidden"])

    @torch.no_grad()
    def features(self, file: Path) -> Iterator[Check]:
        expected, states = Values.read(file), self.states()
        for name in MEDIA:
            adapter = cast(UnderstandingAdapter, self.model.adapters[name])
            frames = adapter.frames(states[name])
            if name == "audio" and "audio_rnn_out" in expected:
                yield close("encode_audio", adapter.mix(states[name]), expected["encode_audio"])
                pool = cast(RecurrentPool, adapter.pools["recurrent"])
                outputs, _ = pool.rnn(frames["recurrent"])
                yield close("audio_rnn_out", outputs, expected["audio_rnn_out"])
                yield close("audio_attn", pool.attention(outputs).softmax(1)[..., 0], expected["audio_attn"])
            elif f"encode_{name}" in expected:
                yield close(f"encode_{name}", frames["mean"].mean(dim=1), expected[f"encode_{name}"])
            key = f"{name}_feats" if f"{name}_feats" in expected else f"{name}_feats_m2ugen_style_NOT_REFERENCE"
            yield close(key, getattr(self.media, name), expected[key])

    @torch.no_grad()
    def long_recording(self, file: Path) -> Iterator[Check]:
        """The reference encodes the first 60 s only; this implementation encodes all, with windows weighted by length."""
        expected = Values.read(file)
        if "audio_61s_24k" not in self.inputs or "audio_feats_first60s" not in expected:
            return
        mert, adapter = self.model.mert, self.model.adapters["audio"]
        wave = Waveform(self.inputs["audio_61s_24k"][None], 24_000)
        windows = [adapter.frames(mert.encode(window[None])) for window in mert.windows(wave)]
        first = adapter.prompts(adapter.pool(windows[0]))
        yield close("audio_feats_first60s", first, expected["audio_feats_first60s"])
        yield close("audio_feats_61s_reference", first, expected["audio_feats_61s_reference"], "it hears 60 s of 61")
        key = "encode_audio_61s_intended_two_windows_NOT_REFERENCE"
        if key in expected:
            equal = torch.stack([window["mean"].mean(1) for window in windows]).mean(0)
            yield close(key, equal, expected[key], "windows weighted equally, as in that value; the model goes by length")
            whole = adapter.pool(concat_windows(windows))[0]
            by_length = l2_normalize(torch.cat([window["mean"] for window in windows], 1).mean(1))
            yield close("encode_audio_61s_by_length", whole, by_length)

    def logits(self, file: Path) -> Iterator[Check]:
        expected, layer_outputs = Values.read(file), []
        hooks = [layer.register_forward_hook(lambda *args: layer_outputs.append(args[-1])) for layer in self.model.llama.layers]
        with torch.no_grad():
            text = self.model(self.tokens)
        for hook in hooks:
            hook.remove()
        for index, output in enumerate(layer_outputs):
            yield close(f"layer_out_text_{index}", output, expected[f"layer_out_text_{index}"])
        yield close("logits_all_positions_text", text.logits, expected["logits_all_positions_text"])
        for name, media in {"text": (), **{medium: (medium,) for medium in MEDIA}, "all": MEDIA}.items():
            end = "" if f"logits_{name}" in expected else INTENDED_SUFFIX
            with torch.no_grad():
                output = self.model(self.tokens, self.select(media))
            yield close(f"logits_{name}{end}", output.logits[:, -1], expected[f"logits_{name}{end}"])
            yield close(f"last_hidden_{name}{end}", output.hidden, expected[f"last_hidden_{name}{end}"])

    # -- training -------------------------------------------------------------------------------------------------

    def training(self, file: Path) -> Iterator[Check]:
        expected = Values.read(file)
        for case, (media, captioned, kind) in CASES.items():
            if f"{case}.c_loss_reference" not in expected:
                continue
            tokens, labels = (self.inputs[f"train_{what}_{kind}"][None] for what in ("tokens", "labels"))
            yield from self.case(expected, case, tokens, labels, self.select(media), CAPTIONS[:1] if captioned else ())
        zero = torch.full_like(self.tokens, IGNORE)
        nothing = answer_loss(self.model(self.tokens).logits, zero)[None]
        yield close("train.zero_labels.ce", nothing, expected["zero_labels.c_loss_reference"])
        if "batch2_tokens" in expected:
            both = self.encode(self.turn(1.0), self.turn(0.5))
            yield from self.case(expected, "batch2_all", expected["batch2_tokens"], expected["batch2_labels"], both, CAPTIONS)

    @torch.no_grad()
    def case(self, expected: Values, case: str, tokens: Tensor, labels: Tensor, media: ModalityFeatures,
             captions: tuple[str, ...]) -> Iterator[Check]:  # fmt: skip
        output, targets = self.model(tokens, media), labels.masked_fill(labels == 0, IGNORE)
        yield close(f"train.{case}.ce_logits", output.logits[:, :-1].flatten(0, 1), expected[f"{case}.ce_logits"])
        yield same(f"train.{case}.ce_labels", labels[:, 1:].flatten(), expected[f"{case}.ce_labels"])
        loss = expected[f"{case}.c_loss_reference"] - (CONSTANT if captions else 0.0)
        # The constant leaves that value with the rounding of a number of its size.
        bound = 2e-7 * CONSTANT / float(loss) if captions else 1e-5
        check = close(f"train.{case}.ce", answer_loss(output.logits, targets)[None], loss)
        yield Check(check.name, check.error, "reference less its constant 100" if captions else "", max(1e-5, bound))
        if captions:
            hidden, embeddings = self.spans(tokens, targets, output.hidden)
            yield close(f"train.{case}.proj_in_hidden", hidden, expected[f"{case}.proj_in_hidden"])
            yield close(f"train.{case}.proj_in_embs", embeddings, expected[f"{case}.proj_in_embs"])
            projected = self.model.project(hidden, embeddings)
            yield close(f"train.{case}.proj_out", projected, expected[f"{case}.proj_out"])
            yield from self.target(expected, case, projected, captions)

    def target(self, expected: Values, case: str, projected: Tensor, captions: tuple[str, ...]) -> Iterator[Check]:
        states = expected[f"{case}.target_x10"] / 10
        if self.model.music_decoder.tokenizer is not None:
            embedded, _ = self.model.music_decoder.embed(captions)
            yield close(f"train.{case}.target_x10", 10 * embedded, expected[f"{case}.target_x10"])
        yield close(f"train.{case}.mse", condition_loss(projected, states)[None], expected[f"{case}.mse_loss"])

    def spans(self, tokens: Tensor, labels: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """States that predict the eight audio tokens, and those tokens' embeddings, [rows, 8, D]."""
        marks = self.model.tokenizer.audio_tokens
        positions = audio_token_positions(labels, marks[0]).tolist()
        states = torch.stack([hidden[row, start : start + len(marks)] for row, start in positions])
        return states, self.model.audio_token_embeddings(len(positions))

    def gradients(self, file: Path) -> Iterator[Check]:
        expected, model = Values.read(file), self.load()
        tokens, labels = (self.inputs[f"train_{what}_music"][None] for what in ("tokens", "labels"))
        output, targets = model(tokens, self.select(("audio",))), labels.masked_fill(labels == 0, IGNORE)
        marks = model.tokenizer.audio_tokens
        (_, start), *_ = audio_token_positions(targets, marks[0]).tolist()
        embeddings = model.llama.tok_embeddings(labels[:, 1:][:, start : start + len(marks)])
        projected = model.project(output.hidden[:, start : start + len(marks)], embeddings)
        target = load_file(file.with_name("train_forward.safetensors"))["music_text.target_x10"] / 10
        (answer_loss(output.logits, targets) + condition_loss(projected, target)).backward()
        gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        queries = torch.cat([gradients.pop(f"prefix_query.{name}") for name in MEDIA])[:, 0]
        ours = {name: queries if name == "prefix_query.weight" else gradients[internal_name(name)] for name in expected}
        worst = max((close(f"grads.{name}", ours[name], expected[name]) for name in expected), key=lambda check: check.error)
        yield Check(f"grads ({len(expected)})", worst.error, f"worst in {worst.name}", GRADIENT_BOUND)

    # -- generation -----------------------------------------------------------------------------------------------

    def decode_steps(
        self, prompt: Tensor, media: ModalityFeatures, steps: int, options: GenerationOptions
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [S], logits [S, V] and hidden [S, D] of `steps` tokens, without any rule for stopping."""
        decoded = list(decode(self.model, [prompt.tolist()], media, steps, options))
        tokens, logits, hidden = (torch.cat(parts) for parts in zip(*((s.tokens, s.logits, s.hidden) for s in decoded), strict=True))
        return tokens, logits, hidden

    def greedy(self, file: Path) -> Iterator[Check]:
        expected = Values.read(file)
        for case in sorted(name.removesuffix(".prompt") for name in expected if name.endswith(".prompt")):
            if case == "scripted":
                continue
            words = case.split("_")
            media = MEDIA if "all" in words else tuple(name for name in MEDIA if name in words)
            sampled = GenerationOptions(temperature=0.6, top_p=0.8) if case.startswith("sampled") else GenerationOptions()
            expected_tokens, logits = expected[f"{case}.tokens"], expected[f"{case}.step_logits"]
            if expected_tokens is None and logits is None:
                continue
            steps = len(logits if expected_tokens is None else expected_tokens)
            tokens, ours, _ = self.decode_steps(expected[f"{case}.prompt"], self.select(media), steps, sampled)
            yield same(f"generate.{case}.tokens", tokens, expected_tokens)
            yield close(f"generate.{case}.step_logits", ours, logits)

    def scripted(self, file: Path) -> Iterator[Check]:
        """Weights that write a known text and the eight audio tokens: from the prompt to the sound."""
        original_model = self.model
        self.model = self.load()
        for name, value in load_file(file).items():
            set_parameter(self.model, internal_name(name), value)
        values = load_file(file.with_name("generate.safetensors"))
        expected = Values({name.removeprefix("scripted."): value for name, value in values.items()})
        count = len(expected["tokens"])
        tokens, logits, hidden = self.decode_steps(expected["prompt"], ModalityFeatures(), count, GenerationOptions())
        yield same("scripted.tokens", tokens, expected["tokens"])
        yield close("scripted.step_logits", logits, expected["step_logits"])
        first = tokens.tolist().index(self.model.tokenizer.audio_tokens[0])
        yield from self.music(expected, hidden[None, first : first + 8])
        self.model = original_model

    @torch.no_grad()
    def music(self, expected: Values, hidden: Tensor) -> Iterator[Check]:
        embeddings = self.model.audio_token_embeddings(1)
        yield close("scripted.projector_in_hidden", hidden, expected["projector_in_hidden"])
        yield close("scripted.projector_in_embs", embeddings, expected["projector_in_embs"])
        projected = self.model.project(hidden, embeddings)
        yield close("scripted.projector_out", projected, expected["projector_out"])
        yield from self.sound(expected, "intended", "_NOT_REFERENCE", projected / 10, None)
        ids, mask = expected["reference_musicgen_caption_ids"], expected["reference_musicgen_attention_mask"]
        states = self.model.music_decoder.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        yield from self.sound(expected, "reference", "", states, mask)

    def sound(
        self, expected: Values, kind: str, end: str, condition: Tensor, mask: Tensor | None
    ) -> Iterator[Check]:
        """The codes and the waveform that the condition leads to, greedily."""
        decoder, codes, wave = self.model.music_decoder, expected[f"{kind}_codes{end}"], expected[f"{kind}_waveform{end}"]
        if codes is None:
            return
        seconds = codes.shape[-1] * decoder.hop / decoder.sample_rate
        request = SynthesisRequest(condition, seconds, mask, GUIDANCE, 0.0, (0,), decoder.condition_shape)
        *_, (computed, _) = decoder.codes(request, codes.new_zeros(1, codes.shape[2], 0))
        yield same(f"scripted.{kind}_codes{end}", computed, codes[0])
        chunks = decoder.synthesize(request)
        yield close(f"scripted.{kind}_waveform{end}", torch.cat(list(chunks), -1)[0, 0], wave)
