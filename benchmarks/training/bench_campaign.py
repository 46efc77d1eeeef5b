"""Measure oracle calls per second of a whole campaign with its store, compared with loops that store nothing.

    python benchmarks/training/bench_campaign.py [--iterations 20] [--batch 64] [--policies zinc-gru 3x512]
                                                [--precisions auto bfloat16]

A campaign draws batches, scores them with QED, takes steps on REINVENT's loss, and commits every sample, score, metric,
policy and checkpoint to a store. The loops of ``plain_training`` run alternately with it: one iteration of each after
every iteration of molbuffer. An oracle call is a valid molecule that is new to the run. Times are CPU times of this
process with one compute thread; the work of molbuffer's writing thread is included. On a machine with several cores,
molbuffer parses and scores in further processes, which the loops do not: their time is printed separately, and "on one
core" includes it.

The loops compute in float32. So does molbuffer with the default ``training.precision``, auto, except for the products
of the gradient, which are in bfloat16 if the processor has it; with bfloat16, all products are in bfloat16.

3x512 has the weights of zinc-gru within 3 layers of 512 units, the size that much of the field uses, and draws the same
molecules up to rounding.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import torch
import zarr  # noqa: F401 (the first commit would import it, which is no part of an iteration)
from plain_training import CellLoop, FusedLoop, PlainTraining

import molbuffer as mb
from molbuffer.samplers import Policy, find_policy, load_policy, policy_files
from molbuffer.samplers.models import GRUArchitecture, GRULanguageModel
from molbuffer.training import AutoPrecision

SIGMA, LEARNING_RATE = 128.0, 1e-8
"""Steps so small that all go on drawing the same molecules, of about the same lengths."""
PEERS: dict[str, type[PlainTraining]] = {"cells, graph kept": CellLoop, "torch.nn.GRU": FusedLoop}
TARGETS = {"cells, graph kept": 4.0, "torch.nn.GRU": 1.2}
SMALL = 0.01
"""What the added layer multiplies its input by, so that its tanh is nearly the identity."""


@torch.no_grad()
def widened(model: GRULanguageModel, layers: int = 3, hidden: int = 512) -> GRULanguageModel:
    """Return a larger model with nearly the same distribution: added units are 0, and added layers pass values on."""
    sizes = model.sizes
    wide = GRULanguageModel(
        GRUArchitecture(sizes.vocabulary_size, sizes.embedding_size, hidden, layers, 0.0, sizes.max_length)
    )
    for parameter in wide.parameters():
        parameter.zero_()
    wide.embedding.weight.copy_(model.embedding.weight)
    scale = 1.0
    for layer, weights in enumerate(wide.recurrent.all_weights):
        from_input, from_state, input_bias, state_bias = (each.unflatten(0, (3, hidden)) for each in weights)
        if layer < sizes.layers:
            old = [each.unflatten(0, (3, sizes.hidden_size)) for each in model.recurrent.all_weights[layer]]
            from_input[:, : sizes.hidden_size, : old[0].shape[2]] = old[0]
            from_state[:, : sizes.hidden_size, : sizes.hidden_size] = old[1]
            input_bias[:, : sizes.hidden_size], state_bias[:, : sizes.hidden_size] = old[2], old[3]
        else:
            from_input[2] = SMALL * torch.eye(hidden)
            input_bias[1] = -30.0  # the state before is forgotten
            scale *= SMALL
    wide.head.weight[:, : sizes.hidden_size] = model.head.weight / scale
    wide.head.bias.copy_(model.head.bias)
    return wide.eval()


def of_workers() -> float:
    """Return the CPU seconds of the child processes of this process; 0 if the system does not report them."""
    total = 0.0
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in task.read_text().split():
            user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
            total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


@dataclass
class Clock:
    """A clock of CPU seconds of all threads of this process, and of its worker processes."""

    spent: dict[str, float] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=time.process_time)
    _beside: float = field(default_factory=of_workers)

    def stop(self, name: str) -> None:
        """Add the time since the last stop to a name."""
        now, beside = time.process_time(), of_workers()
        self.spent[name] = self.spent.get(name, 0.0) + now - self._started
        self.beside[name] = self.beside.get(name, 0.0) + beside - self._beside
        self._started, self._beside = now, beside


def compare(name: str, policy: Policy, precision: AutoPrecision, iterations: int, batch: int, folder: Path) -> None:
    """Print oracle calls per second of molbuffer and of the plain loops on one policy."""
    model = policy.model
    assert isinstance(model, GRULanguageModel)
    for file, content in policy_files(model, policy.vocabulary).items():
        folder.mkdir(exist_ok=True)
        (folder / file).write_bytes(content)
    arguments = {"sigma": SIGMA, "learning_rate": LEARNING_RATE, "batch": batch}
    peers = {label: kind(model, policy.vocabulary, **arguments) for label, kind in PEERS.items()}
    calls = dict.fromkeys(peers, 0)
    clock = Clock()

    def turn(step: mb.FitProgress) -> None:
        clock.stop("molbuffer" if step.iteration > 1 else "start")
        for label, peer in peers.items():
            made = peer.iterate()
            calls[label] += made if step.iteration > 1 else 0
            clock.stop(label if step.iteration > 1 else "start")

    with mb.open(folder / "lab") as lab:
        objective = mb.Objective([mb.QED()])
        with lab.run("bench", objective=objective, policy=str(folder), seed=0) as run:
            sampler = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(batch, 1.0))
            run.train(
                batch_size=batch,
                iterations=iterations + 1,
                samplers=[sampler],
                loss=mb.Reinvent(SIGMA),
                learner=mb.LearnerSettings(LEARNING_RATE, precision=precision),
                checkpoint_every=10,
                progress=turn,
            )
        clock.stop("molbuffer")  # the last commit
        found = lab.query(
            "SELECT smiles, min(iteration) AS first FROM sample_history WHERE smiles IS NOT NULL AND "
            "event = 'sample_batch' GROUP BY smiles HAVING first > 0"
        )
        calls["molbuffer"] = len(found)
    size = f"{model.sizes.layers} x {model.sizes.hidden_size}"
    print(f"{name}: {size}, precision {precision}, {iterations} iterations of {batch}")
    ours = calls["molbuffer"] / clock.spent["molbuffer"]
    one_core = calls["molbuffer"] / (clock.spent["molbuffer"] + clock.beside["molbuffer"])
    for label in ("molbuffer", *peers):
        rate = calls[label] / clock.spent[label]
        seconds = clock.spent[label] / iterations
        target = f", of at least {TARGETS[label]}" if label in TARGETS else ""
        beside = f"and {1000 * clock.beside[label] / iterations:.0f} ms in other processes"
        told = (
            f"ours {ours / rate:.2f} times that{target}; on one core {one_core / rate:.2f}"
            if label in TARGETS
            else beside
        )
        print(f"  {label:<18} {rate:>6.0f} calls/s {1000 * seconds:>6.0f} ms an iteration  {told}")


def waiting(iterations: int, batch: int, folder: Path) -> None:
    """Print the share of an iteration that is spent waiting for stored rows, when half of each batch is stored."""
    with mb.open(folder) as lab, lab.run("bench", objective=mb.Objective([mb.QED()]), policy="zinc-gru", seed=0) as run:
        sampler = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(4 * batch, 0.5))
        run.train(
            batch_size=batch,
            iterations=iterations,
            samplers=[sampler],
            selection=mb.Uniform(),
            loss=mb.Reinvent(SIGMA),
            build_every=10,
            checkpoint_every=10,
        )
        found = lab.query(
            "SELECT name, sum(value) FROM metrics WHERE sampler IS NULL AND "
            "name IN ('seconds_waiting', 'seconds_drawing', 'seconds_learning') GROUP BY name ORDER BY name"
        )
    seconds = {name.removeprefix("seconds_"): value for name, value in found.rows()}
    shares = ", ".join(f"{name} {100 * value / sum(seconds.values()):.1f} %" for name, value in seconds.items())
    print(f"half of a batch of {batch} from the buffer, {iterations} iterations: {shares} (waiting: at most 5 %)")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--iterations", type=int, default=20)
    arguments.add_argument("--batch", type=int, default=64, help="rows of a batch")
    arguments.add_argument("--policies", nargs="+", choices=("zinc-gru", "3x512"), default=["zinc-gru", "3x512"])
    precisions = get_args(AutoPrecision)
    arguments.add_argument("--precisions", nargs="+", choices=precisions, default=["auto", "bfloat16"])
    chosen = arguments.parse_args()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    policy = load_policy(find_policy("zinc-gru"))
    assert isinstance(policy.model, GRULanguageModel)
    policies = {"zinc-gru": policy}
    if "3x512" in chosen.policies:
        policies["3x512"] = Policy.of(widened(policy.model), policy.vocabulary)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, precision in itertools.product(chosen.policies, chosen.precisions):
                where = Path(folder) / f"{name}-{precision}"
                compare(name, policies[name], precision, chosen.iterations, chosen.batch, where)
                sys.stdout.flush()
            waiting(chosen.iterations, chosen.batch, Path(folder) / "waiting")
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
