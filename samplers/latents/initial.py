"""The initial latent prior, or table of vectors, of a sampler of latent vectors, which must fit its policy."""

from __future__ import annotations

from torch import Tensor

from molbuffer.samplers.errors import LatentsError
from molbuffer.samplers.latents.priors import LatentPrior, LatentSource, NormalPrior, SphericalPrior
from molbuffer.samplers.latents.source import LatentTable, load_latents
from molbuffer.samplers.latents.vectors import latent_model
from molbuffer.samplers.policies import Policy
from molbuffer.storage import SampleStore

NORM_TOLERANCE = 1e-3
"""The largest deviation of a unit vector's length from 1, since a file may have numbers with few digits."""


def latent_space(policy: Policy) -> str:
    """Return the geometry of a policy's latent vectors: "normal" or "spherical"."""
    return str(policy.model.architecture().get("geometry", "normal"))


def stored_latents(sha256: str, store: SampleStore) -> LatentSource:
    """Load a latent prior, or a table of vectors, from a store.

    Args:
        sha256: the sha256 of the prior or table, or its first characters.
        store: the store.
    """
    return load_latents(store.policies.folder(store.policies.resolve(sha256)))


def new_prior(sampler: str, policy: Policy, kind: str | None = None, components: int = 1) -> LatentPrior:
    """Make a latent prior that is uniform on the sphere, or a standard normal distribution.

    Args:
        sampler: the name of the sampler, for errors.
        policy: the policy that decodes the latent vectors.
        kind: "normal" or "spherical"; None is the geometry of the policy's latent space.
        components: the number of distributions that a normal prior mixes.

    Raises:
        LatentsError: the policy has no latent vectors, or a latent space of another geometry.
    """
    size, space = latent_model(policy, sampler).latent_size, latent_space(policy)
    if kind not in (None, space):
        raise LatentsError(
            f"sampler {sampler!r}: its prior is {kind}, and the latent space of policy {policy.sha256[:12]} {space}; "
            "leave prior out, or name another policy"
        )
    return SphericalPrior(size) if space == "spherical" else NormalPrior(size, components)


def learnt_prior(sampler: str, policy: Policy, sha256: str, store: SampleStore) -> LatentPrior:
    """Load a latent prior that an earlier run has learnt.

    Args:
        sampler: the name of the sampler, for errors.
        policy: the policy that decodes the latent vectors.
        sha256: the sha256 of the prior, or its first characters.
        store: the store with the prior.

    Raises:
        LatentsError: the store has no prior under this sha256, or the policy has no latent vectors, or those of another
            space.
    """
    size, space = latent_model(policy, sampler).latent_size, latent_space(policy)
    prior = stored_latents(sha256, store)
    if not isinstance(prior, LatentPrior):
        raise LatentsError(f"sampler {sampler!r}: {sha256} is no prior, it is of kind {prior.kind!r}")
    learnt_space = "spherical" if isinstance(prior, SphericalPrior) else "normal"
    if (prior.latent_size, learnt_space) != (size, space):
        raise LatentsError(
            f"sampler {sampler!r}: the prior {sha256} is of a {learnt_space} space of {prior.latent_size} numbers, and "
            f"policy {policy.sha256[:12]} decodes a {space} one of {size}; name the policy that it was learnt with"
        )
    return prior


def learnt_vectors(sampler: str, sha256: str, store: SampleStore) -> Tensor:
    """Load the latent vectors [m, d] that an earlier run has learnt.

    Args:
        sampler: the name of the sampler, for errors.
        sha256: the sha256 of the vectors, or its first characters.
        store: the store with the vectors.

    Raises:
        LatentsError: the store has something else under this sha256.
    """
    table = stored_latents(sha256, store)
    if not isinstance(table, LatentTable):
        raise LatentsError(f"sampler {sampler!r}: {sha256} are no vectors: it is a {table.kind!r}")
    return table.vectors


def table_for(sampler: str, policy: Policy, vectors: Tensor) -> LatentTable:
    """Return a table of the distinct vectors among latent vectors, for a policy that can decode them.

    Args:
        sampler: the name of the sampler, for errors.
        policy: the policy that decodes the vectors.
        vectors: float32 [m, d].

    Raises:
        LatentsError: the policy decodes no vectors, or vectors of another size, or needs unit vectors, which these are
            not.
    """
    size, table = latent_model(policy, sampler).latent_size, LatentTable.of(vectors)
    if table.latent_size != size:
        raise LatentsError(
            f"sampler {sampler!r}: its vectors have {table.latent_size} numbers, its policy decodes {size}"
        )
    if latent_space(policy) == "spherical":
        _check_on_sphere(sampler, table)
    return table


def _check_on_sphere(sampler: str, table: LatentTable) -> None:
    norms = table.vectors.detach().norm(dim=1)
    off = (norms - 1).abs() > NORM_TOLERANCE
    if bool(off.any()):
        first = int(off.nonzero()[0, 0])
        raise LatentsError(
            f"sampler {sampler!r}: {int(off.sum())} of its {len(norms)} different vectors are not of length 1, the "
            f"first is number {first} (from 0) with {float(norms[first]):.6g}, and its policy decodes unit vectors; "
            "divide each by its length"
        )
