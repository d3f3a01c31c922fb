"""The client of chat servers and the captioner behind an address, against a server that this test runs."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import stub_chat_server as stub
from PIL import Image
from stub_chat_server import StubServer, completion

from DataSet.pipeline.captioners import CaptionerConfig, CaptionStep
from DataSet.pipeline.chat_client import ChatClient, ChatRequest
from DataSet.pipeline.isolation import ModelError
from DataSet.pipeline.item import Item
from DataSet.pipeline.prompt_files import Decoding
from DataSet.pipeline.step import Rejection, StepInput, TransientError

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
GREETING = ChatRequest([{"role": "user", "content": "hello"}], seed=7)


@pytest.fixture
def server() -> Iterator[StubServer]:
    yield from stub.run()


def client(server: StubServer, **arguments: Any) -> ChatClient:
    return ChatClient(server.url, "model", **{"wait": 0.0, "timeout": 10.0, **arguments})


def test_a_request_is_what_openai_describes(server: StubServer) -> None:
    answer = client(server).complete(GREETING, Decoding(max_tokens=9))
    assert (answer.text, answer.complete) == ("Hello.", True)
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies == [{"model": "model", "messages": GREETING.messages, "max_tokens": 9, "temperature": 0.0}]
    assert "authorization" not in server.headers[0] and server.headers[0]["user-agent"] == "mumu-llama"


def test_sampling_sends_the_seed(server: StubServer) -> None:
    client(server).complete(GREETING, Decoding(temperature=0.7, top_p=0.9))
    assert (server.bodies[0]["temperature"], server.bodies[0]["top_p"], server.bodies[0]["seed"]) == (0.7, 0.9, 7)


def test_the_key_comes_from_the_environment_and_stays_out_of_spec_and_messages(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_KEY", "secret-1")
    server.reply = lambda body, number: (401, {"error": {"message": "secret-1 is no key"}}, {})
    with pytest.raises(ValueError, match="check the key") as error:
        client(server, key_variable="STUB_KEY").complete(GREETING, Decoding())
    assert server.headers[0]["authorization"] == "Bearer secret-1" and "secret-1" not in str(error.value)
    config = CaptionerConfig("address", "model", url=server.url, key_variable="STUB_KEY")
    assert "secret-1" not in repr((config, CaptionStep(config, ".", "audio").spec))
    monkeypatch.delenv("STUB_KEY")
    with pytest.raises(ValueError, match="The environment variable STUB_KEY has no key"):
        client(server, key_variable="STUB_KEY")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_server_is_asked_again(server: StubServer, status: int) -> None:
    server.reply = lambda body, number: (status, b"busy", {"Retry-After": "0"}) if number == 1 else (200, completion("Hello."), {})
    assert client(server, wait=30.0).complete(GREETING, Decoding()).text == "Hello."
    assert len(server.bodies) == 2


def test_a_server_that_stays_busy_is_a_failure_that_may_pass(server: StubServer) -> None:
    server.reply = lambda body, number: (500, {"message": "no room"}, {})
    with pytest.raises(TransientError, match=r"answered 500 \(no room\); tried 3 times"):
        client(server).complete(GREETING, Decoding())
    assert len(server.bodies) == 3


def test_a_refused_request_is_one_sentence_and_not_repeated(server: StubServer) -> None:
    server.reply = lambda body, number: (400, {"error": {"message": "the prompt is\ntoo long"}}, {})
    with pytest.raises(ValueError, match=r"refused the request with 400 \(the prompt is too long\); check what is sent to it\.$"):
        client(server).complete(GREETING, Decoding())
    assert len(server.bodies) == 1


GARBAGE: tuple[Any, ...] = (
    b"<html>", b"", b"[]", b"{}", {"choices": []}, completion(5), completion(["a"]), {"choices": [{"message": None}]},
)  # fmt: skip


@pytest.mark.parametrize("reply", GARBAGE)
def test_an_answer_that_is_no_completion_is_refused(server: StubServer, reply: Any) -> None:
    server.reply = lambda body, number: (200, reply, {})
    with pytest.raises(ValueError, match="answered with no chat completion"):
        client(server).complete(GREETING, Decoding())


def test_an_empty_answer_is_text(server: StubServer) -> None:
    server.reply = lambda body, number: (200, completion(None, "length"), {})
    answer = client(server).complete(GREETING, Decoding())
    assert (answer.text, answer.complete) == ("", False)


def test_a_server_that_does_not_answer_in_time_or_at_all(server: StubServer) -> None:
    server.reply = lambda body, number: (server.release.wait(10) and 200 or 200, completion("late"), {})
    with pytest.raises(TransientError, match="does not answer"):
        client(server, timeout=0.1, tries=2).complete(GREETING, Decoding())
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = ChatClient(f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "model", wait=0.0, tries=1)
    with pytest.raises(ModelError, match=r"does not answer \(.*refused\); start the server, or correct its url"):  # ends the run
        nobody.complete(GREETING, Decoding())


def test_an_answer_that_breaks_off_is_asked_for_again(server: StubServer) -> None:
    server.reply = lambda body, number: (200, completion("Hello."), {"Content-Length": "999"} if number == 1 else {})
    assert client(server, timeout=0.5).complete(GREETING, Decoding()).text == "Hello."


def test_the_key_follows_no_redirect(server: StubServer) -> None:
    server.reply = lambda body, number: (302, b"", {"Location": server.url + "/elsewhere"})
    with pytest.raises(ValueError, match="refused the request with 302"):
        client(server).complete(GREETING, Decoding())
    assert len(server.paths) == 1


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "http://me:pass@host/v1", "file:///etc/passwd"])
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="The url of the server is") as error:
        ChatClient(url, "model")
    assert "me:pass" not in str(error.value)


def describe(server: StubServer, medium: str, *names: str) -> list[Any]:
    step = CaptionStep(CaptionerConfig("address", "model", url=server.url), ".", medium)
    return step([StepInput(Item("examples", name, {medium: str(EXAMPLES / name)})) for name in names])


def parts(server: StubServer) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = server.bodies[0]["messages"][0]["content"]
    return content


def test_sound_is_sent_as_wav_of_16_khz(server: StubServer) -> None:
    server.reply = lambda body, number: (200, completion("A fast tune for violin."), {})
    assert describe(server, "audio", "violin_swing.flac") == [{"text": "A fast tune for violin."}]
    sound, question = parts(server)
    assert sound["type"] == "input_audio" and sound["input_audio"]["format"] == "wav" and question["text"].startswith("Listen")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound["input_audio"]["data"])))
    assert rate == 16_000 and samples.ndim == 1 and abs(samples).max() > 0.05


@pytest.mark.parametrize(("medium", "name", "count"), [("image", "moon.jpg", 1), ("video", "slow_sea.mp4", 8)])
def test_pictures_and_frames_are_sent_as_jpeg(server: StubServer, medium: str, name: str, count: int) -> None:
    describe(server, medium, name)
    *pictures, question = parts(server)
    assert len(pictures) == count and question["type"] == "text"
    for picture in pictures:
        head, _, data = picture["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= 768


def test_captions_of_a_batch_come_in_its_order_and_a_fault_stays_alone(server: StubServer) -> None:
    def reply(body: dict[str, Any], number: int) -> tuple[int, Any, dict[str, str]]:
        size = Image.open(io.BytesIO(base64.b64decode(body["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]))).size
        if size == sizes["dahlia.jpg"]:
            return 400, {"message": "flowers are not allowed"}, {}
        return 200, completion(f"A picture of {size[0]} by {size[1]}. It is cut in the", "length"), {}

    names = ("calm_sea.jpg", "dahlia.jpg", "missing.jpg", "moon.jpg")
    sizes = {}
    for name in names:
        if (EXAMPLES / name).exists():
            with Image.open(EXAMPLES / name) as picture:
                picture.thumbnail((768, 768))
                sizes[name] = picture.size
    assert len(set(sizes.values())) == 3
    server.reply = reply
    first, second, third, fourth = describe(server, "image", *names)
    assert first["text"] == "A picture of {} by {}.".format(*sizes["calm_sea.jpg"]) and fourth["text"].startswith("A picture")
    assert isinstance(second, Rejection) and "flowers are not allowed" in second.why
    assert isinstance(third, Rejection) and "missing.jpg" in third.why


USELESS = (("", "empty"), ("I'm sorry, I cannot listen to sound.", "refusal"), ("Ein langsames Lied mit einer Geige.", "language"))


@pytest.mark.parametrize(("said", "rule"), USELESS)
def test_a_caption_that_says_nothing_is_rejected_with_its_rule(server: StubServer, said: str, rule: str) -> None:
    server.reply = lambda body, number: (200, completion(said), {})
    [outcome] = describe(server, "audio", "violin_swing.flac")
    assert isinstance(outcome, Rejection) and outcome.rule == "caption" and f"rule {rule}" in outcome.why
