"""The page: growing answers, sound, nothing shared between users, errors as sentences, nothing fetched from outside."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import gradio_app
from llama import Done, GenerationOptions, MusicChunk, Reply, TextDelta, Turn, Waveform
from llama.media import load_image
from llama.notes import Attributes, Note, Score

gradio = pytest.importorskip("gradio")

RATE = 8000
SCORE = Score(Attributes("flute", "pad", "ballad", 60, "major", 4, False, 0), 2.5, (Note(0.0, 1.0, 72, 92),), (), (), (), ())


class Echo:
    """Repeats what it is told; plays if asked to; stumbles if asked to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Turn, GenerationOptions]] = []

    def stream(self, turn: Turn, options: GenerationOptions) -> Iterator[Any]:
        self.asked.append((turn, options))
        if "stumble" in turn.text:
            raise ValueError("The prompt has 900 tokens; shorten it.")
        if turn.audio is not None:
            Waveform.read(turn.audio)
        if turn.image is not None:
            load_image(turn.image)
        words = turn.text.split()
        yield from (TextDelta(word if first == 0 else f" {word}") for first, word in enumerate(words))
        music = Waveform(torch.full((1, round(options.seconds * RATE)), 0.1), RATE) if "play" in turn.text else None
        if music is not None:
            yield from (MusicChunk(Waveform(part, RATE)) for part in music.samples.split(RATE, dim=1))
        score = SCORE if "notes" in turn.text else None
        yield Done(Reply(" ".join(words), (3,), music, "music" if music else "stop", score))


@pytest.fixture
def model() -> Echo:
    return Echo()


def said(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages if isinstance(message["content"], str)]


# -- one conversation -----------------------------------------------------------------------------------------------


def test_the_answer_grows_word_by_word(model: Echo) -> None:
    steps = [said(step) for step in gradio_app.converse(model, "one two three", [])]
    assert steps[0] == ["one two three"]
    assert [step[-1] for step in steps[1:]] == ["one", "one two", "one two three", "one two three"]


def test_history_is_a_value(model: Echo) -> None:
    history = list(gradio_app.converse(model, "first", []))[-1]
    kept = list(history)
    later = list(gradio_app.converse(model, "second", history))[-1]
    assert history == kept and said(later) == ["first", "first", "second", "second"]


def test_sound_comes_as_a_player(model: Echo) -> None:
    lengths = []
    for step in gradio_app.converse(model, "play", [], seconds=2.5, seed=11):
        content = step[-1]["content"]
        if not isinstance(content, str):
            lengths.append(Waveform.read(content.value["path"]).seconds)
            assert "11" in content.label
    assert lengths == [2.5]


def test_notes_come_as_a_file(model: Echo) -> None:
    for step in gradio_app.converse(model, "play notes", [], seconds=2.5, seed=11):
        content = step[-1]["content"]
        if not isinstance(content, str):
            assert content.value["orig_name"].endswith("-11.mid") and Path(content.value["path"]).read_bytes()[:4] == b"MThd"
            assert not isinstance(step[-2]["content"], str)
            return
    raise AssertionError("no file was offered")


def test_settings_reach_the_model(model: Echo) -> None:
    list(gradio_app.converse(model, "hello", [], None, None, None, 3, 5, False, 0.5, 0.9, 40, 2.0, "caption"))
    assert model.asked[0][1] == GenerationOptions(
        max_tokens=40, temperature=0.5, top_p=0.9, seconds=3.0, guidance=2.0, seed=5, conditioning="caption"
    )


def test_a_fresh_seed_each_time(model: Echo) -> None:
    for _ in range(3):
        list(gradio_app.converse(model, "hello", [], fresh=True))
    assert len({options.seed for _, options in model.asked}) == 3


def test_words_are_shown_not_run(model: Echo) -> None:
    shown = said(list(gradio_app.converse(model, "<img src=x onerror=alert(1)>", []))[-1])
    assert all("<" not in text and "&lt;img" in text for text in shown)
    assert model.asked[0][0].text == "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"text": " "}, "nothing to answer"),
        ({"text": "stumble"}, "900 tokens"),
        ({"text": "hi", "seconds": -1}, "seconds"),
        ({"text": "hi", "temperature": 99}, "temperature"),
        ({"text": "hi", "conditioning": "magic"}, "conditioning"),
        ({"text": "hi", "audio": "no/such.wav"}, "such.wav"),
        ({"text": None}, "nothing to answer"),
        ({"text": "hi", "seconds": float("nan")}, "seconds"),
    ],
)
def test_mistakes_are_told_in_one_sentence(model: Echo, arguments: dict[str, Any], word: str) -> None:
    last = list(gradio_app.converse(model, history=[], **arguments))[-1][-1]
    assert last["role"] == "assistant" and word in last["content"] and "\n" not in last["content"]


@pytest.mark.parametrize("slot", ["audio", "image"])
def test_the_place_of_an_upload_is_not_told(model: Echo, tmp_path: Path, slot: str) -> None:
    (tmp_path / "secret").mkdir()
    for content in ("no sound, no picture\n", None):  # a text file, then none
        file = tmp_path / "secret" / "my file.bin"
        file.write_text(content) if content else file.unlink()
        last = list(gradio_app.converse(model, "hi", [], **{slot: str(file)}))[-1][-1]
        assert "my file.bin" in last["content"] and "secret" not in last["content"] and str(tmp_path) not in last["content"]


def test_cleared_settings_are_the_usual_ones(model: Echo) -> None:
    list(gradio_app.converse(model, "hello", None, None, None, None, None, None, False, None, None, None, None, None))
    assert model.asked[0][1] == GenerationOptions()


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), "memory"),
        (MemoryError(), "memory"),
        (OSError(28, "No space left on device", "/srv/secret/piece.wav"), "No space left"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_machine_lacks_is_one_sentence(model: Echo, monkeypatch: pytest.MonkeyPatch, fault: Exception, word: str) -> None:
    def stream(turn: Turn, options: GenerationOptions) -> Iterator[Any]:
        yield TextDelta("A")
        raise fault

    monkeypatch.setattr(model, "stream", stream)
    last = list(gradio_app.converse(model, "hello", []))[-1][-1]
    assert word in last["content"] and "secret" not in last["content"] and last["content"].count(";") == 1


def test_a_fault_of_the_program_is_not_dressed_up(model: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(turn: Turn, options: GenerationOptions) -> Iterator[Any]:
        raise RuntimeError("shapes do not fit")
        yield

    monkeypatch.setattr(model, "stream", stream)
    with pytest.raises(RuntimeError, match="shapes"):
        list(gradio_app.converse(model, "hello", []))


@pytest.mark.parametrize(
    ("decoder", "choices"),
    [
        (SimpleNamespace(tokenizer=None), ["hidden"]),
        (None, ["hidden"]),
        (SimpleNamespace(tokenizer=object()), ["hidden", "caption"]),
        (SimpleNamespace(), ["hidden", "caption"]),  # AudioLDM2, whose tokenizers are inside
    ],
)
def test_the_words_are_offered_only_to_a_decoder_that_reads(model: Echo, decoder: Any, choices: list[str]) -> None:
    model.music_decoder = decoder  # type: ignore[attr-defined]
    blocks = gradio_app.build_app(model).blocks.values()
    radio = next(block for block in blocks if isinstance(block, gradio.Radio))
    assert [value for _, value in radio.choices] == choices and radio.visible == (len(choices) > 1)


def test_example_rows(tmp_path: Path) -> None:
    for name in ("b.flac", "a.flac", "c.png", "d.mp4", "notes.txt"):
        (tmp_path / name).touch()
    rows = {slot: gradio_app.example_rows(tmp_path, slot) for slot in ("audio", "image", "video")}
    names = {slot: [Path(file).name for _, file in found] for slot, found in rows.items()}
    assert names == {"audio": ["a.flac", "b.flac"], "image": ["c.png"], "video": ["d.mp4"]}
    assert all(question for found in rows.values() for question, _ in found)
    assert gradio_app.example_rows(tmp_path / "none", "audio") == []


# -- the server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with an echo behind it, on this machine."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = gradio_app.build_app(Echo())
    app.launch(**gradio_app.launch_options(port=port), prevent_thread_lock=True, quiet=True)
    yield f"http://127.0.0.1:{port}/"
    app.close()
    patch.undo()


def client(address: str) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False, analytics_enabled=False)


def ask(user: Any, text: str, audio: Any = None, image: Any = None, seconds: float | None = 1.0, tokens: int | None = 50) -> str:
    """All that the answer says, as text."""
    return str(user.predict(text, [], audio, image, None, seconds, 1, False, 0, 0.8, tokens, 0, "hidden", api_name="/respond"))


def test_over_http(address: str, tmp_path: Path) -> None:
    from gradio_client import handle_file

    Waveform(torch.zeros(1, RATE), RATE).write(tmp_path / "silence.wav")
    (tmp_path / "text.mp3").write_text("no sound\n")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    user = client(address)
    assert "what is this" in ask(user, "what is this", handle_file(tmp_path / "silence.wav"))
    assert "text file" in ask(user, "what is this", handle_file(tmp_path / "text.mp3"))
    assert "picture" in ask(user, "look", image=handle_file(tmp_path / "cut.png"))
    assert "900 tokens" in ask(user, "stumble")
    assert "alive" in ask(user, "still alive"), "the server outlives a mistake"
    assert ".wav" in ask(user, "play")
    assert "10.0 s" in ask(user, "play", seconds=None, tokens=None), "cleared fields"


def test_users_do_not_hear_each_other(address: str) -> None:
    names = [f"user{index}" for index in range(4)]
    users = [client(address) for _ in names]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(ask, users, names))
    for name, answer in zip(names, answers, strict=True):
        assert [other for other in names if other in answer] == [name]


def test_only_one_function_is_public(address: str) -> None:
    assert list(client(address).view_api(return_format="dict")["named_endpoints"]) == ["/respond"]


def test_files_outside_the_page_stay_outside(address: str) -> None:
    for path in ("/etc/passwd", str(Path(gradio_app.__file__))):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{address}gradio_api/file={path}", timeout=30)


def test_the_page_asks_nothing_from_elsewhere(address: str) -> None:
    page = urllib.request.urlopen(address, timeout=60).read().decode()
    style = urllib.request.urlopen(f"{address}theme.css", timeout=60).read().decode()
    loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"(https?:)?//([^\"/]+)", page)
    loaded += re.findall(r"rel=\"(stylesheet|preload|modulepreload)\"[^>]+href=\"https?://([^\"/]+)", page)
    loaded += re.findall(r"(@import|url)\(?['\"]?https?://([^'\")/]+)", style)
    assert [host for _, host in loaded if not host.startswith("127.0.0.1")] == []


# -- the command ----------------------------------------------------------------------------------------------------


def test_published_flags() -> None:
    values = gradio_app.parser().parse_args(
        "--model a --llama_type 7B --llama_dir b --mert_path c --vit_path d --vivit_path e --knn_dir f "
        "--music_decoder audioldm2 --music_decoder_path cvssp/audioldm2".split()
    )
    assert values.music_decoder_path == "cvssp/audioldm2"
    assert (values.host, values.port, values.share) == ("127.0.0.1", 7860, False)


def test_a_missing_model_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gradio_app.main(["--model", str(tmp_path / "none.pth")]) == 2
    told = capsys.readouterr().err.strip()
    assert "none.pth" in told and "\n" not in told
