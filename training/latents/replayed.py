"""What a prior can learn from stored rows: their latents, which version of it drew them, and how likely they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from molbuffer.storage.history.index import HistoryIndex
from molbuffer.storage.records import StoredRows


@dataclass(frozen=True)
class ReplayedLatents:
    """Rows of a batch that come from the buffer and that the run itself drew from priors.

    Attributes:
        samplers: who drew each [n]; versions: the sha256 of the prior, as it was then [n].
        latents: float32 [n, d], as wide as the widest of the history; log_probs: float32 [n], under these versions.
        rewards: float32 [n].
    """

    samplers: Sequence[str]
    versions: Sequence[str | None]
    latents: Tensor
    log_probs: Tensor
    rewards: Tensor

    def __len__(self) -> int:
        return len(self.rewards)

    def earlier(self, sampler: str, version: str, latent_size: int) -> ReplayedLatents | None:
        """The rows of a sampler that are of other versions than its present one, None when there is none.

        Those of the present version were drawn in this iteration, in which the sampler has learnt from them already.
        """
        drew = zip(self.samplers, self.versions, strict=True)
        rows = [row for row, (name, then) in enumerate(drew) if name == sampler and then != version]
        if not rows:
            return None
        return ReplayedLatents(
            [self.samplers[row] for row in rows],
            [self.versions[row] for row in rows],
            self.latents[rows, :latent_size],
            self.log_probs[rows],
            self.rewards[rows],
        )


def replayed_latents(index: HistoryIndex, rows: StoredRows) -> ReplayedLatents | None:
    """Those among rows of an index that the run drew itself, of which the density is known; None when there is none.

    Other runs have priors of their own, and given vectors, or re-encoded rows, have no density.
    """
    if rows.latents is None or rows.latent_log_probs is None:
        return None
    known = np.flatnonzero(index.own[rows.positions] & np.isfinite(rows.latent_log_probs))
    if not len(known):
        return None
    builds = index.build_numbers[rows.positions[known]]
    return ReplayedLatents(
        index.builds["sampler"].take(builds).to_pylist(),
        index.builds["latent_sha256"].take(builds).to_pylist(),
        torch.from_numpy(rows.latents[known]),
        torch.from_numpy(rows.latent_log_probs[known]),
        torch.from_numpy(rows.rewards[known].astype(np.float32)),
    )
