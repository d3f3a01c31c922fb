"""Ledger: items lie in shards by their id alone, files are whole or refused, and nothing is lost or mixed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pipeline_steps import make_items, tree

from DataSet.pipeline import ledger as ledger_module
from DataSet.pipeline.item import Item
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.shard_file import DamagedShardError, read_shard_file, shard_path, write_shard_file
from DataSet.pipeline.step import Outcome, Rejection, StepSpec
from llama.errors import COMMAND_ERRORS, sentence

FIRST, SECOND = StepSpec("first", 1, {"model": "a"}), StepSpec("second", 1)


def silent(words: str) -> None:
    """A log that keeps nothing."""


def outcomes_for(ledger: Ledger, *after: StepSpec, reject: str = "") -> dict[str, Outcome]:
    inputs = [value for shard in ledger.shards() for value in ledger.inputs(shard, after)]
    return {
        value.item.id: Rejection("silent", "It is silent.") if value.item.key == reject else {"key": value.item.key} for value in inputs
    }


# -- shard files ------------------------------------------------------------------------------------------------------


@pytest.fixture()
def shard_file(tmp_path: Path) -> Path:
    write_shard_file(tmp_path, 3, 8, {"step": "first", "inputs": "0a1b"}, ['{"id": "a"}', '{"id": "b"}'])
    return shard_path(tmp_path, 3)


def test_a_shard_file_is_read_as_it_was_written(shard_file: Path) -> None:
    content = read_shard_file(shard_file.parent, 3, 8)
    assert content is not None and content.lines == ('{"id": "a"}', '{"id": "b"}') and content.header["inputs"] == "0a1b"
    assert read_shard_file(shard_file.parent, 4, 8) is None


def test_every_cut_of_a_shard_file_is_seen(shard_file: Path) -> None:
    whole = shard_file.read_bytes()
    for length in range(len(whole)):
        shard_file.write_bytes(whole[:length])
        with pytest.raises(DamagedShardError, match="damaged"):
            read_shard_file(shard_file.parent, 3, 8)


def test_every_changed_byte_of_a_shard_file_is_seen(shard_file: Path) -> None:
    whole = shard_file.read_bytes()
    for position in range(len(whole)):
        for bit in (1, 128):
            shard_file.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
            with pytest.raises(DamagedShardError):
                read_shard_file(shard_file.parent, 3, 8)


def test_a_shard_file_of_another_place_is_refused(shard_file: Path) -> None:
    shard_file.rename(shard_path(shard_file.parent, 4))
    with pytest.raises(DamagedShardError, match="not of shard 4 of 8"):
        read_shard_file(shard_file.parent, 4, 8)
    with pytest.raises(DamagedShardError, match="not of shard 4 of 9"):
        read_shard_file(shard_file.parent, 4, 9)


# -- items ------------------------------------------------------------------------------------------------------------


def test_files_do_not_depend_on_the_order_of_the_items(tmp_path: Path) -> None:
    items = make_items(30)
    for name, order in (("one", items), ("two", items[::-1])):
        with Ledger.open(tmp_path / name, 8) as ledger:
            assert ledger.add_items(order) == 30
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_many_items_are_sorted_in_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(tmp_path / "memory", 8) as ledger:
        ledger.add_items(make_items(100))
    monkeypatch.setattr(ledger_module, "BUCKET_ITEMS", 9)
    with Ledger.open(tmp_path / "files", 8) as ledger:
        assert ledger.add_items(iter(make_items(100))) == 100
        assert ledger.add_items(iter(make_items(101))) == 1
        ledger.add_items([])
    with Ledger.open(tmp_path / "memory") as ledger:
        ledger.add_items(make_items(101))
    assert tree(tmp_path / "memory") == tree(tmp_path / "files")


def test_an_item_is_added_once_and_the_number_of_shards_stays(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        assert ledger.shards() == range(0) and ledger.add_items([]) == 0 and ledger.items_per_shard == 256
        assert ledger.add_items(make_items(600)) == 600 and ledger.shards() == range(3)
    with Ledger.open(tmp_path) as ledger:
        assert ledger.add_items(make_items(900)) == 300 and ledger.shards() == range(3)
        assert sorted(item.id for item in ledger.items()) == sorted(item.id for item in make_items(900))
    assert all(int(name, 16) % 3 == 1 for name in Ledger.open(tmp_path, log=silent).store.read_items(1))


def test_an_item_with_other_values_replaces_the_former(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.add_items([Item("s", "a", {"audio": "old.wav"})])
        assert ledger.add_items([Item("s", "a", {"audio": "new.wav"}, start=None)]) == 0
        assert ledger.add_items([Item("s", "a", {"audio": "new.wav"}, start=1.0, end=2.0)]) == 1
        assert sorted((item.media["audio"], item.start) for item in ledger.items() if item.start is None) == [("new.wav", None)]


def test_items_come_back_as_they_were(tmp_path: Path) -> None:
    item = Item("s", "-ä/../\udcff", {"image": "b"}, 0.1, 1 / 3, tags=("x", "y"), group="g", truth={"notes": [1, {"a": None}]})
    with Ledger.open(tmp_path) as ledger:
        ledger.add_items([item])
        assert list(ledger.items()) == [item]


def test_a_damaged_file_of_items_is_made_again_from_the_source(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, 10) as ledger:
        ledger.add_items(make_items(30))
    before, file = tree(tmp_path), shard_path(tmp_path / "items", 1)
    file.write_bytes(file.read_bytes()[:-5])
    said: list[str] = []
    with Ledger.open(tmp_path, log=said.append) as ledger:
        with pytest.raises(ValueError, match="damaged.*add the items again"):
            ledger.inputs(1)
        ledger.add_items(make_items(30))
    assert len(said) == 1 and str(file) in said[0] and "written again" in said[0]
    kept = {name for name in tree(tmp_path) if "superseded" in name}
    assert len(kept) == 1 and {name: data for name, data in tree(tmp_path).items() if name not in kept} == before


def test_a_missing_file_of_items_is_no_empty_shard(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, 10) as ledger:
        ledger.add_items(make_items(30))
        shard_path(tmp_path / "items", 1).unlink()
        with pytest.raises(ValueError, match="items of shard 1 are missing.*add the items again"):
            list(ledger.items())
        ledger.add_items(make_items(30))
        assert len(list(ledger.items())) == 30


# -- the folder -------------------------------------------------------------------------------------------------------


def test_two_runs_cannot_have_one_folder(tmp_path: Path) -> None:
    with Ledger.open(tmp_path):
        with pytest.raises(ValueError, match=f"Another run works in {tmp_path}; wait until it has ended, or give another folder."):
            Ledger.open(tmp_path)
    Ledger.open(tmp_path).close()


def test_each_value_of_another_configuration_is_named(tmp_path: Path) -> None:
    """Two long texts that begin and end alike would say nothing."""
    def origin(media: str, pieces: int, *more: object) -> dict[str, Any]:
        return {"sources": [{"kind": "folder", "media": media, "table": "x" * 300, "pieces": pieces}, *more]}

    with Ledger.open(tmp_path, 10, origin("a", 1)) as ledger:
        ledger.add_items(make_items(1))
    with pytest.raises(ValueError) as raised:
        Ledger.open(tmp_path, 10, origin("b", 2, {}))
    assert str(raised.value).endswith(
        "another configuration: sources number 1: media was 'a', and is 'b' now; sources number 1: pieces was 1, and is 2 now; "
        "sources were 1, and are 2 now; give another folder."
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"items_per_shard": 20}, "begun with 10 items a shard, not 20"),
        ({"origin": {"set": "MUImage", "profile": "small"}}, "another configuration: set was 'MUCaps', and is 'MUImage' now"),
        ({"origin": {"set": "MUCaps"}}, "another configuration: profile was 'small', and is None now"),
    ],
)
def test_a_folder_that_was_begun_otherwise_is_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    origin = {"profile": "small", "set": "MUCaps"}
    with Ledger.open(tmp_path, 10, origin) as ledger:
        ledger.add_items(make_items(30))
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=words):
        Ledger.open(tmp_path, **options)
    with Ledger.open(tmp_path, 10, {"set": "MUCaps", "profile": "small"}) as ledger:  # refused ones hold no lock
        assert ledger.shards() == range(3)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99, "shards": 2}', '{"shards": "2"}', "{"])
def test_a_strange_ledger_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ledger.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="ledger.json"):
        Ledger.open(tmp_path)


def test_a_folder_without_items_has_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="items_per_shard is 0"):
        Ledger.open(tmp_path, 0)
    with Ledger.open(tmp_path) as ledger, pytest.raises(ValueError, match="no items yet; add some first"):
        ledger.store  # noqa: B018


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with Ledger.open(tmp_path, 10) as ledger:
        ledger.add_items(make_items(30))
        before = tree(tmp_path)

        def refuse(*arguments: object) -> NoReturn:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(COMMAND_ERRORS) as caught:
            ledger.add_items(make_items(60))
        assert os.strerror(number) in sentence(caught.value) and "\n" not in sentence(caught.value)
    assert tree(tmp_path) == before and not list(tmp_path.rglob(".partial-*"))


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *arguments: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch, pytest.raises(COMMAND_ERRORS) as caught:
        patch.setattr(os, "open", refuse)  # root may write everywhere
        Ledger.open(tmp_path)
    assert sentence(caught.value).startswith(f"Permission denied: {tmp_path}")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(COMMAND_ERRORS) as caught:
        Ledger.open(tmp_path / "file")
    assert "File exists" in sentence(caught.value)


# -- outcomes ---------------------------------------------------------------------------------------------------------


@pytest.fixture()
def ledger(tmp_path: Path) -> Any:
    with Ledger.open(tmp_path, 5) as ledger:
        ledger.add_items(make_items(20))
        yield ledger


def test_a_later_step_gets_what_earlier_ones_kept(ledger: Ledger) -> None:
    ledger.write_outcomes(FIRST, outcomes_for(ledger, reject="k3"))
    ledger.write_outcomes(SECOND, outcomes_for(ledger, FIRST, reject="k4"), [FIRST])
    for after in ([FIRST, SECOND], [SECOND, FIRST]):
        inputs = [value for shard in ledger.shards() for value in ledger.inputs(shard, after)]
        assert {value.item.key for value in inputs} == {f"k{number}" for number in range(20)} - {"k3", "k4"}
        assert all(value.results["first"] == {"key": value.item.key} == value.results["second"] for value in inputs)
    assert dict(ledger.outcomes(FIRST))[make_items(4)[3].id] == Rejection("silent", "It is silent.")
    assert len(dict(ledger.outcomes(SECOND))) == 19


def test_an_earlier_step_has_run_on_all_items(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="first has no results for shard 0 .*run it first"):
        ledger.inputs(0, [FIRST])
    ledger.write_outcomes(FIRST, outcomes_for(ledger, reject="k3"))
    ledger.write_outcomes(SECOND, outcomes_for(ledger, FIRST), [FIRST])
    shard = ledger.store.shard_of(make_items(4)[3].id)
    with pytest.raises(ValueError, match="second has no result for item .* .k3.; run it again"):
        ledger.inputs(shard, [SECOND])  # the step that rejected it is left out
    ledger.add_items(make_items(21))
    with pytest.raises(ValueError, match="first has no result for item .* .k20.; run it again"):
        [ledger.inputs(shard, [FIRST]) for shard in ledger.shards()]


def test_histories_have_every_item_up_to_its_rejection(ledger: Ledger) -> None:
    ledger.write_outcomes(FIRST, outcomes_for(ledger, reject="k3"))
    ledger.write_outcomes(SECOND, outcomes_for(ledger, FIRST), [FIRST])
    histories = {item.key: history for item, history in ledger.histories([FIRST, SECOND])}
    assert len(histories) == 20 and histories["k3"] == {"first": Rejection("silent", "It is silent.")}
    assert histories["k5"] == {"first": {"key": "k5"}, "second": {"key": "k5"}}


def test_an_unfinished_step_has_no_outcomes(ledger: Ledger) -> None:
    ledger.write_outcomes(FIRST, outcomes_for(ledger))
    shard_path(ledger.store.step_folder(FIRST), 2).unlink()
    with pytest.raises(ValueError, match="first has no results for shard 2"):
        list(ledger.outcomes(FIRST))
    with pytest.raises(ValueError, match="first has no results for shard 2"):
        list(ledger.histories([FIRST]))


def test_outcomes_of_the_whole_set_are_for_exactly_its_items(ledger: Ledger) -> None:
    outcomes = outcomes_for(ledger)
    missing = dict(list(outcomes.items())[1:])
    with pytest.raises(ValueError, match=f"gives no outcome for item {next(iter(outcomes))}; it has 20 inputs and 19 outcomes"):
        ledger.write_outcomes(FIRST, missing)
    with pytest.raises(ValueError, match="an outcome that is not asked for, of item ffff"):
        ledger.write_outcomes(FIRST, {**outcomes, "ffff": {}})
    with pytest.raises(ValueError, match="JSON"):
        ledger.write_outcomes(FIRST, {name: {"value": float("nan")} for name in outcomes})


def test_a_new_item_unfinishes_a_step_of_the_whole_set(ledger: Ledger) -> None:
    assert not ledger.is_finished(FIRST)
    ledger.write_outcomes(FIRST, outcomes_for(ledger))
    before = tree(ledger.folder)
    assert ledger.is_finished(FIRST) and not ledger.is_finished(SECOND)
    ledger.write_outcomes(FIRST, outcomes_for(ledger))
    assert tree(ledger.folder) == before
    ledger.add_items(make_items(21))
    assert not ledger.is_finished(FIRST)
    # A run that was stopped between the shards of such a step is not taken for finished.
    shard = ledger.store.shard_of(make_items(21)[20].id)
    half = {number: (shard_path(ledger.store.step_folder(FIRST), number)).read_bytes() for number in ledger.shards() if number != shard}
    ledger.write_outcomes(FIRST, outcomes_for(ledger))
    assert ledger.is_finished(FIRST)
    for number, data in half.items():
        shard_path(ledger.store.step_folder(FIRST), number).write_bytes(data)
    assert not ledger.is_finished(FIRST)


def test_a_damaged_file_unfinishes_a_step_of_the_whole_set(tmp_path: Path) -> None:
    said: list[str] = []
    with Ledger.open(tmp_path, 5, log=said.append) as ledger:
        ledger.add_items(make_items(20))
        ledger.write_outcomes(FIRST, outcomes_for(ledger))
        before = tree(tmp_path)
        file = shard_path(ledger.store.step_folder(FIRST), 1)
        file.write_bytes(file.read_bytes()[:-30])
        with pytest.raises(ValueError, match="damaged.*run the step first again"):
            list(ledger.outcomes(FIRST))
        assert not ledger.is_finished(FIRST) and "part-00001.jsonl is damaged" in said[0]
        ledger.write_outcomes(FIRST, outcomes_for(ledger))
        assert {name: data for name, data in tree(tmp_path).items() if "superseded" not in name} == before


def test_a_step_folder_says_what_it_depends_on(ledger: Ledger) -> None:
    ledger.write_outcomes(FIRST, outcomes_for(ledger))
    spec_file = ledger.store.step_folder(FIRST) / "spec.json"
    assert '"model": "a"' in spec_file.read_text(encoding="utf-8")
    spec_file.write_text(spec_file.read_text(encoding="utf-8").replace('"a"', '"b"'), encoding="utf-8")
    with pytest.raises(ValueError, match="of another step than first-"):
        ledger.write_outcomes(FIRST, outcomes_for(ledger))
