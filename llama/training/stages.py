"""What trains in each stage, by name: lists of groups that part the model's own parameters (M2UGen, arXiv 2311.11255)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama.checkpoint.delta import AUDIO_TOKEN_ROWS
from llama.config import COMPONENTS

if TYPE_CHECKING:
    from llama.mumu_model import MuMuModel

_LAYER = r"llama\.layers\.\d+\."
_MAP = _LAYER + r"(attention|feed_forward)\.w\w\."

# Every own parameter is in exactly one group; the frozen neighbours are in none.
GROUPS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "adapters": r"adapters\.\w+\.(?!idle\.).+",
        "idle": r"adapters\.\w+\.idle\..+",  # carried for the published format: no path reads them, so none learns
        "queries": r"prefix_query\.\w+",
        "gates": _LAYER + r"attention\.gate",
        "lora": _MAP + r"l[12]",
        "norms": rf"llama\.norm\.weight|{_LAYER}(attention_norm|ffn_norm)\.weight",
        "biases": _MAP + r"bias",
        "embeddings": r"llama\.tok_embeddings\.weight",
        "new_rows": re.escape(AUDIO_TOKEN_ROWS),  # the audio tokens' rows of the output map, a parameter of their own in training
        "output": r"llama\.output\.weight",
        "base": _MAP + r"weight",
        "projector": r"output_projector\..+",
    }.items()
}
FROZEN_PREFIXES = tuple(f"{name}." for name in COMPONENTS)


@dataclass(frozen=True)
class Stage:
    """One stage of training: `trains` names groups of `GROUPS`."""

    number: int
    name: str
    what: str
    trains: tuple[str, ...]


def _three(listen: str, play: str, follow: str) -> dict[int, Stage]:
    """Stages 1 to 3 from their groups, written as words."""
    return {
        1: Stage(1, "listen", "what is heard and seen, into words", tuple(listen.split())),
        2: Stage(2, "play", "words, into the music decoder's condition", tuple(play.split())),
        3: Stage(3, "follow", "instructions with every medium", tuple(follow.split())),
    }


_OURS = "adapters queries gates lora norms biases embeddings new_rows"
_ALL = " ".join(name for name in GROUPS if name != "new_rows")  # they train as rows of the whole output map
_TUNED = "lora norms biases"  # of LLaMA, in every published stage

PRESETS: Mapping[str, Mapping[int, Stage]] = {
    # Gates and output rows too: behind a closed gate no adapter learns, and random rows never say the audio tokens.
    "ours": _three(_OURS, f"{_OURS} projector", f"{_OURS} projector"),
    # The sets of the published training, for comparison. It never trains the gates: closed ones (gate_start 0) stay closed.
    "published": _three(
        f"adapters idle queries {_TUNED} embeddings projector",
        f"queries {_TUNED} embeddings projector",
        f"queries {_TUNED}",
    ),
    "lora": {3: Stage(3, "fine-tune", "a user's own songs, on top of stage 3", ("lora", "projector"))},
    "all": _three(_ALL, _ALL, _ALL),
}
# The later published variant trains no projector in stage 1, and keeps the embeddings in stage 3.
PUBLISHED_MUMU = _three(
    f"adapters idle queries {_TUNED} embeddings",
    f"queries {_TUNED} embeddings projector",
    f"queries {_TUNED} embeddings",
)


def stage(number: int, preset: str = "ours", variant: str = "m2ugen") -> Stage:
    """The stage of that number. `variant` is the model's (config.variant) and matters to the preset "published" alone.

    Raises ValueError saying which presets or stages there are.
    """
    if preset not in PRESETS:
        raise ValueError(f"The preset {preset!r} is unknown; choose {_either(PRESETS)}.")
    stages = PUBLISHED_MUMU if (preset, variant) == ("published", "mumu") else PRESETS[preset]
    if number not in stages:
        raise ValueError(f"There is no stage {number} in the preset {preset!r}; choose stage {_either(stages)}.")
    return stages[number]


def group_of(name: str) -> str | None:
    """The group of an own parameter; None for a neighbour's."""
    return next((group for group, pattern in GROUPS.items() if pattern.fullmatch(name)), None)


def own_parameters(model: MuMuModel) -> tuple[str, ...]:
    """Names of the model's parameters without its neighbours', sorted."""
    return tuple(sorted(name for name, _ in model.named_parameters() if not name.startswith(FROZEN_PREFIXES)))


def trainable(model: MuMuModel, stage: Stage, freeze: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of what trains, sorted, AUDIO_TOKEN_ROWS among them where the stage has it.

    freeze: names, beginnings of names up to a dot, or groups, that stay frozen in spite of the stage.
    Raises ValueError for one that fits nothing in the model, and if nothing is left to train.
    """
    names = sorted((*own_parameters(model), AUDIO_TOKEN_ROWS))
    for prefix in freeze:
        if not any(_under(name, prefix) for name in names):
            raise ValueError(
                f"freeze names {prefix!r}, which the model does not have; give the beginning of a name, like adapters.audio."
            )
    chosen = [name for name in names if any(GROUPS[group].fullmatch(name) for group in stage.trains)]
    left = tuple(name for name in chosen if not any(_under(name, prefix) for prefix in freeze))
    if not left:
        groups = ", ".join(stage.trains)
        raise ValueError(f"Nothing is left to train in stage {stage.number} ({groups}); freeze less, or change the preset.")
    return left


def _under(name: str, prefix: str) -> bool:
    """Up to a dot, so that llama.layers.1 is not llama.layers.10 too; or of the group that is named so."""
    return name == prefix or name.startswith(prefix.rstrip(".") + ".") or bool(prefix in GROUPS and GROUPS[prefix].fullmatch(name))


def _either(choices: Mapping[str, object] | Mapping[int, object]) -> str:
    *most, last = map(str, choices)
    return f"{', '.join(most)} or {last}" if most else last
