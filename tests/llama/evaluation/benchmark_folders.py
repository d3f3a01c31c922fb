"""Small folders in the public forms of the benchmarks, with their oddities: what tests of formats and of answering read."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from llama.media.audio import Waveform

RATE = 8000
DASHED = "-abcDEF_123"  # YouTube's ids may begin so


def write_sound(path: Path, tone: float = 440.0, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = torch.arange(round(seconds * RATE)) / RATE
    Waveform(0.3 * torch.sin(2 * math.pi * tone * time)[None], RATE).write(path)
    return path


def write_csv(file: Path, rows: Sequence[Mapping[str, object]], *, mark: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8-sig" if mark else "utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_lines(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def talk(name: str, *pairs: tuple[str, str | None]) -> dict[str, Any]:
    turns = [{"from": speaker, "value": text} for pair in pairs for speaker, text in zip(("human", "gpt"), pair, strict=True)]
    return {"audio_name": name, "conversation": turns}


def musicqa(folder: Path) -> None:
    rows = [
        talk("1.mp3", ("What is heard?", "A piano.")),
        talk("1.mp3", ("What mood?", "Calm."), ("And the tempo?", "Slow.")),
        talk("2.mp3", ("What is heard?", "Drums.")),
        talk("gone.mp3", ("What is heard?", "A flute.")),
        talk("2.mp3", ("What mood?", None)),
        {"audio_name": "3.mp3"},
    ]
    (folder / "EvalMusicQA.json").write_text(json.dumps(rows))
    for name, tone in (("1.mp3", 300.0), ("2.flac", 500.0)):  # the list says 2.mp3
        write_sound(folder / "audios" / name, tone)


def musiccaps_row(name: str, start: int, caption: str, in_eval: bool = True) -> dict[str, object]:
    return {"ytid": name, "start_s": start, "end_s": start + 10, "audioset_positive_labels": "/m/04rlf,/m/02", "author_id": 4,
            "aspect_list": "['low quality', \"it's live\"]", "caption": caption, "is_balanced_subset": name == DASHED,
            "is_audioset_eval": in_eval}  # fmt: skip


def musiccaps(folder: Path) -> None:
    rows = [
        musiccaps_row(DASHED, 30, 'A "calm" piano,\nand strings.'),
        musiccaps_row("whole", 5, "A whole video."),
        musiccaps_row("trained", 0, "A row of AudioSet's training part.", False),
        musiccaps_row("gone", 0, "Private by now."),
        musiccaps_row("empty", 0, "  "),
    ]
    write_csv(folder / "musiccaps-public.csv", rows, mark=True)
    write_sound(folder / "audio" / f"[{DASHED}]-[30-40].wav", 300, 10)
    write_sound(folder / "audio" / "whole.ogg", 500, 20)


def sdd(folder: Path) -> None:
    def row(number: int, valid: object, track: int = 1004034) -> dict[str, object]:
        return {"caption_id": number, "track_id": track, "caption": f"Caption {number}.", "is_valid_subset": valid, "familiarity": 1,
                "artist_id": 7, "album_id": 8, "path": f"{track % 100:02}/{track}.mp3", "duration": 226.4}  # fmt: skip

    write_csv(folder / "song_describer.csv", [row(1, True), row(2, False), row(3, ""), row(4, True, 99), row(5, "True")])
    write_sound(folder / "audio" / "34" / "1004034.2min.mp3")


def muchomusic(folder: Path) -> None:
    def row(dataset: str, identifier: str, answer: str = "Drums") -> dict[str, object]:
        return {"question": "What stands out?", "correct_answer": answer, "distractor_1_answer": "A guitar",
                "distractor_2_answer": "A kazoo, loud", "distractor_3_answer": "Silence", "dataset": dataset,
                "dataset_identifier": identifier, "genre": "rock", "music_knowledge": "['instrumentation', \"performer's voice\"]",
                "music_reasoning": "[]"}  # fmt: skip

    rows = [row("sdd", "1004034.json"), row("musiccaps", f"{DASHED}_0.json"), row("musiccaps", "whole_12.json"),
            row("sdd", "1004034.json", "A choir"), row("musiccaps", "unknown_1.json"), row("fma", "1.json"),
            row("sdd", "1004034.json", "")]  # fmt: skip
    write_csv(folder / "muchomusic.csv", rows)
    musiccaps(folder / "musiccaps")
    sdd(folder / "sdd")


def mmau(folder: Path) -> None:
    def row(name: str, choices: Sequence[str], answer: str, task: str = "music") -> dict[str, object]:
        return {"id": name, "audio_id": f"./test-mini-audios/{name}.wav", "question": f"Which, {name}?", "choices": choices,
                "answer": answer, "dataset": "x", "task": task, "split": "test-mini", "category": "Reasoning",
                "sub-category": "Tempo", "difficulty": "easy"}  # fmt: skip

    rows = [row("a", ["Fast ", "Slow"], "fast"), row("b", ["(A) Man", "(B) Woman", "(C) Child"], "(B) Woman"),
            row("c", ["1", "2", "3", "4", "5", "6"], ""), row("d", ["Yes", "No"], "Maybe"), row("e", ["x", "y"], "x", "speech"),
            row("a", ["Fast", "Slow"], "Slow"), row("f", ["x"], "x")]  # fmt: skip
    (folder / "mmau-test-mini.json").write_text(json.dumps(rows))
    for index, name in enumerate("abce"):
        write_sound(folder / "test-mini-audios" / f"{name}.wav", 300 + 50 * index)


def mmar(folder: Path) -> None:
    def row(name: str, choices: Sequence[str], answer: str, modality: str = "music") -> dict[str, object]:
        return {"id": name, "audio_path": f"./audio/{name}.wav", "question": "Which?", "choices": choices, "answer": answer,
                "modality": modality, "category": "Signal Layer", "sub-category": "x", "language": "en", "source": "youtube",
                "url": "u", "timestamp": "00:01,00:09"}  # fmt: skip

    write_lines(folder / "MMAR-meta.jsonl", [row("BV1_00-01", ["two", "six"], "six"), row(DASHED, list("abcdef"), "f"),
                                             row("speech", ["x", "y"], "x", "speech")])  # fmt: skip
    for index, name in enumerate(("BV1_00-01", DASHED, "speech")):
        write_sound(folder / "audio" / f"{name}.wav", 300 + 50 * index)


def write_parquet(file: Path, rows: Sequence[dict[str, Any]], group: int = 2) -> None:
    from pyarrow import Table, parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(Table.from_pylist(list(rows)), file, row_group_size=group)


def mmau_pro(folder: Path) -> None:
    def row(category: str, paths: list[str], choices: list[str] | None, answer: str) -> dict[str, Any]:
        return {"id": f"{category}-{len(paths)}", "audio_path": paths, "question": "What?", "answer": answer, "choices": choices,
                "category": category, "task_identifier": "count" if category.startswith("inst") else None, "kwargs": None}  # fmt: skip

    write_parquet(folder / "test.parquet", [
        row("music", ["data/a.wav"], ["Jazz", "Rock"], "Rock"), row("open", ["data/b.wav"], None, "A long text."),
        row("instruction following", ["data/b.wav"], None, ""), row("multi", ["data/a.wav", "data/b.wav"], ["x", "y"], "x"),
        row("sound", [], ["x", "y"], "x")])  # fmt: skip
    for index, name in enumerate("ab"):
        write_sound(folder / "data" / f"{name}.wav", 300 + 50 * index)


def hummusqa(folder: Path) -> None:
    def row(track: int, times: tuple[object, object], seconds: float, answer: str = "Drums") -> dict[str, Any]:
        content = write_sound(folder / "made.flac", 300.0 + track, seconds).read_bytes()
        return {"question": "Which?", "answer": answer, "distractor_1": "Bass", "distractor_2": "Flute", "distractor_3": "Choir",
                "main_category": "Sound", "secondary_categories": ["Timbre", "Texture"], "difficulty": "hard", "jamendo_id": track,
                "excerpt_start_time": str(times[0]), "excerpt_end_time": str(times[1]), "song_license_url": "u",
                "audio": {"bytes": content, "path": None}}  # fmt: skip

    rows = [row(1, (0, 2), 2.0), row(1, (3, 5), 8.0), row(2, ("0:01", "0:03"), 6.0), row(3, (0, 2), 2.0, "")]
    write_parquet(folder / "data" / "train-00000-of-00001.parquet", rows)
    (folder / "made.flac").unlink()


def cmi(folder: Path) -> None:
    def row(name: str, split: str, output: object = "C major", end: float = 30.0) -> dict[str, object]:
        return {"instruction": "Estimate the key.", "input": "<|SOA|><AUDIO><|EOA|>", "output": output, "uuid": "", "split": [split],
                "task_type": {"major": ["multi-class"], "minor": ["key_detection"]}, "domain": "music",
                "audio_path": [f"data/GS-key/wav/{name}.wav"], "audio_start": 0.0, "audio_end": end, "source": "x",
                "other": {"tag": "null"}}  # fmt: skip

    rows = [row("a", "train"), row("a", "test"), row("b", "test", ["guitar", "drums"], -1), row("gone", "test"), row("b", "dev")]
    write_lines(folder / "data" / "GS-key" / "CMI_GS_key.jsonl", rows)
    write_lines(folder / "data" / "MusicCaps" / "CMI_GS_copy.jsonl", rows[:2])  # one public list stands in two folders
    for index, name in enumerate("ab"):
        write_sound(folder / "data" / "GS-key" / "wav" / f"{name}.wav", 300 + 50 * index)


WRITERS: dict[str, Callable[[Path], None]] = {
    "musicqa": musicqa, "musiccaps": musiccaps, "sdd": sdd, "muchomusic": muchomusic, "mmau": mmau, "mmar": mmar,
    "mmau-pro": mmau_pro, "hummusqa": hummusqa, "cmi": cmi}  # fmt: skip
