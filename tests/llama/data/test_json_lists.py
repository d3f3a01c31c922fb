"""Lists of examples and folders of songs: what becomes of each form, and what is said of a broken one."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from llama.data import audio_folder as songs
from llama.data import examples
from llama.data.examples import Example, ExampleList, MediaRef
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.media.audio import Waveform
from llama.media.containers import Encoded


def turn(speaker: str, value: str | None, **rest: Any) -> dict[str, Any]:
    return {"from": speaker, "value": value} | rest


def instruction(given: str = "image", made: str = "audio", file: str = "a.jpg", **rest: Any) -> dict[str, Any]:
    return {"input_file": file, "output_file": "b.mp3",
            "conversation": [turn("human", "Ask", input_modality=given, caption="of the input"),
                             turn("gpt", "Here", output_modality=made, **rest)]}


def listed(folder: Path, data: Any, form: str, name: str = "list.json", **rest: Any) -> ExampleList:
    (folder / name).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return read_source(Source(form, str(folder / name), **rest), 3)


def media_of(example: Example) -> dict[str, MediaRef]:
    found = {kind: getattr(example, kind) for kind in ("audio", "image", "video")}
    return {kind: medium for kind, medium in found.items() if medium is not None}


def test_captions_are_answered_to_no_instruction(tmp_path: Path) -> None:
    found = listed(tmp_path, {"a.mp3": "A slow piano.", "sub/b.wav": "Drums."}, "captions", "MUCaps.json",
                   kind="audio", media=str(tmp_path / "music"))
    assert len(found) == 2
    assert (found[1].instruction, found[1].answer, found[1].task) == ("", "Drums.", "describe_music")
    assert found[1].source == "MUCaps.json #2" and found[1].caption is None
    assert media_of(found[1]) == {"audio": MediaRef("audio", "MUCaps.json #2", path=tmp_path / "music" / "sub" / "b.wav")}
    assert [one.answer for one in found[1:]] == ["Drums."]


def test_a_name_that_is_too_long_is_read_as_one_without_a_file(tmp_path: Path) -> None:
    (example,) = listed(tmp_path, {"é" * 300 + ".mp3": "A slow piano."}, "captions")
    with pytest.raises(FileNotFoundError, match="list.json #1 names .*é.mp3, but no such file is there"):
        media_of(example)["audio"].open()


@pytest.mark.parametrize(("kind", "task"), [("image", "describe_image"), ("video", "describe_video")])
def test_captions_of_pictures_and_clips(tmp_path: Path, kind: str, task: str) -> None:
    (example,) = listed(tmp_path, {"a.gif": "A cat."}, "captions", kind=kind)
    assert example.task == task and list(media_of(example)) == [kind] and media_of(example)[kind].path == tmp_path / "a.gif"


def test_captions_to_music_ask_and_answer_the_caption(tmp_path: Path) -> None:
    (example,) = listed(tmp_path, {"a.mp3": "A slow piano."}, "captions_to_music")
    words = "A slow piano."
    assert example == Example(words, words, "text_to_music", "list.json #1", caption=words)


@pytest.mark.parametrize("key", ["audio_name", "image_name"])
def test_musicqa_asks_about_the_recording(tmp_path: Path, key: str) -> None:
    turns = [turn("human", "Which key?"), turn("gpt", "D."), turn("human", "Which mood?"), turn("gpt", "Calm.")]
    found = listed(tmp_path, [{key: "a.wav", "conversation": turns}], "musicqa")
    assert [(one.instruction, one.answer, one.task, one.source) for one in found] == [
        ("Which key?", "D.", "question", "list.json #1"), ("Which mood?", "Calm.", "question", "list.json #1 turn 2")]
    assert all(media_of(one)["audio"].path == tmp_path / "a.wav" for one in found)


def test_alpaca_joins_instruction_and_input(tmp_path: Path) -> None:
    found = listed(tmp_path, [{"instruction": "Add.", "input": "1, 2", "output": "3"},
                              {"instruction": "Greet.", "input": "", "output": "Hello."},
                              {"conversation": [turn("human", "Why?"), turn("gpt", "So.")]}], "alpaca")
    assert [(one.instruction, one.answer, one.task) for one in found] == [
        ("Add.\n1, 2", "3", "chat"), ("Greet.", "Hello.", "chat"), ("Why?", "So.", "chat")]
    assert not any(media_of(one) for one in found)


@pytest.mark.parametrize(("given", "made", "file", "task"), [
    ("image", "audio", "a.jpg", "image_to_music"), ("video", "audio", "a.mp4", "video_to_music"),
    ("audio", "audio", "a.mp3", "edit"), ("text", "audio", "", "text_to_music"), ("audio", "text", "a.mp3", "question"),
    ("image", "text", "a.jpg", "describe_image"), ("video", "text", "a.mp4", "describe_video"), ("text", "text", "", "chat")])
@pytest.mark.parametrize("key", ["conversation", "conversations"])
def test_instructions_by_their_modalities(tmp_path: Path, given: str, made: str, file: str, task: str, key: str) -> None:
    item = instruction(given, made, file, caption="of the music")
    item[key] = item.pop("conversation")
    (example,) = listed(tmp_path, [item], "instructions")
    assert (example.instruction, example.answer, example.task) == ("Ask", "Here", task)
    assert example.caption == ("of the music" if made == "audio" else None)
    wanted = {} if given == "text" else {given: MediaRef(given, "list.json #1", path=tmp_path / file)}
    assert media_of(example) == wanted


def test_music_without_a_caption_is_captioned_by_its_answer(tmp_path: Path) -> None:
    found = listed(tmp_path, [instruction(), instruction(caption=None), instruction(caption="strings")], "instructions")
    assert [one.caption for one in found] == ["Here", "Here", "strings"]  # never the human's, which is of the input


def test_the_published_swap_of_picture_and_music_is_mended(tmp_path: Path) -> None:
    (example,) = listed(tmp_path, [instruction(file="a.mp3") | {"output_file": "a.jpg"}], "instructions")
    assert example.image.path == tmp_path / "a.jpg"


def test_later_turns_keep_the_modalities(tmp_path: Path) -> None:
    item = instruction(caption="one")
    item["conversation"] += [turn("human", "Again"), turn("gpt", "There", caption="two")]
    item["conversation"] += [turn("human", "What is seen?"), turn("gpt", "A cat.", output_modality="text")]
    found = listed(tmp_path, [item], "instructions")
    assert [(one.task, one.caption, one.image.path.name) for one in found] == [
        ("image_to_music", "one", "a.jpg"), ("image_to_music", "two", "a.jpg"), ("describe_image", None, "a.jpg")]


def test_examples_without_words_are_left_out_aloud(tmp_path: Path) -> None:
    data = [instruction(), instruction(), instruction()]
    data[0]["conversation"][1]["value"] = None
    data[2]["conversation"][0]["value"] = " "
    with pytest.warns(UserWarning, match=r"list.json: 2 example.* \(#1, #3\)"):
        found = listed(tmp_path, data, "instructions")
    assert [one.source for one in found] == ["list.json #2"]


BROKEN = [
    ("musicqa", "", "empty"), ("musicqa", "[]", "no examples"), ("captions", "{}", "no examples"),
    ("musicqa", '[{"audio_name": "a.wav",\n "conversation": }]', "line 2, column 18"),
    ("musicqa", {"a.mp3": "x"}, "list of objects"), ("captions", [1], "object of file names"),
    ("musicqa", ["a"], "#1 is text"), ("captions", {"a.mp3": ["x"]}, "#1: a.mp3 is a list; give text"),
    ("musicqa", [{"audio": "a.wav", "conversation": []}], "#1 lacks audio_name or image_name; it has audio, conversation"),
    ("musicqa", [{"audio_name": 3, "conversation": []}], "audio_name is a number; give text"),
    ("musicqa", [{"audio_name": "a.wav", "conversation": []}], "from nobody"),
    ("musicqa", [{"audio_name": "a.wav", "conversation": [turn("human", "a"), turn("human", "b")]}], "human, human"),
    ("musicqa", [{"audio_name": "a.wav", "conversation": [turn("gpt", "a"), turn("human", "b")]}], "gpt, human"),
    ("musicqa", [{"audio_name": "a.wav", "conversation": [{"from": "human"}, turn("gpt", "b")]}], "#1 lacks value; it has from"),
    ("alpaca", [{"instruction": "a", "output": "b"}, {"instruction": "a"}], "#2 lacks output; it has instruction"),
    ("instructions", [instruction("imgae")], "'imgae' is unknown; did you mean 'image'"),
    ("instructions", [instruction(made="image")], "output_modality 'image' is unknown.*audio, text"),
    ("instructions", [{"conversation": instruction()["conversation"]}], "lacks input_file"),
    ("instructions", [{"input_file": "a.jpg", "conversation": [turn("human", "a"), turn("gpt", "b")]}], "lacks input_modality"),
    ("instructions", [instruction(caption=7)], "caption is a number"),
    ("captions", '{"a.wav": "one", "b.wav": "two", "a.wav": "three"}', "names 'a.wav' 2 times; give each name once"),
    ("musicqa", '[{"audio_name": "a.wav", "audio_name": "b.wav", "conversation": []}]', "names 'audio_name' 2 times"),
    ("instructions", [instruction("a" * 100_000)], "'aaa.*' is unknown"), ("alpaca", [{"b" * 100_000: 1}], "lacks instruction"),
    ("captions", {"../" + "c" * 100_000: "x"}, "not within"), ("captions", {"d" * 100_000: 3}, "is a number; give text"),
    ("captions", "[" * 100_000, "nested"), ("captions", "\udcff", "UTF-8"),
]


@pytest.mark.parametrize(("form", "data", "words"), BROKEN)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, form: str, data: Any, words: str) -> None:
    path = tmp_path / "list.json"
    text = data if isinstance(data, str) else json.dumps(data)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=words) as caught:
        read_source(Source(form, str(path), kind="audio"), 3)
    assert "list.json" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["../a.wav", "a/../../b.wav", "/etc/passwd", "..\\a.wav", "C:\\a.wav", "", " "])
def test_names_that_lead_out_of_the_media_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"list.json #1 names the file .*not within"):
        listed(tmp_path, {name: "words"}, "captions", kind="audio")
    with pytest.raises(ValueError, match="not within"):
        listed(tmp_path, [instruction(file=name)], "instructions")
    assert listed(tmp_path, {"..a/b..wav": "words"}, "captions", kind="audio")[0].audio.path.name == "b..wav"


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no list of examples"):
        read_source(Source("alpaca", str(tmp_path / "none.json")), 3)
    with pytest.raises(ValueError, match="is a folder"):
        read_source(Source("alpaca", str(tmp_path)), 3)
    with pytest.raises(ValueError, match="is a stream"):
        read_source(Source("tar", "a.tar"), 3)
    source = Source("alpaca", "a.json")
    object.__setattr__(source, "form", "musicQA")
    with pytest.raises(ValueError, match="did you mean 'musicqa'"):
        read_source(source, 3)


def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.json")
    with pytest.raises(ValueError, match="list.json is a pipe, not a file"):
        read_source(Source("alpaca", str(tmp_path / "list.json")), 3)


def test_a_medium_is_missed_when_it_is_opened(tmp_path: Path) -> None:
    (example,) = listed(tmp_path, {"a.mp3": "words"}, "captions", "MUCaps.json", kind="audio")
    for act in (example.audio.open, example.audio.digest):
        with pytest.raises(FileNotFoundError, match=r"MUCaps.json #1 names .*a.mp3, but no such file"):
            act()
    with pytest.raises(ValueError, match="^broken$"):
        MediaRef("audio", "x", error="broken").digest()


def test_a_digest_is_that_of_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "HASH_BLOCK", 7)
    content = bytes(range(256))
    (tmp_path / "a.bin").write_bytes(content)
    wanted = hashlib.sha256(content).hexdigest()
    assert MediaRef("audio", "x", path=tmp_path / "a.bin").digest() == wanted == MediaRef("audio", "y", content=content).digest()
    assert MediaRef("audio", "y", content=content).open() == Encoded(content, "y")


def test_an_entry_takes_few_bytes(tmp_path: Path) -> None:
    entries = listed(tmp_path, {f"{number}.mp3": f"caption {number}" for number in range(1000)}, "captions", kind="audio").records
    own = (sys.getsizeof(entries[0]) + sys.getsizeof(entries[0].position) + sys.getsizeof(entries[0].file))
    assert own < 300 and not hasattr(entries[0], "__dict__")  # a million: under 300 MB beside their captions


def song(path: Path, tags: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        codec = {".mp3": "mp3", ".m4a": "aac", ".flac": "flac", ".wav": "pcm_s16le", ".ogg": "libopus", ".opus": "libopus"}
        stream = container.add_stream(codec[path.suffix], rate=48000, layout="mono")
        container.metadata.update(tags or {})
        form = stream.codec_context.format.name
        kind = {"s16": np.int16, "s32": np.int32, "flt": np.float32}[form.removesuffix("p")]
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), kind), format=form, layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_folder_of_songs(tmp_path: Path) -> None:
    song(tmp_path / "b.mp3", {"title": "Blue Night", "artist": "Ann Lee", "genre": "Jazz", "album": "Evening"})
    song(tmp_path / "deep" / "a.wav").with_suffix(".txt").write_text("A quiet\n guitar.\n", encoding="utf-8")
    (tmp_path / "deep" / "._a.wav").write_bytes(b"not a song")
    (tmp_path / "cover.jpg").write_bytes(b"not a song")
    with pytest.warns(UserWarning, match=r"1 file left out: cover\.jpg"):
        found = list(read_source(Source("songs", media=str(tmp_path)), 3))
    assert [one.task for one in found] == ["describe_music", "text_to_music"] * 2
    told, asked = found[2:]
    assert told.answer == "A quiet guitar." and told.audio.path == tmp_path / "deep" / "a.wav" and told.caption is None
    assert told.instruction in songs.QUESTIONS and Waveform.read(told.audio.open()).seconds == 0.2
    assert asked.caption == "A quiet guitar." and asked.caption in asked.instruction and asked.answer in songs.ANSWERS
    assert not media_of(asked)
    assert found[0].answer == 'Jazz music called "Blue Night" by Ann Lee from the album "Evening".'
    (tmp_path / "cover.jpg").unlink()
    assert list(read_source(Source("songs", media=str(tmp_path)), 3)) == found


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus", "m4a"])
def test_tags_of_every_kind_of_song(tmp_path: Path, suffix: str) -> None:
    song(tmp_path / f"a.{suffix}", {"title": "Night", "artist": "Lee"})
    found = read_source(Source("songs", media=str(tmp_path)), 3)
    assert found[0].answer == 'A song called "Night" by Lee.'


def test_songs_without_words_are_counted_and_named(tmp_path: Path) -> None:
    for name in "abcd":
        song(tmp_path / f"{name}.wav")
    (tmp_path / "d.txt").write_text("Bells.")
    with pytest.raises(ValueError, match=r"3 song\(s\) .*\(a.wav, b.wav, c.wav\); write each a sentence"):
        read_source(Source("songs", media=str(tmp_path)), 3)
    song(tmp_path / "e.wav")
    with pytest.raises(ValueError, match=r"4 song\(s\) .*\(a.wav, b.wav, c.wav, ...\)"):
        read_source(Source("songs", media=str(tmp_path)), 3)


def test_folders_without_songs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no songs; put wav, flac"):
        read_source(Source("songs", media=str(tmp_path)), 3)
    with pytest.raises(FileNotFoundError, match="no folder of songs"):
        read_source(Source("songs", media=str(tmp_path / "none")), 3)
    song(tmp_path / "a.wav").with_suffix(".txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a.txt is no text in UTF-8"):
        read_source(Source("songs", media=str(tmp_path)), 3)
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.wav").write_bytes(bytes(range(128, 256)) * 8)
    with pytest.raises(ValueError, match="a.wav: it is damaged"):
        read_source(Source("songs", media=str(tmp_path)), 3)
