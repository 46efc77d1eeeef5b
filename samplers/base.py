"""The base class of samplers, and the rows that a sampler draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molbuffer.kinds import checked
from molbuffer.samplers.models import Sampling
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.storage import FileOrigin, RowId, Rows


@dataclass(frozen=True)
class Draw:
    """The n rows of a draw, before any of them is parsed. All fields are aligned row by row.

    Attributes:
        raw: the strings [n].
        rows: the columns of the rows [n]: tokens, log-probabilities, and other columns that the sampler knows.
        stored: the identity of each row that is already stored [n]; None for samplers that draw no stored rows.
        source_smiles: the sources of pairs in the form that the model received [n]; None without pairs.
        source_rows: the identity of each source that is a stored row [n]; None without pairs.
        parents: the canonical SMILES of the molecules that each row was made of by mutation or crossover [n]; None for
            samplers that change no molecules.
        sources_unusable: the number of drawn sources that make no pair, since they are no molecule or not expressible.
        origins: the row of a file that each row was read from [n]; None for samplers without a file.
        unchecked: whether the row of the file was not checked before the draw [n]; None if all rows were checked.

    Example:
        >>> from molbuffer.samplers import encode_rows
        >>> vocabulary = lab.policy("zinc-gru").vocabulary
        >>> len(mb.Draw(["CCO", "CCN"], encode_rows(["CCO", "CCN"], vocabulary)))
        2
    """

    raw: Sequence[str]
    rows: Rows
    stored: Sequence[RowId | None] | None = None
    source_smiles: Sequence[str] | None = None
    source_rows: Sequence[RowId | None] | None = None
    parents: Sequence[tuple[str, ...]] | None = None
    sources_unusable: int = 0
    origins: Sequence[FileOrigin] | None = None
    unchecked: Sequence[bool] | None = None

    def __len__(self) -> int:
        return len(self.raw)


def concatenate(parts: Sequence[Draw]) -> Draw:
    """Concatenate several draws of one sampler."""
    if len(parts) == 1:
        return parts[0]
    return Draw(
        raw=[text for part in parts for text in part.raw],
        rows=Rows.concat([part.rows for part in parts]),
        stored=_listed([part.stored for part in parts]),
        source_smiles=_listed([part.source_smiles for part in parts]),
        source_rows=_listed([part.source_rows for part in parts]),
        parents=_listed([part.parents for part in parts]),
        sources_unusable=sum(part.sources_unusable for part in parts),
        origins=_listed([part.origins for part in parts]),
        unchecked=_listed([part.unchecked for part in parts]),
    )


def _listed(parts: Sequence[Sequence[Any] | None]) -> list[Any] | None:
    there = [part for part in parts if part is not None]
    return [item for part in there for item in part] if there else None


def encode_rows(texts: Sequence[str], vocabulary: Vocabulary, sources: Sequence[str | None] | None = None) -> Rows:
    """Encode strings as rows without a likelihood: log-probabilities are NaN, an inexpressible string has length 0.

    Args:
        texts: the strings [n].
        vocabulary: the vocabulary to encode them in.
        sources: the sources of pairs [n], None for a row without one; None without pairs.
    """
    tokens, lengths = vocabulary.encode_expressible(texts)
    log_probs = np.where(np.arange(tokens.shape[1]) < lengths[:, None], np.nan, 0).astype(np.float32)
    rows = Rows(tokens=tokens, lengths=lengths, log_probs=log_probs, vocabulary_sha256=vocabulary.sha256)
    if sources is None:
        return rows
    tokens, lengths = vocabulary.encode_expressible([text or "" for text in sources])
    there = np.array([text is not None for text in sources], bool)
    return replace(rows, source_tokens=tokens * there[:, None], source_lengths=lengths * there)


def tensors(rows: Rows) -> dict[str, Tensor]:
    """Return the columns of rows as tensors by name: whole numbers as int64, others as float32."""
    kinds = {name: np.int64 if array.dtype.kind in "iu" else np.float32 for name, array in rows.columns().items()}
    return {name: torch.from_numpy(array.astype(kinds[name])) for name, array in rows.columns().items()}


@checked
@dataclass(frozen=True)
class SamplerSize:
    """The contribution of a sampler to each event.

    Attributes:
        buffer_size: the number of kept rows of each build of the buffer; with 0, the sampler makes no such builds.
        p_batch: the share of a training batch that the sampler draws live, in [0, 1]; with 0, it draws no live rows.
        from_iteration: the first iteration in which the sampler draws.
        until_iteration: the first iteration in which it no longer draws; None for no end.

    Example:
        >>> mb.SamplerSize(buffer_size=256, p_batch=0.5).p_batch_at(3)
        0.5
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
        """Return whether the sampler is switched on in an iteration."""
        return self.from_iteration <= iteration and (self.until_iteration is None or iteration < self.until_iteration)

    def buffer_size_at(self, iteration: int) -> int:
        """Return the number of kept rows of a build of the buffer in an iteration."""
        return self.buffer_size if self.draws_at(iteration) else 0

    def p_batch_at(self, iteration: int) -> float:
        """Return the share of an iteration's batch that is drawn live."""
        return self.p_batch if self.draws_at(iteration) else 0.0


@dataclass(frozen=True)
class Recall:
    """The n rows of a draw from the history.

    Attributes:
        drawn: the rows with their rewards.
        smiles: the canonical SMILES of the rows [n].
        ids: the identities of the rows [n].
        drawn_in: the iterations in which the run drew the rows that are its own; rows of other runs have no entry.
    """

    drawn: Draw
    smiles: Sequence[str]
    ids: Sequence[RowId]
    drawn_in: Sequence[int]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards of the rows under the campaign's objective [n]."""
        assert self.drawn.rows.rewards is not None
        return self.drawn.rows.rewards


class Sampler(ABC):
    """A source of molecules for the buffer and for training batches.

    A subclass has a name, a kind and a size, and defines ``draw``; everything else has a default.

    Attributes:
        name: the name of the sampler in a campaign, in the history and in metrics.
        kind: the name of the class in the configuration.
        size: the sampler's contribution to each event.
        sampling: the changes to the token distribution; None for a sampler without a likelihood.
        unique: whether a build keeps each molecule only once, and draws other rows instead of repetitions. "run": the
            run keeps each molecule only once, and none that it has drawn before.
        in_chunks: whether the rows of a build may be drawn in several chunks, each with a seed of its own.

    Example:
        >>> from molbuffer.samplers import encode_rows
        >>> class Ethanol(mb.Sampler):
        ...     kind = "ethanol"
        ...     def __init__(self, name, vocabulary):
        ...         self.name, self.vocabulary, self.size = name, vocabulary, mb.SamplerSize()
        ...     def draw(self, n, seed):
        ...         return mb.Draw(["CCO"] * n, encode_rows(["CCO"] * n, self.vocabulary))
        >>> Ethanol("one", lab.policy("zinc-gru").vocabulary).draw(2, seed=0).raw
        ['CCO', 'CCO']
    """

    name: str
    kind: ClassVar[str]
    size: SamplerSize
    sampling: Sampling | None = None
    unique: bool | Literal["run"] = False
    in_chunks: ClassVar[bool] = True

    @property
    def policy_sha256(self) -> str | None:
        """The sha256 of the policy that draws; None for a sampler without one."""
        return None

    @property
    def latent_sha256(self) -> str | None:
        """The sha256 of the latent prior, or of the table of latent vectors, that is decoded; None without latents."""
        return None

    @abstractmethod
    def draw(self, n: int, seed: int) -> Draw:
        """Draw up to n rows, fewer only when the source is exhausted. The same seed gives the same rows."""

    def recall(self, n: int, seed: int) -> Recall | None:
        """Draw up to n stored rows, to which a build refers; return None if the sampler draws new rows."""
        return None
