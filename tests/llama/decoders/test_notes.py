"""Note codec: encoding and decoding keep every note, the grammar computes the forced codes, the sound is clean and exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import normalizers

from DataSet.synthesis.composer import compose, sample_attributes
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.notes import codec as note_codec
from llama.decoders.notes.codec import NoteCodecConfig, NoteCodecModel
from llama.decoders.notes.grammar import CodeGrammar, home_code
from llama.decoders.notes.level import CEILING
from llama.decoders.notes.mixer import SAMPLE_RATE
from llama.decoders.notes.sampler import PERCUSSION
from llama.decoders.notes.tokens import (
    ACCOMPANIMENT,
    BASS,
    CHORD,
    CLOCK,
    CODEBOOK_SIZE,
    CODEBOOKS,
    COPY,
    DRUM,
    FORM,
    FRAME_RATE,
    LEAD,
    ONSET,
    REPEAT,
    SAMPLE,
    constraint_plan,
    decode,
    encode,
    frame_count,
    read_headers,
)
from llama.media.score import ACCOMPANIMENTS, BASSES, DRUMS, LEADS, TRACKS, Attributes, Score, timeline
from recipes.nano.music_decoder.model import CONDITION_TOKENS, build, export, keys_as_words, train_tokenizer
from recipes.nano.music_decoder.sample_bank import RecordedNote, pack_notes

ROCK = Attributes("trumpet", "organ", "rock", 132, "minor", 4, drums=True, key=9)


def scores(count: int, seed: int = 0) -> list[Score]:
    rng = np.random.default_rng(seed)
    return [compose(rng, sample_attributes(rng), int(rng.integers(9, 240)) / FRAME_RATE) for _ in range(count)]


@pytest.fixture(scope="module")
def codec() -> NoteCodecModel:
    """A codec whose instruments are plain tones that die away."""
    programs = {*LEADS.values(), *ACCOMPANIMENTS.values(), *BASSES.values()}
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE

    def tone(pitch: int) -> np.ndarray:
        return (0.3 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) * np.exp(-time)).astype(np.float32)

    notes = [RecordedNote(program, pitch, tone(pitch)) for program in sorted(programs) for pitch in (36, 60, 84)]
    bank, entries = pack_notes(notes + [RecordedNote(PERCUSSION, key, tone(key)[:8000]) for key in DRUMS])
    model = NoteCodecModel(NoteCodecConfig(bank_bytes=len(bank), entries=entries))
    model.bank.copy_(torch.frombuffer(bytearray(bank), dtype=torch.uint8))
    return model


def test_decoding_gives_back_every_note_of_a_score() -> None:
    for score in scores(120):
        again = decode(encode(score))
        assert again.attributes == score.attributes
        assert again.seconds == pytest.approx(score.seconds)
        for track in TRACKS:
            pairs = list(zip(score.track(track), again.track(track), strict=True))
            assert all((a.pitch, a.velocity) == (b.pitch, b.velocity) for a, b in pairs)
            assert all(abs(a.start - b.start) < 1e-9 and abs(a.duration - b.duration) < 1e-9 for a, b in pairs)
        assert [(c.root, c.quality) for c in again.chords] == [(c.root, c.quality) for c in score.chords]


def test_codes_fit_their_codebooks() -> None:
    codes = [encode(score) for score in scores(60, seed=1)]
    assert all(each.shape[0] == len(CODEBOOKS) and each.min() >= 0 and each.max() < CODEBOOK_SIZE for each in codes)


def test_the_plan_of_a_piece_agrees_with_its_codes() -> None:
    for score in scores(60, seed=2):
        codes = encode(score)
        planned = constraint_plan(score.attributes, codes.shape[1])
        copied = np.take_along_axis(codes, np.maximum(COPY - planned, 0), 1)
        again = np.roll(codes, 1, 1)
        meant = np.select([planned == SAMPLE, planned == REPEAT, planned <= COPY], [codes, again, copied], planned)
        assert (meant == codes).all()


def test_transposed_pieces_have_the_same_melody_codes() -> None:
    rows = []
    for key in (0, 5):
        attributes = Attributes("piano", "pad", "ballad", 80, "major", 4, drums=False, key=key)
        rows.append(encode(compose(np.random.default_rng(1), attributes, 20.0)))
    assert (rows[0][CHORD:] == rows[1][CHORD:]).all()


def test_grammar_computes_what_a_random_model_would_get_wrong() -> None:
    """Filled with noise but for what the grammar forces, a piece keeps tempo, metre and headers, and ends on time."""
    frames = frame_count(12.0)
    grammar, generator = CodeGrammar(frames), torch.Generator().manual_seed(0)
    codes = torch.zeros(3, len(CODEBOOKS), frames, dtype=torch.long)
    for frame in range(frames):
        for book in range(len(CODEBOOKS)):
            limit = (244, 60, 144)[book] if book < 3 else 60
            chosen = torch.randint(0, limit, (3,), generator=generator)
            forced = grammar.forced_codes(codes, book, frame)
            codes[:, book, frame] = chosen if forced is None else torch.where(forced >= 0, forced, chosen)
    for row in codes.numpy():
        attributes, score = read_headers(row[:, 0].tolist()), decode(row)
        planned = constraint_plan(attributes, frames)
        assert (row[CLOCK] == planned[CLOCK]).all() and (row[FORM] == planned[FORM]).all()
        assert bool((planned[LEAD] == SAMPLE).any())
        assert score.attributes == attributes and (attributes.drums or not row[DRUM].any())
        assert all(note.start + note.duration <= 12.0 for track in TRACKS for note in score.track(track))


def test_chords_hold_through_their_bars() -> None:
    codes = torch.from_numpy(encode(compose(np.random.default_rng(0), ROCK, 10.0)))[None]
    grammar = CodeGrammar(codes.shape[2])
    assert grammar.forced_codes(codes, CHORD, 0) is None
    assert grammar.forced_codes(codes, CHORD, 1).tolist() == codes[:, CHORD, 0].tolist()
    assert grammar.forced_codes(codes, CHORD, 8) is None


def test_what_returns_is_copied() -> None:
    """A sampler that never writes the same code twice still plays the first section again when it returns."""
    frames = frame_count(30.0)
    headers = encode(compose(np.random.default_rng(0), ROCK, 30.0))[: DRUM + 1, 0]
    grammar, codes = CodeGrammar(frames), torch.zeros(1, len(CODEBOOKS), frames, dtype=torch.long)
    for frame in range(frames):
        for book in range(len(CODEBOOKS)):
            forced = grammar.forced_codes(codes, book, frame)
            free = int(headers[book]) if book < CLOCK else 1 + (frame * 7 + book) % 59
            codes[0, book, frame] = free if forced is None else torch.where(forced >= 0, forced, free)[0]
    line = timeline(ROCK, 30.0)
    phrase = line.phrase * line.width
    assert [bar.section for bar in line.bars[:: line.phrase]] == ["A", "A", "B", "A"]
    played = codes[0, LEAD]
    half = phrase // 2
    assert torch.equal(played[:half], played[phrase : phrase + half])
    assert not torch.equal(played[half:phrase], played[phrase + half : 2 * phrase]), "the question is answered"
    assert not torch.equal(played[:half], played[2 * phrase : 2 * phrase + half])
    assert torch.equal(played[: line.width], played[3 * phrase : 3 * phrase + line.width])


def test_an_answer_is_copied_when_it_comes_again() -> None:
    frames = frame_count(60.0)
    planned, line = constraint_plan(ROCK, frames)[LEAD], timeline(ROCK, 60.0)
    phrase = line.phrase * line.width
    assert line.bar_count >= 7 * line.phrase
    assert (planned[phrase + phrase // 2 : 2 * phrase] == SAMPLE).all()
    assert (planned[3 * phrase + phrase // 2 : 4 * phrase] == COPY - np.arange(phrase + phrase // 2, 2 * phrase)).all()


def test_every_piece_ends_on_the_tonic() -> None:
    """The last chord and the last note of the melody are computed, and are those that the composer writes."""
    for score in scores(60, seed=8):
        codes, line = encode(score), timeline(score.attributes, score.seconds)
        struck = codes[LEAD, : line.eighths][codes[LEAD, : line.eighths] >= ONSET]
        assert codes[LEAD, line.eighths] == home_code(score.attributes.mode, int(struck[-1]) if len(struck) else None)
        grammar, given = CodeGrammar(codes.shape[1]), torch.from_numpy(codes)[None].clone()
        for book in (CHORD, BASS, ACCOMPANIMENT, LEAD) if line.bar_count else (BASS, ACCOMPANIMENT, LEAD):
            given[:, book, line.eighths] = 0
            assert grammar.forced_codes(given, book, line.eighths) == codes[book, line.eighths]
            given[:, book, line.eighths] = int(codes[book, line.eighths])


def test_any_codes_can_be_decoded() -> None:
    rng = np.random.default_rng(0)
    for frames in (1, 7, 61):
        score = decode(rng.integers(0, CODEBOOK_SIZE, (len(CODEBOOKS), frames)))
        assert score.seconds == pytest.approx(frames / FRAME_RATE)


def test_sound_is_stereo_clean_and_exact_in_length(codec: NoteCodecModel) -> None:
    score = compose(np.random.default_rng(5), ROCK, 8.0)
    codes = torch.from_numpy(encode(score))[None, None]
    sound = codec.decode(codes).audio_values
    assert sound.shape == (1, 2, 8 * SAMPLE_RATE) and sound.dtype == torch.float32
    assert 0.05 < float(sound.square().mean().sqrt()) < 0.2
    assert float(sound.abs().max()) <= 1.02 * CEILING
    assert float(sound.diff().abs().max()) < 0.35  # no clicks: the tones themselves move less than this
    powers = sound[..., -round(1.2 * SAMPLE_RATE) :].reshape(2, 6, -1).square().mean((0, 2))
    decay = 10 * (powers[:-1] / powers[1:]).log10()  # dB in a fifth of a second: the last chord dies away, and is not cut
    assert bool((decay > 0).all()) and float(decay[:-1].max()) < 20 and float(sound[..., -1].abs().max()) < 1e-6
    assert not torch.equal(sound[0, 0], sound[0, 1])


def test_rows_of_a_batch_play_as_they_do_alone_and_again(codec: NoteCodecModel) -> None:
    rows = [encode(compose(np.random.default_rng(seed), ROCK, 6.0)) for seed in (1, 2)]
    both = codec.decode(torch.from_numpy(np.stack(rows))[None]).audio_values
    alone = codec.decode(torch.from_numpy(rows[1])[None, None]).audio_values
    assert torch.equal(both[1:], alone)
    assert not torch.equal(both[0], both[1])


def test_a_note_sounds_at_its_time_and_pitch(codec: NoteCodecModel) -> None:
    codes = encode(compose(np.random.default_rng(0), Attributes("flute", "pad", "ballad", 60, "major", 4, False, 0), 6.0))
    codes[CHORD + 1 :] = 1  # rests
    codes[LEAD, 4] = 3 + 9 * 4  # ninth degree above the tonic: 64 -> 72 is the tonic in C, two octaves up less a fifth
    expected = decode(codes).lead[0]
    sound = codec.decode(torch.from_numpy(codes)[None, None]).audio_values[0, 0].numpy()
    start = round(expected.start * SAMPLE_RATE)
    assert np.abs(sound[: start - 10]).max() < 1e-6 < np.abs(sound[start + 200 : start + 4000]).max()
    spectrum = np.abs(np.fft.rfft(sound[start + 800 : start + 12_800] * np.hanning(12_000)))
    heard = spectrum.argmax() * SAMPLE_RATE / 12_000
    assert 12 * np.log2(heard / 440) + 69 == pytest.approx(expected.pitch, abs=0.2)


def test_the_codec_is_saved_and_found_by_its_name(codec: NoteCodecModel, tmp_path: Path) -> None:
    from transformers import AutoModel

    note_codec.register()
    note_codec.register()
    codec.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, NoteCodecModel) and torch.equal(loaded.bank, codec.bank)
    codes = torch.from_numpy(encode(compose(np.random.default_rng(0), ROCK, 4.0)))[None, None]
    assert torch.equal(loaded.decode(codes).audio_values, codec.decode(codes).audio_values)


def test_an_untrained_decoder_already_keeps_the_length_and_plays_rows_alone(codec: NoteCodecModel, tmp_path: Path) -> None:
    """Exported as a stock MusicGen folder and loaded by name; the headers are guesses, the rest obeys the grammar."""
    codec.save_pretrained(tmp_path / "codec")
    tokenizer = train_tokenizer(captions=300, vocabulary=400)
    torch.manual_seed(0)
    export(tmp_path / "decoder", *build(len(tokenizer), layers=1, width=48), tokenizer, tmp_path / "codec")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codec", "decoder"]
    decoder = MusicGenDecoder.from_folder(tmp_path / "decoder")
    assert (decoder.sample_rate, decoder.channels, decoder.condition_shape) == (SAMPLE_RATE, 2, (CONDITION_TOKENS, 48))
    condition, mask = decoder.embed(["a slow waltz", "fast rock with drums at 150 bpm"])
    assert mask.sum(1).tolist()[0] < mask.sum(1).tolist()[1]
    both = torch.cat(list(decoder.synthesize(decoder.request(condition, 4.05, seeds=[1, 2]))), -1)
    alone = torch.cat(list(decoder.synthesize(decoder.request(condition[1:], 4.05, seeds=[2]))), -1)
    assert both.shape == (2, 2, round(4.05 * SAMPLE_RATE))
    assert torch.equal(both[1:], alone)
    assert float(both[..., -50:].abs().max()) < 0.001 < 0.05 < float(both.abs().max())


def test_wrong_shapes_are_refused(codec: NoteCodecModel) -> None:
    with pytest.raises(ValueError, match=r"\[1, batch, 10, frames\]"):
        codec.decode(torch.zeros(1, 1, 4, 10, dtype=torch.long))
    with pytest.raises(ValueError, match="at least 1"):
        CodeGrammar(0)


def read_keys(text: str) -> str:
    return normalizers.Sequence([normalizers.Lowercase(), *keys_as_words()]).normalize_str(text)


KEY_SPELLINGS = {
    "in E flat minor": "eflat", "in Eb": "eflat", "D-sharp major": "eflat", "a key, G♭ major": "fsharp", "in F# minor": "fsharp",
    "in A minor": "akey", "in the key of A": "akey", "a waltz in C": "ckey", "in A flat major": "aflat", "Bb blues": "bflat",
}  # fmt: skip


@pytest.mark.parametrize("text", KEY_SPELLINGS)
def test_a_key_is_one_word_however_it_is_spelled(text: str) -> None:
    assert KEY_SPELLINGS[text] in read_keys(text).split()


@pytest.mark.parametrize("text", ["a sad tune in a minor key", "a sharp sound", "first, an old waltz", "I'd like a band", "a flat tone"])
def test_other_words_are_no_keys(text: str) -> None:
    assert read_keys(text) == text.lower()
