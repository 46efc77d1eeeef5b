"""pretrain: train a prior on a file of molecules or pairs, and register it in the store as a policy."""

from __future__ import annotations

from typing import Any

from prefect import flow

from molbuffer.flows.campaign import PretrainRequest
from molbuffer.lab import limit_threads


@flow(name="pretrain")
def pretrain_prior(request: PretrainRequest, run_id: str | None = None) -> dict[str, Any]:
    """Train a generative model on the molecules or pairs of a file, and register it in the store as a policy.

    Args:
        request: what to train; a deployment gives it as JSON.
        run_id: the training to continue; by default a new one, which a retry of this flow run resumes.

    Returns:
        ``policy`` (sha256), ``run_id``, ``molecules`` or ``pairs``, ``rejected``, ``held_out_nll`` (nats per molecule)
        and the metrics of ``draw_quality`` on fresh draws. For a latent model also ``reconstruction``, the share of
        held-out molecules that it decodes from their own latent vectors, and ``held_out_nll`` is the negative evidence
        lower bound with one draw of each posterior. For a model of pairs the metrics are those of ``pair_quality``,
        on one draw for each of at most ``draws`` held-out pairs. For transfer learning, from a policy, there are also
        the metrics of that policy, and the forgetting (``BeforeTransfer``).
    """
    limit_threads()
    # This module imports torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.work import run_pretraining

    return run_pretraining(request, run_id)
