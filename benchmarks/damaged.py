"""Requests with damaged media for the load test of the server: each must be answered or refused, and disturb no other."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
PARTS = {  # suffix of an example -> how its content is sent
    ".flac": lambda data: {"type": "input_audio", "input_audio": {"data": data, "format": "flac"}},
    ".jpg": lambda data: {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}},
    ".mp4": lambda data: {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}},
}
FLIPS = 24  # bytes of a file that are changed
ERROR = 500  # statuses from here on blame the server


def damaged_request(rng: random.Random) -> dict[str, Any]:
    """A question about an example whose bytes are changed, cut off or repeated, as the body of a request."""
    files = [file for file in sorted((ROOT / "assets/examples").iterdir()) if file.suffix in PARTS]
    file = rng.choice(files)
    data = base64.b64encode(damage(file.read_bytes(), rng)).decode()
    parts = [{"type": "text", "text": "What is this?"}, PARTS[file.suffix](data)]
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": 20, "seed": rng.randrange(1000)}


def damage(content: bytes, rng: random.Random) -> bytes:
    """The content with some bytes changed (half of the time among the first 200), and in a third of the cases cut off."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, FLIPS)):
        changed[rng.randrange(min(200, len(changed)) if rng.random() < 0.5 else len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(1, len(changed))] if rng.random() < 1 / 3 else changed)


def send_damaged(client: httpx.Client, rng: random.Random) -> int:
    """The status of the answer to a damaged request. Raises RuntimeError if the server takes the blame or says nothing."""
    response = client.post("/v1/chat/completions", json=damaged_request(rng))
    if response.status_code >= ERROR:
        raise RuntimeError(f"status {response.status_code} to a damaged file: {response.text}")
    if response.status_code != httpx.codes.OK and not response.json()["error"]["message"]:
        raise RuntimeError(f"status {response.status_code} to a damaged file, without a sentence")
    return response.status_code
