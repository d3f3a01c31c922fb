"""Load test of the real server: `gradio_app.py` in its own process, with HTTP clients in a loop."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import soundfile

from benchmarks.damaged import send_damaged
from demo.service.audio_files import pcm, wav_header
from llama.dialogue import Reply, Turn
from llama.generation import GenerationOptions
from llama.mumu_llama import MuMuLLaMA

ROOT = Path(__file__).parents[1]
EXAMPLES = ("violin_swing", "piano_waltz", "flute_ballad", "guitar_rock")
CUTS_PER_EXAMPLE = 3  # recordings made of each example
PROMPTS = ("A slow, sad piano piece", "A fast dance for trumpet with drums", "A waltz for violin", "Calm music for a flute")
QUESTIONS = ("How fast is it?", "Which instrument plays?", "Describe this recording.")
EDITS = ("Make it faster and add drums", "Make it slower", "Play it with a flute instead")
SECONDS = 10.0  # of a piece
READ_TIMEOUT = 300.0  # seconds without a byte, after which an answer counts as lost

Json = dict[str, Any]


@dataclass(frozen=True)
class ExpectedAnswer:
    """A request with the model's answer to it alone: text, and sound as a WAV file."""

    body: Json
    words: str
    sound: bytes


@dataclass(frozen=True)
class Answer:
    """Seconds from the request to the first word, the first sound (None: there was none) and the end."""

    right: bool
    first_word: float | None
    first_sound: float | None
    whole: float


@dataclass
class LoadResult:
    """Result of one run: answers, reasons of lost ones, and the memory of the server's processes in MB, once a second.

    damaged: statuses of the answers to damaged files.
    """

    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return sum(not answer.right for answer in self.answers)

    @property
    def rate(self) -> float:
        return len(self.answers) / self.seconds

    def times(self, name: str) -> list[float]:
        return sorted(value for answer in self.answers if (value := getattr(answer, name)) is not None)


# -- requests --------------------------------------------------------------------------------------------------


def make_requests(model: MuMuLLaMA, folder: Path) -> list[ExpectedAnswer]:
    """Text to music, a question and an edit in turn; every recording is its own and lies in `folder`."""
    requests: list[ExpectedAnswer] = []
    for number, file in enumerate(recordings(folder)):
        music = GenerationOptions(seconds=SECONDS, seed=number)
        requests += [
            make_request(model, PROMPTS[number % len(PROMPTS)], None, music),
            make_request(model, QUESTIONS[number % len(QUESTIONS)], file, GenerationOptions(seed=number, music=False)),
            make_request(model, EDITS[number % len(EDITS)], file, music),
        ]
    return requests


def recordings(folder: Path) -> list[Path]:
    """Parts of the examples, each beginning elsewhere, as wav files."""
    files = []
    for cut in range(CUTS_PER_EXAMPLE):
        for name in EXAMPLES:
            samples, rate = soundfile.read(ROOT / f"assets/examples/{name}.flac")
            files.append(folder / f"{name}_{cut}.wav")
            soundfile.write(files[-1], samples[cut * rate // 2 :], rate)
    return files


def make_request(model: MuMuLLaMA, text: str, file: Path | None, options: GenerationOptions) -> ExpectedAnswer:
    """A request to the API, and the model's own answer."""
    reply: Reply = model.respond(Turn(text, audio=file), options)
    parts: list[Json] = [{"type": "text", "text": text}]
    if file is not None:
        data = base64.b64encode(file.read_bytes()).decode()
        parts.append({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    body: Json = {"messages": [{"role": "user", "content": parts}], "stream": True, "seed": options.seed, "seconds": options.seconds}
    if options.music:
        body |= {"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "any"}}
    music = reply.music
    sound = b"" if music is None else wav_header(music.seconds, music.sample_rate, len(music.samples)) + pcm(music)
    return ExpectedAnswer(body, reply.text, sound)


# -- the server -------------------------------------------------------------------------------------------------


@contextmanager
def server(model: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """`gradio_app.py` on a free port: its address and the id of its process. Raises RuntimeError where it does not start."""
    command = [sys.executable, str(ROOT / "gradio_app.py"), "--model", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **environment}) as process:
        try:
            assert process.stdout is not None
            match = next((match for line in process.stdout if (match := re.search(r"http://\S+:\d+", line))), None)
            if match is None:
                raise RuntimeError("The server did not start; run python gradio_app.py to see why.")
            yield match[0], process.pid
        finally:
            process.terminate()


def memory(process: int) -> float | None:
    """Resident memory of a process and its children in MB; None where /proc does not report it."""
    try:
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return None
    return (int(match[1]) / 1000 if match else 0.0) + sum(memory(int(child)) or 0.0 for child in children)


# -- the clients ------------------------------------------------------------------------------------------------


def ask(client: httpx.Client, request: ExpectedAnswer) -> Answer:
    """One answer, read as it streams. Raises RuntimeError where the server refuses, httpx.HTTPError where it is cut off."""
    started = time.perf_counter()
    words, sound, first = "", b"", dict[str, float]()
    with client.stream("POST", "/v1/chat/completions", json=request.body) as response:
        if response.status_code != httpx.codes.OK:
            raise RuntimeError(f"status {response.status_code}: {response.read().decode()}")
        for delta in _deltas(response):
            words += delta.get("content") or ""
            sound += base64.b64decode((delta.get("audio") or {}).get("data", ""))
            for name, received in (("word", words), ("sound", sound)):
                if received:
                    first.setdefault(name, time.perf_counter() - started)
    right = words == request.words and sound == request.sound
    return Answer(right, first.get("word"), first.get("sound"), time.perf_counter() - started)


def _deltas(response: httpx.Response) -> Iterator[Json]:
    """The delta of each event. Raises RuntimeError for an error event, or if the last event is missing."""
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                raise RuntimeError(event["error"]["message"])
            yield from (choice["delta"] for choice in event["choices"])
    raise RuntimeError("the answer broke off")


def run_clients(
    address: str, process: int, requests: list[ExpectedAnswer], clients: int, seconds: float, damaged: float = 0.0
) -> LoadResult:
    """`clients` that each ask again as soon as they are answered, for so many seconds; each begins with another request.

    damaged: share of requests that are sent with a damaged file instead.
    """
    result, started, stop = LoadResult(), time.perf_counter(), threading.Event()

    def run(number: int) -> None:
        rng = random.Random(number)
        with httpx.Client(base_url=address, timeout=READ_TIMEOUT) as client:
            while not stop.is_set():
                try:
                    if rng.random() < damaged:
                        result.damaged.append(send_damaged(client, rng))
                    else:
                        result.answers.append(ask(client, requests[number % len(requests)]))
                except (httpx.HTTPError, RuntimeError) as error:  # counted, and told at the end
                    result.lost.append(f"{type(error).__name__}: {error}")
                number += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while time.perf_counter() - started < seconds:
        megabytes = memory(process)
        result.memory += [megabytes] if megabytes is not None else []
        time.sleep(min(1.0, seconds))
    stop.set()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - started
    return result
