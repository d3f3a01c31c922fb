"""Deduplication and block list: planted copies of every kind come back, different music and pictures do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from DataSet.pipeline.block_list import LISTS, BlockList, item_ids
from DataSet.pipeline.deduplication import (
    DuplicateOptions,
    DuplicateReport,
    deduplicate,
    duplicate_spec,
    find_duplicates,
)
from DataSet.pipeline.duplicate_index import candidate_pairs, similar_hashes, split_pairs
from DataSet.pipeline.fingerprinted_files import fingerprint_folders
from DataSet.pipeline.fingerprints import PeakFingerprint, align, dhashes, hamming, normalized_words, peak_fingerprint
from DataSet.pipeline.item import Item
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.segments import SegmentOptions, SegmentStep
from DataSet.pipeline.sources import made_rows
from DataSet.pipeline.splits import LinkedGroups, SplitOptions, links_of_copies, split_items, split_of, write_splits
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from DataSet.synthesis.scenes import draw, random_scene
from llama.media.audio import Waveform

EXAMPLES = Path(__file__).parents[3] / "assets/examples"
RATE = 32_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return list(made_rows(tmp_path_factory.mktemp("made") / "set", "audio", 24, 3, lambda text: None))


@pytest.fixture(scope="module")
def segments(made: list[Item], tmp_path_factory: pytest.TempPathFactory) -> list[StepInput]:
    return segment(tmp_path_factory.mktemp("work"), made)


def segment(folder: Path, items: Sequence[Item], kind: Any = "audio", options: SegmentOptions | None = None) -> list[StepInput]:
    outcomes = SegmentStep(folder, kind, RATE, options)([StepInput(item) for item in items])
    kept = [StepInput(item, {"segment": values}) for item, values in zip(items, outcomes, strict=True) if not isinstance(values, Rejection)]
    assert len(kept) == len(items)
    return kept


def find(inputs: Sequence[StepInput], **options: Any) -> DuplicateReport:
    report = find_duplicates(lambda: inputs, **options)
    assert set(report.outcomes) == {step_input.item.id for step_input in inputs}
    return report


def rejected(outcome: Outcome, rule: str, words: str) -> None:
    assert isinstance(outcome, Rejection) and outcome.rule == rule and words in outcome.why and outcome.why.endswith("."), outcome


def recording(folder: Path, name: str, wave: Waveform, **fields: Any) -> Item:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    wave.write(folder / name)
    return Item("planted", name, {"audio": str(folder / name)}, **fields)


def example(name: str = "guitar_rock") -> Waveform:
    return Waveform.read(EXAMPLES / f"{name}.flac")


def shifted(wave: Waveform, seconds: float) -> Waveform:
    """The recording from `seconds` on, and then other sound, as another cut of one video."""
    start = round(seconds * wave.sample_rate)
    other = example("flute_ballad").mono().samples[:, :start].expand(len(wave.samples), -1)
    return Waveform(torch.cat([wave.samples[:, start:], other], 1).contiguous(), wave.sample_rate)


# -- copies -------------------------------------------------------------------------------------------------------------


def test_different_pieces_are_no_copies(segments: list[StepInput]) -> None:
    report = find(segments)
    assert all(outcome == {"kept_of": []} for outcome in report.outcomes.values()) and not report.counts
    assert not [pair for pair in report.pairs if pair.is_copy]


@pytest.mark.parametrize(("name", "change", "rule"), [
    ("renamed copy.flac", lambda wave: wave, "sound"),
    ("half level.mp3", lambda wave: Waveform(wave.samples * 0.5, wave.sample_rate), "peaks"),
    ("five seconds later.flac", lambda wave: shifted(wave, 5), "peaks"),
    ("a part.ogg", lambda wave: Waveform(wave.samples[:, 70_001:200_000].contiguous(), wave.sample_rate), "peaks"),
    ("another rate.flac", lambda wave: wave.resample(22_050), "peaks"),
    ("in mono.flac", lambda wave: wave.mono(), None),
])
def test_a_planted_copy_comes_back(tmp_path: Path, segments: list[StepInput], name: str, change: Any, rule: str | None) -> None:
    original = Item("folder", "guitar_rock.flac", {"audio": str(EXAMPLES / "guitar_rock.flac")})
    copy = recording(tmp_path, name, change(example()))
    report = find([*segments, *segment(tmp_path, [copy, original])])
    outcomes = [report.outcomes[item.id] for item in (original, copy)]
    kept, lost = sorted(outcomes, key=lambda outcome: isinstance(outcome, Rejection))
    rejected(lost, "duplicate", "guitar_rock.flac")
    assert isinstance(kept, dict) and len(kept["kept_of"]) == 1 and report.counts == {"duplicate": 1}
    assert name.endswith(".flac") or kept is outcomes[0]  # a file with loss is no better, even if its coder made it longer
    (pair, *_) = report.pairs
    assert pair.is_copy and {pair.first, pair.second} == {original.id, copy.id} and rule in (None, pair.rule)
    if name.startswith("five"):
        assert abs(pair.shift) == pytest.approx(5, abs=0.05) and "5.0 s" in getattr(lost, "why", "")


def test_the_best_of_the_longest_copies_is_kept() -> None:
    def kept(*copies: tuple[str, float, float]) -> str:
        """Names of copies with their seconds and clipped shares -> the one that is kept."""
        items = [Item("folder", name, {"audio": name}) for name, _, _ in copies]
        same = {"sha256": "ab" * 32, "picture_sha256": None, "dhash": [], "peaks": ""}
        values = [{"audio": f"{item.id}.flac", "seconds": seconds, "clipped": clipped, **same}
                  for item, (_, seconds, clipped) in zip(items, copies, strict=True)]
        report = find([StepInput(item, {"segment": segment}) for item, segment in zip(items, values, strict=True)])
        return next(item.key for item in items if isinstance(report.outcomes[item.id], dict))

    assert kept(("a.mp3", 10.1, 0.0), ("b.flac", 10.0, 0.0)) == "b.flac"
    assert kept(("a.mp3", 100.0, 0.0), ("b.flac", 10.0, 0.0)) == "a.mp3"  # the other is a part
    assert kept(("a.wav", 10.2, 0.005), ("b.wav", 10.0, 0.0)) == "b.wav"
    assert kept(("a.wav", 10.0, 0.0), ("b.wav", 10.2, 0.0)) == "b.wav"


def test_keys_of_several_passes_give_the_same_pairs(segments: list[StepInput]) -> None:
    found = [PeakFingerprint.decode(step_input.results["segment"]["peaks"]) for step_input in segments]
    assert split_pairs(candidate_pairs(lambda: enumerate(found), 500)) == split_pairs(candidate_pairs(lambda: enumerate(found)))


def test_a_chain_is_one_group(tmp_path: Path) -> None:
    wave = example()
    rate = wave.sample_rate
    parts = [Waveform(wave.samples[:, start * rate : (start + 5) * rate].contiguous(), rate) for start in (0, 2, 4)]
    inputs = segment(tmp_path, [recording(tmp_path, f"{index}.flac", part) for index, part in enumerate(parts)])
    outcomes = list(find(inputs).outcomes.values())
    assert sum(isinstance(outcome, Rejection) for outcome in outcomes) == 2


def test_silence_matches_nothing() -> None:
    silence = peak_fingerprint(Waveform(torch.zeros(1, RATE * 3), RATE))
    short = peak_fingerprint(Waveform(torch.zeros(1, 10), RATE))
    assert len(silence) == len(short) == 0 and align(silence, short).matches == 0
    assert align(silence, peak_fingerprint(example())).matches == 0


def test_pictures(tmp_path: Path) -> None:
    options = SegmentOptions(sound="none")
    photograph = Image.open(EXAMPLES / "dahlia.jpg")
    files = {"mirrored.png": ImageOps.mirror(photograph), "small.jpg": photograph.resize((200, 150)), "copy.png": photograph,
             **{f"scene {index}.png": draw(random_scene(np.random.default_rng(index)), (96, 96)) for index in range(12)}}
    for name, picture in files.items():
        picture.save(tmp_path / name)
    items = [Item("planted", name, {"image": str(path)}) for name, path in (
        ("dahlia.jpg", EXAMPLES / "dahlia.jpg"), ("rocket.jpg", EXAMPLES / "rocket.jpg"), *((name, tmp_path / name) for name in files))]
    report = find(segment(tmp_path, items, "image", options))
    lost = [outcome for outcome in report.outcomes.values() if isinstance(outcome, Rejection)]
    assert len(lost) == 3 and {pair.rule for pair in report.pairs} == {"picture", "dhash"}
    grey = Image.new("RGB", (64, 64), (90, 90, 90))
    assert dhashes(grey) == [] and hamming("00ff", "00fe") == 1


def test_similar_hashes_finds_all() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for row in range(0, 60, 2):
        flips = rng.choice(64, rng.integers(0, 9), replace=False)
        hashes[row + 1] = hashes[row] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64)) if len(flips) else hashes[row]
    expected = {(row, other) for row in range(300) for other in range(row + 1, 300) if int(hashes[row] ^ hashes[other]).bit_count() <= 6}
    assert {(first, second) for first, second, _ in similar_hashes(hashes, 6)} == expected and len(expected) > 10


def test_words_and_embeddings(segments: list[StepInput]) -> None:
    texts = ["A calm piece, for PIANO and strings!", "a calm piece for piano and strings", "Music"]
    items = [Item("folder", f"{index}", {}, caption=text) for index, text in enumerate([*texts, "music."])]
    inputs = [StepInput(item, {"segment": segments[index].results["segment"]}) for index, item in enumerate(items)]
    assert normalized_words("Caf\u00e9, \u201cd\u00e9j\u00e0 vu\u201d") == "cafe deja vu"
    assert find(inputs, options=DuplicateOptions(words=True)).counts == {"duplicate": 1}
    assert not find(inputs).counts
    pytest.importorskip("faiss")
    vectors = {item.id: vector for item, vector in zip(items, np.eye(4)[[0, 1, 2, 1]] + 0.01, strict=True)}
    assert [pair.rule for pair in find(inputs, embeddings=vectors).pairs if pair.is_copy] == ["embedding"]


# -- block list ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    (folder / "splits/split-0").mkdir(parents=True)
    files = {
        "musiccaps-public.csv": "ytid,start_s,end_s,caption\nCapsCaps_01,30,40,x\n",
        "eval_segments.csv": '# a\n# b\n# YTID, start_seconds, end_seconds, positive_labels\n--EvalSeg-1, 0.0, 10.0, "/m/a,/m/b"\n',
        "muchomusic.csv": "question,dataset,dataset_identifier\nq,sdd,123.json\nq,musiccaps,Mucho_Mu-si_2.json\n",
        "MMAR-meta.jsonl": json.dumps({"id": "x", "url": "https://www.youtube.com/watch?v=Mmar-Video1&t=3"}) + "\n",
        "song_describer.csv": "caption_id,track_id,caption,artist_id\n1,1286,x,193\n",
        "splits/split-0/autotagging-test.tsv": "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\ntrack_0000456\tartist_000001\talbum_1\t56/456.mp3\n",
        "EvalMusicQA.json": '[{"audio_name": "some/folder/Eval_qa.mp3", "conversation": []}]',
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def test_every_list_blocks_an_id(lists: Path) -> None:
    block_list = BlockList.read(lists)
    assert not block_list.missing and block_list.counts == {**dict.fromkeys(LISTS, 1), "muchomusic": 2, "song-describer": 2}
    blocked = {
        "musiccaps": Item("audioset", "CapsCaps_01", {}, 90.0, 100.0, group="video CapsCaps_01"),  # another segment of a test video
        "audioset-eval": Item("folder", "a/[--EvalSeg-1]-[0-10].wav", {}), "muchomusic": Item("folder", "Mucho_Mu-si_120000.mp3", {}),
        "mmar": Item("rows", "one", {"video": "/data/mmar-video1.MP4"}),  # another case of a name
        "song-describer": Item("mtg-jamendo", "99/999.mp3", {}, group="jamendo artist 193"),
        "mtg-jamendo-test": Item("folder", "track_0000456.mp3", {}), "evalmusicqa": Item("folder", "eval_QA.wav", {}),
    }
    for name, item in blocked.items():
        assert name in (block_list.reason(item) or ""), (name, item_ids(item))
    for key in ("violin_swing.flac", "1286.mp3", "000456.mp3", "heard_00000.ogg", "CapsCaps_01x.wav"):  # other collections have numbers
        assert block_list.reason(Item("folder", key, {}, group=f"folder file {key}")) is None
    assert block_list.reason(Item("song-describer", "1286 7", {"audio": "/d/1286.2min.mp3"}, group="jamendo artist 5"))


def test_missing_lists_are_visible_and_refused(lists: Path) -> None:
    (lists / "eval_segments.csv").unlink()
    block_list = BlockList.read(lists)
    assert list(block_list.missing) == ["audioset-eval"] and "put eval_segments.csv into" in block_list.missing["audioset-eval"]
    assert [row[2] for row in block_list.table()] == [1, 0, 2, 1, 2, 1, 1]
    with pytest.raises(ValueError, match=r"missing: audioset-eval \(eval_segments\.csv\); put these files into the folder that leaks"):
        block_list.require()
    with pytest.raises(ValueError) as raised:
        BlockList.read().require()
    assert len(str(raised.value)) < 600 and "leaks: {allow_missing: [...]}" in str(raised.value)
    block_list.require(["audioset-eval"])
    assert set(BlockList.read().missing) == set(LISTS)
    with pytest.raises(ValueError, match="'wikipedia' is unknown"):
        BlockList.read(lists, ["wikipedia"])
    with pytest.raises(FileNotFoundError, match=r"no folder .*gone with the lists .* put musiccaps-public.csv, eval_segments.csv"):
        BlockList.read(lists / "gone")


def test_listed_ids_and_copies_of_test_files_are_blocked(tmp_path: Path, lists: Path, segments: list[StepInput]) -> None:
    test_folder = tmp_path / "test set"
    recording(test_folder, "mucaps_000001.mp3", Waveform(example().samples * 0.5, example().sample_rate))
    (test_folder / "broken.wav").write_bytes(b"RIFF")
    Image.open(EXAMPLES / "rocket.jpg").save(test_folder / "picture.png")
    files = fingerprint_folders([test_folder], tmp_path)
    assert [bool(file.error) for file in files] == [True, False, False] and fingerprint_folders([test_folder], tmp_path) == files
    block_list = BlockList.read(lists, files=files)
    copy = recording(tmp_path, "another name.flac", example())
    listed = recording(tmp_path, "CapsCaps_01.flac", example("piano_waltz"))
    of_listed = recording(tmp_path, "renamed.ogg", example("piano_waltz"))
    report = find([*segments, *segment(tmp_path, [copy, listed, of_listed])], block_list=block_list)
    rejected(report.outcomes[copy.id], "blocked", "test set/mucaps_000001.mp3")
    rejected(report.outcomes[listed.id], "blocked", "is in the list musiccaps")
    rejected(report.outcomes[of_listed.id], "blocked", "is in the list musiccaps")
    assert report.counts == {"blocked": 3}
    assert BlockList.read(lists).digest != block_list.digest


# -- splits -------------------------------------------------------------------------------------------------------------


def test_groups_stay_on_one_side() -> None:
    items = [Item("audioset", f"video{index % 300}", {}, index, index + 10, group=f"video {index % 300}") for index in range(1500)]
    options = SplitOptions(validation=0.2, test=0.1)
    sides: dict[str, set[str]] = {}
    for _, values in split_items(items, options):
        sides.setdefault(values["group"], set()).add(values["split"])
    assert all(len(found) == 1 for found in sides.values())
    share = {name: sum(found == {name} for found in sides.values()) / 300 for name in ("train", "validation", "test")}
    assert share["test"] == pytest.approx(0.1, abs=0.05) and share["validation"] == pytest.approx(0.2, abs=0.07)
    reverse = dict(split_items(reversed(items), options))
    assert reverse == dict(split_items(items, options)) != dict(split_items(items, SplitOptions(0.2, 0.1, seed=1)))
    assert split_of("video 1", SplitOptions(0, 0)) == "train"
    with pytest.raises(ValueError, match="leave nothing to train on"):
        SplitOptions(0.5, 0.5)


def test_linked_groups_are_one() -> None:
    groups = LinkedGroups([("c", "b"), ("d", "e"), ("b", "a"), ("e", "b")])
    assert {groups.first_of(name) for name in "abcde"} == {"a"} and groups.first_of("f") == "f"


def add_segments(ledger: Ledger, items: Sequence[Item]) -> StepSpec:
    ledger.add_items(items)
    step = SegmentStep(ledger.folder)
    ledger.write_outcomes(step.spec, dict(zip([item.id for item in items], step([StepInput(item) for item in items]), strict=True)))
    return step.spec


def test_pairs_of_other_options_are_not_taken(tmp_path: Path) -> None:
    """Splits join the groups of copies, so the pairs must be those of the step that is asked for."""
    wave = example()
    items = [recording(tmp_path, "a.flac", wave), recording(tmp_path, "b.flac", Waveform(wave.samples * 0.5, wave.sample_rate))]
    with Ledger.open(tmp_path / "work") as ledger:
        segments = add_segments(ledger, items)
        usual = deduplicate(ledger, [segments])
        assert not any(pair.is_copy for pair in deduplicate(ledger, [segments], DuplicateOptions(matches=10**6)).pairs)
        assert deduplicate(ledger, [segments]) == usual and any(pair.is_copy for pair in usual.pairs)


def test_the_steps_in_a_ledger(tmp_path: Path, made: list[Item]) -> None:
    """What is left of a copy's group stays with the copy: no part of it is trained on if the other is tested on."""
    group = {"group": "album"}
    copy = recording(tmp_path, "copy.flac", Waveform.read(made[0].media["audio"]), **group)
    sibling = recording(tmp_path, "sibling.flac", example(), **group)
    items = [*made[:3], copy, sibling]
    with Ledger.open(tmp_path / "work") as ledger:
        segments = add_segments(ledger, items)
        report = deduplicate(ledger, [segments])
        assert deduplicate(ledger, [segments]) == report and report.counts == {"duplicate": 1}
        spec = write_splits(ledger, [segments, duplicate_spec()], SplitOptions(0.3, 0.3), report.pairs)
        outcomes = dict(ledger.outcomes(spec))
    assert [set(link) for link in links_of_copies(items, report.pairs)] == [{"album", made[0].group}]
    assert len(outcomes) == len(items) - 1
    pair = [outcomes[item.id] for item in (made[0], copy, sibling) if item.id in outcomes]
    assert len(pair) == 2 and pair[0] == pair[1] and pair[0]["group"] == "album"  # type: ignore[call-overload,index]
