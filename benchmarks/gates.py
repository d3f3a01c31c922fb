"""Compares initial gate values: stage 1 from each value, on questions that only the recording can answer.

    python -m benchmarks.gates                  # a fresh small LLaMA, three seeds a start
    python -m benchmarks.gates --llama nano     # the trained LLaMA of ckpts/nano, with fresh adapters

Every recording comes with one question, which of four instruments leads; a guess is right in one case of four. LLaMA gets
audio only through new adapters behind gates, which scale them by tanh(gate). The preset is "ours", which trains the gates;
the last row keeps them closed, as the published training did.

quick: steps after which at least `GOOD_SHARE` of the greedy answers about recordings never trained on stay right (median of the
seeds). right: that share at the end. swapped: the same answers, judged against every other recording. gate: mean size at
the end. Loss: of the answer's tokens; a small LLaMA whose output map is random and frozen cannot bring it near 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from DataSet.synthesis.made_set import LISTENING_LEADS, listening_set
from llama.cli import DEFAULT_MODEL
from llama.config import MuMuConfig
from llama.data.examples import Example
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.dialogue import Turn
from llama.generation import GenerationOptions, decode, tokenize
from llama.mumu_llama import MuMuLLaMA, load
from llama.mumu_model import ModalityFeatures
from llama.training.config import ModelSettings, TrainConfig
from llama.training.distributed import make_accelerator
from llama.training.feature_cache import prompts
from llama.training.launch import build_trainer
from llama.training.loader import LoaderOptions, train_batches
from llama.training.module import complete_model
from llama.training.run_checkpoints import RunCheckpoints
from llama.training.trainer import Trainer

THREADS = 1
TRAINING_RECORDINGS, HELD_OUT = 96, 48  # recordings
SEEDS, STEPS, BATCH = 3, 120, 16
STARTS = (0.0, 0.1, 0.3, 1.0)
CHECK_EVERY = 10  # steps between examinations; the loss is the mean of as many
GOOD_SHARE = 0.8
MAX_ANSWER_TOKENS = 16  # tokens at most


@dataclass(frozen=True)
class Case:
    """One initial gate value."""

    start: float
    trained: bool = True  # the gates

    @property
    def name(self) -> str:
        return f"{self.start:g}" if self.trained else f"{self.start:g}, frozen"


@dataclass(frozen=True)
class Result:
    """Figures of one run."""

    steps_until_good: float  # infinite where it was not reached
    loss: float  # the mean of the last steps
    right: float
    swapped: float
    gate: float


CASES = (*(Case(start) for start in STARTS), Case(0.0, trained=False))


def make_model(seed: int, trained: bool) -> MuMuLLaMA:
    """A model with ckpts/nano's audio encoder, new adapters with one position, and a random small LLaMA or ckpts/nano's."""
    nano, sizes = load(DEFAULT_MODEL, merge_lora=False), MuMuConfig.tiny()
    trained_llama = nano.config.llama
    small = dataclasses.replace(sizes.llama, vocab_size=trained_llama.vocab_size, max_seq_len=trained_llama.max_seq_len)
    audio = dataclasses.replace(nano.config.audio, pools=("mean",))  # the published pool; no weights, so seeds share a cache
    config = dataclasses.replace(nano.config, audio=audio, llama=trained_llama if trained else small)
    torch.manual_seed(seed)
    model = MuMuLLaMA(config, tokenizer=nano.tokenizer, mert=nano.mert)
    if trained:
        model.llama.load_state_dict(nano.llama.state_dict())
    return model


def make_lists(folder: Path) -> None:
    """The listening set, in two lists; in both every instrument is right equally often."""
    listening_set(folder, TRAINING_RECORDINGS + HELD_OUT, 0, lambda _: None)
    rows = json.loads((folder / "MusicQA.json").read_text())
    for name, part in (("learned", rows[:TRAINING_RECORDINGS]), ("held_out", rows[TRAINING_RECORDINGS:])):
        (folder / f"{name}.json").write_text(json.dumps(part))


def questions(folder: Path, name: str) -> Source:
    return Source("musicqa", str(folder / f"{name}.json"), str(folder / "audios"))


def make_config(folder: Path, model: Path, case: Case, seed: int, steps: int) -> TrainConfig:
    layers = count_layers(model)
    freeze = () if case.trained else tuple(f"llama.layers.{layer}.attention.gate" for layer in range(layers))
    return TrainConfig(
        model=ModelSettings(path=str(model)), freeze=freeze, data={1: (questions(folder / "made", "learned"),)}, seed=seed,
        output_dir=str(folder / "run"), cache_dir=str(folder / "features"), device="cpu", gate_start=case.start, max_steps=steps,
        batch_size=BATCH, lr=1e-3, min_lr=1e-4, warmup_steps=min(10, steps - 1),
    )  # fmt: skip


def count_layers(model: Path) -> int:
    return MuMuConfig.from_json((model / "config.json").read_text()).llama.n_layers


def train(config: TrainConfig, data_folder: Path) -> Result:
    """Runs stage 1 as train.py does, and measures the answers on held-out recordings."""
    run = build_trainer(config, 1, make_accelerator(config.precision, config.device), RunCheckpoints(Path(config.output_dir), 1))
    batches = train_batches(LoaderOptions.of(config), run.tokenizer, run.train_data, run.train_step.features.reader)
    examples = list(read_source(questions(data_folder, "held_out"), 1))
    expected = [first_instrument(item.answer) for item in examples]
    losses, shares = [], []
    while run.step < run.total_steps:
        losses = [run.update(batch)["words"] for batch in islice(batches, CHECK_EVERY)]
        right, swapped = accuracy([first_instrument(item) for item in answers(run, examples)], expected)
        shares.append(right)
    gates = torch.stack([block.attention.gate.detach() for block in run.module.model.llama.layers])
    return Result(steps_until_good(shares), statistics.mean(losses), right, swapped, float(gates.abs().mean()))


def steps_until_good(shares: Sequence[float]) -> float:
    """Steps from which on every examination found `GOOD_SHARE` of the answers right; infinite if the last one did not."""
    bad = [check for check, share in enumerate(shares, 1) if share < GOOD_SHARE]
    last = bad[-1] if bad else 0
    return (last + 1) * CHECK_EVERY if last < len(shares) else math.inf


def accuracy(answers: Sequence[str], expected: Sequence[str]) -> tuple[float, float]:
    """(accuracy, accuracy of the same answers against the recordings of all other questions)."""
    right = sum(map(str.__eq__, answers, expected))
    pairs = sum(answer == other for answer in answers for other in expected) - right
    return right / len(answers), pairs / (len(answers) * (len(answers) - 1))


def first_instrument(answer: str) -> str:
    """The instrument that an answer names; "" for none."""
    positions = {answer.find(name): name for name in LISTENING_LEADS if name in answer}
    return positions[min(positions)] if positions else ""


@torch.no_grad()
def answers(run: Trainer, examples: Sequence[Example]) -> list[str]:
    """Greedy answers from the recordings' cached features."""
    features = run.train_step.features
    features_of_audio = features.encode_missing([features.reader(example.audio) for example in examples if example.audio is not None])
    with complete_model(run.module, run.components) as model:
        audio = ModalityFeatures(audio=prompts(model.adapters["audio"], features_of_audio))  # type: ignore[arg-type]
        prompts_of_turns = tokenize(model, [Turn(example.instruction) for example in examples])
        columns = [step.tokens for step in decode(model, prompts_of_turns, audio, MAX_ANSWER_TOKENS, GenerationOptions())]
    rows = torch.stack(columns, dim=1).tolist()
    eos = run.tokenizer.eos
    return [run.tokenizer.decode(row[: row.index(eos)] if eos in row else row, skip_special=True) for row in rows]


def report(case: Case, results: Sequence[Result]) -> str:
    """A row of the table: the median of `steps_until_good`, means of the rest, with the least and the most."""

    def spread(values: Sequence[float]) -> str:
        return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    steps = [result.steps_until_good for result in results]
    steps_text = ["never" if math.isinf(value) else f"{value:.0f}" for value in (statistics.median(steps), min(steps), max(steps))]
    quick_words = f"{steps_text[0]} ({steps_text[1]} to {steps_text[2]})"
    means = [statistics.mean([getattr(result, name) for result in results]) for name in ("loss", "swapped", "gate")]
    right = spread([result.right for result in results])
    return f"{case.name:10} {quick_words:>20} {means[0]:7.3f} {right:>20} {means[1]:8.2f} {means[2]:6.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each start (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the optimiser in each run, in tens (default: %(default)s)")
    parser.add_argument("--llama", choices=("fresh", "nano"), default="fresh")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_lists(folder / "made")
        for seed in range(options.seeds):
            make_model(seed, options.llama == "nano").save_pretrained(folder / f"model-{seed}")
        print(f"stage 1, {options.llama} LLaMA, {options.steps} steps of {BATCH}, {options.seeds} seeds, {TRAINING_RECORDINGS} recordings; "
              f"judged on {HELD_OUT} others; a guess is right in {1 / len(LISTENING_LEADS):.2f}")  # fmt: skip
        print(f"{'start':10} {'quick':>20} {'loss':>7} {'right':>20} {'swapped':>8} {'gate':>6}")
        for case in CASES:
            started = time.perf_counter()
            runs = [train(make_config(folder, folder / f"model-{seed}", case, seed, options.steps), folder / "made")
                    for seed in range(options.seeds)]  # fmt: skip
            print(report(case, runs), f"  {time.perf_counter() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
