"""The condition that a model in training has for the rows of a batch: none, latent vectors, or sources (R18)."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from molbuffer.samplers.models import UNCONDITIONED, Condition, ConditionKind, GenerativeModel, LatentModel
from molbuffer.training.batches import TrainingBatch
from molbuffer.training.errors import UnsuitableDataError


def condition_for(model: GenerativeModel, batch: TrainingBatch) -> Condition:
    """Return the condition of the rows of a batch.

    An unconditional model learns the targets of pairs. A latent model is conditioned on the latent vectors that rows
    were decoded from, or on its own encodings of rows without latent vectors, such as rows of a file. Gradients do not
    flow through either.

    Args:
        model: the fixed prior, so that the prior and the policy in training have the same latent vectors.
        batch: the rows.

    Raises:
        UnsuitableDataError: the model is conditioned on sources, and a row has no source.
    """
    if model.condition_kind is ConditionKind.SOURCES:
        _check_sources(batch)
        return Condition(sources=batch.condition.sources, source_lengths=batch.condition.source_lengths)
    if isinstance(model, LatentModel) and model.condition_kind is ConditionKind.LATENTS:
        return Condition(latents=_latents(model, batch))
    return UNCONDITIONED


def groups_of(condition: Condition) -> Tensor | None:
    """Return a number for the source of each row, int64 [n]; None for a model without sources."""
    if condition.sources is None:
        return None
    numbers: Tensor = condition.sources.unique(dim=0, return_inverse=True)[1]  # type: ignore[no-untyped-call]
    return numbers


def _check_sources(batch: TrainingBatch) -> None:
    lengths = batch.condition.source_lengths
    without = range(len(batch)) if lengths is None else torch.nonzero(lengths == 0)[:, 0].tolist()
    if without:
        origins = Counter(batch.origins[row] for row in without)
        named = ", ".join(f"{count} of {origin}" for origin, count in origins.items())
        raise UnsuitableDataError(
            f"the policy in training is conditional, and {len(without)} of {len(batch)} rows of iteration "
            f"{batch.iteration} have no source ({named}); draw pairs only, and let the buffer hold only pairs: "
            'buffer.runs = "own", or a fresh store',
            rows=origins,
        )


@torch.no_grad()
def _latents(model: LatentModel, batch: TrainingBatch) -> Tensor:
    given = batch.condition.latents
    latents = torch.full((len(batch), model.latent_size), torch.nan, device=batch.tokens.device)
    if given is not None and given.shape[1] == model.latent_size:
        latents = given.clone()
    missing = latents.isnan().any(1)
    if missing.any():
        latents[missing] = model.encode(batch.tokens[missing], batch.lengths[missing])
    return latents
