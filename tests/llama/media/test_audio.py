"""Audio: reading, invalid files, resampling, writing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torchaudio.functional import resample

from llama.media import audio, audio_reader
from llama.media.audio import Waveform
from llama.media.containers import Encoded

RATE = 24_000


def tone(seconds: float = 1.0, rate: int = RATE, channels: int = 1, hertz: float = 440.0) -> Waveform:
    time = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    return Waveform(0.5 * torch.sin(2 * torch.pi * hertz * time).float().expand(channels, -1).clone(), rate)


def encode(path: Path, codec: str, wave: Waveform, form: str | None = None) -> Path:
    """A file by PyAV, for the formats that soundfile does not write."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=wave.sample_rate, layout="stereo" if len(wave.samples) == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(wave.samples.numpy(), format="fltp", layout=stream.layout.name)
        frame.sample_rate = wave.sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_resampling_equals_the_reference(golden: Path) -> None:
    values = load_file(golden / "resample_torchaudio.safetensors")
    rates = [int(name.removeprefix("in_")) for name in values if name.startswith("in_")]
    assert rates
    for rate in rates:
        wave = Waveform(values[f"in_{rate}"], rate).resample(RATE)
        torch.testing.assert_close(wave.samples, values[f"out_24000_from_{rate}"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(wave.mono().samples[0], values[f"mono_24000_from_{rate}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("source", "target", "samples"), [(44100, 24000, 90_001), (8000, 24000, 25_000), (48000, 32000, 7)])
def test_resampling_in_blocks_equals_one_pass(monkeypatch: pytest.MonkeyPatch, source: int, target: int, samples: int) -> None:
    monkeypatch.setattr(audio, "RESAMPLE_BLOCK", 1)
    sound = torch.randn(2, samples)
    torch.testing.assert_close(Waveform(sound, source).resample(target).samples, resample(sound, source, target),
                               rtol=0, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), [(44101, 24000), (24000, 44101), (99991, 24000), (7919, 24000)])
def test_coprime_rates_keep_the_tone(source: int, target: int) -> None:
    made = tone(1.0, source, hertz=100).resample(target)
    expected = tone(1.0, target, hertz=100)
    assert made.samples.shape == expected.samples.shape
    edge = target // 10  # the filter hears silence beyond the ends
    torch.testing.assert_close(made.samples[:, edge:-edge], expected.samples[:, edge:-edge], rtol=0, atol=1e-3)


def test_mono_is_the_mean_and_seconds_the_length() -> None:
    wave = Waveform(torch.tensor([[1.0, 0.0], [0.0, -0.5]]), 4)
    assert wave.mono().samples.tolist() == [[0.5, -0.25]]
    assert wave.seconds == 0.5


@pytest.mark.parametrize(("suffix", "error"), [(".wav", 1e-4), (".flac", 1e-4), (".ogg", 0.05), (".mp3", 0.05)])
def test_written_sound_reads_back(tmp_path: Path, suffix: str, error: float) -> None:
    wave = tone(2.0, channels=2)
    wave.write(tmp_path / f"sound{suffix}")
    again = Waveform.read(tmp_path / f"sound{suffix}")
    assert again.sample_rate == RATE and len(again.samples) == 2
    length = min(again.samples.shape[1], wave.samples.shape[1])
    assert abs(again.seconds - 2.0) < 0.1
    inner = slice(RATE // 2, length - RATE // 4)
    assert (again.samples[:, inner] - wave.samples[:, inner]).abs().max() < error
    assert [file.name for file in tmp_path.iterdir()] == [f"sound{suffix}"], "a partial file was left"


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    Waveform(torch.tensor([[2.0, -2.0, 0.5]]), RATE).write(tmp_path / "loud.wav")
    torch.testing.assert_close(Waveform.read(tmp_path / "loud.wav").samples, torch.tensor([[1.0, -1.0, 0.5]]),
                               rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "codec", "rate"), [("a.m4a", "aac", 44100), ("a.webm", "libopus", 48000),
                                                     ("a.opus", "libopus", 48000), ("a.mka", "flac", 22050)])
def test_other_formats_are_read(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    wave = tone(1.5, rate, channels=2)
    path = tmp_path / name
    if codec == "flac":
        wave.write(tmp_path / "a.flac")
        _remux(tmp_path / "a.flac", path)
    else:
        encode(path, codec, wave)
    again = Waveform.read(path)
    assert again.sample_rate == rate and len(again.samples) == 2 and abs(again.seconds - 1.5) < 0.1
    spectrum = torch.fft.rfft(again.mono().samples[0, : rate]).abs()
    assert abs(spectrum.argmax().item() - 440) <= 1


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a.webm"])
def test_sound_in_memory_is_the_sound_of_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name in ("a.m4a", "a.webm"):
        encode(path, "aac" if name == "a.m4a" else "libopus", tone(rate=48000))
    else:
        tone().write(path)
    wanted = Waveform.read(path)
    with path.open("rb") as file:
        for given in (path.read_bytes(), file, Encoded(path.read_bytes(), "shard-0.tar a")):
            heard = Waveform.read(given)
            assert heard.sample_rate == wanted.sample_rate and torch.equal(heard.samples, wanted.samples)


def _remux(source: Path, target: Path) -> None:
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = made.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)


def test_silence_is_accepted(tmp_path: Path) -> None:
    Waveform(torch.zeros(1, RATE), RATE).write(tmp_path / "silence.wav")
    assert Waveform.read(tmp_path / "silence.wav").samples.abs().max() == 0


def test_odd_rates_and_one_sample_are_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "odd.wav", np.array([[0.25]]), 12_345)
    wave = Waveform.read(tmp_path / "odd.wav")
    assert wave.sample_rate == 12_345 and wave.samples.shape == (1, 1)


def test_a_colon_in_the_name_is_no_address(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.m4a", "aac", tone()).rename(tmp_path / "http: part 1.m4a")
    assert Waveform.read(path).seconds > 0.9


BAD = {
    "text.mp3": (b"Dear mother,\nthe weather is fine.\n", "text file"),
    "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "text file"),
    "hidden.mp3": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n\x00\x01\x02", "Cannot read"),
    "page.wav": (b"%PDF-1.7\n\x80\x81", "PDF"),
    "notes.mid": (b"MThd\x00\x00\x00\x06\x00\x01", "MIDI"),
    "noise.mp3": (bytes(range(128, 256)) * 8, "damaged"),
    "empty.wav": (b"", "empty"),
    "header.wav": (b"RIFF\x24\x00\x00\x00WAVE", "Cannot read"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_without_sound_are_described(tmp_path: Path, name: str) -> None:
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        Waveform.read(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=words) as caught:
        Waveform.read(Encoded(content, "shard-0.tar key 7"))
    assert "shard-0.tar key 7" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_folders_and_no_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file"):
        Waveform.read(tmp_path / "missing.wav")
    with pytest.raises(ValueError, match="folder"):
        Waveform.read(tmp_path)
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), RATE)
    with pytest.raises(ValueError, match="0 samples"):
        Waveform.read(tmp_path / "none.wav")


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="not finite"):
        Waveform.read(tmp_path / "nan.wav")


def test_recordings_over_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_reader, "MAX_RECORDING_SECONDS", 1)
    tone(1.5).write(tmp_path / "long.wav")
    encode(tmp_path / "long.m4a", "aac", tone(1.5))
    for name in ("long.wav", "long.m4a"):
        with pytest.raises(ValueError, match="limit"):
            Waveform.read(tmp_path / name)


def without_length(path: Path) -> Path:
    """A FLAC as an encoder writes it that cannot go back to the header: 0 samples in all."""
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the number of samples is the 36 bits that end at byte 26
    content[22:26] = bytes(4)
    path.write_bytes(content)
    return path


def test_a_streamed_flac_without_length_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = tone(1.5, channels=2)
    wave.write(tmp_path / "known.flac")
    wave.write(tmp_path / "streamed.flac")
    path = without_length(tmp_path / "streamed.flac")
    assert soundfile.info(path).frames != wave.samples.shape[1]
    again = Waveform.read(path)
    assert torch.equal(again.samples, Waveform.read(tmp_path / "known.flac").samples)
    monkeypatch.setattr(audio_reader, "MAX_RECORDING_SECONDS", 1)
    with pytest.raises(ValueError, match="limit"):
        Waveform.read(path)


@pytest.mark.parametrize(("samples", "rate"), [
    (torch.zeros(5), RATE), (torch.zeros(1, 5, dtype=torch.float64), RATE), (np.zeros((1, 5), np.float32), RATE),
    (torch.zeros(0, 5), RATE), (torch.zeros(1, 0), RATE), (torch.full((1, 2), torch.nan), RATE),
    (torch.zeros(1, 5), 0), (torch.zeros(1, 5), -1), (torch.zeros(1, 5), 44100.5), (torch.zeros(1, 5), 10**9)])
def test_a_waveform_checks_itself(samples: torch.Tensor, rate: int) -> None:
    with pytest.raises(ValueError):
        Waveform(samples, rate)


def test_writing_refuses_in_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("sound.aiff", "sound"):
        with pytest.raises(ValueError, match="suffix"):
            tone().write(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="folder"):
        tone().write(tmp_path / "missing" / "sound.wav")
    with pytest.raises(ValueError, match="mp3"):
        tone(rate=96_000).write(tmp_path / "sound.mp3")
    with pytest.raises(OSError, match=r"could not be written \(File name too long\); check the name"):
        tone().write(tmp_path / f"{'n' * 256}.wav")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no folder that refuses every file")
def test_a_folder_that_takes_no_file_is_not_called_a_wrong_format() -> None:
    with pytest.raises(OSError, match=r"could not be written .*; check the name and its permissions"):
        tone().write("/proc/sound.wav")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tone().write(tmp_path / "sound.wav")
    before = (tmp_path / "sound.wav").read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(audio, "_write_file", full)
    with pytest.raises(OSError, match="space"):
        tone(2.0).write(tmp_path / "sound.wav")
    assert (tmp_path / "sound.wav").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


# -- what the encoder hears -----------------------------------------------------------------------------------------------


def test_an_inverted_channel_does_not_silence_the_music() -> None:
    sound = tone(0.5).samples
    for channels, wanted in ((torch.cat([sound, -sound]), sound), (torch.cat([0.5 * sound, -0.51 * sound]), -0.51 * sound)):
        assert torch.equal(Waveform(channels, RATE).mono().samples, wanted)
    quieter = torch.cat([sound, -0.5 * sound])  # a quarter of the loudest is still there
    assert torch.equal(Waveform(quieter, RATE).mono().samples, quieter.mean(0, keepdim=True))
    one_of_eight = torch.cat([sound, torch.zeros(7, sound.shape[1])])
    assert torch.equal(Waveform(one_of_eight, RATE).mono().samples, sound / 8)
    assert Waveform(torch.zeros(2, 100), RATE).mono().samples.tolist() == [[0.0] * 100]


def test_long_silence_around_the_music_is_cut() -> None:
    sound = tone(1.0).samples[:, 1:]
    silence = 1e-4 * torch.randn(1, 5 * RATE, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    for before, after in ((5, 5), (5, 0), (0, 5), (5, 1.5)):
        wave = Waveform(torch.cat([silence[:, : int(before * RATE)], sound, silence[:, : int(after * RATE)]], 1), RATE)
        left, right = (seconds if seconds < 2 else 0.5 for seconds in (before, after))
        trimmed = wave.trim_silence()
        assert trimmed.seconds == pytest.approx(left + 1 + right, abs=0.2)
        assert (trimmed.samples.abs() > 0.4).sum() == (sound.abs() > 0.4).sum(), "some of the sound is gone"


def test_recordings_without_long_silence_stay_as_they_are() -> None:
    music, silence = tone(1.0).samples, torch.zeros(1, RATE)
    for samples in (music, torch.cat([silence, music, silence], 1), torch.cat([music, *[silence] * 9, music], 1),
                    torch.zeros(2, 9 * RATE), torch.zeros(1, 10), torch.full((1, 9 * RATE), 1e-6)):  # fmt: skip
        wave = Waveform(samples, RATE)
        assert wave.trim_silence() is wave


def test_a_recording_too_short_to_be_heard_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^The recording is 0\.050 s long, too short to be heard; give at least 0\.1 s of sound\.$"):
        audio.prepare_recording(tone(0.05))
    wave = tone(0.1)
    assert audio.prepare_recording(wave) is wave
