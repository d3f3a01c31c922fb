"""Makes assets/examples: short recordings, pictures and clips that no training set contains.

    python -m recipes.nano.rendering.examples          needs the soundfonts that `DataSet.synthesis.rendering.find_soundfonts` names

Recordings are held-out combinations of the composer; pictures and clips come from seeds that training does not use.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch

from DataSet.synthesis.clips import Clip, render_clip
from DataSet.synthesis.composer import compose, is_held_out
from DataSet.synthesis.rendering import find_soundfonts, render
from DataSet.synthesis.scenes import Scene, draw
from llama.files import atomic_path
from llama.media.audio import Waveform
from llama.media.score import Attributes

FOLDER = Path(__file__).parents[3] / "assets/examples"
SECONDS, RATE = 10.0, 24_000
SEED = 900_001  # far above every seed of the training sets
PIECES = {  # held-out combinations of the composer: no training set contains them
    "violin_swing": Attributes(lead="violin", accompaniment="piano", style="swing", tempo=132, mode="major", metre=4, drums=False, key=2),
    "flute_ballad": Attributes(lead="flute", accompaniment="strings", style="ballad", tempo=72, mode="minor", metre=4, drums=True, key=9),
    "piano_waltz": Attributes(lead="piano", accompaniment="strings", style="waltz", tempo=120, mode="major", metre=3, drums=True, key=7),
    "guitar_rock": Attributes(lead="guitar", accompaniment="pad", style="rock", tempo=140, mode="minor", metre=4, drums=True, key=4),
}
SCENES = {
    "calm_sea": Scene("sea", "sunset", "clear", 0.8, 0.05, SEED),
    "night_party": Scene("party", "night", "clear", 0.95, 0.9, SEED + 1),
    "rainy_mountain": Scene("mountain", "night", "rain", 0.1, 0.05, SEED + 2),
}
CLIPS = {
    "slow_sea": Clip(SCENES["calm_sea"], "slow", "none", SEED + 3),
    "fast_city": Clip(Scene("city", "day", "clear", 0.9, 0.9, SEED + 4), "fast", "fours", SEED + 5),
}


def write_clip(frames: np.ndarray, path: Path, rate: int = 12) -> None:
    """uint8 [T, H, W, 3] -> an H.264 file, moved into place when whole."""
    with atomic_path(path) as draft, av.open(str(draft), "w") as container:
        stream = container.add_stream("h264", rate=rate, options={"crf": "26"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    soundfont = find_soundfonts()["FluidR3_GM"]
    for index, (name, attributes) in enumerate(PIECES.items()):
        assert is_held_out(attributes), f"{name} is a combination that training has seen"
        rng = np.random.default_rng(SEED + index)
        sound = render(compose(rng, attributes, SECONDS), soundfont, RATE, rng)
        Waveform(torch.from_numpy(sound), RATE).mono().write(FOLDER / f"{name}.flac")
    for name, scene in SCENES.items():
        draw(scene, (320, 240)).save(FOLDER / f"{name}.jpg", quality=88)
    for name, clip in CLIPS.items():
        write_clip(np.repeat(render_clip(clip, 160), 3, axis=0), FOLDER / f"{name}.mp4")


if __name__ == "__main__":
    main()
