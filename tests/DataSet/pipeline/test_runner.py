"""Runners: every item is computed exactly once, failures are recorded and bounded, and the log says how long the rest takes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pipeline_steps import LATER, SPEC, CountingStep, PipelineFolder, computed, id_of, make_items, tree

from DataSet.pipeline import runner as runner_module
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.runner import RunOptions, run_step
from DataSet.pipeline.shard_job import BrokenItemsError
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from llama.errors import COMMAND_ERRORS, sentence
from llama.files import WriteError

# -- results ----------------------------------------------------------------------------------------------------------


def test_a_step_is_computed_once(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="reject"))
    report = folder.run()
    assert report.rules == {"ok": 19, "silent": 1} and report.kept == 19
    assert (report.computed_items, report.skipped_items, report.computed_shards, report.skipped_shards) == (20, 0, 4, 0)
    assert report.seconds > 0 and report.items_per_second == pytest.approx(20 / report.seconds)
    assert str(report).startswith("count: 19 ok, 1 silent; 20 computed in ")
    before = tree(folder.root)

    def no_step() -> CountingStep:
        raise AssertionError("nothing is missing")

    with Ledger.open(folder.root) as ledger:
        again = run_step(ledger, no_step, SPEC)
    assert again.rules == report.rules and (again.computed_items, again.skipped_items, again.skipped_shards) == (0, 20, 4)
    assert again.items_per_second == 0 and tree(folder.root) == before and set(computed(folder.counted).values()) == {1}


def test_a_later_step_computes_what_earlier_ones_kept(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="reject"))
    folder.run()
    report = folder.run(LATER, [SPEC])
    assert report.rules == {"ok": 19} and id_of("k3") not in folder.outcomes(LATER)
    first, second = folder.outcomes(SPEC), folder.outcomes(LATER)
    assert all(second[name]["value"] == 2 * first[name]["value"] for name in second)  # type: ignore[index]


def test_a_later_step_asks_for_the_earlier_one(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    with pytest.raises(ValueError, match="The step count has no results for shard 0 .*run it first"):
        folder.run(LATER, [SPEC])


def test_only_new_items_of_an_old_shard_are_computed(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    folder.run()
    folder.add(make_items(23))
    report = folder.run()
    assert (report.computed_items, report.skipped_items) == (3, 20) and set(folder.times().values()) == {1}
    whole = PipelineFolder(tmp_path / "whole", make_items(23), 6)  # as many shards, at once
    whole.run()
    for shard in range(4):
        assert folder.path(shard).read_bytes() == whole.path(shard).read_bytes()


def test_only_items_with_changed_inputs_are_computed_again(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    folder.run()
    folder.run(LATER, [SPEC])
    folder.counted.unlink()
    folder.add(make_items(20, k7="reject"))
    report = folder.run()
    assert (report.computed_items, report.skipped_items, folder.times()) == (1, 19, {"k7": 1})
    report = folder.run(LATER, [SPEC])
    assert (report.computed_items, report.rules, folder.times()) == (0, {"ok": 19}, {"k7": 1})
    assert id_of("k7") not in folder.outcomes(LATER)
    kept = [path for path in (folder.root / "steps").rglob("superseded/*.jsonl") if id_of("k7") in path.read_text(encoding="utf-8")]
    assert len(kept) == 2  # the former outcomes of both steps


def test_results_of_other_settings_never_mix(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    specs = [StepSpec("count", 1, {"model": "a"}), StepSpec("count", 1, {"model": "b"}), StepSpec("count", 2, {"model": "a"})]
    assert [folder.run(spec).computed_items for spec in specs[:2]] == [20, 20]
    assert len({spec.folder for spec in specs}) == 3 and all(spec.folder.startswith("count-") for spec in specs)
    assert folder.run(specs[0]).computed_items == 0
    folder.path(0, specs[0]).write_bytes(folder.path(0, specs[1]).read_bytes())
    report = folder.run(specs[0])  # a file of the other step in this one's place
    assert report.computed_shards == 1 and any("holds shard 0 of another step; its items are" in line for line in folder.said)


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: b"", lambda data: data.replace(b'"ok"', b'"oj"', 1)])
def test_a_damaged_shard_file_is_computed_again_and_kept(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    folder.run()
    whole = folder.path(2).read_bytes()
    folder.path(2).write_bytes(damage(whole))
    report = folder.run()
    assert report.computed_shards == 1 and folder.path(2).read_bytes() == whole
    assert any("part-00002.jsonl is damaged" in line and "computed again" in line for line in folder.said)
    assert [path.read_bytes() for path in (folder.path(0).parent / "superseded").iterdir()] == [damage(whole)]


@pytest.mark.parametrize(("runner", "workers", "words"), [("local", 1, "1 worker"), ("processes", 2, "2 workers")])
def test_the_rest_is_estimated_after_the_first_shard(tmp_path: Path, runner: str, workers: int, words: str) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    with Ledger.open(folder.root) as ledger:
        first = len(ledger.inputs(0))
    said: list[tuple[str, int]] = []
    folder.run(runner=runner, workers=workers, log=lambda line: said.append((line, len(computed(folder.counted)))))
    estimate = f"count: {20 - first} items, less than 0.01 hours on {words} (0 GPUs)"
    assert said == [("count: 20 items to compute", 0), (estimate, first)]


def test_the_log_tells_how_far_a_long_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "LOG_SECONDS", -1.0)
    folder = PipelineFolder(tmp_path, make_items(20))
    folder.run()
    assert len(folder.said) == 5 and folder.said[-1] == "count: 20 of 20 items"


# -- failures ---------------------------------------------------------------------------------------------------------


def test_only_the_failing_items_of_a_batch_are_recorded(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="error", k9="error"))
    report = folder.run(batch_size=4)
    assert report.rules == {"ok": 18, "error": 2} and len(report.failures) == 2
    assert folder.outcomes()[id_of("k3")] == Rejection("error", "k3 cannot be read.")
    assert f"{id_of('k9')} (k9): k9 cannot be read." in report.failures
    assert folder.run().computed_items == 0  # it is recorded, and not tried for ever


def test_a_transient_failure_is_tried_again_with_growing_waits(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="transient", k9="transient-once", k11="memory"))
    waits: list[float] = []
    report = folder.run(batch_size=1, tries=4, wait=0.5, sleep=waits.append)
    assert report.rules == {"ok": 18, "transient": 2} and sorted(waits) == [0.5, 0.5, 0.5, 1.0, 1.0, 2.0, 2.0]
    assert folder.outcomes()[id_of("k3")] == Rejection("transient", "k3 has to wait.")
    assert folder.outcomes()[id_of("k11")] == Rejection("transient", "MemoryError")
    assert folder.times()["k3"] == folder.times()["k11"] == 4 and folder.times()["k9"] == 2


def test_retry_computes_failed_items_alone(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="error-once", k9="transient", k11="reject"))
    folder.run(batch_size=1, tries=2)
    folder.counted.unlink()
    assert folder.run().computed_items == 0
    report = folder.run(retry=True, batch_size=1, tries=2)
    assert report.rules == {"ok": 18, "transient": 1, "silent": 1} and folder.times() == {"k3": 1, "k9": 2}
    assert (report.computed_items, report.skipped_items) == (2, 18)


@pytest.mark.parametrize(("most", "words"), [(2, "more than 2 items"), (0.1, "more than 2 items"), (0, "more than 0 items")])
@pytest.mark.parametrize("runner", ["local", "processes"])
def test_too_many_failures_stop_the_run(tmp_path: Path, runner: str, most: float, words: str) -> None:
    broken = sorted((item.id, item.key) for item in make_items(20))[:4]
    folder = PipelineFolder(tmp_path, make_items(20, **{key: "error" for _, key in broken}))
    with pytest.raises(BrokenItemsError, match=words) as caught:
        folder.run(runner=runner, max_broken=most)
    named = [key for _, key in broken if f"({key}): {key} cannot be read" in str(caught.value)]
    assert len(named) > (most * 20 if isinstance(most, float) else most) and "\n" not in sentence(caught.value)
    stayed = len(list(folder.path(0).parent.glob("part-*")))
    folder.counted.unlink()
    report = folder.run(max_broken=4)
    assert report.skipped_shards == stayed and report.rules == {"ok": 16, "error": 4}


def test_failures_of_all_workers_are_counted_together(tmp_path: Path) -> None:
    broken = {item.key: "transient" for item in make_items(20)[::5]}
    folder = PipelineFolder(tmp_path, make_items(20, **broken), 2)  # at most one or two a shard
    with pytest.raises(BrokenItemsError, match="more than 3 items"):
        folder.run(runner="processes", workers=2, max_broken=3, tries=1)


@pytest.mark.parametrize("runner", ["local", "processes"])
@pytest.mark.parametrize(("does", "kind"), [("fault", ZeroDivisionError), ("end", EOFError)])
def test_a_fault_of_the_program_keeps_its_traceback(tmp_path: Path, runner: str, does: str, kind: type[Exception]) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3=does))
    with pytest.raises(kind if runner == "local" else RuntimeError, match="a fault of the program") as caught:
        folder.run(runner=runner)
    if runner == "processes":
        assert "pipeline_steps.py" in str(caught.value.__cause__) and kind.__name__ in str(caught.value.__cause__)
    failed = int(id_of("k3"), 16) % 4
    done = {int(path.stem[-1]) for path in folder.path(0).parent.glob("part-*")}
    assert done == set(range(failed))
    folder.counted.unlink()
    folder.add(make_items(20))
    folder.run()
    assert not [key for key in folder.times() if int(id_of(key), 16) % 4 in done]


@pytest.mark.parametrize("runner", ["local", "processes"])
def test_a_step_that_cannot_be_made_is_one_sentence(tmp_path: Path, runner: str) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    with pytest.raises(COMMAND_ERRORS) as caught:
        folder.run(runner=runner, step={"load": "models/absent"})
    assert sentence(caught.value).startswith("No such file or directory: models/absent")
    with pytest.raises(ValueError, match="The factory makes the step count-.*, not count-.*; give its own spec"):
        folder.run(runner=runner, step={"model": "other"})


def test_values_that_are_no_json_are_a_fault_of_the_step(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="strange"))
    with pytest.raises(RuntimeError, match=f"The step count gave values for item {id_of('k3')} that are no JSON."):
        folder.run()


def test_a_step_gives_an_outcome_an_item(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))

    class Short:
        spec = SPEC

        def __call__(self, batch: Sequence[StepInput]) -> Sequence[Outcome]:
            return [{}]

    with Ledger.open(folder.root) as ledger, pytest.raises(RuntimeError, match="The step count gave 1 outcomes for 2 items."):
        run_step(ledger, Short, SPEC, options=folder.options())


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(tmp_path: Path) -> None:
    import resource

    folder = PipelineFolder(tmp_path, make_items(20))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # a shard file is larger
    try:
        with pytest.raises(WriteError, match="part-00000.jsonl could not be written .*make room, or give another place"):
            folder.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert not list(folder.root.rglob(".partial-*")) and not folder.path(0).exists()
    assert folder.run().rules == {"ok": 20}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runner": "threads"}, "runner is 'threads'; give one of local, processes, ray"), ({"workers": 0}, "workers is 0"),
        ({"workers": 2}, "local has one worker, not 2"), ({"tries": 0}, "tries is 0"), ({"batch_size": -1}, "batch_size is -1"),
        ({"max_broken": 1.5}, "max_broken is 1.5; give a whole number from 0, or a share"), ({"max_broken": -1}, "max_broken is -1"),
        ({"wait": -1.0}, "may not be negative"),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RunOptions(**options)


def test_options_are_replaced_by_name() -> None:
    assert replace(RunOptions(), runner="processes", workers=4).broken_limit(0) == 0
    assert (RunOptions(max_broken=3).broken_limit(1000), RunOptions(max_broken=0.01).broken_limit(1000)) == (3, 10)
    assert (RunOptions(max_broken=0.1).broken_limit(4), RunOptions(max_broken=0.0).broken_limit(4)) == (1, 0)
