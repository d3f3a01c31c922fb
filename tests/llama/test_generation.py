"""From turns to replies: greedy sequences, batches, streams, stops, and a condition that reaches the sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import llama
from llama.dialogue import Turn, format_prompt
from llama.generation import (
    Done,
    GenerationOptions,
    MusicChunk,
    RowState,
    TextDelta,
    decode,
    sample_top_p,
    top_p_filter,
)
from llama.media.audio import Waveform
from llama.modules.transformer import build_rope_cache

SHORT = GenerationOptions(max_tokens=12, seconds=0.5)


def media(golden: Path) -> dict[str, object]:
    values = load_file(golden / "inputs.safetensors")
    picture = Image.fromarray(values["image_chw_uint8"].permute(1, 2, 0).numpy())
    return {"audio": Waveform(values["audio_24k"][None], 24_000), "image": picture, "video": values["video_thwc_uint8"].numpy()}


def turns(golden: Path) -> list[Turn]:
    """Turns with different media, and prompts of different lengths."""
    inputs = media(golden)
    return [
        Turn("Describe the music with piano and drums"),
        Turn("What is it?", audio=inputs["audio"]),
        Turn("Look", image=inputs["image"]),
        Turn("And this one, which is longer?", audio=inputs["audio"], image=inputs["image"], video=inputs["video"]),
        Turn("", video=inputs["video"]),
    ]


def test_greedy_tokens_equal_the_reference(published: llama.MuMuLLaMA, golden: Path) -> None:
    values, inputs = load_file(golden / "m2ugen/generate.safetensors"), media(golden)
    for case, names in {"text": "", "audio": "audio", "image": "image", "video": "video", "all": "audio image video"}.items():
        features = published.encode([Turn("", **{name: inputs[name] for name in names.split()})])
        prompt = values[f"greedy_{case}.prompt"].tolist()
        steps = list(decode(published, [prompt], features, 40, GenerationOptions()))
        assert [int(step.tokens) for step in steps] == values[f"greedy_{case}.tokens"].tolist(), case


def test_batch_equals_single(published: llama.MuMuLLaMA, golden: Path) -> None:
    options = GenerationOptions(max_tokens=12, temperature=0.9, top_p=0.9, seed=3, music=False)
    together = published.respond(turns(golden), options)
    for turn, reply in zip(turns(golden), together, strict=True):
        assert published.respond(turn, options).tokens == reply.tokens


def test_batched_logits_equal_single(published: llama.MuMuLLaMA, golden: Path) -> None:
    cases = turns(golden)
    prompts = [published.tokenizer.encode(format_prompt(turn.text)) for turn in cases]
    together = next(decode(published, prompts, published.encode(cases), 1, GenerationOptions())).logits
    for index, turn in enumerate(cases):
        alone = next(decode(published, [prompts[index]], published.encode([turn]), 1, GenerationOptions())).logits
        assert float((together[index] - alone[0]).abs().max() / alone.abs().max()) < 1e-5


def test_a_decoder_without_notes_gives_none(scripted: llama.MuMuLLaMA) -> None:
    reply = scripted.respond(Turn("A slow piece"), GenerationOptions(seconds=0.2))
    assert reply.music is not None and reply.score is None


def test_streamed_events_equal_the_reply(scripted: llama.MuMuLLaMA) -> None:
    options = GenerationOptions(max_tokens=40, seconds=1.5, seed=1)
    events = list(scripted.stream(Turn("Play"), options))
    done = events[-1]
    assert isinstance(done, Done) and done.reply.finish == "music" and done.reply.music is not None
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == done.reply.text == "A warm piano"
    sound = torch.cat([event.music.samples for event in events if isinstance(event, MusicChunk)], dim=-1)
    reply = scripted.respond(Turn("Play"), options)
    assert torch.equal(sound, done.reply.music.samples) and torch.equal(sound, reply.music.samples)
    assert reply.music.samples.shape[-1] == round(1.5 * scripted.music_decoder.sample_rate)


def randomise_codebooks(model: llama.MuMuLLaMA) -> None:
    """A random Encodec has all-zero codebooks, so every code would sound alike."""
    for name, buffer in model.music_decoder.model.audio_encoder.named_buffers():
        if name.endswith("codebook.embed"):
            buffer.normal_()


def test_condition_changes_the_sound(scripted: llama.MuMuLLaMA) -> None:
    """The projected hidden states reach the decoder: changing them changes the sound."""
    randomise_codebooks(scripted)
    options = GenerationOptions(max_tokens=40, seconds=1.0)
    before = scripted.respond(Turn("Play"), options).music.samples
    assert torch.equal(before, scripted.respond(Turn("Play"), options).music.samples)
    with torch.no_grad():
        scripted.output_projector.outputs.bias += torch.randn_like(scripted.output_projector.outputs.bias) * 20
    after = scripted.respond(Turn("Play"), options).music.samples
    assert not torch.allclose(before, after, atol=1e-4)


def test_caption_conditioning_embeds_the_text(scripted: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    captions_seen: list[str] = []
    embed = scripted.music_decoder.embed
    monkeypatch.setattr(scripted.music_decoder, "embed", lambda captions: (captions_seen.extend(captions), embed(captions))[1])
    reply = scripted.respond(Turn("Play"), GenerationOptions(max_tokens=40, seconds=0.5, conditioning="caption"))
    assert captions_seen == ["A warm piano"] and reply.music is not None


def test_swapping_the_audio_changes_the_logits(published: llama.MuMuLLaMA, golden: Path) -> None:
    tokens = load_file(golden / "inputs.safetensors")["prompt_tokens"][None]
    audio = media(golden)["audio"]
    noise = Waveform(torch.randn(1, 48_000) * 0.1, 24_000)
    with torch.no_grad():
        a, b, none = (published(tokens, published.encode([turn])).logits for turn in (Turn(audio=audio), Turn(audio=noise), Turn()))
    assert (a - b).abs().max() > 1e-3 and (a - none).abs().max() > 1e-3


class Script:
    """Feeds a row a list of tokens, each with its index as its hidden state."""

    def __init__(self, model: llama.MuMuLLaMA) -> None:
        self.row, self.model = RowState(model, 1000), model

    def write(self, tokens: list[int]) -> RowState:
        for index, token in enumerate(tokens):
            if self.row.finish is None:
                self.row.append(token, torch.tensor([float(index)]))
        return self.row


def states(row: RowState) -> list[float]:
    return [float(state) for state in row.states]


def test_audio_tokens_must_come_in_an_unbroken_row(published: llama.MuMuLLaMA) -> None:
    marks, word = list(published.tokenizer.audio_tokens), published.tokenizer.encode("piano", bos=False)
    broken = Script(published).write(marks[:5] + word + marks[5:])
    assert broken.finish is None and not broken.states
    again = Script(published).write(marks[:3] + marks)  # a second first mark begins a new row
    assert again.finish == "music" and states(again) == [3.0 + i for i in range(8)]
    skipped = Script(published).write(marks[:2] + marks[3:] + word)
    assert skipped.finish is None


def test_stops(published: llama.MuMuLLaMA) -> None:
    encode = published.tokenizer.encode
    row = Script(published).write(encode("one\n\ntwo\n### more", bos=False))
    assert row.finish == "stop" and row.text() == "one\n\ntwo"  # lines are kept, the next section is not
    row = Script(published).write([*encode("one", bos=False), published.tokenizer.eos, *encode("two", bos=False)])
    assert row.finish == "stop" and row.text() == "one"


@pytest.mark.parametrize(("stop", "text"), [
    (("piano",), "A warm"), (("warm piano",), "A"), (("o, th", "piano, then"), "A warm pian"), (("\n",), "A warm piano, then"),
    (("A",), ""),
    ((" ",), "A"), (("drums", "flute"), "A warm piano, then"), (("\u00e9",), "A warm piano, then\nflutes, a caf"),
    (("caf\u00e9s", "###"), "A warm piano, then\nflutes, a caf\u00e9"),
    (("nowhere", "caf\u00e9 "), "A warm piano, then\nflutes, a caf\u00e9"),
])  # fmt: skip
def test_stop_strings_end_the_text_before_them(published: llama.MuMuLLaMA, stop: tuple[str, ...], text: str) -> None:
    """Streamed and whole: what may be the beginning of a stop string is held back until it is known."""
    row, sent = RowState(published, 1000, stop), ""
    for token in [*published.tokenizer.encode("\n A warm piano, then\nflutes, a caf\u00e9", bos=False), published.tokenizer.eos]:
        row.append(token, torch.zeros(1))
        assert row.text().startswith(sent)
        sent += row.delta()
        if row.finish is not None:
            break
    assert row.finish == "stop" and sent == row.text() == text


@pytest.mark.parametrize("stop", ["###", ["###"], ("",), (5,), ("a",) * 5, ("a" * 201,)])
def test_stop_strings_that_cannot_be_used(stop: Any) -> None:
    with pytest.raises(ValueError, match=r"^stop .*; give .*\.$"):
        GenerationOptions(stop=stop)


def test_stop_strings_end_the_answer(scripted: llama.MuMuLLaMA) -> None:
    """Before its music: nothing that follows a stop string is made."""
    reply = scripted.respond(Turn("Play"), GenerationOptions(max_tokens=40, seconds=0.5, stop=("pia", "warm piano")))
    assert (reply.text, reply.finish, reply.music) == ("A", "stop", None)


def test_audio_tokens_are_not_in_the_text(published: llama.MuMuLLaMA) -> None:
    row = Script(published).write(published.tokenizer.encode("A piano [AUD0][AUD3] plays", bos=False))
    assert "AUD" not in row.text() and "A piano" in row.text()


def test_only_complete_characters_are_streamed(published: llama.MuMuLLaMA) -> None:
    """A character of several byte tokens is returned with its last token."""
    wanted, row, sent = "日本 🎵 é", RowState(published, 1000), ""
    for token in published.tokenizer.encode(wanted, bos=False):
        row.append(token, torch.zeros(1))
        sent += row.delta()
    row.finish = "stop"
    assert sent + row.delta() == wanted


def test_a_row_near_the_context_does_not_cut_the_others(published: llama.MuMuLLaMA) -> None:
    room = published.config.llama.max_seq_len
    long, short = Turn("piano " * (room - 100)), Turn("Hm")
    used = len(published.tokenizer.encode(format_prompt(long.text)))
    assert 10 < room - used < 80
    options = GenerationOptions(max_tokens=room - used + 30, music=False)
    together = published.respond([long, short], options)
    assert len(together[0].tokens) == room - used and together[0].finish == "length"
    assert together[1].tokens == published.respond(short, options).tokens


def test_responding_keeps_no_graph(published: llama.MuMuLLaMA, golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long recording is encoded window by window; an autograd graph would keep the states of all."""
    seen = []
    encode = published.encode
    monkeypatch.setattr(published, "encode", lambda turns: seen.append(encode(turns)) or seen[-1])
    published.respond(Turn("x", audio=media(golden)["audio"]), GenerationOptions(max_tokens=1))
    assert not seen[0].audio.requires_grad


def test_training_follows_inference(published: llama.MuMuLLaMA) -> None:
    """No inference tensor is cached where training would use it."""
    build_rope_cache.cache_clear()
    tokens = torch.randint(3, 500, (1, 5))
    with torch.inference_mode():
        published(tokens)
    published(tokens).logits.sum().backward()
    published.zero_grad()


def test_length_is_a_finish_and_deltas_lose_nothing(published: llama.MuMuLLaMA) -> None:
    events = list(published.stream(Turn("Describe"), SHORT))
    reply = events[-1].reply
    assert reply.finish == "length" and len(reply.tokens) == 12
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text


def test_seeds_decide(published: llama.MuMuLLaMA) -> None:
    warm = {"max_tokens": 12, "temperature": 1.2, "top_p": 0.95, "music": False}
    first, again, other = (published.respond(Turn("Hm"), GenerationOptions(seed=seed, **warm)).tokens for seed in (5, 5, 6))
    assert first == again != other


def test_nucleus_sampling_equals_the_reference(golden: Path) -> None:
    values = load_file(golden / "sample_top_p.safetensors")
    for p in (0.0, 0.3, 0.75, 0.8, 1.0):
        kept, _ = top_p_filter(values["probs"], p)
        assert torch.allclose(kept, values[f"p{p}.sorted_filtered"], rtol=1e-5, atol=1e-9)
        drawn: Tensor = sample_top_p(values["probs"], p, torch.Generator().manual_seed(123))
        assert torch.equal(drawn, values[f"p{p}.token_seed123"])


@pytest.mark.parametrize(
    "bad",
    [
        {"max_tokens": 0}, {"max_tokens": 1.5}, {"temperature": -1}, {"temperature": float("nan")}, {"top_p": 1.1},
        {"seconds": -3}, {"seconds": 1e9}, {"guidance": -1}, {"seed": -1}, {"conditioning": "magic"}, {"seconds": "ten"},
    ],
)  # fmt: skip
def test_impossible_options_are_refused_by_name(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        GenerationOptions(**bad)


def test_a_text_alone_is_no_turn(scripted: llama.MuMuLLaMA) -> None:
    for ask in (scripted.respond, lambda text: list(scripted.stream(text))):
        with pytest.raises(ValueError, match=r"given as str; give Turn\(text\)"):
            ask("A slow, sad piano piece")  # type: ignore[arg-type]


def test_long_prompt_and_missing_parts_are_refused(published: llama.MuMuLLaMA) -> None:
    with pytest.raises(ValueError, match="shorten the text"):
        published.respond(Turn("piano " * 2000))
    bare = llama.MuMuLLaMA(published.config).eval()
    with pytest.raises(ValueError, match="without a tokenizer"):
        bare.respond(Turn("Hello"))
    with pytest.raises(ValueError, match="mert_path"):
        bare.encode([Turn("x", audio=Waveform(torch.zeros(1, 24_000), 24_000))])
    assert published.respond([]) == []


def test_video_of_any_length_is_encoded(published: llama.MuMuLLaMA) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 50, 3), dtype=np.uint8)
    assert published.encode([Turn(video=frames)]).video.shape == (1, 1, 64)
