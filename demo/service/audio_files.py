"""Audio files of a piece (wav, flac, mp3, MIDI), and wav streams of known length.

The wav file is `wav_header` followed by `pcm`, and so is the stream played during generation, so a player can continue from
one with the other. wav and flac have identical samples.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import mido
import numpy as np
import soundfile

from llama.files import atomic_path
from llama.media.audio import WRITE_BLOCK, Waveform
from llama.media.midi import to_midi
from llama.media.score import Score

ARTIST = "MuMu-LLaMA"
FORMATS = ("wav", "flac", "mp3", "mid")
TAKE_FORMATS = ("wav", "mid")  # written with each piece; flac and mp3 of minutes take seconds, and are made when they are asked for
SAMPLE_BYTES = 2
MAX_TITLE = 200  # characters of a tag; a prompt may have thousands
SMALL_FILES = 100_000  # bytes of the MIDI file, the headers and tags of a take
MAX_WAV_BYTES = 2**32 - 4096  # the sizes in its header have 32 bits
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz allowed by the format
MP3_CHANNELS = 2


def write(
    music: Waveform, score: Score | None, folder: Path, stem: str, formats: Sequence[str] = FORMATS,
    *, title: str = "", seed: int | None = None,
) -> dict[str, Path]:
    """Writes the take as `folder/stem.FORMAT` for each format, atomically; returns {format: file}. MIDI requires a score.

    title, seed: written into the tags. Raises ValueError for an unknown format, FileNotFoundError for a missing folder.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ValueError(f"A take cannot be written as {unknown[0]!r}; choose from {', '.join(FORMATS)}.")
    if not folder.is_dir():
        raise FileNotFoundError(f"Cannot write into {folder}: the folder does not exist; make it first.")
    tags = take_tags(title, seed)
    encoders: dict[str, Callable[[], bytes]] = {
        "wav": lambda: wav_header(music.seconds, music.sample_rate, len(music.samples), tags=tags) + pcm(music),
        "flac": lambda: _encode_flac(music, tags),
        "mp3": lambda: _encode_mp3(music, tags),
    }
    if score is not None:
        encoders["mid"] = lambda: _encode_midi(score, music.seconds, tags)
    possible = [name for name in dict.fromkeys(formats) if name in encoders]
    return {name: _write_atomically(folder / f"{stem}.{name}", encoders[name]()) for name in possible}


def pcm(music: Waveform) -> bytes:
    """Samples as in a wav file: 16 bit, little endian, interleaved channels, `N * C * 2` bytes."""
    return _to_int16(music).astype("<i2").tobytes()


def wav_header(seconds: float, rate: int, channels: int, *, tags: dict[str, str] | None = None) -> bytes:
    """Header of a wav file of `seconds`, whose samples may not exist yet.

    tags: from `take_tags`; they precede the samples, so a stream has them too. Raises ValueError for a length, rate or
    number of channels that the format cannot represent.
    """
    size = pcm_bytes(seconds, rate, channels)
    info = _info_chunk(tags or {})
    frame_bytes = channels * SAMPLE_BYTES
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * frame_bytes, frame_bytes, 8 * SAMPLE_BYTES)
    body = b"WAVE" + form + info + struct.pack("<4sI", b"data", size)
    return struct.pack("<4sI", b"RIFF", len(body) + size) + body


def pcm_bytes(seconds: float, rate: int, channels: int) -> int:
    """Bytes of the samples of `seconds`, rounded to the nearest sample. Raises ValueError if a wav file cannot hold them."""
    size = round(seconds * rate) * channels * SAMPLE_BYTES if seconds > 0 else 0
    if not 0 < size < MAX_WAV_BYTES or not 0 < rate < 2**31 or not 0 < channels < 2**15:
        raise ValueError(
            f"A wav file of {seconds:g} s with {channels} channel(s) at {rate} Hz is not possible; "
            "give a length above nothing and below 4 GB."
        )
    return size


def take_bytes(music: Waveform, formats: Sequence[str] = FORMATS) -> int:
    """Upper bound on the bytes of a take's files."""
    return encoded_bytes(pcm_bytes(music.seconds, music.sample_rate, len(music.samples)), formats)


def encoded_bytes(samples: int, formats: Sequence[str]) -> int:
    """Upper bound on the bytes of files of so many bytes of samples: lossless ones are as long, mp3 a third, the rest is short."""
    shares = {"wav": 1.0, "flac": 1.0, "mp3": 0.35}
    return int(samples * sum(shares.get(name, 0.0) for name in formats)) + SMALL_FILES


def take_tags(title: str = "", seed: int | None = None) -> dict[str, str]:
    """Tags of a take's files, by soundfile's tag names."""
    comment = f"made by {ARTIST}" if seed is None else f"made by {ARTIST}, seed {seed}"
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in title).split())
    title_tag = {"title": line[:MAX_TITLE]} if line else {}
    return {**title_tag, "artist": ARTIST, "comment": comment}


def convert(sound: Path, path: Path, form: str) -> None:
    """Writes a complete wav file of `write` as flac or mp3, atomically, with its samples and its tags."""
    music, tags = Waveform.read(sound), read_tags(sound)
    _write_atomically(path, _encode_flac(music, tags) if form == "flac" else _encode_mp3(music, tags))


def read_tags(sound: Path) -> dict[str, str]:
    """The tags of a sound file, as `take_tags` gives them."""
    with soundfile.SoundFile(sound) as file:
        tags = {name: getattr(file, name) for name in ("title", "artist", "comment")}
    return {name: text for name, text in tags.items() if text}


def is_complete_wav(sound: Path) -> bool:
    """Whether the file is as long as its header states. Raises FileNotFoundError if it was deleted."""
    with sound.open("rb") as file:
        header, size = file.read(8), sound.stat().st_size
    return header[:4] == b"RIFF" and len(header) == 8 and size >= struct.unpack("<I", header[4:])[0] + 8


def _to_int16(music: Waveform) -> np.ndarray:
    """Samples [N, C] as int16 with full scale 32768, as in flac."""
    samples = music.samples.detach().cpu().numpy()
    integers = np.empty(samples.shape[::-1], np.int16)
    for channel, values in enumerate(samples):  # per channel: several times faster than transposing the floats first
        scaled = values * np.float32(32768.0)
        np.rint(scaled, out=scaled)
        integers[:, channel] = np.clip(scaled, -32768, 32767, out=scaled)
    return integers


def _info_chunk(tags: dict[str, str]) -> bytes:
    """LIST INFO chunk of a wav file; empty without tags."""
    names = {"title": b"INAM", "artist": b"IART", "comment": b"ICMT"}
    fields = b""
    for name, value in tags.items():
        content = value.encode("utf-8") + b"\0"
        fields += struct.pack("<4sI", names[name], len(content)) + content + b"\0" * (len(content) % 2)
    return struct.pack("<4sI", b"LIST", 4 + len(fields)) + b"INFO" + fields if fields else b""


def _encode_flac(music: Waveform, tags: dict[str, str]) -> bytes:
    return _encode(_to_int16(music), music.sample_rate, tags, format="FLAC", subtype="PCM_16")


def _encode_mp3(music: Waveform, tags: dict[str, str]) -> bytes:
    """mp3 at the encoder's best variable bit rate, resampled to the next allowed rate, with at most two channels."""
    rate = next((mp3_rate for mp3_rate in MP3_RATES if mp3_rate >= music.sample_rate), MP3_RATES[-1])
    mixed = music if len(music.samples) <= MP3_CHANNELS else music.mono()
    samples = mixed.resample(rate).samples.detach().cpu().clamp(-1.0, 1.0).T.numpy()
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.0}
    return _id3_tag(tags) + _encode(samples, rate, {}, **options)


def _id3_tag(tags: dict[str, str]) -> bytes:
    """ID3 2.3 tag in UTF-16. The encoder's own tags are always Latin-1, which garbles titles in most languages."""
    names = {"title": b"TIT2", "artist": b"TPE1", "comment": b"COMM"}
    frames = b""
    for name, value in tags.items():
        encoding = b"\x01eng" + "\0".encode("utf-16") if name == "comment" else b"\x01"  # language, no short description
        content = encoding + value.encode("utf-16")
        frames += struct.pack(">4sIH", names[name], len(content), 0) + content
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))  # seven bits a byte
    return b"ID3\x03\0\0" + size + frames


def _encode(samples: np.ndarray, rate: int, tags: dict[str, str], **options: object) -> bytes:
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate, samples.shape[1], **options) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        for start in range(0, len(samples), WRITE_BLOCK):
            file.write(samples[start : start + WRITE_BLOCK])
    return out.getvalue()


def _encode_midi(score: Score, seconds: float, tags: dict[str, str]) -> bytes:
    """MIDI file of the notes with the tags as text events of the first track; its name stays the style and key."""
    file = mido.MidiFile(file=io.BytesIO(to_midi(score, seconds)), charset="utf-8")
    texts = [tags[name] for name in ("title", "comment") if name in tags]
    file.tracks[0][1:1] = [mido.MetaMessage("text", text=text) for text in texts]
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def _write_atomically(path: Path, content: bytes) -> Path:
    with atomic_path(path, fsync=False) as partial:
        partial.write_bytes(content)
    return path
