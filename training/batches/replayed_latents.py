"""What a prior can learn from stored rows: their latents, which version of it drew them, and how likely they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from molbuffer.storage.history.index import HistoryIndex, Positions
from molbuffer.storage.rows import Rows


@dataclass(frozen=True)
class ReplayedLatents:
    """Rows of a batch that come from the buffer and that the run itself drew from priors.

    Attributes:
        samplers: who drew each [n].
        versions: the sha256 of the prior, as it was then [n].
        rows: with their rewards, their latents, as wide as the widest of the history, and the log-density of these
            under the versions.
    """

    samplers: Sequence[str]
    versions: Sequence[str | None]
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def earlier(self, sampler: str, version: str, latent_size: int) -> Rows | None:
        """The rows of a sampler that are of other versions than its present one, None when there is none.

        Those of the present version were drawn in this iteration, in which the sampler has learnt from them already.
        """
        drew = zip(self.samplers, self.versions, strict=True)
        rows = [row for row, (name, then) in enumerate(drew) if name == sampler and then != version]
        if not rows or self.rows.latents is None:
            return None
        return replace(self.rows.take(rows), latents=self.rows.latents[rows, :latent_size])


def replayed_latents(index: HistoryIndex, positions: Positions, rows: Rows) -> ReplayedLatents | None:
    """Those among rows of an index that the run drew itself, of which the density is known; None when there is none.

    Other runs have priors of their own, and given vectors, or re-encoded rows, have no density.
    """
    if rows.latents is None or rows.latent_log_probs is None:
        return None
    known = np.flatnonzero(index.own[positions] & np.isfinite(rows.latent_log_probs))
    if not len(known):
        return None
    builds = index.build_numbers[positions[known]]
    return ReplayedLatents(
        index.builds["sampler"].take(builds).to_pylist(),
        index.builds["latent_sha256"].take(builds).to_pylist(),
        rows.take(known),
    )
