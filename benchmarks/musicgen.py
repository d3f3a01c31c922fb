"""Speed of this MusicGen loop against transformers' `generate`: python -m benchmarks.musicgen

Ten million random parameters, guidance on, batch 1, greedy, the same frames, in one run; the two take turns and the
medians count. One line a figure. Exit code 1 if the codes differ; a missed target is only reported, because timings vary.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    T5Config,
)
from transformers.modeling_outputs import BaseModelOutput

from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.hf import suppress_hf_logging

GUIDANCE = 3.0
TARGET = 1.8


def random_decoder(width: int = 256, layers: int = 8, vocabulary: int = 1024) -> MusicGenDecoder:
    """A MusicGen with a decoder of about ten million random parameters and a negligible codec and text encoder."""
    torch.manual_seed(0)
    text = T5Config(vocab_size=64, d_model=64, d_kv=16, d_ff=64, num_layers=1, num_heads=4)
    codec = EncodecConfig(
        sampling_rate=32000, upsampling_ratios=[8, 5, 4, 4], num_filters=2, hidden_size=16, codebook_dim=16,
        codebook_size=vocabulary, num_lstm_layers=1, target_bandwidths=[2.0],
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=8, ffn_dim=4 * width,
        pad_token_id=vocabulary, bos_token_id=vocabulary, max_position_embeddings=2048,
    )  # fmt: skip
    config = MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict())
    with suppress_hf_logging():
        model = MusicgenForConditionalGeneration(config)
    for name in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, name, vocabulary)
    return MusicGenDecoder(model).requires_grad_(False)


def ours(decoder: MusicGenDecoder, condition: Tensor, frames: int) -> Tensor:
    request = SynthesisRequest(condition, frames * decoder.hop / decoder.sample_rate, None, GUIDANCE, 0.0, (0,), decoder.condition_shape)
    no_codes = torch.zeros(1, decoder.model.config.decoder.num_codebooks, 0, dtype=torch.long)
    for codes, complete in decoder.codes(request, no_codes):
        if complete == frames:
            return codes
    raise AssertionError("the loop ended early")


def theirs(decoder: MusicGenDecoder, condition: Tensor, frames: int) -> Tensor:
    """transformers' generate on the same condition; the codes are captured before the codec, which is not timed."""
    captured: list[Tensor] = []
    model, decode = decoder.model, decoder.model.audio_encoder.decode

    def capture(codes: Tensor, **_: object) -> BaseModelOutput:
        captured.append(codes[0])
        output = BaseModelOutput()
        output.audio_values = codes
        return output

    model.audio_encoder.decode = capture
    try:
        ones = torch.ones(condition.shape[:2], dtype=torch.long)
        model.generate(
            input_ids=torch.ones(1, 1, dtype=torch.long),
            encoder_outputs=BaseModelOutput(last_hidden_state=torch.cat([condition, torch.zeros_like(condition)])),
            attention_mask=torch.cat([ones, torch.zeros_like(ones)]),
            guidance_scale=GUIDANCE, do_sample=False, max_new_tokens=frames + 3,
        )  # fmt: skip
    finally:
        model.audio_encoder.decode = decode
    return captured[0]


def seconds(work: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=250, help="codec frames to make (50 a second)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    decoder = random_decoder()
    condition = torch.randn(1, *decoder.condition_shape)
    runs = {"ours": lambda: ours(decoder, condition, options.frames), "theirs": lambda: theirs(decoder, condition, options.frames)}
    same = torch.equal(runs["ours"](), runs["theirs"]())  # also the warm-up
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
    ours_rate, theirs_rate = (options.frames / statistics.median(times[name]) for name in ("ours", "theirs"))
    print(f"decoder parameters: {sum(p.numel() for p in decoder.model.decoder.parameters()) / 1e6:.1f} M")
    print(f"same codes: {same}")
    print(f"frames a second, ours: {ours_rate:.1f}")
    print(f"frames a second, transformers' generate: {theirs_rate:.1f}")
    ratio = ours_rate / theirs_rate
    print(f"ratio: {ratio:.2f} (target {TARGET}{'' if ratio >= TARGET else ': missed'})")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
