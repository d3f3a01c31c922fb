"""Small valid files of every format that is read, made when they are needed; the fuzzer damages them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RATE, SAMPLES = 16_000, 4_800
SIZE, FRAMES = (48, 32), 6  # (width, height)


@dataclass(frozen=True)
class Format:
    """A format of the corpus. kind: which readers get it ("media", "yaml", ...); make: makes a valid file."""

    kind: str
    make: Callable[[], bytes]

    @property
    def text(self) -> bool:
        return self.kind not in ("media", "notes", "pth", "safetensors", "tar", "tokenizer")


def _samples(channels: int, seed: int) -> np.ndarray:
    """Sound [N, C] of tones and noise."""
    time = np.arange(SAMPLES)[:, None] / RATE
    tones = np.sin(2 * np.pi * 220 * time * (1 + np.arange(channels)))
    return (0.5 * tones + 0.1 * np.random.default_rng(seed).standard_normal(tones.shape)).clip(-1, 1).astype(np.float32)


def _pictures(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Pictures [H, W, 3] with a moving edge."""
    width, height = size
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3), np.uint8)
    return [noise + np.where(np.arange(width)[None, :, None] < 8 * frame + 8, 160, 20).astype(np.uint8) for frame in range(count)]


# -- sounds -------------------------------------------------------------------------------------------------------------


def _soundfile(kind: str, subtype: str, channels: int = 2) -> bytes:
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, _samples(channels, 0), RATE, subtype, format=kind)
    return out.getvalue()


def _av(container: str, video: str | None = None, audio: str | None = None, channels: int = 2, rate: int = 48_000) -> bytes:
    """A file that PyAV writes."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        streams = []
        if video is not None:
            stream = file.add_stream(video, rate=25)
            stream.width, stream.height = SIZE
            stream.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
            streams.append((stream, [av.VideoFrame.from_ndarray(picture, "rgb24") for picture in _pictures(FRAMES)]))
        if audio is not None:
            layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
            stream = file.add_stream(audio, rate=rate, layout=layout)
            stream.bit_rate = 64_000 * channels
            frame = av.AudioFrame.from_ndarray(_samples(channels, 1).reshape(1, -1), "flt", layout)
            frame.sample_rate = rate
            fit = av.AudioResampler(stream.codec_context.format, layout, rate, stream.codec_context.frame_size or None)
            streams.append((stream, [*fit.resample(frame), *fit.resample(None)]))
        for stream, frames in streams:
            for frame in (*frames, None):
                file.mux(stream.encode(frame))
    return out.getvalue()


def _unfinished_wav() -> bytes:
    """A wav whose header was written before the length was known."""
    content = bytearray(_soundfile("WAV", "PCM_16"))
    content[4:8] = content[content.index(b"data") + 4 : content.index(b"data") + 8] = b"\xff" * 4
    return bytes(content)


# -- pictures -----------------------------------------------------------------------------------------------------------


def _pillow(kind: str, mode: str = "RGB", count: int = 1, **options: Any) -> bytes:
    from PIL import Image

    pictures = [Image.fromarray(picture).convert("L" if mode.startswith("I") else mode) for picture in _pictures(count)]
    if mode.startswith("I"):
        pictures = [Image.fromarray(np.asarray(picture).astype(np.uint16) * 257) for picture in pictures]
    out = io.BytesIO()
    several = {"save_all": True, "append_images": pictures[1:], "duration": 40} if count > 1 else {}
    pictures[0].save(out, kind, **several, **options)
    return out.getvalue()


def _turned_jpeg() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    return _pillow("JPEG", exif=exif.tobytes())


def _midi() -> bytes:
    import mido

    song = mido.MidiFile()
    song.tracks.append(mido.MidiTrack([mido.Message("note_on", note=60 + step, time=120) for step in range(8)]))
    out = io.BytesIO()
    song.save(file=out)
    return out.getvalue()


def _score(form: str) -> bytes:
    """A piece of notes as MIDI ("mid"), MusicXML ("musicxml"), or that compressed ("mxl")."""
    from DataSet.synthesis.composer import compose
    from llama.media.midi import to_midi
    from llama.media.musicxml import to_musicxml
    from llama.media.score import Attributes

    score = compose(np.random.default_rng(0), Attributes("flute", "guitar", "swing", 120, "minor", 4, drums=True, key=2), 8.0)
    if form == "mid":
        return to_midi(score)
    if form == "musicxml":
        return to_musicxml(score)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", '<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>')
        archive.writestr("a.xml", to_musicxml(score))
    return out.getvalue()


# -- lists, settings, weights -------------------------------------------------------------------------------------------

TURNS = [{"from": "human", "value": "Which one?"}, {"from": "gpt", "value": "A flute."}]
MODALITIES = {"input_modality": "audio", "output_modality": "audio"}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


def _instructions() -> bytes:
    turns = [TURNS[0] | MODALITIES, TURNS[1] | MODALITIES | {"caption": "a flute"}]
    return _json([{"input_file": "a.wav", "output_file": "b.wav", "conversation": turns}] * 2)


def _request() -> bytes:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": parts}]
    return _json({"model": "nano", "messages": messages, "temperature": 0.7, "seed": 3, "n": 1, "stream": False, "seconds": 2.5})


def _tensors() -> dict[str, Any]:
    import torch

    return {"layers.0.weight": torch.arange(12.0).reshape(3, 4), "norm.weight": torch.ones(4, dtype=torch.float16)}


def _pth(legacy: bool) -> bytes:
    import torch

    out = io.BytesIO()
    torch.save({"model": _tensors(), "epoch": 3}, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def _safetensors() -> bytes:
    from safetensors.torch import save

    return save(_tensors())


def _tar() -> bytes:
    out = io.BytesIO()
    sounds = {"a.flac": _soundfile("FLAC", "PCM_16"), "b.mp3": _soundfile("MP3", "MPEG_LAYER_III")}
    members = {"a.json": _json({"conversation": TURNS}), "b.txt": b"a waltz", **sounds}
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _media(make: Callable[..., bytes], *arguments: Any, **options: Any) -> Format:
    return Format("media", cache(partial(make, *arguments, **options)))


def _file(kind: str, path: str) -> Format:
    return Format(kind, (ROOT / path).read_bytes)


def _origin() -> bytes:
    """The reference of a delta checkpoint to its base."""
    base = {"model": "/models/nano", "dtype": "float32"}
    sizes = json.loads((NANO / "config.json").read_text())
    return _json({"format": 1, "stage": 2, "preset": "nano", "step": 10, "base": base, "near": {"model": "../nano"}, "sizes": sizes})


NANO = ROOT / "ckpts/nano"
COMPONENT_FILES = {  # format -> file of a model's component
    "mert_config": "mert/config.json", "mert_preprocessor": "mert/preprocessor_config.json", "vit_config": "vit/config.json",
    "vit_preprocessor": "vit/preprocessor_config.json", "vivit_config": "vivit/config.json", "decoder_config": "decoder/config.json",
    "decoder_generation": "decoder/generation_config.json", "decoder_words": "decoder/tokenizer.json",
}  # fmt: skip


FORMATS: dict[str, Format] = {
    "wav": _media(_soundfile, "WAV", "PCM_16"), "wav_24": _media(_soundfile, "WAV", "PCM_24", 1),
    "wav_float": _media(_soundfile, "WAV", "FLOAT", 6), "wav_adpcm": _media(_soundfile, "WAV", "IMA_ADPCM", 1),
    "wav_ulaw": _media(_soundfile, "WAVEX", "ULAW"), "wav_unfinished": _media(_unfinished_wav),
    "rf64": _media(_soundfile, "RF64", "PCM_16"), "w64": _media(_soundfile, "W64", "PCM_16"),
    "flac": _media(_soundfile, "FLAC", "PCM_16"), "vorbis": _media(_soundfile, "OGG", "VORBIS"),
    "opus": _media(_soundfile, "OGG", "OPUS"), "mp3": _media(_soundfile, "MP3", "MPEG_LAYER_III"),
    "aiff": _media(_soundfile, "AIFF", "PCM_16"), "au": _media(_soundfile, "AU", "PCM_16"),
    "caf": _media(_soundfile, "CAF", "ALAC_16"), "m4a": _media(_av, "ipod", audio="aac"),
    "m4a_surround": _media(_av, "ipod", audio="aac", channels=8), "aac": _media(_av, "adts", audio="aac", channels=1),
    "alac": _media(_av, "ipod", audio="alac"), "wma": _media(_av, "asf", audio="wmav2"), "ac3": _media(_av, "ac3", audio="ac3", channels=6),
    "mka": _media(_av, "matroska", audio="libopus"), "webm_sound": _media(_av, "webm", audio="libopus", channels=1),
    "wavpack": _media(_av, "wv", audio="wavpack"), "tta": _media(_av, "tta", audio="tta"),
    "png": _media(_pillow, "PNG"), "png_16": _media(_pillow, "PNG", "I;16"), "png_palette": _media(_pillow, "PNG", "P"),
    "png_alpha": _media(_pillow, "PNG", "RGBA"), "apng": _media(_pillow, "PNG", count=4),
    "jpeg": _media(_pillow, "JPEG"), "jpeg_progressive": _media(_pillow, "JPEG", progressive=True), "jpeg_turned": _media(_turned_jpeg),
    "jpeg_cmyk": _media(_pillow, "JPEG", "CMYK"), "webp": _media(_pillow, "WEBP"), "webp_moving": _media(_pillow, "WEBP", count=4),
    "gif": _media(_pillow, "GIF", "P"), "gif_moving": _media(_pillow, "GIF", count=4), "bmp": _media(_pillow, "BMP"),
    "tiff": _media(_pillow, "TIFF", compression="tiff_lzw"), "tiff_16": _media(_pillow, "TIFF", "I;16"), "ppm": _media(_pillow, "PPM"),
    "ico": _media(_pillow, "ICO"), "jpeg2000": _media(_pillow, "JPEG2000"), "avif": _media(_pillow, "AVIF"),
    "heic": _file("media", "tests/llama/media/photo.heic"),
    "mp4": _media(_av, "mp4", "mpeg4", "aac"), "mp4_h264": _media(_av, "mp4", "libx264"), "mov": _media(_av, "mov", "mjpeg", "pcm_s16le"),
    "webm": _media(_av, "webm", "libvpx", "libopus"), "webm_vp9": _media(_av, "webm", "libvpx-vp9"),
    "mkv": _media(_av, "matroska", "ffv1", "pcm_s16le"), "avi": _media(_av, "avi", "mpeg4", "libmp3lame"),
    "ts": _media(_av, "mpegts", "mpeg2video", "mp2"),
    "mpg": _media(_av, "mpeg", "mpeg1video", "mp2"), "flv": _media(_av, "flv", "flv", "libmp3lame", 2, 44_100),
    "midi": _media(_midi), "mid": Format("notes", cache(partial(_score, "mid"))), "mxl": Format("notes", cache(partial(_score, "mxl"))),
    "musicxml": Format("musicxml", cache(partial(_score, "musicxml"))),
    "captions": Format("captions", partial(_json, {"a.wav": "a waltz", "b.flac": "a song", "c.mp3": "noise"})),
    "musicqa": Format("musicqa", partial(_json, [{"audio_name": "a.wav", "conversation": TURNS}] * 3)),
    "alpaca": Format("alpaca", partial(_json, [{"instruction": "Say a.", "input": "", "output": "a"}] * 3)),
    "instructions": Format("instructions", _instructions), "tar": Format("tar", cache(_tar)), "request": Format("request", _request),
    "yaml": _file("yaml", "configs/nano.yaml"), "config": _file("config", "ckpts/nano/config.json"),
    "params": Format("params", partial(_json, {"dim": 64, "n_layers": 2, "n_heads": 4, "vocab_size": -1, "norm_eps": 1e-5})),
    "pth": Format("pth", cache(partial(_pth, False))), "pth_legacy": Format("pth", cache(partial(_pth, True))),
    "safetensors": Format("safetensors", cache(_safetensors)), "origin": Format("origin", _origin),
    "tokenizer": _file("tokenizer", "ckpts/nano/tokenizer.model"),
    **{name: _file("component", f"ckpts/nano/{file}") for name, file in COMPONENT_FILES.items()},
}  # fmt: skip
