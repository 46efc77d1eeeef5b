"""Measure tokens per second of models, and compare them with the limit that the memory bandwidth sets.

Each step of a model reads its weights, for any number of rows. The floor of a draw is the time in which the memory
delivers the bytes that all steps read, at the measured copy bandwidth. Only weights are counted: neither data of single
rows, such as keys and values, nor data that is read once a draw, such as an encoder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from molbuffer.samplers import Policy
from molbuffer.samplers.models import Condition, GenerativeModel

NOT_EACH_STEP = ("embedding", "encoder", "to_posterior", "to_state", "weight_ih_l0", "key_value")
"""Parts of the names of weights that a step does not read, or of which it reads only one table row for each token."""
COPIED = 256 * 2**20
"""The number of bytes of the copy, more than caches can hold."""


def print_floors(policies: Sequence[Policy], given: Mapping[str, Condition], rows: int) -> None:
    """Print a line for each model, given the conditions of ``rows`` rows by its kind; the models are moved to a GPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bandwidth = copied_bytes_per_second(device)
    print(f"{rows} at once on {device.type}, whose memory gives {bandwidth / 1e9:.0f} GB/s")
    for policy in policies:
        model = policy.model
        model.to(device)
        parts = vars(given[policy.kind]).values()
        condition = Condition(*(None if part is None else part.to(device) for part in parts))
        tokens, steps, seconds = timed_draw(model, rows, condition, device)
        share = steps * bytes_of_a_step(model) / bandwidth / seconds
        print(f"{policy.kind:<12} {tokens / seconds:>10,.0f} tokens / s, {share:>7.2%} of the memory-bound floor")


def timed_draw(model: GenerativeModel, n: int, condition: Condition, device: torch.device) -> tuple[int, int, float]:
    """Return the tokens, the steps and the seconds of a draw, after a warm-up draw."""
    generator = torch.Generator(device).manual_seed(0)
    model.sample(n, condition=condition, generator=generator)
    started = synchronised_clock(device)
    drawn = model.sample(n, condition=condition, generator=generator)
    seconds = synchronised_clock(device) - started
    return int(drawn.lengths.sum()), drawn.tokens.shape[1], seconds


def bytes_of_a_step(model: GenerativeModel) -> int:
    parameters = model.named_parameters()
    return sum(
        p.numel() * p.element_size() for name, p in parameters if not any(part in name for part in NOT_EACH_STEP)
    )


def copied_bytes_per_second(device: torch.device, rounds: int = 5) -> float:
    """Return the largest number of bytes per second that a copy reads and writes."""
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source).copy_(source)
    best = float("inf")
    for _ in range(rounds):
        started = synchronised_clock(device)
        target.copy_(source)
        best = min(best, synchronised_clock(device) - started)
    return 2 * COPIED / best


def synchronised_clock(device: torch.device) -> float:
    """Return the time after all queued work of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
