"""Stored rows that a latent prior can learn from: latent vectors, and the latent priors and log-densities of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage import Positions, Rows
from molbuffer.training.batches.batch import Block
from molbuffer.training.batches.candidates import Candidates


@dataclass(frozen=True)
class ReplayedLatents:
    """Rows of a batch that come from the buffer and that the run itself drew from latent priors.

    Attributes:
        samplers: the name of the sampler that drew each row [n].
        versions: the sha256 of the latent prior that drew each row [n].
        places: the places of the rows among the rows of the batch that come from the buffer [n].
        rows: the rows with rewards, latent vectors (as wide as the widest of the history), and the log-densities of
            these under ``versions``.
    """

    samplers: Sequence[str]
    versions: Sequence[str | None]
    places: NDArray[np.int64]
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def learned(self, blocks: Sequence[Block]) -> ReplayedLatents:
        """Return the rows with rewards that have the bonuses and penalties of the diversity memory.

        Args:
            blocks: the blocks of all rows of the batch that come from the buffer, with these bonuses and penalties.
        """
        if not blocks or blocks[0].rows.penalties is None:
            return self
        rows = Rows.concat([block.rows for block in blocks]).take(self.places)
        assert rows.rewards is not None
        assert rows.penalties is not None
        raised = rows.rewards if rows.bonuses is None else rows.rewards + rows.bonuses
        return replace(self, rows=replace(self.rows, rewards=raised * rows.penalties))

    def earlier(self, sampler: str, version: str, latent_size: int) -> Rows | None:
        """Return the rows that a sampler drew from earlier versions of its latent prior; None if there are none.

        Rows of the present version were drawn in this iteration, and the sampler has learnt from them already.

        Args:
            sampler: the name of the sampler.
            version: the sha256 of its present latent prior.
            latent_size: the size of its latent vectors, to which those of the rows are cut.
        """
        drew = zip(self.samplers, self.versions, strict=True)
        rows = [row for row, (name, then) in enumerate(drew) if name == sampler and then != version]
        if not rows or self.rows.latents is None:
            return None
        return replace(self.rows.take(rows), latents=self.rows.latents[rows, :latent_size])


def replayed_latents(candidates: Candidates, positions: Positions, rows: Rows) -> ReplayedLatents | None:
    """Return the own rows of a run whose latent vectors have a known density; None if there are none.

    Rows of other runs are left out, since these have latent priors of their own. Given latent vectors and re-encoded
    rows have no density.

    Args:
        candidates: the candidates of the batch.
        positions: the positions of the selected rows among the candidates.
        rows: the selected rows.
    """
    if rows.latents is None or rows.latent_log_probs is None:
        return None
    known = np.flatnonzero(candidates.own[positions] & np.isfinite(rows.latent_log_probs))
    if not len(known):
        return None
    samplers, versions = zip(*candidates.latents_of(positions[known]), strict=True)
    return ReplayedLatents(samplers, versions, known, rows.take(known))
