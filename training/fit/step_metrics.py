"""The metrics of a training step: the distance of the policy from the behaviour policies of the rows, and the prior."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from molbuffer.training.losses import Loss, ScoredSequences, effective_sample_size

LARGEST_LOG_WEIGHT = 700.0
"""The logarithm of the largest importance weight that is reported; the exponential of more overflows."""


@torch.no_grad()
def step_metrics(
    loss: Loss, rows: ScoredSequences, gradient_norm: Tensor, of_loss: Mapping[str, Tensor] = MappingProxyType({})
) -> dict[str, float | None]:
    """Return the metrics of a step by name, under the weights before the step; an undefined metric is None.

    With the importance weight w = π(row) / μ(row), over the n rows whose behaviour log-probabilities are known:

    * ``effective_sample_size``: (Σ w)² / (n Σ w²), in (0, 1];
    * ``weight_mean`` and ``weight_max``: the mean and the maximum of w, without the bounds of a loss;
    * ``kl_behaviour``: the mean of log μ − log π, which estimates KL(μ ‖ π) without bias.

    Over all rows:

    * ``kl_prior``: the mean of log π − log prior, which estimates KL(π ‖ prior) without bias if the agent drew them;
    * ``clipped``: the share of rows or tokens that the loss bounds; None for a loss without bounds;
    * ``gradient_norm``: the norm of the policy's gradient before it is scaled down.

    Args:
        loss: the loss.
        rows: the rows of the step.
        gradient_norm: the norm of the gradient, a scalar.
        of_loss: further metrics of the state of the loss, scalars by name.
    """
    values = {"gradient_norm": gradient_norm, "kl_prior": (rows.agent - rows.prior).sum(1).mean()}
    if (clipped := getattr(loss, "clipped", None)) is not None:
        values["clipped"] = clipped(rows)
    values |= of_loss
    log_ratios = (rows.agent - rows.behaviour).sum(1).double()
    log_ratios = log_ratios[~log_ratios.isnan()]
    if len(log_ratios):
        weights = log_ratios.clamp(max=LARGEST_LOG_WEIGHT).exp()
        values["effective_sample_size"] = effective_sample_size(log_ratios)
        values |= {"weight_mean": weights.mean(), "weight_max": weights.max(), "kl_behaviour": -log_ratios.mean()}
    names = ("effective_sample_size", "weight_mean", "weight_max", "kl_behaviour", "kl_prior", "clipped")
    read = torch.stack([value.double() for value in values.values()]).tolist()  # one wait for the device
    return {**dict.fromkeys(names), **dict(zip(values, read, strict=True))}
