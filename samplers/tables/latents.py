"""The tables of samplers that decode latent vectors: the origin of the vectors, and their training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt

from molbuffer import storage
from molbuffer.kinds import Count, FileName, MoleculeFile, Outermost, Text, Typed, WrongKeyError, checked
from molbuffer.samplers.tables.base import RunParts
from molbuffer.samplers.tables.model import PolicyKeys

if TYPE_CHECKING:
    from torch import Tensor

    from molbuffer.samplers.base import Sampler, SamplerSize
    from molbuffer.samplers.latents import DecodedLatents, LatentState
    from molbuffer.samplers.policies import Policy
    from molbuffer.storage import HistoryIndex

Positive = Annotated[float, Gt(0)]
OptionalText = Annotated[str | None, Typed(Text | None)]

ORIGINS = ("molecules", "vectors", "best", "learnt_latents")
"""The keys that name the origin of latent vectors; a latent sampler has exactly one of them."""


@dataclass(frozen=True, kw_only=True)
class LearningKeys(PolicyKeys):
    """The training of a sampler's latents, on the rows that the sampler draws in the present iteration.

    Attributes:
        optimise: train the latents towards higher rewards, by the REINFORCE gradient.
        learning_rate: the learning rate of Adam.
        gradient_norm: the largest norm of a step's gradient; longer gradients are scaled down to it.
        baseline: the value that is subtracted from each reward: the mean over all rows, the mean over the other rows,
            or nothing.
    """

    optimise: Annotated[bool, Outermost()] = False
    learning_rate: Annotated[float, Typed(Positive), Outermost()] = 0.02
    gradient_norm: Annotated[float, Typed(Positive), Outermost()] = 1.0
    baseline: Annotated[Literal["mean", "leave_one_out", "none"], Outermost()] = "mean"

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.latents import LatentState, stored_latents

        policy = parts.policy(self.policy)
        if name in parts.latents:
            latents = LatentState(stored_latents(parts.latents[name], parts.store))
        else:
            # The prior encodes instead of the policy in training, so that a resumed run has the same vectors.
            latents = self.first(name, parts.prior if self.policy == "agent" else policy(), parts)
        return self.decoder(name, policy, latents, size=size, sampling=self.sampling)

    @property
    def decoder(self) -> type[DecodedLatents]:
        """The class of the sampler."""
        raise NotImplementedError

    def first(self, name: str, policy: Policy, parts: RunParts) -> LatentState:
        """Return the initial latents of a sampler.

        Raises:
            LatentsError: there are no latents, or the policy cannot decode them.
        """
        raise NotImplementedError


@checked
@dataclass(frozen=True, kw_only=True)
class PriorSamplerTable(LearningKeys):
    """Molecules decoded from draws of a latent prior.

    Attributes:
        prior: normal: independent normal distributions, or a mixture of such; spherical: a von Mises-Fisher
            distribution of unit vectors. Default: the kind that fits the latent space of the policy.
        components: the number of components of a normal prior, which is a mixture if there are several.
        learnt_prior: a latent prior that an earlier run has learnt, by its sha256 in the store; default: an untrained
            prior.
        replay_ratio_clip: train the latent prior also on stored rows of the batch that the sampler drew earlier in the
            run. Each is weighted by p_now(z) / p_then(z), but at most by this number. Default: stored rows train the
            decoder only.
    """

    prior: Literal["normal", "spherical"] | None = None
    components: Count = 1
    learnt_prior: OptionalText = None
    replay_ratio_clip: Annotated[float | None, Typed(Positive | None), Outermost()] = None

    def __post_init__(self) -> None:
        if self.prior == "spherical" and self.components != 1:
            raise WrongKeyError("components", "this key belongs to a normal prior, but the prior is spherical")
        if self.learnt_prior is not None and (self.prior is not None or self.components != 1):
            raise WrongKeyError(
                "learnt_prior", "a learnt prior has a kind and components of its own; remove prior and components"
            )
        if self.replay_ratio_clip is not None and not self.optimise:
            raise WrongKeyError(
                "replay_ratio_clip",
                "this key is for a latent prior in training; set optimise = true, or remove the key",
            )

    @property
    def decoder(self) -> type[DecodedLatents]:
        from molbuffer.samplers.prior import PriorSampler

        return PriorSampler

    def first(self, name: str, policy: Policy, parts: RunParts) -> LatentState:
        from molbuffer.samplers.latents import LatentState, learnt_prior, new_prior

        if self.learnt_prior is not None:
            return LatentState(learnt_prior(name, policy, self.learnt_prior, parts.store))
        return LatentState(new_prior(name, policy, self.prior, self.components))


@checked
@dataclass(frozen=True, kw_only=True)
class LatentSamplerTable(LearningKeys):
    """Molecules decoded from given latent vectors, each equally often.

    Attributes:
        molecules: a .smi, .txt, .csv, .tsv (each also .gz) or .parquet file whose molecules the policy encodes;
            relative to the folder of the configuration file.
        column: for molecules: their column in a table, in any case; default: smiles or canonical_smiles.
        vectors: a .npy, .csv or .parquet file with a vector in each row; relative to the folder of the configuration
            file.
        best: start from this many of the best stored molecules under this objective, as of the start of the run.
        stored_latents: for best: use the latent vectors that the best rows were decoded from, instead of encoding the
            molecules; only rows of the policy, or of a policy trained from the same VAE, have such vectors.
        learnt_latents: latent vectors that an earlier run has learnt, by their sha256 in the store.
    """

    molecules: Annotated[str | None, Typed(Text | None), MoleculeFile(("column",))] = None
    column: OptionalText = None
    vectors: Annotated[str | None, Typed(Text | None), FileName()] = None
    best: Annotated[int | None, Typed(Count | None)] = None
    stored_latents: bool = False
    learnt_latents: OptionalText = None

    def __post_init__(self) -> None:
        given = [key for key in ORIGINS if getattr(self, key) is not None]
        if not given:
            raise ValueError(f"this sampler has no latent vectors; add one of the keys {', '.join(ORIGINS)}")
        for key in given[1:]:
            raise WrongKeyError(key, f"latent vectors come from {given[0]} already; remove one of the keys")
        for key, origin in {"column": "molecules", "stored_latents": "best"}.items():
            if getattr(self, key) and origin not in given:
                raise WrongKeyError(key, f"this key belongs to {origin}, but latent vectors come from {given[0]}")

    @property
    def decoder(self) -> type[DecodedLatents]:
        from molbuffer.samplers.latent import LatentSampler

        return LatentSampler

    def first(self, name: str, policy: Policy, parts: RunParts) -> LatentState:
        from molbuffer.samplers.latents import LatentState, table_for

        return LatentState(table_for(name, policy, self._vectors(name, policy, parts)))

    def _vectors(self, name: str, policy: Policy, parts: RunParts) -> Tensor:
        """Read, load or encode the vectors [m, d]."""
        from molbuffer.samplers import latents
        from molbuffer.samplers.files import read_smiles_file

        size = latents.latent_model(policy, name).latent_size
        if self.learnt_latents is not None:
            return latents.learnt_vectors(name, self.learnt_latents, parts.store)
        if self.vectors is not None:
            return latents.read_vectors(Path(self.vectors))
        if self.molecules is not None:
            rows = read_smiles_file(Path(self.molecules), self.column)
            return latents.encode_molecules(policy, [row.smiles for row in rows], name)
        assert self.best is not None
        index = _rewarded_rows(parts)
        if not self.stored_latents:
            return latents.encode_molecules(policy, latents.best_molecules(index, self.best, name), name)
        relatives = latents.latent_relatives(parts.store, policy.sha256, index.snapshot)
        return latents.best_latents(index, self.best, size, relatives, name)


def _rewarded_rows(parts: RunParts) -> HistoryIndex:
    """Return the rewarded rows of the history as of the start of the run, so that a resumed run has the same rows."""
    started = parts.store.run(parts.run_id)
    assert started.objective_sha256 is not None
    scope = storage.IndexScope(objective_sha256=started.objective_sha256, snapshot=started.pinned_snapshot)
    return parts.store.index(scope)
