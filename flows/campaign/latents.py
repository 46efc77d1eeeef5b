"""From the settings of samplers of latent vectors to what they draw these from, and to what learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from molbuffer.flows.settings.draws import DrawKeys, LatentDraws, LearningKeys, PriorDraws, PriorLearningKeys
from molbuffer.samplers.base import Sampler
from molbuffer.samplers.errors import LatentsError
from molbuffer.samplers.files.text_files import read_smiles_file
from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.lineage import latent_relatives
from molbuffer.samplers.latents.priors import LatentPrior, LatentSource, NormalPrior, SphericalPrior
from molbuffer.samplers.latents.source import LatentState, LatentTable, latent_files, load_latents
from molbuffer.samplers.latents.vectors import (
    best_latents,
    best_molecules,
    encode_molecules,
    latent_model,
    read_vectors,
)
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.prior import PriorSampler
from molbuffer.storage import SampleStore
from molbuffer.storage.history.index import HistoryIndex, IndexScope
from molbuffer.storage.records import Commit, PolicyVersion
from molbuffer.training.fit.trainables import Trainable, Trainables
from molbuffer.training.latents.reinforce import BASELINES
from molbuffer.training.latents.trainers import LatentSteps, PriorTrainer, VectorTrainer

NORM_TOLERANCE = 1e-3
"""How far the length of a unit vector of a file may be from 1: it may have been written with a few digits."""


class History(Protocol):
    """Which run, of which store, a sampler draws for."""

    @property
    def store(self) -> SampleStore: ...

    @property
    def run_id(self) -> str: ...


def first_prior(name: str, settings: PriorDraws, policy: Policy, store: SampleStore) -> LatentState:
    """The prior that a sampler begins with.

    Raises:
        LatentsError: the policy has no latent vectors, or others than the prior.
    """
    size, space = latent_model(policy, name).latent_size, latent_space(policy)
    if settings.learnt_prior is not None:
        prior = _stored(settings.learnt_prior, store)
        if not isinstance(prior, LatentPrior):
            raise LatentsError(f"sampler {name!r}: {settings.learnt_prior} is no prior, it is of kind {prior.kind!r}")
        learnt_space = "spherical" if isinstance(prior, SphericalPrior) else "normal"
        if (prior.latent_size, learnt_space) != (size, space):
            raise LatentsError(
                f"sampler {name!r}: the prior {settings.learnt_prior} is of a {learnt_space} space of "
                f"{prior.latent_size} numbers, and policy {policy.sha256[:12]} decodes a {space} one of {size}; "
                "name the policy that it was learnt with"
            )
        return LatentState(prior)
    if (wanted := settings.prior or space) != space:
        raise LatentsError(
            f"sampler {name!r}: its prior is {wanted}, and the latent space of policy {policy.sha256[:12]} {space}; "
            "leave prior out, or name another policy"
        )
    return LatentState(SphericalPrior(size) if wanted == "spherical" else NormalPrior(size, settings.components))


def first_vectors(name: str, settings: LatentDraws, policy: Policy, history: History) -> LatentState:
    """The latent vectors that a sampler begins with.

    Raises:
        LatentsError: there are none, or the policy decodes others.
    """
    size = latent_model(policy, name).latent_size
    if settings.learnt_latents is not None:
        stored = _stored(settings.learnt_latents, history.store)
        if not isinstance(stored, LatentTable):
            raise LatentsError(f"sampler {name!r}: {settings.learnt_latents} are no vectors: it is a {stored.kind!r}")
        table = stored
    elif settings.vectors is not None:
        table = LatentTable.of(read_vectors(Path(settings.vectors)))
    elif settings.molecules is not None:
        rows = read_smiles_file(Path(settings.molecules), settings.column)
        table = LatentTable.of(encode_molecules(policy, [row.smiles for row in rows], name))
    else:
        assert settings.best is not None
        index = _best_rows(history)
        if settings.stored_latents:
            relatives = latent_relatives(history.store, policy.sha256, index.snapshot)
            table = LatentTable.of(best_latents(index, settings.best, size, relatives, name))
        else:
            table = LatentTable.of(encode_molecules(policy, best_molecules(index, settings.best, name), name))
    if table.latent_size != size:
        raise LatentsError(f"sampler {name!r}: its vectors have {table.latent_size} numbers, its policy decodes {size}")
    if latent_space(policy) == "spherical":
        _check_on_sphere(name, table)
    return LatentState(table)


def _check_on_sphere(name: str, table: LatentTable) -> None:
    norms = table.vectors.detach().norm(dim=1)
    off = (norms - 1).abs() > NORM_TOLERANCE
    if bool(off.any()):
        first = int(off.nonzero()[0, 0])
        raise LatentsError(
            f"sampler {name!r}: {int(off.sum())} of its {len(norms)} different vectors are not of length 1, the first "
            f"is number {first} (from 0) with {float(norms[first]):.6g}, and its policy decodes unit vectors; divide "
            "each by its length"
        )


def latent_space(policy: Policy) -> str:
    """The geometry of a policy's latent vectors: normal or spherical."""
    return str(policy.model.architecture().get("geometry", "normal"))


def stored_state(sha256: str, store: SampleStore) -> LatentState:
    """A version that is kept in the store."""
    return LatentState(load_latents(store.policies.folder(sha256)))


def build_trainables(settings: Sequence[DrawKeys], samplers: Sequence[Sampler]) -> Trainables:
    """What the samplers that are to learn learn, in their order."""
    found: list[Trainable] = []
    for table, sampler in zip(settings, samplers, strict=True):
        clip = table.replay_ratio_clip if isinstance(table, PriorLearningKeys) else None
        if not isinstance(table, LearningKeys) or not table.optimise:
            continue
        steps = LatentSteps(table.learning_rate, table.gradient_norm, BASELINES[table.baseline])
        if isinstance(sampler, PriorSampler):
            found.append(PriorTrainer(sampler, steps, replay_ratio_clip=clip))
        elif isinstance(sampler, LatentSampler):
            spherical = latent_space(sampler.policy()) == "spherical"
            found.append(VectorTrainer(sampler, steps, spherical=spherical))
    return Trainables(found)


def latent_versions(samplers: Sequence[Sampler]) -> dict[str, str]:
    """The sha256 of what each sampler of latent vectors draws from at present, by its name."""
    return {each.name: each.latent_sha256 for each in samplers if isinstance(each, PriorSampler | LatentSampler)}


def publish_latents(samplers: Sequence[Sampler], store: SampleStore, run_id: str) -> dict[str, str]:
    """Keeps in the store what latent vectors are drawn from, frozen or not, so that any process can draw from it."""
    versions = []
    for sampler in samplers:
        if isinstance(sampler, PriorSampler | LatentSampler):
            source = sampler.latents.source
            sha256 = store.policies.add(latent_files(source))
            versions.append(PolicyVersion(sha256, source.kind, None, run_id, 0, weights_kept=True))
    if versions:
        store.commit(Commit(policies=versions, message=f"latents of run {run_id}"))
    return latent_versions(samplers)


def _stored(sha256: str, store: SampleStore) -> LatentSource:
    return load_latents(store.policies.folder(store.policies.resolve(sha256)))


def _best_rows(history: History) -> HistoryIndex:
    """The history as of the start of the run: the same when it is resumed."""
    run = history.store.run(history.run_id)
    assert run.objective_sha256 is not None
    return history.store.index(IndexScope(objective_sha256=run.objective_sha256, snapshot=run.pinned_snapshot))
