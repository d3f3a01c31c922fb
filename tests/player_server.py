"""What the tests of the page's player share: a small server of sounds that may still grow, and what a browser heard of them.

PYTEST_DONT_REWRITE: test files import this by name, and pytest as a plugin, for its fixtures.
"""

from __future__ import annotations

import base64
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SCRIPTS = Path(__file__).resolve().parents[1] / "demo" / "page" / "js"
STYLES = SCRIPTS.parent / "css"
RATE = 44100  # of an audio device that Chromium plays to without one

Samples = npt.NDArray[np.float32]

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Player</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="styles.css"><body><main id="stage"></main><div id="player-bar"></div>
<script type="module">
import {transport} from './js/transport.js';
window.transport = transport;
window.heard = [];
window.record = async () => {
  await transport.context.audioWorklet.addModule('recorder.js');
  const node = new AudioWorkletNode(transport.context, 'recorder', {numberOfOutputs: 0});
  node.port.onmessage = ({data}) => window.heard.push(data);
  transport.output.connect(node);
};
window.takeHeard = () => {
  const first = heard[0]?.frame ?? 0, all = new Float32Array(heard.length ? 2 * (heard.at(-1).frame + 128 - first) : 0);
  for (const {frame, channels} of heard) {
    for (let at = 0; channels.length && at < 128; at++) {
      all[2 * (frame - first + at)] = channels[0][at];
      all[2 * (frame - first + at) + 1] = (channels[1] ?? channels[0])[at];
    }
  }
  let text = '';
  const bytes = new Uint8Array(all.buffer);
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return [first, btoa(text)];
};
window.until = (event, test) => new Promise(resolve => {
  const look = () => { if (!test()) return; transport.removeEventListener(event, look); resolve(); };
  transport.addEventListener(event, look);
  look();
});
window.longestStall = 0;  // milliseconds that the page's scripts stood still, as on a machine that is busy with other work
let looked = performance.now();
setInterval(() => {
  window.longestStall = Math.max(longestStall, performance.now() - looked);
  looked = performance.now();
}, 10);
window.ready = true;
</script></body></html>"""
# Chromium gives two calls in a row the same `currentFrame` now and then, of which the second is a block later.
RECORDER = """registerProcessor('recorder', class extends AudioWorkletProcessor {
  next = 0;
  process([input]) {
    const frame = Math.max(currentFrame, this.next);
    this.next = frame + 128;
    this.port.postMessage({frame, channels: input.map(channel => channel.slice())});
    return true;
  }
});"""


@dataclass
class Sound:
    """A file of the server. available: bytes that are written so far; changed: told when there are more.

    stall: byte after which an answer without a range waits, as on a slow network.
    """

    content: bytes
    available: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    requests: list[str] = field(default_factory=list)  # their ranges
    stall: int | None = None
    released: threading.Event = field(default_factory=threading.Event)

    def grow(self, size: int) -> None:
        with self.changed:
            self.available = min(size, len(self.content))
            self.changed.notify_all()

    def bytes_at(self, start: int) -> bytes:
        """What follows `start`, as soon as there is something; empty at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.available > start or start >= len(self.content), 30)
            return self.content[start : min(self.available, start + 65536)]


def wav(samples: Samples, rate: int = RATE) -> bytes:
    """A 16-bit WAV of (channels, frames), with a chunk of text before its samples as the page's files have."""
    pcm = np.clip(np.round(samples.T * 32768), -32768, 32767).astype("<i2").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, len(samples), rate, rate * 2 * len(samples), 2 * len(samples), 16)
    text = b"INFOISFT\x05\x00\x00\x00test\x00\x00"
    body = b"WAVE" + head + struct.pack("<4sI", b"LIST", len(text)) + text + struct.pack("<4sI", b"data", len(pcm)) + pcm
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def noise(seconds: float, seed: int, rate: int = RATE, channels: int = 2, level: float = 0.1) -> Samples:
    """Noise whose every moment differs from every other, so that recorded sound gives its position."""
    values = np.random.default_rng(seed).standard_normal((channels, round(seconds * rate))) * level
    return np.clip(np.round(values * 32768) / 32768, -0.99, 0.99).astype(np.float32)


class SoundServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sounds: dict[str, Sound] = {}
        self.address = f"http://127.0.0.1:{self.server_address[1]}/"

    def add(self, name: str, content: bytes, available: int | None = None) -> Sound:
        sound = self.sounds[name] = Sound(content, len(content) if available is None else available)
        return sound


class _Handler(BaseHTTPRequestHandler):
    server: SoundServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.split("?")[0].lstrip("/")
        if path.startswith("media/"):
            return self._sound(self.server.sounds.get(path.removeprefix("media/")))
        if path.startswith("js/") and (SCRIPTS / path[3:]).is_file():
            return self._text((SCRIPTS / path[3:]).read_text(), "text/javascript")
        styles = "\n".join(file.read_text() for file in sorted(STYLES.glob("*.css")))
        pages = {"": (PAGE, "text/html"), "recorder.js": (RECORDER, "text/javascript"), "styles.css": (styles, "text/css")}
        if path not in pages:
            return self.send_error(404)
        self._text(*pages[path])

    def _text(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _sound(self, sound: Sound | None) -> None:
        if sound is None:
            return self.send_error(404)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        at, size = int(asked[1]) if asked else 0, len(sound.content)
        sound.requests.append(self.headers.get("Range", ""))
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(size - at))
        if asked:
            self.send_header("Content-Range", f"bytes {at}-{size - 1}/{size}")
        self.end_headers()
        while at < size and (block := sound.bytes_at(at)):
            if sound.stall is not None and not asked and at >= sound.stall:
                sound.released.wait(30)
            try:
                self.wfile.write(block)
            except (BrokenPipeError, ConnectionResetError):
                return
            at += len(block)


@contextmanager
def sound_server() -> Iterator[SoundServer]:
    server = SoundServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def heard(page: Any) -> tuple[int, Samples]:
    """(frame of the audio clock, samples of two channels from there on) that the page's recorder got."""
    frame, text = page.evaluate("takeHeard()")
    return frame, np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(-1, 2).T
