"""The metrics of a training step: how far the policy is from those that drew the rows, and from the prior."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from molbuffer.training.losses import Loss, ScoredSequences, effective_sample_size

LARGEST_LOG_WEIGHT = 700.0
"""The logarithm of the largest weight that is reported; the exponential of more is no number."""


@torch.no_grad()
def step_metrics(
    loss: Loss, rows: ScoredSequences, gradient_norm: Tensor, of_loss: Mapping[str, Tensor] = MappingProxyType({})
) -> dict[str, float | None]:
    """Return the metrics of a step by name, as they were before it; None is undefined.

    With w = π(row) / μ(row), for the rows whose behaviour log-probabilities are known:

    * ``effective_sample_size``: (Σ w)² / (n Σ w²), in (0, 1];
    * ``weight_mean`` and ``weight_max``: of w, which no loss has bounded;
    * ``kl_behaviour``: the mean of log μ − log π, which estimates KL(μ ‖ π) without bias.

    Of all rows: ``kl_prior`` is the mean of log π − log prior, which estimates KL(π ‖ prior) without bias when the
    agent drew them; ``clipped`` the share that the loss bounds, None if it bounds none; ``gradient_norm`` the norm of
    the policy's gradient before it is scaled down.

    Args:
        loss: the loss.
        rows: the rows of the step.
        gradient_norm: the norm, a scalar.
        of_loss: further metrics that the state of the loss has, scalars by name.
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
