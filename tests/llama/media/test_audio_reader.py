"""Reading recordings: by content, to their end, from any number of channels, and without a library's own words."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from llama.media import audio_reader
from llama.media.audio import Waveform
from llama.media.containers import Encoded

ROOT = Path(__file__).resolve().parents[3]
RATE = 24_000


def tones(hertz: tuple[float, ...], rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    """[N, C]: a tone in each channel."""
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * one * time) for one in hertz], 1)


def file_of(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def pitch(wave: Waveform, start: float, end: float, channel: int = 0) -> float:
    part = wave.samples[channel, int(start * wave.sample_rate) : int(end * wave.sample_rate)]
    return float(torch.fft.rfft(part).abs().argmax()) / (end - start)


def encoded(path: Path, codecs: tuple[str, ...], streams: tuple[np.ndarray, ...], layout: str, default: int | None = None) -> Path:
    """A file with a sound stream for each [N, C]; PyAV itself fails from eight planes on, so packed samples go in."""
    with av.open(str(path), "w") as container:
        made = [container.add_stream(codec, rate=RATE, layout=layout) for codec in codecs]
        for number, stream in enumerate(made):
            if default is not None:
                stream.disposition = av.stream.Disposition.default if number == default else 0
        for stream, samples in zip(made, streams, strict=True):
            packed = np.ascontiguousarray((samples * 32767).astype(np.int16).reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate = RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def run_reader(code: str, *arguments: str) -> str:
    """What a process of its own prints: a fault of these kinds ends it."""
    words = [sys.executable, "-c", f"import sys\nfrom llama.media.audio_reader import *\n{code}", *arguments]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-500:]}"
    return done.stdout.strip()


# -- channels -----------------------------------------------------------------------------------------------------------


def test_eight_channels_are_read_each_as_it_is(tmp_path: Path) -> None:
    pitches = tuple(200.0 + 50 * number for number in range(8))
    codecs = {"planar.wv": "wavpack", "packed.mov": "pcm_s16le", "surround.m4a": "aac"}
    files = [encoded(tmp_path / name, (codec,), (tones(pitches),), "7.1") for name, codec in codecs.items()]
    code = "import numpy as np\nfrom pathlib import Path\nfor name in sys.argv[1:]:\n" \
           "    [part] = read_parts(Path(name)); print(part.channels, part.rate); np.save(name + '.npy', part.samples())"
    assert run_reader(code, *map(str, files)).splitlines() == [f"8 {RATE}"] * 3
    for file in files:
        wave = Waveform(torch.from_numpy(np.load(f"{file}.npy")), RATE)
        heard = [pitch(wave, 0.1, 0.9, channel) for channel in range(8)]
        if file.suffix == ".m4a":  # carries 7.1 in an order of its own, and its low-frequency channel without the tone
            assert len(set(heard) & set(pitches)) >= 7
        else:
            assert heard == pytest.approx(pitches, abs=2)


def caf(labels: tuple[int, ...], samples: int = 2400) -> bytes:
    """A CAF file of 16 bits with its channels listed one by one (1: left, 2: right)."""
    channels = len(labels)
    form = struct.pack(">d4sIIIII", RATE, b"lpcm", 2, 2 * channels, 1, channels, 16)
    order = struct.pack(">III", 0, 0, channels) + b"".join(struct.pack(">IIfff", label, 0, 0, 0, 0) for label in labels)
    content = struct.pack(">I", 0) + np.arange(samples * channels, dtype="<i2").tobytes()
    chunks = ((b"desc", form), (b"chan", order), (b"data", content))
    return b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(body)) + body for name, body in chunks)


def test_a_listed_order_of_channels_does_not_end_the_process(tmp_path: Path) -> None:
    orders = ((2, 1), (1, 2), (3, 2, 1))
    files = [tmp_path / f"{number}.caf" for number in range(len(orders))]
    for file, labels in zip(files, orders, strict=True):
        file.write_bytes(caf(labels))
    code = "import gc\nfrom pathlib import Path\nfrom llama.media.audio_reader import _av_parts\nfor name in sys.argv[1:] * 3:\n" \
           "    [part] = _av_parts(Path(name)); print(part.channels, part.length); del part; gc.collect()"
    assert run_reader(code, *map(str, files)).splitlines() == [f"{len(labels)} 2400" for labels in orders] * 3


def test_too_many_channels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    for name, content in (("a.wav", file_of(np.zeros((300, 65)))), ("a.mov", None)):
        if content is None:
            encoded(tmp_path / name, ("pcm_s16le",), (np.zeros((300, 65)),), "65 channels")
        else:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} has 65 channels; give a recording of 1 to 64"):
            Waveform.read(tmp_path / name)
    assert len(Waveform.read(file_of(np.zeros((300, 64)))).samples) == 64


@pytest.mark.parametrize("name", ["a.flac", "a.wv", "a.mp3"])
def test_the_samples_of_all_channels_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "a.wv":
        encoded(tmp_path / name, ("wavpack",), (np.zeros((RATE, 6)),), "5.1")
    else:
        soundfile.write(tmp_path / name, np.zeros((RATE, 2)), RATE)
    monkeypatch.setattr(audio_reader, "MAX_RECORDING_SAMPLES", 40_000)
    with pytest.raises(ValueError, match=r"a\.\w+ has more than 0 million samples in all its channels, the limit; export it in stereo"):
        Waveform.read(tmp_path / name)


# -- by content ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.raw", "a.ogg", "a"])
@pytest.mark.parametrize("kind", ["aac", "mp3", "flac"])
def test_the_content_tells_the_format_whatever_the_name_says(tmp_path: Path, name: str, kind: str) -> None:
    sound = tones((440.0,))
    if kind == "aac":
        content = encoded(tmp_path / "made.aac", ("aac",), (sound,), "mono").read_bytes()
    else:
        content = file_of(sound, kind="MP3", subtype="MPEG_LAYER_III") if kind == "mp3" else file_of(sound, kind="FLAC")
    (tmp_path / name).write_bytes(content)
    wave = Waveform.read(tmp_path / name)
    assert pitch(wave, 0.1, 0.9) == pytest.approx(440, abs=2)
    assert torch.equal(wave.samples, Waveform.read(content).samples)


def test_the_default_stream_is_heard_else_the_first_that_can_be_decoded(tmp_path: Path) -> None:
    streams = (tones((300.0,)), tones((500.0,)), tones((700.0,)))
    path = encoded(tmp_path / "a.mka", ("pcm_s16le",) * 3, streams, "mono", default=1)
    assert pitch(Waveform.read(path), 0.1, 0.9) == pytest.approx(500, abs=2)
    path = encoded(tmp_path / "b.mka", ("pcm_s16le", "pcm_s16le", "pcm_s16le"), streams, "mono", default=0)
    path.write_bytes(path.read_bytes().replace(b"A_PCM/INT/LIT", b"A_OFSOMETHING", 1))
    assert pitch(Waveform.read(path), 0.1, 0.9) == pytest.approx(500, abs=2)


# -- to the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize(("subtype", "first", "second"), [("VORBIS", RATE, 44_100), ("OPUS", 48_000, 48_000), ("VORBIS", 44_100, 8000)])
def test_all_links_of_a_chained_ogg_are_heard(tmp_path: Path, on_disk: bool, subtype: str, first: int, second: int) -> None:
    content = file_of(tones((300.0,), first), first, "OGG", subtype) + file_of(tones((500.0, 700.0), second), second, "OGG", subtype)
    (tmp_path / "radio.ogg").write_bytes(content)
    wave = Waveform.read(tmp_path / "radio.ogg" if on_disk else content)
    assert (wave.sample_rate, len(wave.samples)) == (first, 1) and wave.seconds == pytest.approx(2, abs=0.02)
    assert pitch(wave, 0.1, 0.9) == pytest.approx(300, abs=2)
    assert pitch(wave, 1.1, 1.9) in (pytest.approx(500, abs=2), pytest.approx(700, abs=2))  # the mean of its channels


def test_one_link_is_read_as_before() -> None:
    content = file_of(tones((300.0,)), kind="OGG", subtype="VORBIS")
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    assert np.array_equal(Waveform.read(content).samples.numpy(), samples.T)


def test_an_ogg_of_very_many_links_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama.media.sound_headers.MAX_LINKS", 2)
    content = file_of(tones((300.0,), seconds=0.1), kind="OGG", subtype="VORBIS")
    with pytest.raises(ValueError, match="radio is an Ogg file of more than 2 links; cut it"):
        Waveform.read(Encoded(content * 3, "radio"))
    assert Waveform.read(content * 2).seconds == pytest.approx(0.2, abs=0.01)


def test_an_mp3_whose_rate_and_channels_change_is_heard_to_its_end() -> None:
    """Joined from pieces, as advertisements are put into podcasts."""
    pieces = ((RATE, (300.0,)), (RATE, (500.0, 500.0)), (44_100, (700.0, 700.0)))
    content = b"".join(file_of(tones(hertz, rate), rate, "MP3", "MPEG_LAYER_III") for rate, hertz in pieces)
    wave = Waveform.read(content)
    assert (wave.sample_rate, len(wave.samples)) == (RATE, 1) and wave.seconds == pytest.approx(3, abs=0.2)
    for start, hertz in ((0.2, 300), (1.3, 500), (2.3, 700)):
        assert pitch(wave, start, start + 0.5) == pytest.approx(hertz, abs=3)


def test_mp3_has_the_length_that_was_written() -> None:
    sound = tones((300.0, 400.0), 44_100, 1.3)
    wave = Waveform.read(file_of(sound, 44_100, "MP3", "MPEG_LAYER_III"))
    assert wave.samples.shape == (2, len(sound))


UNFINISHED = {"zeros": (0, 0), "only the header": (36, 0), "largest": (0xFFFFFFFF, 0xFFFFFFFF), "zero and largest": (0, 0xFFFFFFFF),
              "largest and zero": (0xFFFFFFFF, 0)}


@pytest.mark.parametrize("sizes", UNFINISHED.values(), ids=UNFINISHED)
def test_a_wav_whose_sizes_were_never_written_is_heard_to_its_end(tmp_path: Path, sizes: tuple[int, int]) -> None:
    whole = file_of(tones((300.0, 400.0)))
    place = whole.index(b"data") + 4
    content = whole[:4] + struct.pack("<I", sizes[0]) + whole[8:place] + struct.pack("<I", sizes[1]) + whole[place + 4 :]
    (tmp_path / "crashed.wav").write_bytes(content)
    for source in (content, tmp_path / "crashed.wav"):
        assert torch.equal(Waveform.read(source).samples, Waveform.read(whole).samples)


@pytest.mark.parametrize("kind", ["RF64", "W64"])
def test_sizes_of_64_bits_that_were_never_written(kind: str) -> None:
    whole = bytearray(file_of(tones((300.0,)), kind=kind))
    wanted = Waveform.read(bytes(whole)).samples
    if kind == "RF64":
        place = whole.index(b"ds64") + 8
        whole[place : place + 24] = bytes(24)
    else:
        place = whole.index(b"data") + 16
        whole[16:24] = whole[place : place + 8] = bytes(8)
    assert torch.equal(Waveform.read(bytes(whole)).samples, wanted)


def test_an_empty_wav_stays_empty_whatever_follows() -> None:
    content = bytearray(file_of(np.zeros((0, 1))) + b"LIST\x04\0\0\0INFO")
    content[4:8] = struct.pack("<I", len(content) - 8)
    with pytest.raises(ValueError, match="0 samples"):
        Waveform.read(bytes(content))


# -- damage -------------------------------------------------------------------------------------------------------------


def test_sound_without_a_decoder_is_one_sentence(tmp_path: Path) -> None:
    content = file_of(tones((300.0,)))
    place = content.index(b"fmt ") + 8
    (tmp_path / "a.wav").write_bytes(content[:place] + b"\x34\x12" + content[place + 2 :])
    with pytest.raises(ValueError, match=r"a\.wav holds sound of a kind unknown here, or is damaged; give a recording"):
        Waveform.read(tmp_path / "a.wav")


def test_packets_that_no_codec_takes_are_one_sentence(tmp_path: Path) -> None:
    """FFmpeg calls some of them "Operation not permitted", a PermissionError in Python."""
    path = encoded(tmp_path / "a.m4a", ("aac",), (tones((300.0,)),), "mono")
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    for seed in range(4):
        noise = np.random.default_rng(seed).bytes(len(content))
        path.write_bytes(content[:start] + noise[start : start + 3000] + content[start + 3000 :])
        try:
            assert Waveform.read(path).seconds > 0
        except ValueError as error:
            assert str(error).startswith(str(path)) and "Errno" not in str(error) and str(error).endswith(".")


@pytest.mark.parametrize("name", ["PermissionError", "OSError", "FileNotFoundError", "PatchWelcomeError", "BugError", "MemoryError"])
def test_errors_of_ffmpeg_are_no_errors_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = encoded(tmp_path / "a.m4a", ("aac",), (tones((300.0,)),), "mono")

    def fails(*_: object) -> None:
        raise getattr(av.error, name)(1, "Operation not permitted", "avcodec_send_packet()")

    monkeypatch.setattr(audio_reader, "decoded", fails)
    words = "is damaged, or needs more memory than there is" if name == "MemoryError" else "is damaged and cannot be decoded"
    with pytest.raises(ValueError, match=rf"a\.m4a {words}; give (a smaller )?one that plays elsewhere\.$") as caught:
        Waveform.read(path)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("kind", ["mp3", "wav"])
def test_a_damaged_mp3_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    sound = tones((300.0, 400.0), 44_100, 2.0)
    content = file_of(sound, 44_100, "MP3", "MPEG_LAYER_III")
    if kind == "wav":
        content = encoded(tmp_path / "a.wav", ("libmp3lame",), (sound,), "stereo").read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(8):
        damaged = bytearray(content)
        for place in generator.integers(200, len(content), 60):
            damaged[place] = int(generator.integers(256))
        assert Waveform.read(bytes(damaged)).seconds > 1
    Waveform.read(content + content)
    assert capfd.readouterr() == ("", "")
