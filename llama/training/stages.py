"""Training stages and the parameter groups that each trains (M2UGen, arXiv 2311.11255)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama.checkpoint.delta import AUDIO_TOKEN_ROWS
from llama.config import COMPONENTS
from llama.errors import quoted

if TYPE_CHECKING:
    from llama.mumu_model import MuMuModel

_LAYER = r"llama\.layers\.\d+\."
_LINEAR = _LAYER + r"(attention|feed_forward)\.w\w\."

# Every parameter of the model is in exactly one group; those of the frozen components are in none.
GROUPS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "adapters": r"adapters\.\w+\.(?!idle\.).+",
        "idle": r"adapters\.\w+\.idle\..+",  # stored for the published format alone: the model does not use them
        "queries": r"prefix_query\.\w+",
        "gates": _LAYER + r"attention\.gate",
        "lora": _LINEAR + r"l[12]",
        "norms": rf"llama\.norm\.weight|{_LAYER}(attention_norm|ffn_norm)\.weight",
        "biases": _LINEAR + r"bias",
        "embeddings": r"llama\.tok_embeddings\.weight",
        "new_rows": re.escape(AUDIO_TOKEN_ROWS),  # the audio tokens' rows of the output layer, a parameter of its own in training
        "output": r"llama\.output\.weight",
        "base": _LINEAR + r"weight",
        "projector": r"output_projector\..+",
    }.items()
}
FROZEN_PREFIXES = tuple(f"{name}." for name in COMPONENTS)


@dataclass(frozen=True)
class Stage:
    """One stage of training: `trains` names groups of `GROUPS`."""

    number: int
    name: str
    description: str
    trains: tuple[str, ...]


def _stages(align: str, generate: str, instruct: str) -> dict[int, Stage]:
    """Stages 1 to 3 from the names of their groups, separated by spaces."""
    return {
        1: Stage(1, "align", "describe audio, images and video in text", tuple(align.split())),
        2: Stage(2, "generate", "turn text into the music decoder's condition", tuple(generate.split())),
        3: Stage(3, "instruct", "follow instructions with every modality", tuple(instruct.split())),
    }


_OURS = "adapters queries gates lora norms biases embeddings new_rows"
_ALL = " ".join(name for name in GROUPS if name != "new_rows")  # they train as rows of the complete output layer
_TUNED = "lora norms biases"  # of LLaMA, in every published stage

PRESETS: Mapping[str, Mapping[int, Stage]] = {
    # Gates and output rows train too: adapters get no gradient through a closed gate, and random rows never produce audio tokens.
    "ours": _stages(_OURS, f"{_OURS} projector", f"{_OURS} projector"),
    # The groups of the published training, for comparison. It never trains the gates: closed ones (gate_start 0) stay closed.
    "published": _stages(
        f"adapters idle queries {_TUNED} embeddings projector",
        f"queries {_TUNED} embeddings projector",
        f"queries {_TUNED}",
    ),
    "lora": {3: Stage(3, "fine-tune", "a user's own songs, on top of stage 3", ("lora", "projector"))},
    "all": _stages(_ALL, _ALL, _ALL),
}
# The later published variant trains no projector in stage 1, and keeps the embeddings in stage 3.
PUBLISHED_MUMU = _stages(
    f"adapters idle queries {_TUNED} embeddings",
    f"queries {_TUNED} embeddings projector",
    f"queries {_TUNED} embeddings",
)


def stage(number: int, preset: str = "ours", variant: str = "m2ugen") -> Stage:
    """The stage with this number. `variant` is the model's (config.variant); only the preset "published" depends on it.

    Raises ValueError, listing the presets or stages, if there is none.
    """
    if preset not in PRESETS:
        raise ValueError(f"The preset {quoted(preset)} is unknown; choose {_either(PRESETS)}.")
    stages = PUBLISHED_MUMU if (preset, variant) == ("published", "mumu") else PRESETS[preset]
    if number not in stages:
        raise ValueError(f"There is no stage {number} in the preset {quoted(preset)}; choose stage {_either(stages)}.")
    return stages[number]


def group_of(name: str) -> str | None:
    """The group of a parameter; None for one of a frozen component."""
    return next((group for group, pattern in GROUPS.items() if pattern.fullmatch(name)), None)


def own_parameters(model: MuMuModel) -> tuple[str, ...]:
    """Names of the model's parameters without those of its frozen components, sorted."""
    return tuple(sorted(name for name, _ in model.named_parameters() if not name.startswith(FROZEN_PREFIXES)))


def trainable(model: MuMuModel, stage: Stage, freeze: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the trainable parameters, sorted; includes AUDIO_TOKEN_ROWS if the stage trains it.

    freeze: parameter names, prefixes of names up to a dot, or groups, that stay frozen although the stage trains them.
    Raises ValueError for one that matches nothing in the model, and if nothing is left to train.
    """
    names = sorted((*own_parameters(model), AUDIO_TOKEN_ROWS))
    for prefix in freeze:
        if not any(_matches(name, prefix) for name in names):
            raise ValueError(
                f"freeze names {quoted(prefix)}, which the model does not have; give the beginning of a name, like adapters.audio."
            )
    in_stage = [name for name in names if any(GROUPS[group].fullmatch(name) for group in stage.trains)]
    remaining = tuple(name for name in in_stage if not any(_matches(name, prefix) for prefix in freeze))
    if not remaining:
        groups = ", ".join(stage.trains)
        raise ValueError(f"Nothing is left to train in stage {stage.number} ({groups}); freeze less, or change the preset.")
    return remaining


def _matches(name: str, prefix: str) -> bool:
    """Whether `prefix` is the name, a prefix of it up to a dot (so llama.layers.1 is not llama.layers.10), or its group."""
    return name == prefix or name.startswith(prefix.rstrip(".") + ".") or bool(prefix in GROUPS and GROUPS[prefix].fullmatch(name))


def _either(choices: Mapping[str, object] | Mapping[int, object]) -> str:
    *most, last = map(str, choices)
    return f"{', '.join(most)} or {last}" if most else last
