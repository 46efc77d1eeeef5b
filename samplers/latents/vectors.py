"""The origins of given latent vectors: a file of vectors, encoded molecules, or the stored history."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molbuffer.samplers.errors import LatentsError
from molbuffer.samplers.models import LatentModel
from molbuffer.samplers.policies import Policy
from molbuffer.scoring import standardise_many
from molbuffer.storage import HistoryIndex, Positions

if TYPE_CHECKING:
    import polars as pl

ROWS_AT_ONCE = 512
"""The number of molecules that are encoded, or rows that are read, together."""


def latent_model(policy: Policy, sampler: str) -> LatentModel:
    """Return the model of a policy that decodes latent vectors.

    Raises:
        LatentsError: the model decodes no latent vectors.
    """
    if not isinstance(policy.model, LatentModel):
        raise LatentsError(
            f"sampler {sampler!r}: policy {policy.sha256[:12]} is of kind {policy.kind!r} and has no latent vectors; "
            "name a policy that has, such as one of kind 'vae'"
        )
    return policy.model


def read_vectors(path: Path) -> Tensor:
    """Read the vectors [m, d] of a .npy file (an array [m, d], or [d] for one), or of a .csv or .parquet file.

    A table has a row for each vector and a column for each number, or one column of lists. A .csv file may have a
    header. Reading a file executes no code.

    Raises:
        LatentsError: the file cannot be read, or has something other than finite numbers.
    """
    import polars as pl  # runs without a file of vectors do without it

    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix == ".csv":
            array = _table(pl.read_csv(path, has_header=_has_header(path)))
        elif path.suffix == ".parquet":
            array = _table(pl.read_parquet(path))
        else:
            raise LatentsError(f"{path}: expected a .npy, .csv or .parquet file of latent vectors")
        vectors = np.atleast_2d(np.asarray(array, np.float32))
    except (OSError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise LatentsError(f"{path} holds no latent vectors: {error}") from error
    if vectors.ndim != 2 or not vectors.size:
        raise LatentsError(f"{path}: expected vectors [m, d] with m and d >= 1, got an array {list(vectors.shape)}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])
        raise LatentsError(f"{path}: vector {row} (counted from 0) has a number that is missing or not finite")
    return torch.from_numpy(np.ascontiguousarray(vectors))


def _has_header(path: Path) -> bool:
    with path.open(encoding="utf-8-sig") as lines:
        first = lines.readline()
    try:
        [float(cell) for cell in first.split(",")]
    except ValueError:
        return True
    return False


def _table(table: pl.DataFrame) -> NDArray[np.float32]:
    import polars as pl

    if table.width == 1 and isinstance(table.dtypes[0], pl.List | pl.Array):
        return np.array(table.to_series().to_list(), np.float32)
    return table.cast(pl.Float32).to_numpy()


@torch.no_grad()
def encode_molecules(policy: Policy, smiles: Sequence[str], sampler: str) -> Tensor:
    """Return the latent vectors [m, d] of the strings that are molecules and expressible by the policy, in order.

    The molecules are standardised first, like those that a policy is trained on. The vectors are on the CPU.

    Raises:
        LatentsError: no string is such a molecule, or the policy has no latent vectors.
    """
    model = latent_model(policy, sampler)
    molecules = [text for text in standardise_many(smiles) if text is not None and policy.vocabulary.can_encode(text)]
    if not molecules:
        raise LatentsError(f"sampler {sampler!r}: none of {len(smiles)} molecules can be encoded by its policy")
    parts = []
    for start in range(0, len(molecules), ROWS_AT_ONCE):
        tokens, lengths = policy.vocabulary.encode_many(molecules[start : start + ROWS_AT_ONCE])
        whole = (torch.from_numpy(each.astype(np.int64)).to(model.device) for each in (tokens, lengths))
        parts.append(model.encode(*whole).cpu())
    return torch.cat(parts)


def best_latents(index: HistoryIndex, count: int, latent_size: int, relatives: Collection[str], sampler: str) -> Tensor:
    """Return the latent vectors [m, d] of the best rows of a history, m <= count, the best first.

    Rows without latents of this size, or decoded by a policy of another latent space, are skipped.

    Args:
        index: the rows of the history.
        count: the largest number of vectors to return.
        latent_size: the size d of a vector.
        relatives: the sha256 of the policies of the latent space, as ``latent_relatives`` returns them.
        sampler: the name of the sampler, for errors.

    Raises:
        LatentsError: no row has such latents.
    """
    ours = np.array([sha256 in relatives for sha256 in index.policy_sha256s], bool)[index.build_numbers]
    found: list[NDArray[np.float32]] = []
    for latents in _stored_latents(index, index.best_first[ours[index.best_first]], latent_size):
        found += list(latents)
        if len(found) >= count:
            break
    if not found:
        raise LatentsError(
            f"sampler {sampler!r}: of the {len(index)} stored rows with a reward under this objective, its policy and "
            f"those trained from the same VAE drew {int(ours.sum())}, none of them from {latent_size} latents; vectors "
            "of another VAE have no meaning for it; encode the best molecules instead (stored_latents = false)"
        )
    return torch.from_numpy(np.stack(found[:count]))


def best_molecules(index: HistoryIndex, count: int, sampler: str) -> list[str]:
    """Return the best different molecules of a history, at most ``count`` of them.

    Raises:
        LatentsError: the history has no molecule with a reward.
    """
    smiles = [text for text in index.smiles(index.best_of_each_molecule[:count]) if text is not None]
    if not smiles:
        raise LatentsError(f"sampler {sampler!r}: no stored molecule has a reward under this objective")
    return smiles


def _stored_latents(index: HistoryIndex, positions: Positions, latent_size: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(positions), ROWS_AT_ONCE):
        latents = index.gather(positions[start : start + ROWS_AT_ONCE]).latents
        if latents is None or latents.shape[1] < latent_size:
            return
        # A history of several models has the width of the largest vectors; shorter vectors end with NaN.
        wider = np.isfinite(latents[:, latent_size:]).any(1)
        yield latents[np.isfinite(latents[:, :latent_size]).all(1) & ~wider, :latent_size]
