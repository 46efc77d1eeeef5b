"""Training of a latent prior, or of given latent vectors, towards the parts of a latent space with high rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from molbuffer.samplers import LatentPrior, LatentSampler, LatentState, PriorSampler, latent_files, tensors
from molbuffer.samplers.models import Condition, likelihoods
from molbuffer.storage import Build, Place, PolicyStore, PolicyVersion, Rows, ScoreStatus
from molbuffer.training.adam import Adam
from molbuffer.training.batches import ReplayedLatents
from molbuffer.training.checkpoint import checkpoint_files, restore
from molbuffer.training.errors import DivergedError
from molbuffer.training.losses import Baseline, mean_reward, reinforce, truncated_weights


@dataclass(frozen=True)
class LatentTrainerSettings:
    """The settings of a trainer of a latent prior or of latent vectors.

    Attributes:
        learning_rate: the learning rate of Adam.
        gradient_norm: the largest norm of a step's gradient; longer gradients are scaled down to it.
        baseline: the function of rewards that is subtracted from them, such as those of
            ``molbuffer.training.losses.BASELINES``.
    """

    learning_rate: float = 0.02
    gradient_norm: float = 1.0
    baseline: Baseline = mean_reward


def rows_under(builds: Sequence[Build], sampler: str, latent_sha256: str) -> Rows | None:
    """Return the rows that a sampler drew under a version of its latents, with rewards; None without rows (R18, R23).

    A rejected row has reward 0. A row whose score failed or is pending is left out.

    Args:
        builds: the builds to search.
        sampler: the name of the sampler; the version alone does not suffice, as two samplers may have the same vectors.
        latent_sha256: the version of the latent prior or latent vectors.
    """
    found: list[Rows] = []
    for build in builds:
        drawn = (build.sampler, build.latent_sha256) == (sampler, latent_sha256)
        if drawn and build.samples.rows.latents is not None:
            rewards = np.where(build.samples.kept, np.nan, 0.0)
            for reward in build.rewards:
                if reward.status is ScoreStatus.OK and reward.objective_sha256 == build.objective_sha256:
                    rewards[reward.row] = reward.value
            found.append(replace(build.samples.rows, rewards=rewards).take(~np.isnan(rewards)))
    return Rows.concat(found) if sum(map(len, found)) else None


def reward_metrics(rows: Rows | None) -> dict[str, float | None]:
    """Return the metrics ``latent_reward``, the mean reward of rows, None without rows, and ``latent_rows``."""
    if rows is None:
        return {"latent_reward": None, "latent_rows": 0.0}
    return {"latent_reward": float(tensors(rows)["rewards"].mean()), "latent_rows": float(len(rows))}


class LatentTrainer:
    """The base class of trainers of latent priors and latent vectors; a subclass defines ``loss``."""

    def __init__(self, name: str, latents: LatentState, settings: LatentTrainerSettings) -> None:
        self._name, self._latents, self._settings = name, latents, settings
        self._source: nn.Module = latents.source
        self._optimizer = Adam(self._source.parameters(), settings.learning_rate)
        self._parent: str | None = None

    @property
    def name(self) -> str:
        return self._name

    def loss(self, rows: Rows) -> Tensor:
        """Return the loss of rows, a scalar with a gradient with respect to the parameters."""
        raise NotImplementedError

    def constrain(self) -> None:
        """Project the parameters to their allowed values after a step; by default, all values are allowed."""

    def update(self, builds: Sequence[Build], replayed: ReplayedLatents | None = None) -> dict[str, float | None]:
        """Take one gradient step on all rows of the builds; replayed rows are not used.

        Returns:
            ``latent_loss``, the loss before the step, and ``latent_reward``, the mean reward, both None without rows;
            and ``latent_rows``, the number of rows.

        Raises:
            DivergedError: the loss is infinite or NaN; the parameters stay as they are.
        """
        rows = self.rows(builds)
        return self.learn(None if rows is None else self.loss(rows)) | reward_metrics(rows)

    def rows(self, builds: Sequence[Build]) -> Rows | None:
        """Return the rows of builds that the sampler drew under its present version; None without rows."""
        return rows_under(builds, self._name, self._latents.sha256)

    def learn(self, loss: Tensor | None) -> dict[str, float | None]:
        """Take one gradient step on a loss, none if it is None; return the loss as the metric ``latent_loss``.

        Raises:
            DivergedError: the loss is infinite or NaN.
        """
        if loss is None:
            return {"latent_loss": None}
        if not bool(loss.isfinite()):
            raise DivergedError(
                f"the loss of the latents of sampler {self._name!r} is {float(loss.detach()):g}, expected a finite "
                f"number: lower its learning rate ({self._settings.learning_rate:g})",
                loss=float(loss.detach()),
                sampler=self._name,
            )
        self._optimizer.zero_grad()
        # Only the latents have a gradient: the policy that decodes them must not learn here.
        loss.backward(inputs=list(self._source.parameters()))  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._source.parameters(), self._settings.gradient_norm)
        self._parent = self._latents.sha256
        self._optimizer.step()
        self.constrain()
        self._latents.changed()
        return {"latent_loss": float(loss.detach())}

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """Return the present parameters as a row of the lineage; their parent is the version before the last step."""
        sha256 = self._latents.sha256
        parent = self._parent if self._parent != sha256 else None
        return PolicyVersion(sha256, self._latents.source.kind, parent, run_id, iteration)

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> PolicyVersion:
        policies.add(latent_files(self._latents.source))
        return replace(self.version(run_id, iteration), weights_kept=True)

    def checkpoint_files(self, prefix: str) -> Mapping[str, bytes]:
        return checkpoint_files(self._source, self._optimizer, {"parent": self._parent}, prefix)

    def restore(self, folder: Place, prefix: str) -> None:
        self._parent = restore(folder, self._source, self._optimizer, prefix)["parent"]
        self._latents.changed()


class PriorTrainer(LatentTrainer):
    """A trainer of a latent prior, by the gradient of −log p(z) · (reward − baseline)."""

    def __init__(
        self,
        sampler: PriorSampler,
        settings: LatentTrainerSettings = LatentTrainerSettings(),
        *,
        replay_ratio_clip: float | None = None,
    ) -> None:
        """Make a trainer of a sampler's latent prior.

        Args:
            sampler: the sampler.
            settings: the settings of the trainer.
            replay_ratio_clip: the bound of the weights of replayed rows, which are min(p_now(z) / p_then(z),
                replay_ratio_clip); None learns from no replayed rows.
        """
        super().__init__(sampler.name, sampler.latents, settings)
        self._prior, self._clip = sampler.prior, replay_ratio_clip

    def loss(self, rows: Rows) -> Tensor:
        columns = tensors(rows)
        return prior_loss(self._prior, columns["latents"], columns["rewards"], self._settings.baseline)

    def update(self, builds: Sequence[Build], replayed: ReplayedLatents | None = None) -> dict[str, float | None]:
        """Take one gradient step on all rows of the builds, and on replayed rows if the trainer learns from them.

        Returns:
            The metrics of ``LatentTrainer.update``: ``latent_loss`` of all rows, ``latent_reward`` and ``latent_rows``
            of the rows of the builds. With replay also ``latent_replayed``, the number of replayed rows, and
            ``latent_replay_weight``, their mean weight, None without replayed rows.
        """
        if self._clip is None:
            return super().update(builds)
        earlier = None
        if replayed is not None:
            earlier = replayed.earlier(self._name, self._latents.sha256, self._prior.latent_size)
        if earlier is None:
            return super().update(builds) | {"latent_replayed": 0.0, "latent_replay_weight": None}
        rows, then = self.rows(builds), tensors(earlier)
        with torch.no_grad():
            log_ratios = self._prior.log_prob(then["latents"]).detach() - then["latent_log_probs"]
            weights = truncated_weights(log_ratios, self._clip)
        metrics = {"latent_replayed": float(len(earlier)), "latent_replay_weight": float(weights.mean())}
        every = tensors(earlier if rows is None else Rows.concat([rows, earlier]))
        if rows is not None:
            weights = torch.cat([weights.new_ones(len(rows)), weights])
        loss = prior_loss(self._prior, every["latents"], every["rewards"], self._settings.baseline, weights)
        return self.learn(loss) | reward_metrics(rows) | metrics


def prior_loss(
    prior: LatentPrior,
    latents: Tensor,
    rewards: Tensor,
    baseline: Baseline = mean_reward,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the REINFORCE loss of latent vectors under a latent prior, a scalar.

    The latent vectors are detached: through a reparameterised draw z, the gradient of log p(z) with respect to the
    location would be exactly 0.

    Args:
        prior: the latent prior in training.
        latents: the latent vectors [n, d], drawn from the prior or from an earlier version of it.
        rewards: the rewards [n].
        baseline: the function of rewards that is subtracted from them.
        weights: the importance weights [n], 1 for draws from the prior itself; None is 1 for each.
    """
    return reinforce(prior.log_prob(latents.detach()), rewards, baseline, weights)


class VectorTrainer(LatentTrainer):
    """A trainer of given latent vectors.

    The loss is the mean of −log p(sequence | z) · (reward − baseline) under the policy that drew the sequences, with
    the temperature and truncation of the draws.
    """

    def __init__(
        self,
        sampler: LatentSampler,
        settings: LatentTrainerSettings = LatentTrainerSettings(),
        *,
        spherical: bool = False,
    ) -> None:
        """Make a trainer of a sampler's vectors.

        Args:
            sampler: the sampler.
            settings: the settings of the trainer.
            spherical: keep the vectors on the unit sphere.
        """
        super().__init__(sampler.name, sampler.latents, settings)
        self._sampler, self._spherical = sampler, spherical

    def loss(self, rows: Rows) -> Tensor:
        vectors, columns = self._sampler.vectors, tensors(rows)
        # Rows come from several builds: the content of its latent vector tells which vector a row was decoded from.
        places = {vector.tobytes(): place for place, vector in enumerate(vectors.detach().numpy())}
        chosen = torch.tensor([places[latents.tobytes()] for latents in columns["latents"].numpy()], device="cpu")
        model = self._sampler.policy().model
        log_probs = likelihoods(
            model,
            columns["tokens"].to(model.device),
            columns["lengths"].to(model.device),
            condition=Condition(latents=vectors[chosen]).to(model.device),
            sampling=self._sampler.sampling,
        )
        # The vectors stay on the CPU, whatever the device of the policy: the gradient flows through both transfers.
        return reinforce(log_probs.sum(1).cpu(), columns["rewards"], self._settings.baseline)

    @torch.no_grad()
    def constrain(self) -> None:
        if self._spherical:
            vectors = self._sampler.vectors
            vectors.div_(vectors.norm(dim=1, keepdim=True))
