"""Measure the molecules per second of a GRU language model, compared with the field's plain loop on the same weights.

    python benchmarks/drawing/bench_sampling.py [--rows 2048] [--rounds 3] [--policy zinc-gru]

The plain loop is in ``plain_loops``, and ends when all rows have ended. Both are timed alternately, several times; the
best time of each counts, since other work on a shared machine can only make a run slower.

Two models are timed: the bundled prior, and one of 3 layers of 512 units, the size that much of the field uses. The
second has random weights, with a head that ends a sequence with the same probability at every token, so that the mean
length is about that of real molecules. Such lengths spread more widely than real ones, and of some hundred rows a few
are several times as long as the mean: the plain loop computes all other rows to the end of these.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable

import torch
from plain_loops import PlainLoop

from molbuffer.samplers import END, find_policy, load_policy
from molbuffer.samplers.models import GRUArchitecture, GRULanguageModel

BATCHES = (128, 512)
MEAN_LENGTH = 40
"""The mean number of tokens of a row of the model with random weights, about that of drug-like molecules."""


def molecules_per_second(draw: Callable[[int], object], rows: int, batch: int) -> float:
    started = time.perf_counter()
    for _ in range(rows // batch):
        draw(batch)
    return rows // batch * batch / (time.perf_counter() - started)


def random_model(layers: int, hidden_size: int, vocabulary_size: int = 64) -> GRULanguageModel:
    """Return a model whose sequences end with probability 1 / MEAN_LENGTH at each token."""
    torch.manual_seed(0)
    sizes = GRUArchitecture(vocabulary_size, hidden_size=hidden_size, layers=layers)
    model = GRULanguageModel(sizes)
    with torch.no_grad():
        model.head.weight[END] = 0
        # The other logits are near 0: all tokens but PAD, START and END are about equally likely.
        model.head.bias[END] = math.log((vocabulary_size - 3) / (MEAN_LENGTH - 1))
    return model.eval()


def compare(name: str, model: GRULanguageModel, rows: int, rounds: int) -> None:
    """Print the speed of both samplers on one model at each batch size of at most ``rows``."""
    sizes, plain = model.sizes, PlainLoop(model)
    print(f"{name}: {sizes.layers} x {sizes.hidden_size}, at most {sizes.max_length} tokens")
    print(f"{'batch':>6} {'ours / s':>10} {'plain loop / s':>15} {'ratio':>6}")
    for batch in (size for size in BATCHES if size <= rows):
        draw = functools.partial(model.sample, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(0)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(molecules_per_second(draw, rows, batch))
            theirs.append(molecules_per_second(plain.sample, rows, batch))
        print(f"{batch:>6} {max(ours):>10.0f} {max(theirs):>15.0f} {max(ours) / max(theirs):>6.2f}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rows", type=int, default=2048, help="molecules of each timing")
    arguments.add_argument("--rounds", type=int, default=3, help="timings of each, of which the best counts")
    arguments.add_argument("--policy", default="zinc-gru", help="a bundled policy or a folder")
    chosen = arguments.parse_args()
    torch.set_flush_denormal(True)
    model = load_policy(find_policy(chosen.policy)).model
    assert isinstance(model, GRULanguageModel)
    compare(chosen.policy, model, chosen.rows, chosen.rounds)
    compare("random weights", random_model(3, 512), chosen.rows, chosen.rounds)


if __name__ == "__main__":
    main()
