"""The page's player, by what a browser heard: recorded from its audio graph and compared with the files, sample by sample."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.browser_helpers import chromium, driver  # noqa: F401
from tests.player_server import RATE, Samples, SoundServer, heard, noise, sound_server, wav

FADE = round(0.03 * RATE)  # frames at the edges of a sound that its fades change
ATTEMPTS, STALL = 4, 60  # measurements, and the milliseconds that void one
HEADER = 200  # bytes, more than a header has


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:  # noqa: F811
    started = chromium(driver, "--autoplay-policy=no-user-gesture-required", "--js-flags=--expose-gc")
    yield started
    started.close()


@pytest.fixture(scope="module")
def server() -> Iterator[SoundServer]:
    with sound_server() as running:
        yield running


@pytest.fixture(scope="module")
def tab(browser: Any, server: SoundServer) -> Iterator[Any]:
    """One tab for all tests; they fail for an error in it."""
    opened, errors = browser.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_default_timeout(20_000)
    opened.goto(server.address)
    opened.wait_for_function("window.ready")
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture
def page(tab: Any) -> Any:
    """The tab without a piece, at full volume."""
    empty(tab)
    return tab


def empty(page: Any) -> None:
    page.evaluate("transport.close(); transport.volume = 1")
    if page.evaluate("Boolean(transport.context)"):
        fade_away(page)
    page.evaluate("heard.length = 0; longestStall = 0")


def undisturbed(test: Callable[..., None]) -> Callable[..., None]:
    """Measures again where the page stood still for so long that sound had to break off: that says nothing of the player."""

    @functools.wraps(test)
    def measure(page: Any, **named: Any) -> None:
        for left in reversed(range(ATTEMPTS)):
            try:
                return test(page, **named)
            except AssertionError:
                if not left or page.evaluate("longestStall") < STALL:
                    raise
                empty(page)

    return measure


def fade_away(page: Any) -> None:
    """Waits on the audio clock until what is stopped is silent and recorded."""
    page.evaluate("""async () => {
        const end = transport.context.currentTime + 0.1;
        while (transport.context.currentTime < end) await new Promise(resolve => setTimeout(resolve, 10));
    }""")


def version(name: str, seconds: float, **facts: Any) -> dict[str, Any]:
    return {"id": name, "url": f"media/{name}.wav", "seconds": seconds, "complete": True, "pcm": True, "title": name, **facts}


def load(page: Any, piece: dict[str, Any]) -> None:
    """Makes it the current piece of a page that records."""
    page.evaluate("async piece => { transport.load(piece); if (!window.recording) await record(); window.recording = true; }", piece)


def play_until(page: Any, seconds: float) -> None:
    page.evaluate("seconds => { transport.play(); return until('time', () => transport.position >= seconds); }", seconds)


def stop(page: Any) -> tuple[int, Samples]:
    """Pauses; returns the recorded sound."""
    page.evaluate("transport.pause()")
    fade_away(page)
    return heard(page)


def sounding(samples: Samples) -> Samples:
    """Without the silence before and after the sound."""
    loud = np.nonzero(np.abs(samples).max(axis=0))[0]
    assert len(loud), "nothing was heard"
    return samples[:, loud[0] : loud[-1] + 1]


def place(part: Samples, whole: Samples) -> int:
    """Frame of `whole` where `part` begins, by correlation."""
    size = 1 << (whole.shape[1] + part.shape[1]).bit_length()
    spectrum = np.fft.rfft(whole[0], size) * np.conj(np.fft.rfft(part[0], size))
    return int(np.fft.irfft(spectrum, size)[: whole.shape[1]].argmax())


def difference(part: Samples, whole: Samples, start: int) -> float:
    return float(np.abs(part - whole[:, start : start + part.shape[1]]).max())


@undisturbed
def test_position_is_what_is_heard(page: Any, server: SoundServer) -> None:
    music = noise(3, seed=1)
    server.add("whole.wav", wav(music))
    load(page, version("whole", 3))
    play_until(page, 0.6)
    time, position = page.evaluate("[transport.context.currentTime - transport.context.outputLatency, transport.position]")
    first, samples = stop(page)
    part = sounding(samples)[:, FADE:-FADE]
    start = place(part, music)
    assert difference(part, music, start) < 1e-4
    beginning = first + int(np.nonzero(np.abs(samples).max(axis=0))[0][0]) + FADE  # of `part`, on the audio clock
    assert abs((time * RATE - beginning + start) / RATE - position) < 0.02


@undisturbed
def test_seek_goes_to_the_place(page: Any, server: SoundServer) -> None:
    music = noise(4, seed=2)
    server.add("seek.wav", wav(music))
    load(page, version("seek", 4))
    play_until(page, 0.2)
    page.evaluate("transport.seek(2.5)")
    play_until(page, 2.9)
    part = sounding(stop(page)[1])[:, -round(0.3 * RATE) - FADE : -FADE]
    assert 2.5 * RATE < place(part, music) < 3 * RATE and difference(part, music, place(part, music)) < 1e-4
    page.evaluate("transport.seek(1)")
    assert page.evaluate("transport.position") == 1
    page.evaluate("heard.length = 0")
    play_until(page, 1.2)
    part = sounding(stop(page)[1])[:, FADE:-FADE]
    assert abs(place(part, music) - FADE - RATE) < 0.02 * RATE


@undisturbed
def test_loop_repeats_exactly(page: Any, server: SoundServer) -> None:
    server.add("loop.wav", wav(noise(2, seed=3)))
    load(page, version("loop", 2))
    page.evaluate("transport.setLoop({start: 0.5, end: 0.75}); transport.seek(0.5); transport.play()")
    page.evaluate("begun => until('time', () => transport.context.currentTime > begun + 1)", page.evaluate("transport.context.currentTime"))
    positions = page.evaluate("transport.position")
    part, length = sounding(stop(page)[1])[:, FADE:-FADE], round(0.75 * RATE) - round(0.5 * RATE)
    assert 0.5 <= positions <= 0.75 and part.shape[1] > 3 * length
    assert float(np.abs(part[:, length * 2 :] - part[:, length:-length]).max()) < 1e-6


@undisturbed
def test_a_growing_file_waits_without_a_click_and_plays_to_its_end(page: Any, server: SoundServer) -> None:
    frames = np.arange(round(1.5 * RATE))
    music = np.stack([0.5 * np.sin(2 * np.pi * 220 * frames / RATE)] * 2).astype(np.float32)
    sound = server.add("grows.wav", wav(music), available=HEADER + 4 * round(0.4 * RATE))
    load(page, version("grows", 1.5, complete=False))
    page.evaluate("""() => {
        window.states = [];
        transport.addEventListener('state', () => { if (states.at(-1) !== transport.state) states.push(transport.state); });
        transport.play();
        return until('state', () => states.includes('playing') && transport.state === 'waiting');
    }""")
    waited = page.evaluate("transport.context.currentTime")
    page.evaluate("until('time', () => true)")
    sound.grow(HEADER + 4 * RATE)
    page.evaluate("until('data', () => transport.source.loaded[0][1] > 0.6)")
    arrived = page.evaluate("transport.context.currentTime")
    sound.grow(len(sound.content))
    page.evaluate("until('state', () => transport.state === 'ended')")
    assert page.evaluate("states.slice(states.indexOf('playing'))") == ["playing", "waiting", "playing", "ended"]
    samples = sounding(stop(page)[1])
    loud = np.nonzero(np.abs(samples[0]) > 1e-6)[0]
    gap = int(np.diff(loud).max())
    assert gap < (arrived - waited + 0.3) * RATE, "it waits no longer than for its samples"
    assert abs(len(loud) - music.shape[1]) < 0.02 * RATE, "all of it was heard, once"
    steepest = 0.5 * 2 * np.pi * 220 / RATE
    assert float(np.abs(np.diff(samples[0])).max()) < 1.5 * steepest, "no click"


def test_a_busy_page_goes_on_where_the_sound_broke_off(page: Any, server: SoundServer) -> None:
    """Its scripts stand still for longer than what was scheduled: the sound pauses, and nothing sounds twice or over another."""
    music = noise(4, seed=15)
    server.add("busy.wav", wav(music))
    load(page, version("busy", 4))
    play_until(page, 0.4)
    page.evaluate("() => { const end = performance.now() + 1200; while (performance.now() < end); }")
    position = page.evaluate("transport.position")
    play_until(page, position + 0.5)
    part = sounding(stop(page)[1])
    first, last = part[:, FADE : round(0.3 * RATE)], part[:, -round(0.3 * RATE) - FADE : -FADE]
    for samples in (first, last):
        assert difference(samples, music, place(samples, music)) < 1e-4
    loud = np.abs(part).max(axis=0) > 0
    heard_frames, passed = int(loud.sum()), place(last, music) + last.shape[1] + FADE
    assert heard_frames == pytest.approx(passed, abs=0.05 * RATE), "each moment once"


@undisturbed
def test_a_seek_ahead_asks_for_that_part(page: Any, server: SoundServer) -> None:
    music = noise(20, seed=4, level=0.05)
    sound = server.add("far.wav", wav(music))
    sound.stall = 65536
    load(page, version("far", 20))
    page.evaluate("until('data', () => transport.source.loaded.length > 0)")
    page.evaluate("transport.seek(15)")
    play_until(page, 15.3)
    part = sounding(stop(page)[1])[:, FADE:-FADE]
    assert difference(part, music, place(part, music)) < 1e-4 and abs(place(part, music) - FADE - 15 * RATE) < 0.02 * RATE
    page.evaluate("until('data', () => transport.source.loaded.length === 1 && transport.source.loaded[0][1] === 1)")
    sound.released.set()
    assert len(sound.requests) == 3 and sound.requests[0] == "", "the beginning, from the seek on, and the gap between"


@pytest.mark.parametrize("pcm", [True, False], ids=["own", "element"])
@undisturbed
def test_switching_keeps_the_place(page: Any, server: SoundServer, pcm: bool) -> None:
    before, after = noise(3, seed=5), noise(3, seed=6)
    server.add("before.wav", wav(before))
    server.add("after.wav", wav(after))
    load(page, version("before", 3, pcm=pcm))
    play_until(page, 0.5)
    expected, position = page.evaluate("""async after => {
        transport.switchTo(after);
        const old = transport.position, time = transport.context.currentTime;
        await until('state', () => transport.source.state === 'playing');
        const begin = transport.position;
        await until('time', () => transport.position > begin + 0.3);
        return [old + transport.context.currentTime - time, transport.position];
    }""", version("after", 3))
    part = sounding(stop(page)[1])[:, -round(0.15 * RATE) - FADE : -FADE]
    assert abs(position - expected) < 0.05
    assert difference(part, after, place(part, after)) < 1e-4, "nothing of the other is left"


def test_a_change_that_still_grows_takes_over_at_the_same_beat(page: Any, server: SoundServer) -> None:
    """Twice as fast: the place is half as far in. The piece before sounds until as much of the other one has arrived."""
    server.add("slow.wav", wav(noise(20, seed=16)))
    sound = server.add("fast.wav", wav(noise(10, seed=17)), available=HEADER + 4 * round(0.2 * RATE))
    load(page, version("slow", 20, facts={"tempo": 100}))
    page.evaluate("transport.setLoop({start: 1, end: 19})")
    play_until(page, 1.1)
    states = page.evaluate("""async version => {
        window.before = transport.source;
        transport.switchTo(version);
        await until('time', () => transport.position > 0.65);
        return [transport.state, before.state];
    }""", version("fast", 10, tempo=200, complete=False))
    assert states == ["waiting", "playing"] and page.evaluate("transport.loop") == {"start": 0.5, "end": 9.5}
    sound.grow(len(sound.content))
    page.evaluate("until('state', () => transport.state === 'playing')")
    old, new = page.evaluate("[before.position, transport.source.voice.segments[0].frame / transport.context.sampleRate]")
    assert new == pytest.approx(old / 2, abs=2 / RATE) and page.evaluate("before.state") == "paused"


@undisturbed
def test_parts(page: Any, server: SoundServer) -> None:
    melody, bass, rest = noise(4, seed=7), noise(4, seed=8, channels=1, level=0.2), np.zeros((2, 4 * RATE), np.float32)
    mix = melody + bass
    for name, samples in (("mix", mix), ("melody", melody), ("bass", bass), ("rest", rest)):
        server.add(f"{name}.wav", wav(samples))
    stems = {name: f"media/{name}.wav" for name in ("melody", "bass", "rest")}
    load(page, version("mix", 4, stems=stems))
    play_until(page, 0.2)

    def part_heard(parts: str) -> tuple[Samples, int]:
        page.evaluate(f"transport.setParts({parts})")
        page.evaluate("until('time', () => transport.source.voice.parts === transport.source.audible)")
        page.evaluate("heard.length = 0")
        play_until(page, page.evaluate("transport.position") + 0.3)
        samples = heard(page)[1][:, -round(0.2 * RATE) :]
        return samples, place(samples, mix)

    summed, start = part_heard("{muted: new Set(['rest']), solo: new Set()}")
    assert difference(summed, mix, start) < 1e-4, "the sum of the stems is the mix"
    alone, start = part_heard("{muted: new Set(['bass']), solo: new Set()}")
    assert difference(alone, melody, start) < 1e-4
    expected = float(np.square(mix[:, start : start + alone.shape[1]]).sum() - np.square(bass[:, start : start + alone.shape[1]]).sum() * 2)
    assert float(np.square(alone).sum()) == pytest.approx(expected, rel=0.1)
    solo, start = part_heard("{muted: new Set(), solo: new Set(['bass'])}")
    assert difference(solo, np.concatenate([bass, bass]), start) < 1e-4
    page.evaluate("transport.setParts({muted: new Set(['melody', 'bass', 'rest']), solo: new Set()})")
    page.evaluate("until('time', () => transport.source.voice.layers.length === 0)")
    play_until(page, page.evaluate("transport.position") + 0.2)
    page.evaluate("heard.length = 0")
    play_until(page, page.evaluate("transport.position") + 0.1)
    assert float(np.abs(stop(page)[1]).max()) == 0.0


@undisturbed
def test_two_pieces_never_sound_together(page: Any, server: SoundServer) -> None:
    first, second = noise(2, seed=9), noise(2, seed=10)
    server.add("first.wav", wav(first))
    server.add("second.wav", wav(second))
    load(page, version("first", 2))
    play_until(page, 0.3)
    load(page, version("second", 2))
    play_until(page, 0.3)
    part = sounding(stop(page)[1])[:, -round(0.2 * RATE) :][:, :-FADE]
    assert difference(part, second, place(part, second)) < 1e-4
    assert page.evaluate("transport.positionOf('first')") == pytest.approx(0.35, abs=0.1), "and its place is remembered"


def test_a_sound_of_another_player_takes_the_turn(page: Any, server: SoundServer) -> None:
    server.add("mine.wav", wav(noise(3, seed=11)))
    load(page, version("mine", 3))
    play_until(page, 0.1)
    page.evaluate("""() => {
        const other = document.createElement('audio');
        other.src = 'media/mine.wav';
        document.body.append(other);
        other.play().catch(() => {});  // paused again below
        return until('state', () => transport.state === 'paused');
    }""")
    page.evaluate("transport.play()")
    page.wait_for_function("document.querySelector('audio').paused")


def test_a_long_piece_is_kept_in_part(page: Any, server: SoundServer) -> None:
    """It plays wherever one seeks, also back to what was let go of, and as much of it is in memory as of a piece of two minutes."""
    music = noise(300, seed=18, level=0.05)
    sound = server.add("long.wav", wav(music))
    load(page, version("long", 300))
    for moment in (0.0, 250.0, 120.0, 10.0):
        page.evaluate("moment => transport.seek(moment)", moment)
        play_until(page, moment + 0.4)
        page.evaluate("transport.pause()")
        assert page.evaluate("transport.source.mix.blocks.bytes") <= 20 * 2**20
        first, count = round((moment + 0.1) * RATE), RATE // 10
        kept = page.evaluate("([first, count]) => [...transport.source.mix.read(first, count)]", [first, count])
        expected = np.clip(np.round(music[:, first : first + count].T * 32768), -32768, 32767).reshape(-1)
        assert np.array_equal(np.array(kept), expected)
    page.evaluate("transport.seek(200)")
    page.evaluate(f"until('data', () => transport.source.mix.loadedFrom({200 * RATE}) * 4 > (8 << 20))")
    asked = len(sound.requests)
    for second in range(201, 220):
        page.evaluate("frame => transport.source.mix.want(frame)", second * RATE)
        page.wait_for_timeout(50)
    assert len(sound.requests) <= asked + 1, "it reads on at half of what is ahead, not for every moment that has passed"


def test_a_replaced_piece_is_released(page: Any, server: SoundServer) -> None:
    for name in ("one", "two", "three"):
        server.add(f"{name}.wav", wav(noise(1, seed=12)))
    load(page, version("one", 1))
    page.evaluate("until('data', () => transport.source.loaded[0]?.[1] === 1)")
    page.evaluate("window.samples = new WeakRef(transport.source.mix.blocks)")
    play_until(page, 0.3)
    for name in ("two", "three"):
        load(page, version(name, 1))
    play_until(page, 0.1)
    assert page.evaluate("[transport.holds('one'), transport.holds('two'), transport.holds('three')]") == [False, True, True]
    page.wait_for_function("() => { gc(); return window.samples.deref() === undefined; }")


@undisturbed
def test_another_rate_keeps_its_tone(page: Any, server: SoundServer) -> None:
    frames = np.arange(2 * 16000)
    tone = np.stack([0.5 * np.sin(2 * np.pi * 1000 * frames / 16000)]).astype(np.float32)
    server.add("tone.wav", wav(tone, 16000))
    load(page, version("tone", 2))
    play_until(page, 0.6)
    part = sounding(stop(page)[1])[0, FADE:-FADE]
    angle = 2 * np.pi * 1000 * np.arange(len(part)) / RATE
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    weights = np.linalg.lstsq(basis, part, rcond=None)[0]
    assert np.hypot(*weights) == pytest.approx(0.5, rel=0.01)
    assert float(np.abs(part - basis @ weights).max()) < 1e-3, "no other tones, and no seams between buffers"


def test_a_file_of_another_kind(page: Any, server: SoundServer) -> None:
    server.add("other.wav", wav(noise(3, seed=13)))
    load(page, version("other", 3, pcm=False))
    play_until(page, 0.2)
    page.evaluate("transport.seek(1.5)")
    play_until(page, 1.7)
    page.evaluate("transport.setLoop({start: 1.6, end: 1.9})")
    page.evaluate("until('time', () => transport.position > 1.8)")
    page.evaluate("until('time', () => transport.position < 1.7)")
    assert page.evaluate("transport.duration") == pytest.approx(3, abs=0.01)
    assert float(np.abs(sounding(stop(page)[1])).mean()) > 0.01
    assert page.evaluate("transport.state") == "paused"


def test_a_lost_file_is_said(page: Any) -> None:
    load(page, version("nowhere", 3))
    page.evaluate("transport.play(); until('state', () => transport.state === 'failed')")
    assert "no longer on the server" in page.evaluate("transport.error.message")


@undisturbed
def test_volume_is_remembered(page: Any, server: SoundServer) -> None:
    server.add("loud.wav", wav(noise(2, seed=14)))
    page.evaluate("transport.volume = 0.5")
    page.reload()
    page.wait_for_function("window.ready")
    assert page.evaluate("transport.volume") == 0.5
    load(page, version("loud", 2))
    play_until(page, 0.3)
    part = sounding(stop(page)[1])[:, FADE:-FADE]
    music = noise(2, seed=14)
    start = place(part, music)
    assert difference(4 * part, music, start) < 1e-3
