"""A score played part by part, as a loop, and in blocks: the parts sum to the whole, loops have no seam, blocks join."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.made_set import load_sampler
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.notes.mixer import SAMPLE_RATE
from llama.decoders.notes.sampler import Sampler
from llama.media.score import Attributes, Score, timeline

DECODER = Path(__file__).resolve().parents[3] / "ckpts/nano/decoder"
BAND = Attributes("trumpet", "organ", "rock", 132, "minor", 4, drums=True, key=9)
SLOW = Attributes("violin", "pad", "ambient", 62, "major", 3, drums=False, key=2)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return load_sampler(DECODER)


def composed(seed: int, seconds: float, attributes: Attributes | None = None) -> Score:
    rng = np.random.default_rng(seed)
    return compose(rng, attributes or sample_attributes(rng), seconds)


PIECES = {"band": composed(0, 16.0, BAND), "slow": composed(1, 20.5, SLOW), "short": composed(2, 1.5), "any": composed(3, 11.0 + 1 / 6)}


@pytest.mark.parametrize("name", PIECES)
def test_stems_sum_to_the_piece(sampler: Sampler, name: str) -> None:
    score = PIECES[name]
    whole, stems = sampler.render(score), sampler.render_stems(score)
    assert list(stems) == [part for part in ("lead", "accompaniment", "bass", "drums") if score.track(part)]
    assert all(stem.shape == whole.shape and np.abs(stem).max() > 0.003 for stem in stems.values())
    assert np.abs(sum(stems.values()) - whole).max() < 1e-5


def test_a_stem_holds_its_own_part_alone(sampler: Sampler) -> None:
    """Other notes in the melody, at the same level, change no other stem."""
    score = PIECES["band"]
    late = [replace(note, pitch=note.pitch + 2) if note.start > 8 else note for note in score.lead]
    before, after = sampler.render_stems(score), sampler.render_stems(replace(score, lead=tuple(late)))
    changed = {part: float(np.abs(before[part] - after[part]).max()) for part in before}
    assert changed["lead"] > 0.05 and all(change < 0.02 for part, change in changed.items() if part != "lead")
    assert np.array_equal(before["bass"][:, : 7 * SAMPLE_RATE], after["bass"][:, : 7 * SAMPLE_RATE])


@pytest.mark.parametrize("name", PIECES)
def test_blocks_join_to_the_piece(sampler: Sampler, name: str) -> None:
    blocks = list(sampler.render_stream(PIECES[name]))
    assert len(blocks) > 8 or PIECES[name].seconds < 8
    assert np.array_equal(np.concatenate(blocks, 1), sampler.render(PIECES[name]))


@pytest.mark.parametrize("name", ["band", "slow"])
@pytest.mark.parametrize("bars", [(1, 1), (2, 3), (1, 4)])
def test_a_loop_is_as_long_as_its_bars_and_has_no_seam(sampler: Sampler, name: str, bars: tuple[int, int]) -> None:
    score = PIECES[name]
    line, loop = timeline(score.attributes, score.seconds), sampler.render_loop(score, *bars)
    assert loop.shape == (2, round((bars[1] - bars[0] + 1) * line.metre * line.beat * SAMPLE_RATE))
    usual = np.percentile(np.abs(np.diff(sampler.render(score))), 99.9)
    assert np.abs(loop[:, 0] - loop[:, -1]).max() < usual


def test_a_loop_begins_with_what_rings_at_its_end(sampler: Sampler) -> None:
    """The loop is the bars of the piece at the piece's level, and before their first note has faded in, the end of the loop."""
    score = composed(4, 20.0, BAND)
    loop, whole = sampler.render_loop(score, 1, 4), sampler.render(score)
    rest = loop - whole[:, : loop.shape[1]]
    assert np.abs(rest[:, : SAMPLE_RATE // 20]).max() > 0.01  # the piece begins out of silence, the loop does not
    assert np.abs(rest[:, 3 * SAMPLE_RATE : -SAMPLE_RATE // 10]).max() < 0.02
    assert np.abs(loop[:, : SAMPLE_RATE // 500]).max() > 0.002


def test_a_note_held_over_the_end_of_a_loop_ends_with_it(sampler: Sampler) -> None:
    score = PIECES["slow"]
    held = tuple(replace(note, duration=60.0) for note in score.bass)
    assert sampler.render_loop(replace(score, bass=held), 1, 2).shape == sampler.render_loop(score, 1, 2).shape
    assert np.abs(sampler.render_loop(replace(score, bass=held), 1, 2)).max() < 1


def test_bars_that_a_piece_does_not_have_are_refused(sampler: Sampler) -> None:
    for bars in ((0, 1), (2, 1), (1, 99)):
        with pytest.raises(ValueError, match="are not in the piece"):
            sampler.render_loop(PIECES["band"], *bars)


def test_the_embedded_decoder_plays_scores_in_all_ways() -> None:
    decoder, score = MusicGenDecoder.from_folder(DECODER), PIECES["band"]
    whole, stems = decoder.render(score), decoder.render_stems(score)
    assert whole.sample_rate == SAMPLE_RATE and all(stem.samples.shape == whole.samples.shape for stem in stems.values())
    joined = np.concatenate([block.samples.numpy() for block in decoder.render_stream(score)], 1)
    assert np.array_equal(joined, whole.samples.numpy())
    assert decoder.render_loop(score, 1, 2).samples.shape[0] == 2
