"""Tokens per second of models, and how far they are from what the memory allows.

Each step of a model reads its weights, however many rows it draws. The floor of a draw is the time in which the memory
gives as many bytes as all its steps read, at the speed at which it is copied. Weights alone are counted: not what a row
keeps of its own, such as keys and values, and not what is read once a draw, such as an encoder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from molbuffer.samplers import Policy
from molbuffer.samplers.models import Condition, GenerativeModel

NOT_EACH_STEP = ("embedding", "encoder", "to_posterior", "to_state", "weight_ih_l0", "key_value")
"""What is in the names of weights of which a step reads nothing, or a row of a table for each token."""
COPIED = 256 * 2**20
"""Bytes that are copied: more than caches hold."""


def print_floors(policies: Sequence[Policy], given: Mapping[str, Condition], rows: int) -> None:
    """Prints a line for each model, given the conditions of ``rows`` rows by its kind; moves the models to a GPU."""
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
    """The tokens, the steps and the seconds of a draw, after one that warms up."""
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
    """The bytes that a copy reads and writes a second, at best."""
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source).copy_(source)
    best = float("inf")
    for _ in range(rounds):
        started = synchronised_clock(device)
        target.copy_(source)
        best = min(best, synchronised_clock(device) - started)
    return 2 * COPIED / best


def synchronised_clock(device: torch.device) -> float:
    """The time when all that was asked of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
