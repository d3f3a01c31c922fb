"""Features once: what is kept equals what is encoded, is keyed by content and encoder, and survives what disks do."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import pickle
import resource
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import component_paths
from safetensors.torch import load_file, save_file
from torch import Tensor

import llama
from llama.config import MODALITIES
from llama.data.examples import MediaRef
from llama.dialogue import Turn
from llama.media.audio import Waveform
from llama.mumu_llama import MuMuLLaMA
from llama.training import feature_cache as room
from llama.training.feature_cache import FeatureCache, prompts
from llama.training.feature_store import FeatureStore

ASSETS = Path(__file__).resolve().parents[3] / "assets/examples"
NANO = Path(__file__).resolve().parents[3] / "ckpts/nano"
MODELS = ("published", "recurrent", "nano")
NOTHING: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, noise = tmp_path_factory.mktemp("media"), torch.Generator().manual_seed(3)
    for name, seconds in {"short": 1.4, "long": 62.5}.items():  # the long one is heard in windows of 60 and 2.5 s
        loud = torch.rand(1, round(seconds * 16_000), generator=noise) * torch.linspace(-0.5, 0.8, round(seconds * 16_000))
        Waveform(loud, 16_000).write(folder / f"{name}.wav")
    shutil.copy(ASSETS / "calm_sea.jpg", folder / "image.jpg")
    shutil.copy(ASSETS / "slow_sea.mp4", folder / "video.mp4")
    return {file.stem: file for file in folder.iterdir()}


@pytest.fixture(scope="module")
def models(published_tree: Path, golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], MuMuLLaMA]:
    """One model of each family, loaded when it is first asked for; a mean, a recurrent, and rhythm and harmony pools."""
    loaded: dict[str, MuMuLLaMA] = {}

    def load(name: str) -> MuMuLLaMA:
        if name == "nano":
            return llama.load(NANO)
        state = load_file(golden / "m2ugen/model.safetensors")
        state |= load_file(golden / "mumu/audio_weights.safetensors") if name == "recurrent" else {}
        file = tmp_path_factory.mktemp(name) / "model.safetensors"
        save_file(state, file)
        return llama.load(file, llama_dir=published_tree / "LLaMA-2", **component_paths())

    return lambda name: loaded.get(name) or loaded.setdefault(name, load(name).eval())


@pytest.fixture()
def model(models: Callable[[str], MuMuLLaMA]) -> MuMuLLaMA:
    return models("published")


def adapters_of(model: MuMuLLaMA) -> frozenset[str]:
    return frozenset(name for name, _ in model.named_parameters() if name.startswith("adapters."))


def medium(kind: str, path: Path) -> MediaRef:
    return MediaRef(kind, f"list.json #{path.stem}", path)


def kept(features: FeatureCache, kind: str, *paths: Path | None) -> list[dict[str, Tensor] | None]:
    return features.encode_missing([None if path is None else features.reader(medium(kind, path)) for path in paths])


def heard(model: MuMuLLaMA, rows: list, kind: str = "audio") -> Tensor:
    return prompts(model.adapters[kind], rows, model.prototypes if kind == "audio" else None)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture()
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is decoded, and what is read to be hashed."""
    counts: Counter[str] = Counter()

    def counted(name: str, work: Callable) -> Callable:
        def wrapper(*args: object) -> object:
            counts[name] += 1
            return work(*args)

        return wrapper

    monkeypatch.setattr(room.Waveform, "read", staticmethod(counted("audio", Waveform.read)))
    monkeypatch.setattr(room, "load_image", counted("image", room.load_image))
    monkeypatch.setattr(room, "load_frames", counted("video", room.load_frames))
    monkeypatch.setattr(MediaRef, "digest", counted("digest", MediaRef.digest))
    return counts


# -- equality -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trains", ["all", "nothing"])
@pytest.mark.parametrize("kind", MODALITIES)
@pytest.mark.parametrize("name", MODELS)
def test_fresh_equals_cached_equals_encoded(models: Callable, media: dict[str, Path], tmp_path: Path, name: str, kind: str,
                                            trains: str) -> None:  # fmt: skip
    model, paths = models(name), [media[kind], None, media[kind]] if kind != "audio" else [media["short"], None, media["long"]]
    paths = paths[: 2 if trains == "nothing" else 3]  # long ones of every form below
    trained = adapters_of(model) if trains == "all" else NOTHING
    fresh = kept(FeatureCache(model, None, trained), kind, *paths)
    first, second = (kept(FeatureCache(model, tmp_path, trained), kind, *paths) for _ in range(2))
    with torch.no_grad():
        ours, made, again = (heard(model, rows, kind) for rows in (fresh, first, second))
        turns = [Turn("Hello") if path is None else Turn("Hello", **{kind: str(path)}) for path in paths]
        whole = getattr(model.encode(turns), kind)
    assert torch.equal(ours, made) and torch.equal(ours, again)
    assert torch.allclose(ours, whole, atol=1e-5) and ours.shape == whole.shape
    assert not ours[paths.index(None)].any() and ours[0].any()


def test_a_batch_without_media_is_zeros(model: MuMuLLaMA) -> None:
    assert torch.equal(prompts(model.adapters["image"], [None, None]), torch.zeros(2, 1, 64))


@pytest.mark.parametrize("kind", MODALITIES)
@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_what_trains(models: Callable, media: dict[str, Path], name: str, kind: str) -> None:
    model, adapter = models(name), models(name).adapters[kind]
    rows = kept(FeatureCache(model, None, adapters_of(model)), kind, media["short" if kind == "audio" else kind])
    wanted = {name: value for name, value in adapter.named_parameters() if not name.startswith("idle.")}
    found = torch.autograd.grad((heard(model, rows, kind) * torch.randn(adapter.dim)).sum(), list(wanted.values()),
                                allow_unused=True)  # fmt: skip
    silent = {name for name, grad in zip(wanted, found, strict=True) if grad is None or not grad.any()}
    # a softmax over time, or over rotations, does not see what is added everywhere
    assert silent - {"pools.recurrent.attention.bias", "pools.harmony.tonic.bias"} == set()


def test_part_of_an_adapter_may_train(models: Callable, media: dict[str, Path]) -> None:
    """The frozen pools' vectors are kept, whole states are not; gradients still reach the mix."""
    model = models("nano")
    rows = kept(FeatureCache(model, None, {"adapters.audio.mix.weight", "adapters.image.mix.bias"}), "audio", media["short"])
    assert {name: tuple(value.shape) for name, value in rows[0].items()} == {
        "channels": (6, 192), "timbre": (128,), "rhythm": (128,), "harmony": (128,)}  # fmt: skip
    grad, = torch.autograd.grad(heard(model, rows).square().sum(), [model.adapters["audio"].mix.weight])
    assert grad.any()


FORMS = [
    ("published", "audio", NOTHING, ("channels",)),
    ("published", "image", NOTHING, ("mixed",)),
    ("published", "image", {"adapters.image.project.0.weight"}, ("mixed",)),
    ("published", "image", {"adapters.video.mix.weight"}, ("mixed",)),
    ("published", "image", {"adapters.image.mix.bias"}, ("channels",)),
    ("recurrent", "audio", NOTHING, ("recurrent",)),
    ("recurrent", "audio", {"adapters.audio.pools.recurrent.rnn.bias_hh_l0"}, ("frames",)),
    ("recurrent", "audio", {"adapters.audio.mix.weight"}, ("states.0", "states.1")),
    ("nano", "audio", {"adapters.audio.pools.rhythm.mix.weight"}, ("channels", "harmony", "states.0", "states.1", "timbre")),
    ("nano", "audio", {"adapters.audio.pools.harmony.out.bias"}, ("channels", "rhythm", "states.0", "states.1", "timbre")),
]


@pytest.mark.parametrize(("name", "kind", "trained", "parts"), FORMS)
def test_what_is_kept_and_that_it_suffices(models: Callable, media: dict[str, Path], name: str, kind: str,
                                           trained: set[str], parts: tuple[str, ...]) -> None:  # fmt: skip
    model, path = models(name), media["long" if kind == "audio" else kind]
    rows = kept(FeatureCache(model, None, trained), kind, path)
    assert tuple(sorted(rows[0])) == parts
    with torch.no_grad():
        expected = getattr(model.encode([Turn("Hello", **{kind: str(path)})]), kind)
        assert torch.allclose(heard(model, rows, kind), expected, atol=1e-5)


def test_neighbours_are_honoured(published_tree: Path, media: dict[str, Path]) -> None:
    model = llama.load(published_tree / "MuMu-LLaMA-MusicGen/checkpoint.pth", llama_dir=published_tree / "LLaMA-2",
                       **component_paths())  # fmt: skip
    model.prototypes = lambda feature: feature.roll(1, -1) * 0.5
    rows = kept(FeatureCache(model, None, NOTHING), "audio", media["short"])
    with torch.no_grad():
        expected = model.encode([Turn("Hello", audio=str(media["short"]))]).audio
        assert torch.allclose(heard(model, rows), expected, atol=1e-5)
        assert not torch.allclose(prompts(model.adapters["audio"], rows), expected, atol=1e-3)


@pytest.mark.parametrize("kind", MODALITIES)
def test_company_changes_nothing(models: Callable, media: dict[str, Path], tmp_path: Path, kind: str,
                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Equal shapes go through the encoder together on an accelerator."""
    model, paths = models("nano"), others(kind, media, tmp_path)
    alone = kept(FeatureCache(model, None, adapters_of(model)), kind, *paths)
    monkeypatch.setattr(FeatureCache, "_batch_size", lambda self, kind: 4)
    together = kept(FeatureCache(model, None, adapters_of(model)), kind, *paths)
    for ours, theirs in zip(alone, together, strict=True):
        errors = {part: float((ours[part] - theirs[part]).abs().max() / ours[part].abs().max()) for part in ours}
        assert max(errors.values()) < 1e-6, errors
    assert not torch.allclose(alone[0]["channels"], alone[1]["channels"], atol=1e-3)


def others(kind: str, media: dict[str, Path], folder: Path) -> list[Path]:
    """Three media, two of one shape."""
    if kind == "audio":
        wave = Waveform.read(media["short"])
        Waveform(wave.samples.flip(1), wave.sample_rate).write(folder / "back.wav")
        return [media["short"], folder / "back.wav", media["long"]]
    if kind == "image":
        return [ASSETS / name for name in ("calm_sea.jpg", "night_party.jpg", "rainy_mountain.jpg")]
    return [ASSETS / "slow_sea.mp4", ASSETS / "fast_city.mp4", ASSETS / "slow_sea.mp4"]


def test_encoders_keep_their_precision(model: MuMuLLaMA, media: dict[str, Path]) -> None:
    features, pixels = FeatureCache(model, None, NOTHING), model.vit.prepare(media["image"])[None]
    plain, states = kept(features, "image", media["image"]), model.vit.encode(pixels)
    words, _ = features.targets(["Drums"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bare = model.vit.model(pixels).last_hidden_state[:, None]
        assert not torch.equal(bare, states)  # what is to be kept out
        assert torch.equal(model.vit.encode(pixels), states)
        mixed, again = kept(features, "image", media["image"]), features.targets(["Drums"])[0]
    assert torch.equal(plain[0]["mixed"], mixed[0]["mixed"]) and torch.equal(words, again)


# -- the cache ------------------------------------------------------------------------------------------------------


def test_the_second_epoch_decodes_nothing(model: MuMuLLaMA, media: dict[str, Path], tmp_path: Path,
                                          decoded: Counter[str]) -> None:  # fmt: skip
    some = [medium("audio", media["short"]), medium("image", media["image"]), None, medium("video", media["video"])]
    for epoch in range(2):
        features = FeatureCache(model, tmp_path, NOTHING)
        features.encode_missing([one and features.reader(one) for one in some])
        assert (features.hits, features.misses) == ((3, 0) if epoch else (0, 3))
        assert decoded == ({} if epoch else {"audio": 1, "image": 1, "video": 1, "digest": 3})
        decoded.clear()


def test_without_a_cache_everything_is_fresh(model: MuMuLLaMA, media: dict[str, Path], tmp_path: Path, decoded: Counter[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    features = FeatureCache(model, None, NOTHING)
    for _ in range(2):
        kept(features, "image", media["image"], media["image"])
    assert decoded == {"image": 4} and features.misses == 4 and not files(tmp_path)


def test_content_is_what_counts(model: MuMuLLaMA, media: dict[str, Path], tmp_path: Path, decoded: Counter[str]) -> None:
    """Changed under its old name a file is new; moved, copied, or given as content it is known."""
    file, features = tmp_path / "picture.jpg", FeatureCache(model, tmp_path / "cache", NOTHING)
    shutil.copy(media["image"], file)
    before = kept(features, "image", file)[0]["mixed"]
    shutil.copy(ASSETS / "night_party.jpg", file)
    after = kept(features, "image", file)[0]["mixed"]
    assert decoded["image"] == 2 and not torch.equal(before, after)
    shutil.copy(file, tmp_path / "elsewhere.jpg")
    moved = kept(features, "image", tmp_path / "elsewhere.jpg")[0]["mixed"]
    packed = MediaRef("image", "tar", content=file.read_bytes())
    inside = features.encode_missing([features.reader(packed)])[0]["mixed"]
    assert decoded["image"] == 2 and torch.equal(moved, after) and torch.equal(inside, after)


def test_content_in_memory_is_decoded(model: MuMuLLaMA, media: dict[str, Path]) -> None:
    features = FeatureCache(model, None, NOTHING)
    for kind, name in {"audio": "short", "image": "image", "video": "video"}.items():
        packed = features.encode_missing([features.reader(MediaRef(kind, "tar", content=media[name].read_bytes()))])[0]
        (plain,) = kept(features, kind, media[name])
        assert all(torch.equal(packed[part], plain[part]) for part in plain)


@contextmanager
def changed(parameter: Tensor) -> Iterator[None]:
    before = parameter.detach().clone()
    parameter.data.add_(0.01)
    yield
    parameter.data.copy_(before)


def test_the_key_knows_what_the_feature_went_through(models: Callable, media: dict[str, Path], tmp_path: Path) -> None:
    model, mix = models("nano"), {"adapters.audio.mix.weight", "adapters.image.mix.weight"}

    def key(kind: str = "audio", trained: frozenset[str] | set[str] = NOTHING) -> str:
        return FeatureCache(model, tmp_path, trained).reader(medium(kind, media["short" if kind == "audio" else kind])).key

    audio, image, trains = key(), key("image"), key("image", mix)
    adapter = model.adapters
    assert key() == audio and image != trains
    with changed(model.mert.model.encoder.layers[0].attention.k_proj.weight):
        assert key() != audio and key("image") == image
    with changed(adapter["audio"].pools["rhythm"].out.bias):
        assert key() != audio
        assert key(trained={"adapters.audio.pools.rhythm.out.bias"}) != audio
    with changed(adapter["image"].mix.weight):
        assert key("image") != image and key("image", mix) == trains
    with changed(adapter["audio"].mix.weight), changed(adapter["audio"].project[0].weight):
        assert key() == audio
    assert key() == audio and key("image") == image


def test_a_preprocessor_is_part_of_the_key(models: Callable, media: dict[str, Path], tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    model = models("published")
    before = FeatureCache(model, tmp_path, NOTHING).reader(medium("image", media["image"])).key
    monkeypatch.setitem(model.vit.preprocessor, "resample", 3)
    assert FeatureCache(model, tmp_path, NOTHING).reader(medium("image", media["image"])).key != before


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "text"])
def test_a_damaged_file_is_made_again(model: MuMuLLaMA, media: dict[str, Path], tmp_path: Path, damage: str,
                                      caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    (before,) = kept(FeatureCache(model, tmp_path, NOTHING), "image", media["image"])
    (file,) = tmp_path.rglob("*.safetensors")
    sound = file.read_bytes()
    file.write_bytes({"cut": sound[:-9], "zeros": sound[:-9] + bytes(9), "empty": b"", "text": b"no tensors here"}[damage])
    with caplog.at_level(logging.WARNING):
        (after,) = kept(FeatureCache(model, tmp_path, NOTHING), "image", media["image"])
    assert torch.equal(before["mixed"], after["mixed"]) and file.read_bytes() == sound
    assert [f"The cached feature {file} is damaged; it is removed and made again."] == caplog.messages


def test_a_damaged_record_is_made_again(model: MuMuLLaMA, media: dict[str, Path], tmp_path: Path, decoded: Counter[str]) -> None:
    kept(FeatureCache(model, tmp_path, NOTHING), "image", media["image"])
    (record,) = files(tmp_path / "digests")
    sound = record.read_text()
    record.write_bytes(b"\xff\x00")
    kept(FeatureCache(model, tmp_path, NOTHING), "image", media["image"])
    assert record.read_text() == sound and decoded == {"image": 1, "digest": 2}


def same_work(folder: Path, model: MuMuLLaMA, paths: list[Path], barrier: object, answers: object) -> None:
    torch.set_num_threads(1)
    barrier.wait()  # all look, find nothing, and write at once
    rows = kept(FeatureCache(model, folder, NOTHING), "image", *paths)
    store = FeatureStore(folder)
    for turn in range(40):
        store.write("a" * 64, {"x": torch.full((500,), 7.0)})
        found = store.read("a" * 64)
        assert found is not None and bool((found["x"] == 7.0).all()), turn
    answers.put(sum(float(row["mixed"].double().sum()) for row in rows))


def test_processes_share_a_folder(model: MuMuLLaMA, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [ASSETS / name for name in ("calm_sea.jpg", "night_party.jpg", "rainy_mountain.jpg")]
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(3), context.SimpleQueue()
    workers = [context.Process(target=same_work, args=(tmp_path, model, paths, barrier, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [answers.get() for worker in workers if not worker.join(60) and worker.exitcode == 0]
    assert len(found) == 3 and len(set(found)) == 1
    assert len(list(tmp_path.rglob("*.safetensors"))) == 4 and not list(tmp_path.rglob("*.partial"))
    features = FeatureCache(model, tmp_path, NOTHING)
    kept(features, "image", *paths)
    assert features.hits == 3 and not caplog.messages


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Files end at `size` bytes, as on a disk that fills up while one is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_half_written(model: MuMuLLaMA, media: dict[str, Path], tmp_path: Path) -> None:
    features = FeatureCache(model, tmp_path, {"adapters.image.mix.weight"})
    prepared = features.reader(medium("image", media["image"]))
    with small_disk(900), pytest.raises(OSError, match=r"Cannot write to the feature cache .* \(.+\); free some space") as caught:
        features.encode_missing([prepared])
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == errno.EFBIG
    assert not files(tmp_path)
    assert features.encode_missing([prepared])[0] is not None and len(files(tmp_path)) == 2


def test_a_folder_that_cannot_be_is_a_sentence(model: MuMuLLaMA, media: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match=r"Cannot write to the feature cache .*cache_dir"):
        kept(FeatureCache(model, tmp_path / "file" / "cache", NOTHING), "image", media["image"])


def test_the_reader_travels_without_weights(models: Callable, media: dict[str, Path], tmp_path: Path) -> None:
    model = models("nano")
    features = FeatureCache(model, tmp_path, NOTHING)
    packed = pickle.dumps(features.reader)
    assert len(packed) < 20_000
    reader = pickle.loads(packed)
    some = [medium("audio", media["long"]), medium("image", media["image"]), medium("video", media["video"])]
    for one in some:
        ours, theirs = features.reader(one), reader(one)
        assert ours.key == theirs.key and all(map(torch.equal, ours.inputs, theirs.inputs))
    features.encode_missing([reader(one) for one in some])
    assert all(reader(one).inputs is None for one in some) and model.mert.model is not None


def test_a_missing_encoder_is_named(published_tree: Path, media: dict[str, Path]) -> None:
    model = MuMuLLaMA(llama.MuMuConfig.tiny())
    features = FeatureCache(model, None, NOTHING)
    for kind, name in {"audio": "mert", "image": "vit", "video": "vivit"}.items():
        with pytest.raises(ValueError, match=f"list.json #video: .*without its {name} encoder.*{name}_path"):
            features.reader(medium(kind, media["video"]))
    with pytest.raises(ValueError, match="without a music decoder.*music_decoder_path"):
        features.targets(["A piano"])


def test_missing_and_broken_media_say_so(model: MuMuLLaMA, tmp_path: Path) -> None:
    features = FeatureCache(model, tmp_path / "cache", NOTHING)
    with pytest.raises(FileNotFoundError, match="gone.jpg"):
        features.reader(medium("image", tmp_path / "gone.jpg"))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    with pytest.raises(ValueError, match="bad.jpg"):
        features.reader(medium("image", tmp_path / "bad.jpg"))
    assert not files(tmp_path / "cache")


# -- captions -------------------------------------------------------------------------------------------------------

CAPTIONS = ["A slow piano plays at 90 beats per minute", "", "Drums", "A slow piano plays at 90 beats per minute"]


@pytest.mark.parametrize("name", ["published", "nano"])
def test_targets_are_what_embed_says(models: Callable, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = models(name).music_decoder
    expected = [decoder.embed([caption]) for caption in CAPTIONS]
    asked: list[str] = []
    embed = decoder.embed
    monkeypatch.setattr(decoder, "embed", lambda captions: asked.extend(captions) or embed(captions))
    for folder in (None, tmp_path, tmp_path):
        states, mask = FeatureCache(models(name), folder, NOTHING).targets(CAPTIONS)
        assert torch.equal(states, torch.cat([one for one, _ in expected])) and states.shape[1:] == decoder.condition_shape
        assert torch.equal(mask, torch.cat([one for _, one in expected])) and mask.dtype == expected[0][1].dtype
    assert asked == CAPTIONS[:3] * 2  # with a folder only once, and each caption once
    states, mask = FeatureCache(models(name), tmp_path, NOTHING).targets([])
    assert states.shape == (0, *decoder.condition_shape) and mask.shape == (0, decoder.condition_shape[0])


def test_another_text_encoder_has_other_targets(models: Callable, tmp_path: Path) -> None:
    model = models("nano")
    before, _ = FeatureCache(model, tmp_path, NOTHING).targets(["Drums"])
    with changed(model.music_decoder.model.text_encoder.shared.weight):
        after, _ = FeatureCache(model, tmp_path, NOTHING).targets(["Drums"])
        assert torch.equal(after, model.music_decoder.embed(["Drums"])[0]) and not torch.equal(before, after)
    again, _ = FeatureCache(model, tmp_path, NOTHING).targets(["Drums"])
    assert torch.equal(before, again) and len(list(tmp_path.rglob("*.safetensors"))) == 2
