"""Tokenizer: ids and text equal the published tokenizer's; text for display has no audio tokens."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from llama.modules.tokenizer import AUDIO_MARKS, Tokenizer


@pytest.fixture(scope="module")
def tokenizer(golden: Path) -> Tokenizer:
    return Tokenizer(golden / "components" / "llama" / "tokenizer.model")


def cases(golden: Path) -> dict[str, dict]:
    return json.loads((golden / "tokenizer_cases.json").read_text())


def test_ids_and_text_equal_the_published_tokenizer(golden: Path, tokenizer: Tokenizer) -> None:
    for name, case in cases(golden).items():
        if name == "_meta":
            continue
        assert tokenizer.encode(case["text"]) == case["ids"], name
        assert tokenizer.encode(case["text"], bos=False) == case["ids_nospecial"], name
        assert tokenizer.decode(case["ids"]) == case["decode"], name
        assert tokenizer.decode(case["ids_nospecial"]) == case["decode_nospecial"], name


def test_sizes_and_special_ids(golden: Path, tokenizer: Tokenizer) -> None:
    meta = cases(golden)["_meta"]
    assert tokenizer.vocab_size == meta["len"] and tokenizer.base_vocab == meta["len"] - 8
    assert list(tokenizer.audio_tokens) == meta["audio_tokens"]
    assert (tokenizer.unk, tokenizer.bos, tokenizer.eos) == (meta["unk"], meta["bos"], meta["eos"])


def test_special_tokens_are_spelled_out(tokenizer: Tokenizer) -> None:
    """Unknown tokens stand together behind a space, as the published generations show them."""
    piano = tokenizer.encode("piano", bos=False)
    assert tokenizer.decode([*piano, tokenizer.audio_tokens[7], 0, 0]) == "piano [AUD7] <unk><unk>"
    assert tokenizer.decode([tokenizer.bos, 0, tokenizer.eos]) == "<s><unk></s>"
    assert tokenizer.decode([]) == ""


def test_display_text_has_no_tokens_and_no_stray_spaces(tokenizer: Tokenizer) -> None:
    marks = "".join(AUDIO_MARKS)
    for text, shown in ((f"A warm piano {marks}", "A warm piano"), (f"A warm piano{marks}", "A warm piano"),
                        (marks, ""), ("A [AUD0] warm[AUD1]piano", "A warm piano"), ("a\n\nb", "a\n\nb"),
                        ("  two spaces", "  two spaces"), ("", "")):
        assert tokenizer.decode([*tokenizer.encode(text), tokenizer.eos, 0], skip_special=True) == shown


def test_typed_specials_are_ordinary_text(tokenizer: Tokenizer) -> None:
    for typed in ("<s>", "</s>", "<unk>"):
        ids = tokenizer.encode(f"stop{typed}here", bos=False)
        assert tokenizer.bos not in ids and tokenizer.eos not in ids


@pytest.mark.parametrize("text", ["Café ♪ 音楽 🎹", "tab\tand\r\nline", "###\n\n###", "[AUD8] [AUD] [aud0]"])
def test_any_text_survives(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids, skip_special=True) == text
    assert not set(ids) & set(tokenizer.audio_tokens)


def test_ids_outside_the_vocabulary_are_named(tokenizer: Tokenizer) -> None:
    for index in (-1, tokenizer.vocab_size):
        with pytest.raises(ValueError, match="outside the vocabulary"):
            tokenizer.decode([index])


def test_found_in_the_folder_or_beside_it(golden: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = golden / "components" / "llama"
    for place in (folder, folder / "7B", folder / "tokenizer.model"):
        assert Tokenizer.from_folder(place).vocab_size == tokenizer.vocab_size
    shutil.copytree(folder / "7B", tmp_path / "alone" / "7B")
    with pytest.raises(FileNotFoundError, match="tokenizer.model"):
        Tokenizer.from_folder(tmp_path / "alone" / "7B")


def test_saving_copies_the_vocabulary(golden: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    original = (golden / "components" / "llama" / "tokenizer.model").read_bytes()
    assert (tmp_path / "tokenizer.model").read_bytes() == original
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.model"]
    assert pickle.loads(pickle.dumps(tokenizer)).encode("a piano") == tokenizer.encode("a piano")


def test_missing_and_damaged_files_are_refused(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no tokenizer"):
        Tokenizer(tmp_path / "tokenizer.model")
    whole = (golden / "components" / "llama" / "tokenizer.model").read_bytes()
    for content in (b"", b"not a vocabulary", whole[: len(whole) // 2], whole.replace(b"<0x8D>", b"<0x8?\xa0")):
        (tmp_path / "tokenizer.model").write_bytes(content)
        with pytest.raises(ValueError, match="damaged|<unk>"):
            Tokenizer(tmp_path)
