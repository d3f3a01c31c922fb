"""What the tests of the page's score share: a small application with real scores, stems and sheet music, and a page that draws them.

PYTEST_DONT_REWRITE: test files import this by name, and pytest as a plugin, for its fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from DataSet.synthesis.composer import compose
from demo.page.page_assets import PageAssets
from demo.server.export_routes import export_router
from demo.server.media_routes import media_router
from demo.service.media_probe import Limits
from demo.service.score_view import part_names
from demo.service.service import ChatService
from demo.service.sessions import Session, Sessions, export_url, media_url
from llama import Waveform
from llama.decoders.base import ScoreEditor
from llama.media.score import TRACKS, Attributes, Note, Score
from tests.page_server import running
from tests.scripted_engine import ScriptedEngine

RATE = 8000
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Score</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="score.css"><style>
:root { --body-text-color: #1f2937; --body-text-color-subdued: #4b5563; --body-background-fill: #fff; --background-fill-primary: #fff;
  --background-fill-secondary: #f3f4f6; --border-color-primary: #d1d5db; --color-accent: #4f46e5; --primary-600: #4f46e5; }
.dark { --body-text-color: #f3f4f6; --body-text-color-subdued: #b0b7c3; --body-background-fill: #0b0f19; --background-fill-primary: #0b0f19;
  --background-fill-secondary: #1f2937; --border-color-primary: #374151; --color-accent: #818cf8; }
body { margin: 16px; font: 15px system-ui; background: var(--body-background-fill); color: var(--body-text-color); }
[hidden] { display: none !important; }
</style><body><main><h1>Score</h1><div id="stage"></div></main><script type="module">
import {transport} from './js/transport.js';
import {createRoll} from './js/roll.js';
Object.assign(window, {transport, createRoll, acts: [], refusal: ''});
window.act = async (name, fields) => { acts.push({name, ...fields}); if (refusal) throw new Error(refusal); return {}; };
window.show = version => { window.roll?.destroy(); window.roll = createRoll(stage, version, {transport, act}); };
window.ready = true;
</script></body></html>"""


class SineDecoder(ScoreEditor):
    """Plays each part as sine waves, each at its own level."""

    sample_rate, channels = RATE, 2
    edits_scores = True

    def render_stems(self, score: Score) -> dict[str, Waveform]:
        return {name: Waveform(_sines(score, name), RATE) for name in TRACKS if score.track(name)}

    def render(self, score: Score) -> Waveform:
        return Waveform(torch.stack([stem.samples for stem in self.render_stems(score).values()]).sum(0), RATE)

    def render_loop(self, score: Score, first: int, last: int) -> Waveform:
        return self.render(score)


def _sines(score: Score, name: str) -> torch.Tensor:
    sound = np.zeros((2, round(score.seconds * RATE)), np.float32)
    for note in score.track(name):
        start, length = round(note.start * RATE), round(note.duration * RATE)
        times = np.arange(len(sound[0, start : start + length])) / RATE
        sound[:, start : start + length] += np.float32(0.03 * np.sin(2 * np.pi * 440 * 2 ** ((note.pitch - 69) / 12) * times))
    return torch.from_numpy(sound)


class RollSite:
    """The application's address, and pieces in a session of it."""

    def __init__(self, address: str, service: ChatService, session: Session) -> None:
        self.address, self.service, self.session = address, service, session

    def version(self, name: str, score: Score | None, *, silent: bool = False) -> dict[str, Any]:
        """The facts of a piece as a card has them. silent: with zeros for its sound, for long pieces."""
        sound, token = self.session.folder / f"{name}.wav", self.session.token
        seconds = score.seconds if score is not None else 2.0
        music = Waveform(torch.zeros(2, round(seconds * RATE)), RATE) if score is None or silent else SineDecoder().render(score)
        music.write(sound)
        facts = {"id": name, "kind": "take", "label": "New music", "title": f"Piece {name}",
                 "url": media_url(token, sound.name), "seconds": seconds, "made": seconds, "complete": True, "pcm": True,
                 "score": None, "stems": None, "sheet": None}  # fmt: skip
        if score is None:
            return facts
        self.service.sessions.scores.add(sound, score)
        stems = {part: export_url(token, sound.name, "stem") + f"?part={part}" for part in part_names(score)}
        return {**facts, "score": export_url(token, sound.name, "score"), "stems": stems, "sheet": export_url(token, sound.name, "sheet")}


@contextmanager
def roll_site(folder: Path) -> Iterator[RollSite]:
    engine, sessions = ScriptedEngine(), Sessions(folder / "sessions")
    engine.model.music_decoder = SineDecoder()
    service = ChatService(engine, sessions, Limits())  # type: ignore[arg-type]
    app = FastAPI()
    app.include_router(media_router(sessions))
    app.include_router(export_router(service))
    assets = PageAssets.read()

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.get("/{name}.css")
    def style(name: str) -> Response:
        return Response(assets.files[f"{name}.css"], media_type="text/css")

    @app.get("/js/{name}")
    def module(name: str) -> Response:
        return Response(assets.files[name], media_type="text/javascript")

    with running(app) as (address, _):
        yield RollSite(address, service, sessions.open())
    sessions.close_all()


def song(seconds: float = 20.0, *, drums: bool = True, seed: int = 3, tempo: int = 120) -> Score:
    return compose(np.random.default_rng(seed), Attributes("flute", "organ", "rock", tempo, "minor", 4, drums=drums, key=3), seconds)


def long_song() -> Score:
    """Ten minutes with some 5000 notes."""
    score = song(600.0, drums=False, tempo=60)
    more = tuple(Note(start / 4, 0.2, 60 + start % 24, 90) for start in range(2400))
    return Score(score.attributes, score.seconds, (*score.lead, *more), score.accompaniment, score.bass, score.drums, score.chords)
