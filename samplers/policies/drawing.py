"""Drawing rows from a policy, with or without a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from molbuffer.kinds import calling
from molbuffer.samplers.base import Draw
from molbuffer.samplers.models import (
    UNCONDITIONED,
    Condition,
    GRULanguageModel,
    Sampling,
    Sequences,
    draw_sequences,
    keeping,
    products_in,
)
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.storage import COLUMNS, Rows

ROWS_AT_ONCE = 512
"""The number of rows that a model draws together; with more, CPUs are no faster and need more memory."""


def draw_rows(
    policy: Policy,
    n: int,
    sampling: Sampling,
    generator: torch.Generator,
    condition: Condition = UNCONDITIONED,
) -> Draw:
    """Draw n rows from a policy, each with its part of the condition, ``ROWS_AT_ONCE`` at a time.

    The condition may be on any device.
    """
    with products_in(policy.precision), keeping(policy.drawn_states):
        parts = [
            draw_sequences(
                model=policy.model,
                n=min(ROWS_AT_ONCE, n - start),
                condition=condition[start : start + ROWS_AT_ONCE].to(policy.model.device),
                sampling=sampling,
                generator=generator,
                tokens=len(policy.vocabulary),
            )
            for start in range(0, n, ROWS_AT_ONCE)
        ]
    return _draw_of(Rows.concat([_rows_of(part, policy.vocabulary) for part in parts]), policy.vocabulary)


def draw_parts(policy: Policy, parts: Sequence[tuple[int, torch.Generator]], sampling: Sampling) -> list[Draw] | None:
    """Draw the rows of several draws in one batch; return None if the model should draw them one after another.

    A step of a GRU takes hardly longer with a few more rows, and a row does not depend on the others of the batch.

    Args:
        policy: the policy.
        parts: the number of rows and the generator of each draw.
        sampling: the changes to the token distribution.
    """
    model, counts = policy.model, [n for n, _ in parts]
    if not isinstance(model, GRULanguageModel) or sum(counts) > ROWS_AT_ONCE:
        return None
    with (
        calling("model", model, f"to sample {sum(counts)} sequences"),
        products_in(policy.precision),
        keeping(policy.drawn_states),
    ):
        rows = _rows_of(model.sample_parts(parts, sampling), policy.vocabulary)
    ends = np.cumsum(counts).tolist()
    inside = [slice(end - n, end) for end, n in zip(ends, counts, strict=True)]
    return [_draw_of(rows.take(each).trimmed(), policy.vocabulary) for each in inside]


def _draw_of(rows: Rows, vocabulary: Vocabulary) -> Draw:
    rows = replace(rows, vocabulary_sha256=vocabulary.sha256)
    return Draw(vocabulary.decode(rows.tokens, rows.lengths), rows)


def _rows_of(sequences: Sequences, vocabulary: Vocabulary) -> Rows:
    """Convert the sequences of a model to rows: each tensor becomes the column of the same name."""
    dtypes = {name: column.dtypes[0] for name, column in COLUMNS.items()} | {"tokens": np.dtype(vocabulary.dtype)}
    there = {name: tensor.cpu().numpy() for name, tensor in vars(sequences).items() if tensor is not None}
    columns: dict[str, Any] = {name: array.astype(dtypes[name]) for name, array in there.items()}
    return Rows(**columns)
