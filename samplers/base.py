"""What a sampler is: something with a name and two sizes that draws molecules as token sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage.records import RowId


@dataclass(frozen=True)
class Sources:
    """What the rows of a build of pairs were made from.

    Attributes:
        smiles: as the model was given them [n].
        tokens: unsigned [n, S], PAD after the end; lengths: int32 [n], END included. In the vocabulary of the rows.
        rows: the stored row that each is [n], None where it is none.
        unusable: how many others were drawn beside these that were no molecule, or that the model cannot express.
    """

    smiles: Sequence[str]
    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int32]
    rows: Sequence[RowId | None]
    unusable: int = 0

    def __len__(self) -> int:
        return len(self.smiles)


@dataclass(frozen=True)
class Drawn:
    """Rows as a sampler drew them, before anything is parsed. Columns belong together row by row.

    Attributes:
        raw: the strings [n].
        tokens: unsigned [n, L], PAD after the end; lengths: int32 [n], END included, 0 where ``vocabulary`` lacks a
            token of the string; log_probs: float32 [n, L], NaN where the sampler has no likelihood.
        vocabulary: what the tokens belong to.
        latents: float32 [n, d], what each row was decoded from; None for samplers without.
        latent_log_probs: float32 [n], the log-density of each latent under the prior that drew it; None without one.
        sources: None for samplers that draw no pairs.
        rows: the stored row that each is [n], None where it is none; None for samplers that draw no stored rows.
        written_at: the file and line of each [n], None where a bad row has been named before; None where all have.
    """

    raw: Sequence[str]
    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int32]
    log_probs: NDArray[np.float32]
    vocabulary: Vocabulary
    latents: NDArray[np.float32] | None = None
    latent_log_probs: NDArray[np.float32] | None = None
    sources: Sources | None = None
    rows: Sequence[RowId | None] | None = None
    written_at: Sequence[str | None] | None = None

    def __len__(self) -> int:
        return len(self.raw)


def concatenate(parts: Sequence[Drawn]) -> Drawn:
    """The rows of several draws of one sampler, one after another, padded to the widest."""
    if len(parts) == 1:
        return parts[0]
    sources = [part.sources for part in parts if part.sources is not None]
    return Drawn(
        raw=[text for part in parts for text in part.raw],
        tokens=stack_rows([part.tokens for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
        log_probs=stack_rows([part.log_probs for part in parts]),
        vocabulary=parts[0].vocabulary,
        latents=_joined([part.latents for part in parts]),
        latent_log_probs=_joined([part.latent_log_probs for part in parts]),
        sources=_concatenate_sources(sources) if sources else None,
        rows=_listed([part.rows for part in parts]),
        written_at=_listed([part.written_at for part in parts]),
    )


def stack_rows(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One array of parts [n, width] of different widths, below one another, 0 where a part is narrower."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])


def _joined(parts: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def _listed(parts: Sequence[Sequence[Any] | None]) -> list[Any] | None:
    there = [part for part in parts if part is not None]
    return [item for part in there for item in part] if there else None


def _concatenate_sources(parts: Sequence[Sources]) -> Sources:
    return Sources(
        [text for part in parts for text in part.smiles],
        stack_rows([part.tokens for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        [row for part in parts for row in part.rows],
        sum(part.unusable for part in parts),
    )


@dataclass(frozen=True)
class SamplerSize:
    """How much a sampler contributes to each event.

    Attributes:
        buffer_size: kept rows that each build_buffer makes; 0 switches the sampler off there.
        p_batch: the share of a training batch drawn live in sample_batch, in [0, 1]; 0 switches it off there.
        from_iteration, until_iteration: it draws in the iterations [from, until); None is without end.
    """

    buffer_size: int = 0
    p_batch: float = 0.0
    from_iteration: int = 0
    until_iteration: int | None = None

    def __post_init__(self) -> None:
        if self.buffer_size < 0:
            raise ValueError(f"buffer_size must be >= 0, got {self.buffer_size}")
        if not 0 <= self.p_batch <= 1:
            raise ValueError(f"p_batch must be in [0, 1], got {self.p_batch}")

    def draws_at(self, iteration: int) -> bool:
        """Whether the sampler is switched on in an iteration."""
        return self.from_iteration <= iteration and (self.until_iteration is None or iteration < self.until_iteration)

    def buffer_size_at(self, iteration: int) -> int:
        """Kept rows that a build of this iteration makes."""
        return self.buffer_size if self.draws_at(iteration) else 0

    def p_batch_at(self, iteration: int) -> float:
        """The share of this iteration's batch."""
        return self.p_batch if self.draws_at(iteration) else 0.0


class Sampler(Protocol):
    """Draws molecules, for the buffer and for the batch alike."""

    @property
    def name(self) -> str:
        """Unique in a campaign; the history and the metrics go by it."""
        ...

    @property
    def kind(self) -> str:
        """The name of the sampler's kind in the configuration."""
        ...

    @property
    def size(self) -> SamplerSize: ...

    @property
    def policy_sha256(self) -> str | None:
        """The version of the policy that draws, None for samplers without one."""
        ...

    @property
    def sampling(self) -> Sampling | None:
        """How tokens are drawn, None for samplers without a likelihood."""
        ...

    def draw(self, n: int, seed: int) -> Drawn:
        """Draws up to n rows; fewer only when the source is exhausted. The same seed gives the same rows."""
        ...


@runtime_checkable
class DrawsLatents(Protocol):
    """A sampler that decodes latent vectors, which it draws from something that has versions."""

    @property
    def latent_sha256(self) -> str:
        """The version of the prior, or of the latent vectors, that it draws from."""
        ...
