"""VGGish (arXiv 1609.09430), the network of the first Frechet audio distances: six convolutions, three dense layers, 128 numbers a second.

The weights are a file of the user's: a state dict with torchvggish's names (features.0.weight ... embeddings.4.bias), as .pth or converted
to safetensors. The architecture and the front end follow the public description; that their numbers equal the published ones could not
be checked here, for want of the weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from llama.evaluation.window_embedder import ModelSpec, Placement, WindowEmbedder
from llama.hf import library_errors
from llama.weights import ComponentError, check_component

SAMPLE_RATE = 16_000  # Hz
FRAME, HOP, FFT = 400, 160, 512  # samples: frames of 25 ms every 10 ms
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # mel bands, Hz
FRAMES = 96  # of an example: 0.96 s
OFFSET = 0.01  # added before the logarithm
CONVOLUTIONS = (0, 3, 6, 8, 11, 13)  # places in `features`; a pool follows the first two, the fourth and the sixth
POOLED = (0, 3, 8, 13)
DENSE = (0, 2, 4)  # places in `embeddings`
POSTPROCESSOR = re.compile(r"^pproc\.")  # PCA and quantisation of AudioSet's released embeddings, which no Frechet distance uses


def mel_matrix() -> Tensor:
    """Weights [257, 64] of the frequency bins in each band: triangles on the mel scale (HTK's); the constant bin has none."""
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=torch.float64)
    mels = 1127 * torch.log1p(frequencies / 700)
    edges = torch.linspace(1127 * math.log1p(LOWEST / 700), 1127 * math.log1p(HIGHEST / 700), BANDS + 2, dtype=torch.float64)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (mels[:, None] - low) / (centre - low), (high - mels[:, None]) / (high - centre)
    weights = torch.minimum(rising, falling).clamp(min=0)
    weights[0] = 0
    return weights.float()


def log_mel(samples: Tensor) -> Tensor:
    """Log-mel frames [b, T, 64] of samples [b, N] at 16 kHz, T = 1 + (N - 400) // 160: log of the magnitude in each band + 0.01."""
    frames = samples.unfold(-1, FRAME, HOP) * torch.hann_window(FRAME, periodic=True, device=samples.device)
    magnitude = torch.fft.rfft(frames, FFT).abs()
    return torch.log(magnitude @ mel_matrix().to(samples.device) + OFFSET)


class VGGish(nn.Module):
    """The network. Its widths are those of the weights: (64, 128, 256, 256, 512, 512), (4096, 4096, 128) in the published ones."""

    def __init__(self, convolutions: tuple[int, ...], dense: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for place, out in zip(CONVOLUTIONS, convolutions, strict=True):
            layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU()]
            layers += [nn.MaxPool2d(2, 2)] if place in POOLED else []
            width = out
        self.features = nn.Sequential(*layers)
        sizes = (width * (FRAMES // 16) * (BANDS // 16), *dense)
        linears = [nn.Linear(before, after) for before, after in zip(sizes[:-1], sizes[1:], strict=True)]
        self.embeddings = nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2])

    def forward(self, examples: Tensor) -> Tensor:
        """Log-mel examples [b, 96, 64] -> embeddings [b, 128], before the last ReLU, as the usual FAD packages take them."""
        maps = self.features(examples[:, None])
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # channels last, as the weights were trained


def from_state(state: Mapping[str, Tensor]) -> VGGish:
    """The network of these weights. Raises ComponentError for weights that are missing, too many, of other shapes or not finite."""
    names = [f"features.{place}" for place in CONVOLUTIONS] + [f"embeddings.{place}" for place in DENSE]
    needed = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    state = {name: value for name, value in state.items() if not POSTPROCESSOR.match(name)}
    if missing := sorted(set(needed) - state.keys()):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ComponentError(f"The vggish weights lack {missing[0]}{more}; give a complete file with torchvggish's names.")
    if extra := sorted(state.keys() - set(needed)):
        raise ComponentError(f"The vggish weights hold {extra[0]}, which VGGish does not have; give a file with torchvggish's names.")
    widths = [len(state[f"{name}.bias"]) for name in names]
    with torch.device("meta"):
        model = VGGish(tuple(widths[:6]), tuple(widths[6:]))
    for name, value in model.state_dict().items():
        if state[name].shape != value.shape or not state[name].is_floating_point():
            raise ComponentError(
                f"The vggish weights hold {name} as {state[name].dtype} {list(state[name].shape)}, not as floats {list(value.shape)}; "
                "give a file with torchvggish's names."
            )
    model.load_state_dict(dict(state), assign=True)
    check_component("vggish", model)
    return model.eval().requires_grad_(False)


class VGGishEmbedder(WindowEmbedder):
    """VGGish over contiguous examples of 0.96 s. As published, a rest is left out; a recording shorter than an example is padded."""

    keep_rest = False

    def __init__(self, spec: ModelSpec, placement: Placement) -> None:
        super().__init__(spec, placement, SAMPLE_RATE, FRAME + (FRAMES - 1) * HOP, FRAMES * HOP)
        self.model = from_state(_read(spec)).to(placement.device, placement.dtype)

    def embed_windows(self, windows: Tensor) -> Tensor:
        examples = log_mel(F.pad(windows, (0, self.window - windows.shape[1])))
        return self.model(examples.to(self.placement.device, self.placement.dtype))


def _read(spec: ModelSpec) -> dict[str, Tensor]:
    path = Path(spec.path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give its weights as vggish=FILE, .pth or .safetensors.")
    with library_errors("VGGish", path, "give a .pth or .safetensors file with torchvggish's names"):
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("it holds no table of weights")
        return state
