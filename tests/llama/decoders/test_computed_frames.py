"""Frames behind the last one that is sampled are computed without the model: the same codes in fewer steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from DataSet.synthesis.composer import compose, sample_attributes
from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.continuous_batch import CodeSequence
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.musicgen.sampling import CodeSampler, compute_frames
from llama.decoders.notes.codec import NoteCodecConfig, NoteCodecModel
from llama.decoders.notes.grammar import CodeGrammar
from llama.decoders.notes.recomposition import Recomposition
from llama.decoders.notes.tokens import CODEBOOK_SIZE, CODEBOOKS, encode
from llama.media.score import Attributes, Score
from recipes.nano.music_decoder.model import build, export, train_tokenizer

SLOW = Attributes("piano", "pad", "ballad", 60, "minor", 4, drums=True, key=2)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> MusicGenDecoder:
    """A note decoder without training: it guesses the headers, so that its pieces have any tempo."""
    folder = tmp_path_factory.mktemp("decoder")
    NoteCodecModel(NoteCodecConfig(bank_bytes=4)).save_pretrained(folder / "codec")
    tokenizer = train_tokenizer(captions=300, vocabulary=400)
    torch.manual_seed(0)
    export(folder / "decoder", *build(len(tokenizer), layers=1, width=48), tokenizer, folder / "codec")
    return MusicGenDecoder.from_folder(folder / "decoder")


def scores(count: int) -> list[Score]:
    rng = np.random.default_rng(3)
    return [compose(rng, sample_attributes(rng), float(rng.integers(8, 40))) for _ in range(count)]


def test_a_slow_piece_ends_in_the_middle_of_its_frames() -> None:
    codes = encode(compose(np.random.default_rng(0), SLOW, 60.0))
    assert CodeGrammar(codes.shape[1]).sampled_frames(codes) < codes.shape[1] // 2


def test_the_rest_of_any_piece_is_computed_and_what_is_before_it_is_not() -> None:
    for score in scores(40):
        codes = encode(score)
        grammar = CodeGrammar(codes.shape[1])
        sampled = grammar.sampled_frames(codes)
        last = (sampled - 2, sampled - 1)  # the melody's last note is planned as sampled, and computed
        assert any(grammar.forced_code(codes, codebook, frame) < 0 for codebook in range(len(CODEBOOKS)) for frame in last)
        rest = codes.copy()
        rest[:, sampled:] = CODEBOOK_SIZE - 1
        compute_frames(grammar, rest, sampled)
        assert (rest == codes).all()


def test_parts_anew_end_with_their_last_bar() -> None:
    for score in scores(12):
        first = Recomposition(score, ["lead"], (1, 1))
        assert first.grammar.sampled_frames(first.grammar.source) <= first.line.width
        source = first.grammar.source
        rest = source.copy()
        compute_frames(first.grammar, rest, first.line.width)
        assert (rest[:, first.line.width :] == source[:, first.line.width :]).all()


def request(decoder: MusicGenDecoder, rows: int) -> SynthesisRequest:
    condition, _ = decoder.embed(["a slow waltz", "fast rock with drums at 150 bpm"][:rows])
    return decoder.request(condition, 20.0, seeds=[4, 5][:rows])


@pytest.mark.parametrize("rows", [1, 2])
def test_a_decoder_gives_the_same_codes_in_fewer_steps(decoder: MusicGenDecoder, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    asked = request(decoder, rows)
    prompt = decoder.prompt_codes(asked)
    quick = [(codes.clone(), complete) for codes, complete in decoder.codes(asked, prompt)]
    monkeypatch.setattr(CodeSampler, "compute_rest", lambda self, complete: False)
    slow = [(codes.clone(), complete) for codes, complete in decoder.codes(asked, prompt)]
    assert torch.equal(quick[-1][0], slow[-1][0])
    assert quick[-1][1] == slow[-1][1] == slow[-1][0].shape[-1]
    assert len(quick) < len(slow)


def test_a_batch_gives_the_same_codes_in_fewer_steps(decoder: MusicGenDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> tuple[list[np.ndarray], int]:
        batch, steps = decoder.code_batch(), 0
        requests = [decoder.request(decoder.embed([text])[0], seconds, seeds=[4])
                    for text, seconds in (("a slow waltz", 20.0), ("fast rock", 9.0))]
        sequences = [batch.add(each, decoder.frames(each), decoder.grammar(decoder.frames(each))) for each in requests]
        waiting = list(sequences)
        while waiting:
            assert not batch.step()
            steps += 1
            for sequence in [each for each in waiting if each.done]:
                batch.remove(sequence)
                waiting.remove(sequence)
        return [sequence.codes for sequence in sequences], steps

    quick, few = run()
    monkeypatch.setattr(CodeSequence, "_compute_rest", lambda self: None)
    slow, many = run()
    assert all((one == other).all() for one, other in zip(quick, slow, strict=True))
    assert few < many
