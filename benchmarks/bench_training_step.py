"""A training step of the GRU language model, beside the same model on ``torch.nn.GRU``.

    python benchmarks/bench_training_step.py [--steps 10]

Both do forward and backward passes of 2 layers of 384 units over batches of 128 rows of 44 tokens, in turn; the best
time of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from samplers.models.gru import GRUArchitecture, GRULanguageModel
from samplers.vocabulary import START

ROWS, LENGTH, VOCABULARY = 128, 44, 64


class OnTorchGRU(GRULanguageModel):
    """The same weights run by ``torch.nn.GRU``."""

    def logits(self, tokens: Tensor) -> Tensor:
        before = functional.pad(tokens[:, :-1], (1, 0), value=START)
        states, _ = self.recurrent(self.embedding(before))
        logits: Tensor = self.head(states) + self.impossible
        return logits


def seconds(step: Callable[[], None], steps: int) -> float:
    best = float("inf")
    for _ in range(steps):
        started = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - started)
    return best


def training_step(model: GRULanguageModel, tokens: Tensor, lengths: Tensor) -> None:
    model.zero_grad(set_to_none=True)
    (-model.log_probs(tokens, lengths).mean()).backward()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--steps", type=int, default=10, help="steps of each timing")
    chosen = arguments.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    tokens = torch.randint(START + 2, VOCABULARY, (ROWS, LENGTH))
    lengths = torch.full((ROWS,), LENGTH)
    times = {}
    for kind in (GRULanguageModel, OnTorchGRU, GRULanguageModel, OnTorchGRU):
        model = kind(GRUArchitecture(VOCABULARY))
        taken = seconds(lambda model=model: training_step(model, tokens, lengths), chosen.steps)
        times[kind] = min(taken, times.get(kind, taken))
    ours, theirs = times[GRULanguageModel], times[OnTorchGRU]
    print(f"ours {ours * 1000:.0f} ms, torch.nn.GRU {theirs * 1000:.0f} ms, ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
