"""Measure the gain of the cache of keys and values, and the speed of a transformer compared with recurrent models.

    python benchmarks/drawing/bench_transformer.py [--rows 512] [--rounds 3] [--length 100]

First one transformer draws sequences of exactly ``--length`` tokens twice: with its cache, and without it, by computing
the whole prefix through all blocks at every token. A check makes sure that both draw the same tokens.

Then models of the default sizes of their kinds draw sequences of about the lengths of molecules, and so does the plain
loop of ``plain_loops`` on the weights of the GRU. All have random weights, with the same probability of an end at every
token. All are timed alternately, and the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable

import torch
from bench_sampling import MEAN_LENGTH, molecules_per_second
from plain_loops import PlainLoop, WholePrefix

from molbuffer.samplers import END
from molbuffer.samplers.models import (
    MODELS,
    UNTRUNCATED,
    GenerativeModel,
    GRULanguageModel,
    Sequences,
    TransformerLanguageModel,
    decode,
)

KINDS = ("gru", "lstm", "transformer")
VOCABULARY_SIZE = 64
BATCHES = (128, 512)


def random_model(
    kind: str, end_probability: float, max_length: int, vocabulary_size: int = VOCABULARY_SIZE
) -> GenerativeModel:
    """Return a model of a kind's default sizes that ends a sequence with this probability at each token."""
    torch.manual_seed(0)
    model = MODELS[kind].make({"vocabulary_size": vocabulary_size, "max_length": max_length})
    module = model.eval()
    with torch.no_grad():
        module.head.weight[END] = 0
        # The other logits are near 0: all tokens but PAD, START and END are about equally likely.
        odds = end_probability / (1 - end_probability)
        module.impossible[END] = math.log(odds * (vocabulary_size - 3)) if odds else -torch.inf
    return model


@torch.no_grad()
def draw_whole_prefix(model: TransformerLanguageModel, n: int) -> Sequences:
    generator = torch.Generator().manual_seed(0)
    return decode(
        WholePrefix(model.logits, n), n, longest=model.sizes.max_length, sampling=UNTRUNCATED, generator=generator
    )


def seconds(draw: Callable[[], Sequences]) -> tuple[float, Sequences]:
    started = time.perf_counter()
    drawn = draw()
    return time.perf_counter() - started, drawn


def compare_cache(length: int, rows: int, rounds: int) -> None:
    """Print the time of one transformer with its cache and without it."""
    model = random_model("transformer", 0.0, length)
    assert isinstance(model, TransformerLanguageModel)
    with_cache, without = [], []
    for _ in range(rounds):
        taken, cached = seconds(lambda: model.sample(rows, generator=torch.Generator().manual_seed(0)))
        with_cache.append(taken)
        taken, whole = seconds(lambda: draw_whole_prefix(model, rows))
        without.append(taken)
        # A random number at the border between two tokens may give another token, after which the rows differ.
        assert (cached.tokens == whole.tokens).all(1).float().mean() > 0.9
    print(f"transformer: {model.sizes.layers} x {model.sizes.hidden_size}, {rows} rows of {length} tokens")
    for name, taken in (("cache", min(with_cache)), ("whole prefix", min(without))):
        print(f"{name:>13} {taken:>8.2f} s {rows * length / taken:>10.0f} tokens / s")
    print(f"{'ratio':>13} {min(without) / min(with_cache):>8.2f}")


def compare_models(rows: int, rounds: int) -> None:
    """Print the molecules per second of each model."""
    models = {kind: random_model(kind, 1 / MEAN_LENGTH, 128) for kind in KINDS}
    gru = models["gru"]
    assert isinstance(gru, GRULanguageModel)
    for batch in (size for size in BATCHES if size <= rows):
        draws: dict[str, Callable[[int], object]] = {
            kind: functools.partial(model.sample, generator=torch.Generator().manual_seed(0))
            for kind, model in models.items()
        }
        draws["plain loop of the gru"] = PlainLoop(gru).sample
        found: dict[str, list[float]] = {name: [] for name in draws}
        for _ in range(rounds):
            for name, draw in draws.items():
                found[name].append(molecules_per_second(draw, rows, batch))
        print(f"batch {batch}: " + ", ".join(f"{name} {max(rates):.0f} / s" for name, rates in found.items()))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rows", type=int, default=512, help="molecules of each timing")
    arguments.add_argument("--rounds", type=int, default=3, help="timings of each, of which the best counts")
    arguments.add_argument("--length", type=int, default=100, help="tokens of a row where the cache is timed")
    arguments.add_argument("--cache-rows", type=int, default=64, help="rows where the cache is timed")
    chosen = arguments.parse_args()
    torch.set_flush_denormal(True)
    compare_cache(chosen.length, chosen.cache_rows, chosen.rounds)
    compare_models(chosen.rows, chosen.rounds)


if __name__ == "__main__":
    main()
