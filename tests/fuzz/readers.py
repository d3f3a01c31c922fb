"""What reads a stranger's files, as functions for the media worker: each ends in an answer or in one sentence."""

from __future__ import annotations

import re
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

MAX_SENTENCE = 400  # characters
MAX_SECONDS = 10.0  # of processor time, for one reader
# What only a library or Python itself says.
RAW = re.compile(r"\[Errno|Traceback|\bavcodec_|\bav_\w+\(|<class|object at 0x|(?<!holds )\b(?:torch|numpy|np|PIL|av)\.\w+|\bNoneType\b"
                 r"|DefaultCPUAllocator|expected str\b|unexpected keyword|positional argument|codec can't")  # fmt: skip

Reader = Callable[[Path], object]


def read_sound(path: Path) -> object:
    from llama.media.audio import Waveform

    return Waveform.read(path)


def read_sound_in_memory(path: Path) -> object:
    from llama.media.audio import Waveform

    return Waveform.read(path.read_bytes())


def read_picture(path: Path) -> object:
    from llama.media.image import load_image

    return load_image(path)


def read_frames(path: Path) -> object:
    from llama.media.video import load_frames

    return load_frames(path, 4)


def read_upload(path: Path) -> object:
    from demo.service.uploads import receive

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        return receive(Path(folder), path.read_bytes(), name=path.name)


def read_notes(path: Path) -> object:
    from llama.media.score_file import read_score

    return read_score(path)


def read_list(path: Path) -> object:
    from llama.data.json_lists import read_source
    from llama.data.source import Source

    form = path.suffix[1:]
    return [example.instruction for example in read_source(Source(form, str(path)), 3)]  # type: ignore[arg-type]


def read_tar(path: Path) -> object:
    from llama.data.source import Source
    from llama.data.tar_shards import stream

    return list(stream(Source("tar", str(path)), 1, 0, 0))


def read_request(path: Path) -> object:
    from demo.api.protocol import ApiError, ChatRequest
    from demo.api.request_parser import parse_request

    try:
        return parse_request(path.read_bytes(), "nano", ChatRequest)
    except ApiError as error:
        raise ValueError(error.body()["error"]["message"]) from error


def read_yaml(path: Path) -> object:
    from llama.training.config import read_config

    return read_config(path, 1)


def read_config(path: Path) -> object:
    from llama.checkpoint.pretrained import _read_config

    return _read_config(path)


def read_params(path: Path) -> object:
    from llama.checkpoint.llama_weights import LlamaFolder

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        Path(folder, "params.json").write_bytes(path.read_bytes())
        return LlamaFolder.find(folder)


def read_pth(path: Path) -> object:
    from llama.checkpoint.readers import read_torch, weights_of

    return weights_of(read_torch(path), path)


def read_safetensors(path: Path) -> object:
    from llama.checkpoint.readers import read_safetensors

    return read_safetensors(path)


def read_origin(path: Path) -> object:
    from llama.checkpoint.delta import read_base_reference

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        Path(folder, "origin.json").write_bytes(path.read_bytes())
        return read_base_reference(folder)


def read_tokenizer(path: Path) -> object:
    from llama.modules.tokenizer import Tokenizer

    return Tokenizer(path).encode("a slow waltz")


def read_component(path: Path) -> object:
    """A component's folder in which this file is damaged, and what it prepares of a small recording, picture or clip."""
    import torch
    from PIL import Image

    from fuzz.corpus import COMPONENT_FILES, NANO
    from llama.decoders.musicgen.decoder import MusicGenDecoder
    from llama.encoders.mert import MERTEncoder
    from llama.encoders.vit import ViTEncoder
    from llama.encoders.vivit import ViViTEncoder
    from llama.media.audio import Waveform

    kind, name = COMPONENT_FILES[path.suffix[1:]].split("/")
    with tempfile.TemporaryDirectory(dir=path.parent) as parent:
        folder = Path(parent, kind)
        folder.mkdir()
        for file in (NANO / kind).iterdir():
            (folder / file.name).symlink_to(file)
        (folder / name).unlink()
        (folder / name).write_bytes(path.read_bytes())
        if kind == "mert":
            return MERTEncoder.from_folder(folder).windows(Waveform(torch.zeros(1, 800), 8000))
        if kind == "vit":
            return ViTEncoder.from_folder(folder).prepare(Image.new("RGB", (9, 6)))
        if kind == "vivit":
            return ViViTEncoder.from_folder(folder).prepare(torch.zeros(2, 6, 9, 3, dtype=torch.uint8))
        return MusicGenDecoder.from_folder(folder)


MEDIA = (read_sound, read_sound_in_memory, read_picture, read_frames, read_upload)
READERS: dict[str, tuple[Reader, ...]] = {
    "media": MEDIA, "notes": (read_notes,), "musicxml": (read_notes,),
    "captions": (read_list,), "musicqa": (read_list,), "alpaca": (read_list,), "instructions": (read_list,),
    "tar": (read_tar,), "request": (read_request,), "yaml": (read_yaml,), "config": (read_config,), "params": (read_params,),
    "pth": (read_pth,), "safetensors": (read_safetensors,), "origin": (read_origin,),
    "tokenizer": (read_tokenizer,), "component": (read_component,),
}  # fmt: skip
MODULES = ("llama.media.audio", "llama.media.image", "llama.media.video", "llama.media.score_file", "llama.data.json_lists",
           "llama.data.tar_shards",
           "llama.training.config", "llama.checkpoint.delta", "demo.service.uploads", "demo.api.request_parser")  # fmt: skip


def faults(kind: str, file: str, names: list[str]) -> list[str]:
    """What the named readers of this kind do that is neither an answer nor one sentence."""
    warnings.simplefilter("ignore")
    readers = [reader for reader in READERS[kind] if reader.__name__ in names]
    return [f"{reader.__name__}: {fault}" for reader in readers if (fault := _fault(reader, Path(file)))]


def _fault(reader: Reader, file: Path) -> str:
    begin = time.process_time()
    fault = _error_fault(reader, file)
    seconds = time.process_time() - begin
    return fault or (f"{seconds:.0f} s of processor time" if seconds > MAX_SECONDS else "")


def _error_fault(reader: Reader, file: Path) -> str:
    try:
        reader(file)
    except (ValueError, FileNotFoundError) as error:
        return "" if is_sentence(error, file) else f"no sentence of ours: {type(error).__name__}: {str(error)[:300]!r}"
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place is not None else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:200]!r}"
    return ""


def is_sentence(error: Exception, file: Path) -> bool:
    """Whether the error is one sentence for a user. The path of the file does not count."""
    text = str(error).replace(str(file), "FILE").replace(str(file.parent), "FOLDER")
    if type(error) not in (ValueError, FileNotFoundError) and not type(error).__module__.startswith("llama."):
        return False
    return text.isprintable() and text.endswith(".") and 10 < len(text) <= MAX_SENTENCE and not RAW.search(text)
