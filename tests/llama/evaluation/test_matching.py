"""Music with pictures and clips: ranks by hand, nano's feelings on the shipped examples, PE-AV as a tiny random model, the command."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from embedder_doubles import pe_av_folder
from safetensors.torch import load_file, save_file
from transformers import PeAudioVideoModel

from evaluate import main
from llama.evaluation import matching_metrics as metrics
from llama.evaluation.commands.matching import pairs_of, with_pieces
from llama.evaluation.embedders import parse_spec
from llama.evaluation.feeling_matcher import FeelingMatcher
from llama.evaluation.matchers import MATCHERS, load_matcher
from llama.evaluation.pe_av_matcher import PeAvMatcher
from llama.evaluation.window_embedder import ModelSpec, Placement
from llama.media.audio import Waveform
from llama.media.video import load_frames

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
PLACEMENT = Placement(batch_size=3)


# -- ranks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scores", itertools.permutations((0.9, 0.5, 0.1)))
def test_ranks_of_six_orders(scores: tuple[float, ...]) -> None:
    expected = [{0.9: 1, 0.5: 2, 0.1: 3}[score] for score in scores]
    assert metrics.shared_ranks(np.array(scores)).tolist() == expected


def test_the_published_ranks_are_wrong_in_two_orders() -> None:
    """argsort(descending) + 1 gives at each place which system is there, not which place a system has."""
    orders = [np.array(order) for order in itertools.permutations((0.9, 0.5, 0.1))]
    wrong = [order for order in orders if (np.argsort(-order) + 1).tolist() != metrics.shared_ranks(order).tolist()]
    assert len(wrong) == 2


def test_equal_scores_share_their_ranks() -> None:
    ranks = metrics.shared_ranks(np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0], [0.0, 1.0, 1.0]]))
    assert ranks.tolist() == [[1.5, 1.5, 3], [2, 2, 2], [3, 1.5, 1.5]]
    assert metrics.reciprocal_ranks(np.array([3.0, 1.0])).tolist() == [1, 0.5]


def test_own_among_others_by_hand() -> None:
    table = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.3], [0.4, 0.4, 0.4]])
    assert metrics.own_ranks(table).tolist() == [1, 2, 2]
    assert metrics.own_first(table).tolist() == pytest.approx([1, 0, 1 / 3])
    own, shuffled = metrics.own_minus_shuffled(table)
    assert own.tolist() == pytest.approx([0.9, 0.5, 0.4]) and shuffled.tolist() == pytest.approx([0.15, 0.55, 0.4])
    assert metrics.chance_reciprocal_rank(3) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_chance_is_what_random_scores_give() -> None:
    tables = [np.random.default_rng(seed).standard_normal((8, 8)) for seed in range(500)]
    assert np.mean([metrics.own_first(table) for table in tables]) == pytest.approx(1 / 8, abs=0.02)
    assert np.mean([1 / metrics.own_ranks(table) for table in tables]) == pytest.approx(metrics.chance_reciprocal_rank(8), abs=0.02)
    assert metrics.own_first(np.ones((8, 8))).mean() == pytest.approx(1 / 8), "a constant score is chance"


def test_tables_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="give a table"):
        metrics.own_ranks(np.ones((2, 3)))
    with pytest.raises(ValueError, match="two media or more"):
        metrics.own_minus_shuffled(np.ones((1, 1)))
    with pytest.raises(ValueError, match="embed media and music with one model"):
        metrics.cosine_table(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="not finite"):
        metrics.cosine_table(np.array([[np.nan]]), np.ones((1, 1)))


# -- nano ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano() -> FeelingMatcher:
    matcher = load_matcher(parse_spec("nano", MATCHERS), PLACEMENT)
    assert isinstance(matcher, FeelingMatcher)
    return matcher


def test_feelings_are_probabilities_and_a_batch_equals_each_alone(nano: FeelingMatcher) -> None:
    waves = [Waveform.read(path) for path in sorted(EXAMPLES.glob("*.flac"))]
    together = nano.embed_music(waves)
    assert together.shape == (4, 4) and np.square(together).sum(1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(together, np.concatenate([nano.embed_music([wave]) for wave in waves]), atol=1e-3)


def test_feelings_of_the_shipped_pictures_go_with_music_of_their_mood(nano: FeelingMatcher) -> None:
    """Rock for the party, a ballad for the rain: better than the other way round."""
    sights = nano.embed_media([("image", EXAMPLES / "night_party.jpg"), ("image", EXAMPLES / "rainy_mountain.jpg")])
    sounds = nano.embed_music([Waveform.read(EXAMPLES / f"{name}.flac") for name in ("guitar_rock", "flute_ballad")])
    table = metrics.cosine_table(sights, sounds)
    assert table[0, 0] + table[1, 1] > table[0, 1] + table[1, 0]


# -- PE-AV --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pe_av(tmp_path_factory: pytest.TempPathFactory) -> PeAvMatcher:
    matcher = load_matcher(ModelSpec("pe-av", str(pe_av_folder(tmp_path_factory.mktemp("models") / "pe_av"))), PLACEMENT)
    assert isinstance(matcher, PeAvMatcher)
    return matcher


def noise(seconds: float, seed: int, rate: int = 16_000) -> Waveform:
    return Waveform(0.1 * torch.randn(1, round(seconds * rate), generator=torch.Generator().manual_seed(seed)), rate)


def test_pe_av_vectors_are_those_of_its_own_forward(pe_av: PeAvMatcher) -> None:
    """The combined `forward` of transformers is the reference for the parts that are called here."""
    wave, clip = noise(0.4, 0, 48_000), EXAMPLES / "slow_sea.mp4"
    model = PeAudioVideoModel.from_pretrained(pe_av.spec.path).eval()
    pixels = pe_av.processor(videos=[load_frames(clip, 16)], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"]
    samples = pe_av.extractor([wave.samples[0].numpy()], sampling_rate=48_000, return_tensors="pt")["input_values"]
    with torch.no_grad():
        expected = model(pixel_values_videos=pixels, input_values=samples)
    np.testing.assert_allclose(pe_av.embed_media([("video", clip)])[0], torch.nn.functional.normalize(expected.video_embeds)[0], atol=1e-5)
    np.testing.assert_allclose(pe_av.embed_music([wave])[0], torch.nn.functional.normalize(expected.audio_embeds)[0], atol=1e-5)


def test_pe_av_batches_windows_and_pictures(pe_av: PeAvMatcher) -> None:
    waves = [noise(0.3, 1), noise(0.2, 2), noise(0.3, 3)]
    together = pe_av.embed_music(waves)
    alone = np.concatenate([pe_av.embed_music([wave]) for wave in waves])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    sights = pe_av.embed_media([("image", EXAMPLES / "moon.jpg"), ("video", EXAMPLES / "fast_city.mp4")])
    assert sights.shape[1] == together.shape[1] and np.linalg.norm(sights, axis=1) == pytest.approx(1)


def test_pe_av_with_missing_weights_is_refused(pe_av: PeAvMatcher, tmp_path: Path) -> None:
    shutil.copytree(pe_av.spec.path, tmp_path / "half")
    file = tmp_path / "half/model.safetensors"
    state = load_file(file)
    key = next(key for key in state if "audio_head" in key)
    save_file({name: value for name, value in state.items() if name != key}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=f"The pe-av weights lack {key}"):
        load_matcher(ModelSpec("pe-av", str(tmp_path / "half")), PLACEMENT)


# -- ImageBind ----------------------------------------------------------------------------------------------------------


class OwnImageBind(torch.nn.Module):
    """Stands for the user's package: a linear map of what its readers return."""

    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Linear(2, 3)

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: self.map(values) for name, values in inputs.items()}


@pytest.fixture()
def imagebind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The package in sys.modules, and a file with its weights. Its readers return the name's length, or the seconds of a recording."""

    def names(paths: list[str], device: torch.device) -> torch.Tensor:
        return torch.tensor([[float(len(Path(path).name)), 1.0] for path in paths])

    def seconds(paths: list[str], device: torch.device) -> torch.Tensor:
        return torch.tensor([[Waveform.read(path).seconds, 0.0] for path in paths])

    modules = {name: ModuleType(name) for name in ("imagebind", "imagebind.data", "imagebind.models", "imagebind.models.imagebind_model")}
    modules["imagebind.data"].__dict__.update(load_and_transform_vision_data=names, load_and_transform_video_data=names,
                                              load_and_transform_audio_data=seconds)  # fmt: skip
    modules["imagebind.models.imagebind_model"].__dict__["imagebind_huge"] = lambda pretrained: OwnImageBind()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    torch.save(OwnImageBind().state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_imagebind_of_the_users_own(imagebind: Path) -> None:
    matcher = load_matcher(parse_spec(f"imagebind={imagebind}", MATCHERS), PLACEMENT)
    weights = torch.load(imagebind, weights_only=True)
    sights = matcher.embed_media([("image", Path("a.jpg")), ("video", Path("longer.mp4"))])
    expected = torch.tensor([[5.0, 1.0], [10.0, 1.0]]) @ weights["map.weight"].T + weights["map.bias"]
    np.testing.assert_allclose(sights, expected, rtol=1e-5)
    sounds = matcher.embed_music([noise(0.5, 0), noise(1.5, 0)])
    np.testing.assert_allclose(sounds, torch.tensor([[0.5, 0.0], [1.5, 0.0]]) @ weights["map.weight"].T + weights["map.bias"], rtol=1e-5)
    with pytest.raises(FileNotFoundError, match="There is no file imagebind_huge.pth with ImageBind's weights"):
        load_matcher(parse_spec("imagebind", MATCHERS), PLACEMENT)
    torch.save({"map.weight": weights["map.weight"]}, imagebind)
    with pytest.raises(ValueError, match="Cannot load ImageBind from .*; give the file of imagebind_huge's weights"):
        load_matcher(parse_spec(f"imagebind={imagebind}", MATCHERS), PLACEMENT)


# -- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures and clips; music that goes with them, the same in another order, and the pieces of both in one more."""
    root = tmp_path_factory.mktemp("matching")
    media = ["night_party.jpg", "calm_sea.jpg", "rainy_mountain.jpg", "fast_city.mp4"]
    music = ["violin_swing", "piano_waltz", "flute_ballad", "guitar_rock"]
    for folder in ("media", "right", "wrong"):
        (root / folder).mkdir()
    for place, name in enumerate(media):
        shutil.copy(EXAMPLES / name, root / "media")
        for folder, index in (("right", place), ("wrong", (place + 2) % 4)):
            shutil.copy(EXAMPLES / f"{music[index]}.flac", root / folder / f"{Path(name).stem}.flac")
    return root


def run(root: Path, out: Path, *arguments: str) -> dict[str, dict[str, object]]:
    systems = [argument for name in ("right", "wrong") for argument in ("--system", f"{name}={root / name}")]
    assert main(["matching", "--media", str(root / "media"), *systems, "--out", str(out), "--device", "cpu", *arguments]) == 0
    return {row["label"]: row["cells"] for row in json.loads((out / "matching.json").read_text())["tables"][0]["rows"]}


def test_the_right_music_wins(root: Path, tmp_path: Path) -> None:
    rows = run(root, tmp_path / "out")
    assert list(rows) == ["right", "wrong", "silence", "chance"]
    right, wrong = rows["right"], rows["wrong"]
    assert right["cosine, own"]["value"] > wrong["cosine, own"]["value"]
    assert right["own minus shuffled"]["value"] > 0 > wrong["own minus shuffled"]["value"]
    assert right["own minus shuffled"]["value"] == pytest.approx(right["cosine, own"]["value"] - right["cosine, shuffled"]["value"])
    assert right["MRR among systems"]["value"] + wrong["MRR among systems"]["value"] == pytest.approx(1.5, abs=0.1)
    assert rows["chance"]["own first of N"] == "0.250" and rows["silence"]["cosine, own"]["n"] == 4


def test_the_same_with_pe_av(root: Path, tmp_path: Path, pe_av: PeAvMatcher) -> None:
    (tmp_path / "music").mkdir()
    for place, path in enumerate(sorted((root / "media").iterdir())):
        noise(0.3, place).write(tmp_path / "music" / f"{path.stem}.wav")
    arguments = ["matching", "--media", str(root / "media"), "--system", f"noise={tmp_path / 'music'}", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--device", "cpu", "--embedder", f"pe-av={pe_av.spec.path}"]) == 0
    cells = json.loads((tmp_path / "out/matching.json").read_text())["tables"][0]["rows"][0]["cells"]
    assert -1 <= cells["cosine, own"]["value"] <= 1 and cells["own first of N"]["n"] == 4 and "MRR among systems" not in cells


def test_systems_are_measured_on_the_same_names(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few"
    shutil.copytree(root / "right", few)
    (few / "calm_sea.flac").unlink()
    (few / "night_party.flac").write_bytes(b"no sound")
    (few / "fast_city.flac").unlink()
    systems = ["--system", f"right={root / 'right'}", "--system", f"few={few}"]
    arguments = ["matching", "--media", str(root / "media"), *systems, "--out", str(tmp_path / "o"), "--device", "cpu"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "N = 1, the names that the media and all systems have" in printed and "not measured: one pair" in printed
    assert "few: 1 unreadable (night_party); the first says:" in printed
    assert "right: 2 left out, which the others lack (calm_sea, fast_city)." in printed


def test_music_of_other_names_is_found_by_what_it_was_made_for(root: Path, tmp_path: Path) -> None:
    """By asked.jsonl, as evaluate.py music writes it, or by a published list, whichever of the two files is the input."""
    made = tmp_path / "made"
    made.mkdir()
    asked, rows = [], []
    media = {path.stem: path for path in sorted((root / "media").iterdir())}
    for place, (stem, path) in enumerate(media.items()):
        shutil.copy(root / f"right/{stem}.flac", made / f"piece_{place}.flac")
        asked.append({"file": f"piece_{place}.wav", "instruction": "", "caption": "", "media": path.name, "kind": "image", "answer": "",
                      "seed": 0, "seconds": 10.0, "sample_rate": 32000})  # fmt: skip
        files = [path.name, f"piece_{place}.mp3"]
        rows.append(dict(zip(("input_file", "output_file"), files if place % 2 else files[::-1], strict=True)))
    (made / "asked.jsonl").write_text("".join(json.dumps(piece) + "\n" for piece in asked))
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    pairs = pairs_of(tmp_path / "pairs.json", media)
    assert pairs == {f"piece_{place}": path for place, path in enumerate(media.values())}
    assert with_pieces(media, [str(made)]) == {**pairs, **media}
    arguments = ["matching", "--media", str(root / "media"), "--system", f"right={made}", "--pairs", str(tmp_path / "pairs.json")]
    assert main([*arguments, "--out", str(tmp_path / "o"), "--device", "cpu"]) == 0
    table = json.loads((tmp_path / "o/matching.json").read_text())["tables"][0]
    assert table["rows"][0]["cells"]["own minus shuffled"]["value"] > 0 and not any("left out" in note for note in table["notes"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--media": "{root}/right"}, "{root}/right holds no files to measure; put .jpg, .png, .mp4, .webm ... files into it."),
        ({"--system": "a={tmp}"}, "{tmp} holds no files to measure; put .wav"),
        ({"--system": "a={examples}"}, "No picture or clip has music of its name in every system"),
        ({"--pairs": "{tmp}/no.json"}, "No such file or directory: {tmp}/no.json"),
        ({"--pairs": "{tmp}/table.json"}, "{tmp}/table.json is no list of pairs; give a list of objects with input_file and output_file"),
        ({"--pairs": "{tmp}/other.json"}, "{tmp}/other.json names none of the pictures and clips"),
        ({"--embedder": "imagebind"}, "ImageBind does not load (No module named 'imagebind'): it is no part of this project"),
        ({"--embedder": "clap"}, "There is no model called 'clap'; give one of nano, pe-av, imagebind."),
        ({"--embedder": "pe-av={root}/media"}, "Cannot load PeAudioVideoModel from {root}/media"),
    ],
)
def test_bad_input_is_one_sentence(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], message: str
) -> None:
    places = {"root": root, "tmp": tmp_path, "examples": EXAMPLES}
    (tmp_path / "table.json").write_text('{"a.jpg": "a.wav"}')
    (tmp_path / "other.json").write_text('[{"input_file": "other.jpg"}]')
    values = {"--media": "{root}/media", "--system": "a={root}/right", "--out": "{tmp}/o", "--device": "cpu", **change}
    assert main(["matching", *(text.format(**places) for pair in values.items() for text in pair)]) == 2
    error = capsys.readouterr().err.strip()
    assert message.format(**places) in error and "\n" not in error
