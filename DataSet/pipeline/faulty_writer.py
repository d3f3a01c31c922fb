"""A writer that is faulty on purpose: the template's text, spoilt in every way that the guards know, by the seed of the item.

It is no model. The profile `small` and the tests use it to show what guards find where no language model can run; outcomes name it "faulty".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from DataSet.pipeline.edit_words import directions
from DataSet.pipeline.writers import WritingTask
from DataSet.synthesis.wording import chance

FAULT_SHARE = 0.5  # of the texts of a try
_TURNED = {
    "faster": "slower", "slower": "faster", "up": "down", "down": "up", "higher": "lower", "lower": "higher", "raise": "lower", "raised": "lowered",
    "lowered": "raised", "louder": "softer", "softer": "louder", "with": "without", "without": "with", "add": "remove", "remove": "add",
    "speed": "slow", "sped": "slowed", "slow": "speed", "slowed": "sped", "accelerate": "slow down", "accelerated": "slowed down", "hurry": "slow",
    "backwards": "forwards", "reversed": "unchanged", "reverse": "play",
}  # fmt: skip
Fault = Callable[[str, WritingTask], str]


def turn_direction(text: str, task: WritingTask) -> str:
    """Faster becomes slower, up becomes down, with becomes without; a text that names no direction stays."""
    turned = re.sub(r"\b\w+\b", lambda match: _keep_case(match[0], _TURNED.get(match[0].lower(), match[0])), text)
    return turned if directions(turned) != directions(text) else text


def turn_number(text: str, task: WritingTask) -> str:
    """The first number becomes another: its inverse, as where the factor of the time is taken for that of the speed."""
    return re.sub(r"\d+(?:\.\d+)?", lambda match: f"{1 / float(match[0]):.2g}" if float(match[0]) else "1", text, count=1)


def change_unit(text: str, task: WritingTask) -> str:
    """Cents become semitones, a factor of the speed one of the time."""
    text = text.replace("semitones", "\0").replace("semitone", "\0").replace("cents", "semitones").replace("\0", "cents")
    return re.sub(r"times (?:its|the) (?:original )?(?:speed|tempo)", "times its duration", text)


def add_number(text: str, task: WritingTask) -> str:
    return f"{text.rstrip('.?!')} in 17 seconds."


def drop_opening(text: str, task: WritingTask) -> str:
    return f"Sure, {text[0].lower()}{text[1:]}" if text.startswith("Here is") else text


# Name -> what it does to the template's text, which it may leave as it is. Which rule finds which is in the tests.
FAULTS: Mapping[str, Fault] = {
    "null": lambda text, task: "null",
    "nothing": lambda text, task: "",
    "several lines": lambda text, task: f"1. {text}\n2. {text}",
    "refusal": lambda text, task: "I'm sorry, but as an AI language model I cannot listen to music.",
    "the prompt again": lambda text, task: f"{task.prompt} {text}".strip(),
    "another language": lambda text, task: "Bitte mach dieses Stück schneller und spiel es mit einer Geige.",
    "chat marks": lambda text, task: f"[INST] {text} [/INST]",
    "response mark": lambda text, task: f"### Response: {text}",
    "half a quotation": lambda text, task: f'"{text}',
    "much too long": lambda text, task: " ".join([text] * 400),
    "cut": lambda text, task: " ".join(text.split()[: max(2, len(text.split()) // 2)]).rstrip(".,?!:") + " and the",
    "opening": drop_opening,
    "direction": turn_direction,
    "number": turn_number,
    "unit": change_unit,
    "another number": add_number,
}


class FaultyWriter:
    """Half of its texts are the template's, the others have one of `FAULTS`."""

    def write(self, tasks: Sequence[WritingTask]) -> list[str]:
        return [self._text(task) for task in tasks]

    def _text(self, task: WritingTask) -> str:
        rng = np.random.default_rng([task.seed, 1])
        text = task.from_template()
        if not chance(rng, FAULT_SHARE):
            return text
        names = tuple(FAULTS)
        spoilt = (FAULTS[names[place]](text, task) for place in rng.permutation(len(names)))
        return next(other for other in spoilt if other != text)


def _keep_case(old: str, new: str) -> str:
    return new.capitalize() if old[:1].isupper() else new
