"""Music judge: asks a checkpoint whether a recording is music, in its own words."""

from __future__ import annotations

import re
from pathlib import Path

from DataSet.pipeline.model_identity import identity
from llama.media.audio import Waveform

QUESTION = "Is this music?"
SECONDS, MOST_WINDOWS = 10.0, 3  # of a recording that are asked about, spread over it
MAX_TOKENS = 40
NEGATION = re.compile(r"\bonly (noise|silence|speech)\b|\b(no|not|isn't|without)( a| any| really)? music\b|^\W*no\b", re.IGNORECASE)


class MusicJudge:
    """A checkpoint in the project's format, such as ckpts/nano, that answers questions about recordings."""

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        from llama.mumu_llama import load

        self.model = load(folder, device=device)
        self.identity = {**identity(str(folder), None, local=True), "question": QUESTION, "windows": MOST_WINDOWS}

    def share(self, wave: Waveform) -> float:
        """Share of the windows of a recording that the model calls music."""
        from llama.dialogue import Turn
        from llama.generation import GenerationOptions

        turns = [Turn(QUESTION, audio=window) for window in windows(wave)]
        replies = self.model.respond(turns, GenerationOptions(max_tokens=MAX_TOKENS, music=False))
        return sum(says_music(reply.text) for reply in replies) / len(replies)


def windows(wave: Waveform) -> list[Waveform]:
    """Up to MOST_WINDOWS windows of SECONDS, spread from the start to the end."""
    size = round(SECONDS * wave.sample_rate)
    spare = wave.samples.shape[1] - size
    if spare <= 0:
        return [wave]
    count = min(MOST_WINDOWS, 1 + -(-spare // size))
    starts = [round(spare * index / (count - 1)) for index in range(count)]
    return [Waveform(wave.samples[:, start : start + size].contiguous(), wave.sample_rate) for start in starts]


def says_music(answer: str) -> bool:
    """Whether an answer to QUESTION says that a recording is music, or describes it as such."""
    return not NEGATION.search(answer)
