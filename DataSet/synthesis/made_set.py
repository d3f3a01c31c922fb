"""Writes a small synthetic data set with full labels in the published JSON forms, without any download.

    python -m DataSet.synthesis.made_set FOLDER --pieces 240 --seed 0
    python -m DataSet.synthesis.made_set FOLDER --pieces 240 --listening    # one question, whose answer is only in the sound

Music is played with the recorded notes that lie in ckpts/nano/decoder, so no soundfont is needed. Item number i is the
same in a set of any size. A set that was stopped half way goes on where it stopped; one that is whole is left alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DataSet.synthesis import dialogues, edits, hearing
from DataSet.synthesis.clips import Clip, random_clip, render_clip
from DataSet.synthesis.composer import compose, is_held_out, sample_attributes
from DataSet.synthesis.dialogue import AUDIO_TOKENS, Dialogue
from DataSet.synthesis.habits import as_typed
from DataSet.synthesis.made_folder import ORIGIN, Contents, Log, Writer, make_folder
from DataSet.synthesis.scenes import Scene, draw, random_scene
from DataSet.synthesis.wishes import full_caption
from llama.console import CommandParser, run_command
from llama.decoders.notes.sampler import SAMPLE_RATE, BankEntry, Sampler
from llama.files import atomic_path
from llama.json_yaml import read_table
from llama.media.audio import Waveform
from llama.media.score import Attributes

DECODER = Path(__file__).resolve().parents[2] / "ckpts/nano/decoder"
SHORTEST, LONGEST = 6.0, 10.0  # seconds of a piece
PICTURE, FRAME, FRAME_RATE = (128, 128), 96, 8
# Without threads and assembler code, for the same bytes each time: x264's fast routines read uninitialised memory.
H264 = {"crf": "18", "threads": "1", "x264-params": "asm=0"}
LISTENING_LEADS = ("guitar", "trumpet", "flute", "synthesizer")  # easy to tell apart for a small encoder
LISTENING_QUESTION = "Which instrument plays the melody?"

LoadSampler = Callable[[], Sampler]


@dataclass(frozen=True)
class SyntheticPiece:
    """A recording to synthesize. Equal seeds of the composer keep what an edit does not change."""

    attributes: Attributes
    seconds: float
    seed: tuple[int, ...]

    def write(self, player: LoadSampler, path: Path) -> None:
        stereo = player().render(compose(np.random.default_rng(self.seed), self.attributes, self.seconds))
        Waveform(torch.from_numpy(stereo), SAMPLE_RATE).mono().write(path)


def make_set(folder: str | Path, pieces: int, seed: int, log: Log = print) -> None:
    """Write the whole set: `pieces` recordings with captions and two questions each, and what goes with them.

    MUCaps.json, MusicQA.json, MUEditInstructions.json name files of audios/ (mono Ogg, 32 kHz, 6 to 10 s); COCO.json and
    MUImageInstructions.json of images/ (half as many), MUVideo_captions.json and MUVideoInstructions.json of videos/ (a
    quarter); alpaca.json is words alone. The music that instructions ask for lies in audios/.

    Raises `ValueError` for a number that cannot be, and for a folder that holds something else.
    """
    _check(pieces, seed)
    make_folder(folder, {"set": "made", "pieces": pieces, "seed": seed}, partial(_plan_full_set, pieces, seed), log)


def true_attributes(folder: str | Path) -> dict[str, dict[str, Any]]:
    """What is known of each file of a made set: its path in the folder -> attributes of the piece, or labels of the picture or clip.

    They follow from made.json alone, so folders of earlier versions have them, too. Raises `FileNotFoundError` or `ValueError` for a
    folder that holds no set.
    """
    kind, pieces, seed = _read_origin(Path(folder))
    if kind == "listening":
        return _labels_of_music(_draw_listening_set(pieces, seed))
    drawn = _draw_full_set(pieces, seed)
    scenes = {f"images/scene_{i:05}.jpg": scene.labels() for i, scene in enumerate(drawn.scenes)}
    return _labels_of_music(drawn.music) | scenes | {f"videos/clip_{i:05}.mp4": clip.labels() for i, clip in enumerate(drawn.clips)}


def composed_pieces(folder: str | Path) -> dict[str, SyntheticPiece]:
    """The piece of each recording of a made set, by its path in the folder: with its length and its seed, its score can be written again.

    Raises as `true_attributes` does.
    """
    kind, pieces, seed = _read_origin(Path(folder))
    music = _draw_listening_set(pieces, seed) if kind == "listening" else _draw_full_set(pieces, seed).music
    return {f"audios/{name}": piece for name, piece in music.items()}


def _read_origin(folder: Path) -> tuple[str, int, int]:
    """The kind of a made set, its number of pieces and its seed."""
    if not (folder / ORIGIN).is_file():
        raise FileNotFoundError(f"{folder} holds no made set ({ORIGIN} is missing); make one with python -m DataSet.synthesis.made_set.")
    origin = read_table(folder / ORIGIN)
    if origin.get("set") not in ("made", "listening") or not all(type(origin.get(name)) is int for name in ("pieces", "seed")):
        raise ValueError(f"{folder / ORIGIN} describes no made set; make one with python -m DataSet.synthesis.made_set.")
    _check(origin["pieces"], origin["seed"])
    return origin["set"], origin["pieces"], origin["seed"]


def listening_set(folder: str | Path, pieces: int, seed: int, log: Log = print) -> None:
    """Write MusicQA.json and audios/: one question, the lead instrument, in the same words for every recording.

    Each of `LISTENING_LEADS` is right equally often (in turn), and all other attributes are independent of it, so a model
    that does not use the recording is right in one case of four.
    """
    _check(pieces, seed)
    make_folder(folder, {"set": "listening", "pieces": pieces, "seed": seed}, partial(_plan_listening_set, pieces, seed), log)


def load_sampler(folder: Path = DECODER) -> Sampler:
    """The sampler of a decoder folder, without its language model. Raises `FileNotFoundError` where there is none."""
    from safetensors import safe_open

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no decoder with recorded notes in {folder}; get the folder ckpts/nano of the repository.")
    entries = read_table(folder / "config.json")["audio_encoder"]["entries"]
    with safe_open(str(folder / "model.safetensors"), "pt") as weights:
        bank = weights.get_tensor("audio_encoder.bank").numpy().tobytes()
    return Sampler(bank, [BankEntry(int(p), int(k), int(o), int(n), float(g)) for p, k, o, n, g in entries])


# -- what is in a set ---------------------------------------------------------------------------------------------


def _rng(seed: int, what: str, index: int) -> np.random.Generator:
    return np.random.default_rng(_seed(seed, what, index))


def _seed(seed: int, what: str, index: int) -> tuple[int, ...]:
    return seed, zlib.crc32(what.encode()), index


def _piece(seed: int, what: str, index: int, attributes: Attributes) -> SyntheticPiece:
    seconds = round(float(_rng(seed, f"{what} length", index).uniform(SHORTEST, LONGEST)), 1)
    return SyntheticPiece(attributes, seconds, _seed(seed, f"{what} notes", index))


@dataclass(frozen=True)
class _FullSet:
    """What a whole set is made of. asked: table of instructions -> its rows, each with the music that it asks for."""

    heard: Sequence[SyntheticPiece]
    scenes: Sequence[Scene]
    clips: Sequence[Clip]
    asked: Mapping[str, Sequence[tuple[dict[str, Any], SyntheticPiece]]]

    @property
    def music(self) -> dict[str, SyntheticPiece]:
        """File in audios/ -> its piece."""
        made = {f"heard_{i:05}.ogg": piece for i, piece in enumerate(self.heard)}
        return made | {row["output_file"]: piece for found in self.asked.values() for row, piece in found}


def _draw_full_set(pieces: int, seed: int) -> _FullSet:
    heard = [_piece(seed, "heard", i, sample_attributes(_rng(seed, "heard", i))) for i in range(pieces)]
    scenes = [random_scene(_rng(seed, "scene", i)) for i in range(max(1, pieces // 2))]
    clips = [random_clip(_rng(seed, "clip", i)) for i in range(max(1, pieces // 4))]
    return _FullSet(heard, scenes, clips, {
        "MUEditInstructions.json": [_edit(seed, i, heard[i]) for i in range(len(clips))],
        "MUImageInstructions.json": [_picture(seed, i, scenes[i]) for i in range(len(clips))],
        "MUVideoInstructions.json": [_clip(seed, i, clip) for i, clip in enumerate(clips)],
    })


def _plan_full_set(pieces: int, seed: int) -> Contents:
    drawn = _draw_full_set(pieces, seed)
    tables = {
        "MUCaps.json": {f"heard_{i:05}.ogg": full_caption(piece.attributes) for i, piece in enumerate(drawn.heard)},
        "MusicQA.json": [row for i, piece in enumerate(drawn.heard) for row in _questions(seed, i, piece.attributes)],
        "COCO.json": {f"scene_{i:05}.jpg": _visual_caption(dialogues.picture, scene.labels()) for i, scene in enumerate(drawn.scenes)},
        "MUVideo_captions.json": {
            f"clip_{i:05}.mp4": _visual_caption(dialogues.clip, clip.labels()) for i, clip in enumerate(drawn.clips)
        },
        "alpaca.json": [_talk(seed, i) for i in range(pieces)],
        **{name: [row for row, _ in found] for name, found in drawn.asked.items()},
    }
    sights: dict[str, Writer] = {f"images/scene_{i:05}.jpg": partial(_write_picture, scene) for i, scene in enumerate(drawn.scenes)}
    sights |= {f"videos/clip_{i:05}.mp4": partial(write_clip, clip) for i, clip in enumerate(drawn.clips)}
    return Contents(tables, _recordings(drawn.music) | sights)


def _plan_listening_set(pieces: int, seed: int) -> Contents:
    made = _draw_listening_set(pieces, seed)
    rows = [_question(name, LISTENING_QUESTION, f"The {piece.attributes.lead} plays the melody.") for name, piece in made.items()]
    return Contents({"MusicQA.json": rows}, _recordings(made))


def _draw_listening_set(pieces: int, seed: int) -> dict[str, SyntheticPiece]:
    return {f"heard_{i:05}.ogg": _piece(seed, "listening", i, _attributes_with_lead(seed, i)) for i in range(pieces)}


def _labels_of_music(pieces: Mapping[str, SyntheticPiece]) -> dict[str, dict[str, Any]]:
    return {f"audios/{name}": dataclasses.asdict(piece.attributes) for name, piece in pieces.items()}


def _attributes_with_lead(seed: int, index: int) -> Attributes:
    """A training combination with the leads in turn, over an accompaniment that is none of them."""
    rng, lead = _rng(seed, "listening", index), LISTENING_LEADS[index % len(LISTENING_LEADS)]
    while True:
        attributes = dataclasses.replace(sample_attributes(rng), lead=lead)
        if not is_held_out(attributes) and attributes.accompaniment not in LISTENING_LEADS:
            return attributes


def _recordings(pieces: Mapping[str, SyntheticPiece]) -> dict[str, Writer]:
    player = cache(load_sampler)  # one for all, opened when the first is played, let go with them
    return {f"audios/{name}": partial(piece.write, player) for name, piece in pieces.items()}


# -- what is said -------------------------------------------------------------------------------------------------


def _sample_until(say: Callable[[], Dialogue], fits: Callable[[Dialogue], bool]) -> Dialogue:
    while not fits(dialogue := say()):
        pass
    return dialogue


def _question(name: str, question: str, answer: str) -> dict[str, Any]:
    return {"audio_name": name, "conversation": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}


def _questions(seed: int, index: int, piece: Attributes) -> list[dict[str, Any]]:
    """Two questions of different kinds about a recording."""
    rng = _rng(seed, "question", index)
    first = _sample_until(lambda: hearing.hear(rng, piece), lambda dialogue: bool(dialogue.instruction))
    second = _sample_until(lambda: hearing.hear(rng, piece), lambda dialogue: bool(dialogue.instruction) and dialogue.kind != first.kind)
    return [_question(f"heard_{index:05}.ogg", as_typed(rng, dialogue.instruction), dialogue.answer) for dialogue in (first, second)]


def _talk(seed: int, index: int) -> dict[str, str]:
    rng = _rng(seed, "talk", index)
    dialogue = _sample_until(lambda: dialogues.talk(rng), lambda dialogue: bool(dialogue.instruction))
    return {"instruction": as_typed(rng, dialogue.instruction), "input": "", "output": dialogue.answer}


def _visual_caption(speak: Callable[[np.random.Generator, Mapping[str, str]], Dialogue], labels: Mapping[str, str]) -> str:
    """A fixed one-sentence caption of a picture or clip: the answer to a question about it."""
    rng = np.random.default_rng(0)
    return _sample_until(lambda: speak(rng, labels), lambda dialogue: dialogue.caption is None).answer


def _edit(seed: int, index: int, source: SyntheticPiece) -> tuple[dict[str, Any], SyntheticPiece]:
    rng = _rng(seed, "edit", index)
    dialogue = _sample_until(lambda: edits.edit(rng, source.attributes), lambda dialogue: dialogue.kind == "like" or dialogue.piece != source.attributes)
    row = _instruction("audio", f"heard_{index:05}.ogg", f"edited_{index:05}.ogg", full_caption(source.attributes, key=True), dialogue, rng)
    return row, dataclasses.replace(source, attributes=dialogue.announced_piece)


def _picture(seed: int, index: int, scene: Scene) -> tuple[dict[str, Any], SyntheticPiece]:
    return _for_sight(seed, index, "image", ("scene", "jpg"), scene.labels(), dialogues.picture)


def _clip(seed: int, index: int, clip: Clip) -> tuple[dict[str, Any], SyntheticPiece]:
    return _for_sight(seed, index, "video", ("clip", "mp4"), clip.labels(), dialogues.clip)


def _for_sight(
    seed: int, index: int, modality: str, file: tuple[str, str], labels: Mapping[str, str], speak: Callable[..., Dialogue]
) -> tuple[dict[str, Any], SyntheticPiece]:
    rng, (name, suffix) = _rng(seed, f"for {modality}", index), file
    dialogue = _sample_until(lambda: speak(rng, labels), lambda dialogue: dialogue.caption is not None)
    row = _instruction(modality, f"{name}_{index:05}.{suffix}", f"for_{name}_{index:05}.ogg", _visual_caption(speak, labels), dialogue, rng)
    return row, _piece(seed, f"for {modality}", index, dialogue.announced_piece)


def _instruction(
    modality: str, input_file: str, output_file: str, caption: str, dialogue: Dialogue, rng: np.random.Generator
) -> dict[str, Any]:
    """One entry of the published form: `value` without the audio tokens, which training adds."""
    human = {"from": "human", "value": as_typed(rng, dialogue.instruction), "input_modality": modality, "caption": caption}
    answer = dialogue.answer.removesuffix(AUDIO_TOKENS).strip()
    gpt = {"from": "gpt", "value": answer, "caption": dialogue.caption, "output_modality": "audio"}
    return {"input_file": input_file, "output_file": output_file, "conversation": [human, gpt]}


# -- how it comes to disk -----------------------------------------------------------------------------------------


def _write_picture(scene: Scene, path: Path) -> None:
    with atomic_path(path, fsync=False) as draft:
        draw(scene, PICTURE).save(draft, "JPEG", quality=90)


def write_clip(clip: Clip, path: Path) -> None:
    import av

    with atomic_path(path, fsync=False) as draft, av.open(str(draft), "w") as container:
        stream = container.add_stream("h264", rate=FRAME_RATE, options=H264)
        stream.width, stream.height, stream.pix_fmt = FRAME, FRAME, "yuv420p"
        for frame in render_clip(clip, FRAME):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def _check(pieces: int, seed: int) -> None:
    if not 1 <= pieces <= 99_999:
        raise ValueError(f"A set of {pieces} pieces cannot be made; ask for 1 to 99999.")
    if seed < 0:
        raise ValueError(f"The seed is {seed}; give a whole number from 0 on.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one sentence on what was wrong."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=240, help="recordings that are listened to (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--listening", action="store_true", help="one question whose answer is only in the sound, and nothing else")
    return parser


def _run(options: argparse.Namespace) -> int:
    (listening_set if options.listening else make_set)(options.folder, options.pieces, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
