"""Compiled libraries load beside each other: a release built for another torch fails only where it is first used."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

# Package, what it is loaded beside, and a line that reaches its compiled code.
USES = {
    "torchaudio": ("torch", "import torch, torchaudio; torchaudio.functional.resample(torch.zeros(1, 64), 44100, 24000)"),
    "torchvision": ("torch", "import torch, torchvision; torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5)"),
    "av": ("torch", "import av; av.AudioResampler(format='flt', layout='mono', rate=24000)"),
    "faiss-cpu": ("numpy", "import faiss, numpy; faiss.IndexFlatL2(2).add(numpy.zeros((1, 2), dtype='float32'))"),
    "sentencepiece": ("torch", "import sentencepiece; sentencepiece.SentencePieceProcessor()"),
    "pi-heif": ("Pillow", "import pi_heif; pi_heif.register_heif_opener(); pi_heif.libheif_version()"),
    "verovio": ("torch", "import verovio; verovio.toolkit().getVersion()"),
    "soundfile": ("numpy", "import io, numpy, soundfile; soundfile.write(io.BytesIO(), numpy.zeros(64), 24000, format='FLAC')"),
}

# One interpreter for all, since torch takes seconds to load.
PROGRAM = """
import json, sys
errors = {}
for name, line in json.loads(sys.argv[1]).items():
    try:
        exec(line)
    except Exception as error:
        errors[name] = f"{type(error).__name__}: {error}"
print(json.dumps(errors))
"""


def release(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"


def advice(package: str, neighbour: str, why: str) -> str:
    return f"{release(package)} does not load beside {release(neighbour)}; install the locked pair: make clean test\n{why}"


@pytest.fixture(scope="module")
def errors() -> dict[str, str]:
    lines = json.dumps({package: line for package, (_, line) in USES.items()})
    done = subprocess.run([sys.executable, "-c", PROGRAM, lines], capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.fail(f"Python itself ended with {done.returncode} while it loaded {', '.join(USES)}; "
                    f"install the locked versions: make clean test\n{done.stderr}")
    return json.loads(done.stdout)


@pytest.mark.parametrize("package", USES)
def test_each_compiled_library_loads(package: str, errors: dict[str, str]) -> None:
    assert package not in errors, advice(package, USES[package][0], errors[package])


def test_the_advice_names_both_releases() -> None:
    text = advice("torchaudio", "torch", "OSError: undefined symbol")
    assert text.startswith(f"torchaudio {version('torchaudio')} does not load beside torch {version('torch')}; install")
    assert text.endswith("make clean test\nOSError: undefined symbol")
