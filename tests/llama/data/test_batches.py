"""Batches: tokens and labels of each example, the order of examples, and independence of workers and processes."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from safetensors.torch import load_file

import llama
from DataSet.synthesis import dialogues
from llama.data import mixture as ordering
from llama.data.batch_sampler import BatchSampler
from llama.data.collate import Batch, collate
from llama.data.examples import Example, MediaRef
from llama.data.mixture import ExampleMixture, StreamMixture, read_examples, split, split_hash
from llama.data.source import Source
from llama.data.tokenization import tokenize_example
from llama.dialogue import format_prompt
from llama.modules.losses import IGNORE, answer_loss
from llama.modules.tokenizer import Tokenizer
from llama.training.loader import LoaderOptions, train_batches, validation_batches
from recipes.nano.language.cached_data import ExampleSampler, Library

LONG = "Naïve café music ♪ for a very long evening at the sea, slowly, with a piano and strings. " * 3


@pytest.fixture(scope="module")
def tokenizer(golden: Path) -> Tokenizer:
    return Tokenizer(golden / "components/llama")


def said(instruction: str, answer: str, caption: str | None = None) -> Example:
    return Example(instruction, answer, "chat" if caption is None else "text_to_music", "a.json #1", caption=caption)


def numbered(size: int, broken: Sequence[int] = ()) -> list[Example]:
    """Examples of many lengths, each with a sound that is its number."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, size)
    sounds = [MediaRef("audio", f"{one}.wav", content=b"broken" if one in broken else str(one).encode()) for one in range(size)]
    return [Example("x" * int(lengths[one]), f"answer {one}", "question", f"list #{one}", audio=sounds[one]) for one in range(size)]


def read(medium: MediaRef) -> int:
    medium.open()  # raises what its shard or table says of it
    if medium.content == b"broken":
        raise ValueError(f"{medium.source} is damaged.")
    return int(medium.content)


# -- rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "instruction", "answer", "caption"), [
    ("caption", "", "A bright flute plays at 120 beats per minute, in the key of C major.", None),
    ("music", "Generate a slow music with piano", "A slow piano plays at 90 beats per minute", "A slow piano plays"),
])  # fmt: skip
def test_rows_equal_the_published(
    golden: Path, tokenizer: Tokenizer, name: str, instruction: str, answer: str, caption: str | None
) -> None:
    published = load_file(golden / "inputs.safetensors")
    row = tokenize_example(tokenizer, said(instruction, answer, caption), 512)
    assert row.tokens == (*published[f"train_tokens_{name}"].tolist(), tokenizer.eos)
    labels = [label or IGNORE for label in published[f"train_labels_{name}"].tolist()]
    assert row.labels == (*labels, tokenizer.eos)


def test_a_caption_turned_into_music_has_no_space_before_the_tokens(golden: Path, tokenizer: Tokenizer) -> None:
    row = tokenize_example(tokenizer, said("A slow piano", "A slow piano", "A slow piano"), 512)
    whole = tokenizer.encode(format_prompt("A slow piano") + "A slow piano" + "".join(f"[AUD{one}]" for one in range(8)))
    assert row.tokens == (*whole, tokenizer.eos)
    spaced = tokenize_example(tokenizer, said("A slow piano", "Here it is", "A slow piano"), 512)
    assert spaced.tokens[-10:] == (462, *tokenizer.audio_tokens, tokenizer.eos)  # 462: the lone space


def test_rows_equal_what_the_embedded_default_was_trained_on() -> None:
    tokenizer = Tokenizer(Path(__file__).resolve().parents[3] / "ckpts/nano")
    writer = ExampleSampler(tokenizer, Library(None, [], None, [], None, []), {"talk": 1, "wish": 1}, 0, held_out=True)
    rng, kinds = np.random.default_rng(3), Counter()
    for make in (dialogues.talk, dialogues.wish) * 40:
        one = make(rng, False)
        expected = writer.encode(one)
        bare = one.answer.removesuffix(" " + dialogues.AUDIO_TOKENS)
        for answer in (bare, one.answer):  # the marks may stand in a list's answers or not
            row = tokenize_example(tokenizer, said(one.instruction, answer, one.caption), 512)
            assert (list(row.tokens), list(row.labels)) == (expected.tokens, expected.labels)
        kinds[one.caption is None] += 1
    assert min(kinds.values()) > 10


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A vocabulary with a piece over the end of the prompt: ":)"."""
    found = io.BytesIO()
    lines = [format_prompt("Play."), ":) How nice", "It is: a song", "a smile :)"] * 50
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=found, vocab_size=330, byte_fallback=True, model_type="bpe",
        user_defined_symbols=[":)"], normalization_rule_name="identity", remove_extra_whitespaces=False,
        hard_vocab_limit=False, minloglevel=2)  # fmt: skip
    path = tmp_path_factory.mktemp("merging") / "tokenizer.model"
    path.write_bytes(found.getvalue())
    return Tokenizer(path)


@pytest.mark.parametrize("caption", [None, "A song"])
def test_a_piece_over_the_boundary_is_no_label(merging: Tokenizer, caption: str | None) -> None:
    prompt, answer = format_prompt("Play."), ") How nice :)"
    head, together = merging.encode(prompt), merging.encode(prompt + answer)
    assert together[: len(head)] != head, "this vocabulary should merge here"
    row = tokenize_example(merging, said("Play.", answer, caption), 512)
    assert list(row.tokens[: len(head)]) == head and set(row.labels[: len(head)]) == {IGNORE}
    assert row.labels[len(head) :] == row.tokens[len(head) :]
    words = [one for one in row.tokens if one < merging.base_vocab and one != merging.eos]
    assert merging.decode(words).removeprefix("<s>").rstrip() == prompt + answer


@pytest.mark.parametrize(("instruction", "answer", "caption"), [
    ("Play.", LONG, None), (LONG, "Yes.", None), (LONG, LONG, "A song"), (LONG, LONG, LONG), ("", LONG, "x"), (LONG, "", None),
])  # fmt: skip
def test_too_long_rows_lose_words_only(tokenizer: Tokenizer, instruction: str, answer: str, caption: str | None) -> None:
    example = said(instruction, answer, caption)
    full = tokenize_example(tokenizer, example, 10_000)
    ending = (*(tokenizer.audio_tokens if caption is not None else ()), tokenizer.eos)
    for limit in range(42, len(full.tokens) + 2, 7):
        row = tokenize_example(tokenizer, example, limit)
        assert len(row.tokens) == len(row.labels) <= limit and row.labels[-len(ending) :] == ending
        ids = row.tokens[: -len(ending)]
        asked, found = tokenizer.decode(ids).split("### Response:")
        kept = asked.split("### Instruction:\n")[1].removesuffix("\n\n")
        assert asked == "<s>" + format_prompt(kept).removesuffix("### Response:") and instruction.startswith(kept)
        assert answer.startswith(found.rstrip())
        assert limit - len(row.tokens) < 8 or row.tokens == full.tokens, "more was cut than needed"
    assert tokenize_example(tokenizer, example, len(full.tokens)) == full


def test_the_longer_text_is_cut_first(tokenizer: Tokenizer) -> None:
    row = tokenize_example(tokenizer, said(LONG, "A short answer."), 100)
    assert "A short answer." in tokenizer.decode(row.tokens)
    row = tokenize_example(tokenizer, said("A short question?", LONG), 100)
    assert "A short question?" in tokenizer.decode(row.tokens)


def test_no_room_for_the_form(tokenizer: Tokenizer) -> None:
    example = said(LONG, LONG, "A song")
    least = int(str(pytest.raises(ValueError, tokenize_example, tokenizer, example, 5).value).split(" take ")[1].split(";")[0])
    assert len(tokenize_example(tokenizer, example, least).tokens) == least
    with pytest.raises(ValueError, match=f"max_tokens is {least - 1}"):
        tokenize_example(tokenizer, example, least - 1)


# -- batches ------------------------------------------------------------------------------------------------------


def test_padding_changes_nothing(tokenizer: Tokenizer, published: llama.MuMuLLaMA) -> None:
    rows = [tokenize_example(tokenizer, one, 512) for one in (said("Play.", "A song", "A song"), said("", LONG), said("Hello", "Hi"))]
    batch = collate(rows, [{}] * 3, tokenizer.eos)
    with torch.no_grad():
        together = published(batch.tokens)
        for place, row in enumerate(rows):
            alone, size = published(torch.tensor([row.tokens])), len(row.tokens)
            torch.testing.assert_close(together.hidden[place, :size], alone.hidden[0], atol=1e-5, rtol=1e-5)
            single = answer_loss(alone.logits, torch.tensor([row.labels]))
            padded = answer_loss(together.logits[place : place + 1], batch.labels[place : place + 1])
            torch.testing.assert_close(padded, single, atol=1e-6, rtol=1e-6)
    assert bool((batch.labels[0, len(rows[0].labels) :] == IGNORE).all())


def test_mixed_modalities(tokenizer: Tokenizer) -> None:
    picture = MediaRef("image", "a.png", content=b"7")
    examples = [said("Hello", "Hi"), replace(said("Look", "A song", "song"), image=picture, source="b #2"), numbered(1)[0]]
    rows = [tokenize_example(tokenizer, one, 512) for one in examples]
    batch = collate(rows, [{}, {"image": 7}, {"audio": 0}], tokenizer.eos)
    assert batch.media == {"audio": (None, None, 0), "image": (None, 7, None), "video": (None, None, None)}
    assert batch.captions == (None, "song", None) and batch.sources == ("a.json #1", "b #2", "list #0")
    assert batch.tasks == ("chat", "text_to_music", "question")


# -- order --------------------------------------------------------------------------------------------------------


def order_of(
    sizes: Sequence[int], times: Sequence[float], batch: int = 4, accumulation: int = 1, world: int = 1, seed: int = 0
) -> BatchSampler:
    examples = ExampleMixture(tuple(numbered(size) for size in sizes), tuple(times))
    return BatchSampler.of(examples, seed, batch, accumulation, world)


def epochs(order: BatchSampler, count: int) -> list[Counter[int]]:
    """How often each example is shown in the first epochs."""
    found = [Counter[int]() for _ in range(count + 1)]
    for epoch, index in (pair for step in range(order.steps(count)) for pair in order.batch(step)):
        found[min(epoch, count)][index] += 1
    return found[:count]


def test_weights_say_how_often_an_epoch_shows_a_source() -> None:
    shown = epochs(order_of((10, 7, 30), (0.5, 1, 3)), 4)
    for epoch in shown:
        assert sum(epoch[one] for one in range(10)) == 5 and max(epoch[one] for one in range(10)) == 1
        assert all(epoch[one] == 1 for one in range(10, 17)) and all(epoch[one] == 3 for one in range(17, 47))
    halves = [frozenset(one for one in epoch if one < 10) for epoch in shown]
    assert halves[0] | halves[1] == halves[2] | halves[3] == frozenset(range(10)), "another half each time"
    assert halves[0] not in (halves[2], halves[3])


def test_no_epoch_repeats_another() -> None:
    order = order_of((64,), (1,), batch=8)
    rows = [[index for step in range(8 * epoch, 8 * epoch + 8) for _, index in order.batch(step)] for epoch in range(3)]
    assert all(sorted(row) == list(range(64)) for row in rows)
    companies = [{frozenset(row[start : start + 8]) for start in range(0, 64, 8)} for row in rows]
    assert len(set.union(*companies)) > 20, f"{len(set.union(*companies))} of 24: not the same steps in another order"
    other = order_of((64,), (1,), batch=8, seed=1)
    assert [order.batch(step) for step in range(8)] != [other.batch(step) for step in range(8)]


def test_a_step_does_not_depend_on_how_it_is_divided() -> None:
    ways = ((4, 1, 2), (4, 2, 1), (8, 1, 1), (2, 2, 2))
    orders = [order_of((50,), (1,), *way) for way in ways]
    for step in range(20):
        assert len({tuple(order.batch(step)) for order in orders}) == 1


def test_an_incomplete_step_runs_on_into_the_next_epoch() -> None:
    order = order_of((10,), (1,), batch=4)
    assert order.steps(1) == 3 and order.steps(2) == 5 and order.steps(0.5) == 2
    assert sorted(epoch for epoch, _ in order.batch(2)) == [0, 0, 1, 1]
    assert all(len(epoch) == 10 and set(epoch.values()) == {1} for epoch in epochs(order, 4))
    tiny = order_of((3,), (1,), batch=8)  # an epoch smaller than a step
    assert Counter(index for step in range(3) for _, index in tiny.batch(step)) == {0: 8, 1: 8, 2: 8}


def test_like_lengths_share_a_step() -> None:
    order = replace(order_of((1000,), (1,), batch=8), lengths=np.random.default_rng(0).integers(160, 1500, 1000))
    spans = [np.ptp(order.lengths[[index for _, index in order.batch(step)]]) for step in range(100)]
    assert np.mean(spans) < 0.25 * np.ptp(order.lengths)
    middles = [np.mean(order.lengths[[index for _, index in order.batch(step)]]) for step in range(32)]
    assert abs(np.corrcoef(middles, range(32))[0, 1]) < 0.5, "short and long steps come mixed"


# -- loaders ------------------------------------------------------------------------------------------------------


def options_of(**changes: int) -> LoaderOptions:
    defaults = LoaderOptions(batch_size=3, accumulation=1, max_tokens=128, window=4, seed=0, workers=0, validation_rows=256)
    return replace(defaults, **changes)


def taken(
    options: LoaderOptions, tokenizer: Tokenizer, examples: ExampleMixture | StreamMixture, steps: int, **where: int
) -> list[list[Batch]]:
    return list(islice(train_batches(options, tokenizer, examples, read, **where), steps))


def told(steps: list[list[Batch]]) -> list[object]:
    """Everything of batches that can be compared."""
    return [(one.tokens.tolist(), one.labels.tolist(), one.media, one.sources, one.skipped) for step in steps for one in step]


def test_workers_and_resuming_change_nothing(tokenizer: Tokenizer) -> None:
    examples, options = ExampleMixture((numbered(20, broken=(4,)),), (1.0,)), options_of(accumulation=2)
    state = torch.get_rng_state()
    whole = taken(options, tokenizer, examples, 8)
    assert all(len(step) == 2 and step[0].tokens.shape[0] == 3 for step in whole)
    assert all(one.media["audio"] == tuple(int(source[6:]) for source in one.sources) for step in whole for one in step)
    assert told(taken(replace(options, workers=2), tokenizer, examples, 5)) == told(whole[:5])
    assert told(taken(options, tokenizer, examples, 3, start_step=5)) == told(whole[5:])
    assert torch.equal(torch.get_rng_state(), state), "a training resumed must draw what it would have drawn"


def test_two_processes_share_what_one_accumulates(tokenizer: Tokenizer) -> None:
    examples = ExampleMixture((numbered(20),), (1.0,))
    both = [taken(options_of(), tokenizer, examples, 6, rank=rank, world=2) for rank in (0, 1)]
    alone = taken(options_of(accumulation=2), tokenizer, examples, 6)
    assert [told([step]) for step in alone] == [told([one]) + told([two]) for one, two in zip(*both, strict=True)]


def test_broken_examples_are_named_and_replaced(tokenizer: Tokenizer) -> None:
    steps = taken(options_of(), tokenizer, ExampleMixture((numbered(12, broken=(3, 7)),), (1.0,)), 8)
    skipped = {one for step in steps for one in step[0].skipped}
    assert {(one.source, one.reason) for one in skipped} == {("list #3", "3.wav is damaged."), ("list #7", "7.wav is damaged.")}
    assert all(step[0].tokens.shape[0] == 3 for step in steps)
    assert not {"list #3", "list #7"} & {source for step in steps for source in step[0].sources}


@pytest.mark.parametrize("workers", [0, 1])
def test_only_broken_examples_are_an_error(tokenizer: Tokenizer, workers: int) -> None:
    with pytest.raises(ValueError, match=r"^None of 5 examples .* \(\d\.wav is damaged\.\); check the folder"):
        taken(options_of(workers=workers), tokenizer, ExampleMixture((numbered(5, broken=range(5)),), (1.0,)), 1)


def test_invalid_input_is_refused_before_the_first_step(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="max_tokens is 20"):
        train_batches(options_of(max_tokens=20), tokenizer, ExampleMixture((numbered(5),), (1.0,)), read)
    with pytest.raises(ValueError, match="no examples to train on"):
        train_batches(options_of(), tokenizer, ExampleMixture(([],), (1.0,)), read)
    with pytest.raises(ValueError, match="Stage 2 has no data"):
        read_examples((), 2)


@pytest.mark.parametrize(("size", "world"), [(20, 1), (20, 2), (2, 3), (7, 3)])
def test_validation_reads_the_same_rows_each_time(tokenizer: Tokenizer, size: int, world: int) -> None:
    examples, options = ExampleMixture((numbered(40),), (1.0,)), options_of(validation_rows=size)
    found = [list(validation_batches(options, tokenizer, examples, read, rank, world)) for rank in range(world)]
    assert len({len(batches) for batches in found}) == 1, "or processes would wait for each other"
    sources = [source for batches in found for batch in batches for source in batch.sources]
    assert len(set(sources)) == size and len(sources) <= max(size, world)
    again = [list(validation_batches(options, tokenizer, examples, read, rank, world)) for rank in range(world)]
    assert [told([batches]) for batches in again] == [told([batches]) for batches in found]


def test_the_split_depends_on_the_example_alone() -> None:
    examples = ExampleMixture((numbered(500), [replace(one, instruction="?") for one in numbered(300)]), (2.0, 0.5))
    train, held = split(examples, 0.2)
    assert isinstance(train, ExampleMixture) and isinstance(held, ExampleMixture)
    assert 0.15 < len(held) / 800 < 0.25 and train.weights == held.weights == examples.weights
    everything = [examples[one] for one in range(800)]
    assert sorted(map(repr, [*map(train.__getitem__, range(len(train))), *map(held.__getitem__, range(len(held)))])) == \
        sorted(map(repr, everything))
    fewer, held_fewer = split(ExampleMixture((numbered(500)[::-1],), (1.0,)), 0.2)
    assert set(map(repr, held_fewer.parts[0])) == set(map(repr, held.parts[0])), "whatever else there is, in any order"
    moved = replace(numbered(1)[0], audio=MediaRef("audio", "x", path=Path("/a/0.wav")))
    assert split_hash(moved) == split_hash(replace(moved, audio=MediaRef("audio", "y", path=Path("/b/0.wav"))))
    assert split_hash(moved) != split_hash(replace(moved, answer="other"))
    assert len(split(examples, 0.0)[1]) == 0
    with pytest.raises(ValueError, match="A holdout of 0.001 leaves none of 3 examples"):
        split(ExampleMixture((numbered(3),), (1.0,)), 0.001)


# -- streams ------------------------------------------------------------------------------------------------------


@pytest.fixture()
def streams(monkeypatch: pytest.MonkeyPatch) -> StreamMixture:
    """Two streamed lists, the second shown three times as often, and a list that is read at once."""
    lists = {"a": numbered(30, broken=(2,)), "b": [replace(one, source=f"b #{place}") for place, one in enumerate(numbered(30))]}

    def stream(source: Source, stage: int, epoch: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Example]:
        yield from lists[source.file][rank::world]

    monkeypatch.setattr(ordering, "stream", stream)
    plain = [replace(one, source=f"c #{place}") for place, one in enumerate(numbered(10))]
    monkeypatch.setattr(ordering, "read_source", lambda source, stage: plain)
    found = read_examples((Source("tar", "a"), Source("tar", "b", times=3.0), Source("alpaca", "c")), 1)
    assert isinstance(found, StreamMixture)
    return found


def test_streams_are_mixed_by_their_weights(streams: StreamMixture) -> None:
    flow = [one.source[0] for one in islice(streams.examples(0), 500)]
    assert Counter(flow) == {"l": 100, "b": 300, "c": 100}
    firsts = [one.source for one in islice(streams.examples(0), 150) if one.source[0] == "l"]
    assert len(set(firsts)) == 30 and firsts != sorted(firsts)
    assert [one.source for one in islice(streams.examples(0), 500)] == [one.source for one in islice(streams.examples(0), 500)]
    assert [one.source for one in islice(streams.examples(1), 50)] != [one.source for one in islice(streams.examples(0), 50)]


def test_streams_too_do_not_depend_on_workers_or_resuming(streams: StreamMixture, tokenizer: Tokenizer) -> None:
    options = options_of(accumulation=2)
    whole = taken(options, tokenizer, streams, 8)
    assert all(one.tokens.shape[0] == 3 for step in whole for one in step)
    assert {one.source for step in whole for batch in step for one in batch.skipped} == {"list #2"}
    assert told(taken(replace(options, workers=2), tokenizer, streams, 6)) == told(whole[:6])
    assert told(taken(options, tokenizer, streams, 3, start_step=5)) == told(whole[5:])
    ranks = [{source for step in taken(options, tokenizer, streams, 3, rank=rank, world=2) for one in step for source in one.sources}
             for rank in (0, 1)]
    assert not ranks[0] & ranks[1]


def test_streams_are_split_as_lists_are(streams: StreamMixture, tokenizer: Tokenizer) -> None:
    train, held = split(streams, 0.3)
    sides = [{one.source for one in islice(side.examples(0), 300)} for side in (train, held)]
    assert sides[0] and sides[1] and not sides[0] & sides[1] and len(sides[0] | sides[1]) == 70
    found = [source for batch in validation_batches(options_of(validation_rows=9), tokenizer, held, read) for source in batch.sources]
    assert len(found) == 9 and set(found) <= sides[1]


def test_the_validation_sample_of_a_stream_is_read_once(
    streams: StreamMixture, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, options = split(streams, 0.3)[1], options_of(validation_rows=9)
    first = list(validation_batches(options, tokenizer, held, read))
    drawn = held.sample(9, 0)
    monkeypatch.setattr(ordering, "stream", lambda *_: pytest.fail("it is read again"))
    assert told([list(validation_batches(options, tokenizer, held, read))]) == told([first])
    drawn.clear()  # the caller's own list
    assert len(held.sample(9, 0)) == 9
    with pytest.raises(pytest.fail.Exception):
        split(streams, 0.3)[1].sample(9, 0)  # another object, another reading
    with pytest.raises(pytest.fail.Exception):
        held.sample(8, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_empty_or_broken_stream_raises_one_sentence(
    streams: StreamMixture, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(ordering, "stream", lambda *_: iter(()))
    with pytest.raises(ValueError, match="^b has no examples for process 0 of 1; add some.$"):
        taken(options_of(workers=workers), tokenizer, streams, 2)


@pytest.mark.parametrize("form", ["hub", "tar"])
def test_real_streams_do_not_depend_on_workers(tokenizer: Tokenizer, tmp_path: Path, form: str) -> None:
    """Libraries that stream tend to share a table out among the workers by themselves."""
    for part in range(2):
        rows = [{"instruction": f"Question {part} {row}", "answer": "x" * (row + 1)} for row in range(20)]
        (tmp_path / f"{part}.json").write_text("\n".join(map(json.dumps, rows)))
        with tarfile.open(tmp_path / f"{part}.tar", "w") as tar:
            for row in range(20):
                for name, text in ((f"{row}.json", json.dumps({"caption": "a flute " * part + str(row)})), (f"{row}.mp3", str(row))):
                    info = tarfile.TarInfo(name)
                    info.size = len(text)
                    tar.addfile(info, io.BytesIO(text.encode()))
    streams = read_examples((Source(form, str(tmp_path) if form == "hub" else str(tmp_path / "*.tar")),), 1)
    whole = taken(options_of(), tokenizer, streams, 12)
    assert len({row for step in whole for row in map(tuple, step[0].tokens.tolist())}) > 15
    assert told(taken(options_of(workers=2), tokenizer, streams, 12)) == told(whole)
