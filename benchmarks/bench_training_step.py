"""A training step of the GRU language model, beside the same model on ``torch.nn.GRU``.

    python benchmarks/bench_training_step.py [--steps 10]

Both do forward and backward passes of 2 layers of 384 units over batches of 128 rows of 44 tokens, in turn, with the
matrix products in float32 and in bfloat16; the best time of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from molbuffer.samplers import START
from molbuffer.samplers.models import GRUArchitecture, GRULanguageModel

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


def training_step(model: GRULanguageModel, tokens: Tensor, lengths: Tensor, half: bool) -> None:
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = -model.log_probs(tokens, lengths).mean()
    loss.backward()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--steps", type=int, default=10, help="steps of each timing")
    arguments.add_argument("--rows", type=int, default=ROWS, help="of a batch")
    chosen = arguments.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    tokens = torch.randint(START + 2, VOCABULARY, (chosen.rows, LENGTH))
    lengths = torch.full((chosen.rows,), LENGTH)
    models = {"ours": GRULanguageModel(GRUArchitecture(VOCABULARY)), "theirs": OnTorchGRU(GRUArchitecture(VOCABULARY))}
    for half in (False, True):
        times = dict.fromkeys(models, float("inf"))
        for name, model in [*models.items()] * 2:
            taken = seconds(lambda model=model, half=half: training_step(model, tokens, lengths, half), chosen.steps)
            times[name] = min(taken, times[name])
        ours, theirs = times["ours"] * 1000, times["theirs"] * 1000
        precision = "bfloat16" if half else "float32"
        print(f"{precision}: ours {ours:.0f} ms, torch.nn.GRU {theirs:.0f} ms, ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
